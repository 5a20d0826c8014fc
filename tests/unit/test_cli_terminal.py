"""What the terminal says of an answer."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mmdemo.cli.terminal import show
from mmdemo.core.types import AskResult, Scored


def _said(weights: Mapping[str, float] | None, capsys: pytest.CaptureFixture[str]) -> str:
    result = AskResult(
        file="a.jpg",
        question="What is it?",
        answer="dog",
        score=0.8,
        sure=True,
        alternatives=(Scored(label="cat", score=0.1),),
        model="m",
        seconds=0.04,
        weights=weights,
    )
    show([("a.jpg", result)], title="answer")
    return capsys.readouterr().out


def test_what_an_answer_relied_on_is_said_where_the_network_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert "relied on: picture 62%, question 38%" in _said({"image": 0.62, "question": 0.38}, capsys)
    assert "relied on" not in _said(None, capsys)
