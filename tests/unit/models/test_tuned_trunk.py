"""Checkpoints that bring a tuned trunk: a few tensors laid over those of the part they refer to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mmdemo.core.config import TUNED_TRUNK
from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import AskRequest, CaptionRequest, ClassifyRequest
from mmdemo.models import checkpoint, load, probe, registry
from mmdemo.models.encoders import VisionEncoder, load_vision
from mmdemo.models.loading import read
from mmdemo.tasks import TASKS
from mmdemo.tasks.base import to_bytes
from mmdemo.tasks.pictures import normalized, square
from mmdemo.tasks.tune import Tune
from mmdemo.tasks.tuned_trunk import Tuned, with_trunk
from tests.sealed import seal

REQUESTS = {
    "ask": AskRequest(picture=probe.made_picture(0), question="what is it"),
    "caption": CaptionRequest(picture=probe.made_picture(0)),
    "classify": ClassifyRequest(picture=probe.made_picture(0), labels=("dog", "cat")),
}
CHANGED = "net.blocks.6.0.conv_pw.weight"


def tuned(root: Path, task_name: str, *, amount: float = 0.2, base: str = "") -> tuple[Path, VisionEncoder, Tuned]:
    """A checkpoint beside the shipped one whose trunk was changed, as the end of a training writes it."""
    place = root / (base or f"{task_name}-base")
    config = checkpoint.read_config(place)
    vision = load_vision(root / "vision-base", over=place)
    net = TASKS[task_name].build(config)
    checkpoint.load_weights(net, place, trunk_apart=True)
    task, net = with_trunk(TASKS[task_name], net, Tune.parse("last:1"), vision.trunk)
    assert isinstance(net, Tuned)
    torch.manual_seed(3)
    with torch.no_grad():
        weight = net.trunk.get_parameter(CHANGED)
        weight.add_(torch.randn_like(weight) * weight.std() * amount)
    folder = root / f"tuned-{task_name}{base}"
    checkpoint.write(folder, config, checkpoint.pack(vision.shipped(task.shipped(net))))
    (folder / probe.FILE).write_text(probe.record(read(folder, device="cpu")), encoding="utf-8")
    return folder, vision, net.eval()


@pytest.mark.parametrize("task", sorted(REQUESTS))
def test_it_is_served_with_its_own_trunk_beside_the_shipped_one(root: Path, task: str) -> None:
    folder, vision, net = tuned(root, task)
    names = set(load_file(folder / checkpoint.WEIGHTS))
    assert {n for n in names if n.startswith(TUNED_TRUNK)} == {TUNED_TRUNK + CHANGED}
    model, plain = load(task, folder.name, device="cpu"), load(task, f"{task}-base", device="cpu")
    own, shared = (m.pictures.vision for m in (model, plain))  # type: ignore[attr-defined]
    assert own.hash != shared.hash == vision.hash
    assert own.reference() == shared.reference()
    picture = probe.made_picture(0)
    seen, others = (m.pictures.encode([picture])[0].grid for m in (model, plain))  # type: ignore[attr-defined]
    with torch.inference_mode():
        wanted = net.trunk(normalized([square(picture.pixels, 64)]))[0]
    torch.testing.assert_close(seen, wanted, atol=0.02, rtol=0.02)  # fp16 lies between
    assert float((others - wanted).abs().max()) > 0.1
    (result,) = model.predict([REQUESTS[task]])
    assert model.explain(REQUESTS[task], result)
    cards = [registry.read_card(root / name) for name in (folder.name, f"{task}-base")]
    assert cards[0].parameters == cards[1].parameters
    assert load_vision(root / "vision-base", over=folder) is own  # one copy, however often it is asked for


def test_what_starts_from_it_starts_from_its_trunk(root: Path) -> None:
    first, _, one = tuned(root, "caption")
    second, vision, other = tuned(root, "caption", amount=0.0, base=first.name)
    assert torch.equal(vision.trunk.state_dict()[CHANGED], one.trunk.state_dict()[CHANGED].half().float())
    assert torch.equal(other.trunk.state_dict()[CHANGED], vision.trunk.state_dict()[CHANGED])
    names = set(load_file(second / checkpoint.WEIGHTS))
    assert TUNED_TRUNK + CHANGED in names  # nothing was learned, and yet it is brought along
    assert load_vision(root / "vision-base", over=second).hash == vision.hash
    assert checkpoint.read_config(second).parts["vision"].hash == checkpoint.weights_hash(root / "vision-base")


def test_features_of_another_trunk_are_never_taken_for_its_own(root: Path) -> None:
    hashes = {load_vision(root / "vision-base").hash}
    for task, amount in (("caption", 0.1), ("ask", 0.3)):
        folder, vision, _ = tuned(root, task, amount=amount)
        own = load_vision(root / "vision-base", over=folder)
        assert own.stem_hash == vision.stem_hash  # below the cut nothing changed
        hashes.add(own.hash)
    assert len(hashes) == 3


@pytest.mark.parametrize("kind", ["unknown", "shape", "missing"])
def test_tensors_that_do_not_fit_are_named(root: Path, kind: str) -> None:
    folder, _, _ = tuned(root, "caption")
    file = folder / checkpoint.WEIGHTS
    tensors = load_file(file)
    if kind == "unknown":
        tensors[TUNED_TRUNK + "net.blocks.9.weight"] = torch.zeros(2)
        words = r"tensor vision\.net\.blocks\.9\.weight is unknown"
    elif kind == "shape":
        tensors[TUNED_TRUNK + CHANGED] = torch.zeros(3, 2)
        words = rf"tensor vision\.{CHANGED} has shape \(3, 2\), the network needs"
    else:
        del tensors["bias"]
        words = "tensor bias is missing"
    save_file(tensors, file)
    seal(folder)
    with pytest.raises(MmdemoError, match=rf"tuned-caption cannot be loaded: {words}"):
        load("caption", folder.name, device="cpu")


def test_a_trunk_is_no_part_of_a_network_without_one(root: Path) -> None:
    file = root / "sentiment-base" / checkpoint.WEIGHTS
    save_file({**load_file(file), TUNED_TRUNK + CHANGED: torch.zeros(2)}, file)
    seal(file.parent)
    with pytest.raises(MmdemoError, match=rf"tensor vision\.{CHANGED} is unknown"):
        load("sentiment", "sentiment-base", device="cpu")


def test_rounded_to_int8_it_still_answers(root: Path) -> None:
    folder, _, _ = tuned(root, "caption")
    config = checkpoint.read_config(folder)
    packed = checkpoint.pack(checkpoint.read_weights(folder), int8=True)
    checkpoint.write(root / "smaller", config, packed)
    own, rounded = (load_vision(root / "vision-base", over=place) for place in (folder, root / "smaller"))
    assert own.hash != rounded.hash
    pixels = normalized([square(probe.made_picture(0).pixels, 64)])
    with torch.inference_mode():
        one, other = (to_bytes(part.trunk(pixels)).astype(np.float32) for part in (own, rounded))
    assert np.abs(one - other).mean() < 3
    assert registry.read_card(root / "smaller").parameters == registry.read_card(folder).parameters
