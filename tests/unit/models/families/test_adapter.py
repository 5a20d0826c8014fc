"""What was learned of a public model: put into its base exactly, and into no other."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mmdemo.core.config import FAMILY, CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import Card
from mmdemo.models import checkpoint, interpolation, load, probe
from mmdemo.models.families import adapter
from mmdemo.models.families.base import HubModel, RuntimeConfig
from mmdemo.models.families.classes import class_of
from mmdemo.tasks.hub.base import LORA_A, LORA_B
from tests.tiny_models.audio import make_speech
from tests.tiny_models.vilt import ANSWERS, make_vilt

COMMIT = "0123456789" * 4


def opened(family: str, task: str, folder: Path) -> HubModel:
    return class_of(family).open(folder, Card(id="tiny", task=task, summary="", licence=""), how=RuntimeConfig())


@pytest.fixture(scope="module")
def vilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_vilt(tmp_path_factory.mktemp("vilt") / "tiny-vilt")


def written(folder: Path, base: adapter.AdapterBase, learned: dict[str, torch.Tensor], **settings: Any) -> Path:
    """A checkpoint that was tuned from a base, with its probe."""
    config = CheckpointConfig(
        task="ask",
        net={FAMILY: base.layout.family},
        labels=ANSWERS,
        settings={**base.settings(), adapter.RANK: 1, adapter.ALPHA: 2.0, **settings},
    )

    def complete(fresh: Path) -> None:
        model = adapter.open_adapter(fresh, Card(id="x", task="ask", summary="", licence=""), config, device="cpu")
        (fresh / probe.FILE).write_text(probe.record(model))

    extra = adapter.local_note(base)
    checkpoint.write(folder, config, checkpoint.pack(learned), extra=extra, complete=complete)
    return folder


@pytest.fixture
def tuned(vilt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(tmp_path))
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))
    return written(tmp_path / "mine", adapter.read_base(vilt, name=str(vilt)), {"classifier.3.bias": torch.arange(9.0)})


# ---------------------------------------------------------------- tensors


def test_products_are_added_and_whole_tensors_replaced() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Conv2d(2, 5, 3))
    linear, filters = net[0].weight.detach().clone(), net[1].weight.detach().clone()
    a, b, bias = torch.randn(2, 3), torch.randn(4, 2), torch.randn(5)
    first, second = torch.randn(2, 2, 3, 3), torch.randn(5, 2, 1, 1)
    learned = {
        f"0.weight{LORA_A}": a,
        f"0.weight{LORA_B}": b,
        "1.bias": bias,
        f"1.weight{LORA_A}": first,
        f"1.weight{LORA_B}": second,
    }
    adapter.apply(net, learned, scale=0.5, name="x")
    torch.testing.assert_close(net[0].weight, linear + 0.5 * b @ a)
    product = nn.functional.conv2d(first.movedim(0, 1), second).movedim(1, 0)  # as one convolution after the other
    torch.testing.assert_close(net[1].weight, filters + 0.5 * product)
    assert torch.equal(net[1].bias, bias)


@pytest.mark.parametrize(
    ("learned", "why"),
    [
        ({"2.weight": torch.zeros(1)}, "tensor 2.weight is unknown to its base"),
        ({f"9.weight{LORA_A}": torch.zeros(1, 1)}, "tensor 9.weight is unknown to its base"),
        ({"0.bias": torch.zeros(3)}, r"tensor 0.bias has shape \(3,\), its base needs \(4,\)"),
        ({f"0.weight{LORA_A}": torch.zeros(1, 3)}, "tensor 0.weight has one matrix of two"),
        (
            {f"0.weight{LORA_A}": torch.zeros(1, 3), f"0.weight{LORA_B}": torch.zeros(4, 2)},
            "the two matrices of 0.weight do not fit each other",
        ),
        (
            {f"0.weight{LORA_A}": torch.zeros(1, 2), f"0.weight{LORA_B}": torch.zeros(4, 1)},
            r"tensor 0.weight has shape \(4, 2\), its base needs \(4, 3\)",
        ),
    ],
)
def test_what_does_not_fit_is_named(learned: dict[str, torch.Tensor], why: str) -> None:
    net = nn.Sequential(nn.Linear(3, 4))
    with pytest.raises(MmdemoError, match=f"mine cannot be loaded: {why}"):
        adapter.apply(net, learned, scale=1.0, name="mine")


def test_the_hash_is_the_one_that_hubs_show(tmp_path: Path) -> None:
    one, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    one.write_bytes(b"one")
    other.write_bytes(b"other")
    assert adapter.base_hash([one]) == hashlib.sha256(b"one").hexdigest()
    both = adapter.base_hash([one, other])
    assert both == adapter.base_hash([other, one])
    one.write_bytes(b"two")
    os.utime(one, ns=(1, 1))
    assert adapter.base_hash([one]) == hashlib.sha256(b"two").hexdigest()
    assert adapter.base_hash([one, other]) != both
    with pytest.raises(MmdemoError, match="cannot be read"):
        adapter.base_hash([tmp_path / "c"])


# ---------------------------------------------------------------- labels


def test_new_answers_are_rows_behind_those_that_were_known(vilt: Path) -> None:
    model = opened("vilt", "ask", vilt)
    layer: Any = model.net.classifier[3]
    before = layer.weight.detach().clone()
    model.fit_labels(ANSWERS)
    assert model.net.classifier[3] is layer
    model.fit_labels((*ANSWERS, "seven"))
    after: Any = model.net.classifier[3]
    assert torch.equal(after.weight[:9], before)
    assert after.weight.shape[0] == 10
    assert model.net.config.id2label[9] == "seven"
    again = opened("vilt", "ask", vilt)
    again.fit_labels((*ANSWERS, "seven"))
    assert torch.equal(again.net.classifier[3].weight, after.weight)  # the same wherever it is read


def test_units_of_one_emotion_become_one(tmp_path: Path) -> None:
    folder = make_speech(tmp_path / "voices", labels=("female_happy", "male_happy", "neu"))
    model = opened("audio", "sentiment", folder)
    assert model.config.labels == ("happy", "neutral")
    before = model.net.classifier.weight.detach().clone()
    model.fit_labels(("happy", "neutral", "bored"))
    after = model.net.classifier.weight
    torch.testing.assert_close(after[0], before[:2].mean(dim=0))
    assert torch.equal(after[1], before[2])
    assert len(after) == model.net.config.num_labels == 3


# ---------------------------------------------------------------- the base


def test_it_loads_and_answers_from_what_was_learned(tuned: Path) -> None:
    model = load("ask", "mine", device="cpu")
    answers = [result.answer for result in model.predict(probe.requests("ask"))]  # type: ignore[union-attr]
    assert answers == [ANSWERS[-1]] * 2  # whose bias is the largest by far
    assert model.card.id == "mine"


def test_a_base_of_a_hub_is_found_by_its_revision(vilt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(tmp_path))
    place = tmp_path / "hub" / "models--someone--vilt" / "snapshots" / COMMIT
    shutil.copytree(vilt, place)
    base = adapter.read_base(place, name="someone/vilt")
    assert base == adapter.read_base(place, name=str(place))
    assert (base.id, base.revision) == ("someone/vilt", COMMIT)
    folder = written(tmp_path / "mine", base, {"classifier.3.bias": torch.zeros(9)})
    assert not (folder / checkpoint.LOCAL).exists()
    assert str(tmp_path) not in (folder / "config.json").read_text()
    assert load("ask", "mine", device="cpu")
    shutil.rmtree(place)
    with pytest.raises(
        MmdemoError,
        match=f"mine cannot be loaded: it stands on someone/vilt at revision {COMMIT}, which is not on this machine. "
        f"Fetch it first: python -m mmdemo download someone/vilt --revision {COMMIT}",
    ):
        load("ask", "mine", device="cpu")


def broken(change: Callable[[dict[str, Any]], None], folder: Path) -> None:
    stored = json.loads((folder / "config.json").read_text())
    change(stored)
    (folder / "config.json").write_text(json.dumps(stored))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda c: c["settings"].update(base_hash="0" * 64), "SHA-256 begins with .* and should begin with 0{12}"),
        (lambda c: c["net"].update(family="blip_ask"), "its base tiny-vilt is vilt here, and was blip_ask"),
        (lambda c: c["net"].update(family="audio"), "no audio model serves ask"),
        (lambda c: c["settings"].update(lora_rank=0), "its settings have no lora_rank"),
        (lambda c: c["settings"].update(base_id="../../etc"), "which is not on this machine"),
        (lambda c: c["labels"].append("eight"), r"tensor classifier.3.bias has shape \(9,\), its base needs \(10,\)"),
    ],
)
def test_what_is_wrong_with_it_is_one_sentence(tuned: Path, change: Callable[[dict[str, Any]], None], why: str) -> None:
    broken(change, tuned)
    with pytest.raises(MmdemoError, match=f"mine cannot be loaded: .*{why}"):
        load("ask", "mine", device="cpu")


def test_tuned_models_are_not_mixed(tuned: Path) -> None:
    with pytest.raises(MmdemoError, match="cannot be mixed: what stands on a public model holds products of matrices"):
        interpolation.pair(tuned, tuned)
