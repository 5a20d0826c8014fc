"""Encoder features on disk: computed once, read memory-mapped, kept for what they were made of and not where it lay.

A store is a folder of the cache, named by what made its rows (encoder hash, size). It holds a file of rows for each
view, and beside it the keys of these rows, which are content hashes. Both only grow: an interruption costs the rows
that were being made, and new or changed files cost themselves only. Safe to delete.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from mmdemo.core.errors import MmdemoError, after_failed_write
from mmdemo.core.reading import Unreadable, read_object
from mmdemo.core.settings import cache_root
from mmdemo.core.writing import json_text

CHUNK = 64
"""Inputs per call of an encoder, and rows per addition to a store."""

V = TypeVar("V", bound=np.generic)

_KEY = 20
"""Bytes of a SHA-1."""

_ENTRY = np.dtype([("key", f"V{_KEY}"), ("start", "<u8"), ("count", "<u8")])
"""What a file of keys holds for each row: where it starts, and in a store of uneven rows how long it is."""

_RECENT = 2.0
"""Seconds: a file that was changed just now may be changed again within the clock's tick, so it is read each time."""


# ---------------------------------------------------------------- what files hold


def file_hash(path: Path) -> str:
    """Hex SHA-1 of a file's bytes."""
    digest = hashlib.sha1(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def file_hashes(files: Iterable[Path]) -> dict[Path, str]:
    """File → hex SHA-1 of its bytes; read once, and again only where size or time of change differ.

    Raises:
        MmdemoError: A file is not there.
    """
    found: dict[Path, str] = {}
    new: list[tuple[str, int, int, int, str]] = []
    with contextlib.closing(_known_files()) as known:
        for file in dict.fromkeys(files):
            try:
                stat, name = file.stat(), os.fsencode(file.absolute()).decode(errors="backslashreplace")
                state = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
                row = known.execute("SELECT size, mtime, ctime, sha1 FROM files WHERE path = ?", (name,)).fetchone()
                if row is not None and row[:3] == state:
                    found[file] = row[3]
                    continue
                found[file] = file_hash(file)
            except OSError as error:
                raise MmdemoError(f"{file} cannot be used", error.strerror or str(error)) from None
            if time.time() - stat.st_mtime > _RECENT:
                new.append((name, *state, found[file]))
        with contextlib.suppress(sqlite3.Error), known:  # what cannot be noted is read again next time
            known.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", new)
    return found


def _known_files() -> sqlite3.Connection:
    """The notes of :func:`file_hashes`; damaged ones are started anew, and without a place for them none are kept."""
    table = "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER, mtime INTEGER, ctime INTEGER, sha1)"
    place = cache_root() / "files.sqlite3"
    for attempt in range(2):
        connection = None
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(place, timeout=30)
            connection.execute(table)
            return connection
        except (sqlite3.Error, OSError):
            if connection is not None:
                connection.close()
            if attempt == 0:
                with contextlib.suppress(OSError):
                    place.unlink()
    connection = sqlite3.connect(":memory:")
    connection.execute(table)
    return connection


def text_key(text: str) -> str:
    """Hex SHA-1 of a text: its key in a store."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


# ---------------------------------------------------------------- stores

MOST_SIDE = 1 << 24
"""Values in one dimension of a row."""


class Store:
    """Rows by key, in several views.

    Reading needs no lock: what the keys name is whole. Whoever adds rows holds :meth:`lock` while finding out what is
    missing and making it, so that two runs do not make the same rows.

    Args:
        kind: What the rows are; the folder's name begins with it.
        made_by: All that changes a value: encoder hash, input size.
        ragged: Whether rows differ in their first dimension (clips, token states).
    """

    def __init__(self, kind: str, made_by: str, *, ragged: bool = False) -> None:
        self.folder = cache_root() / "features" / f"{kind}-{text_key(made_by)[:16]}"
        self.ragged = ragged

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Held while rows are added; waits for another process that is adding."""
        with written():
            self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock"):
            yield

    def index(self, view: str) -> dict[str, tuple[int, int]]:
        """Key → where its row starts, and how long it is."""
        try:
            raw = (self.folder / f"{view}.keys").read_bytes()
            size = (self.folder / f"{view}.rows").stat().st_size // self._item(view)[2]
        except FileNotFoundError:
            return {}
        except Unreadable as error:
            if error.missing:
                return {}
            raise
        entries = np.frombuffer(raw[: len(raw) // _ENTRY.itemsize * _ENTRY.itemsize], dtype=_ENTRY)
        names = np.ascontiguousarray(entries["key"]).tobytes().hex()
        starts, counts = entries["start"].tolist(), entries["count"].tolist()
        return {
            names[2 * _KEY * i : 2 * _KEY * (i + 1)]: (start, count)
            for i, (start, count) in enumerate(zip(starts, counts, strict=True))
            # after a crash of the machine keys may be there without their rows
            if start + count <= size and (self.ragged or count == 1)
        }

    def rows(self, view: str, keys: Iterable[str]) -> dict[str, NDArray[Any]]:
        """Key → its row, a slice of the read-only memory map; keys without one are left out."""
        index = self.index(view)
        if not index:
            return {}
        dtype, shape, _ = self._item(view)
        count = max(start + length for start, length in index.values())
        if not count:  # nothing but rows of no length
            return {key: np.zeros((0, *shape), dtype) for key in keys if key in index}
        found = np.memmap(self.folder / f"{view}.rows", dtype=dtype, mode="r", shape=(count, *shape))
        if self.ragged:
            return {key: found[index[key][0] : sum(index[key])] for key in keys if key in index}
        return {key: found[index[key][0]] for key in keys if key in index}

    def append(self, view: str, keys: Sequence[str], rows: Sequence[NDArray[Any]] | NDArray[Any]) -> None:
        """Add rows, all of one dtype and shape; the caller holds :meth:`lock`.

        Raises:
            MmdemoError: The disk is full, or the cache cannot be written for another reason.
        """
        if not len(keys):
            return
        block = np.concatenate(rows) if self.ragged else np.asarray(rows)
        counts = np.array([len(row) for row in rows] if self.ragged else [1] * len(keys), dtype=np.uint64)
        with written():
            if not (self.folder / f"{view}.json").exists():
                part = self.folder / f"{view}.json.part"
                part.write_text(json_text({"dtype": block.dtype.str, "shape": block.shape[1:]}))
                part.replace(self.folder / f"{view}.json")
            dtype, shape, size = self._item(view)
            if (block.dtype, block.shape[1:]) != (dtype, shape):
                raise ValueError(f"rows of {dtype} {shape} are kept there, not of {block.dtype} {block.shape[1:]}")
            start = self._end(view)
            entries = np.zeros(len(keys), dtype=_ENTRY)
            entries["key"] = np.frombuffer(bytes.fromhex("".join(keys)), dtype=f"V{_KEY}")
            entries["count"] = counts
            entries["start"] = start + np.concatenate([np.zeros(1, np.uint64), np.cumsum(counts)[:-1]])
            _extend(self.folder / f"{view}.rows", start * size, block)
            known = self.folder / f"{view}.keys"
            whole = known.stat().st_size // _ENTRY.itemsize * _ENTRY.itemsize if known.exists() else 0
            _extend(known, whole, entries)  # after the rows: what it names is there

    def _end(self, view: str) -> int:
        """Where the next row starts; keys whose rows were lost (a damaged disk) are forgotten first."""
        known, rows = self.folder / f"{view}.keys", self.folder / f"{view}.rows"
        if not known.exists() or known.stat().st_size < _ENTRY.itemsize:
            return 0
        entries = np.memmap(known, dtype=_ENTRY, mode="r", shape=(known.stat().st_size // _ENTRY.itemsize,))
        size = (rows.stat().st_size if rows.exists() else 0) // self._item(view)[2]
        last = int(entries[-1]["start"] + entries[-1]["count"])
        if last <= size:
            return last
        ends = entries["start"] + entries["count"]
        there = int(np.searchsorted(ends, size, side="right"))
        os.truncate(known, there * _ENTRY.itemsize)
        return int(ends[there - 1]) if there else 0

    def _item(self, view: str) -> tuple[np.dtype[Any], tuple[int, ...], int]:
        """Dtype, shape and bytes of a row, or of one step of an uneven row."""
        try:
            raw = read_object(self.folder / f"{view}.json")
            dtype, shape = np.dtype(str(raw["dtype"])), tuple(raw["shape"])
            if dtype.kind not in "fiub" or not all(type(side) is int and 0 < side < MOST_SIDE for side in shape):
                raise ValueError(f"it says {dtype} {shape}")
            return dtype, shape, dtype.itemsize * math.prod(shape)
        except (ValueError, KeyError, TypeError) as error:
            why = f"its {view}.json is not valid ({error})"
            raise MmdemoError(f"The feature cache in {self.folder} is damaged", why, "Delete that folder") from None


def _extend(file: Path, at: int, values: NDArray[Any]) -> None:
    """Write ``values`` at byte ``at`` and to the disk; what an interruption left behind it is cut off."""
    with file.open("r+b" if file.exists() else "w+b") as out:
        out.truncate(at)
        out.seek(at)
        out.write(np.ascontiguousarray(values).data.cast("B") if values.size else b"")
        out.flush()
        os.fsync(out.fileno())


@contextlib.contextmanager
def written() -> Iterator[None]:
    """Whatever is written to the cache is written under this.

    Raises:
        MmdemoError: The disk is full, or the cache cannot be written for another reason.
    """
    try:
        yield
    except OSError as error:
        raise MmdemoError(
            "The feature cache cannot be written",
            f"{cache_root()}: {error.strerror or error}",
            f"{after_failed_write(error)}, or name another folder with MMDEMO_CACHE",
        ) from None


def chunks(values: Sequence[Any], size: int = CHUNK) -> Iterator[Sequence[Any]]:
    """Stretches of at most ``size``."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def by_file(keys: Mapping[Path, str], rows: Sequence[Mapping[str, NDArray[V]]]) -> dict[Path, tuple[NDArray[V], ...]]:
    """File → its row in each of the views; files that lack one are left out."""
    return {file: tuple(view[key] for view in rows) for file, key in keys.items() if all(key in view for view in rows)}
