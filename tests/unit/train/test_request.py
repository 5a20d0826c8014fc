"""A request for a training is the same on a command line, in a run's folder and in the page."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command

from mmdemo.cli import train as command
from mmdemo.core.errors import MmdemoError
from mmdemo.train.plan import command_line
from mmdemo.train.request import TrainRequest, read_request, write_request

WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
PATHS = WORDS.map(lambda word: Path(word.replace("/", "_")))
REQUESTS = st.builds(
    TrainRequest,
    task=st.sampled_from(["ask", "classify", "caption", "sentiment", "vision", "speech"]),
    data=st.lists(PATHS, min_size=1, max_size=3).map(tuple),
    out=WORDS,
    config=st.none() | PATHS,
    base=st.none() | WORDS,
    teacher=st.none() | WORDS,
    overrides=st.lists(st.builds(lambda key, value: f"train.{key}={value}", WORDS, WORDS), max_size=3).map(tuple),
    folds=st.none() | PATHS,
    fold=st.none() | st.integers(0, 9),
    cross_validate=st.booleans(),
    allow_leaks=st.booleans(),
    device=st.sampled_from(["auto", "cpu", "cuda"]),
)


@given(REQUESTS)
def test_json_gives_it_back(request: TrainRequest) -> None:
    assert TrainRequest.from_json(json.loads(json.dumps(request.to_json()))) == request


@given(REQUESTS)
def test_the_words_of_the_command_line_give_it_back(request: TrainRequest) -> None:
    assert TrainRequest.from_argv(request.to_argv()) == request


@given(REQUESTS)
def test_the_command_itself_reads_the_same(request: TrainRequest) -> None:
    app = typer.Typer()
    command.register(app)
    parsed = get_command(app).make_context("train", [*request.to_argv()], resilient_parsing=False).params
    parsed["data"] = tuple(parsed["data"])
    parsed["overrides"] = tuple(parsed["overrides"] or ())
    asked = {name: value for name, value in parsed.items() if name in TrainRequest.__dataclass_fields__}
    assert TrainRequest(**asked) == request


def test_what_is_no_request_is_refused() -> None:
    for words in ([], ["--data", "x"], ["ask", "--nonsense"], ["ask", "--data"], ["ask", "--fold", "x"]):
        with pytest.raises(MmdemoError, match="This is no"):
            TrainRequest.from_argv(words)
    for value in ({}, {"task": "ask", "data": "x"}, {"task": 5, "data": []}, {"task": "ask", "base": 3}):
        with pytest.raises(MmdemoError, match="This is no request"):
            TrainRequest.from_json(value)


def test_a_run_keeps_it_with_whole_paths_and_who_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "model" / "trainer"
    place.mkdir(parents=True)
    request = TrainRequest(task="ask", data=(Path("here"),), out="elsewhere", overrides=("train.epochs=2",))
    write_request(request, place, device="cpu", source="page")
    told = json.loads((place / "request.json").read_text())
    assert read_request(told) == replace(request, data=(tmp_path / "here",), out=str(tmp_path / "model"))
    write_request(request, place, device="cuda", resume=True)
    again = json.loads((place / "request.json").read_text())
    assert (again["source"], again["created"]) == ("page", told["created"])


def test_a_run_of_before_that_kept_words_is_read() -> None:
    words = [
        "ask",
        "--data",
        "/a",
        "--data=/b",
        "--out",
        "/old",
        "--set",
        "train.epochs=2",
        "--fold",
        "1",
        "--out",
        "/m",
    ]
    assert read_request({"arguments": words, "task": "ask", "data": ["/a", "/b"]}) == TrainRequest(
        task="ask", data=(Path("/a"), Path("/b")), out="/m", overrides=("train.epochs=2",), fold=1
    )
    for told in ({}, {"arguments": []}, {"arguments": 3}, {"arguments": ["ask", "--what"]}, {"request": {"data": 3}}):
        assert read_request(told) is None


def test_cards_name_nobodys_folders(tmp_path: Path) -> None:
    own = tmp_path / "my pets"
    own.mkdir()
    request = TrainRequest(
        task="classify", data=(own,), out=str(tmp_path / "pets"), base="org/model", overrides=("train.epochs=2",)
    )
    words = shlex.split(command_line(request))
    assert words == [
        "python", "-m", "mmdemo", "train", "classify", "--data", "my pets", "--out", "pets", "--base", "org/model",
        "--set", "train.epochs=2",
    ]  # fmt: skip
