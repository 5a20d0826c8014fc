"""Fusions in which single tokens and cells meet: cross-attention and co-attention.

Legend: see :mod:`mmdemo.nets.fusion.base`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from mmdemo.nets.attention import Block, Blocks, GridProjection
from mmdemo.nets.fusion.base import AskConfig, Fusion, FusionOutput, answer_head, mean_token


class GridFusion(Fusion):
    """Base of those that look at the grid's cells; their memory is (P, G * G, W)."""

    def __init__(self, config: AskConfig) -> None:
        super().__init__(config)
        self.picture = GridProjection(
            config.channels, config.width, config.grid**2, ablate_image=config.ablate_image, dropout=config.dropout
        )


class CrossAttentionFusion(GridFusion):
    """Question tokens attend to the cells of the grid, layer by layer; their mean picks the answer.

    For layer l: q ← q + SelfAttention(q); q ← q + CrossAttention(q, grid); q ← q + FeedForward(q).
    After the cross-modality layers of LXMERT (Tan and Bansal 2019, https://arxiv.org/abs/1908.07490), one way only.
    The pooled picture goes into the answer as well: what a picture as a whole shows needs no attention.
    """

    def __init__(self, config: AskConfig) -> None:
        super().__init__(config)
        self.blocks = Blocks(config.layers, config.width, config.heads, dropout=config.dropout)
        self.norm = nn.LayerNorm(2 * config.width)
        self.answer = answer_head(2 * config.width, config)

    def fuse(self, x: Tensor, mask: Tensor, memory: Tensor, picture: Tensor) -> FusionOutput:
        seen = mask[:, None, None, :]  # (B, 1, 1, T)
        for block in self.blocks:
            key, value = block.cross_attention.keys(memory)  # (P, h, G * G, W / h)
            x, _ = block(x, (key[picture], value[picture]), mask=seen)
        both = torch.cat((mean_token(x, mask), memory.mean(dim=1)[picture]), dim=1)  # (B, 2 W)
        return FusionOutput(self.answer(self.norm(both)))


class CoAttentionLayer(nn.Module):
    """Both at once: tokens look at cells, cells look at tokens, each as they were before the layer."""

    def __init__(self, config: AskConfig) -> None:
        super().__init__()
        width, heads, dropout = config.width, config.heads, config.dropout
        self.tokens, self.cells = (Block(width, heads, dropout=dropout) for _ in range(2))
        self.norm_tokens, self.norm_cells = (nn.LayerNorm(width) for _ in range(2))

    def forward(self, x: Tensor, cells: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Args: x (B, T, W); cells (B, G * G, W); seen bool (B, 1, 1, T). Returns new x and cells."""
        about_cells = self.tokens.cross_attention.keys(self.norm_cells(cells))
        about_tokens = self.cells.cross_attention.keys(self.norm_tokens(x))
        x, _ = self.tokens(x, about_cells, mask=seen)
        cells, _ = self.cells(cells, about_tokens, memory_mask=seen)
        return x, cells


class CoAttentionLayers(nn.ModuleList):
    """A stack of :class:`CoAttentionLayer`; the same as the list, but typed."""

    def __iter__(self) -> Iterator[CoAttentionLayer]:
        return cast("Iterator[CoAttentionLayer]", super().__iter__())


class CoAttentionFusion(GridFusion):
    """Tokens attend to cells and cells to tokens, layer by layer; the means of both pick the answer.

    For layer l, with the states before it on the right: q ← Block(q, LayerNorm(c)), c ← Block(c, LayerNorm(q)), where
    Block(x, m) is x ← x + SelfAttention(x); x ← x + CrossAttention(x, m); x ← x + FeedForward(x).
    The co-attention of ViLBERT (Lu et al. 2019, https://arxiv.org/abs/1908.02265), whose layers attend to the other
    modality first and to themselves after it. The cells depend on the question, so each question pays for its own.
    """

    def __init__(self, config: AskConfig) -> None:
        super().__init__(config)
        self.layers = CoAttentionLayers(CoAttentionLayer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(2 * config.width)
        self.answer = answer_head(2 * config.width, config)

    def fuse(self, x: Tensor, mask: Tensor, memory: Tensor, picture: Tensor) -> FusionOutput:
        seen = mask[:, None, None, :]  # (B, 1, 1, T)
        cells = memory[picture]  # (B, G * G, W)
        for layer in self.layers:
            x, cells = layer(x, cells, seen)
        both = torch.cat((mean_token(x, mask), cells.mean(dim=1)), dim=1)  # (B, 2 W)
        return FusionOutput(self.answer(self.norm(both)))
