"""Datasets made in the page as they lie on disk: dataset.json, a table and files, each written whole.

A dataset is a folder below :func:`~mmdemo.core.settings.datasets_root` that training reads as it is::

    dataset.json     task and classes, of which some may have no example yet
    metadata.jsonl   rows file_name, label and, of clips, speaker; or
    captions.jsonl   rows file_name, captions; one row for each caption; or
    questions.jsonl  rows file_name, question, answer
    files/           pictures or clips, named by their content

A file is there before a row names it, and leaves after no row does; a table is replaced whole. So whenever it stops,
no row names a file that is missing. One lock for each dataset keeps two windows from undoing each other's changes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import Unreadable, read_bytes, read_object
from mmdemo.core.tasks import ASK, CAPTION, spec_of
from mmdemo.core.types import TASKS
from mmdemo.core.writing import json_text
from mmdemo.data.tables import read_rows
from mmdemo.studio.datasets.contents import NAME, Content
from mmdemo.studio.datasets.disk import PART, locked, place, short, used_by, write

DATASET = "dataset.json"
FILES = "files"
FORMAT = 1

_LATER = ".later"
"""Names of files that no row needs and that a run may still read: deleted with the next change after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One example.

    Attributes:
        id: Its name within the dataset.
        file: Picture or clip; several items may share one.
        added: Seconds since 1970; 0 where nobody noted it.
        more: Other columns of its row, kept as they are.
    """

    id: str
    file: Path
    label: str = ""
    caption: str = ""
    question: str = ""
    answer: str = ""
    speaker: str = ""
    added: float = 0.0
    more: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HandmadeDataset:
    """A dataset made in the page.

    Attributes:
        name: Of its folder, and what it is called everywhere.
        items: In the order in which they were added.
        classes: Of classify and sentiment, in the order in which they were made; some may have no item yet.
        missing: Files that rows name and that are gone from the disk; such rows are no items.
    """

    name: str
    task: str
    folder: Path
    items: tuple[Item, ...]
    classes: tuple[str, ...]
    missing: tuple[str, ...] = ()


def load(name: str) -> HandmadeDataset:
    """Read a dataset that was made in the page.

    Raises:
        MmdemoError: There is none, or its files are damaged.
    """
    folder = place(name)
    known = _head(folder)
    task = str(known["task"])
    files = _DatasetFiles(folder)
    items: list[Item] = []
    missing: list[str] = []
    table = folder / spec_of(task).table
    for row in read_rows(table) if table.exists() else ():
        file = files.find(row.values.get("file_name"))
        if file is None:
            missing.append(str(row.values.get("file_name") or f"line {row.line}"))
        else:
            items += _items(task, row.values, file, number=row.line)
    listed = [*known["classes"], *(item.label for item in items if item.label)]
    return HandmadeDataset(
        name=folder.name,
        task=task,
        folder=folder,
        items=tuple(items),
        classes=tuple(dict.fromkeys(listed)),
        missing=tuple(dict.fromkeys(missing)),
    )


def classes_of(folder: Path) -> tuple[str, ...]:
    """The classes that were made by hand in a dataset, whether they have items or not; empty for other folders."""
    try:
        return tuple(_head(folder)["classes"])
    except MmdemoError:
        return ()


def task_of(folder: Path) -> str | None:
    """What a dataset was made for by hand; None for other folders."""
    try:
        return str(_head(folder)["task"])
    except MmdemoError:
        return None


def save(dataset: HandmadeDataset, *, before: HandmadeDataset | None = None) -> None:
    """Write a dataset's table and classes; the caller holds :func:`changing` and has stored the files.

    Args:
        before: The dataset as it was; files that only its items name are deleted, whatever they are called.
    """
    table, head = table_text(dataset)
    write(dataset.folder / spec_of(dataset.task).table, table)
    known = dataset.folder / DATASET
    if not known.is_file() or known.read_bytes() != head.encode():
        write(known, head)
    _sweep(dataset, {item.file for item in before.items} if before is not None else set())


def table_text(dataset: HandmadeDataset) -> tuple[str, str]:
    """What is written of a dataset: its table, and its dataset.json."""
    table = "".join(json_text(_row(dataset, item)) + "\n" for item in dataset.items)
    head = {"format": FORMAT, "task": dataset.task, "classes": list(dataset.classes)}
    return table, json_text(head, indent=1) + "\n"


def keep(folder: Path, content: Content) -> Path:
    """Store a file under its content's name, where it is not there already."""
    file = folder / FILES / content.name
    if not file.is_file() or file.stat().st_size != len(content.data):
        file.parent.mkdir(exist_ok=True)
        write(file, content.data)
    return file


@contextmanager
def changing(name: str) -> Iterator[HandmadeDataset]:
    """Read a dataset to change it, and keep others from changing it meanwhile."""
    place(name)  # before a lock is made for a name that is none
    with locked(name):
        dataset = load(name)
        if len(dataset.missing) > len(dataset.items):  # a change would forget what was said of them
            why = f"of {len(dataset.missing)} that its table names, for example {dataset.missing[0]}"
            raise MmdemoError(f"Most files of {name} are gone", why, f"Put them back into {dataset.folder}")
        table = dataset.folder / spec_of(dataset.task).table
        if not table.exists() and (unnamed := _unnamed(dataset)):
            why = f"nothing says what its {len(unnamed)} files are"
            raise MmdemoError(f"The table of {name} is gone", why, f"Put {table.name} back into {dataset.folder}")
        yield dataset


# ----------------------------------------------------------------


def _head(folder: Path) -> dict[str, Any]:
    file = folder / DATASET
    try:
        known = read_object(file)
    except Unreadable as error:
        if error.missing:
            why = f"it has no {DATASET}, so it cannot be edited"
            raise MmdemoError(f"{folder.name} was not made here", why) from None
        raise MmdemoError(f"{folder.name} cannot be opened", f"its {DATASET} is damaged ({error.why})") from None
    task, classes = known.get("task"), known.get("classes", [])
    if not isinstance(task, str) or task not in TASKS or known.get("format") != FORMAT:
        raise MmdemoError(f"{folder.name} cannot be opened", f"its {DATASET} is not one of this version")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise MmdemoError(f"{folder.name} cannot be opened", f"the classes in its {DATASET} are no list of texts")
    return {"task": task, "classes": classes}


class _DatasetFiles:
    """Finds the files that rows name, within their folder only; reads each folder's listing once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listings: dict[Path, frozenset[str]] = {}

    def find(self, name: object) -> Path | None:
        if not isinstance(name, str) or not name or "\0" in name:
            return None
        file = Path(os.path.normpath(self._folder / name))
        # the table may be somebody else's: a row must not show, or lead to the deletion of, what lies elsewhere
        if not file.is_relative_to(self._folder):
            return None
        if file.parent not in self._listings:
            there = os.scandir(file.parent) if file.parent.is_dir() else ()
            self._listings[file.parent] = frozenset(entry.name for entry in there if entry.is_file())
        return file if file.name in self._listings[file.parent] else None


def _items(task: str, row: Mapping[str, object], file: Path, *, number: int) -> list[Item]:
    """The items of a row: one, or one for each of its captions."""
    columns = spec_of(task).columns
    known = {key: str(row.get(key) or "") for key in ("label", "question", "answer", "speaker") if key in columns}
    own = {"file_name", "id", "added", *columns}
    added = row.get("added")
    item = Item(
        id=str(row.get("id") or short(f"{number} {json.dumps(row, sort_keys=True, default=str)}")),
        file=file,
        added=float(added) if isinstance(added, int | float) else 0.0,
        more={key: value for key, value in row.items() if key not in own},
        **known,
    )
    if task != CAPTION:
        return [item]
    given = row.get("captions")
    captions = [str(one) for one in given] if isinstance(given, list) else [str(given or "")]
    return [
        replace(item, caption=caption, id=item.id if number == 0 else f"{item.id}-{number}")
        for number, caption in enumerate(captions)
    ]


def _row(dataset: HandmadeDataset, item: Item) -> dict[str, object]:
    row: dict[str, object] = {"file_name": item.file.relative_to(dataset.folder).as_posix()}
    if dataset.task == ASK:
        row |= {"question": item.question, "answer": item.answer}
    elif dataset.task == CAPTION:
        row |= {"captions": [item.caption]}
    else:
        row |= {"label": item.label} | ({"speaker": item.speaker} if item.speaker else {})
    return {**row, **item.more, "id": item.id, "added": item.added}


def _unnamed(dataset: HandmadeDataset) -> list[Path]:
    """Files named by their content that no row names."""
    folder, named = dataset.folder / FILES, {item.file for item in dataset.items}
    there = [entry for entry in os.scandir(folder) if NAME.fullmatch(entry.name)] if folder.is_dir() else []
    return [folder / entry.name for entry in there if entry.is_file() and folder / entry.name not in named]


def _sweep(dataset: HandmadeDataset, dropped: set[Path]) -> None:
    """Delete files that no row names, and what an interrupted change left; what a run may still read stays for now.

    Files that somebody put there by hand are not touched: only names that were made of a content are. Where more have
    no row than have one, it was the table that lost its rows, by hand or otherwise: then they stay.
    """
    named = {item.file for item in dataset.items}
    loose = [file for file in dropped - named if file.is_file()]
    later = dataset.folder / _LATER
    postponed = set(read_bytes(later).decode(errors="replace").splitlines()) if later.is_file() else set[str]()
    unnamed = [file for file in _unnamed(dataset) if file not in dropped]
    few = sum(file.name not in postponed for file in unnamed) <= len(named) + len(dropped)
    loose += [file for file in unnamed if few or file.name in postponed]
    for folder in (dataset.folder / FILES, dataset.folder):
        for entry in os.scandir(folder) if folder.is_dir() else ():
            if entry.name.startswith(".") and entry.name.endswith(PART) and entry.is_file():
                loose.append(folder / entry.name)
    if loose and used_by(dataset.folder):
        with suppress(OSError):  # the change itself is on disk
            write(later, "".join(f"{name}\n" for name in sorted(postponed | {file.name for file in loose})))
        return
    for file in [*loose, later]:
        file.unlink(missing_ok=True)
