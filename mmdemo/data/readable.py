"""Whether files can be read: each is decoded once as in training, and what was found is remembered by size and time."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import PIL
import soundfile

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import MOST_LISTED, Unreadable, read_object
from mmdemo.core.settings import cache_root
from mmdemo.core.writing import json_text
from mmdemo.data.examples import Example
from mmdemo.data.problems import Problem
from mmdemo.data.read import SOUND_TASKS
from mmdemo.media.audio import is_silent, load_sound
from mmdemo.media.files import read_limited
from mmdemo.media.image import load_picture

Say = Callable[[str, int, int], None]
"""Progress: what is done, how much of it, out of how much."""

THREADS = 2
_VERSION = f"1, Pillow {PIL.__version__}, {soundfile.__libsndfile_version__}"
"""Other decoders may read other files: what they found is not asked of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a file turned out to be.

    Attributes:
        why: Why it cannot be used, without a full stop; "" where it can.
        content: Hex SHA-1 of its bytes; "" where not even they could be read.
        seconds: Length of a clip, 0 for pictures.
        silent: Whether there is nothing to hear in a clip.
    """

    why: str = ""
    content: str = ""
    seconds: float = 0.0
    silent: bool = False


def readable(
    examples: Sequence[Example], task: str, *, known: Mapping[Path, Facts] | None = None, say: Say | None = None
) -> tuple[tuple[Example, ...], tuple[Problem, ...]]:
    """Part examples into those whose files can be decoded and what is wrong with the others.

    Args:
        task: Says whether files are pictures or clips.
        known: :func:`facts` of the files, where somebody has asked for them already.

    Returns:
        The examples that stay, and one problem per file that cannot be used, in order.
    """
    if known is None:
        known = facts((e.file for e in examples if e.file is not None), task, say=say)
    kept: list[Example] = []
    problems: dict[Path, Problem] = {}
    for example in examples:
        if example.file is None or not known[example.file].why:
            kept.append(example)
        elif example.file not in problems:
            problems[example.file] = Problem(
                file=example.file.name if example.table is not None else str(example.file),
                why=known[example.file].why,
                table=example.table,
                line=example.line,
            )
    return tuple(kept), tuple(problems.values())


def facts(files: Iterable[Path], task: str, *, say: Say | None = None) -> Mapping[Path, Facts]:
    """What each file is, decoding those that are new or have changed since they were last looked at."""
    look = _sound if task in SOUND_TASKS else _picture
    kind = f"{look.__name__} {_VERSION}"
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for file in dict.fromkeys(files):
        by_folder[file.parent].append(file)
    count, done = sum(map(len, by_folder.values())), 0
    found: dict[Path, Facts] = {}
    for folder, some in by_folder.items():
        store = cache_root() / "files" / f"{_name(folder, kind)}.json"
        before = _stored(store)
        marks = {file: _mark(file) for file in some}
        new: list[Path] = []
        for file in some:
            mark, *values = before.get(file.name, [None])
            if marks[file] is not None and mark == marks[file] and len(values) == 4:
                found[file] = Facts(why=values[0], content=values[1], seconds=values[2], silent=values[3])
            else:
                new.append(file)
        done += len(some) - len(new)
        if not new:
            continue
        pool = ThreadPoolExecutor(max_workers=THREADS)
        try:
            for file, one in zip(new, pool.map(look, new), strict=True):
                found[file] = one
                before[file.name] = [marks[file], *asdict(one).values()]
                done += 1
                if say is not None:
                    say("files read", done, count)
        finally:  # what was looked at before an interruption is not looked at again
            pool.shutdown(cancel_futures=True)
            _store(store, before)
    return found


# ----------------------------------------------------------------


def _picture(file: Path) -> Facts:
    return _looked_at(file, "picture")


def _sound(file: Path) -> Facts:
    return _looked_at(file, "sound")


def _looked_at(file: Path, kind: str) -> Facts:
    content = ""
    try:
        held = read_limited(file, kind)
        content = hashlib.sha1(held, usedforsecurity=False).hexdigest()
        if kind == "picture":
            load_picture(held, name=file.name)
            return Facts(content=content)
        sound = load_sound(held, name=file.name)
        return Facts(content=content, seconds=round(sound.seconds, 3), silent=is_silent(sound))
    except MmdemoError as error:
        return Facts(why=error.why or error.what, content=content)


def _name(folder: Path, kind: str) -> str:
    return hashlib.sha1(os.fsencode(folder.absolute()) + f"|{kind}".encode(), usedforsecurity=False).hexdigest()


def _mark(file: Path) -> str | None:
    try:
        known = file.stat()
    except OSError:
        return None
    return f"{known.st_size} {known.st_mtime_ns}"


def _stored(store: Path) -> dict[str, list[Any]]:
    try:
        return read_object(store, most=MOST_LISTED)
    except Unreadable:
        return {}


def _store(store: Path, rows: Mapping[str, Sequence[Any]]) -> None:
    """Written whole and renamed: several processes may look at the same folder."""
    part = store.with_suffix(f".{os.getpid()}.part")
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json_text(rows), encoding="utf-8")
        part.replace(store)
    except OSError:  # what cannot be noted is looked at again next time
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
