"""The four jobs on the command line with the shipped checkpoints: lines, order, errors, files, interruption."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmdemo.cli import main
from mmdemo.core.types import EMOTIONS, NONE_OF_THESE, TASKS
from tests.sounds import write_silence, write_speech_like

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures and clips made here, good and bad ones."""
    folder = tmp_path_factory.mktemp("desk")
    random = np.random.default_rng(0)
    (folder / "photos" / "more").mkdir(parents=True)
    for number in range(6):
        pixels = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels).resize((320, 240), Image.Resampling.BICUBIC)
        picture.save(folder / "photos" / ("more" if number % 2 else ".") / f"{number}.png")
    (folder / "photos" / "notes.txt").write_text("no picture", encoding="utf-8")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not really")
    (folder / "empty.png").write_bytes(b"")
    write_speech_like(folder / "voice.wav", 2.0)
    write_silence(folder / "silence.wav", 2.0)
    return folder


@pytest.fixture(autouse=True)
def _at_the_desk(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)


def _lines(arguments: list[str], capfd: pytest.CaptureFixture[str], *, code: int = 0) -> list[dict[str, Any]]:
    """Run a command and read its output, which must be JSON and nothing else."""
    assert main([*arguments, "--json"]) == code
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err
    return [json.loads(line) for line in captured.out.splitlines()]


def test_ask(capfd: pytest.CaptureFixture[str]) -> None:
    lines = _lines(["ask", "photos", "Is there a dog?"], capfd)
    assert [line["file"] for line in lines] == [
        "photos/0.png",
        "photos/2.png",
        "photos/4.png",
        "photos/more/1.png",
        "photos/more/3.png",
        "photos/more/5.png",
    ]
    for line in lines:
        assert {"file", "question", "answer", "score", "sure", "alternatives", "model", "seconds"} <= set(line)
        assert line["question"] == "Is there a dog?"
        assert line["model"] == "ask-base"
        assert line["answer"] in ("yes", "no")
        assert all(set(item) == {"label", "score"} for item in line["alternatives"])


def test_classify(capfd: pytest.CaptureFixture[str]) -> None:
    Path("labels.txt").write_text("cat\ndog\n\n", encoding="utf-8")
    given = _lines(["classify", "photos/*.png", "--labels", "cat, dog"], capfd)
    read = _lines(["classify", "photos/*.png", "--labels-file", "labels.txt"], capfd)
    assert len(given) == 3
    for one, other in zip(given, read, strict=True):
        assert {item["label"] for item in one["labels"]} == {"cat", "dog", NONE_OF_THESE}
        assert sum(item["score"] for item in one["labels"]) == pytest.approx(1, abs=1e-4)
        assert one["labels"] == sorted(one["labels"], key=lambda item: -item["score"])
        assert {name: one[name] for name in ("file", "sure", "model")} == {
            name: other[name] for name in ("file", "sure", "model")
        }


def test_caption(capfd: pytest.CaptureFixture[str]) -> None:
    (line,) = _lines(["caption", "photos/0.png", "--n", "4", "--max-words", "6"], capfd)
    assert {"file", "caption", "alternatives", "model", "seconds"} <= set(line)
    sentences = [line["caption"], *(item["label"] for item in line["alternatives"])]
    assert len(sentences) == 4
    assert all(1 <= len(sentence.split()) <= 6 for sentence in sentences)


def test_sentiment(capfd: pytest.CaptureFixture[str]) -> None:
    voice, silence = _lines(["sentiment", "voice.wav", "silence.wav"], capfd)
    keys = {"file", "emotion", "scores", "sentiment", "segments", "sure", "model", "seconds"}
    assert keys <= set(voice)
    assert keys <= set(silence)
    assert silence["emotion"] == "silence"
    assert {item["label"] for item in voice["scores"]} <= set(EMOTIONS)
    assert set(voice["sentiment"]) == {"negative", "neutral", "positive"}


def test_what_cannot_be_used_is_a_line_and_the_run_goes_on(capfd: pytest.CaptureFixture[str]) -> None:
    names = ["broken.jpg", "photos/0.png", "empty.png", "gone.jpg", "photos/*.bmp", "photos/2.png"]
    lines = _lines(["caption", *names], capfd, code=1)
    assert [line["file"] for line in lines] == names
    assert [("error" in line) for line in lines] == [True, False, True, True, True, False]
    for line in lines:
        if "error" in line:
            assert set(line) == {"file", "error"}
            assert line["error"].endswith(".")


def test_results_file_beside_the_table(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", "photos", "gone.jpg", "--labels", "cat, =dog", "--out", "results.csv"]) == 1
    out = capfd.readouterr().out
    assert "none of these" in out or "cat" in out
    with Path("results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7
    assert rows[-1]["error"] == "gone.jpg cannot be read: there is no such file."
    assert all(not row["label"].startswith("=") for row in rows)
    assert all(sum(float(row[f"p({name})"]) for name in ("cat", "=dog", NONE_OF_THESE)) > 0.99 for row in rows[:-1])


def test_json_lines_file_has_what_json_prints(capfd: pytest.CaptureFixture[str]) -> None:
    printed = _lines(["caption", "photos", "empty.png", "--out", "results.jsonl"], capfd, code=1)
    written = [json.loads(line) for line in Path("results.jsonl").read_text(encoding="utf-8").splitlines()]
    assert written == printed


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask", "photos/0.png", "What is it?"],
        ["classify", "photos/0.png", "--labels", "cat, <b>dog</b>, [red]car[/red]"],
        ["caption", "photos/0.png"],
        ["sentiment", "voice.wav"],
        ["sentiment", "silence.wav", "voice.wav"],
    ],
)
def test_people_can_read_it(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    out = capfd.readouterr().out
    assert "{" not in out
    assert "%" in out
    assert arguments[1] in out
    if arguments[0] == "classify":
        assert "<b>dog</b>" in out
        assert "[red]car[/red]" in out


def test_single_file_that_cannot_be_used_is_a_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["caption", "empty.png"]) == 1
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1


def test_unknown_model_is_a_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["caption", "photos", "--model", "caption-bose", "--json"]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "caption-bose" in captured.err
    assert "caption-base" in captured.err


def test_models(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    cards = json.loads(capfd.readouterr().out)
    ids = {card["id"]: card for card in cards}
    for task in TASKS:
        card = ids[f"{task}-base"]
        assert card["task"] == task
        assert card["size"] > 0
        assert card["licence"]
        assert card["metrics"]
        assert card["source"]
    assert main(["models", "--task", "ask"]) == 0
    out = capfd.readouterr().out
    assert "ask-base" in out
    assert "caption-base" not in out


# ---------------------------------------------------------------- a process of its own


def _start(arguments: list[str], desk: Path) -> subprocess.Popen[str]:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from mmdemo.cli import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=desk,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def many(desk: Path) -> str:
    folder = desk / "many"
    folder.mkdir()
    with Image.open(desk / "photos" / "0.png") as first:
        for number in range(1000):
            picture = first.convert("RGB")
            picture.putpixel((number % 30, number // 30), (255, 0, 255))  # each its own, or one answer would do for all
            picture.save(folder / f"{number:04}.png")
    return "many"


def test_interruption_is_quiet_and_leaves_what_was_written(desk: Path, many: str) -> None:
    arguments = ["caption", many, "--json", "--out", "interrupted.jsonl"]
    with _start(arguments, desk) as process:
        assert process.stdout is not None
        json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == ""
    lines = (desk / "interrupted.jsonl").read_text(encoding="utf-8").splitlines()
    assert 1 <= len(lines) < 1000
    assert all(json.loads(line)["caption"] for line in lines)


def test_reader_that_leaves_early_is_no_failure_to_tell_of(desk: Path, many: str) -> None:
    with _start(["ask", many, "Is there a dog?", "--json"], desk) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
        process.wait(timeout=60)
    assert process.returncode == 1
    assert errors == ""
