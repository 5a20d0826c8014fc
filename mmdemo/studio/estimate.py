"""How long a training will take: from what a row costs, the pace of this machine, and earlier runs here."""

from __future__ import annotations

import functools
import math
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import Json
from mmdemo.studio.settings import Choice, settings_of
from mmdemo.tasks.tune import Tune

if TYPE_CHECKING:
    from mmdemo.studio.preview import Preview
    from mmdemo.studio.runs.reading import Run

START = 6.0
"""Seconds from the command to the first row: imports, networks, hashes of the data."""

END = 4.0
"""Seconds from the last step to the checkpoint: calibration, probe, card, figures."""

FILE = {"ask": 0.016, "classify": 0.016, "caption": 0.016, "sentiment": 0.025}
"""Seconds in which the frozen encoder looks at a picture once, or listens to a clip."""

ROW = {"ask": 0.0018, "classify": 0.0002, "caption": 0.0024, "sentiment": 0.0002}
"""Seconds that the head takes for a row, forward and backward."""

THROUGH = 3.0
"""What training the whole encoder takes, as a multiple of looking through it: forward, and backward twice as much."""

PACE = 0.05
"""Seconds of :func:`pace`'s work on the two cores of a server that these figures were measured on."""

RUNS = 5
"""Earlier runs that are asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Seconds a training will take, the range it will probably stay in, and what that rests on."""

    seconds: float
    low: float
    high: float
    how: str

    def to_json(self) -> Json:
        return {"seconds": self.seconds, "low": self.low, "high": self.high, "how": self.how}


def estimate(choice: Choice, preview: Preview) -> Estimate:
    """Before it is started; once it goes, it says itself how long it will take.

    Raises:
        MmdemoError: A setting is unknown or cannot be.
    """
    config = settings_of(choice.task, choice.overrides)
    rows = preview.parts["train"].examples if "train" in preview.parts else preview.examples
    files = sum(part.files for part in preview.parts.values())
    settings = {"epochs": config.train.epochs, "tune": config.train.tune}
    views = 2 if config.data.get("mirror") else 1
    parts = _parts(choice.task, settings, rows=rows, files=files * views)
    fixed, work = parts
    ratios = _earlier(choice.task, settings)
    if ratios:
        factor = statistics.median(ratios)
        how = f"from {len(ratios)} earlier run{'s' if len(ratios) > 1 else ''} on this machine"
        low, high = 0.7, 1.5
    else:
        factor = pace() / PACE
        how = "from figures of a machine with two cores, scaled to this one"
        low, high = 0.5, 2.5
    seconds = (fixed + work) * factor
    return Estimate(seconds=round(seconds, 1), low=round(seconds * low, 1), high=round(seconds * high, 1), how=how)


def _parts(task: str, settings: Mapping[str, object], *, rows: int, files: int) -> tuple[float, float]:
    """Seconds that every training takes, and those that grow with the data."""
    tune, epochs = Tune.parse(str(settings["tune"])), float(str(settings["epochs"]))
    row = ROW[task]
    if tune.kind == "last":
        row += FILE[task] * THROUGH * min(1.0, 0.25 + tune.blocks / 8)
    elif tune.kind in ("lora", "all"):
        row += FILE[task] * THROUGH
    encode = files * FILE[task] if tune.frozen_encoder or tune.kind == "last" else 0.0
    return START + END, encode + rows * math.ceil(epochs) * row


def _earlier(task: str, settings: Mapping[str, object]) -> list[float]:
    """What finished runs of the same kind took, as a multiple of what these figures say."""
    from mmdemo.studio.runs.reading import State, list_runs

    found = []
    for run in list_runs():
        if run.task == task and run.state is State.DONE and str(run.settings.get("tune")) == str(settings["tune"]):
            ratio = _ratio(run)
            if ratio is not None:
                found.append(ratio)
        if len(found) == RUNS:
            break
    return found


def _ratio(run: Run) -> float | None:
    try:
        epochs, batch = float(str(run.settings["epochs"])), int(str(run.settings["batch_size"]))
        rows = round(run.steps / max(epochs, 1) * batch)
        fixed, work = _parts(run.task, run.settings, rows=rows, files=0)  # its features may have been there already
    except (KeyError, ValueError, MmdemoError):
        return None
    return min(5.0, max(0.2, run.seconds / (fixed + work))) if run.seconds > 0 else None


@functools.cache
def pace() -> float:
    """Seconds that this machine takes for ten products of 768 x 768 numbers, the best of five."""
    one = torch.ones(768, 768)
    times = []
    with torch.inference_mode():
        for _ in range(5):
            started = time.perf_counter()
            for _ in range(10):
                one @ one
            times.append(time.perf_counter() - started)
    return min(times)
