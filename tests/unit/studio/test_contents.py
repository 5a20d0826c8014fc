"""Files on their way into a dataset: their bytes are kept, and their names say what they are."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from PIL import Image

from mmdemo.core.errors import MmdemoError
from mmdemo.media.audio import load_sound
from mmdemo.studio.datasets.contents import check_content
from tests.sounds import speech_like

SPEECH = speech_like(0.5, rate=16_000)


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("JPEG", ".jpg"), ("PNG", ".png"), ("WEBP", ".webp"), ("GIF", ".gif"), ("BMP", ".bmp"), ("TIFF", ".tif")],
)
def test_pictures_of_every_kind(tmp_path: Path, kind: str, suffix: str) -> None:
    file = tmp_path / "any.dat"
    Image.new("RGB", (20, 20), "red").save(file, format=kind)
    content = check_content("caption", file)
    assert content.data == file.read_bytes()
    assert content.name.endswith(suffix)
    assert content.name == check_content("ask", content.data).name


@pytest.mark.parametrize(
    ("kind", "suffix", "before"),
    [
        ("WAV", ".wav", b""),
        ("FLAC", ".flac", b""),
        ("OGG", ".ogg", b""),
        ("AIFF", ".aiff", b""),
        ("MP3", ".mp3", b""),
        ("MP3", ".mp3", b"ID3\x04\0\0\0\0\x10\0" + bytes(2048)),  # a tag
    ],
)
def test_clips_of_every_kind(kind: str, suffix: str, before: bytes) -> None:
    held = io.BytesIO()
    sf.write(held, SPEECH, 16_000, format=kind)
    data = before + held.getvalue()
    content = check_content("sentiment", data)
    assert content.data == data
    assert content.name.endswith(suffix)


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.uint8, np.float32, np.float64])
def test_recordings_become_clips_that_sound_the_same(kind: type[np.generic]) -> None:
    values = np.tile(SPEECH[:, None], (1, 2)).astype(np.float64)
    if np.issubdtype(kind, np.integer):
        values = np.round(values * np.iinfo(kind).max)
        values = values / 2 + 128 if kind is np.uint8 else values
    recorded = values.astype(kind)
    content = check_content("sentiment", (16_000, recorded))
    before, after = load_sound((16_000, recorded)).samples, load_sound(content.data).samples
    assert content.name.endswith(".wav")
    assert np.abs(before - after).max() < 1e-4


@pytest.mark.parametrize(("task", "source"), [("ask", None), ("sentiment", None), ("ask", 3), ("sentiment", 3)])
def test_what_is_neither_is_refused(task: str, source: object) -> None:
    with pytest.raises(MmdemoError):
        check_content(task, source)  # type: ignore[arg-type]
