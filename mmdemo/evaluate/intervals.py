"""Bootstrap intervals: what would the figures have been on other data of the same kind?"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Statistic = Callable[[NDArray[np.float64]], Mapping[str, float]]
"""Figures under row weights of shape (N,)."""

ROUNDS = 1_000


def bootstrap(
    statistic: Statistic, groups: Sequence[Hashable], *, rounds: int = ROUNDS, seed: int = 0, level: float = 0.95
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of all figures at once, resampling whole groups.

    Rows of one picture (its questions, its captions) or of one speaker are no independent draws, so groups are drawn
    with replacement and a row's weight is how often its group was drawn. Where every row is a group of its own this is
    the ordinary bootstrap. The same seed gives the same intervals.

    Args:
        statistic: Called with weights; never with all of them 0.
        groups: The group of each row.

    Returns:
        Low and high by figure.
    """
    return {
        name: percentiles(values, level=level)
        for name, values in draws(statistic, groups, rounds=rounds, seed=seed).items()
    }


def draws(
    statistic: Statistic, groups: Sequence[Hashable], *, rounds: int = ROUNDS, seed: int = 0
) -> dict[str, NDArray[np.float64]]:
    """The figures in each round of :func:`bootstrap`, shape (rounds,) each; empty where there are no rows."""
    index = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    member = np.array([index[group] for group in groups], dtype=np.int64)
    count = len(index)
    if count == 0:
        return {}
    random = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {}
    for _ in range(rounds):
        times = np.bincount(random.integers(0, count, count), minlength=count).astype(np.float64)
        for name, value in statistic(times[member]).items():
            drawn.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in drawn.items()}


def percentiles(values: NDArray[np.float64], *, level: float = 0.95) -> tuple[float, float]:
    """The interval that holds the middle ``level`` of the values."""
    tail = (1 - level) / 2
    return float(np.quantile(values, tail)), float(np.quantile(values, 1 - tail))
