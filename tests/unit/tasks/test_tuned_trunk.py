"""What each setting of train.tune moves, and what it leaves alone: pictures with their trunk, and speech."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mmdemo.core.config import TUNED_TRUNK
from mmdemo.nets.vision import PictureTrunk, VisionConfig
from mmdemo.tasks import TASKS
from mmdemo.tasks.base import HEAD, Task
from mmdemo.tasks.classify import Trial
from mmdemo.tasks.pictures import FeatureLevel
from mmdemo.tasks.tune import Tune, freeze
from mmdemo.tasks.tuned_trunk import PictureTask, Tuned, TunedTask, with_trunk
from mmdemo.train.lora import add_lora, merge_lora
from tests.unit.tasks.made import CONFIGS, ROWS

TUNES = ["head", "last:1", "last:3", "lora", "all"]
PICTURE_TASKS = ["ask", "caption", "classify"]


@pytest.fixture(scope="module")
def trunk() -> PictureTrunk:
    """As models.encoders hands it out: frozen, its normalisation fitted to noise."""
    torch.manual_seed(0)
    made = PictureTrunk(VisionConfig(side=64))
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        made.train()(torch.randn(8, 3, 64, 64))
    return made.eval().requires_grad_(False)


def views(cut: FeatureLevel, count: int, pooled: bool) -> list[Any]:
    random = np.random.default_rng(7)
    if cut is FeatureLevel.PIXELS:
        return list(random.integers(0, 256, (count, 64, 64, 3), dtype=np.uint8))
    if cut is FeatureLevel.STEM:
        return list(random.normal(size=(count, 120, 4, 4)).astype(np.float16))
    shape = (count, 1280) if pooled else (count, 1280, 2, 2)
    return list(random.random(shape).astype(np.float16) if pooled else random.integers(0, 256, shape, dtype=np.uint8))


def made(name: str, tune: Tune, trunk: PictureTrunk) -> tuple[Task[Any, Any], nn.Module, list[Any]]:
    """Task, network and three rows, as a run would have them."""
    torch.manual_seed(1)
    cut = FeatureLevel.below(tune, trunk)
    task, config = TASKS[name], CONFIGS[name]
    if name in PICTURE_TASKS:
        config = replace(config, net={**config.net, "channels": 1280})
    net = task.build(config)
    if name == "vision":
        task.start(net, {"vision": trunk})
    rows = ROWS[name]()[:3]
    if name != "sentiment":
        seen = views(cut, len(rows), name == "classify")
        rows = [replace(row, views=(view,)) for row, view in zip(rows, seen, strict=True)]
    elif tune.frozen_encoder:
        features = np.random.default_rng(3).normal(size=(len(rows), 64)).astype(np.float32)
        rows = [replace(row, features=(heard,)) for row, heard in zip(rows, features, strict=True)]
    if name == "classify" and not tune.frozen_encoder:
        rows = [replace(row, imagenet=np.zeros(1000, np.float16)) for row in rows]
    task.fit_init(net, rows)
    task, net = with_trunk(task, net, tune, trunk)
    if tune.kind == "lora":
        add_lora(task, net, rank=2, alpha=4)
    freeze(task, net, tune)
    return task, net, rows


def learn(task: Task[Any, Any], net: nn.Module, rows: list[Any], steps: int = 2) -> None:
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.0)
    for _ in range(steps):
        net.train()
        optimizer.zero_grad()
        task.loss(net, task.collate(rows)).backward()
        optimizer.step()


def answers(task: Task[Any, Any], net: nn.Module, rows: list[Any]) -> list[Any]:
    with torch.inference_mode():
        return task.outputs(net.eval(), task.collate(rows))


@pytest.mark.parametrize(
    ("name", "text"),
    [(name, text) for name in ("caption", "vision") for text in TUNES]
    + [("sentiment", text.replace("3", "2")) for text in TUNES]
    + [(name, text) for name in ("ask", "classify") for text in ("head", "last:1", "lora")],
)
def test_what_should_move_moves_and_nothing_else(name: str, text: str, trunk: PictureTrunk) -> None:
    tune = Tune.parse(text)
    before_trunk = copy.deepcopy(trunk.state_dict())
    task, net, rows = made(name, tune, trunk)
    before = copy.deepcopy(net.state_dict())
    trainable = {n for n, p in net.named_parameters() if p.requires_grad}
    assert trainable == {
        n for n, _ in net.named_parameters() if tune.trains(task.depth(net, n)) and not _still(name, n, tune)
    }
    learn(task, net, rows, steps=3)
    after = net.state_dict()
    moved = {n for n in after if not torch.equal(after[n], before[n])}
    buffers = {n for n, _ in net.named_buffers()}
    assert moved - buffers == trainable
    assert {n for n in moved & buffers if not n.startswith("standard.")} == set()
    assert all(torch.equal(tensor, before_trunk[n]) for n, tensor in trunk.state_dict().items())
    assert min(task.depth(net, n) for n in trainable) == HEAD
    if text == "lora":
        lora = {n for n in trainable if ".lora_" in n}
        assert lora
        assert {task.depth(net, n) for n in lora} == {HEAD}
    outputs = answers(task, net, rows)
    assert len(outputs) == len(rows)
    assert task.metric in task.score(net, outputs, rows)


def _still(name: str, parameter: str, tune: Tune) -> bool:
    """What no setting trains: the published classifier under a task's head, and pooling that features went through."""
    under_head = name in PICTURE_TASKS and parameter.startswith("trunk.net.classifier")
    pooled = name == "sentiment" and tune.frozen_encoder and parameter.startswith("pooling.")
    return under_head or pooled


def test_head_is_the_task_itself_and_speech_has_no_trunk(trunk: PictureTrunk) -> None:
    for name in (*PICTURE_TASKS, "sentiment", "vision"):
        net = nn.Linear(1, 1)
        assert with_trunk(TASKS[name], net, Tune.parse("head"), trunk) == (TASKS[name], net)
        assert isinstance(TASKS[name], PictureTask) is (name in PICTURE_TASKS)
    assert with_trunk(TASKS["sentiment"], net, Tune.parse("all"), None) == (TASKS["sentiment"], net)
    with pytest.raises(TypeError, match="task sentiment does not look at pictures"):
        TunedTask(TASKS["sentiment"], trunk)


def test_only_changed_tensors_of_the_trunk_are_shipped(trunk: PictureTrunk) -> None:
    task, net, rows = made("caption", Tune.parse("last:1"), trunk)
    assert isinstance(net, Tuned)
    assert task.shipped(net).keys() == net.head.state_dict().keys()  # nothing was learned yet
    learn(task, net, rows)
    own = {n.removeprefix(TUNED_TRUNK) for n in task.shipped(net) if n.startswith(TUNED_TRUNK)}
    assert own == {n.removeprefix("trunk.") for n, p in net.named_parameters() if p.requires_grad and "trunk." in n}
    assert all(n.startswith(("net.blocks.6.", "net.conv_head", "net.bn2")) for n in own)


def test_the_layers_are_named_as_before_when_lora_is_folded_in(trunk: PictureTrunk) -> None:
    task, net, rows = made("caption", Tune.parse("lora"), trunk)
    plain = [f"trunk.{n}" for n in trunk.state_dict()]
    learn(task, net, rows)
    before = answers(task, net, rows)
    merge_lora(net)
    assert [n for n in net.state_dict() if n.startswith("trunk.")] == plain
    for one, other in zip(answers(task, net, rows), before, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-4)
    own = [n for n in task.shipped(net) if n.startswith(TUNED_TRUNK)]
    assert own
    assert all(n.endswith(".weight") for n in own)


def test_calibration_looks_at_pictures_through_the_tuned_trunk(trunk: PictureTrunk) -> None:
    task, net, rows = made("caption", Tune.parse("last:1"), trunk)
    assert task.calibrate(net, answers(task, net, rows), rows).kept == 0.8

    task, net, rows = made("classify", Tune.parse("last:1"), trunk)
    assert isinstance(net, Tuned)
    unit = np.eye(5, dtype=np.float32)
    net.head.names.copy_(torch.nn.functional.normalize(torch.randn(1000, 5), dim=1))
    trial = Trial(known=np.zeros(2, np.float32), labels=unit[:2], bank=unit, weight=0.5, right=0)
    rows = [replace(row, trials=(trial,)) for row in rows]
    seen: list[Any] = []
    inner = task.inner  # type: ignore[attr-defined]

    class Listening:
        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

        def calibrate(self, head: Any, outputs: Any, rows: Any) -> Any:
            seen.extend(rows)
            return inner.calibrate(head, outputs, rows)

    task.inner = Listening()  # type: ignore[attr-defined]
    task.calibrate(net, answers(task, net, rows), rows)
    assert len(seen) == 3
    assert all(np.abs(row.trials[0].known).max() > 0 for row in seen)
    assert not np.array_equal(seen[0].trials[0].known, seen[1].trials[0].known)


# ---------------------------------------------------------------- what belongs together


def test_rows_of_one_label_are_not_each_others_negatives() -> None:
    task = TASKS["classify"]
    torch.manual_seed(0)
    net = task.build(CONFIGS["classify"]).eval()
    rows = ROWS["classify"]()[:4]
    alike = [replace(row, group=i % 2, texts=rows[i % 2].texts) for i, row in enumerate(rows)]
    assert "group" not in task.collate(rows)
    assert task.collate(alike)["group"].tolist() == [0, 1, 0, 1]
    assert task.collate([*alike[:2], rows[3]])["group"].tolist() == [0, 1, -3]
    with torch.no_grad():
        own = task.loss(net, task.collate(alike))
        blind = task.loss(net, task.collate([replace(row, group=-1) for row in alike]))
    assert float(own) < float(blind)
    # two pictures of one label cannot be told apart by it: neither counts against the other
    outputs = answers(task, net, rows)
    outputs[0] = alike[1].texts[0] * 0.1
    outputs[2] = alike[0].texts[0]
    pair = [alike[0], alike[2]]
    assert task.score(net, [outputs[0], outputs[2]], pair)["r1"] == 1.0
    assert task.score(net, [outputs[0], outputs[2]], [replace(row, group=-1) for row in pair])["r1"] == 0.5


# ---------------------------------------------------------------- speech from features


def test_features_and_clips_give_the_same_head() -> None:
    from mmdemo.tasks.sentiment import features_of

    task = TASKS["sentiment"]
    torch.manual_seed(0)
    net = task.build(CONFIGS["sentiment"])
    other = copy.deepcopy(net)
    rows = ROWS["sentiment"]()
    task.fit_init(net, rows)
    heard = features_of(other, [torch.from_numpy(row.samples) for row in rows]).numpy()
    told = [replace(row, features=(feature,)) for row, feature in zip(rows, heard, strict=True)]
    task.fit_init(other, told)
    torch.testing.assert_close(net.classifier.weight, other.classifier.weight, atol=1e-4, rtol=1e-3)
    by_clip = answers(task, net, rows)
    by_feature = answers(task, other, told)
    np.testing.assert_allclose(np.stack(by_clip), np.stack(by_feature), atol=1e-3, rtol=1e-3)


def test_one_of_the_views_is_drawn_in_training_only() -> None:
    task = TASKS["sentiment"]
    row = replace(ROWS["sentiment"]()[0], features=tuple(np.full(4, i, np.float32) for i in range(3)))
    torch.manual_seed(0)
    drawn = {float(task.collate([replace(row, learning=True)])["features"][0, 0]) for _ in range(30)}
    assert drawn == {0.0, 1.0, 2.0}
    assert {float(task.collate([row])["features"][0, 0]) for _ in range(10)} == {0.0}
