"""The command ``train --teacher``: a small network learns from a large one's answers, and the card says of whom."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mmdemo.core.types import AskRequest, AskResult
from mmdemo.data.read import read_examples
from mmdemo.media.image import load_picture
from mmdemo.models import checkpoint, load
from tests.small_bases import write_pictures, write_text, write_vision
from tests.training import train


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))
    write_vision(tmp_path / "checkpoints" / "vision-base")
    write_text(tmp_path / "checkpoints" / "text-base")
    write_pictures(tmp_path / "pictures")
    (tmp_path / "ask.toml").write_text(
        "[data]\nleast = 1\n[net]\nwidth = 16\nlayers = 1\nheads = 2\ndropout = 0.0\n[train]\nepochs = 12\n"
        'batch_size = 5\nlearning_rate = 1e-2\nprecision = "fp32"\naverage = 0.0\n[card]\nlicence = "cc0-1.0"\n'
    )
    return tmp_path


def trained(place: Path, out: str, *overrides: str, teacher: str | None = None) -> Path:
    done = train(
        task="ask",
        data=[place / "pictures"],
        out=out,
        config=place / "ask.toml",
        base=str(place / "checkpoints"),
        teacher=teacher,
        overrides=overrides,
        device="cpu",
    )
    assert done == 0
    return place / "checkpoints" / out


def answers(place: Path, name: str) -> list[str]:
    model = load("ask", name, device="cpu")
    found = []
    for example in read_examples("ask", [place / "pictures"], split="train").examples:
        assert example.file is not None
        (result,) = model.predict([AskRequest(picture=load_picture(example.file), question=example.question)])
        assert isinstance(result, AskResult)
        found.append(result.answer)
    return found


def test_a_student_learns_from_its_teacher(place: Path) -> None:
    trained(place, "large")
    alone = ("net.width=8", "train.teacher_share=1.0", "train.epochs=40", "train.keep_best=false")
    student = trained(place, "small", *alone, teacher="large")
    assert np.mean([a == b for a, b in zip(answers(place, "large"), answers(place, "small"), strict=True)]) > 0.7
    told = json.loads((student / "metrics.json").read_text())
    assert "--teacher large" in told["command"]
    assert "taught by large (cc0-1.0)" in (student / "README.md").read_text()
    assert not any("soft" in name for name in load_file(student / checkpoint.WEIGHTS))


def test_a_teacher_without_a_share_changes_nothing(place: Path) -> None:
    trained(place, "large", "train.epochs=1")
    alone = load_file(trained(place, "alone", "train.epochs=2") / checkpoint.WEIGHTS)
    beside = load_file(
        trained(place, "beside", "train.epochs=2", "train.teacher_share=0.0", teacher="large") / checkpoint.WEIGHTS
    )
    taught = load_file(trained(place, "taught", "train.epochs=2", teacher="large") / checkpoint.WEIGHTS)
    assert alone.keys() == beside.keys()
    assert all(torch.equal(tensor, beside[name]) for name, tensor in alone.items())
    assert any(not torch.equal(tensor, taught[name]) for name, tensor in alone.items())
