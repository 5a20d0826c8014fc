"""Pictures encoded once: the trunk's grids, kept for the pictures that people are working with.

Legend: ``D`` channels, ``G`` side of the grid.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmdemo.core.turns import pause
from mmdemo.core.types import Picture
from mmdemo.models.encoders import VisionEncoder
from mmdemo.nets.vision import pool
from mmdemo.tasks.pictures import normalized, square

KEPT_PICTURES = 128
"""Grids that are kept; one takes 0.3 MB."""

BATCH = 16
"""Pictures per forward pass on an accelerator."""

BATCH_CPU = 2
"""Pictures per forward pass on a CPU: more take longer each, as what they need does not fit its caches."""


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """What the trunk says of a picture: grid (D, G, G) and its mean (D,), in fp32 on the trunk's device."""

    grid: Tensor
    pooled: Tensor


class PictureEncoder:
    """Runs the trunk and remembers; one for all models that share a trunk."""

    def __init__(self, vision: VisionEncoder) -> None:
        self.vision = vision
        self._kept: OrderedDict[str, ImageFeatures] = OrderedDict()
        self._lock = threading.Lock()

    def encode(self, pictures: Sequence[Picture]) -> list[ImageFeatures]:
        """One :class:`ImageFeatures` per picture, in order; what is known is not encoded again."""
        with self._lock:
            found = {p.key: self._kept[p.key] for p in pictures if p.key in self._kept}
        new = list({p.key: p for p in pictures if p.key not in found}.values())
        trunk, device = self.vision.trunk, self.vision.device
        batch = BATCH_CPU if device == "cpu" else BATCH
        for start in range(0, len(new), batch):
            pause()
            some = new[start : start + batch]
            pixels = normalized([square(p.pixels, trunk.config.side) for p in some]).to(device)
            with torch.inference_mode(), torch.autocast(device, dtype=torch.bfloat16, enabled=device != "cpu"):
                grid = trunk(pixels).float()  # (B, D, G, G)
                pooled = pool(grid)
            found.update(
                {p.key: ImageFeatures(g.clone(), v.clone()) for p, g, v in zip(some, grid, pooled, strict=True)}
            )
        with self._lock:
            for picture in pictures:
                self._kept[picture.key] = found[picture.key]
                self._kept.move_to_end(picture.key)
            while len(self._kept) > KEPT_PICTURES:
                self._kept.popitem(last=False)
        return [found[p.key] for p in pictures]


# by the trunk's id, which is its own as long as the encoder lives and holds it; with the trunk itself as key both
# would stay for ever, because the value holds its key
_encoders: weakref.WeakValueDictionary[int, PictureEncoder] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def encoder_for(vision: VisionEncoder) -> PictureEncoder:
    """The one encoder of a trunk; it is gone with the last model that uses it."""
    with _lock:
        encoder = _encoders.get(id(vision))
        if encoder is None:
            encoder = _encoders[id(vision)] = PictureEncoder(vision)
        return encoder
