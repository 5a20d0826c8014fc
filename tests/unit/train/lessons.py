"""Small trainings with all that is random switched on: for tests, and for processes that tests start and kill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from mmdemo.core.config import CheckpointConfig
from mmdemo.tasks import TASKS
from mmdemo.train.record import Record, RunObserver
from mmdemo.train.settings import TrainSettings
from mmdemo.train.trainer import fit
from tests.unit.tasks.made import CONFIGS, ROWS

FINAL = "final.safetensors"

PLAIN = TrainSettings(
    epochs=1, batch_size=8, learning_rate=1e-2, warmup=0.0, schedule="constant", weight_decay=0.0, precision="fp32"
)
"""One step over all rows, nothing but the gradient."""

LIVELY = replace(
    PLAIN,
    epochs=4,
    batch_size=3,
    learning_rate=5e-3,
    warmup=0.2,
    schedule="cosine",
    ema_decay=0.9,
    save_steps=3,
    save_total_limit=2,
)
"""A training with everything that has a state."""


def lively_config(task: str) -> CheckpointConfig:
    """With dropout."""
    config = CONFIGS[task]
    return replace(config, net={**config.net, "dropout": 0.2})


def lively_rows(task: str) -> list[Any]:
    """Three times the made rows, with two views of each picture, or clips that are changed at random."""
    rows = ROWS[task]()
    if task == "sentiment":
        return [replace(row, learning=True) for row in rows] * 3
    turned = [replace(row, views=(row.views[0], np.ascontiguousarray(row.views[0][..., ::-1]))) for row in rows]
    return turned * 3


def fitted(
    folder: Path,
    settings: TrainSettings,
    *,
    task: str = "caption",
    rows: Sequence[Any] | None = None,
    config: CheckpointConfig | None = None,
    resume: bool = False,
    watch: RunObserver | None = None,
    net: nn.Module | None = None,
) -> nn.Module:
    """A network after :func:`mmdemo.train.trainer.fit`, its validation rows those it learns from."""
    torch.manual_seed(settings.seed)
    net = net or TASKS[task].build(config or CONFIGS[task])
    rows = ROWS[task]() if rows is None else rows
    plain = ROWS[task]()
    record = Record(folder, watch or RunObserver())
    try:
        fit(TASKS[task], net, rows, plain, settings=settings, record=record, device="cpu", resume=resume)
    finally:
        record.close()
    return net


def lively(folder: Path, task: str, *, resume: bool = False) -> None:
    """What a process of its own does: train, and leave the final weights."""
    torch.set_num_threads(1)
    net = fitted(folder, LIVELY, task=task, rows=lively_rows(task), config=lively_config(task), resume=resume)
    save_file({name: tensor.contiguous() for name, tensor in net.state_dict().items()}, folder / FINAL)
