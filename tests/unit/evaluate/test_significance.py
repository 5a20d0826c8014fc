"""Paired tests: exact where they can be, and never at odds with the interval beside them."""

from __future__ import annotations

import itertools
import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdemo.evaluate.intervals import draws, percentiles
from mmdemo.evaluate.significance import LEVEL, bootstrap_p, careful, exact_sign_p, swap_p


def test_mcnemar_is_the_binomial() -> None:
    assert exact_sign_p(4, 0) == 0.125
    assert exact_sign_p(6, 0) == 2 / 64
    assert exact_sign_p(0, 0) == 1
    assert exact_sign_p(3, 3) == 1
    assert exact_sign_p(8, 1) == pytest.approx(2 * 10 / 512)
    for better in range(12):
        assert exact_sign_p(better, 7) == min(
            1, 2 * sum(math.comb(better + 7, k) for k in range(min(better, 7) + 1)) / 2 ** (better + 7)
        )
    assert exact_sign_p(20_200, 19_800) == pytest.approx(0.046, abs=1e-3)  # (400 - 1) / 200 standard deviations


def test_changes_of_one_size_are_mcnemars() -> None:
    changes = np.array([1, 1, 1, 1, 1, 1, -1, 0, 0, 0]) / 10
    assert swap_p(changes, range(10)) == exact_sign_p(6, 1)


def test_few_changes_are_counted_one_by_one() -> None:
    changes = np.array([0.5, 0.3, -0.1, 0.7, 0.0])
    sums = [
        sum(s * abs(c) for s, c in zip(signs, changes, strict=True)) for signs in itertools.product((1, -1), repeat=5)
    ]
    seen = abs(changes.sum())
    assert swap_p(changes, range(5)) == pytest.approx(np.mean([abs(total) >= seen - 1e-9 for total in sums]))


def test_many_changes_are_drawn_and_agree_with_the_normal_law() -> None:
    random = np.random.default_rng(3)
    changes = random.normal(0.02, 0.1, 200)
    normal = 2 * NormalDist().cdf(-abs(changes.sum()) / np.sqrt((changes**2).sum()))
    found = swap_p(changes, range(200))
    assert found == swap_p(changes, range(200))  # the same seed
    assert abs(found - normal) < 0.02
    assert swap_p(np.full(200, 0.1) + random.normal(0, 1e-3, 200), range(200)) < 1e-3


def test_rows_of_one_group_are_swapped_together() -> None:
    changes = np.full(8, 0.1)
    assert swap_p(changes, range(8)) == exact_sign_p(8, 0)
    assert swap_p(changes, [0, 0, 0, 0, 1, 1, 1, 1]) == exact_sign_p(2, 0)


def test_nothing_changed() -> None:
    assert swap_p(np.zeros(5), range(5)) == 1
    assert bootstrap_p(np.zeros(1000)) == 1
    assert bootstrap_p(np.ones(1000)) == pytest.approx(0.001)


def test_four_wins_are_no_proof() -> None:
    found = careful(0.04, (0.01, 0.08), exact_sign_p(4, 0), most=1)
    assert not found.shown
    assert found.low < 0 < 0.08 < found.high


@given(
    value=st.floats(-1, 1),
    spread=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    p=st.floats(1e-6, 1),
)
def test_interval_and_p_value_agree(value: float, spread: tuple[float, float], p: float) -> None:
    found = careful(value, (value - spread[0], value + spread[1]), p)
    assert found.low <= value <= found.high
    assert found.shown == (found.low > 0 or found.high < 0)
    assert found.p >= p
    assert found.shown == (found.p < LEVEL)


@pytest.mark.parametrize("rows", [1, 5])
def test_where_nothing_differs_few_differences_are_found(rows: int) -> None:
    """At most one in twenty, whether rows stand alone or five of them are about one picture."""
    random, found, covered, rounds = np.random.default_rng(5), 0, 0, 200
    for _ in range(rounds):
        groups = np.repeat(np.arange(60 // rows), rows)
        side = random.choice((-1.0, 1.0), 60 // rows)[groups]  # rows of a picture flip together
        changes = np.where(random.random(60) < 0.5, side, 0.0) / 60

        def change(weights: np.ndarray, changes: np.ndarray = changes) -> dict[str, float]:
            return {"top1": float(60 * changes @ weights / weights.sum())}

        drawn = draws(change, groups.tolist(), rounds=200)["top1"]
        p = max(bootstrap_p(drawn), swap_p(changes, groups.tolist()))
        difference = careful(float(changes.sum()), percentiles(drawn), p, most=1)
        found += difference.shown
        covered += difference.low <= 0 <= difference.high
    assert found <= 0.08 * rounds  # 0.05 and two standard deviations
    assert covered >= 0.92 * rounds
