"""Right answers said under a wrong one: kept with the input of that answer, whatever lies in the box by now."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import AskResult, CaptionResult, ClassifyResult, Scored, SentimentResult
from mmdemo.studio import datasets
from mmdemo.ui import corrections
from mmdemo.ui.ask import AskState
from mmdemo.ui.caption import CaptionState
from mmdemo.ui.classify import ClassifyState
from mmdemo.ui.examples import EXAMPLES_DIR
from mmdemo.ui.sentiment import SentimentState

ASKED = AskResult(
    file="", question="what is it?", answer="dog", score=0.5, sure=True, alternatives=(), model="m", seconds=0,
    weights={"image": 0.5, "question": 0.5},
)  # fmt: skip
LABELLED = ClassifyResult(
    file="",
    labels=(Scored(label="dog", score=0.6), Scored(label="none of these", score=0.3), Scored(label="Cat", score=0.1)),
    sure=True, model="m", seconds=0,
)  # fmt: skip
SAID = CaptionResult(file="", caption="a dog", score=0.5, sure=True, alternatives=(), model="m", seconds=0)
FELT = SentimentResult(
    file="", emotion="sad", scores=(Scored(label="sad", score=1.0), Scored(label="glad", score=0.0)),
    sentiment={"negative": 1.0}, segments=(), sure=True, model="m", seconds=0,
)  # fmt: skip


@pytest.fixture(autouse=True)
def datasets_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMDEMO_DATASETS", str(tmp_path / "datasets"))
    return tmp_path / "datasets"


@pytest.fixture
def picture(tmp_path: Path) -> str:
    return str(shutil.copy(EXAMPLES_DIR / "cat.jpg", tmp_path / "upload.jpg"))


@pytest.fixture
def clip(tmp_path: Path) -> str:
    return str(shutil.copy(EXAMPLES_DIR / "sad.flac", tmp_path / "upload.flac"))


def test_each_job_keeps_input_and_right_answer(picture: str, clip: str, datasets_folder: Path) -> None:
    for task, kept, right, field in (
        ("ask", AskState(picture, (ASKED, ASKED)), " cat ", "answer"),
        ("classify", ClassifyState(picture, ("dog", "Cat"), None, LABELLED), "Cat", "label"),
        ("caption", CaptionState(picture, 1, 20, SAID), "a cat sits.", "caption"),
        ("sentiment", SentimentState(clip, FELT), "glad", "label"),
    ):
        assert corrections.store(task, kept, right, "en") == (task, 1, f"corrections-{task}")
        (item,) = datasets.read_dataset(f"corrections-{task}").items
        assert getattr(item, field) == right.strip()
        assert item.file.read_bytes() == Path(kept.file).read_bytes()
    assert datasets.read_dataset("corrections-ask").items[0].question == "what is it?"
    assert json.loads((datasets_folder / "corrections-ask" / "dataset.json").read_text())["task"] == "ask"


def test_they_are_counted(picture: str, tmp_path: Path) -> None:
    other = str(shutil.copy(EXAMPLES_DIR / "coffee.jpg", tmp_path / "other.jpg"))
    corrections.store("caption", CaptionState(picture, 1, 20, SAID), "a cat", "en")
    stored = corrections.store("caption", CaptionState(other, 1, 20, SAID), "a cup", "en")
    assert "Kept: 2 corrections for Caption" in corrections.said_html(stored, "en")
    assert "data: corrections-caption" in corrections.said_html(stored, "en")
    assert "2 条" in corrections.said_html(stored, "zh")
    assert "the first correction" in corrections.said_html(("ask", 1, "corrections-ask"), "en")


def test_what_cannot_be_kept_is_one_sentence(picture: str, datasets_folder: Path) -> None:
    kept = CaptionState(picture, 1, 20, SAID)
    for given, right, words in (
        (None, "a cat", "no answer to correct"),
        (kept, "  ", "no right answer"),
        (kept, None, "no right answer"),
        (CaptionState("", 1, 20, SAID), "a cat", "no longer there"),
        (CaptionState(picture + ".gone", 1, 20, SAID), "a cat", "no longer there"),
    ):
        with pytest.raises(MmdemoError, match=words):
            corrections.store("caption", given, right, "en")
    assert not datasets_folder.exists()


def test_what_is_offered() -> None:
    def choices(update: Any) -> list[str]:
        return [name for name, _ in update.choices]

    assert choices(corrections.offered("classify", LABELLED)) == ["Cat", "dog"]
    assert choices(corrections.offered("sentiment", FELT)) == ["glad", "sad"]
    silent = SentimentResult(
        file="", emotion="silence", scores=(), sentiment={}, segments=(), sure=False, model="m", seconds=0
    )
    assert "happy" in choices(corrections.offered("sentiment", silent))
    assert corrections.offered("caption", SAID).value == "a dog"
    assert corrections.offered("ask", ASKED).value == ""
    assert choices(corrections.offered("classify", None)) == []


def test_gradio_can_tell_one_answer_from_the_next(picture: str) -> None:
    """It hashes what a state holds to see whether it changed; results hold what has no hash."""
    one, two = SentimentState(picture, FELT), SentimentState(picture, FELT)
    assert hash(one) != hash(two)
    assert hash(AskState(picture, (ASKED,)))
