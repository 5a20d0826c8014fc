"""Which tasks some data are for, by the endings of files and the columns of tables; nothing is decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import ASK, CAPTION, CLASSIFY, SENTIMENT
from mmdemo.data.folders import split_folders, subfolders, tables_in
from mmdemo.data.read import PICTURE_SUFFIXES, SOUND_SUFFIXES
from mmdemo.data.rows import column
from mmdemo.data.table_examples import CAPTIONS, LABELS, QUESTIONS, tables_of
from mmdemo.data.tables import columns, read_rows
from mmdemo.studio.datasets.store import task_of

_ROWS = 20
_FILES_OF_CLASS = 50


def guess_task(folder: Path) -> tuple[str, ...]:
    """The tasks that a folder or table can teach, the likeliest first; empty where it can be read for none.

    Labels of pictures are for classify and labels of clips for sentiment; captions are for caption, and questions with
    answers for ask.
    """
    made_for = task_of(folder)
    if made_for is not None:
        return (made_for,)
    try:
        splits = split_folders(folder)
        place = splits.get("train") or next(iter(splits.values()), folder)
        found = list(_by_tables(place))
        if not found and place.is_dir() and not tables_in(place):
            found = _labelled(_in_classes(place))
    except (MmdemoError, OSError):
        return ()
    return tuple(dict.fromkeys(found))


def _by_tables(place: Path) -> Iterator[str]:
    labels = _usable(place, LABELS, "label")
    captions = _usable(place, CAPTIONS, "captions")
    for table in _usable(place, QUESTIONS, "question"):
        there = columns(table)
        if (column("answer", there) or column("answers", there)) and _labelled(_names(table)) == [CLASSIFY]:
            yield ASK
    for table in captions:
        # a column that may hold captions ("text") beside one of labels is what was said in a clip
        if table not in labels and _labelled(_names(table)) == [CLASSIFY]:
            yield CAPTION
    for table in labels:
        yield from _labelled(_names(table))


def _usable(place: Path, kind: str, key: str) -> list[Path]:
    found = [(table, columns(table)) for table in tables_of(place, kind)]
    return [table for table, there in found if column("file_name", there) and column(key, there)]


def _names(table: Path) -> Iterator[str]:
    for row in islice(read_rows(table), _ROWS):
        name = row.text("file_name")
        if name is not None:
            yield name


def _in_classes(folder: Path) -> Iterator[str]:
    """Names of files in class folders; nothing where there are not two classes."""
    classes = [list(islice((file.name for file in place.iterdir()), _FILES_OF_CLASS)) for place in subfolders(folder)]
    held = [names for names in classes if _labelled(names)]
    if len(held) > 1:
        yield from (name for names in held for name in names)


def _labelled(names: Iterable[str]) -> list[str]:
    """What labels of these files are for: pictures or clips, whichever are more."""
    count = Counter(
        CLASSIFY if suffix in PICTURE_SUFFIXES else SENTIMENT
        for name in names
        if (suffix := Path(name).suffix.lower()) in PICTURE_SUFFIXES | SOUND_SUFFIXES
    )
    return [task for task, _ in count.most_common(1)]


__all__ = ["guess_task"]
