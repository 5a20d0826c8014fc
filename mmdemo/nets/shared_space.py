"""Picture and text in one space: the projection that Classify adds to what the ImageNet head knows.

Legend: ``B`` pictures, ``D`` channels of the pooled grid, ``E`` width of the text space.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifyConfig:
    """Settings of :class:`TextSpace`; ``classes``, ``bank`` and ``own`` count the words whose vectors it carries."""

    channels: int = 1280
    hidden: int = 1024
    text_width: int = 384
    dropout: float = 0.2
    classes: int = 1000
    bank: int = 2000
    own: int = 0


class TextSpace(nn.Module):
    """Pooled grid → unit vector beside the sentence vectors of the frozen text encoder.

    Attributes:
        names: Unit vectors of the ImageNet classes, (classes, E).
        bank: Unit vectors of everyday words, (bank, E), against which labels must stand out. Both are carried along,
            because encoding three thousand words takes longer than anything else when a model is loaded.
        said, moved: Where there are classes of somebody's own, unit vectors of their names, (own, E), and by how much
            pictures of them moved them. Any other label stays where the text encoder puts it.
    """

    names: Tensor
    bank: Tensor
    said: Tensor
    moved: Tensor

    def __init__(self, config: ClassifyConfig) -> None:
        super().__init__()
        self.config = config
        self.net = nn.Sequential(
            nn.LayerNorm(config.channels),
            nn.Linear(config.channels, config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.text_width),
        )
        self.log_scale = nn.Parameter(torch.tensor(2.7))
        self.register_buffer("names", torch.zeros(config.classes, config.text_width))
        self.register_buffer("bank", torch.zeros(config.bank, config.text_width))
        if config.own:
            self.register_buffer("said", torch.zeros(config.own, config.text_width))
            self.register_buffer("moved", torch.zeros(config.own, config.text_width))

    def forward(self, pooled: Tensor) -> Tensor:
        """Args: pooled (B, D). Returns unit vectors (B, E)."""
        return F.normalize(self.net(pooled).float(), dim=1)

    def own(self) -> Tensor:
        """Unit vectors (own, E) of the classes of somebody's own, moved by what was shown of them."""
        return F.normalize(self.said + self.moved, dim=1)


SPREAD = 1e-4
"""Least standard deviation over the bank; keeps a flat picture from dividing by nothing."""


def heights(vectors: Tensor, labels: Tensor, bank: Tensor) -> Tensor:
    """How far each label stands out from what could be said of any picture, in standard deviations over the bank.

    Args:
        vectors: Unit vectors of pictures, (B, E).
        labels: Unit vectors of labels, (K, E).
        bank: Unit vectors of many everyday words, (M, E).

    Returns:
        (B, K). Unlike a cosine, a height means the same for every picture and whatever the other labels are.
    """
    usual = vectors @ bank.T  # (B, M)
    mean, spread = usual.mean(dim=1, keepdim=True), usual.std(dim=1, keepdim=True).clamp(min=SPREAD)
    return (vectors @ labels.T - mean) / spread


LIKELIEST = 10
"""Classes of the ImageNet head whose names make up what it knows."""


def known_vector(chance: Tensor, names: Tensor) -> Tensor:
    """What the ImageNet head knows, as one sentence vector: the mean of its likeliest class names, weighted by chance.

    After ConSE (Norouzi et al. 2014, https://arxiv.org/abs/1312.5650).

    Args:
        chance: Probabilities (B, N).
        names: Unit vectors of the class names (N, E).

    Returns:
        Unit vectors (B, E).
    """
    top = chance.topk(min(LIKELIEST, chance.shape[1]), dim=1)  # (B, k)
    return F.normalize((top.values.unsqueeze(2) * names[top.indices]).sum(dim=1), dim=1)
