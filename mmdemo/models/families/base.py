"""What models from elsewhere have in common: where and in what numbers they compute, and a card made from their files.

Legend for shapes: ``B`` requests, ``K`` labels, ``H`` and ``W`` pixels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from PIL import Image
from torch import nn

from mmdemo.core.config import Calibration, CheckpointConfig
from mmdemo.core.types import Card, Picture
from mmdemo.models.ready import ReadyModel

Precision = Literal["fp32", "bf16", "int8", "int4"]

SURE = 0.5
"""Score from which an answer counts as sure where nobody has fitted a threshold: more likely right than not."""

TUNED = "mmdemo.json"
"""Beside the library's own files: what a library has no place for, calibration and classes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeConfig:
    """Where a network computes, and in what numbers: "int8" is for CPUs (torchao), "bf16" and "int4" for GPUs."""

    device: str = "cpu"
    precision: Precision = "fp32"

    @property
    def dtype(self) -> torch.dtype:
        """Of what flows through the network."""
        return torch.bfloat16 if self.precision in {"bf16", "int4"} else torch.float32

    @property
    def stored(self) -> torch.dtype:
        """Of the weights as they are read, before any rounding to integers: half of fp32's memory while they are."""
        return torch.float32 if self.precision == "fp32" else torch.bfloat16


class HubModel(ReadyModel):
    """A network from elsewhere, with the processor that its makers published for it.

    Scores are the network's own probabilities, at temperature 1 unless somebody fitted another one here.

    Attributes:
        family: Which of :data:`mmdemo.models.families.detect.FAMILIES` it is.
        net: In evaluation mode and without gradients, on ``how.device``.
        processor: What turns pictures, texts or sound into its inputs.
    """

    family: ClassVar[str]

    def __init__(
        self,
        card: Card,
        net: nn.Module,
        processor: Any,
        *,
        how: RuntimeConfig,
        calibration: Calibration | None = None,
        labels: Sequence[str] = (),
    ) -> None:
        config = CheckpointConfig(
            task=card.task, labels=tuple(labels), calibration=calibration or Calibration(threshold=SURE)
        )
        super().__init__(card, config, device=how.device)
        self.how = how
        self.net = net.eval().requires_grad_(False)
        self.processor = processor

    @classmethod
    @abstractmethod
    def open(cls, folder: Path, card: Card, *, how: RuntimeConfig) -> Self:
        """Load what lies in a folder of the hub's layout: safetensors only, and no code from there.

        Args:
            folder: Holds the weights and everything that the processor needs; nothing is fetched.
            card: ``card.task`` is the task that it is to serve.

        Raises:
            MmdemoError: Files are missing, damaged or do not fit each other.
        """


def as_image(picture: Picture) -> Image.Image:
    """A decoded picture as the processors take it, RGB (H, W)."""
    return Image.fromarray(picture.pixels)
