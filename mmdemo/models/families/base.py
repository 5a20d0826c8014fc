"""What hub models have in common: what a family says of itself, and where and in what numbers a network computes.

Legend for shapes: ``B`` requests, ``K`` labels, ``H`` and ``W`` pixels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self, cast

import torch
from PIL import Image
from torch import Tensor, nn

from mmdemo.core.config import Calibration, CheckpointConfig, Scalar
from mmdemo.core.types import Card, Picture
from mmdemo.models.families.detect import HubConfig
from mmdemo.models.ready import ReadyModel
from mmdemo.tasks.hub.base import LibraryNet


class Features(Mapping[str, Tensor]):
    """What a processor of transformers returns (``BatchFeature``), by the name of the network's argument."""

    input_features: Tensor
    attention_mask: Tensor

    @abstractmethod
    def to(self, device: str, dtype: torch.dtype | None = None) -> Features:
        """On a device; floating-point numbers as ``dtype``."""


class Processor(Protocol):
    """A processor of transformers; its tokenizer, image processor and settings differ by architecture."""

    chat_template: str | None

    def __getattr__(self, name: str) -> Any: ...

    def __call__(self, *inputs: object, **options: object) -> Features: ...


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
    """A family of hub models: how one is recognised, loaded, asked and explained, and what training needs of it.

    A family that can be trained has the methods of one of the protocols that extend
    :class:`mmdemo.tasks.hub.base.TrainableFamily` as well. Scores are the network's own probabilities, at temperature 1
    unless a calibration was fitted here.

    Attributes:
        family: Its name in checkpoints and in the catalog; never changed, for files hold it.
        tasks: What it can serve, the natural task first.
        library: "open_clip" or "transformers".
        architecture: What a model is called whose configuration names no class.
        trainable: Whether it can be fine-tuned.
        has_head: Whether something stands on top of the encoders and decoders that can be trained alone.
        joint_sequence: Whether the words stand behind the picture in one sequence.
        data_options: The ``[data]`` options of a training, and their defaults.
        net: In evaluation mode and without gradients, on ``how.device``.
        processor: What turns pictures, texts or sound into its inputs.
    """

    family: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]]
    library: ClassVar[str] = "transformers"
    architecture: ClassVar[str] = ""
    trainable: ClassVar[bool] = False
    has_head: ClassVar[bool] = True
    joint_sequence: ClassVar[bool] = False
    data_options: ClassVar[Mapping[str, Scalar]] = {}

    net: LibraryNet

    def __init__(
        self,
        card: Card,
        net: nn.Module,
        processor: object,
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
        self.net = cast("LibraryNet", net.eval().requires_grad_(False))
        self.processor = processor

    @classmethod
    @abstractmethod
    def recognises(cls, config: HubConfig) -> bool:
        """Whether the configuration files are those of a model of this family."""

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

    def fit_labels(self, labels: Sequence[str]) -> None:
        """Give the last layer one unit for each of ``labels``, in place, where the network has such a layer."""


class LabelHeadModel(HubModel):
    """A classifier: the last linear layer has units for its labels, and can be fitted to other labels."""

    processor: Processor

    def units(self) -> Sequence[int]:
        """For each output unit the place of its label among ``config.labels``, (U,)."""
        return range(len(self.config.labels))

    def fit_labels(self, labels: Sequence[str]) -> None:
        """Give the last layer one unit for each of ``labels``, in place.

        Units of labels that it knows by name stay; new ones start small and at the mean of the biases.
        """
        units = self.units()
        if tuple(labels) == tuple(self.config.labels) and len(units) == len(labels):
            return
        net = self.net
        where, last = [(name, m) for name, m in net.named_modules() if type(m) is nn.Linear][-1]
        fresh = nn.Linear(last.in_features, len(labels)).to(last.weight.device, last.weight.dtype)
        generator = torch.Generator().manual_seed(len(labels))  # the same whatever was drawn before
        fresh.weight.data.copy_(torch.randn(fresh.weight.shape, generator=generator) * 0.02)
        nn.init.constant_(fresh.bias, float(last.bias.mean()))
        known: dict[str, list[int]] = {}
        for unit, place in enumerate(units):
            known.setdefault(self.config.labels[place], []).append(unit)
        with torch.no_grad():
            for i, label in enumerate(labels):
                if label in known:  # units of one label (women's and men's voices) become one
                    fresh.weight[i] = last.weight[known[label]].mean(dim=0)
                    fresh.bias[i] = last.bias[known[label]].mean()
        parent, _, child = where.rpartition(".")
        setattr(net.get_submodule(parent), child, fresh)
        net.config.id2label = dict(enumerate(labels))
        net.config.label2id = {label: i for i, label in enumerate(labels)}


def as_image(picture: Picture) -> Image.Image:
    """A decoded picture as the processors take it, RGB (H, W)."""
    return Image.fromarray(picture.pixels)
