"""Bootstrap intervals: cover, follow groups, repeat."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mmdemo.evaluate.intervals import bootstrap


def mean_of(values: NDArray[np.float64]) -> dict[str, float]:
    return {"mean": float(values.mean())}


def test_the_interval_is_that_of_the_binomial() -> None:
    values = np.array([1.0] * 300 + [0.0] * 100)
    low, high = bootstrap(lambda w: {"mean": float(values @ w / w.sum())}, list(range(400)))["mean"]
    error = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert low == pytest.approx(0.75 - error, abs=0.012)
    assert high == pytest.approx(0.75 + error, abs=0.012)


def test_rows_of_one_group_are_drawn_together() -> None:
    values = np.array(([1.0] * 10 + [0.0] * 10) * 20)
    groups = [row // 10 for row in range(400)]

    def statistic(w: NDArray[np.float64]) -> dict[str, float]:
        assert all(len(set(w[start : start + 10])) == 1 for start in range(0, 400, 10))
        return {"mean": float(values @ w / w.sum())}

    low, high = bootstrap(statistic, groups, rounds=200)["mean"]
    alone_low, alone_high = bootstrap(lambda w: {"mean": float(values @ w / w.sum())}, list(range(400)), rounds=200)[
        "mean"
    ]
    assert high - low > 2 * (alone_high - alone_low)


def test_the_seed_decides_and_nothing_gives_nothing() -> None:
    values = np.arange(50.0)
    statistic = lambda w: {"mean": float(values @ w / w.sum())}  # noqa: E731
    assert bootstrap(statistic, range(50)) == bootstrap(statistic, range(50))
    assert bootstrap(statistic, range(50), seed=1) != bootstrap(statistic, range(50))
    assert bootstrap(mean_of, []) == {}
