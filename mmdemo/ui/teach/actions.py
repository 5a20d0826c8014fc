"""The tab Teach, what a press does to data made by hand; each function changes the disk and says what it moved."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdemo.core.errors import MmdemoError
from mmdemo.media.text import parse_labels
from mmdemo.ui.strings import text
from mmdemo.ui.teach.data import At, Moved, need_set, own_set
from mmdemo.ui.teach.lists import PAGE_OF_ITEMS


def again(at: At) -> Moved:
    """Another set or class is looked at: from its beginning, nothing chosen."""
    return Moved(shown=PAGE_OF_ITEMS, selected="")


def more(at: At) -> Moved:
    """A longer list."""
    return Moved(shown=at.shown + PAGE_OF_ITEMS)


def choose(at: At) -> Moved:
    """The item that was pressed is edited."""
    return Moved(selected=at.pressed)


def close(at: At) -> Moved:
    """No item is edited any more."""
    return Moved(selected="")


# ---------------------------------------------------------------- sets


def make(at: At, name: str) -> Moved:
    """A new, empty set."""
    from mmdemo.studio import taught

    return Moved(name=taught.make(name, at.task).name, selected="")


def rename(at: At, name: str) -> Moved:
    """Another name for the set."""
    from mmdemo.studio import taught

    return Moved(name=taught.rename(need_set(at), name).name)


def delete(at: At) -> Moved:
    """The set and everything in it is gone."""
    from mmdemo.studio import taught

    name = need_set(at)
    taught.delete(name)
    return Moved(name="", selected="", said=text("runs_deleted", at.language, name=name))


# ---------------------------------------------------------------- classes


def add_class(at: At, names: str) -> Moved:
    """One class or several, separated as labels are elsewhere; the first new one is chosen."""
    from mmdemo.studio import taught

    wanted = parse_labels(names)
    name = own_set(at)
    for one in wanted:
        found = taught.add_class(name, one)
    label = next((one for one in found.classes if one.casefold() == wanted[0].casefold()), wanted[0])
    return Moved(name=name, label=label, selected="")


def rename_class(at: At, new: str) -> Moved:
    """Another name for the class, in all its items."""
    from mmdemo.studio import taught

    found = taught.rename_class(need_set(at), at.label, new)
    return Moved(label=next((one for one in found.classes if one.casefold() == new.strip().casefold()), new.strip()))


def remove_class(at: At) -> Moved:
    """The class goes, with its items."""
    from mmdemo.studio import taught

    taught.remove_class(need_set(at), at.label)
    return Moved(label="", selected="")


# ---------------------------------------------------------------- items


def add_files(at: At, files: Sequence[str] | str | None) -> Moved:
    """Pictures or clips for the class that is chosen; one that cannot be read does not keep the others out."""
    from mmdemo.studio import taught

    if not files:
        return Moved()
    _need_class(at)
    paths = [Path(file) for file in ([files] if isinstance(files, str) else files)]
    added = taught.add_many(need_set(at), paths, label=at.label)
    said = ""
    if added.problems:
        said = text("teach_left_out", at.language, n=len(added.problems), all=len(paths), first=added.problems[0])
    return Moved(said=said)


def snap(at: At, address: str | None) -> Moved:
    """A picture of the camera, as a ``data:`` address."""
    from mmdemo.studio import taught

    _need_class(at)
    try:
        content = base64.b64decode((address or "").partition("base64,")[2], validate=True)
    except ValueError:
        content = b""
    if not content:
        raise MmdemoError(text("teach_no_camera", at.language), "", text("teach_no_camera_try", at.language))
    taught.add(need_set(at), content, label=at.label)
    return Moved()


def add_caption(at: At, file: str | None, caption: str) -> Moved:
    """A picture and a sentence about it."""
    from mmdemo.studio import taught

    item = taught.add(_made(at, file), _picture(at, file), caption=caption)
    return Moved(name=item.file.parents[1].name)


def add_question(at: At, file: str | None, question: str, answer: str) -> Moved:
    """A picture, a question about it and the right answer."""
    from mmdemo.studio import taught

    item = taught.add(_made(at, file), _picture(at, file), question=question, answer=answer)
    return Moved(name=item.file.parents[1].name)


def _made(at: At, file: str | None) -> str:
    _picture(at, file)  # nothing is made for something that cannot be added
    return own_set(at)


def _picture(at: At, file: str | None) -> Path:
    if not file:
        raise MmdemoError(text("no_picture", at.language), "", text("no_picture_try", at.language))
    return Path(file)


def edit_class(at: At, label: str) -> Moved:
    """An item moves to another class, and stays in sight there."""
    from mmdemo.studio import taught

    item = taught.edit(need_set(at), at.selected, label=label)
    return Moved(label=item.label)


def edit_caption(at: At, caption: str) -> Moved:
    """Another sentence for the item."""
    return _edit(at, caption=caption)


def edit_question(at: At, question: str) -> Moved:
    """Another question for the item."""
    return _edit(at, question=question)


def edit_answer(at: At, answer: str) -> Moved:
    """Another answer for the item."""
    return _edit(at, answer=answer)


def _edit(at: At, **said: Any) -> Moved:
    from mmdemo.studio import taught

    if at.selected:  # leaving a field of an item that was just closed changes nothing
        taught.edit(need_set(at), at.selected, **said)
    return Moved()


def remove(at: At) -> Moved:
    """The item that is edited is gone."""
    from mmdemo.studio import taught

    taught.remove(need_set(at), at.selected)
    return Moved(selected="")


def _need_class(at: At) -> None:
    if not at.name or not at.label:
        raise MmdemoError(text("teach_no_class", at.language), "", text("teach_no_class_try", at.language))
