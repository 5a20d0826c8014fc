"""Changes to speech that leave its emotion: other speed and voice, noise, colour, masks, mixtures.

Legend for shapes: ``B`` batch, ``S`` samples, ``M`` mel bins, ``F`` mel frames, ``K`` classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechAugment:
    """How strongly training clips are changed; zero turns a change off.

    Attributes:
        speed: Largest change of speed as a natural logarithm: 0.17 is 0.84 to 1.19 times. Pitch and formants
            go along, as if another person spoke.
        noise: Share of clips that get coloured noise.
        noise_quietest, noise_loudest: Decibels of that noise below the speech.
        colour: Standard deviation of a smooth random curve over the mel bins, in Whisper's units (0.1 is 4 dB).
        masks: Masked stretches of time and, as many, bands of frequency (SpecAugment, arXiv:1904.08779).
        mask_time: Longest stretch as a share of the clip.
        mask_bins: Widest band in mel bins.
        mix: Share of batches in which clips are mixed in pairs (mixup, arXiv:1710.09412).
    """

    speed: float = 0.17
    noise: float = 0.5
    noise_quietest: float = 40.0
    noise_loudest: float = 10.0
    colour: float = 0.1
    masks: int = 2
    mask_time: float = 0.1
    mask_bins: int = 12
    mix: float = 0.5


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: Generator) -> Tensor:
    drawn: Tensor = low + (high - low) * torch.rand(shape, generator=generator)
    return drawn


def change_speed(samples: Tensor, *, most: float, generator: Generator) -> Tensor:
    """One clip (S,) played faster or slower, by exp of a uniform draw in [-most, most]; shape (S',)."""
    return at_speed(samples, math.exp(float(_uniform((1,), -most, most, generator)))) if most > 0 else samples


def at_speed(samples: Tensor, factor: float) -> Tensor:
    """One clip (S,) played ``factor`` times as fast; pitch and formants go along. Shape (S / factor,)."""
    size = max(1, round(len(samples) / factor))
    return F.interpolate(samples[None, None], size=size, mode="linear", align_corners=False)[0, 0]


def add_noise(samples: Tensor, lengths: Tensor, *, settings: SpeechAugment, generator: Generator) -> Tensor:
    """Noise between white and pink under a share of the padded clips (B, S), relative to each clip's own level."""
    if settings.noise <= 0:
        return samples
    size, width = samples.shape
    spectrum = torch.fft.rfft(torch.randn(size, width, generator=generator))
    slope = _uniform((size, 1), 0.0, 1.0, generator)
    noise = torch.fft.irfft(spectrum * torch.arange(1, spectrum.shape[1] + 1) ** -slope, width)
    noise = noise - noise.mean(1, keepdim=True)
    noise = noise / noise.square().mean(1, keepdim=True).sqrt().clamp_min(1e-6)
    below = _uniform((size, 1), settings.noise_loudest, settings.noise_quietest, generator)
    chosen = torch.rand(size, 1, generator=generator) < settings.noise
    level = (samples.square().sum(1, keepdim=True) / lengths[:, None]).sqrt()
    noisy: Tensor = samples + chosen * level * noise * 10 ** (-below / 20)
    return noisy


def colour_and_mask(mel: Tensor, frames: Tensor, *, settings: SpeechAugment, generator: Generator) -> Tensor:
    """Log-mel frames (B, M, F) as through another microphone, with stretches and bands set to the clip's mean."""
    size, bins, width = mel.shape
    time, bands = torch.arange(width), torch.arange(bins)
    within = (time < frames[:, None])[:, None]  # (B, 1, F)
    if settings.colour > 0:
        knots = settings.colour * torch.randn(size, 1, 6, generator=generator)
        curve = F.interpolate(knots, size=bins, mode="linear", align_corners=True)  # (B, 1, M)
        mel = mel + curve.transpose(1, 2) * within
    hidden = torch.zeros(mel.shape, dtype=torch.bool)
    for _ in range(settings.masks):
        span = _uniform((size, 1), 0.0, settings.mask_time, generator) * frames[:, None]
        start = torch.rand(size, 1, generator=generator) * (frames[:, None] - span)
        hidden |= ((time >= start) & (time < start + span))[:, None]
        band = _uniform((size, 1), 0.0, float(settings.mask_bins), generator)
        low = torch.rand(size, 1, generator=generator) * (bins - band)
        hidden |= ((bands >= low) & (bands < low + band))[:, :, None]
    mean = mel.sum((1, 2), keepdim=True) / (frames[:, None, None] * bins)
    return torch.where(hidden & within, mean, mel)


def mix_pairs(
    mel: Tensor, frames: Tensor, targets: Tensor, *, settings: SpeechAugment, generator: Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """A share of the batches with each clip mixed with another: frames (B, M, F), their counts (B,), targets (B, K)."""
    if float(torch.rand(1, generator=generator)) >= settings.mix:
        return mel, frames, targets
    # The squared sine of an even angle is a draw from Beta(1/2, 1/2); torch.distributions takes no generator.
    share = math.sin(0.5 * math.pi * float(torch.rand(1, generator=generator))) ** 2
    other = torch.randperm(len(mel), generator=generator)
    mel = share * mel + (1 - share) * mel[other]
    return mel, torch.maximum(frames, frames[other]), share * targets + (1 - share) * targets[other]
