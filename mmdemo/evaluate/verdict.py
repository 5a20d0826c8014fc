"""What a comparison comes to: one sentence, and the examples that one model got right and the other wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import Json
from mmdemo.data.read import Example
from mmdemo.evaluate.compare import Comparison
from mmdemo.evaluate.report import DIGITS, Report
from mmdemo.evaluate.scores import Rows
from mmdemo.evaluate.significance import Difference

FEW = 20
"""Examples below which the sentence says that there are few."""

FLIPPED_CAPTIONS = 50
"""Captions that are listed: nearly all differ by something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What one model answered: the probability it gave the answer, and what the answer is worth (0 to 1; or CIDEr)."""

    answer: str
    score: float
    credit: float

    def to_json(self) -> Json:
        return {
            "answer": self.answer,
            "score": round(self.score, DIGITS),
            "credit": round(self.credit, DIGITS),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedExample:
    """One example with both answers.

    Attributes:
        file: The file's name, with its folder where that is a label's; ``path`` is where it lies.
        by: Credit of B minus that of A.
    """

    file: str
    path: Path | None
    question: str
    truth: str
    a: Prediction
    b: Prediction

    @property
    def by(self) -> float:
        return self.b.credit - self.a.credit

    @property
    def right(self) -> Literal["a", "b", "both", "neither"]:
        """Who is (more) right; where both are worth the same, whether that is anything."""
        if self.by:
            return "b" if self.by > 0 else "a"
        return "both" if self.b.credit > 0 else "neither"

    def to_json(self) -> Json:
        data: Json = {"file": self.file}
        if self.question:
            data["question"] = self.question
        return {**data, "truth": self.truth, "a": self.a.to_json(), "b": self.b.to_json(), "right": self.right}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome of a comparison of A with B.

    Attributes:
        metric: The headline figure.
        difference: B minus A.
        rows: All examples, the largest difference first; of equals the one with the surer answers.
        comparison: What it was made from; its notes are completed by ``notes``.
    """

    comparison: Comparison
    metric: str
    difference: Difference
    rows: tuple[ComparedExample, ...]
    notes: tuple[str, ...] = ()

    @property
    def a(self) -> Report:
        return self.comparison.before

    @property
    def b(self) -> Report:
        return self.comparison.after

    @property
    def n(self) -> int:
        return self.b.n

    @property
    def outcome(self) -> Literal["alike", "better", "unclear"]:
        """Both say the same of everything; one is better; or no difference can be shown."""
        if self.difference.shown:
            return "better"
        return "alike" if self.comparison.agreement == 1 and not self.difference.value else "unclear"

    @property
    def winner(self) -> Literal["A", "B"]:
        """Whose figure is higher."""
        return "B" if self.difference.value >= 0 else "A"

    @property
    def points(self) -> tuple[float, float, float]:
        """By how many hundredths the winner is ahead, and the interval of that."""
        d = self.difference
        low, high = (d.low, d.high) if d.value >= 0 else (-d.high, -d.low)
        return 100 * abs(d.value), 100 * low, 100 * high

    @property
    def few(self) -> bool:
        return self.n < FEW

    @cached_property
    def flipped(self) -> tuple[ComparedExample, ...]:
        """Examples where one is right and the other wrong; of captions those whose CIDEr differs most."""
        found = tuple(row for row in self.rows if row.by)
        return found[:FLIPPED_CAPTIONS] if self.metric == "cider" else found

    def sentence(self) -> str:
        """In plain English; the page has it in other languages too."""
        value, low, high = self.points
        small = f" n is small: {self.n} examples say little." if self.few else ""
        interval = f"95 % interval {low:.1f} to {high:.1f}, n = {self.n}"
        if self.outcome == "better":
            return f"{self.winner} is better by {value:.1f} points, {interval}.{small}"
        if self.outcome == "alike":
            return f"A and B answer alike, n = {self.n}.{small}"
        if not self.difference.value:
            return f"No difference can be shown: both reach the same, {interval}.{small}"
        return f"No difference can be shown: {self.winner} is {value:.1f} points ahead, {interval}.{small}"

    def to_json(self) -> Json:
        """The object that ``compare --json`` prints."""
        data: Json = {
            "task": self.b.task,
            "data": self.b.data,
            "n": self.n,
            "a": _side(self.a),
            "b": _side(self.b),
            "difference": {"metric": self.metric, **_json(self.difference)},
            "flipped": [row.to_json() for row in self.flipped],
            "sentence": self.sentence(),
            "differences": {name: _json(found) for name, found in self.comparison.differences.items()},
        }
        if self.comparison.agreement is not None:
            data["agreement"] = round(self.comparison.agreement, DIGITS)
        if self.all_notes():
            data["notes"] = list(self.all_notes())
        return data

    def all_notes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.notes, *self.a.notes, *self.b.notes)))


def judge(comparison: Comparison, *, notes: Sequence[str] = ()) -> Verdict:
    """Make the verdict of a comparison.

    Args:
        notes: What people should know of the comparison besides, put before the reports' own notes.

    Raises:
        MmdemoError: The comparison has no rows to speak of.
    """
    if comparison.outcomes is None:
        raise MmdemoError("Nothing can be said of single examples", "the comparison kept none")
    first, second = (outcome.rows for outcome in comparison.outcomes)
    if first is None or second is None:
        raise MmdemoError("Nothing can be said of single examples", "the measurement kept none")
    asked = [example.question for example in comparison.scored]
    if second.headline == "r1":  # a row for each caption, which is what is searched with
        pictures = {id(example): example for example in comparison.scored}
        asked = [text for example in pictures.values() for text in example.captions]
    rows = [_row(example, first, second, place, asked[place]) for place, example in enumerate(comparison.scored)]
    rows.sort(key=lambda row: (-abs(row.by), -max(row.a.score, row.b.score)))
    metric = second.headline
    return Verdict(
        comparison=comparison,
        metric=metric,
        difference=comparison.differences[metric],
        rows=tuple(rows),
        notes=tuple(notes),
    )


def with_notes(verdict: Verdict, notes: Sequence[str]) -> Verdict:
    """The same with more notes."""
    return replace(verdict, notes=(*verdict.notes, *notes))


def shown_file(example: Example) -> str:
    """A file as people find it: in class folders with the folder, which is its label."""
    if example.file is None:
        return ""
    return example.file.name if example.table is not None else f"{example.file.parent.name}/{example.file.name}"


def _row(example: Example, first: Rows, second: Rows, place: int, question: str) -> ComparedExample:
    a, b = (
        Prediction(answer=rows.answers[place], score=float(rows.scores[place]), credit=float(rows.credit[place]))
        for rows in (first, second)
    )
    return ComparedExample(
        file=shown_file(example), path=example.file, question=question, truth=second.truth[place], a=a, b=b
    )


def _side(report: Report) -> Json:
    found = report.to_json()
    return {key: found[key] for key in ("model", "metrics", "interval")}


def _json(found: Difference) -> Json:
    return {
        "value": round(found.value, DIGITS),
        "low": round(found.low, DIGITS),
        "high": round(found.high, DIGITS),
        "p": round(found.p, DIGITS),
    }
