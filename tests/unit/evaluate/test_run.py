"""Measuring through the public Model protocol, with small models made here whose right figures are known."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from PIL import Image

from mmdemo.cli import main
from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import (
    NONE_OF_THESE,
    AskRequest,
    AskResult,
    CaptionRequest,
    CaptionResult,
    Card,
    ClassifyRequest,
    ClassifyResult,
    HeatMap,
    Picture,
    Request,
    Result,
    Scored,
    SentimentRequest,
    SentimentResult,
)
from mmdemo.data.read import read_examples
from mmdemo.evaluate.run import column_of, evaluate, evaluate_model

COLOURS = {"red": (250, 0, 0), "green": (0, 250, 0), "blue": (0, 0, 250)}


class ColourModel:
    """Knows the colour of a picture and whether a sound is loud."""

    def __init__(self, task: str) -> None:
        self.card = Card(id="colours", task=task, summary="", licence="")
        self.batches: list[int] = []

    def predict(self, requests: Sequence[Request]) -> list[Result]:
        self.batches.append(len(requests))
        return [self._one(request) for request in requests]

    def _one(self, request: Request) -> Result:
        common = {"model": self.card.id, "seconds": 0.0, "sure": True}
        match request:
            case AskRequest():
                answer = colour(request.picture)
                return AskResult(
                    file="", question=request.question, answer=answer, score=0.8, alternatives=(), **common
                )
            case ClassifyRequest():
                own = colour(request.picture)
                scores = [Scored(label=label, score=0.7 if label == own else 0.05) for label in request.labels]
                scores.append(Scored(label=NONE_OF_THESE, score=1 - sum(item.score for item in scores)))
                return ClassifyResult(file="", labels=tuple(sorted(scores, key=lambda item: -item.score)), **common)
            case CaptionRequest():
                said = f"a {colour(request.picture)} picture of nothing at all"
                return CaptionResult(file="", caption=said, score=0.5, alternatives=(), **common)
            case SentimentRequest():
                loud = float(np.abs(request.sound.samples).max()) > 0.5
                ordered = ("angry", "calm") if loud else ("calm", "angry")
                return SentimentResult(
                    file="",
                    emotion=ordered[0],
                    scores=(Scored(label=ordered[0], score=0.9), Scored(label=ordered[1], score=0.1)),
                    sentiment={},
                    segments=(),
                    **common,
                )

    def encode_pictures(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        return np.eye(3, dtype=np.float32)[[list(COLOURS).index(colour(picture)) for picture in pictures]]

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([np.array([name in text for name in COLOURS], dtype=np.float32) for text in texts])

    def stream(self, request: Request) -> Iterator[Result]:
        yield self._one(request)

    def explain(self, request: Request, result: Result) -> tuple[HeatMap, ...]:
        return ()

    def release(self) -> None:
        return None


def colour(picture: Picture) -> str:
    return list(COLOURS)[int(picture.pixels.reshape(-1, 3).mean(axis=0).argmax())]


def paint(file: Path, name: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 16), COLOURS[name]).save(file)


def write(file: Path, rows: Sequence[dict[str, object]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    rows = []
    for number in range(40):
        name = list(COLOURS)[number % 3]
        paint(tmp_path / f"{number}.png", name)
        for answer, kind in ((name, "color"), ("yes", "yes/no")):
            rows.append({"file_name": f"{number}.png", "question": "What?", "answer": answer, "type": kind})
    write(tmp_path / "questions.jsonl", rows)
    return tmp_path


def test_ask(questions: Path) -> None:
    model = ColourModel("ask")
    seen: list[tuple[int, int]] = []
    report = evaluate_model(
        "ask", model, read_examples("ask", [questions]), by="type", progress=lambda *at: seen.append(at)
    )
    found = report.to_json()
    assert list(found) == ["task", "model", "data", "n", "metrics", "interval", "baseline", "by", "notes"]
    assert found["metrics"] == pytest.approx({"accuracy": 0.5, "open": 1.0, "ece": 0.3})
    assert found["interval"]["accuracy"] == [0.5, 0.5], "every picture has one right and one wrong"  # type: ignore[index]
    assert found["by"]["color"] == {"n": 40, "metrics": pytest.approx({"accuracy": 1.0, "open": 1.0, "ece": 0.2})}  # type: ignore[index]
    assert found["by"]["yes/no"]["metrics"]["accuracy"] == 0.0  # type: ignore[index]
    assert found["baseline"]["accuracy"] == 0.5  # type: ignore[index]
    assert (found["task"], found["model"], found["n"]) == ("ask", "colours", 80)
    assert model.batches == [32, 32, 16]
    assert seen[-1] == (80, 80)
    assert json.loads(json.dumps(found)) == found


def test_a_limit_is_spread_over_the_data(questions: Path) -> None:
    report = evaluate_model("ask", ColourModel("ask"), read_examples("ask", [questions]), limit=3)
    assert report.n == 3
    assert "3 examples spread evenly over the data" in report.notes


def test_unusable_files_are_counted_and_named(questions: Path) -> None:
    (questions / "3.png").write_bytes(b"no picture")
    (questions / "5.png").write_bytes(b"")
    report = evaluate_model("ask", ColourModel("ask"), read_examples("ask", [questions]))
    assert report.n == 76
    assert "2 files could not be used: 3.png, 5.png" in report.notes


def test_all_files_unusable(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(b"no picture")
    write(tmp_path / "questions.jsonl", [{"file_name": "0.png", "question": "What?", "answer": "red"}])
    with pytest.raises(MmdemoError, match="None of the files can be used"):
        evaluate_model("ask", ColourModel("ask"), read_examples("ask", [tmp_path]))


def test_classify_folders(tmp_path: Path) -> None:
    for name in COLOURS:
        for number in range(4):
            paint(tmp_path / name / f"{number}.png", name)
    paint(tmp_path / "red" / "wrong.png", "blue")
    report = evaluate_model("classify", ColourModel("classify"), read_examples("classify", [tmp_path]), by="label")
    assert report.n == 13
    assert report.metrics["top1"] == pytest.approx(12 / 13)
    assert report.metrics["mean_class"] == pytest.approx((0.8 + 1 + 1) / 3)
    assert set(report.metrics) == {"top1", "top5", "mean_class", "ece", "none_share"}
    assert report.by is not None
    assert report.by["red"].metrics["top1"] == pytest.approx(0.8)
    assert report.interval["top1"][0] < 12 / 13 < report.interval["top1"][1]


def captioned(folder: Path) -> None:
    rows = []
    for name in COLOURS:
        paint(folder / f"{name}.png", name)
        rows.append({"file_name": f"{name}.png", "captions": [f"a {name} picture of nothing at all", f"all is {name}"]})
    write(folder / "captions.jsonl", rows)


def test_classify_on_captions_is_retrieval(tmp_path: Path) -> None:
    captioned(tmp_path)
    report = evaluate_model("classify", ColourModel("classify"), read_examples("classify", [tmp_path]), by="data")
    assert report.metrics == {"r1": 1.0, "r5": 1.0, "r10": 1.0}
    assert report.n == 6
    assert report.by is not None
    assert [row.n for row in report.by.values()] == [6]


def test_caption(tmp_path: Path) -> None:
    captioned(tmp_path)
    report = evaluate_model("caption", ColourModel("caption"), read_examples("caption", [tmp_path]))
    assert report.metrics["bleu4"] == pytest.approx(1.0)
    assert report.metrics["cider"] > report.baseline["cider"]
    assert "ece" not in report.metrics


def test_sentiment_with_rare_labels_and_calm(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = []
    for number in range(24):
        label = "angry" if number % 2 else "neutral"
        loudness = 0.9 if label == "angry" else 0.2
        soundfile.write(tmp_path / f"{number}.wav", loudness * random.uniform(-1, 1, 8000), 16000)
        rows.append(
            {"file_name": f"{number}.wav", "label": label if number > 1 else "sad", "speaker": f"s{number % 4}"}
        )
    write(tmp_path / "metadata.jsonl", rows)
    report = evaluate_model("sentiment", ColourModel("sentiment"), read_examples("sentiment", [tmp_path]), by="speaker")
    assert report.n == 22
    assert report.metrics["ua"] == 1.0
    assert report.metrics["ece"] == pytest.approx(0.1)
    assert "sad is left out: only 2 clips" in report.notes
    assert any("calm counts as neutral" in note for note in report.notes)
    assert report.by is not None
    assert sorted(report.by) == ["s0", "s1", "s2", "s3"]


def test_a_model_of_another_task_is_refused(questions: Path) -> None:
    class Wrong(ColourModel):
        def predict(self, requests: Sequence[Request]) -> list[Result]:
            asked = [CaptionRequest(picture=request.picture) for request in requests if isinstance(request, AskRequest)]
            return super().predict(asked)

    with pytest.raises(MmdemoError, match="is no model for this task"):
        evaluate_model("ask", Wrong("caption"), read_examples("ask", [questions]))


def test_an_unknown_column_is_refused_before_anything_runs(questions: Path) -> None:
    with pytest.raises(MmdemoError, match=r"has no column 'tipe': it has type, data. Did you mean 'type'"):
        evaluate("ask", [questions], by="tipe")


def test_unknown_task_and_half_a_fold(questions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MmdemoError, match="Unknown task 'sing'"):
        evaluate("sing", [questions])
    assert main(["evaluate", "ask", "--data", str(questions), "--fold", "1"]) != 0
    assert "both its file and its number" in " ".join(capsys.readouterr().err.split())


def test_column_of_examples_without_a_value(questions: Path) -> None:
    examples = read_examples("ask", [questions]).examples
    assert column_of(examples, None) is None
    assert column_of(examples[:2], "data") == [questions.name] * 2
    assert column_of(examples[:1], "label") == ["(none)"]
