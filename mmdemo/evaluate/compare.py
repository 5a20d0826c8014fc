"""Two models on the same data: what each reaches, the paired difference, and how often they say the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import (
    AskResult,
    CaptionResult,
    Card,
    ClassifyResult,
    HeatMap,
    Json,
    Model,
    Request,
    Result,
    SentimentResult,
)
from mmdemo.data.read import Dataset, Example
from mmdemo.evaluate.intervals import draws, percentiles
from mmdemo.evaluate.report import DIGITS, Report, make_report
from mmdemo.evaluate.run import Measurement, Progress, measure
from mmdemo.evaluate.scores import Outcome
from mmdemo.evaluate.significance import Difference, bootstrap_p, careful, swap_p

__all__ = ["Comparison", "Difference", "agreement", "answer", "compare", "paired"]

_MOST = {"cider": 10.0}
"""Largest value of the figures that are no shares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One data set measured with both.

    Attributes:
        before, after: The two reports.
        differences: By figure, after minus before. Both models meet the same resampled data, so what makes the data
            hard or easy for both of them cancels out.
        agreement: Share of requests to which both gave the same answer; None where the data asks for none (retrieval).
        scored: The examples that were measured, one for each row of the outcomes.
        outcomes: What came out with each of the two.
    """

    before: Report
    after: Report
    differences: Mapping[str, Difference]
    agreement: float | None
    scored: Sequence[Example] = field(default=(), repr=False)
    outcomes: tuple[Outcome, Outcome] | None = field(default=None, repr=False)

    def to_json(self) -> Json:
        return {
            "data": self.after.data,
            "n": self.after.n,
            "before": {name: round(value, DIGITS) for name, value in self.before.metrics.items()},
            "after": {name: round(value, DIGITS) for name, value in self.after.metrics.items()},
            "interval": {
                name: [round(low, DIGITS), round(high, DIGITS)] for name, (low, high) in self.after.interval.items()
            },
            "difference": {
                name: [round(d.value, DIGITS), round(d.low, DIGITS), round(d.high, DIGITS)]
                for name, d in self.differences.items()
            },
            "agreement": None if self.agreement is None else round(self.agreement, DIGITS),
        }


def compare(
    task: str,
    before: Model,
    after: Model,
    dataset: Dataset,
    *,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Measure two models of one task on the same data.

    Each batch is put to both before the next is read: what two models share (the picture trunk) works once for both.

    Args:
        limit: Measure only so many examples, spread evenly over the data.
        progress: Called with examples done and in all.

    Raises:
        MmdemoError: Nothing in the data can be measured.
    """
    both = _Both(before, after)
    one = measure(task, both, dataset, limit=limit, progress=progress)
    recalled = _Recalled(after, both.others)
    other = measure(task, recalled, dataset, limit=limit, progress=None if both.others else progress)
    return Comparison(
        before=_report(task, before, dataset, one),
        after=_report(task, after, dataset, other),
        differences=paired(one, other),
        agreement=agreement([answer(result) for result in both.own], [answer(result) for result in both.others]),
        scored=one.scored,
        outcomes=(one.outcome, other.outcome),
    )


def paired(before: Measurement, after: Measurement) -> dict[str, Difference]:
    """Differences of the figures that both have, with intervals and p-values from draws that both share.

    Figures that are sums over rows are put to the randomisation test too (see :mod:`mmdemo.evaluate.significance`).
    """
    if [id(example) for example in before.scored] != [id(example) for example in after.scored]:
        raise MmdemoError("The two models cannot be compared", "they did not answer the same examples")
    first, second = before.outcome, after.outcome

    def change(weights: NDArray[np.float64]) -> dict[str, float]:
        old, new = first.statistic(weights), second.statistic(weights)
        return {name: value - old[name] for name, value in new.items() if name in old}

    values = change(np.ones(second.n))
    drawn = draws(change, second.groups)
    p = {name: bootstrap_p(drawn[name]) for name in values}
    if first.rows is not None and second.rows is not None:
        change_of_rows = second.rows.credit - first.rows.credit
        for name, weights in second.rows.weights.items():
            p[name] = max(p[name], swap_p(weights * change_of_rows, second.groups))
    return {
        name: careful(value, percentiles(drawn[name]), p[name], most=_MOST.get(name, 1.0))
        for name, value in values.items()
    }


def agreement(one: Sequence[str], other: Sequence[str]) -> float | None:
    """Share of equal answers; None where there are none."""
    return float(np.mean([a == b for a, b in zip(one, other, strict=True)])) if one else None


def answer(result: Result) -> str:
    """The one answer that people see of a result."""
    match result:
        case AskResult():
            return result.answer
        case ClassifyResult():
            return result.labels[0].label
        case CaptionResult():
            return result.caption
        case SentimentResult():
            return result.emotion


def _report(task: str, model: Model, dataset: Dataset, measured: Measurement) -> Report:
    return make_report(
        measured.outcome,
        task=task,
        model=model.card.id,
        data=dataset.name,
        notes=measured.notes,
        fingerprint=dataset.fingerprint,
    )


class _Wrapped:
    """A model that is asked by measuring, which looks for more than predicting in some."""

    def __init__(self, model: Model) -> None:
        self._model = model
        for name in ("encode_pictures", "encode_texts"):
            if hasattr(model, name):
                setattr(self, name, getattr(model, name))

    @property
    def card(self) -> Card:
        return self._model.card

    def predict(self, requests: Sequence[Request]) -> list[Result]:
        return self._model.predict(requests)

    def stream(self, request: Request) -> Iterator[Result]:
        return self._model.stream(request)

    def explain(self, request: Request, result: Result) -> tuple[HeatMap, ...]:
        return self._model.explain(request, result)

    def held(self) -> Mapping[int, int]:
        return self._model.held()

    def release(self) -> None:
        self._model.release()


class _Both(_Wrapped):
    """Answers as one model, asks another the same, and writes down what either says."""

    def __init__(self, model: Model, other: Model) -> None:
        super().__init__(model)
        self._other = other
        self.own: list[Result] = []
        self.others: list[Result] = []

    def predict(self, requests: Sequence[Request]) -> list[Result]:
        results = super().predict(requests)
        self.own += results
        self.others += self._other.predict(requests)
        return results


class _Recalled(_Wrapped):
    """Gives the answers that a model gave before, when it is asked the same in the same order."""

    def __init__(self, model: Model, results: Sequence[Result]) -> None:
        super().__init__(model)
        self._results = iter(results)

    def predict(self, requests: Sequence[Request]) -> list[Result]:
        return [next(self._results) for _ in requests]
