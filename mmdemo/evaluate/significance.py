"""Could chance alone have made one of two models look better on the same data? Paired tests and their intervals.

The p-value is that of a paired randomisation test: if the models were alike, swapping their outcomes on any example
would change nothing, so every pattern of swaps is as likely as the one that was seen (Noreen 1989, "Computer-Intensive
Methods for Testing Hypotheses"; Riezler and Maxwell 2005, https://aclanthology.org/W05-0908). Where outcomes are right
or wrong it is McNemar's exact test (1947). All headline figures here are sums over examples, the mean recall and CIDEr
(whose word frequencies come from the references alone) too, so one test serves all. Other figures get the two-sided
p-value of the paired bootstrap (Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 15; Koehn 2004,
https://aclanthology.org/W04-3250).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVEL = 0.05
"""A difference is called one where its p-value is below this, and then its 95 % interval holds no 0."""

EXACT = 14
"""Groups that differ up to which all patterns of swaps are counted instead of drawn."""

SWAPS = 20_000
"""Patterns of swaps that are drawn where there are more."""

_CHUNK = 1_000
_NEAR = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """By how much a figure changed, with its 95 % interval and two-sided p-value."""

    value: float
    low: float
    high: float
    p: float = 1.0

    @property
    def shown(self) -> bool:
        """Whether chance alone is a poor explanation."""
        return self.p < LEVEL


def swap_p(changes: Floats, groups: Sequence[Hashable], *, seed: int = 0) -> float:
    """Two-sided p-value of the paired randomisation test that the sum of changes is 0.

    Args:
        changes: What each row adds to the difference, shape (N,).
        groups: Rows of one group (the questions about one picture) are swapped together.
        seed: For the patterns that are drawn, where there are too many to count.
    """
    index = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    member = np.array([index[group] for group in groups], dtype=np.int64)
    sums = np.bincount(member, weights=changes, minlength=len(index)) if len(member) else np.zeros(0)
    sums = sums[np.abs(sums) > _NEAR * max(1.0, float(np.abs(changes).max(initial=0.0)))]
    if not len(sums):
        return 1.0
    sizes = np.abs(sums)
    if np.allclose(sizes, sizes[0], rtol=1e-6):
        return exact_sign_p(int((sums > 0).sum()), int((sums < 0).sum()))
    seen = abs(float(sums.sum())) * (1 - _NEAR)
    if len(sizes) <= EXACT:
        signs = 1 - 2.0 * ((np.arange(2 ** len(sizes))[:, None] >> np.arange(len(sizes))) & 1)  # (2^G, G)
        return float((np.abs(signs @ sizes) >= seen).mean())
    random, hits = np.random.default_rng(seed), 0
    for _ in range(SWAPS // _CHUNK):
        signs = random.choice((-1.0, 1.0), size=(_CHUNK, len(sizes)))
        hits += int((np.abs(signs @ sizes) >= seen).sum())
    # what was seen is one of the patterns: no p-value of 0 (Phipson and Smyth 2010, https://doi.org/10.2202/1544-6115.1585)
    return (hits + 1) / (SWAPS + 1)


def exact_sign_p(better: int, worse: int) -> float:
    """McNemar's exact test: two-sided binomial p-value of so many examples won and lost."""
    n = better + worse
    tail = ways = 1  # each binomial coefficient from the one before: thousands of examples take no time
    for k in range(min(better, worse)):
        ways = ways * (n - k) // (k + 1)
        tail += ways
    return float(min(1.0, 2 * tail / (1 << n)))


def bootstrap_p(drawn: Floats) -> float:
    """Two-sided p-value of bootstrap differences, shape (R,): twice the share on the wrong side of 0, never 0."""
    if not len(drawn):
        return 1.0
    wrong = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return min(1.0, 2 * max(wrong, 0.5) / len(drawn))


def careful(value: float, interval: tuple[float, float], p: float, *, most: float = math.inf) -> Difference:
    """Interval and p-value that say the same of 0, each the more careful of two.

    The bootstrap is too sure of a few changes: four won and none lost exclude 0, where McNemar's test gives 0.125. Then
    the interval that follows from the p-value takes its place (Altman and Bland 2011,
    https://doi.org/10.1136/bmj.d2090). The other way round the p-value gives way.

    Args:
        value: The difference.
        interval: Its bootstrap interval.
        p: Of the test.
        most: Largest difference that the figure can have.
    """
    low, high = interval
    if low <= 0 <= high:
        return Difference(value=value, low=low, high=high, p=max(p, LEVEL))
    if p >= LEVEL:
        z = NormalDist().inv_cdf(1 - min(p, 1.0) / 2)
        reach = abs(value) * NormalDist().inv_cdf(1 - LEVEL / 2) / z if z > 0 else math.inf
        low, high = min(low, value - reach), max(high, value + reach)
    return Difference(value=value, low=max(low, -most), high=min(high, most), p=p)
