"""Promise: each promise of SECURITY.md has a test file, and each test file here stands in SECURITY.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
MODEL = (ROOT / "docs" / "threat_model.md").read_text(encoding="utf-8")

ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in SECURITY.split("| promise | profile | test file |")[1].split("\n\n")[0].splitlines()[2:]
]
"""Cells of the table: promise, profile, test file."""


def test_each_promise_has_a_file_and_each_file_a_promise() -> None:
    named = [file.strip("`") for _, _, file in ROWS]
    here = [str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "security").glob("test_*.py")]

    assert sorted(named) == sorted(here)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: Path(row[2].strip("`")).stem)
def test_a_row_says_what_and_for_whom(row: list[str]) -> None:
    promise, profile, file = row
    test = (ROOT / file.strip("`")).read_text(encoding="utf-8")

    assert len(promise.split()) >= 5
    assert set(re.split(r", ", profile)) <= {"all", "own", "auth", "public"}
    assert test.startswith('"""Promise: '), "the file says first what it keeps"
    assert re.search(r"^def test_", test, flags=re.MULTILINE)


def test_every_path_and_link_leads_somewhere() -> None:
    for words in (SECURITY, MODEL):
        for path in re.findall(r"`((?:tests|mmdemo|docs)/[\w./-]+)`", words):
            assert (ROOT / path).exists(), path
    assert (ROOT / "docs" / "../SECURITY.md").exists()
    assert "(docs/threat_model.md)" in SECURITY


def test_the_readme_leads_here() -> None:
    assert "(SECURITY.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
