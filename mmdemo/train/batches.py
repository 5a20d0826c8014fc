"""Which rows make which step: an order that depends on seed and epoch alone, and batches whose chance does too.

So a run that was interrupted meets the same batches as one that was not, whatever happened before, and a step has the
same rows in however many parts and processes it is computed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from mmdemo.tasks.base import Batch, Task


@dataclass(frozen=True, slots=True)
class BatchPosition:
    """A row in the order of an epoch: ``number`` counts from 0, ``row`` is its index in the data."""

    epoch: int
    number: int
    row: int


class Batches(Sampler[list[BatchPosition]]):
    """The parts that one process computes, step after step.

    An epoch has as few steps as ``size`` rows at most allow, all of about as many rows; each is cut into ``parts`` for
    each of the ``processes``.
    """

    def __init__(
        self, rows: int, size: int, *, parts: int = 1, processes: int = 1, rank: int = 0, seed: int = 0
    ) -> None:
        self.rows, self.size, self.seed = rows, min(size, rows), seed
        self.steps = math.ceil(rows / self.size)
        # a part without rows would have no mean
        self.parts = max(1, min(parts, rows // self.steps // processes))
        self.processes, self.rank = processes, rank
        self.epoch = 0

    def __len__(self) -> int:
        return self.steps * self.parts

    def __iter__(self) -> Iterator[list[BatchPosition]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.rows)
        for step in np.array_split(np.arange(self.rows), self.steps):
            places = [BatchPosition(self.epoch, int(number), int(order[number])) for number in step]
            # every process computes a run of parts that lie side by side
            cuts = np.array_split(np.arange(len(places)), self.parts * self.processes)
            for part in cuts[self.rank * self.parts : (self.rank + 1) * self.parts]:
                yield [places[i] for i in part]


class _Rows(Dataset[tuple[BatchPosition, Any]]):
    """A sequence as torch wants it, asked by place."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: BatchPosition) -> tuple[BatchPosition, Any]:
        return place, self.rows[place.row]


class _Collate:
    """The task's collate, its random choices seeded by the place of the batch's first row."""

    def __init__(self, task: Task[Any, Any], seed: int) -> None:
        self.task, self.seed = task, seed

    def __call__(self, found: Sequence[tuple[BatchPosition, Any]]) -> Batch:
        first = found[0][0]
        text = f"{self.seed}:{first.epoch}:{first.number}"
        chance = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
        before = torch.get_rng_state()
        torch.default_generator.manual_seed(chance)
        try:
            return self.task.collate([row for _, row in found])
        finally:
            torch.set_rng_state(before)


def loader(task: Task[Any, Any], rows: Sequence[Any], batches: Batches) -> DataLoader[tuple[BatchPosition, Any]]:
    """The batches of a process, collated one at a time."""
    return DataLoader(
        _Rows(rows), batch_sampler=batches, collate_fn=_Collate(task, batches.seed), generator=torch.Generator()
    )


def steps_in(batches: Batches, epochs: float) -> int:
    """Steps of a whole training."""
    return math.ceil(batches.steps * epochs)
