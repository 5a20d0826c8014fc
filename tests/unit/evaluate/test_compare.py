"""Two models on the same data: the difference is paired, the agreement counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmdemo.core.errors import MmdemoError
from mmdemo.data.read import Example
from mmdemo.evaluate.compare import agreement, paired
from mmdemo.evaluate.run import Measurement
from mmdemo.evaluate.scores import ask_outcome


def measured(examples: list[Example], answers: list[str]) -> Measurement:
    return Measurement(outcome=ask_outcome(answers, examples), scored=examples, notes=())


def asked(count: int) -> list[Example]:
    return [Example(file=Path(f"{i}.png"), question="what is it", answer="dog") for i in range(count)]


def test_a_paired_difference_is_narrower_than_the_figures() -> None:
    random = np.random.default_rng(0)
    examples = asked(200)
    before = ["dog" if hard < 0.5 else "cat" for hard in random.random(200)]
    after = list(before)
    after[:4] = ["dog"] * 4  # four answers that may have become right
    one, other = measured(examples, before), measured(examples, after)
    change = paired(one, other)["accuracy"]
    gained = sum(a == "cat" for a in before[:4]) / 200
    assert gained > 0
    assert change.value == pytest.approx(gained)
    low, high = other.outcome.intervals()["accuracy"]
    assert change.low <= change.value <= change.high
    assert change.high - change.low < (high - low) / 3
    same = paired(one, one)["accuracy"]
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_other_examples_are_not_compared() -> None:
    with pytest.raises(MmdemoError, match="did not answer the same examples"):
        paired(measured(asked(3), ["dog"] * 3), measured(asked(3), ["dog"] * 3))


def test_agreement_is_the_share_of_equal_answers() -> None:
    assert agreement(["a", "b", "c", "d"], ["a", "b", "x", "d"]) == 0.75
    assert agreement([], []) is None
