"""A checkpoint comes back as it was written, or is refused by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmdemo.core.config import SCHEMA, Calibration, CardText, CheckpointConfig, EncoderRef
from mmdemo.core.errors import MmdemoError
from mmdemo.models import checkpoint
from mmdemo.nets.decoder import CaptionConfig, CaptionDecoder
from tests.sealed import seal

CONFIG = CheckpointConfig(
    task="caption",
    net={"words": 6, "width": 8, "layers": 1, "heads": 2, "positions": 8, "channels": 4, "grid": 2},
    labels=("<start>", "<end>", "<unknown>", "<pad>", "dog", "cat"),
    settings={"templates": ("a {}", "{}"), "known_weight": 0.5},
    calibration=Calibration(temperature=1.5, threshold=0.25, kept=0.9, right=0.8, data="x", height=2.0),
    parts={"vision": EncoderRef(name="vision-base", hash="ab")},
    card=CardText(summary="Sums it up.", licence="mit", limits=("one", "two")),
)


def made() -> CaptionDecoder:
    net = CaptionDecoder(CaptionConfig(**CONFIG.net))
    with torch.no_grad():  # fresh networks may be alike; changed ones are not
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter))
    return net


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    net, other = made(), made()
    checkpoint.write(tmp_path / "c", CONFIG, checkpoint.pack(net.state_dict()), extra={"README.md": "# é\n"})
    found = checkpoint.read_config(tmp_path / "c")
    assert replace(found, weights=None) == CONFIG
    assert found.weights is not None
    assert found.weights.sha256 == checkpoint.weights_hash(tmp_path / "c")
    assert found.weights.tensors.keys() == net.state_dict().keys()
    checkpoint.load_weights(other, tmp_path / "c")
    for name, tensor in net.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor.half().float()), name
    modes = {file.stat().st_mode for file in (tmp_path / "c").iterdir()}
    assert len(modes) == 1
    # a second time nothing is rounded any more
    checkpoint.write(tmp_path / "d", CONFIG, checkpoint.pack(other.state_dict()))
    assert checkpoint.weights_hash(tmp_path / "d") == checkpoint.weights_hash(tmp_path / "c")
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c", "d"]


def test_eight_bits_stay_within_their_bound() -> None:
    state = {
        "matrix": torch.randn(5, 4000) * torch.tensor([[1e-6], [1e-2], [1.0], [30.0], [0.0]]),
        "filters": torch.randn(64, 40, 3, 3) * torch.rand(64, 1, 1, 1),
        "vector": torch.randn(20_000),
        "small": torch.randn(100, 100),
        "depthwise": torch.randn(1000, 1, 5, 5),
    }
    packed = checkpoint.pack(state, int8=True)
    back = checkpoint.unpack(packed)
    assert back.keys() == state.keys()
    for name in ("matrix", "filters"):
        assert packed[name].dtype == torch.int8
        assert packed[name + checkpoint.SCALE].numel() == len(state[name])
        step = state[name].flatten(1).abs().amax(dim=1).clamp(min=127e-7) / 127
        # half a step of rounding, and what the scale loses in fp16
        error = (back[name] - state[name]).flatten(1).abs().amax(dim=1)
        assert bool((error <= step * (0.5 + 127 * 2**-11) + 1e-5).all()), name
        assert not torch.equal(back[name], state[name])
    for name in ("vector", "small", "depthwise"):  # what saves nothing, or costs too much
        assert torch.equal(back[name], state[name].half().float()), name


def test_a_second_writing_replaces_the_first_and_keeps_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    checkpoint.write(folder, CONFIG, checkpoint.pack(made().state_dict()), extra={"old.md": "old"})
    (folder / "trainer").mkdir()
    (folder / "trainer" / "log.txt").write_text("kept")
    second = made()
    checkpoint.write(folder, CONFIG, checkpoint.pack(second.state_dict()))
    assert (folder / "old.md").exists()  # whatever is not a checkpoint's own is somebody's
    assert (folder / "trainer" / "log.txt").read_text() == "kept"
    checkpoint.load_weights(made(), folder)
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "c"
    checkpoint.write(folder, CONFIG, checkpoint.pack(made().state_dict()))
    before = checkpoint.weights_hash(folder)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "_fsync", full)
    with pytest.raises(MmdemoError, match=r"c cannot be saved: .*No space left"):
        checkpoint.write(folder, CONFIG, checkpoint.pack(made().state_dict()))
    assert checkpoint.weights_hash(folder) == before
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    checkpoint.write(tmp_path / "mine", CONFIG, checkpoint.pack(made().state_dict()))
    return tmp_path / "mine"


def refused(folder: Path, words: str) -> None:
    with pytest.raises(MmdemoError, match=f"mine cannot be loaded: .*{words}"):
        checkpoint.load_weights(made(), folder)


def test_tensors_that_do_not_fit_are_named(folder: Path) -> None:
    file = folder / checkpoint.WEIGHTS
    good = load_file(file)
    save_file({**good, "stowaway": torch.zeros(2)}, file)
    seal(folder)
    refused(folder, "tensor stowaway is unknown")
    save_file({name: tensor for name, tensor in good.items() if name != "norm.weight"}, file)
    seal(folder)
    refused(folder, "tensor norm.weight is missing")
    save_file({**good, "bias": torch.zeros(9)}, file)
    seal(folder)
    refused(folder, r"tensor bias has shape \(9,\), the network needs \(6,\)")


def test_damaged_weights_are_refused(folder: Path) -> None:
    file = folder / checkpoint.WEIGHTS
    whole = file.read_bytes()
    for damaged in (whole[:-20], whole[:6], b"", b"\xff" * 200, b"\x80\x04\x95pickle"):
        file.write_bytes(damaged)
        refused(folder, "model.safetensors is damaged")
    file.unlink()
    refused(folder, "model.safetensors is missing")
    with pytest.raises(MmdemoError, match=r"model.safetensors is missing"):
        checkpoint.weights_hash(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": SCHEMA + 1}, f"schema {SCHEMA + 1}, this version reads {SCHEMA}"),
        ({"labels": 3}, "not valid"),
        ({"calibration": {"heat": 3}}, "not valid .*heat"),
        ({"parts": {"vision": "vision-base"}}, "not valid"),
        ({"settings": []}, "not valid"),
        ({"task": "sentiment", "labels": ["sad", "bored", "bored"]}, "not valid .*twice"),
    ],
)
def test_a_wrong_configuration_is_refused(folder: Path, change: dict[str, object], words: str) -> None:
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**raw, **change}))
    with pytest.raises(MmdemoError, match=f"mine cannot be loaded: its config.json .*{words}"):
        checkpoint.read_config(folder)


@pytest.mark.parametrize("text", [b"{", b"[]", b"3", b"\xff\xfe\x00", b"{}"])
def test_what_is_no_configuration_is_refused(folder: Path, text: bytes) -> None:
    (folder / "config.json").write_bytes(text)
    with pytest.raises(MmdemoError, match=r"mine cannot be loaded: its config.json"):
        checkpoint.read_config(folder)


def test_a_folder_without_one_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(MmdemoError, match=r"is not a checkpoint: it holds no config.json"):
        checkpoint.read_config(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"metrics": 3}', '{"metrics": [{"name": "x"}]}'])
def test_damaged_figures_are_refused(folder: Path, text: str) -> None:
    assert checkpoint.read_metrics(folder) == ()
    (folder / "metrics.json").write_text(text)
    with pytest.raises(MmdemoError, match=r"mine cannot be loaded: its metrics.json is not valid"):
        checkpoint.read_metrics(folder)


@pytest.mark.parametrize("moved", ["trainer", "folder"])
def test_a_kill_while_it_is_put_in_place_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: str
) -> None:
    """Killed right after the run's notes have moved over, or right after the old folder has been set aside."""
    folder = tmp_path / "c"
    checkpoint.write(folder, CONFIG, checkpoint.pack(made().state_dict()))
    (folder / "trainer").mkdir()
    (folder / "trainer" / "events.jsonl").write_text("{}\n")
    fresh = made()

    class Killed(BaseException):
        pass

    rename = Path.rename

    def die(self: Path, target: Path) -> Path:
        found = rename(self, target)
        if self.name == {"trainer": "trainer", "folder": "c"}[moved]:
            raise Killed
        return found

    monkeypatch.setattr(Path, "rename", die)
    with pytest.raises(Killed):
        checkpoint.write(folder, CONFIG, checkpoint.pack(fresh.state_dict()))
    monkeypatch.undo()
    assert not (folder / "trainer").exists()
    checkpoint.recover(folder)
    assert (folder / "trainer" / "events.jsonl").exists()
    net = made()
    checkpoint.load_weights(net, folder)
    torch.testing.assert_close(net.state_dict(), fresh.state_dict(), atol=2e-3, rtol=2e-3)
    assert "c" in {place.name for place in tmp_path.iterdir() if place.suffix != ".old"}
    checkpoint.recover(folder)  # nothing is left to do
    assert (folder / "trainer").exists()


def test_what_completes_a_checkpoint_comes_before_it_can_be_seen(tmp_path: Path) -> None:
    def complete(place: Path) -> None:
        assert not (tmp_path / "c").exists()
        (place / "probe.json").write_text("{}")

    checkpoint.write(tmp_path / "c", CONFIG, checkpoint.pack(made().state_dict()), complete=complete)
    assert (tmp_path / "c" / "probe.json").exists()


def test_what_is_not_the_checkpoints_stays(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    checkpoint.write(folder, CONFIG, checkpoint.pack(made().state_dict()))
    (folder / "thesis.txt").write_text("years of work")
    (folder / "pictures").mkdir()
    (folder / "pictures" / "1.png").write_bytes(b"x")
    before = checkpoint.weights_hash(folder)
    checkpoint.write(folder, CONFIG, checkpoint.pack(made().state_dict()), aside=folder / "trainer" / "earlier-1")
    assert (folder / "thesis.txt").read_text() == "years of work"
    assert (folder / "pictures" / "1.png").exists()
    assert checkpoint.weights_hash(folder) != before
    assert checkpoint.weights_hash(folder / "trainer" / "earlier-1") == before
    assert sorted(place.name for place in tmp_path.iterdir()) == ["c"]


def test_what_is_in_the_way_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "c.part").mkdir()
    (tmp_path / "c.part" / "mine.txt").write_text("mine")
    (tmp_path / "d").write_text("a file")
    for name in ("c", "d"):
        with pytest.raises(MmdemoError, match="is in the way"):
            checkpoint.write(tmp_path / name, CONFIG, checkpoint.pack(made().state_dict()))
    assert (tmp_path / "c.part" / "mine.txt").exists()
    assert (tmp_path / "d").read_text() == "a file"


def test_what_is_no_number_is_not_saved(tmp_path: Path) -> None:
    for wrong in (float("nan"), 1e6):
        state = made().state_dict()
        state["bias"][0] = wrong
        with pytest.raises(MmdemoError, match="tensor bias holds values that are no numbers"):
            checkpoint.write(tmp_path / "c", CONFIG, checkpoint.pack(state))
