"""A smaller copy of every kind of checkpoint: it answers alike, says what it cost, and replaces nothing else."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from mmdemo.cli.program import main
from mmdemo.core.config import Calibration, CardText, CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import Metric
from mmdemo.models import checkpoint, list_models, load, probe, registry
from mmdemo.models.loading import read
from mmdemo.nets.speech import EmotionNet, SpeechConfig, SpeechEncoder
from mmdemo.train.publish import finish
from mmdemo.train.quantize import MADE_FROM, quantize
from tests.small_bases import write_pictures
from tests.unit.models.conftest import SENTIMENT, change_config

# large enough for a matrix to be worth rounding
SPEECH = {"width": 64, "heads": 2, "layers": 1, "inner": 256, "mel_bins": 20}


@pytest.fixture(autouse=True)
def _no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What shipped models are measured on is not on this machine."""
    monkeypatch.setenv("MMDEMO_DATA", str(tmp_path / "no-data"))


@pytest.fixture
def sentiment(root: Path) -> Path:
    """A sentiment checkpoint whose encoder is not too small for eight bits."""
    torch.manual_seed(3)
    net = EmotionNet(SpeechConfig(**SPEECH, labels=3, pooling=4))
    config = CheckpointConfig(task="sentiment", net={**SENTIMENT.net, **SPEECH}, labels=SENTIMENT.labels)
    with torch.no_grad():
        net.classifier.weight.normal_(std=0.1)
    checkpoint.write(root / "voices", config, checkpoint.pack(net.state_dict()))
    (root / "voices" / probe.FILE).write_text(probe.record(read(root / "voices", device="cpu")), encoding="utf-8")
    return root / "voices"


def made_small(source: Path, name: str, **options: object) -> dict[str, object]:
    """The object that ``--json`` prints."""
    done = quantize(source, source.with_name(name), say=lambda text: None, **options)  # type: ignore[arg-type]
    found: dict[str, object] = json.loads(json.dumps(done.to_json()))
    return found


@pytest.mark.parametrize("task", ["ask", "classify", "caption", "sentiment"])
def test_a_smaller_copy_answers_alike(root: Path, sentiment: Path, task: str) -> None:
    source = sentiment if task == "sentiment" else root / f"{task}-base"
    before = checkpoint.weights_hash(source)
    told = made_small(source, "small")
    small = load(task, "small", device="cpu")  # repeats its own probe
    for one, other in zip(
        probe.answers(small.predict(probe.requests(task))),
        probe.answers(load(task, source.name, device="cpu").predict(probe.requests(task))),
        strict=True,
    ):
        for label in one.keys() & other.keys():
            assert one[label] == pytest.approx(other[label], abs=0.05)
    raw, theirs = load_file(root / "small" / checkpoint.WEIGHTS), load_file(source / checkpoint.WEIGHTS)
    rounded = [name for name in theirs if name + checkpoint.SCALE in raw]
    assert rounded
    assert all(raw[name].dtype == torch.int8 for name in rounded)
    assert checkpoint.weights_hash(source) == before
    config = checkpoint.read_config(root / "small")
    assert config.parts == checkpoint.read_config(source).parts
    assert config.settings[MADE_FROM] == source.name
    assert told["bytes"] == {
        "before": (source / checkpoint.WEIGHTS).stat().st_size,
        "after": (root / "small" / checkpoint.WEIGHTS).stat().st_size,
    }
    assert told["bytes"]["after"] < told["bytes"]["before"]  # type: ignore[index]
    assert told["bytes_with_parts"]["after"] < told["bytes_with_parts"]["before"]  # type: ignore[index]
    assert 0 <= float(told["agreement_on_made_inputs"]) <= 1  # type: ignore[arg-type]
    assert told["measured"] == []
    card = (root / "small" / "README.md").read_text()
    assert f"In int8, made from {source.name}." in card
    assert "Not measured on data: none was given." in card
    assert "Not measured yet" in card


def test_figures_are_measured_again_and_compared(root: Path, tmp_path: Path) -> None:
    source = root / "ask-base"
    card = CardText(summary="Answers.", licence="mit", notes=("It once reached 0.987.",))
    change_config(source, card=card, calibration=Calibration(kept=0.987, right=0.987))
    finish(source, [Metric(name="accuracy", value=0.987, low=0.9, high=1.0, n=3, data="old")], "", ["Reached 0.987."])
    pictures = write_pictures(tmp_path / "pictures") / "validation"
    told = made_small(source, "small", data=[pictures])
    (measured,) = told["measured"]  # type: ignore[misc]
    assert measured["n"] == 8
    assert {"accuracy", "ece"} <= measured["before"].keys()
    for name, (value, low, high) in measured["difference"].items():
        assert value == pytest.approx(measured["after"][name] - measured["before"][name], abs=2e-6)
        assert low <= high
    assert 0 <= measured["agreement"] <= 1
    written = (root / "small" / "README.md").read_text()
    metrics = json.loads((root / "small" / "metrics.json").read_text())
    for text in (written, json.dumps(metrics)):
        assert "0.987" not in text
        assert "Against ask-base on pictures/validation (n = 8)" in text
        assert "paired" in text
    assert {row["data"] for row in metrics["metrics"]} == {"pictures/validation"}
    assert all(row["value"] == pytest.approx(measured["after"][row["name"]], abs=1e-6) for row in metrics["metrics"])
    assert [card.id for card in list_models("ask")] == ["ask-base", "small"]
    (few,) = made_small(source, "small", data=[pictures], limit=3)["measured"]  # type: ignore[misc]
    assert few["n"] == 3
    assert "3 examples spread evenly over the data" in (root / "small" / "README.md").read_text()


def test_parts_are_made_smaller_without_a_probe(root: Path) -> None:
    told = made_small(root / "vision-base", "trunk")
    assert told["cosine_on_made_inputs"] == pytest.approx(1, abs=0.05)
    assert told["agreement_on_made_inputs"] is None
    assert not (root / "trunk" / probe.FILE).exists()
    raw = load_file(root / "trunk" / checkpoint.WEIGHTS)
    assert any(tensor.ndim == 4 and tensor.dtype == torch.int8 for tensor in raw.values())

    torch.manual_seed(4)
    shape = {name: SPEECH[name] for name in ("width", "heads", "layers", "inner", "mel_bins")}
    encoder = SpeechEncoder(**shape)
    checkpoint.write(
        root / "hears",
        CheckpointConfig(task="speech", net=asdict(SpeechConfig(**shape))),
        checkpoint.pack(encoder.state_dict()),
    )
    told = made_small(root / "hears", "hears-less")
    assert told["cosine_on_made_inputs"] == pytest.approx(1, abs=1e-3)
    with pytest.raises(MmdemoError, match='it is a "speech" checkpoint'):
        made_small(root / "hears", "hears-less", data=[root])
    with pytest.raises(MmdemoError, match="text-base cannot be made smaller: none of its matrices"):
        made_small(root / "text-base", "reads-less")
    assert not list(root.glob("*.part"))


def test_other_checkpoints_are_never_replaced(root: Path) -> None:
    source = root / "ask-base"
    with pytest.raises(MmdemoError, match="ask-base is the model itself"):
        made_small(source, "ask-base")
    with pytest.raises(MmdemoError, match="caption-base is there already"):
        made_small(source, "caption-base")
    (root / "notes").mkdir()
    (root / "notes" / "mine.txt").write_text("dear")
    with pytest.raises(MmdemoError, match="notes is there already"):
        made_small(source, "notes")
    assert (root / "notes" / "mine.txt").read_text() == "dear"
    made_small(source, "small")
    with pytest.raises(MmdemoError, match="small is in int8 already"):
        made_small(root / "small", "smaller")
    (root / "small" / "README.md").write_text("old")
    made_small(source, "small")  # what it made itself, it makes anew
    assert (root / "small" / "README.md").read_text() != "old"
    assert sorted(folder.name for folder in root.iterdir() if folder.suffix) == []


def test_an_unknown_model_is_answered_with_the_nearest(root: Path) -> None:
    with pytest.raises(MmdemoError, match=r"no model 'vision-bsae'.*Did you mean vision-base"):
        registry.find_any("vision-bsae")
    assert registry.find_any("caption-base") == root / "caption-base"
    (root / "ask-base" / checkpoint.WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(MmdemoError, match="ask-base cannot be loaded"):
        made_small(root / "ask-base", "small")
    assert not (root / "small").exists()


def test_a_full_disk_is_said_and_leaves_the_earlier_copy(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_small(root / "ask-base", "small")
    before = checkpoint.weights_hash(root / "small")

    def full(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(MmdemoError, match=r"small cannot be saved: .*No space left.*Free some space"):
        made_small(root / "ask-base", "small")
    assert checkpoint.weights_hash(root / "small") == before
    assert not list(root.glob("*.part"))


def test_a_model_from_elsewhere_brings_its_parts(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(root, elsewhere)
    for name in ("vision-base", "text-base", "ask-base"):
        shutil.rmtree(root / name)
    done = quantize(elsewhere / "ask-base", root / "small", say=lambda text: None)
    assert sorted(part.name for part in (root / "small" / "parts").iterdir()) == ["text-base", "vision-base"]
    assert load("ask", "small", device="cpu")
    assert done.source == "ask-base"


def test_the_command(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quantize", "caption-base", "--device", "cpu", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["model"] == str(root / "caption-base-int8")
    metrics = json.loads((root / "caption-base-int8" / "metrics.json").read_text())
    assert metrics["command"] == "python -m mmdemo quantize caption-base --to int8"
    assert main(["quantize", "caption-bsae"]) == 2
    assert "Did you mean caption-base" in capsys.readouterr().err
    assert main(["quantize", "caption-base", "--to", "int4"]) == 2
