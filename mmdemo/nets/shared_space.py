"""Picture and text in one space: the projection that Classify adds to what the ImageNet head knows.

Legend: ``B`` pictures, ``D`` channels of the pooled grid, ``E`` width of the text space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifyConfig:
    """Settings of :class:`TextSpace`; ``classes``, ``bank`` and ``own`` count the words whose vectors it carries.

    ``text_hidden`` is the hidden width of :class:`TextAdapter`, 0 for none; ``known_share`` is the training weight of
    the loss that pulls pictures to the names of what the ImageNet head sees in them, ``label_share`` that of pictures
    with a label where others have captions.
    """

    channels: int = 1280
    hidden: int = 1024
    text_width: int = 384
    dropout: float = 0.2
    text_hidden: int = 0
    known_share: float = 0.0
    label_share: float = 0.3
    classes: int = 1000
    bank: int = 2000
    own: int = 0

    def __post_init__(self) -> None:
        if min(self.text_hidden, self.known_share, self.label_share) < 0:
            raise ValueError("text_hidden, known_share and label_share must not be below 0")


class TextAdapter(nn.Module):
    """Sentence vectors moved to where pictures can meet them: t → unit(t + MLP(t)), at first not at all.

    A space made from sentences alone puts side by side what looks different, and the other way round. As the adapters
    of Gao et al. 2021, "CLIP-Adapter", https://arxiv.org/abs/2110.04544.
    """

    def __init__(self, width: int, *, hidden: int = 512, dropout: float = 0.1) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width))
        last = cast("nn.Linear", self.net[-1])
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, vectors: Tensor) -> Tensor:
        """Args: unit vectors (B, E). Returns unit vectors (B, E)."""
        return F.normalize(vectors.float() + self.net(vectors).float(), dim=1)


def placed(texts: TextAdapter | None, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sentence vectors (N, E) after :class:`TextAdapter` without dropout; unchanged where there is no adapter."""
    if texts is None:
        return vectors
    was, device = texts.training, next(texts.parameters()).device
    texts.eval()
    with torch.inference_mode():
        found: NDArray[np.float32] = texts(torch.from_numpy(vectors).to(device)).cpu().numpy()
    texts.train(was)
    return found


class TextSpace(nn.Module):
    """Pooled grid → unit vector beside the sentence vectors of the frozen text encoder, where :meth:`place` puts them.

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
        self.texts = TextAdapter(config.text_width, hidden=config.text_hidden) if config.text_hidden else None
        self.log_scale = nn.Parameter(torch.tensor(2.7))
        self.register_buffer("names", torch.zeros(config.classes, config.text_width))
        self.register_buffer("bank", torch.zeros(config.bank, config.text_width))
        if config.own:
            self.register_buffer("said", torch.zeros(config.own, config.text_width))
            self.register_buffer("moved", torch.zeros(config.own, config.text_width))

    def forward(self, pooled: Tensor) -> Tensor:
        """Args: pooled (B, D). Returns unit vectors (B, E)."""
        return F.normalize(self.net(pooled).float(), dim=1)

    def place(self, vectors: Tensor) -> Tensor:
        """Where sentences stand beside pictures: unit vectors (B, E) of the text encoder → unit vectors (B, E)."""
        return vectors if self.texts is None else self.texts(vectors)

    def own(self) -> Tensor:
        """Unit vectors (own, E) of the classes of somebody's own, moved by what was shown of them."""
        return F.normalize(self.place(self.said) + self.moved, dim=1)


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
