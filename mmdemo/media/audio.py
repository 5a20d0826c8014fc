"""Sound: from a file, bytes or an array to mono float32 at 16 kHz.

Shapes: ``S`` samples, ``C`` channels. What can be heard in it (silence, speech) and how it is levelled for the
networks is in :mod:`mmdemo.media.speech`, whose names are offered here too.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import SAMPLE_RATE, Sound
from mmdemo.media.files import base_name, describe, read_limited
from mmdemo.media.limits import (
    MAX_AUDIO_SECONDS,
    MAX_CHANNELS,
    MAX_SAMPLE_RATE,
    MIN_AUDIO_SECONDS,
    MIN_SAMPLE_RATE,
)
from mmdemo.media.speech import detect_speech, is_silent, prepare_speech, speech_activity, trim, windows

__all__ = [
    "SoundSource",
    "detect_speech",
    "is_silent",
    "load_sound",
    "prepare_speech",
    "sound_key",
    "speech_activity",
    "trim",
    "windows",
]

SoundSource = Path | str | bytes | tuple[int, NDArray[np.generic]]

_READABLE = "WAV, FLAC, MP3 or Ogg"
_STREAMED = (0, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFFF)
"""Sizes that recorders write into a WAV header when they do not know the end yet."""


def load_sound(source: SoundSource | None, *, name: str | None = None) -> Sound:
    """Decode a clip.

    Args:
        source: Path, the file's bytes, or (samples per second, array) with an array (S,) or (S, C) of
            integers over their full range or floats in [-1, 1].
        name: Base name for results; default the path's.

    Returns:
        Mono at 16 kHz: channels averaged, other rates resampled; ``notes`` says what was done.

    Raises:
        MmdemoError: Nothing given, unreadable, cut off, too long or too big, too many channels, too short,
            values that are not numbers.
    """
    notes: list[str] = []
    if source is None:
        raise MmdemoError("There is no sound", "", "Record or choose a clip first")
    if isinstance(source, tuple) and len(source) == 2:
        rate, values = int(source[0]), _as_float(source[1])
    elif isinstance(source, Path | str | bytes):
        rate, values = _decoded(read_limited(source, "sound"))
    else:
        raise MmdemoError("This is not a sound", f"it is a {type(source).__name__}", "Give a file")
    _check_extent(rate, values.shape[1], len(values))
    if not np.isfinite(values).all():
        raise MmdemoError("This sound cannot be used", "some of its samples are not numbers", "Record it again")
    peak = float(np.abs(values).max(initial=0.0))
    if peak > 1.0:  # float files and lossy decoders go beyond full scale
        values = values / np.float32(peak)
    samples = _mono(values, notes)
    if rate != SAMPLE_RATE:
        samples = np.asarray(soxr.resample(samples, rate, SAMPLE_RATE), dtype=np.float32)  # (S,)
        notes.append(f"resampled from {rate / 1000:g} kHz")
    samples = np.ascontiguousarray(np.clip(samples, -1.0, 1.0), dtype=np.float32)  # resampling swings a little over
    samples.setflags(write=False)
    return Sound(samples=samples, key=sound_key(samples), name=base_name(source, name), notes=tuple(notes))


def sound_key(samples: NDArray[np.float32]) -> str:
    """Hex SHA-1 of the samples (S,)."""
    return hashlib.sha1(np.ascontiguousarray(samples).data, usedforsecurity=False).hexdigest()


def _decoded(content: bytes) -> tuple[int, NDArray[np.float32]]:
    """Samples per second and float32 (S, C)."""
    content = _without_tags(content)
    if _is_cut_off(content):
        raise _damaged()
    try:
        file = soundfile.SoundFile(io.BytesIO(content))
    except (soundfile.LibsndfileError, RuntimeError, TypeError, ValueError):
        raise _unreadable(content) from None
    with file:
        # a few formats cannot say their length; then the block below is what bounds it
        _check_extent(file.samplerate, file.channels, min(file.frames, 2**40) if file.seekable() else None)
        most = int(MAX_AUDIO_SECONDS * file.samplerate) + 1
        try:
            values = file.read(min(most, file.frames) if file.frames > 0 else most, dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, RuntimeError, ValueError, MemoryError):
            raise _damaged() from None
        rate, promised = int(file.samplerate), int(file.frames)
        estimated = file.format == "MP3"  # the others promise their length
    if not estimated and len(values) < min(promised, most):
        raise _damaged()
    return rate, np.asarray(values, dtype=np.float32)


def _without_tags(content: bytes) -> bytes:
    """Drop ID3 tags: libsndfile counts them (a cover picture, minutes) into the length of an MP3."""
    if content[:3] == b"ID3" and len(content) > 10:
        size = sum((byte & 0x7F) << shift for byte, shift in zip(content[6:10], (21, 14, 7, 0), strict=True))
        content = content[10 + size :]
    return content[:-128] if content[-128:-125] == b"TAG" else content


def _is_cut_off(content: bytes) -> bool:
    """Whether a file ends before the place its own headers name; decoders would play the rest silently."""
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return _wav_is_cut_off(content)
    if content[:4] == b"OggS":
        return _ogg_is_cut_off(content)
    if content[:1] == b"\xff":  # an MP3 frame; the first may hold the count of all bytes
        at = max(content.find(b"Xing", 0, 256), content.find(b"Info", 0, 256))
        if at >= 0 and content[at + 7 : at + 8] and content[at + 7] & 2:
            field = at + 8 + 4 * (content[at + 7] & 1)
            return len(content) < 0.99 * int.from_bytes(content[field : field + 4], "big")
    return False


def _wav_is_cut_off(content: bytes) -> bool:
    at = 12
    while at + 8 <= len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        if content[at : at + 4] == b"data":
            return size not in _STREAMED and at + 8 + size > len(content)
        at += 8 + size + (size & 1)
    return True  # no data at all


def _ogg_is_cut_off(content: bytes) -> bool:
    at = 0
    while content[at : at + 4] == b"OggS":  # page by page: 27 bytes, a table of lengths, the payload
        head = content[at : at + 27]
        if len(head) < 27:
            return True
        lengths = content[at + 27 : at + 27 + head[26]]
        at += 27 + head[26] + sum(lengths)
        if len(lengths) < head[26] or at > len(content):
            return True
    return False


def _as_float(values: object) -> NDArray[np.float32]:
    """Numbers of any kind as float32 (S, C), integers over their range."""
    array = np.asarray(values)
    if array.dtype.kind not in "uif" or array.ndim not in (1, 2):
        raise MmdemoError(
            "This is not a sound",
            f"the array holds {array.dtype} of shape {array.shape}",
            "Give samples (S,) or (S, C)",
        )
    if array.ndim == 2 and array.shape[0] <= MAX_CHANNELS < array.shape[1]:
        array = array.T  # channels first, as torch has it
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # becomes infinite, which is refused
            floats = array.astype(np.float32)
    else:
        half = float(2 ** (8 * array.dtype.itemsize - 1))
        floats = (array.astype(np.float64) / half - (1.0 if array.dtype.kind == "u" else 0.0)).astype(np.float32)
    return floats if floats.ndim == 2 else floats[:, None]  # (S, C)


def _check_extent(rate: int, channels: int, frames: int | None) -> None:
    if channels > MAX_CHANNELS:
        raise MmdemoError(
            "This sound cannot be used", f"it has {channels} channels and the limit is {MAX_CHANNELS}", "Mix it down"
        )
    if not MIN_SAMPLE_RATE <= rate <= MAX_SAMPLE_RATE:
        raise MmdemoError(
            "This sound cannot be used",
            f"it has {rate / 1000:g} kHz, and {MIN_SAMPLE_RATE // 1000} to {MAX_SAMPLE_RATE // 1000} kHz can be used",
            "Record it at 16 kHz or more",
        )
    if frames is None:
        return
    seconds = frames / rate
    if seconds > MAX_AUDIO_SECONDS:
        length = f"it lasts {seconds / 60:.1f} minutes" if seconds < 864_000 else "its length cannot be told"
        raise MmdemoError(
            "This sound is too long", f"{length} and the limit is {MAX_AUDIO_SECONDS / 60:g} minutes", "Cut out a part"
        )
    if seconds < MIN_AUDIO_SECONDS:
        what = "no sample" if frames <= 0 else "one sample" if frames == 1 else f"only {frames} samples"
        raise MmdemoError(
            "This sound is too short",
            f"it holds {what} ({seconds:.3f} seconds)",
            "Record a second or more of speech",
        )


def _mono(values: NDArray[np.float32], notes: list[str]) -> NDArray[np.float32]:
    """Average the channels (S, C) to (S,); where they cancel each other out, the loudest one."""
    channels = values.shape[1]
    if channels == 1:
        return values[:, 0]
    mean = values.mean(axis=1, dtype=np.float32)  # (S,)
    levels = np.sqrt(np.mean(values.astype(np.float64) ** 2, axis=0))  # (C,)
    loudest = int(levels.argmax())
    # one live channel among C keeps 1/C of its level; less than half of that means opposite phases
    if float(np.sqrt(np.mean(mean.astype(np.float64) ** 2))) < 0.5 * levels[loudest] / channels:
        notes.append(f"channel {loudest + 1} of {channels}, as they cancel each other out")
        return values[:, loudest]
    notes.append(f"{channels} channels averaged")
    return np.asarray(mean, dtype=np.float32)


def _unreadable(content: bytes) -> MmdemoError:
    found = describe(content)
    if found.endswith(("WAV sound", "FLAC sound", "MP3 sound", "AIFF sound")):
        return _damaged()
    why = f"the file is {found}" if found else "the file is damaged or not a sound"
    if found:
        why += ", and that cannot be decoded here"
    return MmdemoError("This sound cannot be opened", why, f"Save it as {_READABLE}")


def _damaged() -> MmdemoError:
    return MmdemoError("This sound cannot be opened", "the file is damaged or cut off", "Copy or save it again")
