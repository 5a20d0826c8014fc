"""The text encoder: MiniLM-L6, token by token for questions and pooled for labels and captions.

Legend: ``B`` texts, ``T`` tokens, ``E`` width (384).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig, BertModel


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConfig:
    """Shape of the encoder; the defaults are those of all-MiniLM-L6-v2."""

    vocabulary: int = 30522
    width: int = 384
    layers: int = 6
    heads: int = 12
    hidden: int = 1536
    positions: int = 512
    max_tokens: int = 32

    def __post_init__(self) -> None:
        if not 1 <= self.max_tokens <= self.positions:
            raise ValueError(f"max_tokens must lie between 1 and {self.positions}, not {self.max_tokens}")


class TextEncoder(nn.Module):
    """all-MiniLM-L6-v2 (Wang et al. 2020, https://arxiv.org/abs/2002.10957; tuned by sentence-transformers)."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.net = BertModel(
            BertConfig(
                vocab_size=config.vocabulary,
                hidden_size=config.width,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                intermediate_size=config.hidden,
                max_position_embeddings=config.positions,
            ),
            add_pooling_layer=False,
        )

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Args: tokens int (B, T), mask bool (B, T), true on real tokens. Returns (B, T, E)."""
        states: Tensor = self.net(input_ids=tokens, attention_mask=mask.long()).last_hidden_state  # (B, T, E)
        return states

    def pooled(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Unit sentence vectors (B, E): the mean over real tokens, as the published model pools."""
        states = self(tokens, mask)  # (B, T, E)
        weights = mask.unsqueeze(2).to(states.dtype)  # (B, T, 1)
        return F.normalize((states * weights).sum(dim=1) / weights.sum(dim=1), dim=1)


def pad_tokens(rows: list[list[int]], *, pad: int = 0) -> tuple[Tensor, Tensor]:
    """Rows of token ids → tokens int64 (B, T) and mask bool (B, T)."""
    longest = max((len(row) for row in rows), default=1)
    tokens = torch.full((len(rows), longest), pad, dtype=torch.long)
    mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[i, : len(row)] = True
    return tokens, mask
