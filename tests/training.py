"""Trainings in this process, for tests that want a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdemo.train import run
from mmdemo.train.record import RunObserver
from mmdemo.train.request import TrainRequest


def train(
    *,
    data: Sequence[Path | str],
    overrides: Sequence[str] = (),
    resume: bool = False,
    json_out: bool = False,
    watch: RunObserver | None = None,
    **asked: Any,
) -> int:
    """Train as the command line does; ``asked`` are fields of :class:`TrainRequest`. Returns the exit code."""
    request = TrainRequest(data=tuple(map(Path, data)), overrides=tuple(overrides), **asked)
    return run.main(request, resume=resume, json_out=json_out, watch=watch)
