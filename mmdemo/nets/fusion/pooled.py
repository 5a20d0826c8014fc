"""Fusions of one vector per modality: early, weighted, late and hybrid.

Legend: see :mod:`mmdemo.nets.fusion.base`; ``v`` is the picture's vector, ``q`` the question's, both (B, W).
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmdemo.nets.fusion.base import AskConfig, Fusion, FusionOutput, answer_head, mean_token, shown_logits

PACE = 10.0
"""Factor on single learned shares: Adam moves every number alike, and a matrix moves its output by far more."""


class PooledPicture(nn.Module):
    """Mean of the grid's cells, projected: v = LayerNorm(W mean(grid)); the bias alone with ``ablate_image``."""

    def __init__(self, config: AskConfig) -> None:
        super().__init__()
        self.ablate_image = config.ablate_image
        self.linear = nn.Linear(config.channels, config.width)
        self.norm = nn.LayerNorm(config.width)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, grid: Tensor) -> Tensor:
        """Args: grid (P, D, G, G). Returns (P, W)."""
        mean = grid.flatten(2).mean(dim=2)  # (P, D)
        if self.ablate_image:
            mean = torch.zeros_like(mean)
        pooled: Tensor = self.drop(self.norm(self.linear(mean)))  # (P, W)
        return pooled


class PooledFusion(Fusion):
    """Base of those that know a picture and a question only as a whole; their memory is (P, W)."""

    def __init__(self, config: AskConfig) -> None:
        super().__init__(config)
        self.picture = PooledPicture(config)

    def fuse(self, x: Tensor, mask: Tensor, memory: Tensor, picture: Tensor) -> FusionOutput:
        return self.vectors(memory[picture], mean_token(x, mask))

    @abstractmethod
    def vectors(self, v: Tensor, q: Tensor) -> FusionOutput:
        """Args: v, q (B, W)."""


class EarlyFusion(PooledFusion):
    """The vectors side by side: logits = MLP(LayerNorm([q; v])).

    Early fusion: Snoek et al. 2005, "Early versus Late Fusion in Semantic Video Analysis",
    https://doi.org/10.1145/1101149.1101236. For questions about pictures: Zhou et al. 2015, "Simple Baseline for
    Visual Question Answering", https://arxiv.org/abs/1512.02167, there without a hidden layer.
    """

    def __init__(self, config: AskConfig) -> None:
        super().__init__(config)
        self.norm = nn.LayerNorm(2 * config.width)
        self.answer = answer_head(2 * config.width, config)

    def vectors(self, v: Tensor, q: Tensor) -> FusionOutput:
        return FusionOutput(self.answer(self.norm(torch.cat((q, v), dim=1))))  # (B, K)


class WeightedFusion(PooledFusion):
    """One vector, mixed from both: (α, β) = softmax(U tanh(V [q; v])), logits = MLP(LayerNorm(α v + β q)).

    The shares depend on picture and question. After the gated multimodal unit (Arevalo et al. 2017,
    https://arxiv.org/abs/1702.01992), with one gate per modality where it has one per feature. A hidden modality has
    share 0.
    """

    def __init__(self, config: AskConfig) -> None:
        super().__init__(config)
        width = config.width
        self.gate = nn.Sequential(nn.Linear(2 * width, width), nn.Tanh(), nn.Linear(width, 2))
        self.norm = nn.LayerNorm(width)
        self.answer = answer_head(width, config)

    def vectors(self, v: Tensor, q: Tensor) -> FusionOutput:
        gate = self.gate(torch.cat((q, v), dim=1)).float()  # (B, 2)
        weights = (gate + shown_logits(self.config).to(gate.device)).softmax(dim=1)  # (B, 2)
        mixed = weights[:, :1] * v + weights[:, 1:] * q  # (B, W)
        return FusionOutput(self.answer(self.norm(mixed)), weights)


class LateHeads(nn.Module):
    """Two predictions and their learned shares: p = w_v softmax(MLP(v)) + w_q softmax(MLP(q)), w = softmax(10 u).

    The shares are the same for every input. A hidden modality has share 0.
    """

    def __init__(self, config: AskConfig) -> None:
        super().__init__()
        self.config = config
        self.image_answer = answer_head(config.width, config)
        self.question_answer = answer_head(config.width, config)
        self.mix = nn.Parameter(torch.zeros(2))

    def forward(self, v: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """Args: v, q (B, W). Returns the logarithms of p (B, K), and w (2,)."""
        shares = PACE * self.mix.float() + shown_logits(self.config).to(self.mix.device)  # (2,)
        alone = torch.stack((self.image_answer(v), self.question_answer(q)))  # (2, B, K)
        return averaged(alone, shares), shares.softmax(dim=0)


class LateFusion(PooledFusion):
    """Each modality predicts, the predictions are averaged: logits = log(w_v softmax(MLP(v)) + w_q softmax(MLP(q))).

    The sum rule of Kittler et al. 1998, "On Combining Classifiers", https://doi.org/10.1109/34.667881, with learned
    weights; late fusion in the sense of Snoek et al. 2005, https://doi.org/10.1145/1101149.1101236. The softmax of
    the logits is the average itself.
    """

    def __init__(self, config: AskConfig) -> None:
        super().__init__(config)
        self.late = LateHeads(config)

    def vectors(self, v: Tensor, q: Tensor) -> FusionOutput:
        logits, shares = self.late(v, q)
        return FusionOutput(logits, shares.expand(len(v), 2))


class HybridFusion(PooledFusion):
    """Early and late together: logits = log(λ p_early + (1 - λ) p_late), λ = sigmoid(10 u), learned.

    p_early is the softmax of :class:`EarlyFusion`'s logits, p_late the average of :class:`LateFusion`, whose shares
    are shown. Hybrid fusion: Atrey et al. 2010, "Multimodal fusion for multimedia analysis: a survey",
    https://doi.org/10.1007/s00530-010-0182-0.
    """

    def __init__(self, config: AskConfig) -> None:
        super().__init__(config)
        self.norm = nn.LayerNorm(2 * config.width)
        self.answer = answer_head(2 * config.width, config)
        self.late = LateHeads(config)
        self.early_share = nn.Parameter(torch.zeros(()))

    def vectors(self, v: Tensor, q: Tensor) -> FusionOutput:
        early = self.answer(self.norm(torch.cat((q, v), dim=1)))  # (B, K)
        late, shares = self.late(v, q)
        both = PACE * torch.stack((self.early_share, torch.zeros_like(self.early_share)))  # softmax of it is (λ, 1 - λ)
        return FusionOutput(averaged(torch.stack((early, late)), both), shares.expand(len(v), 2))


def averaged(logits: Tensor, shares: Tensor) -> Tensor:
    """Logarithms (B, K) of the average of predictions: logits (M, B, K), shares (M,) as logits too.

    In fp32, whatever the precision of the matrix products: half of a rare answer's probability is lost in bf16.
    """
    predicted = F.log_softmax(logits.float(), dim=2) + F.log_softmax(shares.float(), dim=0)[:, None, None]
    return predicted.logsumexp(dim=0)
