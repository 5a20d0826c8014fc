"""Small pictures and players of somebody's own files: what the lists of data show."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
from html import escape
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from mmdemo.core.errors import MmdemoError
from mmdemo.media.image import load_picture
from mmdemo.ui.draw import as_data

SIDE = 128
"""Pixels of the longer side of a small picture."""


def small_picture(file: Path, *, side: int = SIDE) -> str:
    """A ``data:`` address of the picture made small, "" where it cannot be read."""
    try:
        found = file.stat()
    except OSError:
        return ""
    return _small(str(file), (found.st_mtime_ns, found.st_size), side)


@functools.lru_cache(maxsize=3000)
def _small(path: str, _stamp: tuple[int, int], side: int) -> str:
    try:
        image = Image.fromarray(load_picture(path).pixels)
    except MmdemoError:
        return ""
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return as_data(image)


def player(file: Path, *, served: Path, label: str) -> str:
    """An ``<audio>`` element for a clip.

    Args:
        file: The clip, of this machine's owner.
        served: A folder that the page serves files from; the clip is copied there under a name made of its path.
        label: What it is, for screen readers.
    """
    try:
        stamp = file.stat()
        name = hashlib.sha256(os.fsencode(file) + f"\0{stamp.st_mtime_ns}\0{stamp.st_size}".encode()).hexdigest()[:24]
        copy = served / f"clip-{name}{file.suffix.lower()}"
        if not copy.exists():
            served.mkdir(parents=True, exist_ok=True)
            part = copy.with_suffix(f".{os.getpid()}.part")
            shutil.copyfile(file, part)
            part.replace(copy)
    except OSError:
        return f'<span class="mm-sub">{escape(file.name)}</span>'
    address = f"gradio_api/file={quote(str(copy))}"
    return f'<audio controls preload="none" src="{escape(address)}" aria-label="{escape(label)}"></audio>'
