"""Speech: waveforms to log-mel frames, frames to encoder states, states to emotions.

The encoder has Whisper's layout (Radford et al. 2022, arXiv:2212.04356), so that a folder of it can start it,
but runs on the clip's own length: positions are computed, and what is behind a clip's end changes nothing.

Legend for shapes: ``B`` batch, ``S`` samples, ``M`` mel bins, ``F`` mel frames (10 ms), ``T`` tokens (20 ms),
``W`` width, ``L`` layers, ``K`` classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from mmdemo.core.reading import read_object

SAMPLE_RATE = 16_000
FFT = 400
"""Samples in one analysis window, 25 ms."""
HOP = 160
"""Samples from one frame to the next, 10 ms."""
TOKEN_SECONDS = 0.02
"""Seconds from one token to the next: the encoder halves the frame rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechConfig:
    """Settings of :class:`EmotionNet`.

    Attributes:
        width: Width of the encoder's states, even.
        heads: Attention heads of every layer.
        head_width: Width of one head; 0 means ``width / heads``. A pruned encoder keeps the width of its heads.
        layers: Encoder layers; fewer than the base has means its first ones.
        inner: Width of the feed-forward blocks.
        mel_bins: Mel bins of the front end.
        labels: Number of classes.
        pooling: Width of the network that scores the tokens for pooling.
        dropout: Share of pooled features dropped in training, in [0, 1).
        encoder_dropout: Share of each residual branch's values dropped in training, in [0, 1).
    """

    width: int = 384
    heads: int = 6
    head_width: int = 0
    layers: int = 4
    inner: int = 1536
    mel_bins: int = 80
    labels: int = 8
    pooling: int = 64
    dropout: float = 0.3
    encoder_dropout: float = 0.0


# ---------------------------------------------------------------- front end


def mel_filters(bins: int, *, low: float = 0.0, high: float = 8000.0) -> Tensor:
    """Triangular filters on Slaney's mel scale with unit area, shape (FFT // 2 + 1, bins).

    The scale is linear below 1 kHz (15 mel) and logarithmic above (27 mel per factor 6.4), as in librosa and Whisper.
    """

    def to_mel(hertz: float) -> float:
        return hertz * 3 / 200 if hertz < 1000 else 15 + math.log(hertz / 1000) * 27 / math.log(6.4)

    mel = torch.linspace(to_mel(low), to_mel(high), bins + 2, dtype=torch.float64)
    edges = torch.where(mel < 15, mel * 200 / 3, 1000 * torch.exp((mel - 15) * math.log(6.4) / 27))  # (bins + 2)
    spectrum = torch.linspace(0, SAMPLE_RATE / 2, FFT // 2 + 1, dtype=torch.float64)
    slopes = edges[None, :] - spectrum[:, None]  # (FFT // 2 + 1, bins + 2)
    widths = edges[1:] - edges[:-1]
    rising, falling = -slopes[:, :-2] / widths[:-1], slopes[:, 2:] / widths[1:]
    triangles = torch.minimum(rising, falling).clamp_min(0)
    return (triangles * (2 / (edges[2:] - edges[:-2]))).float()


def level(samples: Tensor, lengths: Tensor, *, rms: float = 0.06) -> Tensor:
    """Clips brought to one root mean square, shape (B, S), zero behind each clip's end; silence stays silent.

    Log-mel frames move with the level (Whisper cuts below the maximum but does not subtract it), emotions should not.
    """
    clean = samples.float() * (torch.arange(samples.shape[1], device=samples.device) < lengths[:, None])
    power = clean.square().sum(1, keepdim=True) / lengths[:, None]
    return clean * rms / power.sqrt().clamp_min(1e-6)


class LogMel(nn.Module):
    """Whisper's log-mel front end for clips of any length.

    Equals transformers' ``WhisperFeatureExtractor`` over the clip's frames: log10 power, cut 8 below the clip's own
    maximum, scaled.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, *, bins: int) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(FFT), persistent=False)
        self.register_buffer("filters", mel_filters(bins), persistent=False)

    def forward(self, samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Frames of padded clips.

        Args:
            samples: float32 at 16 kHz, shape (B, S); what lies behind a clip's length is ignored.
            lengths: Samples of each clip, shape (B,), 1 to S.

        Returns:
            Log-mel frames, shape (B, M, F), zero behind each clip's end, and the frames of each clip, shape (B,).
        """
        side = FFT // 2
        within = torch.arange(samples.shape[1], device=samples.device) < lengths[:, None]
        clean = F.pad(samples.float() * within, (0, max(0, side + 1 - samples.shape[1])))
        # The reflection stands on the left only: behind the end Whisper sees its 30 s of zeros.
        padded = torch.cat([clean[:, 1 : side + 1].flip(1), F.pad(clean, (0, side + HOP))], dim=1)
        with torch.autocast(samples.device.type, enabled=False):
            spectrum = torch.stft(padded, FFT, HOP, window=self.window, center=False, return_complex=True)
            power = spectrum.abs().square().transpose(1, 2) @ self.filters  # (B, F, M)
        frames = (lengths // HOP).clamp_min(1)
        power = power[:, : int(frames.max())]
        valid = torch.arange(power.shape[1], device=samples.device) < frames[:, None]  # (B, F)
        log = power.clamp_min(1e-10).log10()
        top = log.masked_fill(~valid[:, :, None], -10.0).amax(dim=(1, 2), keepdim=True)
        log = (torch.maximum(log, top - 8.0) + 4.0) / 4.0
        return (log * valid[:, :, None]).transpose(1, 2), frames  # (B, M, F)


# ---------------------------------------------------------------- encoder


class SelfAttention(nn.Module):
    """Multi-head self-attention; keys have no bias, as in Whisper."""

    def __init__(self, width: int, heads: int, head_width: int = 0) -> None:
        super().__init__()
        if not head_width and width % heads:
            raise ValueError(f"width {width} is not a multiple of {heads} heads")
        self.heads = heads
        inner = heads * (head_width or width // heads)
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner, bias=False)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def forward(self, states: Tensor, blocked: Tensor) -> Tensor:
        """``states`` (B, T, W); ``blocked`` (B, 1, 1, T) is added to the scores: 0, minus infinity behind the end."""
        b, t, _ = states.shape

        def split(x: Tensor) -> Tensor:
            return x.view(b, t, self.heads, -1).transpose(1, 2)  # (B, heads, T, W / heads)

        q, k, v = split(self.q_proj(states)), split(self.k_proj(states)), split(self.v_proj(states))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=blocked.to(q.dtype))
        out: Tensor = self.out_proj(mixed.transpose(1, 2).reshape(b, t, -1))
        return out


class EncoderLayer(nn.Module):
    """Pre-norm transformer layer; names of the parameters as in ``WhisperEncoderLayer``."""

    def __init__(self, *, width: int, heads: int, inner: int, dropout: float, head_width: int = 0) -> None:
        super().__init__()
        self.self_attn = SelfAttention(width, heads, head_width)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)
        self.final_layer_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, blocked: Tensor) -> Tensor:
        states = states + self.dropout(self.self_attn(self.self_attn_layer_norm(states), blocked))
        inner = F.gelu(self.fc1(self.final_layer_norm(states)))
        out: Tensor = states + self.dropout(self.fc2(inner))
        return out


def positions(tokens: int, width: int) -> Tensor:
    """Whisper's sinusoids, shape (tokens, width): sines in the first half of the width, cosines in the second."""
    rates = torch.exp(-math.log(10_000) / (width // 2 - 1) * torch.arange(width // 2))
    angles = torch.arange(tokens)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class SpeechEncoder(nn.Module):
    """Two convolutions and a stack of transformer layers over the clip's own length."""

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        layers: int,
        inner: int,
        mel_bins: int,
        head_width: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width = width
        self.conv1 = nn.Conv1d(mel_bins, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.layers = nn.ModuleList(
            EncoderLayer(width=width, heads=heads, inner=inner, dropout=dropout, head_width=head_width)
            for _ in range(layers)
        )

    def forward(self, mel: Tensor, frames: Tensor) -> tuple[list[Tensor], Tensor]:
        """All states.

        Args:
            mel: Log-mel frames, shape (B, M, F), zero behind each clip's end.
            frames: Frames of each clip, shape (B,).

        Returns:
            L + 1 states of shape (B, T, W), the convolutions' first, and where tokens are valid, bool (B, T).
        """
        within = torch.arange(mel.shape[2], device=mel.device) < frames[:, None]
        hidden = F.gelu(self.conv1(mel)) * within[:, None]  # (B, W, F)
        hidden = F.gelu(self.conv2(hidden)).transpose(1, 2)  # (B, T, W)
        valid = torch.arange(hidden.shape[1], device=mel.device) < ((frames + 1) // 2)[:, None]  # (B, T)
        hidden = hidden + positions(hidden.shape[1], self.width).to(hidden)
        blocked = torch.zeros(valid.shape, device=mel.device).masked_fill(~valid, -torch.inf)[:, None, None]
        states = [hidden]
        for layer in self.layers:
            hidden = layer(hidden, blocked)
            states.append(hidden)
        return states, valid


# ---------------------------------------------------------------- emotions


class EmotionOutput(NamedTuple):
    """What :class:`EmotionNet` says.

    Attributes:
        logits: Shape (B, K), before the calibration temperature.
        attention: Weight of each token in the pooling, shape (B, T); each row sums to 1, 0 behind the end.
        tokens: Tokens of each clip, shape (B,), 20 ms each.
    """

    logits: Tensor
    attention: Tensor
    tokens: Tensor


class StatisticsPooling(nn.Module):
    """Attentive mean and deviation of every layer's states under one attention over time.

    The attention looks at a learned mix of the layers; the same mix weighs the layers' statistics.
    Attentive statistics: Okabe et al. 2018, arXiv:1803.10963.
    """

    def __init__(self, *, width: int, states: int, hidden: int) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.zeros(states))
        self.project = nn.Linear(width, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)
        nn.init.zeros_(self.score.weight)  # begins as the plain mean
        self.features = 2 * width * states

    def forward(self, states: list[Tensor], valid: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, 2 W (L + 1)) and attention (B, T) of ``states`` (B, T, W), where ``valid`` (B, T)."""
        shares = self.mix.softmax(0)
        normal = [F.layer_norm(state.float(), state.shape[-1:]) for state in states]
        mixed = torch.stack([share * state for share, state in zip(shares, normal, strict=True)]).sum(0)  # (B, T, W)
        scores = self.score(torch.tanh(self.project(mixed))).squeeze(-1).float()  # (B, T)
        attention = scores.masked_fill(~valid, -torch.inf).softmax(-1)
        weights = attention[:, :, None]
        features = []
        for share, state in zip(shares * len(states), normal, strict=True):
            mean = (weights * state).sum(1, keepdim=True)  # (B, 1, W)
            deviation = ((weights * (state - mean).square()).sum(1) + 1e-5).sqrt()  # (B, W)
            features += [share * mean.squeeze(1), share * deviation]
        return torch.cat(features, dim=1), attention


class RunningStandard(nn.Module):
    """Features less their mean over their deviation, both followed over the batches of training.

    Unlike batch normalisation it always applies the running figures, so that a batch of one trains as well.
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, features: int, *, slowest: float = 0.02) -> None:
        super().__init__()
        self.slowest = slowest
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("variance", torch.ones(features))
        self.register_buffer("batches", torch.zeros(()))

    def learn(self, features: Tensor) -> None:
        """Take mean and variance of all features (N, D) at once; from then on they stand still.

        What moves with every batch would make a step depend on how its rows are cut into parts.
        """
        self.mean.copy_(features.float().mean(0))
        self.variance.copy_(features.float().var(0, unbiased=False))
        self.batches.fill_(1 / self.slowest)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, D), standardised; in training they move the running figures first."""
        features = features.float()
        if self.training and float(self.batches) < 1 / self.slowest:
            with torch.no_grad():
                self.batches.add_(1).clamp_(max=1 / self.slowest)
                share = 1 / float(self.batches)
                shift = features.mean(0) - self.mean  # (D,)
                spread = (features - self.mean).square().mean(0)  # about the old mean: defined for one example
                self.variance += share * (spread - share * shift.square() - self.variance)
                self.mean += share * shift
        return (features - self.mean) * (self.variance + 1e-5).rsqrt()


class EmotionNet(nn.Module):
    """Waveforms to emotions: level, front end, encoder, pooling over time, one linear layer.

    Attributes:
        crossed: In a training, logits (N, K) of clips by heads that never heard their speakers, and labels (N,).
    """

    crossed: tuple[NDArray[np.float32], NDArray[np.int64]] | None

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        self.crossed = None
        self.config = config
        self.mel = LogMel(bins=config.mel_bins)
        self.encoder = SpeechEncoder(
            width=config.width,
            heads=config.heads,
            head_width=config.head_width,
            layers=config.layers,
            inner=config.inner,
            mel_bins=config.mel_bins,
            dropout=config.encoder_dropout,
        )
        self.pooling = StatisticsPooling(width=config.width, states=config.layers + 1, hidden=config.pooling)
        self.standard = RunningStandard(self.pooling.features)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(self.pooling.features, config.labels)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, samples: Tensor, lengths: Tensor) -> EmotionOutput:
        """Padded waveforms (B, S) float32 at 16 kHz and the samples of each (B,) to an :class:`EmotionOutput`."""
        return self.classify(*self.mel(level(samples, lengths), lengths))

    def features(self, mel: Tensor, frames: Tensor) -> Tensor:
        """Pooled features (B, 2 W (L + 1)), not yet standardised, of log-mel frames (B, M, F) and their counts (B,)."""
        pooled: Tensor = self.pooling(*self.encoder(mel, frames))[0]
        return pooled

    def decided(self, samples: Tensor, lengths: Tensor, label: int) -> Tensor:
        """What each token adds to the score of ``label``, (B, T): gradient times activation, summed over all states.

        HiResCAM (Draelos and Carin 2020, arXiv:2011.08891) over time. Takes clips as :meth:`forward` does.
        """
        with torch.no_grad():
            found, valid = self.encoder(*self.mel(level(samples, lengths), lengths))
        with torch.inference_mode(False), torch.enable_grad():
            states = [state.detach().clone().requires_grad_(True) for state in found]
            features, _ = self.pooling(states, valid.clone())
            score = self.classifier(self.standard(features))[:, label].sum()
            gradients = torch.autograd.grad(score, states)
        parts = [(g * s.detach()).sum(dim=2) for g, s in zip(gradients, states, strict=True)]  # (B, T) each
        added: Tensor = torch.stack(parts).sum(dim=0) * valid
        return added

    def classify(self, mel: Tensor, frames: Tensor) -> EmotionOutput:
        """The same from log-mel frames (B, M, F) and the frames of each clip (B,): training augments in between."""
        states, valid = self.encoder(mel, frames)
        features, attention = self.pooling(states, valid)
        return EmotionOutput(self.judge(features), attention, valid.sum(1))

    def judge(self, features: Tensor) -> Tensor:
        """Logits (B, K) of pooled features (B, 2 W (L + 1)), as from :meth:`features`."""
        logits: Tensor = self.classifier(self.dropout(self.standard(features))).float()
        return logits


def load_whisper_encoder(folder: Path, *, layers: int | None = None, dropout: float = 0.0) -> SpeechEncoder:
    """An encoder that starts from a ``WhisperEncoder`` folder.

    Args:
        folder: Holds ``config.json`` and ``model.safetensors`` in transformers' layout.
        layers: How many of its layers to take, the first ones; None takes all.
        dropout: Dropout of the residual branches in training.

    Raises:
        ValueError: A tensor is missing, has another shape, or more layers are asked for than there are.
        Unreadable: There is no readable config.json.
    """
    config = read_object(folder / "config.json")
    available = int(config["encoder_layers"])
    wanted = available if layers is None else layers
    if not 1 <= wanted <= available:
        raise ValueError(f"{wanted} layers asked for, {folder} has {available}")
    encoder = SpeechEncoder(
        width=int(config["d_model"]),
        heads=int(config["encoder_attention_heads"]),
        layers=wanted,
        inner=int(config["encoder_ffn_dim"]),
        mel_bins=int(config["num_mel_bins"]),
        dropout=dropout,
    )
    stored = load_file(folder / "model.safetensors")
    names = encoder.state_dict().keys()
    if missing := sorted(set(names) - stored.keys()):
        raise ValueError(f"{folder} lacks {missing[0]} and {len(missing) - 1} more tensors")
    try:
        encoder.load_state_dict({name: stored[name].float() for name in names})
    except RuntimeError as error:
        raise ValueError(f"{folder} does not fit its config.json: {error}") from error
    return encoder
