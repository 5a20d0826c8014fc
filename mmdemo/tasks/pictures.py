"""Pixels to tensors: the one way in which every picture reaches the trunk, in training and in serving alike."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from torch import Tensor

from mmdemo.nets.vision import MEAN, STD, STEM_BLOCKS, PictureTrunk
from mmdemo.tasks.base import Batch, grids
from mmdemo.tasks.tune import Tune


def square(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resize (H, W, 3) to (side, side, 3), bicubic, **without cropping**.

    Most training pictures were squashed to squares by their source, so a squashed picture is what the networks know;
    and nothing at the edge of a person's photo is cut off.
    """
    image = Image.fromarray(pixels)
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.BICUBIC, reducing_gap=3.0)
    return np.asarray(image)


def normalized(squares: Sequence[NDArray[np.uint8]], *, flip: bool = False) -> Tensor:
    """uint8 (side, side, 3) each → float32 (B, 3, side, side) in channels-last memory, as the trunk expects it."""
    batch = torch.from_numpy(np.stack(squares))  # (B, R, R, 3)
    if flip:
        batch = batch.flip(2)
    pixels = batch.permute(0, 3, 1, 2).float()  # (B, 3, R, R)
    return pixels.div_(255).sub_(MEAN).div_(STD).contiguous(memory_format=torch.channels_last)


# ---------------------------------------------------------------- where the trunk is cut


class FeatureLevel(enum.Enum):
    """What rows hold of a picture: what the frozen part of the trunk makes of it is the same every time, so it is kept.

    GRID is the whole trunk's output, STEM what lies below its last two stages, PIXELS nothing of the trunk at all.
    """

    GRID = "grid"
    STEM = "stem"
    PIXELS = "pixels"

    @staticmethod
    def below(tune: Tune, trunk: PictureTrunk) -> FeatureLevel:
        """The highest cut below all that ``tune`` changes."""
        if tune.frozen_encoder:
            return FeatureLevel.GRID
        upper = len(trunk.net.blocks) - STEM_BLOCKS
        return FeatureLevel.STEM if tune.kind == "last" and tune.blocks <= upper else FeatureLevel.PIXELS


Look = Callable[[Sequence[NDArray[Any]]], tuple[Tensor, Tensor]]
"""Views, as rows hold them → grids (B, D, G, G) and ImageNet logits (B, 1000), both on the CPU."""


def draw(views: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """One of a row's views, from torch's generator."""
    return views[int(torch.randint(len(views), ()))]


def at_cut(views: Sequence[NDArray[Any]]) -> Batch:
    """One view of each row as a batch: ``grid``, ``stem`` or ``pixels``, told apart by dtype and shape.

    Args:
        views: Grids uint8 (D, G, G), stems fp16 (C, 2G, 2G) or pixels uint8 (R, R, 3).
    """
    first = views[0]
    if first.dtype == np.float16:
        return {FeatureLevel.STEM.value: torch.from_numpy(np.stack(views)).float()}
    if first.shape == (len(first), len(first), 3):
        return {FeatureLevel.PIXELS.value: normalized(views)}
    return {FeatureLevel.GRID.value: grids(views)}


LEAST_AREA = 0.5
"""Smallest share of a picture that :func:`jittered` leaves."""

JITTERED_SIDE = 0.875
"""Side of a jittered picture, as a share of the whole one's.

What a crop shows is larger than it will be; on a smaller square it is as large again, and costs less (Touvron et al.
2019, "Fixing the train-test resolution discrepancy", https://arxiv.org/abs/1906.06423).
"""


def jittered(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A random stretch of (R, R, 3), in other light, on a smaller square; all chance is torch's.

    Half to all of its area, its sides' ratio changed by 3/4 to 4/3 (Szegedy et al. 2015,
    https://arxiv.org/abs/1409.4842); brightness, contrast and saturation changed by up to 0.3. Hue stays: colours are
    asked about. What is no pixels comes back as it is.
    """
    if pixels.dtype != np.uint8 or pixels.shape != (len(pixels), len(pixels), 3):
        return pixels
    chance = torch.rand(7).tolist()
    area, ratio = LEAST_AREA + (1 - LEAST_AREA) * chance[0], (4 / 3) ** (2 * chance[1] - 1)
    side, least = len(pixels), round(JITTERED_SIDE * len(pixels) / 32) * 32
    wide, high = (min(side, max(1, round(side * math.sqrt(x)))) for x in (area * ratio, area / ratio))
    left, top = int(chance[2] * (side - wide + 1)), int(chance[3] * (side - high + 1))
    image = Image.fromarray(np.ascontiguousarray(pixels[top : top + high, left : left + wide]))
    image = image.resize((least, least), Image.Resampling.BILINEAR)
    for kind, x in zip((ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), chance[4:], strict=True):
        image = kind(image).enhance(0.7 + 0.6 * x)
    return np.asarray(image)


def grid_of(trunk: PictureTrunk, batch: Batch) -> Tensor:
    """The grid (B, D, G, G) of a batch, from wherever its pictures were cut."""
    if FeatureLevel.GRID.value in batch:
        return batch[FeatureLevel.GRID.value]
    if FeatureLevel.STEM.value in batch:
        return trunk.grid(batch[FeatureLevel.STEM.value].contiguous(memory_format=torch.channels_last))
    found: Tensor = trunk(batch[FeatureLevel.PIXELS.value].contiguous(memory_format=torch.channels_last))
    return found
