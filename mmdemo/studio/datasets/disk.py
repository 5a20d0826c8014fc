"""The folder of all datasets: names below it, files written whole, one writer at a time, nothing pulled from a run."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import datasets_root
from mmdemo.runs.reading import list_runs

LOCK_SECONDS = 60.0
"""How long a change waits for another one to end."""

LEFT_SECONDS = 86_400.0
"""Age at which what was interrupted is taken to be left for good."""

PART = ".part"
_LOCKS = ".locks"


def root() -> Path:
    """The folder of all datasets, absolute."""
    return Path(os.path.normpath(datasets_root().absolute()))


def place(name: str) -> Path:
    """The folder of a dataset by its name, which is one plain name below the root.

    Raises:
        MmdemoError: There is none.
    """
    folder = root() / name
    hidden = not name or name.startswith((".", "__")) or any(char in name for char in "/\\\0")
    if hidden or not folder.is_dir():
        raise MmdemoError(f"There is no dataset {name!r}", "", "Choose another one, or make it first")
    return folder


def write(file: Path, content: bytes | str) -> None:
    """Write a file whole, through to the disk, or leave the one before."""
    part = file.with_name(f".{file.name}.{os.getpid()}{PART}")
    try:
        with part.open("wb") as out:
            out.write(content.encode() if isinstance(content, str) else content)
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    with suppress(OSError):  # the new name too must survive a loss of power, before what it replaces is deleted
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def locked(*names: str) -> Iterator[None]:
    """Be the only one who changes these datasets; failures of the disk become one sentence.

    Raises:
        MmdemoError: Somebody else has been at it for :data:`LOCK_SECONDS`, or the disk refused.
    """
    folder = root() / _LOCKS
    held: list[FileLock] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # folded, since some file systems take "Birds" and "birds" for the same folder, and in one order everywhere,
        # or two renamings could wait for each other
        for name in sorted({name.casefold() for name in names}):
            lock = FileLock(folder / f"{short(name)}.lock", timeout=LOCK_SECONDS)
            lock.acquire()
            held.append(lock)
        yield
    except Timeout:
        raise MmdemoError(f"{names[0]} is being changed elsewhere", "it did not end", "Try again in a minute") from None
    except OSError as error:
        raise MmdemoError(f"{names[0]} cannot be changed", error.strerror or str(error)) from error
    finally:
        for lock in reversed(held):
            lock.release()


def used_by(folder: Path) -> str:
    """The name of a run that is learning from a dataset now, or waits to; "" where there is none."""
    for run in list_runs():
        if run.active and any(Path(place) == folder or folder in Path(place).parents for place in run.data):
            return run.name
    return ""


def refuse_used(folder: Path) -> None:
    """Keep a dataset where it is while a run reads it.

    Raises:
        MmdemoError: Naming the run.
    """
    run = used_by(folder)
    if run:
        raise MmdemoError(
            f"{folder.name} is in use", f"the run {run} is learning from it", "Wait until it ends, or stop it"
        )


def sweep_root() -> None:
    """Delete what interrupted makings, unpackings and deletions left below the root more than a day ago."""
    for folder in root().iterdir() if root().is_dir() else ():
        left = folder.name.startswith((".making-", ".unpacking-", ".deleted-"))
        with suppress(OSError):
            if left and time.time() - folder.stat().st_mtime > LEFT_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def short(text: str) -> str:
    """12 hex digits that stand for a text."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]
