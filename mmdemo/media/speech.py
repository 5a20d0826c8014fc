"""What can be heard: silence, speech or something else; and speech cut and levelled as the networks expect it.

Training and serving both go through :func:`prepare_speech`, so that they cannot drift apart.
Everything is independent of the recording's level above the silence floor.
Shapes: ``S`` samples, ``F`` frames, ``N`` samples of a frame, ``B`` frequency bins, ``M`` bands.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmdemo.core.types import NO_SPEECH, SAMPLE_RATE, SILENCE, Sound
from mmdemo.media.limits import SILENCE_DBFS

Samples = NDArray[np.float32]
_Floats = NDArray[np.float32]

LEVEL_DBFS = -23.0
"""RMS of prepared speech, dB below full scale."""

TRIM_DB = 40.0
"""A beginning or end this far below the loudest frame is cut off."""

TRIM_MARGIN = 0.1
"""Seconds kept on both sides of what is loud enough."""

# Below: what tells a voice from tones, hum and noise. Measured on 216 acted clips in three languages (whole, in noise,
# through a telephone band, with echo) against synthetic tones, beeps, hums, noises, clicks: speech has bands that
# change by 5 dB and more from frame to frame, and by 3 dB still in noise as loud as a fan; noise stays under 2.1.
_FRAME = 640  # samples, 40 ms: three periods of a 75 Hz voice
_HOP = 256  # samples, 16 ms
_FFT = 1024  # long enough for lags up to 1 / 65 Hz without wrapping round
_CHUNK = 2048  # frames at once, bounds memory on long clips
_PITCH_HZ = (65.0, 450.0)
_BANDS = 24
_BAND_HZ = (80.0, 7000.0)
_PERIODIC = 0.5  # normalised autocorrelation of a voiced frame
_ACTIVE_DB = 30.0  # a frame counts when it is at most this far below the loud ones
_WIDE_DB = 35.0  # a band counts when it is at most this far below the strongest band of the frame
_WIDE_BANDS = 8  # bands that a voice fills and a whistle does not
_VOICE_SECONDS = 0.15  # one short vowel
_VOICE_SHARE = 0.3  # of the periodic frames; beeps have wide frames only where they start and stop
_VARIETY_DB = 2.6  # mean standard deviation of the bands over the voiced frames


class _Voice(NamedTuple):
    seconds: float  # of frames that sound like a voice
    share: float  # of these among all periodic frames
    variety: float  # dB, how much the voiced frames differ from each other
    total: float  # seconds of all frames


def speech_activity(sound: Sound | Samples) -> float:
    """Share of a clip in [0, 1] that sounds like a voice; 0 for silence, tones, hum and noise.

    Args:
        sound: A clip, or float32 samples (S,) at 16 kHz.
    """
    samples = _samples(sound)
    if is_silent(samples):
        return 0.0
    voice = _voice(samples)
    if voice.seconds < _VOICE_SECONDS or voice.share < _VOICE_SHARE or voice.variety < _VARIETY_DB:
        return 0.0
    return min(1.0, voice.seconds / voice.total)


def is_silent(sound: Sound | Samples) -> bool:
    """Whether even the loudest tenth of a second stays under :data:`~mmdemo.media.limits.SILENCE_DBFS`."""
    samples = _samples(sound)
    if len(samples) == 0:
        return True
    return bool(_decibels(_frame_power(samples, SAMPLE_RATE // 10)).max() < SILENCE_DBFS)


def detect_speech(sound: Sound | Samples) -> str | None:
    """``"silence"``, ``"no speech"``, or None when there is speech."""
    if is_silent(sound):
        return SILENCE
    return None if speech_activity(sound) > 0.0 else NO_SPEECH


def trim(sound: Sound | Samples) -> tuple[int, int]:
    """First sample and end of what is left without the silence at both ends; (0, S) when nothing is to be cut."""
    samples = _samples(sound)
    frame = SAMPLE_RATE // 40  # 25 ms
    if len(samples) <= frame:
        return 0, len(samples)
    level = _decibels(_frame_power(samples, frame))  # (F,)
    loud = np.flatnonzero(level > max(float(level.max()) - TRIM_DB, SILENCE_DBFS))
    if len(loud) == 0:
        return 0, len(samples)
    margin = round(TRIM_MARGIN * SAMPLE_RATE)
    return max(0, int(loud[0]) * frame - margin), min(len(samples), (int(loud[-1]) + 1) * frame + margin)


def prepare_speech(sound: Sound | Samples) -> Samples:
    """Samples (S,) for the networks: trimmed at both ends, RMS at :data:`LEVEL_DBFS`, within [-1, 1]."""
    samples = _samples(sound)
    start, stop = trim(samples)
    if stop == start:
        return np.zeros(0, dtype=np.float32)
    kept = samples[start:stop].astype(np.float64)
    kept -= kept.mean()
    power = float(np.mean(kept**2))
    if power <= 1e-14:  # digital silence: there is no level to raise
        return np.zeros(len(kept), dtype=np.float32)
    gain = 10.0 ** (LEVEL_DBFS / 20.0) / power**0.5
    return np.asarray(np.clip(kept * gain, -1.0, 1.0), dtype=np.float32)


def windows(seconds: float, length: float = 3.0, hop: float = 1.5) -> tuple[tuple[float, float], ...]:
    """Start and end, in seconds, of windows that cover a clip: one for a short clip, else one every ``hop``.

    The last window ends with the clip and is as long as the others.
    """
    if length <= 0 or hop <= 0:
        raise ValueError(f"length {length} and hop {hop} must be positive")
    if seconds <= length:
        return ((0.0, max(0.0, float(seconds))),)
    steps = int((seconds - length) / hop + 1e-9)
    starts = [step * hop for step in range(steps + 1)]
    if seconds - length - starts[-1] > 1e-6:
        starts.append(seconds - length)
    return tuple((start, min(start + length, float(seconds))) for start in starts)


def _samples(sound: Sound | Samples) -> Samples:
    return sound.samples if isinstance(sound, Sound) else sound


def _frame_power(samples: Samples, frame: int) -> _Floats:
    """Mean square of frames side by side (F,); the last, shorter one counts as it is."""
    starts = np.arange(0, len(samples), frame)
    sums = np.add.reduceat(samples.astype(np.float64) ** 2, starts)
    lengths = np.minimum(frame, len(samples) - starts)
    return np.asarray(sums / lengths, dtype=np.float32)


def _decibels(power: _Floats) -> _Floats:
    return np.asarray(10.0 * np.log10(np.maximum(power, 1e-20)), dtype=np.float32)


@cache
def _window() -> tuple[_Floats, _Floats]:
    """Hann window (N,) and its autocorrelation by lag (N,), 1 at lag 0."""
    window = np.hanning(_FRAME + 1)[:_FRAME]
    own = np.fft.irfft(np.abs(np.fft.rfft(window, 2 * _FRAME)) ** 2)[:_FRAME]
    return window.astype(np.float32), (own / own[0]).astype(np.float32)


@cache
def _bands() -> _Floats:
    """Which bin belongs to which band, evenly spaced in mel (B, M)."""
    mel = 2595.0 * np.log10(1.0 + np.array(_BAND_HZ) / 700.0)
    edges = 700.0 * (10.0 ** (np.linspace(mel[0], mel[1], _BANDS + 1) / 2595.0) - 1.0)
    hertz = np.fft.rfftfreq(_FFT, 1.0 / SAMPLE_RATE)
    return ((hertz[:, None] >= edges[:-1]) & (hertz[:, None] < edges[1:])).astype(np.float32)


def _voice(samples: Samples) -> _Voice:
    if len(samples) < _FRAME:
        samples = np.pad(samples, (0, _FRAME - len(samples)))
    framed = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP]  # (F, N), no copy
    parts = [_frame_features(framed[at : at + _CHUNK]) for at in range(0, len(framed), _CHUNK)]
    level, periodicity, bands = (np.concatenate(part) for part in zip(*parts, strict=True))  # (F,), (F,), (F, M)
    # nearly the loudest: a single click must not set the scale
    active = level > max(float(np.percentile(level, 95)) - _ACTIVE_DB, SILENCE_DBFS - 10.0)
    strongest = bands.max(axis=1, keepdims=True)
    periodic = active & (periodicity > _PERIODIC)
    wide = (bands > strongest - _WIDE_DB).sum(axis=1) >= _WIDE_BANDS
    voiced = periodic & wide
    count, hop = int(voiced.sum()), _HOP / SAMPLE_RATE
    if count < 2:
        return _Voice(count * hop, 0.0, 0.0, len(framed) * hop)
    shape = np.maximum(bands, strongest - 50.0)[periodic]
    shape = shape - shape.mean(axis=1, keepdims=True)  # the level of a frame does not count, only its colour
    return _Voice(count * hop, count / int(periodic.sum()), float(shape.std(axis=0).mean()), len(framed) * hop)


def _frame_features(framed: Samples) -> tuple[_Floats, _Floats, _Floats]:
    """Level in dB (F,), strength of a pitch (F,) and bands in dB (F, M) of frames (F, N)."""
    window, own = _window()
    frames = framed - framed.mean(axis=1, keepdims=True)
    level = _decibels(np.mean(frames**2, axis=1))
    power = np.abs(np.fft.rfft(frames * window, _FFT)) ** 2  # (F, B)
    power[:, : int(60.0 * _FFT / SAMPLE_RATE) + 1] = 0.0  # rumble
    correlation = np.fft.irfft(power)  # (F, lags)
    shortest, longest = int(SAMPLE_RATE / _PITCH_HZ[1]), int(SAMPLE_RATE / _PITCH_HZ[0])
    lags = correlation[:, shortest:longest] / own[shortest:longest]
    periodicity = (lags / np.maximum(correlation[:, :1], 1e-12)).max(axis=1)
    return level, periodicity.astype(np.float32), _decibels((power @ _bands()).astype(np.float32))
