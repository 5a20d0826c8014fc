"""What a comparison comes to: the sentence, the examples that flipped, the object of ``compare --json``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmdemo.core import metrics
from mmdemo.data.read import Example
from mmdemo.evaluate.compare import Comparison, agreement, paired
from mmdemo.evaluate.report import make_report
from mmdemo.evaluate.run import Measurement
from mmdemo.evaluate.scores import Outcome, ask_outcome, caption_outcome, class_outcome, sentiment_outcome
from mmdemo.evaluate.verdict import FLIPPED_CAPTIONS, Verdict, judge

NAMES = ("cat", "dog", "owl")


def examples(labels: list[str]) -> list[Example]:
    return [Example(file=Path("data") / label / f"{i}.png", label=label) for i, label in enumerate(labels)]


def said(answers: list[str], labels: list[str], scores: list[float] | None = None) -> Outcome:
    table = np.full((len(answers), 3), 0.1)
    for row, answer in enumerate(answers):
        table[row, NAMES.index(answer)] = scores[row] if scores else 0.8
    served = (answers, [float(row.max()) for row in table])
    return class_outcome(table, labels, NAMES, served=served)


def judged(task: str, some: list[Example], first: Outcome, second: Outcome) -> Verdict:
    one, other = (Measurement(outcome=outcome, scored=some, notes=()) for outcome in (first, second))
    reports = [make_report(o, task=task, model=name, data="data") for o, name in ((first, "old"), (second, "new"))]
    assert first.rows is not None
    assert second.rows is not None
    return judge(
        Comparison(
            before=reports[0],
            after=reports[1],
            differences=paired(one, other),
            agreement=agreement(first.rows.answers, second.rows.answers),
            scored=some,
            outcomes=(first, second),
        )
    )


def test_a_model_compared_with_itself_differs_by_nothing() -> None:
    labels = ["cat", "dog", "owl"] * 10
    outcome = said(["cat"] * 30, labels)
    found = judged("classify", examples(labels), outcome, outcome)
    data = found.to_json()
    assert data["difference"] == {"metric": "top1", "value": 0, "low": 0, "high": 0, "p": 1}
    assert data["flipped"] == []
    assert found.sentence() == "A and B answer alike, n = 30."
    assert list(data)[:7] == ["task", "data", "n", "a", "b", "difference", "flipped"]


def test_the_better_one_is_named_with_its_interval() -> None:
    labels = ["cat", "dog"] * 20
    bad, good = said(["cat"] * 40, labels), said(labels, labels)
    found = judged("classify", examples(labels), bad, good)
    assert found.sentence().startswith("B is better by 50.0 points, 95 % interval ")
    assert found.sentence().endswith("n = 40.")
    assert found.difference.p < 0.01
    turned = judged("classify", examples(labels), good, bad)
    assert turned.sentence().startswith("A is better by 50.0 points")
    assert turned.points == pytest.approx(found.points, abs=1e-9)
    assert {row.right for row in found.flipped} == {"b"}
    assert len(found.flipped) == 20


def test_few_changes_show_no_difference_and_few_examples_are_said() -> None:
    labels = ["cat", "dog"] * 6
    found = judged("classify", examples(labels), said(["cat", "dog"] * 4 + ["cat"] * 4, labels), said(labels, labels))
    assert found.difference.value == pytest.approx(2 / 12)
    assert found.difference.low <= 0
    assert found.sentence().startswith("No difference can be shown: B is 16.7 points ahead")
    assert "n is small: 12 examples" in found.sentence()


def test_as_many_won_as_lost_is_no_likeness() -> None:
    labels = ["cat", "dog"] * 15
    one, other = list(labels), list(labels)
    one[0], other[1] = "dog", "cat"
    found = judged("classify", examples(labels), said(one, labels), said(other, labels))
    assert found.sentence().startswith("No difference can be shown: both reach the same")
    assert [row.right for row in found.flipped] == ["b", "a"] or [row.right for row in found.flipped] == ["a", "b"]


def test_flipped_examples_stand_first_the_surest_before() -> None:
    labels = ["cat"] * 3 + ["dog"] * 3
    first = said(["dog", "dog", "cat", "dog", "dog", "dog"], labels, [0.5, 0.9, 0.8, 0.8, 0.8, 0.8])
    found = judged("classify", examples(labels), first, said(labels, labels, [0.4, 0.4, 0.8, 0.8, 0.8, 0.8]))
    assert [row.file for row in found.rows[:2]] == ["cat/1.png", "cat/0.png"]
    row = found.flipped[0].to_json()
    assert row == {
        "file": "cat/1.png",
        "truth": "cat",
        "a": {"answer": "dog", "score": 0.9, "credit": 0},
        "b": {"answer": "cat", "score": 0.4, "credit": 1},
        "right": "b",
    }


def test_partial_credit_counts_who_has_more_of_it() -> None:
    humans = ("two",) * 2 + ("three",) * 8
    some = [
        Example(file=Path(f"{i}.png"), question="how many", answer="three", answers=humans, table=Path("q.jsonl"))
        for i in range(2)
    ]
    found = judged(
        "ask", some, ask_outcome(["two", "three"], some, [0.5, 0.5]), ask_outcome(["three", "three"], some, [0.5, 0.5])
    )
    (row,) = found.flipped
    assert (row.file, row.question, row.right) == ("0.png", "how many", "b")
    assert (row.a.credit, row.b.credit) == (pytest.approx(2 / 3), 1)


def test_captions_that_differ_most_are_listed() -> None:
    some = [
        Example(file=Path(f"{i}.png"), captions=(f"a thing called number {i} on grass",), table=Path("c.jsonl"))
        for i in range(60)
    ]
    right = [example.captions[0] for example in some]
    found = judged("caption", some, caption_outcome(["a cat sits here today"] * 60, some), caption_outcome(right, some))
    assert found.metric == "cider"
    assert len(found.flipped) == FLIPPED_CAPTIONS
    assert len(found.rows) == 60
    sizes = [abs(row.by) for row in found.flipped]
    assert sizes == sorted(sizes, reverse=True)


def test_headlines_are_sums_over_rows() -> None:
    random = np.random.default_rng(1)
    labels = [NAMES[i] for i in random.integers(0, 3, 40)] + list(NAMES)
    answers = [NAMES[i] for i in random.integers(0, 3, 43)]
    table = random.random((43, 3))
    for outcome in (said(answers, labels), sentiment_outcome(table / table.sum(axis=1)[:, None], NAMES, labels)):
        assert outcome.rows is not None
        figures = outcome.figures()
        assert outcome.rows.headline in outcome.rows.weights
        for name, weights in outcome.rows.weights.items():
            assert float(weights @ outcome.rows.credit) == pytest.approx(figures[name])


def test_reliability_is_what_the_calibration_error_adds_up() -> None:
    random = np.random.default_rng(2)
    sure, right = random.random(300), random.random(300) < 0.5
    means, hits, count = metrics.reliability(sure, right)
    assert count.sum() == 300
    assert np.nansum(np.abs(means - hits) * count) / 300 == pytest.approx(metrics.ece(sure, right))
    empty = metrics.reliability(np.array([0.99]), np.array([True]))
    assert np.isnan(empty[0][:-1]).all()
    assert empty[1][-1] == 1
