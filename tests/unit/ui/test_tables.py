"""The table of several pictures and its CSV."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mmdemo.core.types import NONE_OF_THESE, ClassifyResult, Scored
from mmdemo.core.writing import harmless_cell
from mmdemo.ui.tables import LabelTableRow, headers, shown_rows, write_csv


def a_row(file: str, best: str, score: float = 0.75) -> LabelTableRow:
    labels = (Scored(label=best, score=score), Scored(label=NONE_OF_THESE, score=1 - score))
    return LabelTableRow(file, ClassifyResult(file=file, labels=labels, sure=score > 0.5, model="m", seconds=0.1))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_nothing_becomes_a_formula(start: str, tmp_path: Path) -> None:
    evil = f'{start}HYPERLINK("http://evil")'

    path = write_csv([a_row(f"{evil}.png", evil), LabelTableRow("b.png", None, evil)], tmp_path)

    with path.open(newline="", encoding="utf-8-sig") as stream:
        cells = [cell for line in csv.reader(stream) for cell in line]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)


def test_plain_text_stays_as_it_is() -> None:
    assert harmless_cell("a cat, sitting") == "a cat, sitting"


def test_csv_has_a_column_per_label_and_a_row_per_picture(tmp_path: Path) -> None:
    path = write_csv([a_row("a.png", "cat"), LabelTableRow("b.png", None, "cannot be opened")], tmp_path)

    with path.open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0]["label"] == "cat"
    assert float(rows[0]["cat"]) == pytest.approx(0.75)
    assert rows[1]["error"] == "cannot be opened"
    assert path.parent.parent == tmp_path


def test_the_table_says_why_a_picture_has_no_answer() -> None:
    shown = shown_rows([a_row("a.png", NONE_OF_THESE), LabelTableRow("b.png", None, "broken")], "zh")

    assert all(len(row) == len(headers("zh")) for row in shown)
    assert shown[0][1] == "都不是"
    assert shown[1][-1] == "broken"
