"""One training at a time on a device: a lock that the training's own process holds, and tickets of those who wait.

All of it lies below the cache folder, so that whoever looks sees the same:

locks/cuda-0.lock            held by the process that trains there
locks/cuda-0.json            which run that is
locks/cuda-0/TIME-PID.json   a ticket for each run that waits, in the order of their coming

The process that trains holds the lock itself, not one that watches over it: however either of them ends, the device
is free when nothing trains there any more, and not before. A ticket counts as long as its process lives.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import cache_root
from mmdemo.train.folder import STATUS, TRAINER, Event, lives, me, read_json, write_json
from mmdemo.train.request import TrainRequest, write_request

PAUSE = 0.5
"""Seconds between two looks of one who waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A place in the queue of a device, or at its head: the run that trains there.

    Attributes:
        run: Name of the run's folder.
        folder: That folder, in full.
        file: Where the ticket lies; tickets of a device stand in the order of their names.
        told: ``pid`` and ``born`` of the process that it counts for.
    """

    run: str
    folder: str
    file: Path
    told: Event


def device_of(name: str) -> str:
    """The device that ``--device`` means, found without torch, which would take seconds and memory from every waiter.

    "auto" is what torch will choose as far as files tell: a GPU where the installed torch was built for one and its
    driver is there. Were that wrong, two runs might wait for each other needlessly, or share a device; no more.
    """
    if name != "auto":
        return name
    if _cuda():
        return "cuda"
    return "mps" if sys.platform == "darwin" and platform.machine() == "arm64" else "cpu"


def _cuda() -> bool:
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in {"", "-1"}:
        return False
    driver = Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists() or shutil.which("nvidia-smi") is not None
    if not driver:
        return False
    torch = importlib.util.find_spec("torch")  # only looked for, not imported
    places = [] if torch is None else list(torch.submodule_search_locations or [])
    return any(any((Path(place) / "lib").glob("*torch_cuda*")) for place in places)


def _stem(device: str) -> Path:
    name = device_of(device)
    if name == "cuda":  # the first card that the process can see is the one that it takes
        name += f"-{os.environ.get('CUDA_VISIBLE_DEVICES', '0').split(',')[0].strip() or 0}"
    return cache_root() / "locks" / "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in name)


# ---------------------------------------------------------------- looking


def waiting(device: str) -> list[Ticket]:
    """Who waits for a device, first come first; those whose process has gone are passed over."""
    return [ticket for ticket in _tickets(_stem(device)) if lives(ticket.told)]


def queues() -> dict[str, list[Ticket]]:
    """Who waits, by the folder of tickets of each device: what a list of runs needs, read once."""
    root = cache_root() / "locks"
    try:
        stems = [entry for entry in root.iterdir() if entry.is_dir()]
    except OSError:
        return {}
    return {stem.name: [ticket for ticket in _tickets(stem) if lives(ticket.told)] for stem in stems}


def holder(device: str) -> Ticket | None:
    """The run that trains on a device; None where none does."""
    return _read(_stem(device).with_suffix(".json"), alive=True)


def _tickets(stem: Path) -> list[Ticket]:
    try:
        files = sorted(file for file in stem.iterdir() if file.suffix == ".json")
    except OSError:
        return []
    return [ticket for file in files if (ticket := _read(file)) is not None]


def _read(file: Path, *, alive: bool = False) -> Ticket | None:
    told = read_json(file)
    run, folder = told.get("run"), told.get("folder")
    if not isinstance(run, str) or not isinstance(folder, str) or (alive and not lives(told)):
        return None
    return Ticket(run=run, folder=folder, file=file, told=told)


# ---------------------------------------------------------------- waiting


@contextmanager
def announced(folder: Path, request: TrainRequest | None, *, device: str) -> Iterator[None]:
    """Give a run that is about to wait a folder, so that it is seen; one that gives up waiting says so there.

    Args:
        request: What it was asked for; nothing is written where there is none.
    """
    place, new = folder / TRAINER, request is not None and not folder.exists()
    if request is not None and new:
        try:
            place.mkdir(parents=True)
            write_request(request, place, device=device_of(device))
            write_json({"state": "queued", "time": time.time(), **me()}, place / STATUS)
        except OSError as error:
            raise MmdemoError(f"Nothing can be written in {place}", error.strerror or str(error)) from None
    try:
        yield
    except KeyboardInterrupt:
        if new and read_json(place / STATUS).get("state") == "queued":
            write_json({"state": "stopped", "time": time.time(), **me()}, place / STATUS)
        raise


def join(device: str, folder: Path) -> Ticket:
    """Take the last place in the queue of a device, or take over the one that was taken for this run before.

    The process that calls this is the one that the ticket counts for from now on.
    """
    stem, place = _stem(device), str(folder.resolve())
    mine = next((ticket.file for ticket in _tickets(stem) if ticket.folder == place), None)
    file = mine or stem / f"{time.time_ns():020d}-{os.getpid()}.json"
    ticket = Ticket(run=folder.name, folder=place, file=file, told=me())
    _write(ticket)
    return ticket


def _write(ticket: Ticket) -> None:
    ticket.file.parent.mkdir(parents=True, exist_ok=True)
    write_json({"run": ticket.run, "folder": ticket.folder, "time": time.time(), **ticket.told}, ticket.file)


def leave(ticket: Ticket) -> None:
    """Give the place back."""
    with suppress(OSError):
        ticket.file.unlink(missing_ok=True)


def forget(folder: Path, *, told: Event | None = None) -> None:
    """Give back whatever places a run has, on any device.

    Args:
        told: Only those that count for this process.
    """
    place = str(folder.resolve())
    for tickets in (_tickets(stem) for stem in (cache_root() / "locks").glob("*/")):
        for ticket in tickets:
            if ticket.folder == place and (told is None or ticket.told.items() >= told.items()):
                leave(ticket)


@contextmanager
def turn(device: str, folder: Path, *, wait: bool, say: Callable[[str], None]) -> Iterator[None]:
    """Hold a device while a run trains on it.

    Args:
        folder: Of the run.
        wait: Wait until it is this run's turn; else say who trains there, and go on beside it.
        say: Takes a sentence for people.
    """
    lock = _waited(device, folder, say) if wait else _at_once(device, folder, say)
    if lock is None:
        yield
        return
    note = _stem(device).with_suffix(".json")
    with suppress(OSError):  # who trains there is only not told, on a full disk
        write_json({"run": folder.name, "folder": str(folder.resolve()), "time": time.time(), **me()}, note)
    try:
        yield
    finally:
        with suppress(OSError):
            note.unlink(missing_ok=True)
        lock.release()


def _at_once(device: str, folder: Path, say: Callable[[str], None]) -> FileLock | None:
    lock = _lock(device)
    if lock is None:
        return None
    try:
        lock.acquire(timeout=0)
    except Timeout:
        other = holder(device)
        name = "another run" if other is None else other.run
        say(f"{name} is being trained on {device_of(device)} too; --queue would wait for it")
        return None
    except (OSError, NotImplementedError):
        return None
    return lock


def _waited(device: str, folder: Path, say: Callable[[str], None]) -> FileLock | None:
    lock = _lock(device)
    if lock is None:
        say("the cache folder cannot be written, so this run does not wait for others")
        return None
    try:
        ticket, told = join(device, folder), ""
    except OSError as error:
        say(f"this run does not wait for others: {error}")
        return None
    try:
        while True:
            before = _before(device, ticket)
            if not before:
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    pass
                except (OSError, NotImplementedError) as error:  # a file system that knows no locks
                    say(f"this run does not wait for others: {error}")
                    return None
                else:
                    return lock
            ahead = _names(device, before)
            if ahead != told:
                say(f"waiting for {device_of(device)}: {ahead} first")
                told = ahead
            time.sleep(PAUSE)
    finally:
        leave(ticket)


def _before(device: str, mine: Ticket) -> list[Ticket]:
    """Those who came earlier and are still there. Tickets of the dead are removed, one's own is written again."""
    before = []
    for ticket in _tickets(_stem(device)):
        if ticket.file.name >= mine.file.name:
            continue
        if lives(ticket.told):
            before.append(ticket)
        elif not lives(read_json(ticket.file)):  # nobody has taken it over since
            leave(ticket)
    if not mine.file.exists():  # somebody took this process for dead as it took its place over from another
        with suppress(OSError):
            _write(mine)
    return before


def _names(device: str, before: list[Ticket]) -> str:
    other = holder(device)
    names = [*([other.run] if other is not None else []), *(ticket.run for ticket in before)]
    return ", ".join(dict.fromkeys(names)) or "another run"


def _lock(device: str) -> FileLock | None:
    file = _stem(device).with_suffix(".lock")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return FileLock(file)
