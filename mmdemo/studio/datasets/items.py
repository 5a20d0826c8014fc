"""Examples of a dataset made by hand: added, worded otherwise, removed; each change is on disk when it returns.

What is said twice: the same picture or clip with the same words is one item. A picture may have several captions and
several questions, but one label, and one answer to a question: another one is refused with a sentence that says what
is there, because a model can only learn one of them.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import ASK, CAPTION, spec_of
from mmdemo.data.readable import Say
from mmdemo.studio.datasets import words
from mmdemo.studio.datasets.classes import as_known, each_once
from mmdemo.studio.datasets.contents import Content, Source, check_content
from mmdemo.studio.datasets.store import FILES, HandmadeDataset, Item, changing, keep, load, save

MAX_ITEMS = 5_000
"""Items of one dataset; the table is written whole with every change."""

BATCH_BYTES = 64_000_000
"""Bytes of files that are in memory at once while many are added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What became of several files: the items, and one sentence for each file that could not be taken."""

    items: tuple[Item, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wording:
    """Words as a person gave them; a task takes those that it has."""

    label: str = ""
    caption: str = ""
    question: str = ""
    answer: str = ""
    speaker: str = ""


def add(
    name: str,
    file: Source,
    *,
    label: str = "",
    caption: str = "",
    question: str = "",
    answer: str = "",
    speaker: str = "",
) -> Item:
    """Add one example.

    Args:
        file: A path, the file's bytes, pixels, a PIL image, or (samples per second, samples).
        label: For classify and sentiment; a class that is not there yet is made.
        caption: For caption.
        question, answer: For ask.
        speaker: Of a clip; who speaks in training is then not heard in measuring.

    Returns:
        The new item, or the one that says the same already.

    Raises:
        MmdemoError: The file cannot be read, words are missing or too long, there are :data:`MAX_ITEMS` already, or
            the same content has another label, or another answer to the question.
    """
    said = _Wording(label=label, caption=caption, question=question, answer=answer, speaker=speaker)
    content = check_content(load(name).task, file)
    with changing(name) as dataset:
        dataset, item = _with(dataset, _worded(dataset, _blank(dataset, content), said))
        keep(dataset.folder, content)
        save(dataset)
    return item


def add_many(
    name: str,
    files: Sequence[Source],
    *,
    label: str = "",
    caption: str = "",
    question: str = "",
    answer: str = "",
    speaker: str = "",
    say: Say | None = None,
) -> Added:
    """Add several files with the same words; those that cannot be taken do not keep the others out.

    Args:
        say: Called with what is done, how much of it and out of how much.

    Raises:
        MmdemoError: There is no such dataset, or the words are missing or too long.
    """
    said = _Wording(label=label, caption=caption, question=question, answer=answer, speaker=speaker)
    dataset = load(name)
    _worded(dataset, Item(id="", file=dataset.folder), said)  # wrong words are wrong for all files: said once
    items: list[Item] = []
    problems: list[str] = []
    batch: list[tuple[str, Content]] = []
    for number, file in enumerate(files, start=1):
        shown = f"{file.name}: " if isinstance(file, Path) else ""
        try:
            batch.append((shown, check_content(dataset.task, file)))
        except MmdemoError as error:
            problems.append(f"{shown}{error}")
        if number == len(files) or sum(len(content.data) for _, content in batch) > BATCH_BYTES:
            _add_batch(name, batch, said, items=items, problems=problems)
            batch.clear()
        if say is not None:
            say("files added", number, len(files))
    return Added(items=tuple(items), problems=tuple(problems))


def put_right(
    name: str, content: Content, *, label: str = "", caption: str = "", question: str = "", answer: str = ""
) -> HandmadeDataset:
    """Add an example in the place of whatever was said of the same file (of Ask: of the same file and question)."""
    with changing(name) as dataset:
        said = _Wording(label=label, caption=caption, question=question, answer=answer)
        new = _worded(dataset, _blank(dataset, content), said)
        others = tuple(item for item in dataset.items if not _same_input(item, new))
        dataset, _ = _with(replace(dataset, items=others), new)
        keep(dataset.folder, content)
        save(dataset)
    return dataset


def edit(
    name: str,
    id: str,
    *,
    label: str | None = None,
    caption: str | None = None,
    question: str | None = None,
    answer: str | None = None,
    speaker: str | None = None,
) -> Item:
    """Say something else of an item; None leaves what is there.

    Raises:
        MmdemoError: There is no such item, the words are missing or too long, or another item of the same file
            says it already, or says something else.
    """
    with changing(name) as dataset:
        before = next((item for item in dataset.items if item.id == id), None)
        if before is None:
            raise MmdemoError("This item is gone", "it may have been deleted in another window")
        said = _Wording(
            label=before.label if label is None else label,
            caption=before.caption if caption is None else caption,
            question=before.question if question is None else question,
            answer=before.answer if answer is None else answer,
            speaker=before.speaker if speaker is None else speaker,
        )
        after = _worded(dataset, before, said)
        if answer is not None:  # what others answered, in a table from elsewhere, would count before it
            after = replace(after, more={k: v for k, v in after.more.items() if k not in ("answers", "answer_scores")})
        others = replace(dataset, items=tuple(item for item in dataset.items if item.id != id))
        if any(_says(item) == _says(after) for item in _of_file(others, after)):
            raise MmdemoError("This is there already", "another item of the same file says it", "Delete one of them")
        _refuse_clash(others, after)
        items = tuple(after if item.id == id else item for item in dataset.items)
        save(replace(dataset, items=items, classes=_classes(dataset, after)))
    return after


def remove(name: str, ids: Collection[str] | str) -> None:
    """Remove items; their files go when no other item names them. Ids that are gone already are passed over."""
    gone = {ids} if isinstance(ids, str) else set(ids)
    with changing(name) as dataset:
        kept = tuple(item for item in dataset.items if item.id not in gone)
        save(replace(dataset, items=kept), before=dataset)


# ----------------------------------------------------------------


def _add_batch(
    name: str, batch: Sequence[tuple[str, Content]], said: _Wording, *, items: list[Item], problems: list[str]
) -> None:
    if not batch:
        return
    added = []
    with changing(name) as dataset:
        for shown, content in batch:
            try:
                dataset, item = _with(dataset, _worded(dataset, _blank(dataset, content), said))
            except MmdemoError as error:
                problems.append(f"{shown}{error}")
                continue
            keep(dataset.folder, content)
            added.append(item)
        save(dataset)
    items += added


def _blank(dataset: HandmadeDataset, content: Content) -> Item:
    return Item(id=uuid.uuid4().hex[:12], file=dataset.folder / FILES / content.name, added=round(time.time(), 3))


def _worded(dataset: HandmadeDataset, item: Item, said: _Wording) -> Item:
    """The item with the words that its task has, cleaned; others are passed over."""
    if dataset.task == ASK:
        return replace(item, question=words.clean_question(said.question), answer=words.clean_answer(said.answer))
    if dataset.task == CAPTION:
        return replace(item, caption=words.clean_caption(said.caption))
    label = as_known(dataset, words.clean_label(said.label))
    return replace(item, label=label, speaker=words.clean_speaker(said.speaker))


def _with(dataset: HandmadeDataset, new: Item) -> tuple[HandmadeDataset, Item]:
    """The dataset with a new item, or with the one that says the same already."""
    for item in _of_file(dataset, new):
        if _says(item) == _says(new):
            return dataset, item
    if len(dataset.items) >= MAX_ITEMS:
        why = f"{MAX_ITEMS} items can be made by hand"
        raise MmdemoError(f"{dataset.name} is full", why, "Give a folder or a zip of more")
    _refuse_clash(dataset, new)
    return replace(dataset, items=(*dataset.items, new), classes=_classes(dataset, new)), new


def _classes(dataset: HandmadeDataset, item: Item) -> tuple[str, ...]:
    return each_once((*dataset.classes, item.label)) if item.label else dataset.classes


def _of_file(dataset: HandmadeDataset, new: Item) -> list[Item]:
    return [item for item in dataset.items if item.file == new.file]


def _says(item: Item) -> tuple[str, ...]:
    return tuple(text.casefold() for text in (item.label, item.caption, item.question, item.answer))


def _same_input(item: Item, other: Item) -> bool:
    return item.file == other.file and item.question.casefold() == other.question.casefold()


def _refuse_clash(dataset: HandmadeDataset, new: Item) -> None:
    """Refuse a second label of a file, and a second answer to its question; captions may differ."""
    for item in _of_file(dataset, new):
        if dataset.task == ASK and _same_input(item, new):
            why = f"for this picture the answer is {item.answer!r}"
            raise MmdemoError("This question is answered already", why, "Edit that answer")
        if item.label.casefold() != new.label.casefold():
            what = "clip" if spec_of(dataset.task).has_sound else "picture"
            raise MmdemoError(f"This {what} is there already", f"as {item.label!r}", "Move it, or delete it there")
