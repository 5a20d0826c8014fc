"""Answers are readable, honest about doubt, and safe whatever stands in them."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from mmdemo.core.types import (
    NONE_OF_THESE,
    SAMPLE_RATE,
    SILENCE,
    AskResult,
    CaptionResult,
    ClassifyResult,
    HeatMap,
    Picture,
    Scored,
    Segment,
    SentimentResult,
    Sound,
)
from mmdemo.ui import answers

EVIL = "<img src=x onerror=alert(1)>\"'&"


class Tags(HTMLParser):
    """Collects tags and attributes of parsed HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]


def is_harmless(html: str) -> bool:
    parsed = Tags(html)
    return "script" not in parsed.tags and not any(name.startswith("on") for name in parsed.attributes)


def an_answer(**changes: object) -> AskResult:
    values: dict[str, object] = {
        "file": "a.jpg",
        "question": "is it?",
        "answer": "yes",
        "score": 0.8,
        "sure": True,
        "alternatives": (Scored(label="yes", score=0.8), Scored(label="no", score=0.15)),
        "model": "ask-base",
        "seconds": 0.04,
    }
    return AskResult(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("score", "words"), [(0, "< 1 %"), (0.004, "< 1 %"), (0.256, "26 %"), (0.995, "> 99 %"), (1, "> 99 %")]
)
def test_percent_promises_nothing_that_no_model_can(score: float, words: str) -> None:
    assert answers.percent(score) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.0001, "1 ms"), (0.083, "83 ms"), (1.44, "1.4 s"), (125, "2 min 5 s")]
)
def test_duration(seconds: float, words: str) -> None:
    assert answers.duration(seconds, "en") == words


def test_ask_shows_the_newest_first_and_keeps_the_earlier() -> None:
    html = answers.ask(
        [an_answer(question="first?"), an_answer(question="second?", answer="no")],
        limit="poor at text",
        notes=("turned upright",),
        language="en",
    )

    assert html.index("second?") < html.index("first?")
    assert "Earlier questions" in html
    assert "poor at text" in html
    assert "turned upright" in html
    assert "not sure" not in html


def test_what_an_answer_relied_on_is_shown_where_the_network_says_so() -> None:
    told = an_answer(weights={"image": 0.62, "question": 0.38})
    assert "It relied on: picture 62 %, question 38 %" in answers.ask([told], limit="", notes=(), language="en")
    assert "判断依据：图片 62 %, 问题 38 %" in answers.ask([told], limit="", notes=(), language="zh")
    assert "relied on" not in answers.ask([an_answer()], limit="", notes=(), language="en")


def test_doubt_is_said_in_words() -> None:
    assert "more often wrong" in answers.ask([an_answer(sure=False)], limit="", notes=(), language="en")
    assert "没有把握" in answers.ask([an_answer(sure=False)], limit="", notes=(), language="zh")


def test_who_says_nothing_is_said_to() -> None:
    nothing = an_answer(answer=" ", score=0.0, sure=False, alternatives=())
    caption = CaptionResult(
        file="a.jpg", caption="", score=0.0, sure=False, alternatives=(), model="florence", seconds=0.04
    )
    for language, words in (("en", "(no answer)"), ("zh", "（没有回答）")):
        shown = answers.ask([nothing, nothing], limit="", notes=(), language=language)
        assert f'<p class="mm-big">{words}</p>' in shown
        assert f"<b>{words}</b>" in shown
        assert "%" not in shown
        shown = answers.caption(caption, limit="", notes=(), language=language)
        assert f'<p class="mm-sentence">{words}</p>' in shown
        assert "%" not in shown


def test_nothing_that_people_or_models_write_becomes_markup() -> None:
    picture = Picture(pixels=np.zeros((20, 30, 3), dtype=np.uint8), key="k")
    scored = (Scored(label=EVIL, score=0.6), Scored(label=NONE_OF_THESE, score=0.4))
    heat = HeatMap(cells=np.ones((2, 2), dtype=np.float32), label=EVIL)
    pieces = [
        answers.ask(
            [an_answer(question=EVIL, answer=EVIL, alternatives=scored, model=EVIL)] * 2,
            limit=EVIL,
            notes=(EVIL,),
            language="en",
        ),
        answers.classify(
            ClassifyResult(file=EVIL, labels=scored, sure=False, model=EVIL, seconds=1),
            limit=EVIL,
            notes=(),
            language="en",
        ),
        answers.caption(
            CaptionResult(file="", caption=EVIL, score=1, sure=False, alternatives=scored, model=EVIL, seconds=1),
            limit=EVIL,
            notes=(),
            language="en",
        ),
        answers.maps_over_picture(picture, [heat, heat], language="en"),
        answers.trouble(EVIL, "en"),
        answers.trouble_free(EVIL),
    ]

    for html in pieces:
        assert is_harmless(html), html
        assert "<img src=x" not in html


def test_every_picture_has_words_for_those_who_do_not_see_it() -> None:
    picture = Picture(pixels=np.zeros((20, 30, 3), dtype=np.uint8), key="k")
    cells = np.zeros((4, 4), dtype=np.float32)
    cells[0, 0] = 1

    html = answers.maps_over_picture(picture, [HeatMap(cells=cells, label="dog")], language="en")

    assert "it looked most at the top left" in html
    assert html.count("<img") == html.count("alt=")


def a_sound(seconds: float) -> Sound:
    samples = np.sin(np.arange(int(seconds * SAMPLE_RATE)) * 0.1).astype(np.float32)
    return Sound(samples=samples, key="k")


def heard(emotion: str, segments: tuple[Segment, ...]) -> SentimentResult:
    scores = () if emotion == SILENCE else (Scored(label=emotion, score=0.7), Scored(label="sad", score=0.3))
    return SentimentResult(
        file="",
        emotion=emotion,
        scores=scores,
        sentiment={"negative": 0.1, "neutral": 0.2, "positive": 0.7},
        segments=segments,
        sure=True,
        model="m",
        seconds=0.1,
    )


def test_a_longer_clip_gets_a_timeline_with_words() -> None:
    segments = tuple(
        Segment(start=start, end=start + 3, emotion=emotion, scores=(), uncertainty=0.5)
        for start, emotion in ((0.0, "happy"), (1.5, "happy"), (3.0, EVIL))
    )

    html = answers.sentiment(heard("happy", segments), a_sound(6), limit="", notes=(), language="en")

    assert "<svg" in html
    assert 'role="img"' in html
    assert "0:00–0:04 happy" in html
    assert "uncertainty" in html
    assert is_harmless(html)


def test_silence_is_said_to_be_silence() -> None:
    html = answers.sentiment(heard(SILENCE, ()), a_sound(1), limit="", notes=(), language="en")

    assert "This recording is silent" in html
    assert "mm-bars" not in html


def test_words_stand_beside_the_emotion_and_are_nobodys_code() -> None:
    said = replace(heard("happy", ()), words=f"good morning {EVIL}")

    html = answers.sentiment(said, a_sound(1), limit="", notes=(), language="en")

    assert "Words heard" in html
    assert html.index("happy") < html.index("good morning")
    assert is_harmless(html)
    assert "Words heard" not in answers.sentiment(heard("happy", ()), a_sound(1), limit="", notes=(), language="en")
