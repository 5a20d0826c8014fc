"""Made data in the project's conventions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from tests.unit.models.conftest import root, written

__all__ = ["root", "table", "written"]

Rows = Sequence[Mapping[str, object]]
MakeTable = Callable[..., Path]


@pytest.fixture
def table(tmp_path: Path) -> MakeTable:
    """Write a table into a folder below tmp_path, with an empty file for each row unless told otherwise."""

    def make(name: str, rows: Rows, folder: str = "set", *, files: bool = True) -> Path:
        place = tmp_path / folder
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        for row in rows if files else ():
            (place / str(row["file_name"])).write_bytes(str(row["file_name"]).encode())
        return place

    return make
