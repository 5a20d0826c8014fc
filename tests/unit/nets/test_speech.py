"""The speech network: front end, padding, gradients, starting from a base, fitting."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from mmdemo.nets.speech import (
    SAMPLE_RATE,
    EmotionNet,
    LogMel,
    RunningStandard,
    SpeechConfig,
    SpeechEncoder,
    load_whisper_encoder,
    mel_filters,
)

TINY = SpeechConfig(width=32, heads=2, layers=2, inner=64, mel_bins=20, pooling=8, dropout=0.0)


def made_voice(seconds: float, *, pitch: float = 120.0, seed: int = 0) -> Tensor:
    """Harmonics with a slow swell and a little noise, shape (S,)."""
    time = torch.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    voice = sum((torch.sin(2 * torch.pi * pitch * k * time) / k for k in range(1, 20)), torch.zeros_like(time))
    noise = torch.randn(time.shape, generator=torch.Generator().manual_seed(seed))
    return 0.1 * voice * (0.6 + 0.4 * torch.sin(2 * torch.pi * 3 * time)) + 0.002 * noise


def perturbed(net: EmotionNet, *, seed: int = 0) -> EmotionNet:
    """The net with noise on every parameter: nothing stays at its first zero or one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return net.eval()


def as_batch(clips: list[Tensor]) -> tuple[Tensor, Tensor]:
    return torch.nn.utils.rnn.pad_sequence(clips, batch_first=True), torch.tensor([len(clip) for clip in clips])


def test_log_mel_equals_the_feature_extractor_of_whisper() -> None:
    transformers = pytest.importorskip("transformers")
    clip = made_voice(1.237)
    expected = transformers.WhisperFeatureExtractor()(clip.numpy(), sampling_rate=SAMPLE_RATE)["input_features"][0]
    mel, frames = LogMel(bins=80)(clip[None], torch.tensor([len(clip)]))
    assert mel.shape == (1, 80, 123)
    assert frames.tolist() == [123]
    np.testing.assert_allclose(mel[0].numpy(), expected[:, :123], atol=1e-4)


def test_mel_filters_have_unit_area() -> None:
    filters = mel_filters(40)
    assert filters.shape == (201, 40)
    # Bins are 40 Hz wide; the wide filters above 2 kHz are sampled finely enough for the sum to be their area.
    torch.testing.assert_close(filters[:, 25:].sum(0) * 40, torch.ones(15), atol=0.05, rtol=0)


def test_shapes_and_attention() -> None:
    clips = [made_voice(0.5), made_voice(1.0, pitch=200)]
    out = perturbed(EmotionNet(TINY))(*as_batch(clips))
    assert out.logits.shape == (2, TINY.labels)
    assert out.attention.shape == (2, 50)
    assert out.tokens.tolist() == [25, 50]
    torch.testing.assert_close(out.attention.sum(1), torch.ones(2))
    assert bool((out.attention[0, 25:] == 0).all())


def test_what_lies_behind_the_end_changes_nothing() -> None:
    net = perturbed(EmotionNet(TINY))
    clips = [made_voice(0.731), made_voice(1.9, pitch=220), made_voice(0.02), made_voice(0.1234)]
    with torch.no_grad():
        together = net(*as_batch(clips)).logits
        loud = torch.cat([clips[0], torch.full((7_000,), 0.9)])[None]
        behind = net(loud, torch.tensor([len(clips[0])])).logits
        for clip, logits in zip(clips, together, strict=True):
            alone = net(clip[None], torch.tensor([len(clip)])).logits[0]
            torch.testing.assert_close(alone, logits, atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(behind[0], together[0], atol=2e-4, rtol=1e-4)
    assert float((together[0] - together[1]).abs().max()) > 1e-2


@pytest.mark.parametrize("samples", [1, 159, 160, 200, 401])
def test_very_short_clips_and_silence_give_numbers(samples: int) -> None:
    net = perturbed(EmotionNet(TINY))
    for clip in (torch.zeros(1, samples), torch.ones(1, samples)):
        assert bool(net(clip, torch.tensor([samples])).logits.isfinite().all())


def test_level_changes_nothing() -> None:
    net = perturbed(EmotionNet(TINY))
    clip = made_voice(1.0)
    length = torch.tensor([len(clip)])
    with torch.no_grad():
        torch.testing.assert_close(net(clip[None], length)[0], net(0.01 * clip[None], length)[0], atol=1e-3, rtol=1e-3)


def test_gradient_reaches_every_parameter() -> None:
    net = perturbed(EmotionNet(TINY)).train()
    loss = F.cross_entropy(net(*as_batch([made_voice(0.4), made_voice(0.6)])).logits, torch.tensor([0, 3]))
    loss.backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().sum()) > 0, name


def test_eight_examples_are_learned_by_heart() -> None:
    torch.manual_seed(0)
    net = EmotionNet(TINY)
    batch = as_batch([made_voice(0.3, pitch=90 + 12 * k, seed=k) for k in range(8)])
    labels = torch.arange(8)
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(net(*batch).logits, labels).backward()
        optimizer.step()
    assert net.eval()(*batch).logits.argmax(1).tolist() == labels.tolist()


def test_encoder_computes_what_transformers_computes(tmp_path: Path) -> None:
    whisper = pytest.importorskip("transformers.models.whisper.modeling_whisper")
    settings = {
        "d_model": 32,
        "encoder_attention_heads": 2,
        "encoder_layers": 3,
        "encoder_ffn_dim": 64,
        "num_mel_bins": 20,
        "max_source_positions": 40,
    }
    torch.manual_seed(0)
    theirs = whisper.WhisperEncoder(whisper.WhisperConfig(**settings)).eval()
    save_file(
        {name: tensor.contiguous() for name, tensor in theirs.state_dict().items()}, tmp_path / "model.safetensors"
    )
    (tmp_path / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    mel = torch.randn(1, 20, 80)
    ours = load_whisper_encoder(tmp_path).eval()
    with torch.no_grad():
        expected = theirs(mel, output_hidden_states=True).hidden_states
        states, valid = ours(mel, torch.tensor([80]))
        fewer, _ = load_whisper_encoder(tmp_path, layers=2).eval()(mel, torch.tensor([80]))
    assert bool(valid.all())
    assert len(states) == 4
    assert len(fewer) == 3
    for ours_state, their_state in zip(states[:3], expected[:3], strict=True):
        torch.testing.assert_close(ours_state, their_state, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(fewer[2], states[2])


def test_base_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    encoder = SpeechEncoder(width=8, heads=2, layers=1, inner=16, mel_bins=4)
    settings = {
        "d_model": 8,
        "encoder_attention_heads": 2,
        "encoder_layers": 1,
        "encoder_ffn_dim": 16,
        "num_mel_bins": 4,
    }
    (tmp_path / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    state = encoder.state_dict()
    save_file(state, tmp_path / "model.safetensors")
    assert load_whisper_encoder(tmp_path).width == 8
    with pytest.raises(ValueError, match="2 layers asked for"):
        load_whisper_encoder(tmp_path, layers=2)
    save_file({name: tensor for name, tensor in state.items() if name != "conv1.bias"}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"lacks conv1\.bias"):
        load_whisper_encoder(tmp_path)
    save_file({**state, "conv1.bias": torch.zeros(9)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="does not fit"):
        load_whisper_encoder(tmp_path)
    with pytest.raises(ValueError, match="multiple of 3 heads"):
        SpeechEncoder(width=8, heads=3, layers=1, inner=16, mel_bins=4)


def test_learned_standards_stand_still_in_training() -> None:
    data = torch.randn(40, 5) * 3 + 1
    standard = RunningStandard(5).train()
    standard.learn(data)
    before = standard.mean.clone()
    standard(data[:7] + 5)
    assert torch.equal(standard.mean, before)
    torch.testing.assert_close(standard(data).std(0, correction=0), torch.ones(5), atol=1e-3, rtol=1e-3)


def test_running_standard_follows_the_batches_and_stands_still_outside_training() -> None:
    generator = torch.Generator().manual_seed(0)
    data = 3.0 + 2.0 * torch.randn(40, 8, 5, generator=generator)
    standard = RunningStandard(5).train()
    for batch in data:
        standard(batch)
    torch.testing.assert_close(standard.mean, data.mean((0, 1)), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(standard.variance, data.var((0, 1), correction=0), atol=1e-3, rtol=1e-3)
    standard.eval()
    before = standard.mean.clone()
    out = standard(data[0, :1])
    assert out.shape == (1, 5)
    assert torch.equal(standard.mean, before)
    torch.testing.assert_close(out, (data[0, :1] - before) / (standard.variance + 1e-5).sqrt())


def test_running_standard_trains_on_single_examples() -> None:
    standard = RunningStandard(3).train()
    for value in (1.0, 2.0, 3.0, 4.0):
        assert bool(standard(torch.full((1, 3), value)).isfinite().all())
    torch.testing.assert_close(standard.mean, torch.full((3,), 2.5))
    torch.testing.assert_close(standard.variance, torch.full((3,), 1.25))
