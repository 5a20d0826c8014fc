"""A picture task whose trunk is trained along: the task's own network stands on a trunk of its own."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmdemo.core.config import TUNED_TRUNK, Calibration, CheckpointConfig
from mmdemo.nets.losses import distillation
from mmdemo.nets.vision import PictureTrunk, keep_statistics, pool
from mmdemo.tasks.base import HEAD, PLAIN, Batch, LossSettings, Task
from mmdemo.tasks.pictures import Look, at_cut, grid_of
from mmdemo.tasks.tune import LORA, Tune


@runtime_checkable
class PictureTask(Protocol):
    """What a task has beside :class:`mmdemo.tasks.base.Task` where its rows bring views of a picture.

    Its ``collate`` makes of the views whatever they are cut at (tasks.pictures.at_cut), and it reads ``grid`` or
    ``pooled`` of the batch.

    Attributes:
        concludes: Whether ``conclude`` does anything.
    """

    concludes: bool

    def with_image_features(self, net: Any, rows: Sequence[Any], look: Look) -> Sequence[Any]:
        """The rows as ``calibrate`` and ``conclude`` want them, with what they take from the picture made anew."""
        ...


class Tuned(nn.Module):
    """A trunk and the network that stands on it.

    The published classifier takes no part in the tuning: it is held to what it said before (see :class:`TunedTask`).
    """

    def __init__(self, trunk: PictureTrunk, head: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk.requires_grad_(True)
        trunk.net.get_classifier().requires_grad_(False)
        self.head = head

    def seen(self, batch: Batch) -> Batch:
        """The batch with ``grid`` (B, D, G, G) and its mean ``pooled`` (B, D)."""
        grid = grid_of(self.trunk, batch).float()
        return {**batch, "grid": grid, "pooled": pool(grid)}


class TunedTask:
    """The inner task over a trunk that learns; see :class:`mmdemo.tasks.base.Task`.

    Where rows bring ImageNet logits of the untuned trunk (``imagenet``), the tuned one is held to them, because the
    task uses them in serving (Li and Hoiem 2016, "Learning without Forgetting", https://arxiv.org/abs/1606.09282).

    Args:
        inner: Its rows' views lie below all that is trained (tasks.pictures.Cut).
        trunk: What the run starts from; it stays as it is.
    """

    def __init__(self, inner: Task[Any, Any], trunk: PictureTrunk) -> None:
        if not isinstance(inner, PictureTask):
            raise TypeError(f"task {inner.name} does not look at pictures")
        self.inner, self.trunk = inner, trunk
        self.name, self.metric, self.additive = inner.name, inner.metric, inner.additive
        self.label_rows: tuple[str, ...] = tuple(f"head.{name}" for name in inner.label_rows)
        self.grown_rows: tuple[str, ...] = tuple(f"head.{name}" for name in inner.grown_rows)

    def build(self, config: CheckpointConfig) -> Tuned:
        return self.around(self.inner.build(config))

    def around(self, head: nn.Module) -> Tuned:
        """The network of this task whose head is there already."""
        return Tuned(copy.deepcopy(self.trunk), head)

    def start(self, net: Tuned, bases: Mapping[str, nn.Module]) -> None:
        self.inner.start(net.head, bases)

    def fit_init(self, net: Tuned, rows: Sequence[Any]) -> None:
        self.inner.fit_init(net.head, rows)

    def finalize(self, net: Tuned, rows: Sequence[Any]) -> None:
        assert isinstance(self.inner, PictureTask)  # noqa: S101 - as __init__ has made sure of
        if not self.inner.concludes:
            return
        was = net.training
        net.eval()
        self.inner.finalize(net.head, self.inner.with_image_features(net.head, rows, self._look(net)))
        net.train(was)

    def _look(self, net: Tuned) -> Look:
        """The tuned trunk, from rows' views to grids and ImageNet logits."""

        def look(views: Sequence[NDArray[Any]]) -> tuple[Tensor, Tensor]:
            device = next(net.trunk.parameters()).device
            batch = {name: tensor.to(device) for name, tensor in at_cut(views).items()}
            with torch.inference_mode():
                seen = net.seen(batch)
                return seen["grid"].cpu(), net.trunk.logits(seen["pooled"]).float().cpu()

        return look

    def depth(self, net: Tuned, name: str) -> int:
        part, _, rest = name.partition(".")
        if part == "head" or LORA in name:
            return HEAD
        return net.trunk.depth(rest)

    def collate(self, rows: Sequence[Any]) -> Batch:
        return self.inner.collate(rows)

    def loss(self, net: Tuned, batch: Batch, how: LossSettings = PLAIN) -> Tensor:
        keep_statistics(net.trunk)
        seen = net.seen(batch)
        loss = self.inner.loss(net.head, seen, how)
        if "imagenet" in batch:
            loss = loss + distillation(net.trunk.logits(seen["pooled"]).float(), batch["imagenet"])
        return loss

    def items(self, net: Tuned, batch: Batch) -> Tensor:
        return self.inner.items(net.head, batch)

    def outputs(self, net: Tuned, batch: Batch) -> list[NDArray[np.float32]]:
        return self.inner.outputs(net.head, net.seen(batch))

    def score(self, net: Tuned, outputs: Sequence[NDArray[np.float32]], rows: Sequence[Any]) -> dict[str, float]:
        return self.inner.score(net.head, outputs, rows)

    def shipped(self, net: Tuned) -> dict[str, Tensor]:
        """The head's tensors, and of the trunk's those that fp16 tells from what the run started with."""
        before, found = self.trunk.state_dict(), dict(self.inner.shipped(net.head))
        for name, tensor in net.trunk.state_dict().items():
            if not torch.equal(tensor.cpu().half(), before[name].cpu().half()):
                found[TUNED_TRUNK + name] = tensor
        return found

    def calibrate(self, net: Tuned, outputs: Sequence[NDArray[np.float32]], rows: Sequence[Any]) -> Calibration:
        was = net.training
        net.eval()
        assert isinstance(self.inner, PictureTask)  # noqa: S101 - as __init__ has made sure of
        rows = self.inner.with_image_features(net.head, rows, self._look(net))
        net.train(was)
        return self.inner.calibrate(net.head, outputs, rows)


def with_trunk(
    task: Task[Any, Any], net: nn.Module, tune: Tune, trunk: PictureTrunk | None
) -> tuple[Task[Any, Any], nn.Module]:
    """Task and network of a run: the same again, or over a trunk that is tuned along.

    Args:
        net: The task's own network, filled.
        trunk: What the run's pictures are seen through; it is copied, and stays as it is.
    """
    if tune.frozen_encoder or trunk is None or not isinstance(task, PictureTask):
        return task, net
    tuned = TunedTask(task, trunk)
    return tuned, tuned.around(net)
