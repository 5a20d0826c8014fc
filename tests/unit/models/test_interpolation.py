"""Mixtures of two checkpoints: exact at both ends, on a line between them, refused where they do not fit."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

from mmdemo.core.config import CLASSES, TUNED_TRUNK, CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.models import checkpoint, load, probe
from mmdemo.models.classify import ClassifyModel
from mmdemo.models.interpolation import interpolate, pair
from mmdemo.models.loading import read

TRUNK = "net.blocks.6.0.conv_pw.weight"
LABELS = ("dog", "cat", "boat")


def answers(folder: Path) -> dict[str, float]:
    """What becomes probabilities: how far each label stands out, and what it takes to beat "none of these"."""
    model = read(folder, device="cpu")
    assert isinstance(model, ClassifyModel)
    with torch.inference_mode():
        (seen,) = model.pictures.encode([probe.made_picture(0)])
        (found,) = model.heights(seen.pooled[None], model.vectors(LABELS))
    calibration = model.config.calibration
    logits = [*found.tolist(), calibration.height]
    return {n: x / calibration.temperature for n, x in zip((*LABELS, "none"), logits, strict=True)}


def tuned(root: Path, name: str = "tuned", *, trunk: bool = False, classes: tuple[str, ...] = ()) -> Path:
    """A checkpoint whose weights were moved away from the shipped one's, as a training writes it."""
    place, folder = root / "classify-base", root / name
    config, state = checkpoint.read_config(place), checkpoint.read_weights(place)
    torch.manual_seed(4)
    for key in state:
        if key.startswith("net."):
            state[key] = state[key] + 0.3 * torch.randn_like(state[key])
    if trunk:
        base = checkpoint.read_weights(root / "vision-base")
        state[TUNED_TRUNK + TRUNK] = base[TRUNK] + 0.2 * torch.randn_like(base[TRUNK])
    if classes:
        width = state["bank"].shape[1]
        model = read(place, device="cpu")
        assert isinstance(model, ClassifyModel)
        state["said"] = model.vectors(classes).said
        state["moved"] = torch.randn(len(classes), width)
        config = dataclasses.replace(
            config, net={**config.net, "own": len(classes)}, settings={**config.settings, CLASSES: classes}
        )
    config = dataclasses.replace(
        config, calibration=dataclasses.replace(config.calibration, temperature=0.5, height=0.7, threshold=0.4)
    )
    return written(folder, config, state)


def written(folder: Path, config: CheckpointConfig, state: dict[str, torch.Tensor]) -> Path:
    checkpoint.write(folder, config, checkpoint.pack(state))
    return folder


@pytest.mark.parametrize("trunk", [False, True])
@pytest.mark.parametrize("classes", [(), ("dog", "cat")])
def test_both_ends_answer_as_the_models_do(root: Path, trunk: bool, classes: tuple[str, ...]) -> None:
    a, b = root / "classify-base", tuned(root, trunk=trunk, classes=classes)
    found = []
    for alpha in (0.0, 0.5, 1.0):
        state, config = interpolate(a, b, alpha)
        found.append(answers(written(root / f"mixed-{alpha}", config, state)))
    before, after = answers(a), answers(b)
    assert before != pytest.approx(after, abs=1e-2)
    assert found[0] == pytest.approx(before, abs=0.5 if classes else 1e-5)
    assert found[2] == pytest.approx(after, abs=1e-5)
    assert found[1] != pytest.approx(found[0], abs=0.05)
    assert found[1] != pytest.approx(found[2], abs=0.05)


def test_every_weight_lies_on_the_line(root: Path) -> None:
    a, b = root / "classify-base", tuned(root, trunk=True)
    one, other = checkpoint.read_weights(a), checkpoint.read_weights(b)
    one[TUNED_TRUNK + TRUNK] = checkpoint.read_weights(root / "vision-base")[TRUNK]
    state, config = interpolate(a, b, 0.25)
    assert state.keys() == other.keys()
    for name, tensor in state.items():
        assert torch.allclose(tensor, 0.75 * one[name] + 0.25 * other[name], atol=1e-6), name
    base = checkpoint.read_config(a).calibration
    assert config.calibration.temperature == pytest.approx(0.75 * base.temperature + 0.25 * 0.5)
    assert not config.calibration.right


def test_at_the_base_no_trunk_of_its_own_is_left(root: Path) -> None:
    state, _ = interpolate(root / "classify-base", tuned(root, trunk=True), 0.0)
    assert not any(name.startswith(TUNED_TRUNK) for name in state)


def test_classes_of_both_are_known_to_the_mixture(root: Path) -> None:
    a, b = tuned(root, "first", classes=("boat", "cat")), tuned(root, "second", classes=("cat", "dog"))
    for alpha, side in ((0.0, a), (1.0, b)):
        state, config = interpolate(a, b, alpha)
        assert config.settings[CLASSES] == ("cat", "dog", "boat")
        assert answers(written(root / f"both-{alpha}", config, state)) == pytest.approx(answers(side), abs=0.5)


def test_running_statistics_are_mixed_and_that_is_said(root: Path) -> None:
    b = tuned(root)
    state = checkpoint.read_weights(b)
    base = checkpoint.read_weights(root / "vision-base")
    name = next(name for name in base if name.endswith("running_mean"))
    state[TUNED_TRUNK + name] = base[name] + 1
    written(b, checkpoint.read_config(b), state)
    both = pair(root / "classify-base", b)
    assert any("1 running statistics" in note for note in both.notes)
    assert torch.allclose(both.at(0.5)[TUNED_TRUNK + name], base[name] + 0.5, atol=2e-3)
    assert pair(root / "classify-base", tuned(root)).notes == ()


def test_what_does_not_fit_is_refused_by_name(root: Path) -> None:
    a = root / "classify-base"
    with pytest.raises(MmdemoError, match="one was made for classify, the other for ask"):
        pair(a, root / "ask-base")
    b = tuned(root)
    config, state = checkpoint.read_config(b), checkpoint.read_weights(b)
    written(root / "other", dataclasses.replace(config, net={**config.net, "hidden": 8}), state)
    with pytest.raises(MmdemoError, match=r"net\.hidden is 16 and 8"):
        pair(a, root / "other")
    written(root / "words", dataclasses.replace(config, settings={**config.settings, "known_weight": 0.1}), state)
    with pytest.raises(MmdemoError, match="the setting known_weight differs"):
        pair(a, root / "words")
    del state["net.1.weight"]
    written(root / "less", config, state)
    with pytest.raises(MmdemoError, match=r"only classify-base has the tensor net\.1\.weight"):
        pair(a, root / "less")
    copy = shutil.copytree(root / "sentiment-base", root / "feelings")
    feelings = checkpoint.read_config(copy)
    (copy / "config.json").write_text(dataclasses.replace(feelings, labels=("neutral", "glad", "sad")).to_json())
    with pytest.raises(MmdemoError, match="label 2 is 'happy' and 'glad'"):
        pair(root / "sentiment-base", copy)
    with pytest.raises(MmdemoError, match="from 0"):
        pair(a, b).at(1.5)


def test_other_tasks_can_be_mixed_too(root: Path) -> None:
    a, b = root / "caption-base", shutil.copytree(root / "caption-base", root / "other")
    state = {name: tensor + 0.1 for name, tensor in checkpoint.read_weights(b).items()}
    config = checkpoint.read_config(b)
    checkpoint.write(b, config, checkpoint.pack(state))
    mixed, _ = interpolate(a, b, 1.0)
    checkpoint.write(root / "mixed", config, checkpoint.pack(mixed))
    (root / "mixed" / probe.FILE).write_text(probe.record(read(b, device="cpu")))
    assert load("caption", "mixed", device="cpu")
