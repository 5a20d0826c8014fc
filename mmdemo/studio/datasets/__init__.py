"""Datasets made by hand in the page: classes, captions, questions with answers, emotions; every change is on disk.

The door to all of it: datasets here, their classes in :mod:`mmdemo.studio.datasets.classes`, their examples in
:mod:`mmdemo.studio.datasets.items`, and how they lie on disk in :mod:`mmdemo.studio.datasets.store`.
"""

from __future__ import annotations

import os
import shutil
import uuid
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import spec_of
from mmdemo.core.types import TASKS
from mmdemo.studio.datasets import words
from mmdemo.studio.datasets.classes import add_class, each_once, remove_class, rename_class
from mmdemo.studio.datasets.contents import Source, check_content
from mmdemo.studio.datasets.disk import locked, place, refuse_used, root
from mmdemo.studio.datasets.items import MAX_ITEMS, Added, add, add_many, edit, put_right, remove
from mmdemo.studio.datasets.store import DATASET, HandmadeDataset, Item, load, save, table_text, task_of

__all__ = [
    "MAX_ITEMS",
    "Added",
    "HandmadeDataset",
    "Item",
    "Source",
    "add",
    "add_class",
    "add_many",
    "correct",
    "delete",
    "edit",
    "export",
    "list_datasets",
    "list_folders",
    "make",
    "read_dataset",
    "remove",
    "remove_class",
    "rename",
    "rename_class",
    "survey",
]

CORRECTIONS = "corrections-"


def list_folders() -> tuple[Path, ...]:
    """All datasets below the root, made here or brought, by name."""
    if not root().is_dir():
        return ()
    folders = (folder for folder in root().iterdir() if folder.is_dir() and not folder.name.startswith((".", "__")))
    return tuple(sorted(folders, key=lambda folder: folder.name.casefold()))


def list_datasets(task: str | None = None) -> tuple[HandmadeDataset, ...]:
    """The datasets that were made by hand, of a task or all, by name; damaged ones are passed over."""
    return survey(task)[0]


def survey(task: str | None = None) -> tuple[tuple[HandmadeDataset, ...], tuple[MmdemoError, ...]]:
    """The datasets that were made by hand, of a task or all, by name; and why others cannot be opened."""
    found, damaged = [], []
    for folder in list_folders():
        if not (folder / DATASET).is_file():
            continue
        try:
            dataset = load(folder.name)
        except MmdemoError as error:
            if task in (None, known := task_of(folder)) or known is None:
                damaged.append(error)
            continue
        if task in (None, dataset.task):
            found.append(dataset)
    return tuple(found), tuple(damaged)


def read_dataset(name: str) -> HandmadeDataset:
    """A dataset by its name; raises MmdemoError where there is none that was made by hand."""
    return load(name)


def make(name: str, task: str, classes: Sequence[str] = ()) -> HandmadeDataset:
    """Make an empty dataset.

    Args:
        name: Anything that holds a letter; what cannot be in a folder's name is replaced, so go on with the ``name``
            that is returned.

    Raises:
        MmdemoError: The name is taken, or a class has none.
    """
    if task not in TASKS:
        raise MmdemoError(f"Unknown task {task!r}", f"known are {', '.join(TASKS)}")
    name = words.clean_name(name)
    cleaned = each_once(words.clean_label(one) for one in classes) if spec_of(task).labelled else ()
    with locked(name):
        _refuse_taken(name)
        part = root() / f".making-{uuid.uuid4().hex[:8]}"  # so that no folder is ever there without what says its task
        try:
            part.mkdir()
            save(HandmadeDataset(name=name, task=task, folder=part, items=(), classes=cleaned))
            part.rename(root() / name)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return load(name)


def rename(name: str, new: str) -> HandmadeDataset:
    """Give a dataset another name; raises MmdemoError where that is taken."""
    new = words.clean_name(new)
    folder = place(name)
    with locked(name, new):
        refuse_used(place(name))
        if new != name:
            if new.casefold() != name.casefold():
                _refuse_taken(new)
            folder.rename(folder.with_name(new))
    return load(new)


def delete(name: str) -> None:
    """Delete a dataset with everything in it, made by hand or brought; it is gone at once or not at all."""
    place(name)
    with locked(name):
        folder = place(name)
        refuse_used(folder)
        if folder.is_symlink():  # somebody's own data, shown here through a link
            folder.unlink()
            return
        gone = folder.with_name(f".deleted-{uuid.uuid4().hex[:8]}")
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def export(name: str, to: Path) -> Path:
    """Write a dataset as a zip that opens anywhere, and that the page takes back as the same dataset.

    Args:
        to: A folder, or the zip's own name.

    Returns:
        The zip.
    """
    dataset = load(name)
    file = to if to.suffix.lower() == ".zip" else to / f"{dataset.name}.zip"
    part = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:  # pictures and clips are compressed already
            there = set()
            for held in dict.fromkeys(item.file for item in dataset.items):
                try:
                    archive.write(held, f"{dataset.name}/{held.relative_to(dataset.folder).as_posix()}")
                    there.add(held)
                except FileNotFoundError:  # removed in another window meanwhile, and so are its rows
                    continue
            dataset = replace(dataset, items=tuple(item for item in dataset.items if item.file in there))
            table, head = table_text(dataset)
            archive.writestr(f"{dataset.name}/{spec_of(dataset.task).table}", table, zipfile.ZIP_DEFLATED)
            archive.writestr(f"{dataset.name}/{DATASET}", head)
        part.replace(file)
    except OSError as error:
        raise MmdemoError(f"{file.name} cannot be written", error.strerror or str(error)) from error
    finally:
        with suppress(OSError):  # where nothing can be written, nothing can be removed
            part.unlink(missing_ok=True)
    return file


def correct(
    task: str,
    file: Source,
    *,
    label: str = "",
    caption: str = "",
    question: str = "",
    answer: str = "",
) -> tuple[str, int]:
    """Take the right answer to something that a model got wrong into the dataset "corrections-<task>".

    The same input again (of Ask: the same file and question) replaces what was said before.

    Returns:
        The dataset's name, and how many items it has now.

    Raises:
        MmdemoError: The file cannot be read, or words are missing or too long.
    """
    content = check_content(task, file)
    name = f"{CORRECTIONS}{task}"
    if not (root() / name).is_dir():
        try:
            make(name, task)
        except MmdemoError:  # made in another window just now
            load(name)
    if load(name).task != task:
        raise MmdemoError(f"{name} is a dataset for {load(name).task}", "", "Rename it, and correct again")
    dataset = put_right(name, content, label=label, caption=caption, question=question, answer=answer)
    return name, len(dataset.items)


# ----------------------------------------------------------------


def _refuse_taken(name: str) -> None:
    taken = {folder.name.casefold(): folder.name for folder in list_folders()}
    if name.casefold() in taken or os.path.lexists(root() / name):
        there = taken.get(name.casefold(), name)
        raise MmdemoError(f"There is already a dataset called {there!r}", "", "Choose another name")
