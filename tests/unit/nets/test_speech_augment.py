"""Augmentation of speech: what changes, how far, and that a seed decides it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor

from mmdemo.nets.speech_augment import SpeechAugment, add_noise, change_speed, colour_and_mask, mix_pairs

OFF = SpeechAugment(speed=0.0, noise=0.0, colour=0.0, masks=0, mix=0.0)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def tone(samples: int, *, hertz: float = 200.0) -> Tensor:
    return 0.1 * torch.sin(2 * torch.pi * hertz * torch.arange(samples) / 16_000)


def test_speed_changes_length_and_pitch_together() -> None:
    clip = tone(16_000)
    lengths = {len(change_speed(clip, most=0.17, generator=seeded(seed))) for seed in range(30)}
    assert min(lengths) >= 16_000 / 1.19
    assert max(lengths) <= 16_000 / 0.84
    assert max(lengths) - min(lengths) > 2_000
    other = change_speed(clip, most=0.17, generator=seeded())
    peak = float(torch.fft.rfft(other).abs().argmax()) / len(other) * 16_000
    assert peak == pytest.approx(200 * 16_000 / len(other), rel=0.02)
    assert torch.equal(other, change_speed(clip, most=0.17, generator=seeded()))


def test_noise_keeps_to_its_level_and_share() -> None:
    clips = tone(16_000).expand(64, -1).clone()
    lengths = torch.full((64,), 16_000)
    added = add_noise(clips, lengths, settings=SpeechAugment(), generator=seeded()) - clips
    power = added.square().mean(1) / clips.square().mean(1)
    noisy = power > 0
    assert 20 <= int(noisy.sum()) <= 44
    decibels = -10 * power[noisy].log10()
    assert float(decibels.min()) >= 9.9
    assert float(decibels.max()) <= 40.1


def test_masks_and_colour_stay_within_the_clip() -> None:
    mel = torch.randn(6, 80, 100, generator=seeded(1))
    frames = torch.tensor([100, 80, 60, 40, 20, 1])
    within = (torch.arange(100) < frames[:, None])[:, None]
    mel = mel * within
    changed = colour_and_mask(mel, frames, settings=SpeechAugment(), generator=seeded())
    assert changed.shape == mel.shape
    assert bool((changed * ~within == 0).all())
    assert not torch.equal(changed, mel)
    masked = colour_and_mask(mel, frames, settings=replace(SpeechAugment(), colour=0.0), generator=seeded())
    share = float((masked != mel).float().sum() / within.expand_as(mel).sum())
    assert 0.05 < share < 0.5


def test_mixing_keeps_targets_a_distribution_and_the_longer_clip() -> None:
    mel = torch.randn(4, 8, 10, generator=seeded(1))
    frames = torch.tensor([10, 8, 6, 4])
    targets = torch.eye(4)
    always = replace(SpeechAugment(), mix=1.0)
    mixed, longer, soft = mix_pairs(mel, frames, targets, settings=always, generator=seeded(3))
    assert mixed.shape == mel.shape
    torch.testing.assert_close(soft.sum(1), torch.ones(4))
    assert bool((longer >= frames).all())
    assert not torch.equal(soft, targets)


def test_everything_off_changes_nothing() -> None:
    clip, lengths = tone(800)[None], torch.tensor([800])
    mel, frames = torch.randn(1, 8, 5), torch.tensor([5])
    assert torch.equal(change_speed(clip[0], most=OFF.speed, generator=seeded()), clip[0])
    assert torch.equal(add_noise(clip, lengths, settings=OFF, generator=seeded()), clip)
    assert torch.equal(colour_and_mask(mel, frames, settings=OFF, generator=seeded()), mel)
    assert torch.equal(mix_pairs(mel, frames, torch.ones(1, 1), settings=OFF, generator=seeded())[0], mel)
