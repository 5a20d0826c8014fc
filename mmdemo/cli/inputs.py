"""What people name on the command line: files, folders and globs, made into one list of files."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"})
"""Taken from folders. A file named by itself is tried whatever it is called."""

SOUND_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".au"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One file to answer about.

    Attributes:
        name: The path as the person wrote it, or as it was found in their folder; for results.
        problem: Why there is nothing to read here, one sentence; "" where there is.
    """

    name: str
    problem: str = ""

    @property
    def path(self) -> Path:
        return Path(self.name).expanduser()


def expand(names: Sequence[str], suffixes: frozenset[str], *, kind: str) -> list[Input]:
    """Turn files, folders (with all below them) and globs into files, in order.

    Args:
        names: As written; shells on Windows leave globs to the program.
        suffixes: Lower-case endings to take from folders and from globs that find folders.
        kind: "pictures" or "sounds", for sentences.

    Returns:
        One input per file. What a folder or glob finds is sorted and not repeated; what cannot be found is an input
        with its problem.
    """
    inputs: list[Input] = []
    seen: set[str] = set()
    for name in names:
        path = Path(name).expanduser()
        if path.is_dir():
            found = _below(name, suffixes)
            problem = f"The folder {name} cannot be used: there are no {kind} in it."
        elif path.exists() or not glob.has_magic(name):
            # a device or a pipe is left to the loader, which says what it cannot read
            inputs.append(Input(name=name, problem="" if path.exists() else _missing(name)))
            seen.add(name)
            continue
        else:
            found = _matching(name, suffixes)
            problem = f"Nothing can be read for {name}: no file matches it."
        if not found:
            inputs.append(Input(name=name, problem=problem))
        for item in found:
            if item not in seen:
                seen.add(item)
                inputs.append(Input(name=item))
    return inputs


def _missing(name: str) -> str:
    return f"{name} cannot be read: there is no such file."


def _matching(pattern: str, suffixes: frozenset[str]) -> list[str]:
    files: list[str] = []
    for name in sorted(glob.glob(str(Path(pattern).expanduser()), recursive=True)):  # noqa: PTH207  # takes absolute patterns
        if Path(name).is_dir():
            if "**" not in pattern:  # "**" has already been below
                files.extend(_below(name, suffixes))
        elif "**" not in pattern or Path(name).suffix.lower() in suffixes:
            files.append(name)
    return files


def _below(folder: str, suffixes: frozenset[str]) -> list[str]:
    return sorted(_walk(folder, suffixes))


def _walk(folder: str, suffixes: frozenset[str]) -> Iterator[str]:
    for root, folders, files in os.walk(Path(folder).expanduser()):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes:
                yield os.path.join(root, name)  # noqa: PTH118  # Path would drop a leading "./" that the person wrote
