"""Pictures and clips on their way into a dataset: checked as for a model, kept as they came, named by their content."""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

from mmdemo.core.errors import MmdemoError
from mmdemo.data.read import SOUND_TASKS
from mmdemo.media.audio import SoundSource, load_sound
from mmdemo.media.files import read_limited
from mmdemo.media.image import FORMATS, PictureSource, load_picture

Source = PictureSource | SoundSource
"""What a picture or clip may come as; arrays and recordings, which are no files yet, become PNG and WAV."""

NAME_DIGITS = 24
"""Hex digits of a content's SHA-256 that name its file: 96 bits, for at most thousands of files."""

NAME = re.compile(rf"[0-9a-f]{{{NAME_DIGITS}}}\.[a-z0-9]+")
"""What such names look like."""

_PICTURE_SUFFIXES = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "GIF": ".gif",
    "BMP": ".bmp",
    "TIFF": ".tif",
    "AVIF": ".avif",
}
_SOUND_SUFFIXES = {
    "WAV": ".wav",
    "WAVEX": ".wav",
    "RF64": ".wav",
    "FLAC": ".flac",
    "OGG": ".ogg",
    "MP3": ".mp3",
    "MPEG": ".mp3",
    "AIFF": ".aiff",
    "AU": ".au",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The bytes of a file that can be read, and the name under which they are kept."""

    data: bytes
    suffix: str

    @property
    def name(self) -> str:
        return hashlib.sha256(self.data).hexdigest()[:NAME_DIGITS] + self.suffix


def check_content(task: str, source: Source | None) -> Content:
    """Decode a picture or clip as a model would, and keep its bytes.

    They are never encoded again, so what a camera wrote beside the picture (EXIF: when, with what, often where) stays
    in the file and goes into exports.

    Raises:
        MmdemoError: What :func:`~mmdemo.media.image.load_picture` and :func:`~mmdemo.media.audio.load_sound` refuse.
    """
    if task in SOUND_TASKS:
        return _clip(source)
    return _picture(source)


def _picture(source: object) -> Content:
    if isinstance(source, tuple):
        raise MmdemoError("This is not a picture", "it is a sound", "Give a picture")
    if isinstance(source, Path | str):
        source = read_limited(source, "picture")
    if isinstance(source, bytes):
        load_picture(source)
        with Image.open(io.BytesIO(source), formats=FORMATS) as image:
            return Content(data=source, suffix=_PICTURE_SUFFIXES[str(image.format)])
    pixels = load_picture(source).pixels  # type: ignore[arg-type]  # what is none of these is refused there
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, format="PNG")
    return Content(data=held.getvalue(), suffix=".png")


def _clip(source: object) -> Content:
    if isinstance(source, Path | str):
        source = read_limited(source, "sound")
    if not isinstance(source, bytes):
        load_sound(source)  # type: ignore[arg-type]  # what is neither file nor samples is refused there
        source = _wav(*source)  # type: ignore[misc]
    else:
        load_sound(source)
    try:
        suffix = _SOUND_SUFFIXES.get(soundfile.info(io.BytesIO(source)).format, ".wav")
    except (soundfile.LibsndfileError, RuntimeError):  # tags before an MP3, which reading takes away
        suffix = ".mp3"
    return Content(data=source, suffix=suffix)


def _wav(rate: int, values: NDArray[np.generic]) -> bytes:
    """Samples (S,) or (S, C) as a 16-bit WAV file at their own rate."""
    samples = np.asarray(values)
    if samples.dtype.kind == "f":
        samples = samples.astype(np.float32)
        peak = float(np.abs(samples).max(initial=0.0))
        samples = samples / np.float32(peak) if peak > 1.0 else samples
    elif samples.dtype not in (np.int16, np.int32):
        # other integers over their range, as load_sound reads them
        half = float(2 ** (8 * samples.dtype.itemsize - 1))
        samples = (samples / half - (1.0 if samples.dtype.kind == "u" else 0.0)).astype(np.float32)
    held = io.BytesIO()
    soundfile.write(held, samples, int(rate), format="WAV", subtype="PCM_16")
    return held.getvalue()
