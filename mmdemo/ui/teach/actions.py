"""The tab Teach, what a press does to data made by hand; each function changes the disk and says what it moved."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdemo.core.errors import MmdemoError
from mmdemo.media.text import parse_labels
from mmdemo.ui.strings import text
from mmdemo.ui.teach.data import DataChange, Selection, need_set, own_set
from mmdemo.ui.teach.lists import PAGE_OF_ITEMS


def again(at: Selection) -> DataChange:
    """Another set or class is looked at: from its beginning, nothing chosen."""
    return DataChange(shown=PAGE_OF_ITEMS, selected="")


def more(at: Selection) -> DataChange:
    """A longer list."""
    return DataChange(shown=at.shown + PAGE_OF_ITEMS)


def choose(at: Selection) -> DataChange:
    """The item that was pressed is edited."""
    return DataChange(selected=at.pressed)


def close(at: Selection) -> DataChange:
    """No item is edited any more."""
    return DataChange(selected="")


# ---------------------------------------------------------------- sets


def make(at: Selection, name: str) -> DataChange:
    """A new, empty set."""
    from mmdemo.studio import datasets

    return DataChange(name=datasets.make(name, at.task).name, selected="")


def rename(at: Selection, name: str) -> DataChange:
    """Another name for the set."""
    from mmdemo.studio import datasets

    return DataChange(name=datasets.rename(need_set(at), name).name)


def delete(at: Selection) -> DataChange:
    """The set and everything in it is gone."""
    from mmdemo.studio import datasets

    name = need_set(at)
    datasets.delete(name)
    return DataChange(name="", selected="", said=text("runs_deleted", at.language, name=name))


# ---------------------------------------------------------------- classes


def add_class(at: Selection, names: str) -> DataChange:
    """One class or several, separated as labels are elsewhere; the first new one is chosen."""
    from mmdemo.studio import datasets

    wanted = parse_labels(names)
    name = own_set(at)
    for one in wanted:
        found = datasets.add_class(name, one)
    label = next((one for one in found.classes if one.casefold() == wanted[0].casefold()), wanted[0])
    return DataChange(name=name, label=label, selected="")


def rename_class(at: Selection, new: str) -> DataChange:
    """Another name for the class, in all its items."""
    from mmdemo.studio import datasets

    found = datasets.rename_class(need_set(at), at.label, new)
    return DataChange(
        label=next((one for one in found.classes if one.casefold() == new.strip().casefold()), new.strip())
    )


def remove_class(at: Selection) -> DataChange:
    """The class goes, with its items."""
    from mmdemo.studio import datasets

    datasets.remove_class(need_set(at), at.label)
    return DataChange(label="", selected="")


# ---------------------------------------------------------------- items


def add_files(at: Selection, files: Sequence[str] | str | None) -> DataChange:
    """Pictures or clips for the class that is chosen; one that cannot be read does not keep the others out."""
    from mmdemo.studio import datasets

    if not files:
        return DataChange()
    _need_class(at)
    paths = [Path(file) for file in ([files] if isinstance(files, str) else files)]
    added = datasets.add_many(need_set(at), paths, label=at.label)
    said = ""
    if added.problems:
        said = text("teach_left_out", at.language, n=len(added.problems), all=len(paths), first=added.problems[0])
    return DataChange(said=said)


def snap(at: Selection, address: str | None) -> DataChange:
    """A picture of the camera, as a ``data:`` address."""
    from mmdemo.studio import datasets

    _need_class(at)
    try:
        content = base64.b64decode((address or "").partition("base64,")[2], validate=True)
    except ValueError:
        content = b""
    if not content:
        raise MmdemoError(text("teach_no_camera", at.language), "", text("teach_no_camera_try", at.language))
    datasets.add(need_set(at), content, label=at.label)
    return DataChange()


def add_caption(at: Selection, file: str | None, caption: str) -> DataChange:
    """A picture and a sentence about it."""
    from mmdemo.studio import datasets

    item = datasets.add(_made(at, file), _picture(at, file), caption=caption)
    return DataChange(name=item.file.parents[1].name)


def add_question(at: Selection, file: str | None, question: str, answer: str) -> DataChange:
    """A picture, a question about it and the right answer."""
    from mmdemo.studio import datasets

    item = datasets.add(_made(at, file), _picture(at, file), question=question, answer=answer)
    return DataChange(name=item.file.parents[1].name)


def _made(at: Selection, file: str | None) -> str:
    _picture(at, file)  # nothing is made for something that cannot be added
    return own_set(at)


def _picture(at: Selection, file: str | None) -> Path:
    if not file:
        raise MmdemoError(text("no_picture", at.language), "", text("no_picture_try", at.language))
    return Path(file)


def edit_class(at: Selection, label: str) -> DataChange:
    """An item moves to another class, and stays in sight there."""
    from mmdemo.studio import datasets

    item = datasets.edit(need_set(at), at.selected, label=label)
    return DataChange(label=item.label)


def edit_caption(at: Selection, caption: str) -> DataChange:
    """Another sentence for the item."""
    return _edit(at, caption=caption)


def edit_question(at: Selection, question: str) -> DataChange:
    """Another question for the item."""
    return _edit(at, question=question)


def edit_answer(at: Selection, answer: str) -> DataChange:
    """Another answer for the item."""
    return _edit(at, answer=answer)


def _edit(at: Selection, **said: Any) -> DataChange:
    from mmdemo.studio import datasets

    if at.selected:  # leaving a field of an item that was just closed changes nothing
        datasets.edit(need_set(at), at.selected, **said)
    return DataChange()


def remove(at: Selection) -> DataChange:
    """The item that is edited is gone."""
    from mmdemo.studio import datasets

    datasets.remove(need_set(at), at.selected)
    return DataChange(selected="")


def _need_class(at: Selection) -> None:
    if not at.name or not at.label:
        raise MmdemoError(text("teach_no_class", at.language), "", text("teach_no_class_try", at.language))
