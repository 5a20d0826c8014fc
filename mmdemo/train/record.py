"""What a run leaves in its folder while it goes: events, status, log, best weights.

config.toml     the effective configuration
plan.json       command, seed, hashes of data and code, versions of libraries
events.jsonl    one line a step and one an epoch
status.json     what it is doing now;  pid  of the process that does it
request.json    how it was asked for: what follows ``train`` on the command line, with whole paths
stop            while it is there, the run stops after its step
log.txt         everything that was said, with the time
best/           the weights of the best epochs
state/          from which it goes on (see train.state)
curve.png       loss and figures;  tensorboard/  the same for TensorBoard

Names of the files, and what can be read of them without torch: :mod:`mmdemo.train.folder`.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError
from torch import Tensor

from mmdemo.core.errors import MmdemoError, after_failed_write
from mmdemo.core.reading import Unreadable, read_text
from mmdemo.core.writing import json_text
from mmdemo.train import processes
from mmdemo.train.folder import (
    BEST,
    CONFIG,
    EVENTS,
    EXIT,
    LEARNED,
    LOG,
    NOT_FIGURES,
    OUTPUT,
    PID,
    PLAN,
    REQUEST,
    STATES,
    STATUS,
    STOP,
    SUPERVISOR,
    WATCHED,
    Event,
    best_epochs,
    me,
    newest_state,
    read_events,
    read_status,
    step_of,
    write_json,
)
from mmdemo.train.state import write_tensors

__all__ = [
    "BEST",
    "BOARD",
    "CURVE",
    "EVENTS",
    "NOT_FIGURES",
    "STATES",
    "Event",
    "Record",
    "RunObserver",
    "Say",
    "TrainProgress",
    "best_epochs",
    "read_events",
    "read_status",
]

CURVE = "curve.png"
BOARD = "tensorboard"

LATELY = 20
"""Steps over which the speed is taken."""

_PLACE = ("step", "steps", "epoch", "loss", "figures")
"""Of a status: where the run was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainProgress:
    """Where a training is.

    Attributes:
        loss: Of the last step.
        figures: Validation figures of the last epoch, by name.
        seconds_left: Estimated from the steps so far.
    """

    step: int
    steps: int
    epoch: float
    loss: float
    figures: Mapping[str, float] = field(default_factory=dict)
    seconds_left: float = 0.0


class RunObserver:
    """How a run speaks; this one prints nothing. ``say`` takes a line, ``step`` is called after every step."""

    def log(self, text: str) -> None:
        """A sentence for people."""

    def step(self, progress: TrainProgress) -> None:
        """A step was made."""

    def close(self) -> None:
        """The training is over, well or not."""


class Record:
    """The folder ``trainer/`` of a run, written by one process of it.

    Attributes:
        before: What the run of before said last of itself.
        metric: The figure by which the best epoch is chosen, once that is known.
    """

    metric = ""

    def __init__(self, folder: Path, watch: RunObserver) -> None:
        self.writes = processes.is_main()
        self.folder, self.watch = folder, watch if self.writes else RunObserver()
        self.before = ""
        self._lock = FileLock(folder / "lock")
        self._told = 0.0
        self._begun, self._spent = time.monotonic(), 0.0
        self._at: Event = {}
        self._lately: deque[tuple[float, int]] = deque(maxlen=LATELY + 1)
        self._me, self._stop = me(), folder / STOP
        if not self.writes:
            return
        with _room(folder):
            folder.mkdir(parents=True, exist_ok=True)
        said = read_status(folder)
        self.before = said.get("state", "")
        self._spent = float(said.get("seconds") or 0.0)
        self._at = {key: said[key] for key in _PLACE if key in said}
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise MmdemoError(
                f"{folder.parent.name} is being trained", f"process {self._process()} holds {folder}", "Wait for it"
            ) from None
        with _room(folder):
            (folder / PID).write_text(f"{os.getpid()}\n", encoding="utf-8")
        # what was said of the process before is not true of this one
        watched = os.environ.get(WATCHED) == str(folder.parent)
        for name in (STOP, EXIT) if watched else (STOP, EXIT, SUPERVISOR):
            (folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Let others in."""
        self.watch.close()
        self._lock.release()

    def _process(self) -> str:
        try:
            return read_text(self.folder / PID).strip()
        except Unreadable:
            return "unknown"

    # ---------------------------------------------------------------- speaking

    def log(self, text: str) -> None:
        """Say it and write it down."""
        if self.writes:
            self.watch.log(text)
            self.note(text)

    def note(self, text: str) -> None:
        """Write it down without saying it."""
        if self.writes:
            with _room(self.folder), (self.folder / LOG).open("a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")

    def status(self, state: str, **more: object) -> None:
        """What the run is doing: preparing, training, finishing, done, stopped or failed.

        Where the last step was, and the seconds that the run has taken over all its interruptions, are said as well.
        """
        if self.writes:
            self._told = time.monotonic()
            seconds = round(self._spent + self._told - self._begun, 2)
            told = {"state": state, **self._me, "time": time.time(), "seconds": seconds, "metric": self.metric}
            with _room(self.folder):
                write_json({**told, **self._at, **more}, self.folder / STATUS)

    def to_stop(self) -> bool:
        """Whether somebody has asked for the run to end after this step."""
        return self.writes and self._stop.exists()

    def progress(self, progress: TrainProgress) -> None:
        """A step was made; the status follows at the first step, and once a second."""
        if not self.writes:
            return
        self.watch.step(progress)
        begins = not self._lately
        self._lately.append((time.monotonic(), progress.step))
        (then, first), (now, last) = self._lately[0], self._lately[-1]
        self._at = {
            "step": progress.step,
            "steps": progress.steps,
            "epoch": round(progress.epoch, 4),
            "loss": _number(progress.loss),
            "figures": {name: _number(value) for name, value in progress.figures.items()},
            "speed": round((last - first) / (now - then), 4) if now > then else 0.0,
        }
        if begins or time.monotonic() - self._told > 1 or progress.step == progress.steps:
            self.status("training", seconds_left=round(progress.seconds_left, 1))

    # ---------------------------------------------------------------- events

    def event(self, **values: float | int | str) -> None:
        """A line of events.jsonl."""
        if self.writes:
            line = {"time": round(time.time(), 3), **{name: _number(value) for name, value in values.items()}}
            with _room(self.folder), (self.folder / EVENTS).open("a", encoding="utf-8") as file:
                file.write(json_text(line) + "\n")

    def events(self) -> list[Event]:
        """All lines; one that was cut short by an interruption is passed over."""
        return read_events(self.folder)

    def cut_events(self, step: int) -> None:
        """Forget what came after a step: it will be lived through again."""
        if self.writes:
            kept = [event for event in self.events() if event["step"] <= step]
            part = self.folder / (EVENTS + ".part")
            part.write_text("".join(json_text(event) + "\n" for event in kept), encoding="utf-8")
            part.replace(self.folder / EVENTS)

    # ---------------------------------------------------------------- weights

    def keep(self, step: int, weights: Mapping[str, Tensor]) -> None:
        """Keep the weights of an epoch."""
        if self.writes:
            with _room(self.folder):
                (self.folder / BEST).mkdir(exist_ok=True)
                write_tensors(weights, self.kept(step))

    def kept(self, step: int) -> Path:
        """Where the weights of an epoch lie."""
        return self.folder / BEST / f"step-{step}.safetensors"

    def keep_only(self, steps: set[int]) -> None:
        """Remove the weights of all other epochs."""
        if self.writes:
            for file in (self.folder / BEST).glob("step-*"):
                if file not in {self.kept(step) for step in steps}:
                    file.unlink()

    # ---------------------------------------------------------------- starting anew

    def earlier(self) -> list[Path]:
        """What :meth:`set_aside` has moved away, oldest first."""
        found = [place for place in self.folder.glob("earlier-*") if place.name[8:].isdigit()]
        return sorted(found, key=lambda place: int(place.name[8:]))

    def set_aside(self) -> None:
        """Move what an interrupted run left into ``earlier-N/``: nothing is lost by a forgotten ``--resume``."""
        if not self.writes:
            return
        self._spent, self._at = 0.0, {}
        watched = os.environ.get(WATCHED) == str(self.folder.parent)  # then the request is that of this run
        saved = newest_state(self.folder / STATES)
        interrupted = saved is not None and self.before != "done"
        if interrupted or (self.folder.parent / "config.json").exists():
            number = 1 + max((int(place.name[8:]) for place in self.earlier()), default=0)
            place = self.folder / f"earlier-{number}"
            place.mkdir()
            run = (EVENTS, LOG, CURVE, CONFIG, PLAN, LEARNED, *((BEST, STATES) if interrupted else ()))
            run = run if watched else (*run, REQUEST, OUTPUT)
            for name in run:
                if (self.folder / name).exists():
                    (self.folder / name).rename(place / name)
            if saved is not None and interrupted:
                self.log(
                    f"an interrupted run lay in this folder, at step {step_of(saved)}: it is in {place} now "
                    "(--resume would have gone on with it)"
                )
            else:
                self.log(f"{self.folder.parent.name} is there already: once this run is done, it lies in {place}")
        for name in (EVENTS, CURVE, LOG) if watched else (EVENTS, CURVE, LOG, REQUEST, OUTPUT):
            (self.folder / name).unlink(missing_ok=True)
        for name in (BEST, STATES, BOARD):
            shutil.rmtree(self.folder / name, ignore_errors=True)


@contextmanager
def _room(folder: Path) -> Iterator[None]:
    """What the system says when nothing can be written, in one sentence."""
    try:
        yield
    except (OSError, SafetensorError) as error:  # the library says a full disk in words of its own
        raise MmdemoError(
            f"Nothing can be written in {folder}",
            getattr(error, "strerror", None) or str(error),
            after_failed_write(error, "--resume goes on from the last state"),
        ) from None


def _number(value: float | int | str) -> float | int | str | None:
    """JSON knows no infinity, and nothing that is not a number."""
    return value if not isinstance(value, float) or math.isfinite(value) else None


Say = Callable[[str], None]
