"""What a measurement says: figures with interval and baseline, as one JSON object or as a card's metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mmdemo.core.types import Json, Metric
from mmdemo.evaluate.scores import Outcome

DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """Figures of one part of the data."""

    n: int
    metrics: Mapping[str, float]

    def to_json(self) -> Json:
        return {"n": self.n, "metrics": _rounded(self.metrics)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One measurement.

    Attributes:
        task, model, data: What was measured, with what, on what.
        n: Rows that were scored.
        metrics, interval, baseline: Figures, 95 % bootstrap intervals and what a constant guess or chance reaches.
        by: Figures by value of a column; None where none was asked for.
        notes: How it was counted and what was left out, one sentence each.
        fingerprint: Of the data, for metrics.json.
    """

    task: str
    model: str
    data: str
    n: int
    metrics: Mapping[str, float]
    interval: Mapping[str, tuple[float, float]]
    baseline: Mapping[str, float]
    by: Mapping[str, MetricRow] | None = None
    notes: tuple[str, ...] = ()
    fingerprint: str = field(default="", repr=False)

    def to_json(self) -> Json:
        """The object that ``evaluate --json`` prints."""
        found: Json = {
            "task": self.task,
            "model": self.model,
            "data": self.data,
            "n": self.n,
            "metrics": _rounded(self.metrics),
            "interval": {
                name: [round(low, DIGITS), round(high, DIGITS)] for name, (low, high) in self.interval.items()
            },
            "baseline": _rounded(self.baseline),
        }
        if self.by is not None:
            found["by"] = {value: row.to_json() for value, row in self.by.items()}
        if self.notes:
            found["notes"] = list(self.notes)
        return found

    def to_metrics(self, name: str | None = None) -> tuple[Metric, ...]:
        """The figures as a card keeps them, in order; ``name`` replaces the data's name."""
        return tuple(
            Metric(name=metric, value=value, low=low, high=high, n=self.n, data=name or self.data)
            for metric, value in self.metrics.items()
            for low, high in [self.interval.get(metric, (value, value))]
        )


def make_report(
    outcome: Outcome,
    *,
    task: str,
    model: str,
    data: str,
    by: Sequence[str] | None = None,
    notes: Sequence[str] = (),
    fingerprint: str = "",
) -> Report:
    """Figures, intervals and baseline of an outcome.

    Args:
        by: A value for each row of the outcome; adds figures for each value.
        notes: Put before the outcome's own.
    """
    rows: dict[str, list[int]] = {}
    for number, value in enumerate(by if by is not None else ()):
        rows.setdefault(value, []).append(number)
    return Report(
        task=task,
        model=model,
        data=data,
        n=outcome.n,
        metrics=outcome.figures(),
        interval=outcome.intervals(),
        baseline=dict(outcome.baseline),
        by=None
        if by is None
        else {
            value: MetricRow(n=len(places), metrics=outcome.figures(places)) for value, places in sorted(rows.items())
        },
        notes=tuple(dict.fromkeys((*notes, *outcome.notes))),
        fingerprint=fingerprint,
    )


def _rounded(figures: Mapping[str, float]) -> Json:
    return {name: round(value, DIGITS) for name, value in figures.items()}
