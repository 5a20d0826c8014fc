"""What could not be used of some data, with the line that names it, and how that is said in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import Json
from mmdemo.data.rows import place


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One file that cannot be used.

    Attributes:
        file: As the table names it, or its path.
        why: In plain words, without a full stop.
        table, line: Where it is named; None and 0 for files of class folders.
    """

    file: str
    why: str
    table: Path | None = None
    line: int = 0

    def __str__(self) -> str:
        where = f" ({_lower(place(self.table, self.line))})" if self.table is not None else ""
        return f"{self.file}{where}: {self.why}"

    def to_json(self) -> Json:
        return {
            "file": self.file,
            "why": self.why,
            "table": str(self.table) if self.table is not None else None,
            "line": self.line or None,
        }


@dataclass(slots=True)
class ReadResult:
    """What a reading came across instead of stopping at it: files that are not there, rows that cannot be used."""

    missing: list[Problem] = field(default_factory=list)
    bad_rows: list[MmdemoError] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.missing or self.bad_rows)


def left_out(problems: Sequence[Problem]) -> str:
    """Say "3 files could not be read and were left out, first x.png (line 12 of metadata.csv): it is not a picture"."""
    count = len({problem.file for problem in problems})
    files = "1 file" if count == 1 else f"{count} files"
    first = "" if count == 1 else "first "
    return f"{files} could not be read and {'was' if count == 1 else 'were'} left out, {first}{problems[0]}"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
