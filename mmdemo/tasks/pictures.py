"""Pixels to tensors: the one way in which every picture reaches the trunk, in training and in serving alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mmdemo.nets.vision import MEAN, STD


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
