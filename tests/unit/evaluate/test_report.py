"""The object that is printed, and the figures that a card keeps."""

from __future__ import annotations

import numpy as np
import pytest

from mmdemo.evaluate.report import make_report
from mmdemo.evaluate.scores import class_outcome


def test_make_report() -> None:
    outcome = class_outcome(np.eye(2)[[0, 1, 0, 0]], ["a", "b", "a", "b"], ["a", "b"])
    report = make_report(outcome, task="classify", model="m", data="d", by=["x", "y", "x", "y"], notes=["first"])
    assert report.metrics["top1"] == 0.75
    assert report.by is not None
    assert {value: row.metrics["top1"] for value, row in report.by.items()} == {"x": 1.0, "y": 0.5}
    assert report.notes[0] == "first"
    metric = report.to_metrics("better name")[0]
    assert (metric.name, metric.value, metric.n, metric.data) == ("top1", 0.75, 4, "better name")
    assert metric.low < 0.75 <= metric.high


def test_without_by_and_notes_the_object_has_the_seven_keys() -> None:
    outcome = class_outcome(np.eye(2), ["a", "b"], ["a", "b"])
    found = make_report(outcome, task="classify", model="m", data="d").to_json()
    assert list(found) == ["task", "model", "data", "n", "metrics", "interval", "baseline"]
    assert found["metrics"] == pytest.approx({"top1": 1.0, "top5": 1.0, "mean_class": 1.0})
