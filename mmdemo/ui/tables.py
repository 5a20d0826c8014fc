"""The table of several classified pictures, and its file for a spreadsheet."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdemo.core.types import ClassifyResult
from mmdemo.core.writing import harmless_cell
from mmdemo.ui.answers import percent
from mmdemo.ui.strings import Language, label_text, text

COLUMNS = ("file", "label", "score", "sure", "second", "note")
"""Columns of the table on the page, as keys ``column_<name>`` of ``strings``."""


@dataclass(frozen=True, slots=True)
class LabelTableRow:
    """One picture: its result, or the sentence why there is none."""

    file: str
    result: ClassifyResult | None
    note: str = ""


def headers(language: Language) -> list[str]:
    """The table's head."""
    return [text(f"column_{name}", language) for name in COLUMNS]


def shown_rows(rows: Sequence[LabelTableRow], language: Language) -> list[list[str]]:
    """What the table shows, all of it text."""
    shown = []
    for row in rows:
        if row.result is None:
            shown.append([row.file, "", "", "", "", row.note])
            continue
        best, *others = row.result.labels
        second = f"{label_text(others[0].label, language)} {percent(others[0].score)}" if others else ""
        sure = text("sure_yes" if row.result.sure else "sure_no", language)
        shown.append([row.file, label_text(best.label, language), percent(best.score), sure, second, row.note])
    return shown


def write_csv(rows: Sequence[LabelTableRow], folder: Path) -> Path:
    """Write all probabilities, one column per label, into a new folder below ``folder``.

    The file's name is fixed; nothing of it comes from the visitor.
    """
    labels = sorted({scored.label for row in rows if row.result for scored in row.result.labels})
    folder.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(dir=folder)) / "labels.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as stream:  # the mark makes Excel read UTF-8
        writer = csv.writer(stream)
        writer.writerow([harmless_cell(name) for name in ("file", "label", "score", "sure", "error", *labels)])
        for row in rows:
            if row.result is None:
                writer.writerow([harmless_cell(row.file), "", "", "", harmless_cell(row.note), *("" for _ in labels)])
                continue
            best = row.result.labels[0]
            scores = {scored.label: f"{scored.score:.6f}" for scored in row.result.labels}
            head = [
                harmless_cell(row.file),
                harmless_cell(best.label),
                f"{best.score:.6f}",
                str(row.result.sure).lower(),
                "",
            ]
            writer.writerow(head + [scores.get(label, "") for label in labels])
    return path
