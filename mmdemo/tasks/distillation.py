"""What a teacher said of a row, and how a loss listens to it: soft targets beside the labels.

Legend: ``N`` rows, ``K`` labels of the student.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmdemo.nets.losses import distillation
from mmdemo.tasks.base import Batch, LossSettings

SOFT = "soft"
"""In a batch: what the teacher said, (N, K) for labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftTargets:
    """What a teacher said of one input.

    Attributes:
        logits: fp16, one for each of the teacher's labels.
        places: int64 (K,), where each of the student's labels stands among them; -1 for one that it does not know. One
            array is shared by all rows.
    """

    logits: NDArray[np.float16]
    places: NDArray[np.int64]

    def over_labels(self) -> NDArray[np.float32]:
        """Logits (K,) of the student's labels, minus infinity where the teacher has no opinion."""
        found = self.logits.astype(np.float32)[self.places]
        found[self.places < 0] = -np.inf
        return found


def places(labels: Sequence[str], teacher: Sequence[str]) -> NDArray[np.int64]:
    """Where each of ``labels`` stands among the teacher's, (K,); -1 where it does not."""
    known = {label: i for i, label in enumerate(teacher)}
    return np.array([known.get(label, -1) for label in labels], dtype=np.int64)


def soft_batch(said: Sequence[SoftTargets | None]) -> Batch:
    """:data:`SOFT` (N, K), nothing but minus infinity where a row has none; empty where no row has any."""
    there = [soft.over_labels() for soft in said if soft is not None]
    if not there:
        return {}
    rows = iter(there)
    silent = np.full_like(there[0], -np.inf)
    return {SOFT: torch.from_numpy(np.stack([silent if soft is None else next(rows) for soft in said]))}


def uses_teacher(batch: Batch, how: LossSettings) -> bool:
    """Whether there is a teacher, and its word counts."""
    return SOFT in batch and how.teacher_share > 0


def mixed(usual: Tensor, logits: Tensor, batch: Batch, how: LossSettings) -> Tensor:
    """(1 - share) · usual + share · distillation, where the batch brings soft targets; else the usual loss as it is."""
    if not uses_teacher(batch, how):
        return usual
    taught = distillation(logits, batch[SOFT], temperature=how.teacher_temperature)
    return (1 - how.teacher_share) * usual + how.teacher_share * taught


def softened(soft: Tensor, temperature: float) -> Tensor:
    """Probabilities (N, K) of soft targets under a temperature; rows without any are 0. :func:`sharpened` undoes it."""
    return torch.softmax(soft / temperature, dim=1).nan_to_num(0.0)


def sharpened(probabilities: Tensor, temperature: float) -> Tensor:
    """The logits (N, K), up to a constant, that :func:`softened` made these of; minus infinity for 0."""
    return probabilities.log() * temperature
