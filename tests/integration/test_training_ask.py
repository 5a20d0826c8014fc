"""Ask trained with another fusion and with words of its own, served, and built upon without a text encoder."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import AskResult
from mmdemo.models import checkpoint, load, probe
from tests.small_bases import write_pictures, write_text, write_vision
from tests.training import train as run_train


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(tmp_path))
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))
    write_vision(tmp_path / "vision-base")
    write_text(tmp_path / "text-base")
    write_pictures(tmp_path / "pictures", train=4, validation=2)
    return tmp_path


def train(place: Path, out: str, *, base: str, net: str) -> None:
    file = place / "ask.toml"
    file.write_text(
        f"[data]\nleast = 1\n[net]\n{net}\n[train]\nepochs = 1\nbatch_size = 4\n"
        '[card]\nsummary = "Made for a test."\nlicence = "cc0-1.0"\n'
    )
    assert run_train(task="ask", data=[place / "pictures"], out=out, config=file, base=base, device="cpu") == 0


def test_a_network_that_weighs_and_reads_words_itself(place: Path) -> None:
    small = "width = 16\nlayers = 1\nheads = 2\n"
    train(place, "first", base=str(place), net=f'{small}fusion = "weighted"\nquestion = "lstm"')
    config = checkpoint.read_config(place / "first")
    assert set(config.parts) == {"vision"}
    result = load("ask", "first", device="cpu").predict(probe.requests("ask"))[0]
    assert isinstance(result, AskResult)
    assert result.weights is not None
    assert sum(result.weights.values()) == pytest.approx(1)

    train(place, "second", base="first", net="")
    again = checkpoint.read_config(place / "second")
    assert again.net == config.net
    assert again.settings == config.settings
    assert load("ask", "second", device="cpu")

    with pytest.raises(MmdemoError, match=r"net.fusion is late, and the base of this run was made with weighted"):
        train(place, "third", base="first", net='fusion = "late"')
