"""What of a network is trained: one setting, the same words for every task."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from torch import nn

from mmdemo.core.errors import MmdemoError
from mmdemo.tasks.base import HEAD, Task

LORA = ".lora_"
"""In the names of LoRA's matrices (peft's), which are new and learn at the head's rate wherever they lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tune:
    """The setting ``train.tune``.

    Attributes:
        kind: "head" leaves the encoder as it is, so that its features are computed once and kept; "last" trains its
            last ``blocks`` too, "all" everything; "lora" trains the head, and low-rank matrices beside the encoder's
            own (Hu et al. 2022, "LoRA", https://arxiv.org/abs/2106.09685).
        blocks: For "last" only.
    """

    kind: Literal["head", "last", "lora", "all"] = "head"
    blocks: int = 0

    @staticmethod
    def parse(text: str) -> Tune:
        """From ``head``, ``last:N``, ``lora`` or ``all``.

        Raises:
            MmdemoError: It is none of these.
        """
        match text:
            case "head" | "lora" | "all":
                return Tune(kind=text)
        found = re.fullmatch(r"last:([1-9]\d?)", text)
        if found is None:
            raise MmdemoError(f"train.tune is {text!r}", "it must be head, last:N (N blocks, 1 or more), lora or all")
        return Tune(kind="last", blocks=int(found[1]))

    def trains(self, depth: int) -> bool:
        """Whether weights at that depth are trained themselves (see tasks.base.HEAD)."""
        return depth == HEAD or self.kind == "all" or (self.kind == "last" and depth <= self.blocks)

    @property
    def frozen_encoder(self) -> bool:
        """Whether nothing but the head changes, so that the encoder's features can be kept."""
        return self.kind == "head"

    def __str__(self) -> str:
        return f"last:{self.blocks}" if self.kind == "last" else self.kind


@runtime_checkable
class Stacked(Protocol):
    """A task that knows the blocks of its network: what lies below the lowest of them is no block.

    Attributes:
        stacks: Where blocks are repeated → how many they are.
    """

    stacks: Mapping[str, int]


def _blocks(task: Task[Any, Any], net: nn.Module) -> int:
    """The most that "last:N" can ask for."""
    if isinstance(task, Stacked):
        return max(task.stacks.values(), default=0)
    return max(task.depth(net, name) for name, _ in net.named_parameters())


def freeze(task: Task[Any, Any], net: nn.Module, tune: Tune) -> None:
    """Leave gradients to what ``tune`` trains; what took none before takes none after.

    Raises:
        MmdemoError: It asks for more blocks than there are.
    """
    if tune.kind == "last" and tune.blocks > (most := _blocks(task, net)):
        raise MmdemoError(
            f"train.tune is {tune}", f"the encoder of {task.name} has {most} block{'' if most == 1 else 's'}"
        )
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and tune.trains(task.depth(net, name)))
