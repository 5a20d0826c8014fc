"""What is trained is one setting: whole runs with a trunk that learns, with LoRA, with a head on cached features."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mmdemo.core.config import TUNED_TRUNK
from mmdemo.core.errors import MmdemoError
from mmdemo.models import checkpoint, load, probe, registry
from mmdemo.models.encoders import load_vision
from mmdemo.train import run
from mmdemo.train.trainer import Interrupted
from tests.integration.test_training import Stops, configured, made, place, planned, trained
from tests.small_bases import THINGS, draw
from tests.training import train

__all__ = ["made", "place"]

SHORT = ["train.epochs=2"]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / checkpoint.WEIGHTS)


def tuned(folder: Path) -> set[str]:
    return {n.removeprefix(TUNED_TRUNK) for n in weights(folder) if n.startswith(TUNED_TRUNK)}


@pytest.mark.parametrize(
    ("task", "tune", "lowest"), [("ask", "last:1", 6), ("caption", "last:3", 4), ("classify", "lora", 0)]
)
def test_a_trunk_learns_along_and_is_shipped_with_the_head(
    made: Path, place: Path, task: str, tune: str, lowest: int
) -> None:
    folder = trained(made, place, task, overrides=[*SHORT, f"train.tune={tune}", "data.crops=1"])
    own = tuned(folder)
    stages = {int(name.split(".")[2]) for name in own if name.startswith("net.blocks.")}
    assert min(stages) == lowest
    assert not any("running_" in name or "classifier" in name or "lora_" in name for name in own)
    if tune == "lora":
        assert not any(name.endswith(".bias") or "bn" in name for name in own)
    base = checkpoint.weights_hash(made / "bases" / "vision-base")
    assert checkpoint.read_config(folder).parts["vision"].hash == base
    assert len(load(task, "mine", device="cpu").predict(probe.requests(task))) == 2
    assert registry.read_card(folder).parameters == sum(
        tensor.numel()
        for place in (
            folder,
            made / "bases" / "vision-base",
            *([] if task == "caption" else [made / "bases" / "text-base"]),
        )
        for name, tensor in weights(place).items()
        if not name.startswith(TUNED_TRUNK)
    )


def test_a_run_goes_on_from_a_tuned_trunk(made: Path, place: Path) -> None:
    first = trained(made, place, "caption", "first", [*SHORT, "train.tune=last:1"])

    def second(out: str, *overrides: str) -> Path:
        train(
            task="caption",
            data=[made / "pictures"],
            out=out,
            config=configured(place, "caption"),
            base=str(first),
            overrides=["train.epochs=1", *overrides],
            device="cpu",
        )
        return place / out

    head = second("head")
    assert tuned(head) == tuned(first)
    one, other = weights(first), weights(head)
    assert all(torch.equal(one[TUNED_TRUNK + name], other[TUNED_TRUNK + name]) for name in tuned(first))
    assert any(not torch.equal(one[name], other[name]) for name in one if not name.startswith(TUNED_TRUNK))
    vision = [load_vision(place / "vision-base", over=folder).hash for folder in (first, head)]
    assert vision[0] == vision[1] != load_vision(place / "vision-base").hash
    more = second("more", "train.tune=last:1", "train.learning_rate=1e-3")
    assert tuned(more) == tuned(first)
    assert load("caption", "more", device="cpu")
    assert any(not torch.equal(one[TUNED_TRUNK + n], weights(more)[TUNED_TRUNK + n]) for n in tuned(first))


def test_a_run_with_lora_goes_on_where_it_was_stopped(made: Path, place: Path) -> None:
    overrides = ["train.tune=lora", "train.lora_rank=2", "train.epochs=2", "train.save_steps=1"]
    with pytest.raises(Interrupted):
        run.train(planned(made, place, "stopped", overrides=overrides), watch=Stops(2))
    run.train(planned(made, place, "stopped", resume=True, overrides=overrides), watch=Stops())
    run.train(planned(made, place, "whole", overrides=overrides), watch=Stops())
    one, other = weights(place / "stopped"), weights(place / "whole")
    assert any(name.startswith(TUNED_TRUNK) for name in one)
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_the_shared_trunk_is_tuned_from_pixels_where_the_cut_is_deep(made: Path, place: Path) -> None:
    folder = trained(made, place, "vision", "vision-deep", ["train.epochs=1", "train.tune=last:3"])
    before, after = weights(made / "bases" / "vision-base"), weights(folder)
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert {int(name.split(".")[2]) for name in moved if name.startswith("net.blocks.")} == {4, 5, 6}
    with pytest.raises(MmdemoError, match=r"train\.tune is 'last:x'"):
        trained(made, place, "vision", "vision-wrong", ["train.tune=last:x"])


@pytest.mark.parametrize(("tune", "views"), [("head", 3), ("last:1", 0), ("lora", 0), ("all", 0)])
def test_speech(made: Path, place: Path, tune: str, views: int) -> None:
    folder = trained(made, place, "sentiment", overrides=[*SHORT, f"train.tune={tune}", f"data.views={views}"])
    after = weights(folder)
    before = load_file(made / "bases" / "whisper-tiny.en-encoder" / "model.safetensors")
    moved = {n for n in before if f"encoder.{n}" in after and not torch.equal(before[n].half(), after[f"encoder.{n}"])}
    layers = {name for name in moved if name.startswith("layers.")}
    assert bool(layers) is (tune != "head")
    assert ("conv1.weight" in moved) is (tune == "all")
    if tune == "lora":
        assert all(name.endswith(("proj.weight", "fc1.weight", "fc2.weight")) for name in moved)
    assert not any("lora_" in name for name in after)
    assert load("sentiment", "mine", device="cpu").predict(probe.requests("sentiment"))


def test_speech_goes_on_from_its_own_checkpoint(made: Path, place: Path) -> None:
    first = trained(made, place, "sentiment", "first", [*SHORT, "train.tune=all"])
    train(
        task="sentiment",
        data=[made / "voices"],
        out="second",
        config=configured(place, "sentiment"),
        base=str(first),
        overrides=["train.epochs=3", "data.views=1"],
        folds=made / "folds.json",
        fold=0,
        device="cpu",
    )
    one, other = weights(first), weights(place / "second")
    kept = ("encoder.", "pooling.")  # what the cached features went through
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items() if name.startswith(kept))
    assert not torch.equal(one["classifier.weight"], other["classifier.weight"])


def test_folders_of_classes(made: Path, place: Path, tmp_path: Path) -> None:
    for split, count in (("train", 4), ("validation", 2)):
        for thing in THINGS:
            (tmp_path / "classes" / split / thing).mkdir(parents=True)
            for i in range(count):
                draw("red", thing, 10 * count + i).save(tmp_path / "classes" / split / thing / f"{i}.png")
    train(
        task="classify",
        data=[tmp_path / "classes"],
        out="things",
        config=configured(place, "classify"),
        base=str(made / "bases"),
        overrides=SHORT,
        device="cpu",
    )
    assert load("classify", "things", device="cpu").predict(probe.requests("classify"))


def test_what_is_cached_is_not_made_again(made: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(made, place, "caption", "one", ["train.epochs=1"])
    kept = {file: file.stat().st_mtime_ns for file in (made / "cache" / "features").rglob("*.rows")}
    assert kept
    time.sleep(0.02)
    monkeypatch.setattr("mmdemo.data.pictures.load_picture", None)  # nothing is decoded
    trained(made, place, "caption", "two", ["train.epochs=1", "train.seed=1"])
    assert {file: file.stat().st_mtime_ns for file in (made / "cache" / "features").rglob("*.rows")} == kept
