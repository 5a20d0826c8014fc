"""Inputs for the promises, made anew for each session."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from skimage import data

from tests.sounds import write_speech_like


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo as a JPEG file."""
    path = tmp_path_factory.mktemp("pictures") / "someone.jpg"
    Image.fromarray(data.astronaut()).save(path, quality=90)
    return path


@pytest.fixture(scope="session")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds of something like a voice as a WAV file."""
    return write_speech_like(tmp_path_factory.mktemp("sounds") / "voice.wav", 5.0)
