"""What a task is: rows to batches, loss, outputs, validation score. The trainer knows nothing else of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmdemo.core.config import Calibration, CheckpointConfig

Batch = dict[str, Tensor]
Net = TypeVar("Net", bound=nn.Module)
Row = TypeVar("Row", contravariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSettings:
    """What a person sets of the loss.

    Attributes:
        smoothing: Share of the target that is spread evenly over all classes (Szegedy et al. 2016,
            https://arxiv.org/abs/1512.00567).
        teacher_share: Weight in [0, 1] of a teacher's soft targets, where the rows bring any; the labels have the rest.
        teacher_temperature: By which both are softened (see nets.losses.distillation).
        self_critical: Share in [0, 1] that rewards whole sentences instead of single words, for a task that writes any.
    """

    smoothing: float = 0.0
    teacher_share: float = 0.5
    teacher_temperature: float = 2.0
    self_critical: float = 0.0


PLAIN = LossSettings()

HEAD = 0
"""The depth of what is new, or sits on top of the encoder; its last block has depth 1, the one below it 2."""


class Task(Protocol[Net, Row]):
    """One object per job. ``Row`` is what data/prepare makes of an example: arrays, ready to be batched."""

    name: str
    metric: str
    """The validation figure that decides which checkpoint is kept; larger is better."""

    label_rows: tuple[str, ...]
    """Tensors with one row per label, of all networks that the task builds: a network that starts from another one
    takes over the rows of shared labels."""

    grown_rows: tuple[str, ...]
    """Tensors with rows for what was added to the network that it starts from: the first rows are that one's."""

    additive: bool
    """Whether the loss of a batch is the mean over its items. Where rows are compared with each other it is not, and a
    batch cannot be taken in parts."""

    def build(self, config: CheckpointConfig) -> Net:
        """The network with fresh weights."""
        ...

    def start(self, net: Net, bases: Mapping[str, nn.Module]) -> None:
        """Fill what the network takes over from base encoders ("vision", "text", "speech")."""
        ...

    def fit_init(self, net: Net, rows: Sequence[Row]) -> None:
        """What can be computed from the training rows at once, before the first step."""
        ...

    def finalize(self, net: Net, rows: Sequence[Row]) -> None:
        """What can be computed from the training rows at once, after the last step."""
        ...

    def depth(self, net: Net, name: str) -> int:
        """How deep in the encoder the parameter of that name lies: 0 for the head, 1 for the encoder's last block."""
        ...

    def collate(self, rows: Sequence[Row]) -> Batch:
        """Stack and pad rows; the random choices of training are made here, from torch's generator."""
        ...

    def loss(self, net: Net, batch: Batch, how: LossSettings = PLAIN) -> Tensor:
        """A scalar, the mean over the batch's items."""
        ...

    def items(self, net: Net, batch: Batch) -> Tensor:
        """How many items the loss is the mean of (words, questions, clips), a scalar: means add up by it."""
        ...

    def outputs(self, net: Net, batch: Batch) -> list[NDArray[np.float32]]:
        """One array per row, in evaluation mode."""
        ...

    def score(self, net: Net, outputs: Sequence[NDArray[np.float32]], rows: Sequence[Row]) -> dict[str, float]:
        """Validation figures, :attr:`metric` among them."""
        ...

    def shipped(self, net: Net) -> dict[str, Tensor]:
        """The tensors that a checkpoint of the task holds."""
        ...

    def calibrate(self, net: Net, outputs: Sequence[NDArray[np.float32]], rows: Sequence[Row]) -> Calibration:
        """Temperature and "not sure" threshold from validation outputs."""
        ...


def fit_temperature(logits: NDArray[np.float32], target: NDArray[np.float32]) -> float:
    """The temperature in [0.3, 5] that minimises the cross-entropy of ``target`` (N, K) under softmax(logits / T).

    1 where nothing can be said of it: no target, or logits that are no numbers.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599.
    """
    x, y = torch.from_numpy(logits).double(), torch.from_numpy(target).double()
    grid = torch.logspace(-0.52, 0.7, 80, dtype=torch.double)
    losses = torch.stack([-(y * torch.log_softmax(x / t, dim=1)).sum(dim=1).mean() for t in grid])
    return float(grid[losses.argmin()]) if bool(y.any()) and bool(losses.isfinite().all()) else 1.0


def fit_confidence(logits: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """The temperature in [0.3, 10] under which the score of the best answer says best how often it is right.

    Unlike :func:`fit_temperature` it counts the questions whose answer was never learned: the best answer is wrong, and
    should have been given with less confidence. 1 where nothing can be said of it. Top-label calibration: Gupta and
    Ramdas 2022, "Top-label calibration and multiclass-to-binary reductions", https://arxiv.org/abs/2107.08353.

    Args:
        logits: (N, K).
        right: How right the best answer is, in [0, 1], (N,).
    """
    if not len(right) or not np.isfinite(logits).all():
        return 1.0
    x, y = torch.from_numpy(logits).double(), torch.from_numpy(right).double()
    grid = torch.logspace(-0.52, 1.0, 90, dtype=torch.double)
    scores = torch.stack([torch.softmax(x / t, dim=1).amax(dim=1) for t in grid]).clamp(1e-6, 1 - 1e-6)  # (90, N)
    losses = -(y * scores.log() + (1 - y) * (1 - scores).log()).mean(dim=1)
    return float(grid[losses.argmin()])


def fit_threshold(
    confidence: NDArray[np.float32],
    right: NDArray[np.float32],
    *,
    wanted: float = 0.8,
    floor: float = 0.0,
    data: str = "",
) -> Calibration:
    """The lowest threshold above which at least ``wanted`` of the answers are right, with the share that it keeps.

    Where no threshold reaches that, the one that keeps the surest tenth.

    Args:
        confidence: Calibrated score of each answer, (N,).
        right: How right each answer is, in [0, 1], (N,).
        floor: Least threshold, where the validation data are too easy to be trusted alone.
    """
    order = np.argsort(-confidence, kind="stable")
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    least = max(1, len(order) // 20)  # a handful of lucky answers is no evidence
    good = np.flatnonzero((share >= wanted) & (np.arange(1, len(order) + 1) >= least))
    last = int(good[-1]) if len(good) else max(least, len(order) // 10) - 1
    last = min(last, max(least, int((confidence >= floor).sum())) - 1)
    return Calibration(
        threshold=float(confidence[order[last]]),
        kept=float((last + 1) / len(order)),
        right=float(share[last]),
        data=data,
    )


def grids(rows: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Cached grids, uint8 (D, G, G) each, → float32 (B, D, G, G) in [0, 6]; the inverse of :func:`to_bytes`."""
    return torch.from_numpy(np.stack(rows)).float().mul_(6 / 255)


def to_bytes(grid: Tensor) -> NDArray[np.uint8]:
    """ReLU6 keeps the grid in [0, 6], so 8 bits hold it: an eighth of the disk at an error of at most 0.012."""
    found: NDArray[np.uint8] = (grid.float() * (255 / 6)).round_().clamp_(0, 255).to(torch.uint8).cpu().numpy()
    return found
