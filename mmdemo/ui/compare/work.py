"""What the tab Compare has done in the background: work that reports how far it is, and ends when it is told to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import checkpoints_root, datasets_root
from mmdemo.ui.strings import Language, text

if TYPE_CHECKING:
    from mmdemo.data.examples import Dataset

T = TypeVar("T")

HELD, DATASET, FOLDER = "held:", "set:", "folder"
"""Beginnings of what the list of data holds: what a run kept aside, a dataset made here, or a folder that is typed."""

_SECONDS = 0.3  # between two looks at how far it is


class Cancelled(Exception):
    """Somebody pressed Cancel."""


@dataclass(slots=True)
class Work(Generic[T]):
    """Something that runs on a thread of its own."""

    ended: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)
    done: int = 0
    total: int = 0
    result: T | None = None
    error: BaseException | None = None

    def outcome(self) -> T:
        """What came of it; raises what it failed with."""
        if self.error is not None:
            raise self.error
        return cast(T, self.result)

    def progress(self, done: int, total: int) -> None:
        """What the work calls as it goes on; raises where it is to end."""
        if self.stop.is_set():
            raise Cancelled
        self.done, self.total = done, total


_lock = threading.Lock()
_running: dict[str, Work[Any]] = {}


def cancel(key: str) -> None:
    """End the work that goes by that key, as soon as it next says how far it is."""
    with _lock:
        work = _running.get(key)
    if work is not None:
        work.stop.set()


def watched(key: str, job: Callable[[Callable[[int, int], None]], T]) -> Iterator[Work[T]]:
    """Do a job, yielding now and then while it runs and once when it has ended.

    Args:
        key: Whose work it is; another work of the same key is ended first.
        job: Takes what it is to call with what is done and in all.
    """
    work: Work[T] = Work()

    def run() -> None:
        try:
            work.result = job(work.progress)
        except BaseException as error:
            work.error = error
        finally:
            work.ended.set()

    cancel(key)
    with _lock:
        _running[key] = work
    threading.Thread(target=run, name="mmdemo-compare", daemon=True).start()
    try:
        told = (-1, -1)
        while not work.ended.wait(_SECONDS):
            if (work.done, work.total) != told:
                told = (work.done, work.total)
                yield work
        yield work
    finally:  # the page that watched is gone
        work.stop.set()
        with _lock:
            if _running.get(key) is work:
                del _running[key]


# ---------------------------------------------------------------- data


def data_choices(task: str, models: tuple[str | None, ...], language: Language) -> list[tuple[str, str]]:
    """What can be measured on: what the two models kept aside, what other runs did, datasets of the page, a folder."""
    from mmdemo.models import list_models

    found = []
    names = [card.id for card in list_models(task)]
    first = [name for name in reversed(models) if name in names]
    for name in dict.fromkeys([*first, *names]):
        if name is not None and _kept_aside(name):
            found.append((text("compare_held", language, run=name), HELD + name))
    for folder in _datasets(task):
        found.append((text("compare_dataset", language, name=folder.name), DATASET + folder.name))
    return [*found, (text("compare_folder_choice", language), FOLDER)]


def _kept_aside(name: str) -> bool:
    folder = checkpoints_root() / name / "trainer"
    return all((folder / note).is_file() for note in ("request.json", "plan.json"))


def _datasets(task: str) -> list[Path]:
    """Datasets made by hand for the task, and those that were brought, whose task nobody knows."""
    from mmdemo.studio.datasets import list_datasets, list_folders

    made = {dataset.name for dataset in list_datasets()}
    of_task = {dataset.name for dataset in list_datasets(task)}
    return [folder for folder in list_folders() if folder.name in of_task or folder.name not in made]


def read_choice(task: str, chosen: str | None, typed: str | None, language: Language) -> Dataset:
    """The data that were chosen.

    Raises:
        MmdemoError: None were, or they cannot be read.
    """
    from mmdemo.studio.compare import read_data
    from mmdemo.studio.run_data import held_out

    if chosen and chosen.startswith(HELD):
        return held_out(checkpoints_root() / Path(chosen.removeprefix(HELD)).name)
    if chosen and chosen.startswith(DATASET):
        return read_data(task, [datasets_root() / Path(chosen.removeprefix(DATASET)).name])
    place = (typed or "").strip()
    if not place:
        raise MmdemoError(text("compare_no_data", language), "", text("compare_no_data_try", language))
    return read_data(task, [Path(place).expanduser()])


def fresh_file(folder: Path, name: str) -> Path:
    """A path in a new folder where the page may serve it from."""
    place = folder / f"compare-{time.time_ns():x}"
    place.mkdir(parents=True)
    return place / name
