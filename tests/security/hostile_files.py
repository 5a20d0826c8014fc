"""Every way to name a file that was not uploaded, in every form that a request can give it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SENTENCE = "This file cannot be used: it was not uploaded here, or has been deleted since. Upload it first."
"""What all of them get, whatever is or is not at the path."""

META = {"_type": "gradio.FileData"}


@dataclass(frozen=True, slots=True)
class Outside:
    """A folder of somebody's own, beside the upload folder."""

    folder: Path
    picture: Path

    @classmethod
    def make(cls, folder: Path) -> Outside:
        folder.mkdir(parents=True)
        pixels = np.random.default_rng(7).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "secret.png")
        (folder / "words.txt").write_text("not yours", encoding="utf-8")
        (folder / "locked.png").write_bytes((folder / "secret.png").read_bytes())
        (folder / "locked.png").chmod(0)
        os.mkfifo(folder / "pipe.png")  # opening it would wait for ever
        return cls(folder, folder / "secret.png")


def plant(uploads: Path, outside: Outside) -> list[str]:
    """Put into an upload folder what must not be followed; the paths."""
    place = uploads / "planted"
    place.mkdir()
    (place / "link.png").symlink_to(outside.picture)
    (place / "dangling.png").symlink_to(outside.folder / "nothing.png")
    (place / "up").symlink_to(outside.folder)
    (place / "zero.png").symlink_to("/dev/zero")
    (place / "loop.png").symlink_to(place / "loop.png")
    os.mkfifo(place / "pipe.png")
    names = ["link.png", "dangling.png", "up", "up/secret.png", "up/nothing.png", "zero.png", "loop.png", "pipe.png"]
    names.insert(-1, "nothing.png")  # the pipe stays the last one
    return [str(uploads), str(place), *(str(place / name) for name in names)]


def paths(outside: Outside, uploads: Path) -> list[str]:
    """Paths that lead out of the upload folder, or nowhere."""
    folder, picture = outside.folder, str(outside.picture)
    return [
        picture,
        str(folder / "words.txt"),
        str(folder / "locked.png"),
        str(folder / "pipe.png"),
        str(folder / "nothing.png"),
        str(folder / "nowhere" / "nothing.png"),
        str(folder),
        f"{uploads}/../{os.path.relpath(picture, uploads.parent)}",
        f"{uploads}/nowhere/../../{os.path.relpath(picture, uploads.parent)}",
        f"{uploads}-beside/x.png",
        os.path.relpath(picture),
        "/dev/zero",
        "/dev/stdin",
        "/proc/self/environ",
        "/etc/passwd",
        "/",
        "",
        ".",
        "..",
        "~/x.png",
        f"file://{picture}",
        f"FILE:{picture}",
        "http://127.0.0.1:9/x.png",
        "https://example.invalid/x.png",
        "ftp://example.invalid/x.png",
        "\\\\server\\share\\x.png",
        "//server/share/x.png",
        "C:\\Windows\\win.ini",
        f"{picture}\0.png",
        f"{uploads}/\0",
        f"{uploads}/\udcff.png".encode("utf-8", "surrogateescape").decode("latin-1"),
        f"{uploads}/" + "a" * 300,
        "/" + "a/" * 5000,
        "data:image/png;base64,AAAA",
    ]


def forms(path: str) -> list[Any]:
    """What a request can say to name a path, the right form first."""
    return [
        {"path": path, "meta": META},
        {"path": path},
        {"path": path, "meta": None},
        {"path": path, "meta": {}},
        {"path": path, "meta": {"_type": "gradio.fileData"}},
        {"path": path, "meta": META, "is_stream": True},
        {"path": path, "url": path, "orig_name": "x.png", "size": 1, "mime_type": "image/png"},
        {"path": path, "url": "data:image/png;base64,AAAA"},
        {"url": path or "x"},
        {"url": path or "x", "meta": META},
        {"path": None, "url": path or "x", "meta": META},
        [{"path": path}],
        [[{"image": {"path": path}, "caption": "x"}]],
        {"files": [{"path": path}], "text": "x"},
        {"background": {"path": path}, "layers": [], "composite": {"path": path}},
    ]


def few_forms(path: str) -> list[Any]:
    """The forms that differ most, for the slower doors."""
    every = forms(path)
    return [every[0], every[1], every[5], every[11]]


NO_FILE: list[Any] = ["/etc/passwd", 5, True, ["/etc/passwd"], {"path": 5}, {"path": ["x"]}, {"url": 5}, {"path": {}}]
"""For a component that takes files: what is neither one nor none."""


def nested(depth: int) -> Any:
    """A file inside many lists."""
    value: Any = {"path": "/etc/passwd"}
    for _ in range(depth):
        value = [value]
    return value
