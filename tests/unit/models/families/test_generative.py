"""Ends of texts that were cut, short answers, and what a sequence scores."""

from __future__ import annotations

import math

import pytest

from mmdemo.models.families.generation import GeneratedSequence
from mmdemo.models.families.generative import budget, short_answer, shortened


@pytest.mark.parametrize(
    ("text", "words", "cut", "expected"),
    [
        ("  a dog\nruns ", None, False, "a dog runs"),
        ("a dog runs.", 3, False, "a dog runs."),
        ("a dog runs over the grass", 3, False, "a dog runs…"),
        ("a dog, running", 2, False, "a dog…"),
        ("a dog runs ov", None, True, "a dog runs…"),
        ("a dog runs. And th", 3, True, "a dog runs…"),
        ("a dog runs.", 9, True, "a dog runs."),
        ("Is it?", None, True, "Is it?"),
        ("dogg", None, True, "dogg…"),
        ("一只狗在草地上", None, True, "一只狗在草地上…"),
        ("caf\ufffd", None, False, "caf"),
        ("", None, True, ""),
        ("\ufffd", None, True, ""),
    ],
)
def test_shortened(text: str, words: int | None, cut: bool, expected: str) -> None:
    assert shortened(text, words=words, cut=cut) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Red.", "Red"),
        ("red .", "red"),
        ("a small dog.", "a small dog"),
        ("Red…", "Red…"),
        ("at 5 p.m.", "at 5 p.m."),
        ("It is a dog that runs over the grass.", "It is a dog that runs over the grass."),
        ("Yes. It is.", "Yes. It is."),
    ],
)
def test_a_short_answer_has_no_full_stop(text: str, expected: str) -> None:
    assert short_answer(text) == expected


def test_score_is_the_geometric_mean_of_words() -> None:
    said = GeneratedSequence((5, 6, 2), (math.log(0.9), math.log(0.4), math.log(0.001)), ended=True)
    assert said.score({2}) == pytest.approx(math.sqrt(0.9 * 0.4))
    assert said.score() == pytest.approx((0.9 * 0.4 * 0.001) ** (1 / 3))
    assert said.score({2, 5, 6}) == 0
    assert GeneratedSequence().score() == 0


def test_there_is_room_for_the_words() -> None:
    assert [budget(words) for words in (1, 20, 100)] == [5, 34, 154]
