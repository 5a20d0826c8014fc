"""Result files: ``--out results.csv`` and ``--out results.jsonl``, written line by line as answers come."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TextIO

from mmdemo.cli.terminal import headline
from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import CAPTION, CLASSIFY, spec_of
from mmdemo.core.types import (
    NONE_OF_THESE,
    AskResult,
    CaptionResult,
    ClassifyResult,
    Json,
    Result,
    Scored,
    SentimentResult,
)
from mmdemo.core.writing import harmless_cell, json_text

Cell = str | float | bool


def record(name: str, outcome: Result | str) -> Json:
    """The JSON object of one input: the result's own, or ``file`` and ``error``."""
    if isinstance(outcome, str):
        return {"file": name, "error": outcome}
    return {**outcome.to_json(), "file": name}


def json_line(data: Json) -> str:
    """One object on one line, with every script as it is."""
    return json_text(data)


class Results(Protocol):
    """A file of results."""

    def write(self, name: str, outcome: Result | str) -> None:
        """Add one input's line."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class _LineByLine:
    """Opens the file and flushes each line, so that an interrupted run leaves what it had."""

    def __init__(self, path: Path) -> None:
        try:
            self._file: TextIO = path.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise MmdemoError(f"{path} cannot be written", _reason(error), "Name another file") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


class JsonLinesFile(_LineByLine):
    """The objects of ``--json``, one a line."""

    def write(self, name: str, outcome: Result | str) -> None:
        self._file.write(json_line(record(name, outcome)) + "\n")
        self._file.flush()


class CsvFile(_LineByLine):
    """One row per input; text that a spreadsheet would run as a formula gets a leading apostrophe."""

    def __init__(self, path: Path, *, task: str, labels: Sequence[str] = (), captions: int = 1) -> None:
        super().__init__(path)
        self._labels = (*labels, NONE_OF_THESE) if task == CLASSIFY else ()
        self._further = [f"caption_{number}" for number in range(2, captions + 1)] if task == CAPTION else []
        own = [*spec_of(task).csv_columns, *(f"p({label})" for label in self._labels), *self._further]
        self._columns = ["file", *own, "model", "seconds", "error"]
        self._writer = csv.writer(self._file)
        self._writer.writerow([_harmless(column) for column in self._columns])
        self._file.flush()

    def write(self, name: str, outcome: Result | str) -> None:
        cells: dict[str, Cell] = {"file": name}
        if isinstance(outcome, str):
            cells["error"] = outcome
        else:
            cells |= self._cells(outcome)
        self._writer.writerow([_harmless(cells.get(column, "")) for column in self._columns])
        self._file.flush()

    def _cells(self, result: Result) -> dict[str, Cell]:
        best = headline(result)
        cells: dict[str, Cell] = {
            "score": round(best.score, 6),
            "sure": result.sure,
            "model": result.model,
            "seconds": round(result.seconds, 4),
        }
        if isinstance(result, AskResult):
            cells |= {"question": result.question, "answer": best.label, "alternatives": _listed(result.alternatives)}
        elif isinstance(result, ClassifyResult):
            cells["label"] = best.label
            cells |= {f"p({item.label})": round(item.score, 6) for item in result.labels}
        elif isinstance(result, CaptionResult):
            cells[CAPTION] = best.label
            cells |= {column: item.label for column, item in zip(self._further, result.alternatives, strict=False)}
        else:
            cells |= _sentiment_cells(result)
        return cells


def _sentiment_cells(result: SentimentResult) -> dict[str, Cell]:
    cells: dict[str, Cell] = {name: round(value, 6) for name, value in result.sentiment.items()}
    cells["emotion"] = result.emotion
    cells["scores"] = _listed(result.scores)
    cells["segments"] = "; ".join(f"{part.start:.1f}-{part.end:.1f}={part.emotion}" for part in result.segments)
    cells["words"] = result.words
    return cells


def check_results_path(path: Path | None) -> None:
    """Refuse a results file whose ending or folder cannot work, before any model is loaded.

    Raises:
        MmdemoError: Neither .csv nor .jsonl, or the folder is missing.
    """
    if path is None:
        return
    if path.suffix.lower() not in (".csv", ".jsonl"):
        ending = f"its ending is “{path.suffix}”" if path.suffix else "it has no ending"
        raise MmdemoError(f"Results cannot be written to {path}", ending, "Name a .csv or a .jsonl file")
    if not path.parent.is_dir():
        raise MmdemoError(f"Results cannot be written to {path}", "its folder does not exist", "Make the folder first")


def open_results(path: Path, *, task: str, labels: Sequence[str] = (), captions: int = 1) -> Results:
    """Open the file that ``--out`` names (see :func:`check_results_path`).

    Args:
        path: Ends in .csv or .jsonl; an existing file is replaced.
        task: One of :data:`~mmdemo.core.types.TASKS`.
        labels: Classify's labels, a column each.
        captions: Caption's number of captions in all.
    """
    if path.suffix.lower() == ".csv":
        return CsvFile(path, task=task, labels=labels, captions=captions)
    return JsonLinesFile(path)


def _listed(items: Sequence[Scored]) -> str:
    return "; ".join(f"{item.label}={item.score:.4f}" for item in items)


def _harmless(cell: Cell) -> Cell:
    return harmless_cell(cell) if isinstance(cell, str) else cell


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
