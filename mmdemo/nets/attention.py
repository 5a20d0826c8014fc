"""Transformer blocks that the fusion and the decoder are made of.

Legend: ``B`` batch, ``T`` queries, ``N`` keys, ``W`` width, ``h`` heads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762) with keys that can be kept.

    Keys and values are projected by :meth:`keys` and passed in, so that a picture's are computed once for many
    questions, and a decoder's grow by one position a step.
    """

    def __init__(self, width: int, heads: int, *, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of {heads} heads")
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)  # (B, h, T, W / h)

    def keys(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Args: memory (B, N, W). Returns keys and values, each (B, h, N, W / h)."""
        key, value = self.key_value(memory).chunk(2, dim=2)
        return self._split(key), self._split(value)

    def forward(
        self, x: Tensor, keys: tuple[Tensor, Tensor], mask: Tensor | None = None, *, causal: bool = False
    ) -> Tensor:
        """Args: x (B, T, W); keys as from :meth:`keys`; mask bool (B, 1, T or 1, N), true where to look.

        Returns (B, T, W).
        """
        key, value = keys
        found = F.scaled_dot_product_attention(
            self._split(self.query(x)),
            key,
            value,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=causal,
        )
        out: Tensor = self.out(found.transpose(1, 2).flatten(2))  # (B, T, W)
        return out

    def weights(self, x: Tensor, keys: tuple[Tensor, Tensor]) -> Tensor:
        """Attention averaged over the heads, (B, T, N); for showing where it looked."""
        query, key = self._split(self.query(x)), keys[0]
        scores: Tensor = query @ key.transpose(2, 3) / query.shape[3] ** 0.5  # (B, h, T, N)
        return scores.softmax(dim=3).mean(dim=1)


class Block(nn.Module):
    """Pre-norm block: attention to itself, attention to a memory, feed-forward."""

    def __init__(self, width: int, heads: int, *, dropout: float) -> None:
        super().__init__()
        self.norm_self, self.norm_cross, self.norm_feed = (nn.LayerNorm(width) for _ in range(3))
        self.self_attention = Attention(width, heads, dropout=dropout)
        self.cross_attention = Attention(width, heads, dropout=dropout)
        self.feed = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * width, width)
        )
        self.drop = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        memory: tuple[Tensor, Tensor],
        past: tuple[Tensor, Tensor] | None = None,
        mask: Tensor | None = None,
        *,
        causal: bool = False,
        memory_mask: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Args: x (B, T, W); memory: keys of the cross-attention; past: keys of earlier positions; mask for itself;
        memory_mask bool (B, 1, 1, N), true on what of the memory may be seen.

        Returns the new x and the keys of all positions so far, each (B, h, past + T, W / h).
        """
        h = self.norm_self(x)
        keys = self.self_attention.keys(h)
        if past is not None:
            keys = (torch.cat((past[0], keys[0]), dim=2), torch.cat((past[1], keys[1]), dim=2))
        x = x + self.drop(self.self_attention(h, keys, mask, causal=causal))
        x = x + self.drop(self.cross_attention(self.norm_cross(x), memory, memory_mask))
        return x + self.drop(self.feed(self.norm_feed(x))), keys


class Blocks(nn.ModuleList):
    """A stack of :class:`Block`; the same as the list, but typed."""

    def __init__(self, count: int, width: int, heads: int, *, dropout: float) -> None:
        super().__init__(Block(width, heads, dropout=dropout) for _ in range(count))

    def __iter__(self) -> Iterator[Block]:
        return cast("Iterator[Block]", super().__iter__())


class GridProjection(nn.Module):
    """Grid of the trunk → memory of the blocks: linear, learned position, norm (``ablate_image``: position only)."""

    def __init__(self, channels: int, width: int, cells: int, *, ablate_image: bool, dropout: float) -> None:
        super().__init__()
        self.ablate_image = ablate_image
        self.linear = nn.Linear(channels, width)
        self.position = nn.Parameter(torch.randn(cells, width) * 0.02)
        self.norm = nn.LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, grid: Tensor) -> Tensor:
        """Args: grid (B, D, G, G) in [0, 6]. Returns (B, G * G, W)."""
        cells = grid.flatten(2).transpose(1, 2)  # (B, G * G, D)
        if self.ablate_image:
            cells = torch.zeros_like(cells)
        memory: Tensor = self.drop(self.norm(self.linear(cells) + self.position))  # (B, G * G, W)
        return memory
