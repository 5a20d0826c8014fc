"""Tables as rows with line numbers: JSON lines and CSV, with errors that name file and line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmdemo.core.errors import MmdemoError


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: ``values`` by key, ``line`` counted from 1 in the file ``table``."""

    values: dict[str, object]
    table: Path
    line: int

    def problem(self, why: str, try_this: str = "") -> MmdemoError:
        return MmdemoError(f"Line {self.line} of {self.table} cannot be used", why, try_this)

    def text(self, key: str) -> str | None:
        """Text of a key; None where it is missing, null or empty.

        Raises:
            MmdemoError: It is a list or an object.
        """
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, str):
            return value.strip() or None
        if isinstance(value, bool | int | float):
            return str(value)
        raise self.problem(f"{key!r} should be text and is {type(value).__name__}")

    def need(self, key: str) -> str:
        """Text of a key that must be there."""
        value = self.text(key)
        if value is None:
            found = ", ".join(map(repr, self.values)) or "nothing"
            raise self.problem(f"{key!r} is missing or empty", f"Found there: {found}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; empty where the key is missing or null. One text counts as a list of one."""
        value = self.values.get(key)
        if value is None:
            return ()
        if isinstance(value, str):
            return (value,) if value.strip() else ()
        if not isinstance(value, list) or not all(isinstance(item, str | int | float) for item in value):
            raise self.problem(f"{key!r} should be a list of texts")
        return tuple(str(item) for item in value if str(item).strip())

    def numbers(self, key: str) -> dict[str, float] | None:
        """An object of text to number; None where the key is missing or null."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict) or not all(isinstance(item, int | float) for item in value.values()):
            raise self.problem(f"{key!r} should be an object of text to number")
        return {str(name): float(number) for name, number in value.items()}

    def rest(self, used: frozenset[str]) -> dict[str, str]:
        """All other plain values as text, nulls left out."""
        return {
            name: str(value)
            for name, value in self.values.items()
            if name not in used and isinstance(value, str | int | float) and str(value) != ""
        }


def read_rows(table: Path) -> Iterator[Row]:
    """Yield the rows of a ``.jsonl`` or ``.csv`` file in order, skipping blank lines.

    Raises:
        MmdemoError: It cannot be read, is not UTF-8, or a line is not a JSON object / has the wrong number of fields.
    """
    reader = _csv_rows if table.suffix.lower() == ".csv" else _json_rows
    try:
        yield from reader(table)
    except OSError as error:
        raise MmdemoError(f"The table {table} cannot be read", error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise MmdemoError(f"The table {table} cannot be read", "it is not UTF-8 text", "Save it as UTF-8") from error


def _json_rows(table: Path) -> Iterator[Row]:
    with table.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                why = f"it is not valid JSON ({error})"
                raise MmdemoError(
                    f"Line {number} of {table} cannot be used", why, "Write one JSON object per line"
                ) from error
            if not isinstance(values, dict):
                raise MmdemoError(
                    f"Line {number} of {table} cannot be used",
                    f"it holds a JSON {type(values).__name__}, not an object",
                    "Write one JSON object per line",
                )
            yield Row(values=values, table=table, line=number)


def _csv_rows(table: Path) -> Iterator[Row]:
    with table.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        try:
            for values in reader:
                line = reader.line_num
                if None in values or None in values.values():
                    raise MmdemoError(
                        f"Line {line} of {table} cannot be used",
                        f"it does not have the {len(reader.fieldnames or ())} fields of the first line",
                        "Put text that holds commas into quotation marks",
                    )
                yield Row(values=dict(values), table=table, line=line)
        except csv.Error as error:
            raise MmdemoError(f"Line {reader.line_num} of {table} cannot be used", str(error)) from error
