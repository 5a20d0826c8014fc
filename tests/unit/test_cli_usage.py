"""Wrong usage: exit code 2 and one sentence on stderr, before any model is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mmdemo import __version__
from mmdemo.cli import main

COMMANDS = (
    "ask",
    "classify",
    "caption",
    "sentiment",
    "models",
    "download",
    "evaluate",
    "questions",
    "benchmark",
    "train",
    "quantize",
    "runs",
)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cat.jpg").write_bytes(b"")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ask"], "Missing argument"),
        (["ask", "cat.jpg"], "The question is missing: the last argument, cat.jpg, is a file or folder."),
        (["ask", "cat.jpg", "dog.PNG"], "The question is missing"),
        (["ask", "Is there a cat?"], "The picture is missing"),
        (["ask", "cat.jpg", "is", "there", "cat"], "“is there cat” has no quotes"),
        (["ask", "cat.jpg", " "], "The question cannot be answered"),
        (["asc", "cat.jpg", "Why?"], "No such command 'asc'"),
        (["ask", "--modle", "x", "cat.jpg", "Why?"], "No such option: --modle"),
        (["classify", "cat.jpg"], "There are no labels."),
        (["classify", "cat.jpg", "--labels", ""], "There are no labels."),
        (["classify", "cat.jpg", "--labels", "cat, Cat"], "given more than once"),
        (["classify", "cat.jpg", "--labels", "cat", "--labels-file", "f"], "There are two lists of labels"),
        (["classify", "cat.jpg", "--labels-file", "none.txt"], "The labels in none.txt cannot be read"),
        (["classify", "cat.jpg", "--labels", "cat", "--template", "a photo"], "{} is missing"),
        (["caption", "cat.jpg", "--n", "0"], "Invalid value for '--n'"),
        (["caption", "cat.jpg", "--out", "results.txt"], "Name a .csv or a .jsonl file"),
        (["caption", "cat.jpg", "--device", "tpu"], "'tpu' is not one of 'auto', 'cpu', 'cuda', 'mps'"),
        (["sentiment"], "Missing argument 'AUDIO'"),
        (["models", "--task", "sing"], "'sing' is not one of"),
        (["evaluate", "ask"], "Missing option '--data'"),
        (["train", "ask", "--data", "x"], "Missing option '--out'"),
        (["train", "sing", "--data", "x", "--out", "y"], "'sing' is not one of"),
        (["train", "sentiment", "--data", "x", "--out", "y", "--fold", "0"], "Add --folds FILE"),
        (["train", "sentiment", "--data", "x", "--out", "y", "--folds", "f"], "Add --fold K or --cross-validate"),
        (
            ["train", "sentiment", "--data", "x", "--out", "y", "--folds", "f", "--fold", "0", "--cross-validate"],
            "exclude each other",
        ),
    ],
)
def test_one_sentence_and_two(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert main([]) == 0
    first, second = capsys.readouterr().out.split("Usage:")[1:]
    assert first == second
    assert all(f"\n  {name} " in first for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_its_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: python -m mmdemo {command} ")
    assert "--help" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mmdemo {__version__}\n"


def test_output_is_utf8_whatever_the_locale(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    code = (
        "import sys; from mmdemo.cli.program import _speak_utf8, _complain; "
        "_speak_utf8(); print('犬'); _complain('Der Hund fehlt – 犬.')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0", "PATH": ""},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode("utf-8").strip() == "犬"
    assert done.stderr.decode("utf-8").strip() == "Der Hund fehlt – 犬."
