"""What the folder of a run says, read without torch: names of its files, events, status, states."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from mmdemo.core.reading import Unreadable, object_or_empty, parse_json, read_bytes
from mmdemo.core.writing import json_text

TRAINER = "trainer"
"""Folder of the run's own things, below that of the checkpoint it makes."""

EVENTS = "events.jsonl"
STATUS = "status.json"
LOG = "log.txt"
PID = "pid"
BEST = "best"
STATES = "state"
CONFIG = "config.toml"
PLAN = "plan.json"
LEARNED = "learned.json"
"""Which files the run learned from, was chosen by and was measured on, by content: see train.plan.write_learned."""

REQUEST = "request.json"
"""What a person asked for: see :func:`mmdemo.train.plan.write_request`."""

STOP = "stop"
"""While it is there, the run stops after its step, and what it has learned so far is published."""

OUTPUT, EXIT, SUPERVISOR = "output.txt", "exit.json", "supervisor.json"
"""Of a run that is watched over (see studio.runs.supervise): all that it printed, how it ended, and who watches."""

WATCHED = "MMDEMO_WATCHED_RUN"
"""Environment variable of a run that something watches over: its folder."""

MOST_EVENTS = 1 << 30
"""Bytes of the events of a run; a week of steps has some hundred million."""

NOT_FIGURES = frozenset({"time", "step", "epoch", "loss", "rate", "grad"})
"""Of an event: what is no validation figure."""

Event = dict[str, Any]


def write_json(value: object, file: Path) -> None:
    """Whole or not at all."""
    part = file.with_name(file.name + ".part")
    part.write_text(json_text(value, indent=1) + "\n", encoding="utf-8")
    part.replace(file)


def read_json(file: Path) -> Event:
    """The object in a file; empty where there is none, or something else."""
    return object_or_empty(file)


def read_learned(folder: Path) -> dict[str, frozenset[str]]:
    """Which files a run had in which part, by content; empty where it left no note of them.

    Args:
        folder: Of the run's checkpoint.

    Returns:
        "train", "validation", "test", and "before": what the models learned from that it was started from.
    """
    found = read_json(folder / TRAINER / LEARNED)
    parts = {name: found.get(name) for name in ("train", "validation", "test", "before")}
    return {name: frozenset(map(str, some)) for name, some in parts.items() if isinstance(some, list)}


def read_status(folder: Path) -> Event:
    """What a run said of itself last; empty where it said nothing."""
    return read_json(folder / STATUS)


def read_events(folder: Path) -> list[Event]:
    """The events of a run, oldest first; a line that was cut short is passed over."""
    try:
        lines = read_bytes(folder / EVENTS, most=MOST_EVENTS).decode("utf-8", errors="replace").splitlines()
    except Unreadable:
        return []
    return list(_events(lines))


def last_events(folder: Path, *, most: int = 8192) -> list[Event]:
    """The newest events, oldest of them first, from the last ``most`` bytes of the file."""
    return list(_events(last_lines(folder / EVENTS, most=most)))


def last_lines(file: Path, *, most: int) -> list[str]:
    """The whole lines within the last ``most`` bytes of a file; none where it cannot be read."""
    try:
        with file.open("rb") as lines:
            size = lines.seek(0, os.SEEK_END)
            lines.seek(max(0, size - most))
            text = lines.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    found = text.splitlines()
    return found[1:] if size > most else found


def _events(lines: list[str]) -> Iterator[Event]:
    for line in lines:
        try:
            event = parse_json(line, name=EVENTS)
        except Unreadable:
            continue
        if isinstance(event, dict) and isinstance(event.get("step"), int):
            yield event


def best_epochs(events: list[Event], metric: str) -> list[tuple[float, int]]:
    """Figure and step of every epoch whose figure is a number, best first.

    Of equals, which are usual where there are few rows to be right or wrong, the one with the lower validation loss
    ("minus_loss"), where that was noted; then the earlier.
    """
    found = [(float(e[metric]), _number(e.get("minus_loss")), e["step"]) for e in events if _is_number(e.get(metric))]
    return [(value, step) for value, _, step in sorted(found, key=lambda entry: (-entry[0], -entry[1], entry[2]))]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else -math.inf


def newest_state(states: Path) -> Path | None:
    """The newest state below ``states``, None where there is none."""
    found = [place for place in states.glob("step-*") if re.fullmatch(r"step-\d+", place.name)]
    return max(found, key=step_of, default=None)


def step_of(state: Path) -> int:
    """The step after which a state was written."""
    return int(state.name.rpartition("-")[2])


# ---------------------------------------------------------------- processes


@cache
def _boot() -> str:
    """Which start of the machine this is."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]


def born(pid: int) -> str:
    """When a process was started, in a form that no later process of the same number shares; "" where there is none.

    On Linux the clock's ticks since the machine was booted, and which boot that was: the time of day can be set.
    """
    try:
        # a name may hold blanks and brackets
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        if fields[0] in b"ZX":
            return ""  # ended; nobody has asked how
        return f"{_boot()}-{fields[19].decode()}"
    except (OSError, IndexError):
        pass
    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.0f}"
    except (psutil.Error, ValueError, OverflowError):
        return ""


def me() -> Event:
    """Number and birth of this process, as :func:`lives` reads them."""
    return {"pid": os.getpid(), "born": born(os.getpid())}


def lives(told: Event) -> bool:
    """Whether the process that wrote ``pid`` and ``born`` is still there.

    Where an older version left no ``born``, the process must have been started before it wrote its ``time``.
    """
    pid = told.get("pid")
    if not isinstance(pid, int) or isinstance(pid, bool) or pid <= 0:
        return False
    now = born(pid)
    if not now or told.get("born"):
        return bool(now) and now == told.get("born")
    try:
        return bool(psutil.Process(pid).create_time() <= float(told.get("time", 0)) + 2)
    except (psutil.Error, ValueError, TypeError, OverflowError):
        return False


def resident(pid: int) -> int:
    """Bytes that a process and all that it has started hold in memory; 0 where it is gone."""
    total = 0
    try:
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            try:
                total += one.memory_info().rss
            except psutil.Error:
                continue
    except (psutil.Error, ValueError, OverflowError):
        return 0
    return int(total)
