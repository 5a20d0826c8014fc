"""Which patches of a picture speak for what a network says of it: the cut through the network, and the way back.

Legend: ``D`` channels, ``H`` and ``W`` patches, ``E`` width of the answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """What part of a picture a square processor shows to the network.

    Attributes:
        mode: "crop" is the middle square, "squash" all of it pressed into a square, "fit" all of it with a border.
        zoom: Shorter side, in sides of the square that is cut out of it; 1 but where both are set apart.
    """

    mode: Literal["crop", "squash", "fit"] = "squash"
    zoom: float = 1.0

    def placed(self, cells: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
        """Cells of the whole picture from those that the network saw; 0 where it saw nothing.

        Args:
            cells: (H, W).
            height, width: Of the picture, in pixels.
        """
        short, rows, columns = min(height, width), *cells.shape
        if self.mode == "crop":
            more_rows = max(round(rows * self.zoom * height / short), rows) - rows
            more_columns = max(round(columns * self.zoom * width / short), columns) - columns
            margins = ((more_rows // 2, more_rows - more_rows // 2), (more_columns // 2, -(-more_columns // 2)))
            return np.pad(cells, margins)
        if self.mode == "fit":
            kept_rows = max(1, round(rows * height / max(height, width)))
            kept_columns = max(1, round(columns * width / max(height, width)))
            top, left = (rows - kept_rows) // 2, (columns - kept_columns) // 2
            return cells[top : top + kept_rows, left : left + kept_columns]
        return cells


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchGraph:
    """A network cut in two behind a layer.

    Attributes:
        grid: What the layer says of each patch, (D, H, W).
        rest: From (1, D, H, W) to the network's answer (1, E).
    """

    grid: Tensor
    rest: Callable[[Tensor], Tensor]


def cut_tokens(
    layer: nn.Module, answer: Callable[[], Tensor], *, first: int, size: tuple[int, int]
) -> PatchGraph | None:
    """Cut behind a layer of tokens; None where they are fewer than the patches.

    It should be a normalisation: what feeds one has, summed over channels, no gradient along itself, because the
    output does not change with the input's length.

    Args:
        layer: Its output is (1, T, D).
        answer: Runs the whole network.
        first: Tokens before those of the patches.
        size: H and W.
    """
    count = size[0] * size[1]
    seen = _run(layer, answer, None)[1]
    tokens = seen.detach().clone()
    if tokens.shape[1] < first + count:
        return None
    grid = tokens[0, first : first + count].T.reshape(-1, *size)  # (D, H, W)

    def rest(x: Tensor) -> Tensor:
        patches = x.flatten(2).transpose(1, 2)  # (1, H * W, D)
        return _run(layer, answer, torch.cat((tokens[:, :first], patches, tokens[:, first + count :]), dim=1))[0]

    return PatchGraph(grid=grid, rest=rest)


def cut_map(layer: nn.Module, answer: Callable[[], Tensor]) -> PatchGraph:
    """Cut behind a layer whose output is (1, D, H, W)."""
    seen = _run(layer, answer, None)[1].detach().clone()
    return PatchGraph(grid=seen[0], rest=lambda x: _run(layer, answer, x)[0])


def _run(layer: nn.Module, answer: Callable[[], Tensor], instead: Tensor | None) -> tuple[Tensor, Tensor]:
    """The network's answer, and what the layer put out; with ``instead`` in its place where that is given."""
    found: list[Tensor] = []
    here = threading.get_ident()

    def watch(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor | None:
        if threading.get_ident() != here:
            return None  # someone else's question meanwhile
        found.append(output)
        return instead

    handle = layer.register_forward_hook(watch)
    try:
        said = answer()
    finally:
        handle.remove()
    return said, found[0]
