"""Metric functions over arrays, all with optional row weights so that a bootstrap can count rows several times.

Legend: ``N`` rows, ``K`` labels, ``w`` weights of shape (N,), non-negative, default 1 each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]

ECE_BINS = 15


def mean(values: Floats | Bools, weights: Floats | None = None) -> float:
    """Weighted mean of (N,) values; 0 where the weights sum to 0."""
    if weights is None:
        return float(np.mean(values)) if len(values) else 0.0
    total = float(weights.sum())
    return float(values @ weights) / total if total > 0 else 0.0


def vqa_accuracy(predicted: str, answers: Sequence[str]) -> float:
    """min(1, n / 3) with n the human answers equal to ``predicted``; both must be normalised beforehand.

    This is the plain form. The official evaluation (Antol et al. 2015) averages the same over the ten sets of nine
    annotators, which gives slightly lower figures.
    """
    return min(1.0, sum(answer == predicted for answer in answers) / 3)


def exact_accuracy(predicted: str, answer: str) -> float:
    """1 where the whole answers are equal, else 0; both must be normalised beforehand."""
    return float(predicted == answer)


def in_top(scores: Floats, target: Ints, k: int) -> Bools:
    """Whether the target is among the k highest scores, (N, K) and (N,) to (N,).

    Ties count against: a model that scores everything alike has nothing on top.
    """
    own = scores[np.arange(len(target)), target][:, None]
    return np.asarray((scores >= own).sum(axis=1) <= k)


def confusion(predicted: Ints, target: Ints, k: int, weights: Floats | None = None) -> NDArray[np.float64]:
    """Counts by (target, predicted), shape (K, K + 1); the last column holds predictions outside 0..K-1."""
    column = np.where((predicted >= 0) & (predicted < k), predicted, k)
    flat = target.astype(np.int64) * (k + 1) + column
    counted = None if weights is None else weights.astype(np.float64)
    counts: NDArray[np.float64] = np.zeros(k * (k + 1))
    counts += np.bincount(flat, weights=counted, minlength=k * (k + 1))
    return counts.reshape(k, k + 1)


def class_recalls(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Recall of each label from a confusion matrix, (K,); NaN where the label has no row."""
    rows = matrix.sum(axis=1)
    right = np.diagonal(matrix)
    recalls: NDArray[np.float64] = np.divide(right, rows, out=np.full(len(rows), np.nan), where=rows > 0)
    return recalls


def unweighted_accuracy(predicted: Ints, target: Ints, k: int, weights: Floats | None = None) -> float:
    """Mean recall over the labels that occur (UA, also called UAR or mean per-class accuracy)."""
    recalls = class_recalls(confusion(predicted, target, k, weights))
    known = recalls[~np.isnan(recalls)]
    return float(known.mean()) if len(known) else 0.0


def macro_f1(predicted: Ints, target: Ints, k: int, weights: Floats | None = None) -> float:
    """Mean F1 over the labels that occur."""
    matrix = confusion(predicted, target, k, weights)
    right = np.diagonal(matrix)
    both = matrix.sum(axis=1) + matrix[:, :k].sum(axis=0)
    occurs = matrix.sum(axis=1) > 0
    if not occurs.any():
        return 0.0
    f1 = np.divide(2 * right, both, out=np.zeros(k), where=both > 0)
    return float(f1[occurs].mean())


def ece(confidence: Floats, right: Floats | Bools, weights: Floats | None = None, *, bins: int = ECE_BINS) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over equal-width bins of [0, 1].

    ``right`` may be a share of agreement in [0, 1]. Guo et al. 2017, https://arxiv.org/abs/1706.04599.
    """
    w = np.ones(len(confidence)) if weights is None else weights
    total = float(w.sum())
    if total <= 0:
        return 0.0
    place = np.clip((np.asarray(confidence) * bins).astype(np.int64), 0, bins - 1)
    gap = np.bincount(place, weights=w * (np.asarray(confidence) - np.asarray(right)), minlength=bins)
    return float(np.abs(gap).sum() / total)


def reliability(
    confidence: Floats, right: Floats | Bools, *, bins: int = ECE_BINS
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """What :func:`ece` adds up: mean confidence, mean accuracy and count by bin, (bins,) each; NaN in empty bins."""
    sure, hit = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    place = np.clip((sure * bins).astype(np.int64), 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    empty = np.full(bins, np.nan)
    means = [
        np.divide(np.bincount(place, weights=values, minlength=bins), count, out=empty.copy(), where=count > 0)
        for values in (sure, hit)
    ]
    return means[0], means[1], count


def retrieval_ranks(similarity: Floats, owner: Ints) -> NDArray[np.int64]:
    """Rank from 0 of each text's own picture: similarity (texts, pictures), owner (texts,) to (texts,).

    Ties count against.
    """
    own = similarity[np.arange(len(owner)), owner][:, None]
    return np.asarray((similarity >= own).sum(axis=1) - 1, dtype=np.int64)


def most_frequent(values: Sequence[str]) -> tuple[str, float]:
    """The most frequent value (the first of several) and its share.

    Raises:
        ValueError: There are no values.
    """
    if not values:
        raise ValueError("no values")
    value, count = Counter(values).most_common(1)[0]
    return value, count / len(values)
