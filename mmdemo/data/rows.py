"""Rows of tables: columns by their usual names, values checked, errors that name table and line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import Unreadable, parse_json
from mmdemo.core.words import nearest_name

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "file_name": (
        *("file_name", "filename", "file", "path", "file_path", "filepath"),
        *("image", "image_path", "image_file", "img", "picture"),
        *("audio", "audio_path", "audio_file", "clip"),
    ),
    "captions": ("captions", "caption", "sentences", "sentence", "description", "text"),
    "question": ("question", "query"),
    "answer": ("answer", "multiple_choice_answer"),
    "answers": ("answers",),
    "label": ("label", "class", "class_name", "category", "emotion", "target"),
    "group": ("speaker", "speaker_id", "group", "group_id"),
    "split": ("split", "subset"),
}
"""What a column may be called, the usual name first; the first that a table has is the one that counts.

Upper and lower case, blanks and hyphens make no difference.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One row: ``values`` by key, ``line`` counted from 1 in ``table``; of parquet and saved data the row."""

    values: dict[str, object]
    table: Path
    line: int

    def problem(self, why: str, try_this: str = "") -> MmdemoError:
        return MmdemoError(f"{place(self.table, self.line)} cannot be used", why, try_this)

    def text(self, key: str) -> str | None:
        """Text of a key; None where it is missing, null or empty.

        Raises:
            MmdemoError: It is a list or an object.
        """
        value = self._value(key)
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
            near = None if self._key(key) in self.values else nearest_column(key, self.values)
            meant = f"; did you mean {near!r}" if near else ""
            raise self.problem(f"{key!r} is missing or empty", f"Found there: {found}{meant}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; empty where the key is missing or null. One text counts as a list of one.

        A list may be written as JSON where a table has no lists (CSV). Records that hold an "answer" stand for it.
        """
        value = self._value(key)
        if value is None:
            return ()
        if isinstance(value, str):
            if value.lstrip().startswith("[") and isinstance(listed := _json(value), list):
                value = listed
            else:
                return (value,) if value.strip() else ()
        if isinstance(value, list):
            value = [item["answer"] if isinstance(item, dict) and "answer" in item else item for item in value]
        if not isinstance(value, list) or not all(isinstance(item, str | int | float) for item in value):
            raise self.problem(f"{key!r} should be a list of texts")
        return tuple(str(item) for item in value if str(item).strip())

    def blanks(self, key: str) -> int:
        """How many texts of a list hold nothing."""
        value = self._value(key)
        return sum(not str(item).strip() for item in value) if isinstance(value, list) else 0

    def numbers(self, key: str) -> dict[str, float] | None:
        """An object of text to number; None where the key is missing or null."""
        value = self._value(key)
        if isinstance(value, str):
            value = _json(value) if value.strip() else None
        if value is None:
            return None
        if isinstance(value, dict):  # tables with a schema have every key in every row
            value = {name: number for name, number in value.items() if number is not None}
        if not isinstance(value, dict) or not all(isinstance(item, int | float) for item in value.values()):
            raise self.problem(f"{key!r} should be an object of text to number")
        return {str(name): float(number) for name, number in value.items()}

    def rest(self, used: frozenset[str]) -> dict[str, str]:
        """All other plain values as text, nulls left out."""
        taken = {self._key(key) for key in used} | used
        return {
            name: str(value)
            for name, value in self.values.items()
            if name not in taken and isinstance(value, str | int | float) and str(value) != ""
        }

    def _key(self, key: str) -> str:
        return _by_meaning(tuple(self.values)).get(key, key)

    def _value(self, key: str) -> object:
        return self.values.get(self._key(key))


def place(table: Path, line: int) -> str:
    """Say "Line 12 of set/captions.jsonl"; tables that are no text have rows instead of lines."""
    return f"{'Line' if table.suffix.lower() in {'.jsonl', '.csv'} else 'Row'} {line} of {table}"


def column(key: str, names: Iterable[str]) -> str | None:
    """The column among ``names`` that holds what :data:`COLUMNS` calls ``key``; None where there is none."""
    return _by_meaning(tuple(names)).get(key)


def nearest_column(key: str, names: Iterable[str]) -> str | None:
    """The column that was probably meant to be ``key``, by any of its usual names; never one that means another."""
    given = tuple(names)
    there = [name for name in given if name not in _by_meaning(given).values()]
    found = (nearest_name(usual, there) for usual in COLUMNS.get(key, (key,)))
    return next((name for name in found if name is not None), None)


@lru_cache(maxsize=64)
def _by_meaning(names: tuple[str, ...]) -> dict[str, str]:
    plain: dict[str, str] = {}
    for name in names:
        plain.setdefault(name.strip().lower().replace(" ", "_").replace("-", "_"), name)
    found = {}
    for key, usual in COLUMNS.items():
        there = next((plain[name] for name in usual if name in plain), None)
        if there is not None:
            found[key] = there
    return found


def _json(text: str) -> object:
    try:
        found: object = parse_json(text, name="the cell")
    except Unreadable:
        return text
    return found
