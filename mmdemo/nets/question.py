"""Question encoders: what was asked, as one vector per token in the width of the fusion.

Legend: ``B`` questions, ``T`` tokens, ``E`` width of the text encoder, ``W`` width of the fusion.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

UNKNOWN_WORD = 0
"""Index of every word that is not in the vocabulary; the vocabulary's own begin at 1."""


class StatesQuestion(nn.ModuleList):
    """Token states of a frozen text encoder, projected: x = LayerNorm(W s).

    The encoder is MiniLM (Wang et al. 2020, https://arxiv.org/abs/2002.10957), which stays outside this network.
    """

    def __init__(self, text_width: int, width: int) -> None:
        super().__init__((nn.Linear(text_width, width), nn.LayerNorm(width)))

    def forward(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Args: tokens (B, T, E); mask bool (B, T), true on real ones. Returns (B, T, W) and the mask."""
        linear, norm = self
        return norm(linear(tokens)), mask


class LstmQuestion(nn.Module):
    """Words read by an LSTM trained from scratch, forwards and backwards: x = LayerNorm([forwards; backwards]).

    LSTM: Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735. As a question encoder: Antol
    et al. 2015, "VQA", https://arxiv.org/abs/1505.00468, there in one direction and with its last state alone; here
    every word keeps its state, so that attention has something to choose from.
    """

    def __init__(self, words: int, width: int, *, dropout: float) -> None:
        super().__init__()
        if width % 2:
            raise ValueError(f"width {width} cannot be halved for an LSTM's two directions")
        self.embedding = nn.Embedding(words + 1, width)  # and the unknown word
        self.drop = nn.Dropout(dropout)
        self.lstm = nn.LSTM(width, width // 2, batch_first=True, bidirectional=True)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Args: tokens int (B, T); mask bool (B, T), true on real ones, which come first.

        Returns (B, T, W) and the mask.
        """
        embedded = self.drop(self.embedding(tokens))  # (B, T, W)
        # packed, so that the way back begins at the last word and not in the padding
        packed = pack_padded_sequence(embedded, mask.sum(dim=1).cpu(), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=tokens.shape[1])
        return self.norm(states), mask  # (B, T, W)


class HiddenQuestion(nn.Module):
    """One learned vector, whatever is asked: what a picture alone says of the answer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.randn(1, width) * 0.02)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Args: as of the others, unread. Returns (B, 1, W) and a mask bool (B, 1)."""
        return self.norm(self.nothing).expand(len(mask), 1, -1), mask.new_ones(len(mask), 1)
