"""Runs as their folders tell of them: nothing but the disk is asked, so that whoever looks sees the same.

A list is read every second while a page is open: a few small files of each run, and never the whole of its events.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import Unreadable, parse_json, read_object, read_toml
from mmdemo.core.renamed import current_names
from mmdemo.core.settings import checkpoints_root
from mmdemo.core.types import Metric
from mmdemo.core.words import nearest_name
from mmdemo.models import folder as checkpoints
from mmdemo.models.hub import HUB_ID
from mmdemo.runs import queue
from mmdemo.runs.supervise import NOW, read_stop
from mmdemo.train.folder import (
    CONFIG,
    EVENTS,
    EXIT,
    LOG,
    NOT_FIGURES,
    OUTPUT,
    PLAN,
    REQUEST,
    STATUS,
    SUPERVISOR,
    TRAINER,
    Event,
    last_events,
    last_lines,
    lives,
    read_json,
    resident,
)
from mmdemo.train.request import TrainRequest, read_request

log = logging.getLogger("mmdemo")

MOST_NUMBER = 1e11
"""Seconds since 1970, steps, bytes: none is larger, and no calendar goes further."""

GONE = "Its process is gone: the machine was switched off, or somebody ended it."
TRIES = 5
"""Looks for a folder that is just being replaced."""

FRESH = 10.0
"""Seconds for which the size of a folder is believed while a run writes there."""


class State(StrEnum):
    """What a run is doing, or how it ended. FAILED is also one whose process has gone without a word.

    Of a DAMAGED one nothing is known but its name and, as ``reason``, which file cannot be read.
    """

    QUEUED = "queued"
    PREPARING = "preparing"
    TRAINING = "training"
    FINISHING = "finishing"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DONE = "done"
    FAILED = "failed"
    DAMAGED = "damaged"


ACTIVE = frozenset({State.QUEUED, State.PREPARING, State.TRAINING, State.FINISHING, State.STOPPING})
"""States of a run that has a process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One training and what has become of it.

    Attributes:
        folder: Of the checkpoint; the run's own things lie in ``trainer/`` below it.
        data: What it learns from, as paths.
        base: Name of what it starts from: of a model of ours, of a folder, or a hub id.
        start: The same as it was asked for: a folder with its whole path. "" where nobody said.
        source: "page" or "command"; "" where nobody knows.
        place: In the queue, from 1; 0 when it does not wait.
        ahead: Names of the runs before it.
        figures: Of the last epoch, by name; ``metric`` is the one that the best epoch is chosen by.
        speed: Steps per second of the last steps, 0 where not known.
        seconds: How long it has run so far, over all resumptions.
        created, ended: Seconds since 1970.
        settings: ``[train]`` of its configuration; empty before that exists.
        memory: Bytes resident of its processes now.
        size: Bytes of the folder.
        reason: Why it failed, one sentence.
        model: A checkpoint lies in the folder, finished or the best epoch of a run that was stopped.
        why_not: One sentence where it cannot be resumed.
    """

    name: str
    task: str
    state: State
    folder: Path
    data: tuple[str, ...] = ()
    base: str = ""
    start: str = ""
    device: str = ""
    source: str = ""
    place: int = 0
    ahead: tuple[str, ...] = ()
    step: int = 0
    steps: int = 0
    epoch: float = 0.0
    epochs: float = 0.0
    loss: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    metric: str = ""
    speed: float = 0.0
    seconds_left: float | None = None
    seconds: float = 0.0
    created: float = 0.0
    ended: float | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    memory: int = 0
    size: int = 0
    reason: str = ""
    exit_code: int | None = None
    model: bool = False
    metrics: tuple[Metric, ...] = ()
    command: str = ""
    resumable: bool = False
    why_not: str = ""

    @property
    def active(self) -> bool:
        """Whether it has a process."""
        return self.state in ACTIVE


# ---------------------------------------------------------------- finding


def folder_of(name: str) -> Path:
    """The folder of a run.

    Raises:
        MmdemoError: There is no run of that name.
    """
    root = checkpoints_root()
    folder = root / name
    if name and Path(name).name == name:
        for _ in range(TRIES):
            if _is_run(folder):
                return folder
            if not folder.with_name(f"{name}.part").exists():
                break
            time.sleep(0.02)  # while a checkpoint is put in place, its folder is away for a moment
    known = [place.name for place in _folders(root)]
    near = nearest_name(name, known)
    raise MmdemoError(f"There is no run {name!r}", "", f"Did you mean {near}" if near else "")


def _folders(root: Path) -> Iterator[Path]:
    try:
        names = sorted(entry.name for entry in os.scandir(root))
    except OSError:
        return
    yield from (root / name for name in names if _is_run(root / name))


def _is_run(folder: Path) -> bool:
    """Whether a run has left something there: an empty folder ``trainer/`` is none."""
    if folder.name.startswith(".") or folder.suffix in {".part", ".old"}:
        return False
    place = folder / TRAINER
    return any((place / name).is_file() for name in (STATUS, REQUEST, PLAN, CONFIG, EVENTS))


def list_runs() -> tuple[Run, ...]:
    """All runs, newest first; one whose folder cannot be read is among them, as damaged."""
    queues = queue.queues()
    runs = [_isolated(folder, queues) for folder in _folders(checkpoints_root())]
    return tuple(sorted(runs, key=lambda run: (-run.created, run.name)))


def read_run(name: str) -> Run:
    """One run, damaged or not.

    Raises:
        MmdemoError: There is no run of that name.
    """
    return _isolated(folder_of(name), queue.queues())


def _isolated(folder: Path, queues: Mapping[str, Sequence[queue.Ticket]]) -> Run:
    """A run as its folder tells of it; damaged where that cannot be read, whatever the reason."""
    try:
        return _read(folder, queues)
    except Exception as error:
        why = str(error) if isinstance(error, MmdemoError) else f"{type(error).__name__}: {error}"
        if not isinstance(error, MmdemoError):
            log.warning("the run %s cannot be read", folder, exc_info=error)
        created = _oldest(folder / TRAINER)
        return Run(name=folder.name, task="", state=State.DAMAGED, folder=folder, created=created, reason=why)


# ---------------------------------------------------------------- reading


def _read(folder: Path, queues: Mapping[str, Sequence[queue.Ticket]]) -> Run:
    place = folder / TRAINER
    status, request, plan = (_told(place / name) for name in (STATUS, REQUEST, PLAN))
    end = read_json(place / EXIT)
    asked = read_request(request)
    settings = _settings(place, plan)
    ahead = _ahead(folder, queues)
    state, reason = _state(place, status, end, waits=ahead is not None)
    active = state in ACTIVE
    figures = _figures(status.get("figures"))
    last = last_events(place) if "loss" not in status and state is not State.QUEUED else []
    if last and not figures:
        figures = next((_figures(event) for event in reversed(last) if "loss" not in event), {})
    spoken = last[-1] if last else {}
    task = str(request.get("task") or plan.get("task") or _task(folder))
    if not task:
        raise MmdemoError(f"The run {folder.name} cannot be read", "nothing says for which task it is")
    seconds, now = _number(status.get("seconds")), time.time()
    if seconds is None:
        seconds = _span(place)
    if active and status.get("state") != State.QUEUED and lives(status):
        seconds += max(0.0, now - (_number(status.get("time")) or now))
    data = [str(entry) for entry in _listed(request.get("data") or plan.get("data"))]
    resumable, why_not = _resumable(folder.name, state, asked, data)
    return Run(
        name=folder.name,
        task=task,
        state=state,
        folder=folder,
        data=tuple(data),
        base=_base(asked, plan, task, folder.name),
        start=(asked and asked.base) or "",
        device=str(request.get("device") or ""),
        source=str(request.get("source") or ""),
        place=len(ahead) + 1 if ahead is not None and state is State.QUEUED else 0,
        ahead=tuple(ahead or ()) + _trains(folder, request) if state is State.QUEUED else (),
        step=int(_number(status.get("step")) or spoken.get("step") or 0),
        steps=int(_number(status.get("steps")) or 0),
        epoch=_number(status.get("epoch")) or _number(spoken.get("epoch")) or 0.0,
        epochs=_number(settings.get("epochs")) or 0.0,
        loss=_number(status.get("loss")) if "loss" in status else _loss(last),
        figures=figures,
        metric=str(status.get("metric") or settings.get("metric") or ""),
        speed=_number(status.get("speed")) or 0.0,
        seconds_left=_number(status.get("seconds_left")) if state is State.TRAINING else None,
        seconds=seconds,
        created=_number(request.get("created")) or _oldest(place),
        ended=None if active else _ended(place, status, end),
        settings=settings,
        memory=resident(int(status["pid"])) if active and lives(status) else 0,
        size=size_of(folder, fresh=active),
        reason=reason,
        exit_code=None if active else _code(end),
        model=(folder / checkpoints.WEIGHTS).is_file() and (folder / "config.json").is_file(),
        metrics=_metrics(folder),
        command=_command(asked, plan),
        resumable=resumable,
        why_not=why_not,
    )


def _told(file: Path) -> Event:
    """What a file of the run says, {} where there is none.

    Raises:
        Unreadable: It is damaged. Each is written whole, so it is not one that is just being written.
    """
    try:
        return read_object(file)
    except Unreadable as error:
        if error.missing:
            return {}
        raise Unreadable(f"{TRAINER}/{error.name}", error.why) from None


def _state(place: Path, status: Event, end: Event, *, waits: bool) -> tuple[State, str]:
    """What a run is doing, and the reason where it has failed."""
    said, stop, watch = status.get("state"), read_stop(place), read_json(place / SUPERVISOR)
    child = {"pid": watch.get("child"), "born": watch.get("child_born")}
    if said in {State.PREPARING, State.TRAINING, State.FINISHING} and lives(status):
        return (State.STOPPING if stop else State(said)), ""
    if waits:
        return (State.STOPPING if stop else State.QUEUED), ""
    if said in {State.DONE, State.STOPPED}:
        return State(said), ""
    if said != State.FAILED and (lives(child) or (lives(watch) and not child["pid"])):
        return (State.STOPPING if stop else State.PREPARING), ""
    if stop == NOW:
        return State.STOPPED, ""
    if said != State.FAILED and lives(watch) and not end:  # which is about to write how it ended
        return State.FINISHING, ""
    if said == State.FAILED:
        return State.FAILED, str(status.get("error") or "") or _failure(place, end)
    if not status and (place.parent / "config.json").is_file():
        return State.DONE, ""  # of a version that left no status
    return State.FAILED, _failure(place, end)


def _failure(place: Path, end: Event) -> str:
    """Why a run ended that could not say so itself."""
    number = end.get("signal")
    if isinstance(number, int) and number:
        if number == 9:
            return "Its process was killed by signal 9, as happens when memory runs out."
        try:
            return f"Its process was ended by signal {number} ({signal.Signals(number).name})."
        except ValueError:
            return f"Its process was ended by signal {number}."
    code = _code(end)
    if code is None:
        return GONE
    words = [line.strip() for line in last_lines(place / OUTPUT, most=8192) if line.strip()]
    return words[-1] if words else f"Its process ended with code {code}."


def _ahead(folder: Path, queues: Mapping[str, Sequence[queue.Ticket]]) -> list[str] | None:
    """Names of those who wait before a run; None where it does not wait."""
    place = str(folder.resolve()) if queues else ""
    for tickets in queues.values():
        for number, ticket in enumerate(tickets):
            if ticket.folder == place:
                return [before.run for before in tickets[:number]]
    return None


def _trains(folder: Path, request: Event) -> tuple[str, ...]:
    """The name of the run that has the device which another waits for."""
    now = queue.holder(str(request.get("device") or "auto"))
    return () if now is None or now.folder == str(folder.resolve()) else (now.run,)


def _resumable(name: str, state: State, asked: TrainRequest | None, data: Sequence[str]) -> tuple[bool, str]:
    if state in ACTIVE:
        return False, f"{name} is running"
    if state is State.DONE:
        return False, f"{name} has finished already"
    if asked is None:
        return False, f"{name} was started by an older version, which did not note how; give its command with --resume"
    for place in data:
        if not Path(place).exists():
            return False, f"its data {place} is not there any more"
    return True, ""


# ---------------------------------------------------------------- details


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []


def _number(value: object) -> float | None:
    """A number as people and clocks know them; what somebody's editor has made of it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < MOST_NUMBER:
        return None
    return float(value)


def _figures(found: object) -> dict[str, float]:
    if not isinstance(found, dict):
        return {}
    return {str(k): float(v) for k, v in found.items() if k not in NOT_FIGURES and isinstance(v, int | float)}


def _loss(events: Sequence[Event]) -> float | None:
    return next((_number(event["loss"]) for event in reversed(events) if "loss" in event), None)


def _settings(place: Path, plan: Event) -> dict[str, object]:
    found = plan.get("settings")
    if isinstance(found, dict):
        train = found.get("train", found)  # older versions wrote that section alone
        return current_names("train", train) if isinstance(train, dict) else {}
    try:
        train = read_toml(place / CONFIG).get("train", {})
    except Unreadable:
        return {}
    return current_names("train", train) if isinstance(train, dict) else {}


def _base(asked: TrainRequest | None, plan: Event, task: str, name: str) -> str:
    given = (asked and asked.base) or str(plan.get("base") or "")
    shipped = f"{task}-base"
    if HUB_ID.match(given) and not Path(given).exists():
        return given
    return Path(given).name if given else ("" if name == shipped else shipped)


def _command(asked: TrainRequest | None, plan: Event) -> str:
    return f"python -m mmdemo train {shlex.join(asked.to_argv())}" if asked else str(plan.get("command") or "")


def _task(folder: Path) -> str:
    try:
        return checkpoints.read_config(folder).task
    except MmdemoError:
        return ""


def _metrics(folder: Path) -> tuple[Metric, ...]:
    try:
        return checkpoints.read_metrics(folder)
    except MmdemoError:
        return ()


def _code(end: Event) -> int | None:
    code = end.get("code")
    return code if isinstance(code, int) else None


def _oldest(place: Path) -> float:
    times = []
    for name in (CONFIG, PLAN, EVENTS, STATUS):
        with suppress(OSError):
            times.append((place / name).stat().st_mtime)
    return min(times, default=0.0)


def _ended(place: Path, status: Event, end: Event) -> float | None:
    told = _number(status.get("time")) or 0.0
    ended = max(told, _number(end.get("time")) or 0.0)
    if ended:
        return ended
    times = [(place / name).stat().st_mtime for name in (EVENTS, LOG) if (place / name).exists()]
    return max(times, default=None)


def _span(place: Path) -> float:
    """Seconds between the first event and the last one, of a run that did not count them."""
    last = last_events(place, most=2048)
    try:
        with (place / EVENTS).open("rb") as file:
            first = read_line(file.readline(4096))
    except OSError:
        return 0.0
    times = [_number(event.get("time")) for event in (first, *last[-1:])]
    return max(0.0, times[-1] - times[0]) if times[0] is not None and times[-1] is not None else 0.0


def read_line(line: bytes) -> Event:
    """An event, empty where the line is none."""
    try:
        found = parse_json(line, name=EVENTS)
    except Unreadable:
        return {}
    return found if isinstance(found, dict) else {}


# ---------------------------------------------------------------- size


def size_of(folder: Path, *, fresh: bool = False) -> int:
    """Bytes of a folder with all below it.

    Args:
        fresh: Somebody writes there: count again after a few seconds, whatever the folder's own time says.
    """
    marks = [folder, folder / TRAINER, folder / TRAINER / "state", folder / TRAINER / "best"]
    changed = tuple(mark.stat().st_mtime_ns for mark in marks if mark.exists())
    return _counted(str(folder), changed, int(time.time() / FRESH) if fresh else 0)


@lru_cache(maxsize=1024)
def _counted(folder: str, changed: tuple[int, ...], turn: int) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(place, name).lstat().st_size
            except OSError:
                continue
    return total
