"""Result files: the same answers as CSV and JSON lines."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdemo.cli.files import check_results_path, open_results, record
from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import (
    AskResult,
    CaptionResult,
    ClassifyResult,
    Result,
    Scored,
    Segment,
    SentimentResult,
)
from mmdemo.core.writing import harmless_cell

ASK = AskResult(
    file="dog.jpg",
    question="What is it?",
    answer="dog",
    score=0.75,
    sure=True,
    alternatives=(Scored(label="cat", score=0.2), Scored(label="a, b", score=0.05)),
    model="ask-base",
    seconds=0.01234567,
)
CLASSIFY = ClassifyResult(
    file="dog.jpg",
    labels=(
        Scored(label="=dog", score=0.6),
        Scored(label="none of these", score=0.3),
        Scored(label="cat", score=0.1),
    ),
    sure=False,
    model="classify-base",
    seconds=0.5,
)
CAPTION = CaptionResult(
    file="dog.jpg",
    caption="a dog runs",
    score=0.5,
    sure=True,
    alternatives=(Scored(label="the dog runs", score=0.4),),
    model="caption-base",
    seconds=0.5,
)
SENTIMENT = SentimentResult(
    file="a.wav",
    emotion="sad",
    scores=(Scored(label="sad", score=0.9), Scored(label="calm", score=0.1)),
    sentiment={"negative": 0.9, "neutral": 0.1, "positive": 0.0},
    segments=(
        Segment(start=0.0, end=3.0, emotion="sad", scores=(Scored(label="sad", score=0.9),), uncertainty=0.2),
        Segment(start=1.5, end=4.5, emotion="silence", scores=(), uncertainty=1.0),
    ),
    sure=True,
    model="sentiment-base",
    seconds=0.5,
    words="I am tired",
)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, task: str, *outcomes: Result | str, labels: tuple[str, ...] = (), captions: int = 1) -> None:
    with open_results(path, task=task, labels=labels, captions=captions) as results:
        for number, outcome in enumerate(outcomes):
            results.write(f"in/{number}", outcome)


def test_record_has_the_path_as_given_and_the_rest_of_the_result() -> None:
    assert record("photos/dog.jpg", ASK) == {**ASK.to_json(), "file": "photos/dog.jpg"}
    assert next(iter(record("photos/dog.jpg", ASK))) == "file"
    assert record("x.jpg", "It is broken.") == {"file": "x.jpg", "error": "It is broken."}


def test_json_lines(tmp_path: Path) -> None:
    _write(tmp_path / "r.jsonl", "ask", ASK, "犬 cannot be read.")
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines == [{**ASK.to_json(), "file": "in/0"}, {"file": "in/1", "error": "犬 cannot be read."}]


def test_csv_of_ask(tmp_path: Path) -> None:
    _write(tmp_path / "r.csv", "ask", ASK, "Broken.")
    assert _rows(tmp_path / "r.csv") == [
        {
            "file": "in/0",
            "question": "What is it?",
            "answer": "dog",
            "score": "0.75",
            "sure": "True",
            "alternatives": "cat=0.2000; a, b=0.0500",
            "model": "ask-base",
            "seconds": "0.0123",
            "error": "",
        },
        dict.fromkeys(("question", "answer", "score", "sure", "alternatives", "model", "seconds"), "")
        | {"file": "in/1", "error": "Broken."},
    ]


def test_csv_of_classify_has_a_column_for_each_label(tmp_path: Path) -> None:
    _write(tmp_path / "r.csv", "classify", CLASSIFY, labels=("cat", "=dog"))
    (row,) = _rows(tmp_path / "r.csv")
    assert row["label"] == "'=dog"
    assert [row["p(cat)"], row["p(=dog)"], row["p(none of these)"]] == ["0.1", "0.6", "0.3"]


def test_csv_of_caption_has_a_column_for_each_further_caption(tmp_path: Path) -> None:
    _write(tmp_path / "r.csv", "caption", CAPTION, captions=3)
    (row,) = _rows(tmp_path / "r.csv")
    assert (row["caption"], row["caption_2"], row["caption_3"]) == ("a dog runs", "the dog runs", "")


def test_csv_of_sentiment(tmp_path: Path) -> None:
    _write(tmp_path / "r.csv", "sentiment", SENTIMENT)
    (row,) = _rows(tmp_path / "r.csv")
    assert (row["emotion"], row["score"], row["negative"], row["positive"]) == ("sad", "0.9", "0.9", "0.0")
    assert row["scores"] == "sad=0.9000; calm=0.1000"
    assert row["segments"] == "0.0-3.0=sad; 1.5-4.5=silence"
    assert row["words"] == "I am tired"


@given(st.text())
def test_no_text_starts_like_a_formula(text: str) -> None:
    cell = str(harmless_cell(text))
    assert cell.endswith(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize("name", ["results.txt", "results", "results.xlsx"])
def test_other_endings_are_refused(name: str) -> None:
    with pytest.raises(MmdemoError, match=r"Name a \.csv or a \.jsonl file"):
        check_results_path(Path(name))


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MmdemoError, match="its folder does not exist"):
        check_results_path(tmp_path / "none" / "r.csv")


def test_what_was_written_is_there_after_an_interruption(tmp_path: Path) -> None:
    results = open_results(tmp_path / "r.csv", task="ask")
    results.write("a.jpg", ASK)
    assert len(_rows(tmp_path / "r.csv")) == 1, "each line is flushed as it comes"
    results.__exit__(None, None, None)
