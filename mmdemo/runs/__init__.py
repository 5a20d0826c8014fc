"""Runs from the page: start, stop, resume, look, rename, delete. Each is a process of its own, its state on disk."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import ROOT, checkpoints_root
from mmdemo.runs import queue
from mmdemo.runs.history import check_name, delete, rename
from mmdemo.runs.reading import ACTIVE, Run, State, folder_of, list_runs, read_run
from mmdemo.runs.supervise import NOW, detached, read_stop
from mmdemo.train import folder as files
from mmdemo.train.folder import (
    EXIT,
    LOG,
    NOT_FIGURES,
    OUTPUT,
    REQUEST,
    STATUS,
    STOP,
    SUPERVISOR,
    TRAINER,
    Event,
    last_lines,
    lives,
    read_json,
    write_json,
)
from mmdemo.train.request import TrainRequest, write_request

__all__ = [
    "ACTIVE",
    "Run",
    "State",
    "check_name",
    "curve",
    "delete",
    "list_runs",
    "log_end",
    "read_events",
    "read_run",
    "rename",
    "resume",
    "start",
    "stop",
]

POINTS = 400
"""Most points of a curve."""

SENDING = "sending.lock"
"""Held by whoever resumes a run, until it is in the queue."""

SENDING_SECONDS = 10.0

# ---------------------------------------------------------------- looking


def read_events(name: str) -> list[Event]:
    """All events of a run, oldest first."""
    return files.read_events(folder_of(name) / TRAINER)


def log_end(name: str, lines: int = 30) -> str:
    """The last lines that a run said: all that it printed where that was kept, else its log."""
    place = folder_of(name) / TRAINER
    watched = (place / SUPERVISOR).exists()  # else what was printed is that of a run of before
    said = last_lines(place / OUTPUT, most=200 * lines) if watched else []
    return "\n".join((said or last_lines(place / LOG, most=200 * lines))[-lines:])


def curve(name: str) -> dict[str, object]:
    """What is drawn of a run.

    Returns:
        ``loss`` and ``metric`` as lists of (step, value), ``figures`` by name as the same; each of at most
        :data:`POINTS` points. The loss of several steps is their mean, a figure is one of them.
    """
    events, run = read_events(name), read_run(name)
    losses = [(event["step"], float(event["loss"])) for event in events if _is_number(event.get("loss"))]
    figures: dict[str, list[tuple[int, float]]] = {}
    for event in events:
        if "loss" not in event:
            for key, value in event.items():
                if key not in NOT_FIGURES and _is_number(value):
                    figures.setdefault(key, []).append((event["step"], float(value)))
    figures = {key: _thinned(points) for key, points in figures.items()}
    return {"loss": _means(losses), "metric": figures.get(run.metric, []), "figures": figures}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _means(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    size = -(-len(points) // POINTS) or 1
    parts = [points[i : i + size] for i in range(0, len(points), size)]
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    size = -(-len(points) // POINTS) or 1
    return points[::-1][::size][::-1]  # the last one stays


# ---------------------------------------------------------------- starting


def start(request: TrainRequest, *, name: str) -> Run:
    """Start a training as a process of its own; returns at once.

    Args:
        request: What to train; its ``out`` becomes the run's folder.
        name: Of the run and of the model that it makes.

    Raises:
        MmdemoError: The name is taken or cannot be one, data are not there, or the disk is full.
    """
    check_name(name)
    for source in request.data:
        if not source.exists():
            raise MmdemoError(f"{name} cannot be started", f"there is no {source}")
    folder = (checkpoints_root() / name).absolute()
    place = folder / TRAINER
    try:
        folder.mkdir(parents=True)  # of two with the same name, one has it
        place.mkdir()
        write_request(request, place, device=queue.device_of(request.device), source="page")
        _send(folder, {})
    except FileExistsError:
        raise MmdemoError(f"There is a {name} already", "", "Choose another name") from None
    except OSError as error:
        queue.forget(folder)
        _remove(folder)
        raise MmdemoError(f"{name} cannot be started", error.strerror or str(error)) from None
    return read_run(name)


def _remove(folder: Path) -> None:
    """What a start that came to nothing has left: these files alone."""
    for name in (REQUEST, STATUS, OUTPUT):
        for file in (folder / TRAINER / name, folder / TRAINER / f"{name}.part"):
            with suppress(OSError):
                file.unlink(missing_ok=True)
    for place in (folder / TRAINER, folder):
        with suppress(OSError):
            place.rmdir()


def _send(folder: Path, before: Event) -> None:
    """Put a run into the queue and start the process that watches over it."""
    place = folder / TRAINER
    device = str(read_json(place / REQUEST).get("device") or "auto")
    for name in (EXIT, STOP, SUPERVISOR):
        (place / name).unlink(missing_ok=True)
    kept = {key: value for key, value in before.items() if key not in {"error", "pid", "born", "speed"}}
    write_json({**kept, "state": State.QUEUED, "time": time.time()}, place / STATUS)
    with suppress(OSError):  # the order of the queue is that of the clicks; the run itself asks again
        queue.join(device, folder)
    with (place / OUTPUT).open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - this interpreter, and a folder of ours
            [sys.executable, "-m", "mmdemo.runs", str(folder)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            **detached(),
        )
    try:
        write_json({"pid": process.pid, "born": files.born(process.pid), "child": 0}, place / SUPERVISOR)
    except OSError:  # what is refused does not go on behind
        _end(process.pid)
        process.wait()
        raise
    # it outlives this process; as long as that lasts, somebody must hear of its end
    threading.Thread(target=_hear_end, args=(process, folder), name=f"end of {folder.name}", daemon=True).start()


def _hear_end(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait for a supervisor; one that ended before it took its place over leaves a ticket that counts for us."""
    process.wait()
    if read_json(folder / TRAINER / SUPERVISOR).get("pid") == process.pid:  # else it was sent again meanwhile
        queue.forget(folder, told=files.me())


# ---------------------------------------------------------------- stopping and going on


def stop(name: str) -> None:
    """Stop a run: after its step it saves its state, publishes the best epoch so far and ends.

    A run that has not begun to train, or that was asked before, is ended at once; what it saved last stays.

    Raises:
        MmdemoError: It is not running.
    """
    run, place = read_run(name), folder_of(name) / TRAINER
    if not run.active:
        raise MmdemoError(f"{name} cannot be stopped", "it is not running")
    if run.state is State.TRAINING and not read_stop(place):
        try:
            (place / STOP).write_text("stop\n", encoding="utf-8")
        except OSError as error:
            (place / STOP).unlink(missing_ok=True)
            raise MmdemoError(f"{name} cannot be told to stop", error.strerror or str(error)) from None
        return
    _say_now(place)
    watch, status = read_json(place / SUPERVISOR), read_json(place / STATUS)
    child = {"pid": watch.get("child"), "born": watch.get("child_born")}
    tickets = [t.told for queued in queue.queues().values() for t in queued if t.folder == str(run.folder.resolve())]
    for told in (child, status, *tickets):
        if told.get("pid") not in {watch.get("pid"), os.getpid()} and lives(told):
            _end(int(told["pid"]))
    queue.forget(run.folder)
    _say_now(place)  # a run that was just starting may have taken the word for an old one
    until = time.monotonic() + 2
    while time.monotonic() < until and read_run(name).active:
        time.sleep(0.05)


def _say_now(place: Path) -> None:
    with suppress(OSError):  # on a full disk its process is ended all the same
        (place / STOP).write_text(f"{NOW}\n", encoding="utf-8")


def _end(pid: int) -> None:
    """End a process and all that it has started."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                one.kill()


def resume(name: str) -> Run:
    """Go on with a run where it was interrupted, through the queue; without a state it begins anew.

    Raises:
        MmdemoError: It runs, has finished, does not say how it was started, or its data are gone.
    """
    with _alone(folder_of(name) / TRAINER):
        run = read_run(name)
        if not run.resumable:
            raise MmdemoError(f"{name} cannot be resumed", run.why_not)
        try:
            _send(run.folder.absolute(), read_json(run.folder / TRAINER / STATUS))
        except OSError as error:
            queue.forget(run.folder)
            raise MmdemoError(f"{name} cannot be resumed", error.strerror or str(error)) from None
    return read_run(name)


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """One at a time, whoever asks from whatever page: of two who resume a run the second finds it running."""
    lock = FileLock(place / SENDING)
    with suppress(OSError, NotImplementedError, Timeout):  # a full disk says so later, and not every disk knows locks
        lock.acquire(timeout=SENDING_SECONDS)
    try:
        yield
    finally:
        lock.release()
