"""Tables as rows with line numbers: JSON lines, CSV, parquet, saved datasets; errors name file and line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TextIO

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import Unreadable, parse_json
from mmdemo.data.rows import TableRow, column

__all__ = ["SUFFIXES", "TableRow", "columns", "is_saved", "read_rows", "row_splits"]

SUFFIXES = (".jsonl", ".csv", ".parquet")
"""Kinds of table, the one that is read where several lie side by side first."""

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "restval": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""What a column ``split`` may hold; restval is the part of COCO that Karpathy and Fei-Fei 2015 add to training."""


def is_saved(folder: Path) -> bool:
    """Whether a folder is a ``datasets.Dataset`` saved to disk."""
    return (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()


def read_rows(table: Path) -> Iterator[TableRow]:
    """Yield the rows of a ``.jsonl``, ``.csv`` or ``.parquet`` file or a saved dataset in order, skipping blank lines.

    Raises:
        MmdemoError: It cannot be read, is not UTF-8, or a line is not a JSON object / has the wrong number of fields.
    """
    try:
        if table.is_dir():
            from mmdemo.data.hub_datasets import saved_rows  # slow to import, and needed here only

            yield from saved_rows(table)
        elif table.suffix.lower() == ".parquet":
            from mmdemo.data.hub_datasets import parquet_rows

            yield from parquet_rows(table)
        else:
            yield from (_csv_rows if table.suffix.lower() == ".csv" else _json_rows)(table)
    except OSError as error:
        raise MmdemoError(f"The table {table} cannot be read", error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        if table.suffix.lower() not in {".csv", ".jsonl"}:
            raise MmdemoError(f"{table} cannot be used here", "it is neither a folder nor a table") from error
        raise MmdemoError(f"The table {table} cannot be read", "it is not UTF-8 text", "Save it as UTF-8") from error


def columns(table: Path) -> tuple[str, ...]:
    """Names of a table's columns; of JSON lines those of the first rows; empty for an empty table."""
    if table.is_dir() or table.suffix.lower() == ".parquet":
        from mmdemo.data.hub_datasets import schema_names

        return schema_names(table)
    if table.suffix.lower() == ".csv":
        try:
            with table.open(encoding="utf-8-sig", newline="") as lines:
                return tuple(next(csv.reader(lines, delimiter=_delimiter(lines)), ()))
        except (OSError, UnicodeDecodeError, csv.Error):
            return ()  # read_rows says it
    rows = islice(read_rows(table), 20)
    return tuple(dict.fromkeys(name for row in rows for name in row.values))


def row_splits(table: Path) -> frozenset[str]:
    """The splits that a table's own column ``split`` names; empty where it has no such column.

    Raises:
        MmdemoError: A row's split is none that is known.
    """
    name = column("split", columns(table))
    if name is None:
        return frozenset()
    if table.is_dir() or table.suffix.lower() == ".parquet":
        from mmdemo.data.hub_datasets import distinct

        values = [str(value or "").strip().lower() for value in distinct(table, name)]
        if all(not value or value in SPLIT_NAMES for value in values):
            return frozenset(SPLIT_NAMES[value] if value else "train" for value in values)
    return frozenset(row_split(row) for row in read_rows(table))


def row_split(row: TableRow) -> str:
    """The split that a row belongs to by its column; "train" where it says nothing.

    Raises:
        MmdemoError: It is none that is known.
    """
    value = row.text("split")
    if value is None:
        return "train"
    if value.lower() not in SPLIT_NAMES:
        raise row.problem(f"its split is {value!r}", "Known are train, validation and test")
    return SPLIT_NAMES[value.lower()]


def _json_rows(table: Path) -> Iterator[TableRow]:
    with table.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                values = parse_json(line, name=table.name)
            except Unreadable as error:
                why = f"it is not valid JSON ({error.why})"
                raise MmdemoError(
                    f"Line {number} of {table} cannot be used", why, "Write one JSON object per line"
                ) from error
            if not isinstance(values, dict):
                raise MmdemoError(
                    f"Line {number} of {table} cannot be used",
                    f"it holds a JSON {type(values).__name__}, not an object",
                    "Write one JSON object per line",
                )
            yield TableRow(values=values, table=table, line=number)


def _delimiter(lines: TextIO) -> str:
    """Comma, or the semicolon that spreadsheets write where a comma stands in numbers."""
    first = lines.readline()
    lines.seek(0)
    return ";" if first.count(";") > first.count(",") else ","


def _csv_rows(table: Path) -> Iterator[TableRow]:
    with table.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, delimiter=_delimiter(lines))
        try:
            for values in reader:
                line = reader.line_num
                if None in values or None in values.values():
                    raise MmdemoError(
                        f"Line {line} of {table} cannot be used",
                        f"it does not have the {len(reader.fieldnames or ())} fields of the first line",
                        "Put text that holds commas into quotation marks",
                    )
                yield TableRow(values=dict(values), table=table, line=line)
        except csv.Error as error:
            raise MmdemoError(f"Line {reader.line_num} of {table} cannot be used", str(error)) from error
