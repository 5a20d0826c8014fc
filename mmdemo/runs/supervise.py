"""The little process that starts a run and stays until it has ended: ``python -m mmdemo.runs FOLDER``.

It outlives the page that started it, and knows no torch: it waits, keeps what the run prints, and writes down how it
ended (``trainer/exit.json``), which a process that was killed cannot do itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import Unreadable, read_text
from mmdemo.core.settings import ROOT
from mmdemo.core.writing import json_text
from mmdemo.runs import queue
from mmdemo.train.folder import (
    EXIT,
    REQUEST,
    STATES,
    STOP,
    SUPERVISOR,
    TRAINER,
    WATCHED,
    born,
    me,
    newest_state,
    read_json,
    write_json,
)
from mmdemo.train.request import read_request

TRIES = 30
"""Times that the end of a run is written down where the disk is full, a second apart."""

ROOM, ROOM_BYTES = "exit.json.room", 4096
"""A file that keeps a place on the disk for the word about the run's end."""

NOW = "now"
"""What a stop file says when the run was not to end its step."""


def detached() -> dict[str, Any]:
    """Arguments of Popen for a process that neither a terminal nor the end of its parent ends."""
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW  # type: ignore[attr-defined,unused-ignore]
        return {"creationflags": flags}
    return {"start_new_session": True}


def main(folder: Path) -> int:
    """Start the run that ``trainer/request.json`` asks for, wait for its end and write it down."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    place = folder / TRAINER
    device = str(read_json(place / REQUEST).get("device") or "auto")
    about = {**me(), "child": 0, "child_born": ""}
    try:
        write_json(about, place / SUPERVISOR)
        (place / ROOM).write_bytes(b" " * ROOM_BYTES)
    except OSError as error:
        queue.forget(folder)
        with contextlib.suppress(OSError):
            print(f"The run could not begin: {error.strerror or error}. Resume it once there is room.", flush=True)  # noqa: T201 - kept for the page
        _note_end(place, 1)
        return 1
    with contextlib.suppress(OSError):  # the place in the queue now counts for this process, then for the run's own
        queue.join(device, folder)
    code = _watched(folder, place, about)
    queue.forget(folder)
    _note_end(place, code)
    return 0


def _watched(folder: Path, place: Path, about: dict[str, Any]) -> int:
    if (place / STOP).exists():
        return -int(signal.SIGTERM)  # stopped before it was started
    run = subprocess.Popen(  # noqa: S603 - what it prints goes where this process's own output goes: a file
        command(folder),
        cwd=ROOT,
        env={**os.environ, WATCHED: str(folder), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        **detached(),
    )
    if hasattr(signal, "SIGTERM"):  # the machine shuts down: the run saves its state, and this one waits for it
        signal.signal(signal.SIGTERM, lambda *_: run.terminate())
    with contextlib.suppress(OSError):  # on a full disk the run itself says what there is to say
        write_json({**about, "child": run.pid, "child_born": born(run.pid)}, place / SUPERVISOR)
    if read_stop(place) == NOW:
        run.kill()
    return run.wait()


def command(folder: Path) -> list[str]:
    """What starts a run as ``trainer/request.json`` has it, and goes on with it where it has a state."""
    request = read_request(read_json(folder / TRAINER / REQUEST))
    if request is None:
        raise MmdemoError(f"{folder.name} cannot be started", f"its {REQUEST} is missing or damaged")
    words = replace(request, out=str(folder)).to_argv()  # all of checkpoints/ may have been moved
    resume = ["--resume"] if newest_state(folder / TRAINER / STATES) is not None else []
    return [sys.executable, "-m", "mmdemo", "train", *words, *resume, "--queue"]


def read_stop(place: Path) -> str:
    """What a run's stop file says; "" where there is none."""
    try:
        return read_text(place / STOP).strip() or "stop"
    except Unreadable:
        return ""


def _note_end(place: Path, code: int) -> None:
    killed = -code if code < 0 else 0
    end = {"code": code if code >= 0 else 128 + killed, "signal": killed or None, "time": time.time()}
    for _ in range(TRIES):
        try:
            if read_json(place / SUPERVISOR).get("pid") != os.getpid():
                return  # the run was deleted, or goes on already under another one
            _write_in_room(end, place)
        except OSError:
            time.sleep(1)
        else:
            return


def _write_in_room(end: dict[str, Any], place: Path) -> None:
    """Over the blanks that were written when there was room: how a run ended is known on a full disk as well."""
    room = place / ROOM
    if not room.exists():
        write_json(end, place / EXIT)
        return
    with room.open("r+", encoding="utf-8") as file:
        file.write(json_text(end) + "\n")
        file.truncate()
    room.replace(place / EXIT)
