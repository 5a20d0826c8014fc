"""Metric functions against figures worked out by hand, and weights against repeated rows."""

from __future__ import annotations

import numpy as np
import pytest

from mmdemo.core import metrics


def test_mean_with_and_without_weights() -> None:
    values = np.array([1.0, 0.0, 0.0, 1.0])
    assert metrics.mean(values) == 0.5
    assert metrics.mean(values, np.array([3.0, 1.0, 0.0, 0.0])) == 0.75
    assert metrics.mean(values, np.zeros(4)) == 0.0
    assert metrics.mean(np.array([])) == 0.0


@pytest.mark.parametrize(("count", "wanted"), [(0, 0.0), (1, 1 / 3), (2, 2 / 3), (3, 1.0), (10, 1.0)])
def test_vqa_accuracy_counts_to_three(count: int, wanted: float) -> None:
    assert metrics.vqa_accuracy("dog", ["dog"] * count + ["cat"] * (10 - count)) == pytest.approx(wanted)


def test_in_top_counts_ties_against() -> None:
    scores = np.array([[0.7, 0.2, 0.1], [0.5, 0.5, 0.0], [0.1, 0.2, 0.7]])
    target = np.array([0, 0, 1])
    assert metrics.in_top(scores, target, 1).tolist() == [True, False, False]
    assert metrics.in_top(scores, target, 2).tolist() == [True, True, True]


def test_confusion_keeps_what_is_no_label_apart() -> None:
    matrix = metrics.confusion(np.array([0, 1, -1, 5]), np.array([0, 0, 1, 1]), 2)
    assert matrix.tolist() == [[1, 1, 0], [0, 0, 2]]


def test_unweighted_accuracy_is_the_mean_recall_of_labels_that_occur() -> None:
    target = np.array([0, 0, 0, 0, 1, 1])
    predicted = np.array([0, 0, 0, 1, 1, 0])
    assert metrics.unweighted_accuracy(predicted, target, 3) == pytest.approx((0.75 + 0.5) / 2)


def test_macro_f1_by_hand() -> None:
    target = np.array([0, 0, 1, 1])
    predicted = np.array([0, 1, 1, 1])
    # label 0: precision 1, recall 1/2; label 1: precision 2/3, recall 1
    assert metrics.macro_f1(predicted, target, 2) == pytest.approx((2 / 3 + 0.8) / 2)


def test_macro_f1_of_answers_outside_the_labels() -> None:
    assert metrics.macro_f1(np.array([-1, -1]), np.array([0, 1]), 2) == 0.0


def test_ece_of_a_perfectly_calibrated_and_of_an_overconfident_model() -> None:
    confidence = np.full(10, 0.7)
    right = np.array([1.0] * 7 + [0.0] * 3)
    assert metrics.ece(confidence, right) == pytest.approx(0.0)
    assert metrics.ece(np.ones(10), right) == pytest.approx(0.3)


def test_ece_does_not_cancel_between_bins() -> None:
    confidence = np.array([0.99, 0.99, 0.01, 0.01])
    right = np.array([0.0, 0.0, 1.0, 1.0])
    assert metrics.ece(confidence, right) == pytest.approx(0.99)


def test_ece_puts_one_into_the_last_bin() -> None:
    assert metrics.ece(np.array([1.0]), np.array([1.0])) == 0.0


@pytest.mark.parametrize("name", ["unweighted_accuracy", "macro_f1", "ece", "mean"])
def test_a_weight_of_two_is_a_repeated_row(name: str) -> None:
    random = np.random.default_rng(3)
    target, predicted = random.integers(0, 3, 40), random.integers(0, 3, 40)
    confidence = random.random(40)
    times = random.integers(0, 4, 40)
    again = np.repeat(np.arange(40), times)
    weights = times.astype(float)
    if name == "ece":
        right = (target == predicted).astype(float)
        got, wanted = metrics.ece(confidence, right, weights), metrics.ece(confidence[again], right[again])
        unweighted = metrics.ece(confidence, right)
    elif name == "mean":
        got, wanted = metrics.mean(confidence, weights), metrics.mean(confidence[again])
        unweighted = metrics.mean(confidence)
    else:
        measure = getattr(metrics, name)
        got, wanted = measure(predicted, target, 3, weights), measure(predicted[again], target[again], 3)
        unweighted = measure(predicted, target, 3)
    assert got == pytest.approx(wanted)
    assert got != pytest.approx(unweighted)


def test_retrieval_ranks_and_ties() -> None:
    similarity = np.array([[0.9, 0.1, 0.0], [0.9, 0.5, 0.1], [0.3, 0.3, 0.3]])
    assert metrics.retrieval_ranks(similarity, np.array([0, 1, 2])).tolist() == [0, 1, 2]


def test_most_frequent_takes_the_first_of_equals() -> None:
    assert metrics.most_frequent(["b", "a", "a", "b"]) == ("b", 0.5)
    with pytest.raises(ValueError, match="no values"):
        metrics.most_frequent([])
