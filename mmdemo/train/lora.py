"""LoRA: low-rank matrices beside the encoder's own, learned in their place and folded into them in the end.

Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models", https://arxiv.org/abs/2106.09685; the layers are
peft's. A run holds the matrices as tensors of their own, so that its state can be saved and resumed; a checkpoint does
not know them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from mmdemo.core.errors import MmdemoError
from mmdemo.tasks.base import HEAD, Task
from mmdemo.tasks.hub.base import HubTask, TrainableParts
from mmdemo.tasks.tune import LORA


def add_lora(task: Task[Any, Any], net: nn.Module, *, rank: int, alpha: float) -> None:
    """Put matrices beside the encoder's, in place; the head and they are trained, all else is frozen.

    They stand beside linear layers and full or pointwise convolutions. Depthwise convolutions, whose filters have no
    ranks to speak of, are left out, and so are layers with paddings of their own (timm's ``Conv2dSame``), whose forward
    peft does not know. At first the product is 0, so that the network says what it said before. The draw comes from
    torch's generator.

    Args:
        rank: Of the product; at most the layer's own.
        alpha: The product counts ``alpha / rank`` times.

    Raises:
        MmdemoError: The encoder has no such layer, or none that is wider than the rank.
    """
    learning = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    heads = {name for name in learning if task.depth(net, name) == HEAD}
    matrices: list[str] = []
    if isinstance(task, HubTask) and isinstance(net, TrainableParts):
        places, matrices = task.lora_places(net, rank=rank)
    else:
        places = [
            name
            for name, module in net.named_modules()
            if _fits(module) and f"{name}.weight" in learning and task.depth(net, f"{name}.weight") > HEAD
        ]
    if not places and not matrices:
        raise _no_place(task, net, rank)
    _inject(net, places, matrices, rank=rank, alpha=alpha)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name in heads or LORA in name)


def _no_place(task: Task[Any, Any], net: nn.Module, rank: int) -> MmdemoError:
    if not isinstance(task, HubTask) or not isinstance(net, TrainableParts):
        return MmdemoError(
            f"LoRA has no place in {task.name}", "its encoder stays outside the network", "Use train.tune=head"
        )
    most = task.most_rank(net)
    if most == 0:
        return MmdemoError(
            f"LoRA has no place in {task.name}", "the network has no layers for it", "Use train.tune=all"
        )
    return MmdemoError(
        f"train.lora_rank is {rank}", f"the widest layer of {task.name} takes {most}", "Choose a lower rank"
    )


def _inject(net: nn.Module, places: Sequence[str], matrices: Sequence[str], *, rank: int, alpha: float) -> None:
    from peft import LoraConfig, inject_adapter_in_model  # slow to import

    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # peft divides by the rank, whatever it is
        lora_dropout=0.0,
        bias="none",
        target_modules="|".join(re.escape(place) for place in places) if places else [],
        target_parameters=list(matrices) or None,
    )
    inject_adapter_in_model(config, net)


def merge_lora(net: nn.Module) -> None:
    """Fold the products into the weights, in place; modules and names are as before :func:`add_lora`."""
    for name, layer in list(_layers(net)):
        layer.merge()
        base = layer.get_base_layer()
        base.requires_grad_(True)
        parent, _, child = name.rpartition(".")
        setattr(net.get_submodule(parent), child, base)
    if hasattr(net, "peft_config"):
        del net.peft_config


def _fits(module: nn.Module) -> bool:
    if type(module) is nn.Conv2d:
        return module.groups == 1
    return type(module) is nn.Linear


def _layers(net: nn.Module) -> Iterator[tuple[str, Any]]:
    from peft.tuners.lora import LoraLayer

    return ((name, module) for name, module in net.named_modules() if isinstance(module, LoraLayer))
