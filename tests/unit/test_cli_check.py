"""``train --check``: tables or one JSON object, and an exit code that says whether training would start."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mmdemo.cli import main
from mmdemo.cli.check import seed_of
from mmdemo.core.errors import MmdemoError
from mmdemo.train.request import TrainRequest
from tests.unit.data.made import write_classes


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_classes(tmp_path / "set", ["cup", "hat"], 12)
    assert main(["train", "classify", "--data", str(folder), "--check", "--set", "train.seed=4"]) == 0
    shown = capsys.readouterr()
    assert "Training would start" in shown.out
    assert "with seed 4" in " ".join(shown.out.split())
    assert "cup" in shown.out
    (folder / "hat" / "bad.png").write_bytes(b"no")
    assert main(["train", "classify", "--data", str(folder), "--check", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["good"], len(found["problems"])) == (True, 1)
    for file in folder.rglob("*.png"):
        file.write_bytes(b"no")
    assert main(["train", "classify", "--data", str(folder), "--check"]) == 1
    assert "Training would refuse" in capsys.readouterr().out


def test_a_leak_refuses_unless_it_is_allowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_classes(tmp_path / "set" / "train", ["cup", "hat"], 6)
    write_classes(tmp_path / "set" / "test", ["cup", "hat"], 2)
    arguments = ["train", "classify", "--data", str(tmp_path / "set"), "--check", "--json"]
    assert main(arguments) == 1
    assert "in both" in json.loads(capsys.readouterr().out)["leaks"][0]
    assert main([*arguments, "--allow-leaks"]) == 0
    assert json.loads(capsys.readouterr().out)["refusals"] == []


def test_the_seed_is_that_of_the_training(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text("[train]\nseed = 7\n", encoding="utf-8")
    request = TrainRequest(task="classify", data=(), config=file)
    assert seed_of(request) == 7
    assert seed_of(replace(request, overrides=("train.seed=3", "train.epochs=1"))) == 3
    assert seed_of(replace(request, config=None)) == 0
    file.write_text("[train", encoding="utf-8")
    with pytest.raises(MmdemoError, match=r"own.toml cannot be read"):
        seed_of(request)
