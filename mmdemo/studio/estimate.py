"""How long a training will take: from what a row costs, the pace of this machine, and earlier runs here."""

from __future__ import annotations

import functools
import math
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import spec_of
from mmdemo.core.types import Json
from mmdemo.models.families.adapter import is_adapter
from mmdemo.models.folder import read_config
from mmdemo.models.loading import pick_device
from mmdemo.studio import hub_bases
from mmdemo.studio.hub_bases import HubStartingPoint, hub_starting_point
from mmdemo.studio.settings import Choice, settings_of
from mmdemo.tasks.tune import Tune

if TYPE_CHECKING:
    from mmdemo.runs.reading import Run
    from mmdemo.studio.preview import Preview

START = 6.0
"""Seconds from the command to the first row: imports, networks, hashes of the data."""

END = 4.0
"""Seconds from the last step to the checkpoint: calibration, probe, card, figures."""

THROUGH = 3.0
"""What training the whole encoder takes, as a multiple of looking through it: forward, and backward twice as much."""

PACE = 0.05
"""Seconds of :func:`pace`'s work on the two cores of a server that these figures were measured on."""

RUNS = 5
"""Earlier runs that are asked."""

PRODUCTS = 10 * 2 * 768**3
"""Operations of :func:`pace`'s work."""

SHARE = {"cpu": 0.8, "cuda": 0.25, "mps": 0.25}
"""How much of that pace a network of a library's reaches; the last two are guesses on the safe side."""

LOADING = 3e8
"""Bytes of a hub model's files in a second: they are read three times, for the run and for the finished model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Seconds a training will take, the range it will probably stay in, and what that rests on.

    ``memory`` is what it takes at the highest, in bytes; 0 where it starts from a model of ours, which are small.
    """

    seconds: float
    low: float
    high: float
    how: str
    memory: int = 0

    def to_json(self) -> Json:
        said: Json = {"seconds": self.seconds, "low": self.low, "high": self.high, "how": self.how}
        return {**said, "memory": self.memory} if self.memory else said


def estimate(choice: Choice, preview: Preview) -> Estimate:
    """Before it is started; once it goes, it says itself how long it will take.

    Raises:
        MmdemoError: A setting is unknown or cannot be, or what it starts from cannot be tuned in the memory here.
    """
    hub = hub_starting_point(choice.task, choice.base)
    if hub is not None:
        return _of_hub(choice, preview, hub)
    config = settings_of(choice.task, choice.overrides, choice.base)
    rows = preview.parts["train"].examples if "train" in preview.parts else preview.examples
    files = sum(part.files for part in preview.parts.values())
    settings = {"epochs": config.train.epochs, "tune": config.train.tune}
    views = 2 if config.data.get("mirror") else 1
    parts = _parts(choice.task, settings, rows=rows, files=files * views)
    fixed, work = parts
    ratios = _ratios(run for run in _done(choice.task, str(settings["tune"])) if not _on_hub(run))
    if ratios:
        return _estimate((fixed + work) * statistics.median(ratios), *EARLIER, _how_earlier(ratios))
    how = "from figures of a machine with two cores, scaled to this one"
    return _estimate((fixed + work) * pace() / PACE, 0.5, 2.5, how)


EARLIER = (0.7, 1.5)
"""The range of what rests on earlier runs."""


def _estimate(seconds: float, low: float, high: float, how: str, memory: int = 0) -> Estimate:
    return Estimate(
        seconds=round(seconds, 1), low=round(seconds * low, 1), high=round(seconds * high, 1), how=how, memory=memory
    )


def _how_earlier(ratios: Sequence[float]) -> str:
    return f"from {len(ratios)} earlier run{'s' if len(ratios) > 1 else ''} on this machine"


# ---------------------------------------------------------------- what others made


def _of_hub(choice: Choice, preview: Preview, base: HubStartingPoint) -> Estimate:
    train = settings_of(choice.task, choice.overrides, choice.base).train
    device, tune = pick_device(choice.device), Tune.parse(train.tune)
    there = {name: part.examples for name, part in preview.parts.items()}
    memory, cost = hub_bases.check(choice, preview), hub_bases.cost(base, choice.task, preview)
    passes, epochs = there.get("train", preview.examples), math.ceil(train.epochs)

    def seconds(learned: float, looked: float) -> float:
        work = learned * cost.work(tune) + looked * cost.look
        fixed = (START + END + 3 * cost.size / LOADING) * pace() / PACE
        return fixed + work / _operations(device)

    whole = seconds(passes * epochs, there.get("validation", 0) * (epochs + 1) + there.get("test", 0))
    ratios: list[float] = []
    for run in _done(choice.task, train.tune):
        named = (run.start,) if Path(run.start).is_absolute() else (run.start, run.base)
        if choice.base in named and hub_bases.device_of(run) == device and run.seconds > 0:
            batch = int(str(run.settings.get("batch_size", 1))) * int(str(run.settings.get("grad_accum_steps", 1)))
            ratios.append(run.seconds / seconds(run.step * batch, run.step * batch / 8))
    if ratios:
        return _estimate(whole * statistics.median(ratios[:RUNS]), *EARLIER, _how_earlier(ratios[:RUNS]), memory)
    how = "from the size of the model and the pace of this machine; after the first run it is known better"
    return _estimate(whole, 0.4, 3.0, how, memory)


def _operations(device: str) -> float:
    """Products and sums in a second."""
    return SHARE.get(device, 0.25) * PRODUCTS / pace(device)


def _on_hub(run: Run) -> bool:
    try:
        return is_adapter(read_config(run.folder))
    except MmdemoError:
        return False


# ---------------------------------------------------------------- models of ours


def _parts(task: str, settings: Mapping[str, object], *, rows: int, files: int) -> tuple[float, float]:
    """Seconds that every training takes, and those that grow with the data."""
    tune, epochs = Tune.parse(str(settings["tune"])), float(str(settings["epochs"]))
    spec = spec_of(task)
    row = spec.row_seconds
    if tune.kind == "last":
        row += spec.encode_seconds * THROUGH * min(1.0, 0.25 + tune.blocks / 8)
    elif tune.kind in ("lora", "all"):
        row += spec.encode_seconds * THROUGH
    encode = files * spec.encode_seconds if tune.frozen_encoder or tune.kind == "last" else 0.0
    return START + END, encode + rows * math.ceil(epochs) * row


def _done(task: str, tune: str) -> Iterator[Run]:
    """Finished runs of the same kind, the newest first."""
    from mmdemo.runs.reading import State, list_runs

    for run in list_runs():
        if run.task == task and run.state is State.DONE and str(run.settings.get("tune")) == tune:
            yield run


def _ratios(runs: Iterable[Run]) -> list[float]:
    """What they took, as a multiple of what these figures say."""
    return list(islice((ratio for run in runs if (ratio := _ratio(run)) is not None), RUNS))


def _ratio(run: Run) -> float | None:
    try:
        epochs, batch = float(str(run.settings["epochs"])), int(str(run.settings["batch_size"]))
        rows = round(run.steps / max(epochs, 1) * batch)
        fixed, work = _parts(run.task, run.settings, rows=rows, files=0)  # its features may have been there already
    except (KeyError, ValueError, MmdemoError):
        return None
    return min(5.0, max(0.2, run.seconds / (fixed + work))) if run.seconds > 0 else None


@functools.cache
def pace(device: str = "cpu") -> float:
    """Seconds that this machine takes for ten products of 768 x 768 numbers, the best of five."""
    one = torch.ones(768, 768, device=device)
    times = []
    with torch.inference_mode():
        for _ in range(5):
            started = time.perf_counter()
            for _ in range(10):
                found = one @ one
            found[0, 0].item()  # a GPU answers before it has done
            times.append(time.perf_counter() - started)
    return min(times)
