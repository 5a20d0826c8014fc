"""The picture trunk: EfficientNet-Lite2 cut in two, so that its lower half can be cached.

Legend: ``B`` pictures, ``R`` side in pixels, ``G`` side of the grid (R / 32), ``D`` channels of the grid, ``E`` width
of the text space, ``V`` words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, cast

import timm
import torch
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn
from torch.nn import functional as F

from mmdemo.nets.shared_space import TextAdapter

MEAN = STD = 0.5
"""Normalisation of the published weights: pixels in [0, 1], minus MEAN, over STD."""

STEM_BLOCKS = 5
"""Stages of the trunk below the cut; their output has stride 16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionConfig:
    """``side`` is the square, in pixels, that every picture is resized to; a multiple of 32."""

    architecture: str = "tf_efficientnet_lite2"
    side: int = 256
    stem_channels: int = 120
    channels: int = 1280
    classes: int = 1000

    def __post_init__(self) -> None:
        if self.side % 32 or self.side < 64:
            raise ValueError(f"side must be a multiple of 32 and at least 64, not {self.side}")
        # timm takes "hf-hub:owner/name" as well, and would ask the network for it
        if not re.fullmatch(r"\w+(\.\w+)?", self.architecture):
            raise ValueError(f"architecture must be the plain name of a timm model, not {self.architecture!r}")

    @property
    def grid(self) -> int:
        return self.side // 32


class PictureTrunk(nn.Module):
    """EfficientNet-Lite (Tan and Le 2019, https://arxiv.org/abs/1905.11946; timm's) as stem, grid and head.

    ``head`` is the published ImageNet-1k classifier over the pooled grid.
    """

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        net = timm.create_model(config.architecture, pretrained=False, num_classes=config.classes)
        self.net = cast("EfficientNet", net)

    def stem(self, pixels: Tensor) -> Tensor:
        """Args: pixels float (B, 3, R, R), normalised. Returns (B, stem_channels, R / 16, R / 16)."""
        x: Tensor = self.net.bn1(self.net.conv_stem(pixels))
        for block in list(self.net.blocks)[:STEM_BLOCKS]:
            x = block(x)
        return x

    def grid(self, stem: Tensor) -> Tensor:
        """Args: stem (B, stem_channels, R / 16, R / 16). Returns (B, D, G, G), each value in [0, 6] (ReLU6)."""
        x = stem
        for block in list(self.net.blocks)[STEM_BLOCKS:]:
            x = block(x)
        grid: Tensor = self.net.bn2(self.net.conv_head(x))  # (B, D, G, G)
        return grid

    def logits(self, pooled: Tensor) -> Tensor:
        """Args: pooled (B, D), the mean over the grid. Returns ImageNet logits (B, 1000)."""
        logits: Tensor = self.net.classifier(pooled)
        return logits

    def forward(self, pixels: Tensor) -> Tensor:
        return self.grid(self.stem(pixels))

    def depth(self, name: str) -> int:
        """How deep the parameter ``net.…`` of that name lies: 1 for the last stage and what is above it, and so on."""
        parts = name.split(".")
        if parts[1] == "blocks":
            return len(self.net.blocks) - int(parts[2])
        # the published classifier is what "all" may change and nothing less
        return 1 if parts[1] in {"conv_head", "bn2"} else len(self.net.blocks) + 1


def keep_statistics(net: nn.Module) -> None:
    """Batch normalisation by the running statistics of the base, which stay: batches are small, of another domain."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def pool(grid: Tensor) -> Tensor:
    """Mean over the cells: (B, D, G, G) → (B, D)."""
    return grid.mean(dim=(2, 3))


class VisionOutputs(NamedTuple):
    """What the tuning heads give: unit text-space vectors (B, E), word logits (B, V), ImageNet logits (B, 1000)."""

    text: Tensor
    words: Tensor
    imagenet: Tensor


class Asking(nn.Module):
    """Answers questions from a grid, to show the trunk what people ask about; thrown away with the other heads.

    One look: the question's vector attends to the cells, and answers from what it finds there, from itself and from the
    pooled picture. After stacked attention (Yang et al. 2016, https://arxiv.org/abs/1511.02274), with one layer.
    """

    def __init__(self, channels: int, text_width: int, answers: int, *, width: int = 256, heads: int = 4) -> None:
        super().__init__()
        self.cells = nn.Conv2d(channels, width, kernel_size=1)
        self.norm = nn.LayerNorm(width)
        self.question = nn.Sequential(nn.Linear(text_width, width), nn.GELU(), nn.Linear(width, width))
        self.look = nn.MultiheadAttention(width, heads, batch_first=True)
        self.answer = nn.Sequential(
            nn.LayerNorm(3 * width), nn.Linear(3 * width, 2 * width), nn.GELU(), nn.Dropout(0.3),
            nn.Linear(2 * width, answers),
        )  # fmt: skip

    def forward(self, grid: Tensor, questions: Tensor, picture: Tensor) -> Tensor:
        """Args: grid (B, D, G, G); questions (Q, E), asked of pictures int (Q,). Returns logits (Q, K)."""
        cells = self.norm(self.cells(grid).flatten(2).transpose(1, 2))  # (B, G * G, W)
        asked, here = self.question(questions), cells[picture]
        found, _ = self.look(asked.unsqueeze(1), here, here, need_weights=False)
        logits: Tensor = self.answer(torch.cat((asked, found.squeeze(1), here.mean(dim=1)), dim=1))
        return logits


class VisionTuner(nn.Module):
    """The upper half of the trunk with the heads that tune it for all three picture tasks at once.

    - text space: pooled grid → MLP → unit vector, for the symmetric contrastive loss of CLIP (Radford et al. 2021,
      https://arxiv.org/abs/2103.00020), beside sentences that :class:`TextAdapter` has moved;
    - answers to questions, where there are any (:class:`Asking`);
    - words: which words people use of the picture, each found in some cell: multiple-instance noisy-OR over the grid
      (Fang et al. 2015, "From Captions to Visual Concepts and Back", https://arxiv.org/abs/1411.4952);
    - ImageNet logits, held to those of the untuned trunk so that nothing is forgotten (Li and Hoiem 2016,
      "Learning without Forgetting", https://arxiv.org/abs/1606.09282).
    """

    def __init__(
        self,
        trunk: PictureTrunk,
        *,
        text_width: int,
        words: int,
        hidden: int = 1024,
        teacher_width: int = 0,
        answers: int = 0,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        width = trunk.config.channels
        self.text = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(0.1), nn.Linear(hidden, text_width))
        self.words = nn.Conv2d(width, words, kernel_size=1)
        bias = cast("Tensor", self.words.bias)  # a convolution has one unless told otherwise
        nn.init.constant_(bias, -6.0)  # a word is rare in a cell; the noisy-OR starts near its prior
        self.said = TextAdapter(text_width)
        self.asking = Asking(width, text_width, answers) if answers else None
        self.log_scale = nn.Parameter(torch.tensor(2.7))  # exp → about 15, CLIP's start
        # the grid as a teacher sees it, cell by cell; thrown away with the other heads
        self.project = nn.Conv2d(width, teacher_width, kernel_size=1) if teacher_width else None

    def forward(self, grid: Tensor) -> VisionOutputs:
        """Args: grid (B, D, G, G), as the trunk makes it."""
        pooled = pool(grid)  # (B, D)
        cells = self.words(grid).flatten(2).float()  # (B, V, G * G)
        # noisy-OR: log P(absent) = sum of log(1 - p_cell); its logit is log(1 - P(absent)) - log P(absent)
        absent = F.logsigmoid(-cells).sum(dim=2).clamp(max=-1e-6)  # (B, V)
        words = torch.log(-torch.expm1(absent)) - absent
        return VisionOutputs(
            text=F.normalize(self.text(pooled).float(), dim=1), words=words, imagenet=self.trunk.logits(pooled).float()
        )
