"""How a question and a picture are brought together before the answer is chosen.

Legend: ``B`` questions, ``T`` tokens of the question, ``E`` width of the text encoder, ``D`` channels and ``G`` side of
the picture's grid, ``W`` width of the fusion, ``K`` answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmdemo.nets.attention import Blocks, GridProjection


@dataclass(frozen=True, slots=True, kw_only=True)
class AskConfig:
    """``blind`` hides the picture: the figure of a blind network says how much the picture helps."""

    answers: int
    width: int = 320
    layers: int = 2
    heads: int = 8
    dropout: float = 0.15
    text_width: int = 384
    channels: int = 1280
    grid: int = 8
    blind: bool = False


class CrossAttentionFusion(nn.Module):
    """Question tokens attend to the cells of the grid, layer by layer; their mean picks the answer.

    For layer l: q ← q + SelfAttention(q); q ← q + CrossAttention(q, grid); q ← q + FeedForward(q).
    After the cross-modality layers of LXMERT (Tan and Bansal 2019, https://arxiv.org/abs/1908.07490), one way only.
    The pooled picture goes into the answer as well: what a picture as a whole shows needs no attention.
    """

    def __init__(self, config: AskConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.question = nn.Sequential(nn.Linear(config.text_width, width), nn.LayerNorm(width))
        self.picture = GridProjection(
            config.channels, width, config.grid**2, blind=config.blind, dropout=config.dropout
        )
        self.blocks = Blocks(config.layers, width, config.heads, dropout=config.dropout)
        self.norm = nn.LayerNorm(2 * width)
        self.answer = nn.Sequential(
            nn.Linear(2 * width, 2 * width),
            nn.GELU(),
            nn.Dropout(2 * config.dropout),
            nn.Linear(2 * width, config.answers),
        )

    def memory(self, grid: Tensor) -> Tensor:
        """Args: grid (P, D, G, G). Returns (P, G * G, W): what a picture gives, whatever is asked about it."""
        cells: Tensor = self.picture(grid)  # (P, G * G, W)
        return cells

    def forward(self, states: Tensor, mask: Tensor, memory: Tensor, picture: Tensor) -> Tensor:
        """Logits (B, K).

        Args:
            states: (B, T, E) of the questions' tokens; mask bool (B, T), true on real ones.
            memory: (P, G * G, W) of the pictures.
            picture: int (B,), about which picture each question is.
        """
        x = self.question(states)  # (B, T, W)
        seen = mask[:, None, None, :]  # (B, 1, 1, T)
        for block in self.blocks:
            key, value = block.cross_attention.keys(memory)  # (P, h, G * G, W / h)
            x, _ = block(x, (key[picture], value[picture]), mask=seen)
        weights = mask.unsqueeze(2).to(x.dtype)  # (B, T, 1)
        pooled = (x * weights).sum(dim=1) / weights.sum(dim=1)  # (B, W)
        both = torch.cat((pooled, memory.mean(dim=1)[picture]), dim=1)  # (B, 2 W)
        logits: Tensor = self.answer(self.norm(both))  # (B, K)
        return logits
