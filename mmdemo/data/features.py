"""Encoder features on disk: computed once, read memory-mapped, resumed where an interruption left them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from mmdemo.core.settings import cache_root

CHUNK = 64
"""Inputs per call of the encoder, and rows between two notes of progress."""

Progress = Callable[[int, int], None]

V = TypeVar("V", bound=np.generic)


def file_hash(path: Path) -> str:
    """Hex SHA-1 of a file's bytes."""
    digest = hashlib.sha1(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def files_key(files: Sequence[Path]) -> str:
    """Hex SHA-1 over the contents of files, in order: equal keys mean equal inputs."""
    digest = hashlib.sha1(usedforsecurity=False)
    for file in files:
        digest.update(file_hash(file).encode())
    return digest.hexdigest()


def cached(
    key: str,
    count: int,
    encode: Callable[[int, int], NDArray[V]],
    *,
    progress: Progress | None = None,
    chunk: int = CHUNK,
) -> NDArray[V]:
    """Rows of features, from the cache where they are there, computed and stored where they are not.

    Args:
        key: Names data, encoder and view; anything that changes a value must change it.
        count: Number of rows N, 1 or more.
        encode: ``encode(start, stop)`` returns rows start to stop, shape (stop - start, ...).
        progress: Called with (rows done, N).
        chunk: Rows per call of ``encode``.

    Returns:
        A read-only memory map of shape (N, ...), dtype as ``encode`` gave it.
    """
    if count < 1:
        raise ValueError("there is nothing to cache")
    folder = cache_root() / "features" / key[:40]
    folder.mkdir(parents=True, exist_ok=True)
    data, state = folder / "data.npy", folder / "state.json"
    with FileLock(folder / "lock"):
        done = json.loads(state.read_text())["done"] if state.exists() and data.exists() else 0
        rows: NDArray[V] | None = np.load(data, mmap_mode="r+") if done else None
        if rows is not None and len(rows) != count:
            rows, done = None, 0
        while done < count:
            stop = min(done + chunk, count)
            block = encode(done, stop)
            if rows is None:
                rows = np.lib.format.open_memmap(data, mode="w+", dtype=block.dtype, shape=(count, *block.shape[1:]))
            rows[done:stop] = block
            done = stop
            if done % (chunk * 16) == 0 or done == count:
                if isinstance(rows, np.memmap):
                    rows.flush()
                part = state.with_suffix(".part")
                part.write_text(json.dumps({"done": done}))
                part.replace(state)
            if progress is not None:
                progress(done, count)
    found: NDArray[V] = np.load(data, mmap_mode="r")
    return found
