"""Silence, speech and everything else are told apart at any level; speech is trimmed and levelled alike everywhere."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmdemo.core.settings import data_root
from mmdemo.core.types import NO_SPEECH, SAMPLE_RATE, SILENCE
from mmdemo.media.audio import load_sound
from mmdemo.media.speech import LEVEL_DBFS, detect_speech, is_silent, prepare_speech, speech_activity, trim, windows

Samples = NDArray[np.float32]

TIME = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE


def at_level(samples: NDArray[np.floating], dbfs: float = -23.0) -> Samples:
    rms = np.sqrt(np.mean(np.asarray(samples, dtype=np.float64) ** 2))
    return np.clip(samples * (10 ** (dbfs / 20) / rms), -1, 1).astype(np.float32)


def noise(slope: float) -> NDArray[np.float64]:
    """Noise whose power falls with frequency to the power of ``slope``."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.standard_normal(len(TIME)))
    return np.fft.irfft(spectrum / (np.arange(len(spectrum)) + 1.0) ** (slope / 2), len(TIME))


def voice() -> NDArray[np.float64]:
    """A buzz with a moving pitch and a vowel that changes four times a second, in syllables."""
    phase = np.cumsum(2 * np.pi * (130 + 25 * np.sin(2 * np.pi * 0.7 * TIME)) / SAMPLE_RATE)
    formant = 900 + 600 * np.sin(2 * np.pi * 2 * TIME)
    hertz = np.gradient(phase) * SAMPLE_RATE / (2 * np.pi)
    partials = (np.sin(k * phase) * (np.exp(-(((k * hertz - formant) / 300) ** 2)) + 0.3 / k) for k in range(1, 26))
    return sum(partials) * np.clip(np.sin(2 * np.pi * 4 * TIME) + 0.6, 0, None)


def hum(hertz: float) -> NDArray[np.float64]:
    return sum(np.sin(2 * np.pi * hertz * k * TIME + k) / k for k in range(1, 20))


def clicks() -> NDArray[np.float64]:
    rng = np.random.default_rng(3)
    at = np.zeros(len(TIME))
    at[rng.integers(0, len(TIME), 30)] = 1
    return np.convolve(at, rng.standard_normal(400) * np.exp(-np.arange(400) / 60), "same") + 1e-4 * noise(0)


NOT_SPEECH = {
    **{f"tone of {hertz} Hz": np.sin(2 * np.pi * hertz * TIME) for hertz in (60, 150, 220, 440, 1_000, 3_000)},
    "white noise": noise(0),
    "pink noise": noise(1),
    "brown noise": noise(2),
    "mains hum 50": hum(50),
    "mains hum 60": hum(60),
    "hum and noise": hum(60) + 0.3 * noise(0),
    "beeps": np.sin(2 * np.pi * 880 * TIME) * (np.sin(4 * np.pi * TIME) > 0),
    "sweep": np.sin(2 * np.pi * (100 * TIME + 400 * TIME**2)),
    "swelling noise": noise(0) * (1.1 + np.sin(2 * np.pi * 3 * TIME)),
    "clicks": clicks(),
    "buzzer": np.sign(np.sin(2 * np.pi * 220 * TIME)),
}


@pytest.mark.parametrize("dbfs", [-10.0, -30.0, -50.0])
@pytest.mark.parametrize("kind", NOT_SPEECH)
def test_tones_noise_and_hum_are_no_speech_at_any_level(kind: str, dbfs: float) -> None:
    samples = at_level(NOT_SPEECH[kind], dbfs)
    assert detect_speech(samples) == NO_SPEECH
    assert speech_activity(samples) == 0.0


@pytest.mark.parametrize("dbfs", [-12.0, -30.0, -50.0])
def test_a_voice_is_speech_at_any_level_and_in_some_noise(dbfs: float) -> None:
    assert detect_speech(at_level(voice(), dbfs)) is None
    noisy = at_level(voice()) + at_level(noise(1), -38)
    assert detect_speech(at_level(noisy, dbfs)) is None
    assert 0.2 < speech_activity(at_level(voice(), dbfs)) <= 1.0


@pytest.mark.parametrize(
    "samples",
    [np.zeros(SAMPLE_RATE, np.float32), np.zeros(0, np.float32), at_level(noise(0), -75), at_level(voice(), -80)],
)
def test_silence(samples: Samples) -> None:
    assert is_silent(samples)
    assert detect_speech(samples) == SILENCE
    assert speech_activity(samples) == 0.0


def test_one_short_word_in_a_quiet_clip_is_not_silence() -> None:
    samples = np.zeros(10 * SAMPLE_RATE, dtype=np.float32)
    samples[:16_000] = at_level(voice()[:16_000], -30)
    assert detect_speech(samples) is None


def test_shorter_than_a_frame() -> None:
    assert detect_speech(at_level(voice()[:200])) == NO_SPEECH


def test_ten_minutes_need_no_more_memory_than_seconds() -> None:
    assert detect_speech(np.tile(at_level(voice()), 30)) is None


def test_real_speech_is_speech() -> None:
    """At least 98 of 100 acted clips, whole and in windows; levels differ by 20 dB between the corpora."""
    chance = random.Random(5)
    clips: list[Samples] = []
    for corpus in ("speech/ravdess", "speech/emodb", "speech/nemo", "tryout/audio"):
        files = sorted(path for path in (data_root() / corpus).rglob("*") if path.suffix in (".ogg", ".flac"))
        clips += [load_sound(path).samples for path in chance.sample(files, min(66, len(files)))]
    if len(clips) < 100:
        pytest.skip(f"no speech data in {data_root()}")
    assert np.mean([detect_speech(clip) is None for clip in clips]) >= 0.98
    cut = [
        clip[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
        for clip in clips
        for start, end in windows(len(clip) / SAMPLE_RATE)
    ]
    assert np.mean([detect_speech(clip) is None for clip in cut]) >= 0.98


class TestPrepare:
    def test_both_ends_are_trimmed_with_a_margin(self) -> None:
        rng = np.random.default_rng(0)
        word = at_level(voice()[:32_000], -20)
        quiet = (1e-5 * rng.standard_normal(16_000)).astype(np.float32)
        samples = np.concatenate([quiet, word, quiet, word, quiet, quiet])
        start, stop = trim(samples)
        assert 16_000 - 3_200 <= start <= 16_000 + 800
        assert 96_000 - 800 <= stop <= 96_000 + 3_200
        assert len(prepare_speech(samples)) == stop - start  # the pause within is kept

    @pytest.mark.parametrize("dbfs", [-60.0, -40.0, -23.0, -6.0])
    def test_level_is_the_same_whatever_it_was(self, dbfs: float) -> None:
        ready = prepare_speech(at_level(voice(), dbfs) + np.float32(1e-4))
        assert ready.dtype == np.float32
        assert 20 * np.log10(np.sqrt(np.mean(ready.astype(np.float64) ** 2))) == pytest.approx(LEVEL_DBFS, abs=0.5)
        assert np.abs(ready).max() <= 1.0

    def test_nothing_to_hear_stays_nothing(self) -> None:
        assert not prepare_speech(np.zeros(8_000, np.float32)).any()
        assert len(prepare_speech(np.zeros(0, np.float32))) == 0
        assert trim(np.zeros(8_000, np.float32)) == (0, 8_000)

    @given(st.integers(0, 40_000), st.floats(1e-4, 1.0), st.integers(0, 2**16))
    def test_any_clip_gives_bounded_finite_samples(self, length: int, level: float, seed: int) -> None:
        samples = (level * np.random.default_rng(seed).uniform(-1, 1, length)).astype(np.float32)
        ready = prepare_speech(samples)
        assert len(ready) <= length
        assert np.isfinite(ready).all()
        assert np.abs(ready).max(initial=0) <= 1.0


class TestWindows:
    def test_short_clips_are_one_window(self) -> None:
        assert windows(0.4) == ((0.0, 0.4),)
        assert windows(3.0) == ((0.0, 3.0),)
        assert windows(0.0) == ((0.0, 0.0),)

    def test_longer_ones_overlap_and_end_with_the_clip(self) -> None:
        assert windows(6.0) == ((0.0, 3.0), (1.5, 4.5), (3.0, 6.0))
        assert windows(5.0) == ((0.0, 3.0), (1.5, 4.5), (2.0, 5.0))

    @pytest.mark.parametrize(("length", "hop"), [(0, 1), (3, 0), (-1, 1)])
    def test_settings_are_checked(self, length: float, hop: float) -> None:
        with pytest.raises(ValueError, match="positive"):
            windows(5.0, length, hop)

    @given(st.floats(0, 600), st.floats(0.5, 10), st.floats(0.1, 10))
    def test_they_cover_the_clip(self, seconds: float, length: float, hop: float) -> None:
        hop = min(hop, length)
        found = windows(seconds, length, hop)
        assert found[0][0] == 0.0
        assert found[-1][1] == pytest.approx(seconds)
        for (start, end), (after, _) in pairwise(found):
            assert start < after <= end + 1e-9
        assert all(end - start <= length + 1e-9 for start, end in found)
