"""Two models on the same data: what each reaches, the paired difference, and how often they say the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

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
from mmdemo.data.read import Dataset
from mmdemo.evaluate.intervals import bootstrap
from mmdemo.evaluate.report import DIGITS, Report, make_report
from mmdemo.evaluate.run import Measurement, Progress, measure


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """By how much a figure changed, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One data set measured with both.

    Attributes:
        before, after: The two reports.
        differences: By figure, after minus before. Both models meet the same resampled data, so what makes the data
            hard or easy for both of them cancels out.
        agreement: Share of requests to which both gave the same answer; None where the data asks for none (retrieval).
    """

    before: Report
    after: Report
    differences: Mapping[str, Difference]
    agreement: float | None

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

    Args:
        limit: Measure only so many examples, spread evenly over the data.

    Raises:
        MmdemoError: Nothing in the data can be measured.
    """
    listened = _Listener(before), _Listener(after)
    one, other = (measure(task, model, dataset, limit=limit, progress=progress) for model in listened)
    return Comparison(
        before=_report(task, before, dataset, one),
        after=_report(task, after, dataset, other),
        differences=paired(one, other),
        agreement=agreement(listened[0].said, listened[1].said),
    )


def paired(before: Measurement, after: Measurement) -> dict[str, Difference]:
    """Differences of the figures that both have, with intervals from draws that both share."""
    if [id(example) for example in before.scored] != [id(example) for example in after.scored]:
        raise MmdemoError("The two models cannot be compared", "they did not answer the same examples")
    first, second = before.outcome, after.outcome

    def change(weights: NDArray[np.float64]) -> dict[str, float]:
        old, new = first.statistic(weights), second.statistic(weights)
        return {name: value - old[name] for name, value in new.items() if name in old}

    values = change(np.ones(second.n))
    spread = bootstrap(change, second.groups)
    return {
        name: Difference(value=value, low=low, high=high)
        for name, value in values.items()
        for low, high in [spread[name]]
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


class _Listener:
    """A model whose answers are written down as it gives them."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.said: list[str] = []
        for name in ("encode_pictures", "encode_texts"):  # only some models have them, and measuring asks for them
            if hasattr(model, name):
                setattr(self, name, getattr(model, name))

    @property
    def card(self) -> Card:
        return self._model.card

    def predict(self, requests: Sequence[Request]) -> list[Result]:
        results = self._model.predict(requests)
        self.said += [answer(result) for result in results]
        return results

    def stream(self, request: Request) -> Iterator[Result]:
        return self._model.stream(request)

    def explain(self, request: Request, result: Result) -> tuple[HeatMap, ...]:
        return self._model.explain(request, result)

    def release(self) -> None:
        self._model.release()
