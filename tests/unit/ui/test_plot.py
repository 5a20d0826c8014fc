"""Curves of a training."""

from __future__ import annotations

import itertools
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdemo.ui.runs.plot import line, nice_ticks, number


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_ticks_hold_everything_evenly(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)

    ticks = nice_ticks(low, high)

    room = 1e-6 * max(abs(low), abs(high), 1.0)
    assert ticks[0] <= low + room
    assert ticks[-1] >= high - room
    assert 2 <= len(ticks) <= 8
    steps = {round((b - a) / (ticks[1] - ticks[0]), 6) for a, b in itertools.pairwise(ticks)}
    assert steps == {1.0}


def test_a_share_that_is_all_has_nothing_above_it() -> None:
    assert nice_ticks(1.0, 1.0)[-1] == 1.0
    assert nice_ticks(100.0, 100.0)[-1] == 100.0


def test_a_line_is_escaped_and_says_itself_in_words() -> None:
    drawn = line([(0, 1.0), (10, 0.5)], name="<b>", alt='"><script>', across="<i>")

    assert "<script>" not in drawn
    assert "<b>" not in drawn
    assert "<i>" not in drawn
    assert 'role="img"' in drawn


def test_the_line_falls_when_the_values_fall() -> None:
    drawn = line([(0, 2.0), (5, 1.0), (10, 0.0)], name="loss", alt="loss", across="steps")

    points = re.search(r'polyline points="([^"]+)"', drawn)
    assert points is not None
    pairs = [tuple(map(float, pair.split(","))) for pair in points[1].split()]
    assert [x for x, _ in pairs] == sorted(x for x, _ in pairs)
    assert [y for _, y in pairs] == sorted(y for _, y in pairs)  # down on the page
    assert (pairs[0][1], pairs[-1][1]) == (0.0, 200.0)


def test_what_is_no_number_is_left_out() -> None:
    assert line([(0, math.nan)], name="loss", alt="loss", across="steps") == ""
    drawn = line([(0, 1.0), (1, math.inf), (2, 0.5)], name="loss", alt="loss", across="steps", mark=1)
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert "mm-best" not in drawn


def test_one_point_is_drawn_in_the_middle() -> None:
    assert 'points="300.0,' in line([(7, 0.25)], name="f", alt="f", across="steps", mark=0)


@pytest.mark.parametrize(
    ("value", "words"), [(0, "0"), (0.25, "0.25"), (1234.5, "1,234"), (0.00003, "3e-05"), (12.0, "12"), (-2.5, "-2.5")]
)
def test_numbers_are_short(value: float, words: str) -> None:
    assert number(value) == words
