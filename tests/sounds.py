"""Sounds made for tests: nothing recorded, nothing borrowed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

RATE = 44_100


def speech_like(seconds: float, *, rate: int = RATE, seed: int = 0) -> NDArray[np.float32]:
    """A buzzing voice: a pulse train with a moving pitch through two moving formants, in syllables; shape (S,)."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    pitch = 140 + 40 * np.sin(2 * np.pi * 0.6 * time) + 10 * np.sin(2 * np.pi * 5 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    first = 500 + 250 * np.sin(2 * np.pi * 1.3 * time)
    second = 1500 + 500 * np.sin(2 * np.pi * 0.9 * time + 1)
    voice = np.zeros_like(time)
    for harmonic in range(1, 25):
        frequency = harmonic * pitch
        gain = np.exp(-(((frequency - first) / 220) ** 2)) + 0.6 * np.exp(-(((frequency - second) / 320) ** 2))
        voice += (gain + 0.02) * np.sin(harmonic * phase)
    syllables = np.clip(np.sin(2 * np.pi * 2.1 * time) + 0.35, 0, 1)
    noise = random.standard_normal(len(time)) * 0.003
    return np.asarray(0.25 * voice / np.abs(voice).max() * syllables + noise, dtype=np.float32)


def write_speech_like(path: Path, seconds: float, *, rate: int = RATE) -> Path:
    """The same as a 16-bit WAV file."""
    sf.write(path, speech_like(seconds, rate=rate), rate, subtype="PCM_16")
    return path


def write_silence(path: Path, seconds: float) -> Path:
    """Digital silence as a WAV file."""
    sf.write(path, np.zeros(int(seconds * RATE), dtype=np.float32), RATE, subtype="PCM_16")
    return path
