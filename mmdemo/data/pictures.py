"""Features of picture files, through the cache: pixels, what lies below the trunk's cut, its grid and what it pools."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmdemo.core.errors import MmdemoError
from mmdemo.data.features import Store, by_file, chunks, file_hashes
from mmdemo.media.image import load_picture
from mmdemo.models.encoders import VisionEncoder
from mmdemo.nets.vision import pool
from mmdemo.tasks.base import grids as to_grids
from mmdemo.tasks.base import to_bytes
from mmdemo.tasks.pictures import FeatureLevel, normalized, square
from mmdemo.tasks.tune import Tune

Say = Callable[[str, int, int], None]
"""Progress: what is done, how much of it, out of how much."""

Pixels = NDArray[np.uint8]
Seen = Mapping[Path, tuple[NDArray[Any], ...]]
"""Picture → what is kept of each view; pictures that cannot be decoded are left out."""

UPRIGHT, MIRROR = "upright", "mirror"

LEAST_CROP = 0.6
"""Smallest share of the picture's area that a cached crop shows: what is asked about should still be in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """Which views of a picture are kept.

    Attributes:
        mirror: The mirror image; it stands last.
        crops: Random stretches of the picture, each the same every time (see :func:`crop`).
    """

    mirror: bool = False
    crops: int = 0

    @staticmethod
    def of(options: Mapping[str, Any]) -> Views:
        """From the ``[data]`` options ``mirror`` and ``crops``.

        Raises:
            MmdemoError: There cannot be so many crops.
        """
        if options["crops"] < 0:
            raise MmdemoError("data.crops must not be below 0", f"it is {options['crops']}")
        return Views(mirror=bool(options["mirror"]), crops=int(options["crops"]))

    def names(self) -> tuple[str, ...]:
        """Upright, crops, mirror; a crop's name says all that it depends on but the picture."""
        crops = tuple(f"crop{number}-{LEAST_CROP}" for number in range(1, self.crops + 1))
        return (UPRIGHT, *crops, *((MIRROR,) if self.mirror else ()))


ONE = Views()


def crop(pixels: Pixels, key: str, number: int) -> Pixels:
    """Stretch ``number`` of a picture (H, W, 3): 0.6 to 1 of its area, its sides' ratio changed by 3/4 to 4/3.

    Drawn from the picture's content hash and the number, so that it is the same stretch wherever and whenever it is
    cut (random resized crops: Szegedy et al. 2015, https://arxiv.org/abs/1409.4842).
    """
    random = np.random.default_rng([int(key[:15], 16), number])
    height, width = pixels.shape[:2]
    area, ratio = random.uniform(LEAST_CROP, 1.0), np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
    across, down = min(1.0, np.sqrt(area * ratio)), min(1.0, np.sqrt(area / ratio))
    wide, high = max(1, round(width * across)), max(1, round(height * down))
    left, top = int(random.integers(width - wide + 1)), int(random.integers(height - high + 1))
    return pixels[top : top + high, left : left + wide]


# ---------------------------------------------------------------- what is kept


def seen(
    files: Iterable[Path],
    vision: VisionEncoder,
    *,
    tune: Tune,
    views: Views = ONE,
    pooled: bool = False,
    say: Say | None,
) -> Seen:
    """What rows hold of pictures: all that the part of the trunk which is not trained makes of them.

    Args:
        tune: What is trained; it decides where the trunk is cut.
        pooled: With a frozen trunk the pooled grid, for tasks that look at nothing else.
    """
    match FeatureLevel.below(tune, vision.trunk):
        case FeatureLevel.GRID:
            return pooled_grids(files, vision, views=views, say=say) if pooled else grids(files, vision, views, say=say)
        case FeatureLevel.STEM:
            return stems(files, vision, views, say=say)
        case FeatureLevel.PIXELS:
            return squares(files, vision.trunk.config.side, views, say=say)


def squares(files: Iterable[Path], side: int, views: Views = ONE, *, say: Say | None = None) -> Seen:
    """Pixels: uint8 (side, side, 3) per view; the mirror image is the upright one read backwards."""
    stored = Views(crops=views.crops)
    found = _kept("pixels", str(side), files, stored, _Maker(pixels=lambda some, _: np.stack(some), side=side), say)
    return {file: (*kept, kept[0][:, ::-1]) for file, kept in found.items()} if views.mirror else found


def stems(files: Iterable[Path], vision: VisionEncoder, views: Views = ONE, *, say: Say | None = None) -> Seen:
    """What the trunk gives below its cut: fp16 (C, 2G, 2G) per view. Survives tuning above the cut."""

    def of_pixels(some: Sequence[Pixels], flip: bool) -> NDArray[np.float16]:
        with _encoding(vision):
            found: NDArray[np.float16] = vision.trunk.stem(_batch(vision, some, flip)).half().contiguous().cpu().numpy()
            return found

    return _kept("stem", _below(vision), files, views, _Maker(pixels=of_pixels, side=vision.trunk.config.side), say)


def grids(files: Iterable[Path], vision: VisionEncoder, views: Views = ONE, *, say: Say | None = None) -> Seen:
    """The trunk's grid: uint8 (D, G, G) per view (see tasks.base.to_bytes)."""
    return _of_grid("grid", files, vision, views, to_bytes, say)


def pooled_grids(files: Iterable[Path], vision: VisionEncoder, *, views: Views = ONE, say: Say | None = None) -> Seen:
    """The mean over the grid: fp16 (D,) per view."""

    def mean(grid: Tensor) -> NDArray[np.float16]:
        found: NDArray[np.float16] = pool(grid.float()).half().cpu().numpy()
        return found

    return _of_grid("pooled", files, vision, views, mean, say)


def imagenet(files: Iterable[Path], vision: VisionEncoder, *, say: Say | None = None) -> Seen:
    """ImageNet logits of the upright picture, fp16 (1000,)."""

    def logits(grid: Tensor) -> NDArray[np.float16]:
        with torch.autocast(vision.device, enabled=False):  # one matrix: rounding it would save nothing
            found: NDArray[np.float16] = vision.trunk.logits(pool(grid.float())).half().cpu().numpy()
        return found

    return _of_grid("imagenet", files, vision, ONE, logits, say)


# ---------------------------------------------------------------- how it is made


OfPixels = Callable[[Sequence[Pixels], bool], NDArray[Any]]
"""Squares, and whether to mirror them → rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Maker:
    """How rows are made: by ``others``, stores whose rows are there already, else from the file's pixels."""

    pixels: OfPixels
    side: int
    others: Sequence[tuple[Store, Callable[[NDArray[Any]], NDArray[Any]]]] = ()


def _of_grid(
    kind: str,
    files: Iterable[Path],
    vision: VisionEncoder,
    views: Views,
    make: Callable[[Tensor], NDArray[Any]],
    say: Say | None,
) -> Seen:
    """Rows that are made of the grid: from kept grids or stems where there are any, else from pixels directly."""

    def of_grids(rows: NDArray[Any]) -> NDArray[Any]:
        with _encoding(vision):
            return make(to_grids(list(rows)).to(vision.device))

    def of_stems(rows: NDArray[Any]) -> NDArray[Any]:
        with _encoding(vision):
            stem = torch.from_numpy(rows).float().to(vision.device)
            return make(vision.trunk.grid(stem.contiguous(memory_format=torch.channels_last)))

    def of_pixels(some: Sequence[Pixels], flip: bool) -> NDArray[Any]:
        with _encoding(vision):
            return make(vision.trunk(_batch(vision, some, flip)))

    others = [(Store("stem", _below(vision)), of_stems)]
    if kind != "grid":
        others.insert(0, (Store("grid", _whole(vision)), of_grids))
    return _kept(
        kind, _whole(vision), files, views, _Maker(pixels=of_pixels, side=vision.trunk.config.side, others=others), say
    )


def _kept(kind: str, made_by: str, files: Iterable[Path], views: Views, maker: _Maker, say: Say | None) -> Seen:
    keys, store, names = file_hashes(files), Store(kind, made_by), views.names()
    if any(set(keys.values()) - store.index(view).keys() for view in names):
        with store.lock():
            _fill(store, {key: file for file, key in keys.items()}, names, maker, say)
    return by_file(keys, [store.rows(view, keys.values()) for view in names])


def _fill(store: Store, files: Mapping[str, Path], views: Sequence[str], maker: _Maker, say: Say | None) -> None:
    """Make what is missing, each file decoded once for all views; those that cannot be decoded are passed over."""
    wanted = {view: files.keys() - store.index(view).keys() for view in views}
    count, done = sum(map(len, wanted.values())), 0

    def add(view: str, some: Sequence[str], rows: NDArray[Any]) -> None:
        nonlocal done
        store.append(view, some, rows)
        done += len(some)
        if say is not None:
            say(f"{store.folder.name.partition('-')[0]} features", done, count)

    for other, make in maker.others:
        for view in views:
            there = other.rows(view, [key for key in files if key in wanted[view]])
            for some in chunks(list(there)):
                add(view, some, make(np.stack([there[key] for key in some])))
            wanted[view] -= there.keys()
    todo = [key for key in files if any(key in keys for keys in wanted.values())]
    broken: list[str] = []
    for some, decoded in _ahead(todo, files, views, maker.side):
        broken += [files[key].name for key, of_file in zip(some, decoded, strict=True) if of_file is None]
        for view in views:
            here = {k: d for k, d in zip(some, decoded, strict=True) if d is not None and k in wanted[view]}
            if here:
                pixels = [d[UPRIGHT if view == MIRROR else view] for d in here.values()]
                add(view, list(here), maker.pixels(pixels, view == MIRROR))
    if broken and say is not None:
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        say(f"left out, cannot be read: {broken[0]}{more}", count, count)


def _ahead(
    keys: Sequence[str], files: Mapping[str, Path], views: Sequence[str], side: int
) -> Iterator[tuple[Sequence[str], list[dict[str, Pixels] | None]]]:
    """Chunks of keys with their squares by view, None for broken files; the next chunk is decoded meanwhile."""

    def decode(key: str) -> dict[str, Pixels] | None:
        try:
            pixels = load_picture(files[key]).pixels
        except MmdemoError:
            return None
        found = {UPRIGHT: square(pixels, side)}
        for number, view in enumerate((v for v in views if v.startswith("crop")), start=1):
            found[view] = square(crop(pixels, key, number), side)
        return found

    pool = ThreadPoolExecutor(max_workers=2)
    try:
        waiting: tuple[Sequence[str], list[Future[dict[str, Pixels] | None]]] | None = None
        for some in (*chunks(keys), ()):
            coming = (some, [pool.submit(decode, key) for key in some])
            if waiting is not None:
                yield waiting[0], [future.result() for future in waiting[1]]
            waiting = coming
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _encoding(vision: VisionEncoder) -> Iterator[None]:
    with torch.inference_mode(), torch.autocast(vision.device, dtype=torch.bfloat16):
        yield


def _batch(vision: VisionEncoder, some: Sequence[Pixels], flip: bool) -> Tensor:
    return normalized(some, flip=flip).to(vision.device)


def _below(vision: VisionEncoder) -> str:
    return f"{vision.stem_hash}|{vision.trunk.config.side}"


def _whole(vision: VisionEncoder) -> str:
    return f"{vision.hash}|{vision.trunk.config.side}"
