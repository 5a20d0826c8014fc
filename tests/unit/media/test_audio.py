"""Every kind of sound that people bring: it works as they expect, or gives one sentence."""

from __future__ import annotations

import contextlib
import io
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import SAMPLE_RATE
from mmdemo.media.audio import load_sound
from mmdemo.media.limits import MAX_AUDIO_SECONDS, MAX_SAMPLE_RATE


def tone(
    seconds: float = 1.0, rate: int = SAMPLE_RATE, hertz: float = 440.0, level: float = 0.3
) -> NDArray[np.float32]:
    """A sine (S,)."""
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def encoded(samples: NDArray[Any], rate: int, format_: str = "WAV", subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=format_, subtype=subtype)
    return buffer.getvalue()


def strongest(samples: NDArray[np.float32]) -> float:
    """The frequency, in hertz, that is strongest in 16 kHz samples."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * SAMPLE_RATE / len(samples))


@pytest.mark.parametrize(
    ("format_", "subtype", "error"),
    [
        ("WAV", "PCM_U8", 0.01),
        ("WAV", "PCM_16", 1e-4),
        ("WAV", "PCM_24", 1e-6),
        ("WAV", "PCM_32", 1e-6),
        ("WAV", "FLOAT", 0),
        ("WAV", "DOUBLE", 1e-7),
        ("WAV", "ULAW", 0.02),
        ("FLAC", "PCM_16", 1e-4),
        ("FLAC", "PCM_24", 1e-6),
        ("AIFF", "PCM_16", 1e-4),
        ("OGG", "VORBIS", 0.1),
        ("OGG", "OPUS", None),  # its first and last milliseconds differ
        ("MP3", None, None),
    ],
)
def test_formats_are_read(tmp_path: Path, format_: str, subtype: str | None, error: float | None) -> None:
    file = tmp_path / "clip.dat"
    file.write_bytes(encoded(tone(), SAMPLE_RATE, format_, subtype))
    sound = load_sound(file)
    assert sound.samples.dtype == np.float32
    assert sound.seconds == pytest.approx(1.0, abs=0.1)
    assert strongest(sound.samples) == pytest.approx(440, abs=2)
    assert sound.name == "clip.dat"
    assert sound.notes == ()
    if error is not None:
        assert len(sound.samples) == SAMPLE_RATE
        assert np.abs(sound.samples - tone()).max() <= error


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_rates_are_resampled(rate: int) -> None:
    for source in (encoded(tone(rate=rate), rate), (rate, tone(rate=rate))):
        sound = load_sound(source)
        assert sound.seconds == pytest.approx(1.0, abs=0.002)
        assert strongest(sound.samples) == pytest.approx(440, abs=2)
        assert np.abs(sound.samples).max() == pytest.approx(0.3, abs=0.02)
        assert sound.notes == (f"resampled from {rate / 1000:g} kHz",)


def test_high_frequencies_do_not_fold_back() -> None:
    assert np.abs(load_sound((48_000, tone(rate=48_000, hertz=15_000))).samples[500:-500]).max() < 0.003


@pytest.mark.parametrize("rate", [0, -1, 100, 4_000, MAX_SAMPLE_RATE + 1])
def test_odd_rates_are_refused(rate: int) -> None:
    with pytest.raises(MmdemoError, match="kHz can be used"):
        load_sound((rate, tone()))


@pytest.mark.parametrize("channels", [2, 3, 6, 8])
def test_channels_are_averaged(channels: int) -> None:
    gains = np.linspace(0.2, 1.0, channels, dtype=np.float32)
    sound = load_sound(encoded(tone()[:, None] * gains, SAMPLE_RATE, "WAV", "FLOAT"))
    assert np.allclose(sound.samples, tone() * gains.mean(), atol=1e-6)
    assert sound.notes == (f"{channels} channels averaged",)


def test_one_live_channel_among_eight_is_heard() -> None:
    clip = np.zeros((SAMPLE_RATE, 8), dtype=np.float32)
    clip[:, 5] = tone()
    assert np.abs(load_sound((SAMPLE_RATE, clip)).samples).max() == pytest.approx(0.3 / 8, rel=0.01)


def test_channels_that_cancel_out_do_not_become_silence() -> None:
    sound = load_sound((SAMPLE_RATE, np.stack([tone(), -tone()], axis=1)))
    assert np.abs(sound.samples).max() == pytest.approx(0.3, rel=0.01)
    assert "cancel" in sound.notes[0]


def test_too_many_channels_are_refused() -> None:
    with pytest.raises(MmdemoError, match="9 channels and the limit is 8"):
        load_sound(encoded(np.zeros((9_000, 9)), SAMPLE_RATE))


class TestLength:
    def test_too_long_is_refused_from_the_header(self) -> None:
        frames = int((MAX_AUDIO_SECONDS + 60) * 8_000)
        content = encoded(np.zeros(frames, dtype=np.int16), 8_000, "FLAC")
        with pytest.raises(MmdemoError, match=r"lasts 11\.0 minutes and the limit is 10 minutes"):
            load_sound(content)

    def test_a_header_cannot_promise_hours(self) -> None:
        content = bytearray(encoded(np.zeros(16_000, dtype=np.int16), 16_000))
        content[40:44] = struct.pack("<I", 0xFFFFFFF0)
        with pytest.raises(MmdemoError):
            load_sound(bytes(content))

    def test_longest_is_taken(self) -> None:
        sound = load_sound((8_000, np.zeros(int(MAX_AUDIO_SECONDS * 8_000), dtype=np.int16)))
        assert sound.seconds == pytest.approx(MAX_AUDIO_SECONDS)

    @pytest.mark.parametrize(
        ("samples", "why"), [(0, "no sample"), (1, "one sample"), (2, "only 2 samples"), (1_500, "0.094 seconds")]
    )
    def test_too_short_is_refused(self, samples: int, why: str) -> None:
        clip = np.zeros(samples, dtype=np.int16)
        for source in ((SAMPLE_RATE, clip), encoded(clip, SAMPLE_RATE)):
            with pytest.raises(MmdemoError, match=why) as caught:
                load_sound(source)
            assert "too short" in str(caught.value)

    def test_a_cover_picture_does_not_count_as_sound(self) -> None:
        cover = bytes(2_000_000)
        size = bytes((len(cover) >> shift) & 0x7F for shift in (21, 14, 7, 0))
        content = b"ID3\x03\0\0" + size + cover + encoded(tone(2.0), SAMPLE_RATE, "MP3")
        assert load_sound(content).seconds == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize(
    ("format_", "subtype"),
    [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)],
)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9, 0.97])
def test_truncated_files_are_refused(format_: str, subtype: str | None, share: float) -> None:
    rng = np.random.default_rng(2)
    whole = encoded((0.1 * rng.standard_normal(3 * SAMPLE_RATE)).astype(np.float32), SAMPLE_RATE, format_, subtype)
    with pytest.raises(MmdemoError, match=r"damaged|cut off"):
        load_sound(whole[: int(len(whole) * share)])


def test_a_recorders_open_ended_header_is_accepted() -> None:
    content = bytearray(encoded(tone(), SAMPLE_RATE))
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    assert load_sound(bytes(content)).seconds == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "0 bytes"),
        (b"hello there", "a text file, and that cannot be decoded here.*Save it as WAV, FLAC, MP3 or Ogg"),
        (b"\x1a\x45\xdf\xa3" + bytes(60), "a WebM or Matroska recording.*WAV, FLAC, MP3 or Ogg"),
        (b"\0\0\0\x18ftypM4A " + bytes(60), "an M4A sound.*WAV, FLAC, MP3 or Ogg"),
        (b"\0\0\0\x18ftypmp42" + bytes(60), "a video"),
        (b"\x89PNG\r\n\x1a\n" + bytes(60), "a PNG picture"),
        (b"%PDF-1.4", "a PDF document"),
        (b"<html></html>", "a web page"),
        (bytes(range(200)), "damaged or not a sound"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "damaged or cut off"),
        (b"fLaC" + bytes(50), "damaged or cut off"),
    ],
)
def test_other_files_are_named_and_refused(content: bytes, why: str) -> None:
    with pytest.raises(MmdemoError, match=why) as caught:
        load_sound(content)
    assert "\n" not in str(caught.value)


def test_random_damage_never_escapes_as_another_exception() -> None:
    chance = random.Random(0)
    for format_, subtype in (("WAV", "PCM_16"), ("FLAC", None), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)):
        whole = encoded(tone(0.5), SAMPLE_RATE, format_, subtype)
        for _ in range(25):
            broken = bytearray(whole)
            for _ in range(chance.choice((1, 4, 30))):
                broken[chance.randrange(min(len(broken), 400))] = chance.randrange(256)
            with contextlib.suppress(MmdemoError):
                load_sound(bytes(broken))


class TestArrays:
    def test_integers_count_over_their_range(self) -> None:
        clip = tone()
        expected = load_sound((SAMPLE_RATE, clip)).samples
        for same in (
            (clip * 2**15).astype(np.int16),
            (clip.astype(np.float64) * 2**31).astype(np.int32),
            clip.astype(np.float64),
            clip[:, None],
        ):
            assert np.allclose(load_sound((SAMPLE_RATE, same)).samples, expected, atol=1e-4), same.dtype
        eight = np.round(clip * 128 + 128).astype(np.uint8)
        assert np.allclose(load_sound((SAMPLE_RATE, eight)).samples, expected, atol=0.01)

    def test_channels_first_is_understood(self) -> None:
        assert len(load_sound((SAMPLE_RATE, np.stack([tone(), tone()]))).samples) == SAMPLE_RATE

    def test_beyond_full_scale_is_brought_down_not_clipped(self) -> None:
        sound = load_sound((SAMPLE_RATE, tone(level=4.0)))
        assert np.abs(sound.samples).max() == pytest.approx(1.0)
        assert np.allclose(sound.samples, tone(level=1.0), atol=0.01)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_no_numbers_are_refused(self, value: float) -> None:
        clip = tone()
        clip[100] = value
        for source in ((SAMPLE_RATE, clip), encoded(clip, SAMPLE_RATE, "WAV", "FLOAT")):
            with pytest.raises(MmdemoError, match="not numbers"):
                load_sound(source)

    @pytest.mark.parametrize("array", [np.zeros((2, 2, 2)), np.array(["a"] * 9_000), np.zeros(9_000, bool), 3.0])
    def test_wrong_arrays_are_refused(self, array: Any) -> None:
        with pytest.raises(MmdemoError, match="not a sound"):
            load_sound((SAMPLE_RATE, array))

    @given(
        hnp.arrays(
            st.sampled_from([np.int16, np.int32, np.uint8, np.float32, np.float64]),
            st.one_of(st.tuples(st.integers(0, 3_000)), st.tuples(st.integers(0, 3_000), st.integers(1, 9))),
            elements={"allow_nan": True},
            fill=st.just(0),
        ),
        st.sampled_from([7_999, 8_000, 16_000, 22_050]),
    )
    def test_any_array_gives_mono_or_a_sentence(self, array: NDArray[Any], rate: int) -> None:
        try:
            sound = load_sound((rate, array))
        except MmdemoError:
            return
        assert sound.samples.ndim == 1
        assert sound.samples.dtype == np.float32
        assert np.isfinite(sound.samples).all()
        assert np.abs(sound.samples).max(initial=0) <= 1.0


def test_equal_sounds_have_equal_keys_and_others_not() -> None:
    first = load_sound((SAMPLE_RATE, tone()))
    assert first.key == load_sound(encoded(tone(), SAMPLE_RATE, "WAV", "FLOAT"), name="other").key
    assert first.key != load_sound((SAMPLE_RATE, tone(hertz=441))).key


@pytest.mark.parametrize("nothing", [None, 7, (1, 2, 3), object()])
def test_nothing_and_nonsense_are_refused(nothing: Any) -> None:
    with pytest.raises(MmdemoError):
        load_sound(nothing)
