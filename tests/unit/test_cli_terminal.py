"""What the terminal says of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from mmdemo.cli.terminal import show
from mmdemo.core.types import AskResult, Scored, SentimentResult


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


def test_words_stand_beside_the_emotion(capsys: pytest.CaptureFixture[str]) -> None:
    result = SentimentResult(
        file="a.wav",
        emotion="happy",
        scores=(Scored(label="happy", score=1.0),),
        sentiment={"negative": 0.0, "neutral": 0.0, "positive": 1.0},
        segments=(),
        sure=True,
        model="m",
        seconds=0.1,
        words="good morning",
    )

    show([("a.wav", result)], title="emotion")
    assert "“good morning”" in capsys.readouterr().out
    show([("a.wav", replace(result, words=""))], title="emotion")
    assert "“" not in capsys.readouterr().out
