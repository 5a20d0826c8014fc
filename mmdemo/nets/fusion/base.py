"""What the fusions have in common: their settings, their interface, the parts that several of them use.

Legend: ``B`` questions, ``P`` pictures, ``T`` tokens of the question, ``E`` width of the text encoder, ``D`` channels
and ``G`` side of the picture's grid, ``W`` width of the fusion, ``K`` answers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmdemo.core.words import nearest_name
from mmdemo.nets.question import HiddenQuestion, LstmQuestion, StatesQuestion

FUSION_NAMES = ("early", "weighted", "late", "hybrid", "cross-attention", "co-attention")
QUESTION_ENCODERS = ("minilm", "lstm")


@dataclass(frozen=True, slots=True, kw_only=True)
class AskConfig:
    """Settings of a network for Ask.

    Attributes:
        answers: Output units.
        width: Of the fusion, in each modality.
        layers, heads: Of the attention; the pooled fusions have neither.
        text_width: Of the text encoder's token states; read where ``question`` is "minilm".
        channels, grid: Of the picture's grid.
        fusion: One of :data:`FUSION_NAMES`.
        question: Question encoder, one of :data:`QUESTION_ENCODERS`.
        question_words: Vocabulary of the "lstm", without the unknown word.
        ablate_image: Hides the picture; the drop in accuracy says how much the picture contributes.
        ablate_question: Hides the question.
    """

    answers: int
    width: int = 320
    layers: int = 2
    heads: int = 8
    dropout: float = 0.15
    text_width: int = 384
    channels: int = 1280
    grid: int = 8
    fusion: str = "cross-attention"
    question: str = "minilm"
    question_words: int = 0
    ablate_image: bool = False
    ablate_question: bool = False

    def __post_init__(self) -> None:
        for name, word, known in (
            ("fusion", self.fusion, FUSION_NAMES),
            ("question", self.question, QUESTION_ENCODERS),
        ):
            if word not in known:
                near = nearest_name(word, known)
                hint = f", of which {near} is the nearest" if near else ""
                raise ValueError(f"{name} is {word!r} and must be one of {', '.join(known)}{hint}")
        if self.ablate_image and self.ablate_question:
            raise ValueError("ablate_image and ablate_question together leave nothing to answer from")


class FusionOutput(NamedTuple):
    """Logits (B, K); and (B, 2), the shares of picture and question, where the fusion learns any."""

    logits: Tensor
    weights: Tensor | None = None


class Fusion(nn.Module, ABC):
    """A picture and a question go in, the answers' logits come out.

    ``picture`` and ``question`` are the modalities' own layers; what follows them is the fusion's.
    """

    picture: nn.Module

    def __init__(self, config: AskConfig) -> None:
        super().__init__()
        self.config = config
        self.question = question_encoder(config)

    def memory(self, grid: Tensor) -> Tensor:
        """Args: grid (P, D, G, G) in [0, 6]. Returns (P, ...): what a picture gives, whatever is asked about it."""
        found: Tensor = self.picture(grid)
        return found

    def fused(self, tokens: Tensor, mask: Tensor, memory: Tensor, picture: Tensor) -> FusionOutput:
        """Logits, and the shares of the modalities.

        Args:
            tokens: (B, T, E) states of the questions' tokens; for an LSTM int (B, T), their words.
            mask: bool (B, T), true on real tokens, which come first.
            memory: (P, ...) of the pictures, as from :meth:`memory`.
            picture: int (B,), about which picture each question is.
        """
        x, mask = self.question(tokens, mask)
        return self.fuse(x, mask, memory, picture)

    def forward(self, tokens: Tensor, mask: Tensor, memory: Tensor, picture: Tensor) -> Tensor:
        """Logits (B, K); arguments as of :meth:`fused`."""
        return self.fused(tokens, mask, memory, picture).logits

    @abstractmethod
    def fuse(self, x: Tensor, mask: Tensor, memory: Tensor, picture: Tensor) -> FusionOutput:
        """As :meth:`fused`, with encoded tokens x (B, T, W)."""


def question_encoder(config: AskConfig) -> nn.Module:
    """What reads the questions of a network with these settings."""
    if config.ablate_question:
        return HiddenQuestion(config.width)
    if config.question == "lstm":
        return LstmQuestion(config.question_words, config.width, dropout=config.dropout)
    return StatesQuestion(config.text_width, config.width)


def mean_token(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the real tokens: x (B, T, W), mask bool (B, T) → (B, W)."""
    weights = mask.unsqueeze(2).to(x.dtype)  # (B, T, 1)
    return (x * weights).sum(dim=1) / weights.sum(dim=1)


def answer_head(inputs: int, config: AskConfig) -> nn.Sequential:
    """A vector (B, inputs) → logits (B, K), through one hidden layer."""
    return nn.Sequential(
        nn.Linear(inputs, 2 * config.width),
        nn.GELU(),
        nn.Dropout(2 * config.dropout),
        nn.Linear(2 * config.width, config.answers),
    )


def shown_logits(config: AskConfig) -> Tensor:
    """Added to the logits of picture and question (2,), it leaves a hidden modality no share."""
    hidden = torch.tensor([config.ablate_image, config.ablate_question])
    return torch.zeros(2).masked_fill(hidden, -torch.inf)
