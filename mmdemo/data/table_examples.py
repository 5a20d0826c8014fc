"""Examples from tables: which table holds what a task needs, where its files lie, one example for each row."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.data.examples import Example
from mmdemo.data.folders import KINDS, SplitFolder, tables_in
from mmdemo.data.problems import Problem, ReadResult
from mmdemo.data.rows import COLUMNS, TableRow, column, nearest_column
from mmdemo.data.tables import SUFFIXES, columns, is_saved, read_rows, row_split

CAPTIONS, QUESTIONS, LABELS = KINDS
_NEEDED: Mapping[str, tuple[str, ...]] = {
    CAPTIONS: ("file_name", "captions"),
    QUESTIONS: ("file_name", "question", "answer"),
    LABELS: ("file_name", "label"),
}
_ADDRESS = ("http://", "https://", "ftp://", "s3://", "gs://", "hf://")


def tables_of(folder: Path, kind: str) -> list[Path]:
    """The tables of a folder, or of its sub-folders where it is a collection, that hold rows of a kind.

    ``captions.*`` and ``questions.*`` hold what their names say; ``metadata.*`` and tables that are named themselves
    hold what their columns say.
    """
    by_folder: dict[Path, list[Path]] = {}
    for table in tables_in(folder):
        by_folder.setdefault(table.parent if table.is_file() else table, []).append(table)
    found = []
    for tables in by_folder.values():
        named = [table for table in tables if _named(table) == kind]
        found += (named or [table for table in tables if _named(table) is None and _holds(table, kind)])[:1]
    return found


def need_columns(table: Path, kind: str) -> None:
    """Refuse a table whose columns are known beforehand and do not hold what is needed.

    Raises:
        MmdemoError: Naming what was found, what is needed and what was probably meant.
    """
    there = columns(table)
    missing = [key for key in _NEEDED[kind] if column(key, there) is None]
    if "answer" in missing and column("answers", there) is not None:
        missing.remove("answer")
    if not there or not missing:
        return
    found = ", ".join(map(repr, there[:12])) + (" and more" if len(there) > 12 else "")
    near = [(key, name) for key in missing if (name := nearest_column(key, there)) is not None]
    raise MmdemoError(
        f"{table} cannot be used here",
        f"it has the columns {found} and none for {' and '.join(map(_wanted, missing))}",
        f"Did you mean {near[0][1]!r} to be {near[0][0]!r}" if near else "",
    )


def read_table(
    table: Path, kind: str, part: SplitFolder, folders: Sequence[Path], *, found: ReadResult | None
) -> list[Example]:
    """The examples of a table's rows.

    Args:
        part: Says which split's rows are wanted.
        folders: Where files are looked for that do not lie beside the table.
        found: Takes files that are not there and rows that cannot be used; without it the first is an error.

    Raises:
        MmdemoError: Wrong columns, bad rows, or files that are missing.
    """
    if table.is_dir() or table.suffix.lower() != ".jsonl":  # rows of JSON lines say for themselves what they lack
        need_columns(table, kind)
    files, missing = _FileFinder(folders), list[Problem]()
    examples = []
    for row in read_rows(table):
        if part.rows is not None and row_split(row) != part.rows:
            continue
        try:
            name = row.need("file_name")
            file = files.find(row, name)
            if file is None:
                missing.append(Problem(file=name, why=_why_missing(name), table=table, line=row.line))
            else:
                examples.append(_MAKERS[kind](row, file))
        except MmdemoError as error:
            if found is None:
                raise
            found.bad_rows.append(error)
    if missing and found is None:
        raise _missing(table, missing)
    if found is not None:
        found.missing += missing
    return _one_per_file(examples) if kind == CAPTIONS else examples


# ---------------------------------------------------------------- which table


def _named(table: Path) -> str | None:
    kind = table.name.split(".")[0]
    return kind if table.is_file() and table.suffix in SUFFIXES and kind in (CAPTIONS, QUESTIONS) else None


def _holds(table: Path, kind: str) -> bool:
    there = columns(table)
    return not there or column({CAPTIONS: "captions", QUESTIONS: "question", LABELS: "label"}[kind], there) is not None


def _wanted(key: str) -> str:
    others = [name for name in COLUMNS[key] if name != key][:4]
    return f"{key!r}" + (f" (or {', '.join(others)})" if others else "")


# ---------------------------------------------------------------- files


class _FileFinder:
    """Finds named files beside their table, then in the other folders; reads each folder's listing once."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._others = list(dict.fromkeys(place if place.is_dir() else place.parent for place in folders))
        self._listings: dict[Path, frozenset[str]] = {}
        self._places: dict[tuple[Path, str | None], list[Path]] = {}

    def find(self, row: TableRow, name: str) -> Path | None:
        """Where a file is; None where it is nowhere."""
        folder = row.text("folder")
        if (row.table, folder) not in self._places:
            beside = row.table.parent
            first = [beside / folder] if folder else []
            # train.csv may lie beside a folder train with its files; a saved dataset is a folder itself
            own = [row.table, beside] if is_saved(row.table) else [beside, row.table.with_suffix("")]
            self._places[row.table, folder] = [*first, *own, *self._others]
        for place in self._places[row.table, folder]:
            if self._holds(place, name):
                return Path(os.path.normpath(place / name))
        return None

    def _holds(self, place: Path, name: str) -> bool:
        if "/" in name or "\\" in name:
            return (place / name).is_file()
        if place not in self._listings:
            self._listings[place] = frozenset(_names(place))
        return name in self._listings[place]


def _names(place: Path) -> Iterator[str]:
    if place.is_dir():
        yield from (file.name for file in os.scandir(place))


def _why_missing(name: str) -> str:
    return "it is an address, and nothing is fetched" if name.lower().startswith(_ADDRESS) else "it is not there"


def _missing(table: Path, missing: Sequence[Problem]) -> MmdemoError:
    names = list(dict.fromkeys(problem.file for problem in missing))
    if names[0].lower().startswith(_ADDRESS):
        return MmdemoError(
            f"{table} names addresses, not files", f"for example {names[0]}", "Nothing is fetched: save them beside it"
        )
    return MmdemoError(
        f"{len(names)} files named in {table} are missing",
        f"for example {', '.join(names[:3])}",
        "Put them beside the table, or name their folder with another --data",
    )


# ---------------------------------------------------------------- rows


def _caption_example(row: TableRow, file: Path) -> Example:
    captions = row.texts("captions")
    if not captions:
        raise row.problem("'captions' is missing or empty", "Give a list of one or more captions")
    used = frozenset({"file_name", "caption", "captions"})
    return Example(
        file=file,
        captions=captions,
        group=row.text("group"),
        columns=row.rest(used),
        table=row.table,
        line=row.line,
    )


def _question_example(row: TableRow, file: Path) -> Example:
    answers = row.texts("answers")
    answer = row.text("answer")
    if answer is None and not answers:
        raise row.problem("'answer' is missing or empty")
    if answer is None:
        answer = max(dict.fromkeys(answers), key=answers.count)
    used = frozenset({"file_name", "folder", "question", "answer", "answers", "answer_scores"})
    return Example(
        file=file,
        question=row.need("question"),
        answer=answer,
        answers=answers,
        answer_scores=row.numbers("answer_scores"),
        group=row.text("group"),
        columns=row.rest(used),
        table=row.table,
        line=row.line,
    )


def _label_example(row: TableRow, file: Path) -> Example:
    return Example(
        file=file,
        label=row.need("label"),
        group=row.text("group"),
        columns=row.rest(frozenset({"file_name", "label"})),
        table=row.table,
        line=row.line,
    )


_MAKERS: Mapping[str, Callable[[TableRow, Path], Example]] = {
    CAPTIONS: _caption_example,
    QUESTIONS: _question_example,
    LABELS: _label_example,
}


def _one_per_file(examples: Iterable[Example]) -> list[Example]:
    """Pictures whose captions stand in several rows become one example, where the first row stands."""
    found: dict[Path | None, Example] = {}
    for example in examples:
        before = found.get(example.file)
        captions = example.captions if before is None else before.captions + example.captions
        found[example.file] = replace(before or example, captions=captions)
    return list(found.values())
