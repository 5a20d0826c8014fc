"""Pictures to show to tiny models."""

from __future__ import annotations

import numpy as np

from mmdemo.core.types import Picture


def coloured(seed: int, *, height: int = 40, width: int = 48) -> Picture:
    """Eight by eight patches of random colours, stretched over the whole picture."""
    patches = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    rows, columns = np.arange(height) * 8 // height, np.arange(width) * 8 // width
    return Picture(pixels=patches[rows][:, columns], key=f"{seed} {height} {width}", name=f"{seed}.png")
