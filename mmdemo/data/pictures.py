"""Features of whole picture folders, through the cache: below the trunk's cut, and its grid."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from mmdemo.core.errors import MmdemoError
from mmdemo.data.features import CHUNK, cached, files_key
from mmdemo.data.read import PICTURE_SUFFIXES
from mmdemo.media.image import load_picture
from mmdemo.models.parts import VisionPart
from mmdemo.tasks.base import to_bytes
from mmdemo.tasks.pictures import normalized, square

Say = Callable[[str, int, int], None]
"""Progress: what is done, how much of it, out of how much."""

V = TypeVar("V", bound=np.generic)


def stems(
    files: Iterable[Path], vision: VisionPart, *, mirror: bool, say: Say | None = None
) -> Mapping[Path, tuple[NDArray[np.float16], ...]]:
    """What the trunk gives below its cut: fp16 (C, 2G, 2G) per view. Survives tuning above the cut.

    Views are the picture, and its mirror image where that was asked for.
    """
    return _by_folder(files, mirror, lambda folder, flip: _stem_rows(folder, vision, flip, say))


def grids(
    files: Iterable[Path], vision: VisionPart, *, mirror: bool, say: Say | None = None
) -> Mapping[Path, tuple[NDArray[np.uint8], ...]]:
    """The trunk's grid: uint8 (D, G, G) per view (see tasks.base.to_bytes)."""

    def rows(folder: Path, flip: bool) -> NDArray[np.uint8]:
        below = _stem_rows(folder, vision, flip, say)

        def encode(start: int, stop: int) -> NDArray[np.uint8]:
            with torch.inference_mode(), torch.autocast(vision.device, dtype=torch.bfloat16):
                stem = torch.from_numpy(np.array(below[start:stop])).float().to(vision.device)
                return to_bytes(vision.trunk.grid(stem.contiguous(memory_format=torch.channels_last)))

        return _cached("grid", folder, vision.hash, vision.trunk.config.side, flip, encode, say)

    return _by_folder(files, mirror, rows)


def imagenet(
    files: Iterable[Path], vision: VisionPart, *, say: Say | None = None
) -> Mapping[Path, tuple[NDArray[np.float16], ...]]:
    """ImageNet logits of the upright picture, fp16 (1000,)."""

    def rows(folder: Path, flip: bool) -> NDArray[np.float16]:
        below = _stem_rows(folder, vision, flip, say)

        def encode(start: int, stop: int) -> NDArray[np.float16]:
            with torch.inference_mode(), torch.autocast(vision.device, dtype=torch.bfloat16):
                stem = torch.from_numpy(np.array(below[start:stop])).float().to(vision.device)
                grid = vision.trunk.grid(stem.contiguous(memory_format=torch.channels_last))
                logits: NDArray[np.float16] = vision.trunk.logits(grid.mean(dim=(2, 3))).half().cpu().numpy()
                return logits

        return _cached("imagenet", folder, vision.hash, vision.trunk.config.side, flip, encode, say)

    return _by_folder(files, False, rows)


# ----------------------------------------------------------------


def _by_folder(
    files: Iterable[Path], mirror: bool, rows: Callable[[Path, bool], NDArray[V]]
) -> dict[Path, tuple[NDArray[V], ...]]:
    wanted: dict[Path, set[Path]] = defaultdict(set)
    for file in files:
        wanted[file.parent].add(file)
    found: dict[Path, tuple[NDArray[V], ...]] = {}
    for folder, some in sorted(wanted.items()):
        views = [rows(folder, flip) for flip in ((False, True) if mirror else (False,))]
        for i, file in enumerate(pictures_in(folder)):
            if file in some:
                found[file] = tuple(view[i] for view in views)
                some.remove(file)
        if some:
            raise MmdemoError(f"{min(some)} cannot be used", "it is not there, or not a picture by its name")
    return found


def pictures_in(folder: Path) -> list[Path]:
    """All picture files of a folder, in a fixed order; features are kept for whole folders."""
    return sorted(
        file for file in folder.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES and not file.name.startswith(".")
    )


def _cached(
    kind: str,
    folder: Path,
    encoder: str,
    side: int,
    flip: bool,
    encode: Callable[[int, int], NDArray[V]],
    say: Say | None,
) -> NDArray[V]:
    files = pictures_in(folder)
    text = f"{kind}|{encoder}|{side}|flip{int(flip)}|{files_key(files)}"
    key = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    what = f"{kind} features of {folder.parent.name}/{folder.name}" + (", mirrored" if flip else "")
    return cached(key, len(files), encode, progress=None if say is None else lambda done, count: say(what, done, count))


def _stem_rows(folder: Path, vision: VisionPart, flip: bool, say: Say | None) -> NDArray[np.float16]:
    files, side = pictures_in(folder), vision.trunk.config.side
    ahead: dict[int, list[Future[NDArray[np.uint8]]]] = {}
    pool = ThreadPoolExecutor(max_workers=2)

    def decode(file: Path) -> NDArray[np.uint8]:
        try:
            return square(load_picture(file).pixels, side)
        except MmdemoError as error:
            raise MmdemoError(f"{file.name}: {error.what}", error.why, error.try_this) from None

    def encode(start: int, stop: int) -> NDArray[np.float16]:
        # the next chunk is decoded while this one is encoded
        now = ahead.pop(start, None) or [pool.submit(decode, file) for file in files[start:stop]]
        ahead[stop] = [pool.submit(decode, file) for file in files[stop : stop + CHUNK]]
        pixels = normalized([future.result() for future in now], flip=flip).to(vision.device)
        with torch.inference_mode(), torch.autocast(vision.device, dtype=torch.bfloat16):
            found: NDArray[np.float16] = vision.trunk.stem(pixels).half().contiguous().cpu().numpy()
            return found

    try:
        return _cached("stem", folder, vision.stem_hash, side, flip, encode, say)
    finally:
        pool.shutdown(cancel_futures=True)
