"""Learning from a teacher: what it says is found by name, mixed in by share, and can be learned by heart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mmdemo.nets.shared_space import placed
from mmdemo.nets.speech import SpeechConfig
from mmdemo.nets.speech_augment import SpeechAugment
from mmdemo.tasks import TASKS
from mmdemo.tasks.base import PLAIN, LossSettings
from mmdemo.tasks.distillation import SOFT, SoftTargets, mixed, places, sharpened, soft_batch, softened
from mmdemo.tasks.sentiment import SentimentTask
from mmdemo.tasks.speech import SpeechTask, encoder, shape_settings, teacher_shape
from mmdemo.tasks.vision import TEACHER_WIDTH
from tests.unit.tasks.made import CONFIGS, ROWS

ALONE = LossSettings(teacher_share=1.0, teacher_temperature=1.0)
TEACHER_CHANNELS = 7


def big(name: str) -> torch.nn.Module:
    """A network of the task whose answers differ from input to input."""
    torch.manual_seed(5)
    net = TASKS[name].build(CONFIGS[name]).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return net


def taught(name: str) -> list[Any]:
    """Rows with what that network says of them, or with made grids where a trunk teaches."""
    rows = ROWS[name]()
    if name == "vision":
        random = np.random.default_rng(9)
        grids = random.integers(0, 256, (len(rows), TEACHER_CHANNELS, 4, 4), dtype=np.uint8)
        return [replace(row, soft=(grid,)) for row, grid in zip(rows, grids, strict=True)]
    with torch.inference_mode():
        found = TASKS[name].outputs(big(name), TASKS[name].collate(rows))
    if name == "classify":
        moved = [tuple(placed(big(name).texts, np.stack(row.texts))) for row in rows]
        return [
            replace(row, soft=(10 * out).astype(np.float16), placed=texts)
            for row, out, texts in zip(rows, found, moved, strict=True)
        ]
    here = places(CONFIGS[name].labels, CONFIGS[name].labels)
    if name == "sentiment":
        return [
            replace(row, soft=SoftTargets(logits=out.astype(np.float16), places=here))
            for row, out in zip(rows, found, strict=True)
        ]
    return [
        replace(
            row,
            questions=tuple(
                replace(q, soft=SoftTargets(logits=one.astype(np.float16), places=here))
                for q, one in zip(row.questions, out, strict=True)
            ),
        )
        for row, out in zip(rows, found, strict=True)
    ]


def student(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    config = CONFIGS[name]
    if name == "vision":
        config = replace(config, settings={**config.settings, TEACHER_WIDTH: TEACHER_CHANNELS})
    return TASKS[name].build(config).train()


TAUGHT = ["ask", "classify", "sentiment", "vision"]


@pytest.mark.parametrize("name", TAUGHT)
def test_without_a_share_a_teacher_changes_nothing(name: str) -> None:
    task, found = TASKS[name], []
    for rows in (taught(name), ROWS[name]()):
        net = student(name)
        loss = task.loss(net, task.collate(rows), replace(PLAIN, teacher_share=0.0))
        loss.backward()
        found.append((loss.detach(), {n: p.grad for n, p in net.named_parameters()}))
    (one, gradients), (other, plain) = found
    assert torch.equal(one, other)
    for parameter, gradient in plain.items():
        mine = gradients[parameter]
        assert (mine is None) == (gradient is None), parameter
        assert mine is None or gradient is None or torch.equal(mine, gradient), parameter


@pytest.mark.parametrize("name", TAUGHT)
def test_the_share_is_the_weight_of_the_teacher(name: str) -> None:
    task, net = TASKS[name], student(name).eval()
    batch = task.collate(taught(name))
    with torch.no_grad():
        labels, teacher, half = (
            float(task.loss(net, batch, LossSettings(teacher_share=share))) for share in (0.0, 1.0, 0.25)
        )
    assert teacher > 0
    assert abs(teacher - labels) > 1e-3
    assert half == pytest.approx(0.75 * labels + 0.25 * teacher, rel=1e-4)


@pytest.mark.parametrize(("name", "steps"), [("ask", 60), ("classify", 120), ("sentiment", 60), ("vision", 15)])
def test_a_student_comes_to_say_what_its_teacher_says(name: str, steps: int) -> None:
    task, rows, net = TASKS[name], taught(name), student(name)
    if name == "vision":
        net.trunk.requires_grad_(False)
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=5e-3)
    losses = []
    for _ in range(steps):
        loss = task.loss(net, task.collate(rows), ALONE)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    if name == "vision":  # a linear projection of a fixed grid cannot explain noise, but it can come nearer
        assert losses[-1] < 0.8 * losses[0]
        return
    assert losses[-1] < 0.1 * losses[0]
    with torch.inference_mode():
        said, wanted = (task.outputs(model.eval(), task.collate(rows)) for model in (net, big(name)))
    if name == "classify":
        texts = np.concatenate([row.texts for row in rows])
        said, wanted = (
            [out @ placed(model.texts, texts).T for out in outs] for model, outs in ((net, said), (big(name), wanted))
        )
    same = [np.argmax(a, -1) == np.argmax(b, -1) for a, b in zip(said, wanted, strict=True)]
    assert np.mean(same) > 0.9


def test_labels_are_found_by_name() -> None:
    theirs, mine = ("cat", "dog", "red", "yes"), ("dog", "zebra", "cat")
    soft = SoftTargets(logits=np.array([1, 2, 3, 4], np.float16), places=places(mine, theirs))
    assert soft.over_labels().tolist() == [2.0, -np.inf, 1.0]
    batch = soft_batch([soft, None])
    assert batch[SOFT].tolist() == [[2.0, -np.inf, 1.0], [-np.inf] * 3]
    assert soft_batch([None, None]) == {}


def test_what_a_teacher_does_not_know_is_left_to_the_labels() -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    soft = torch.tensor([[2.0, -torch.inf, 1.0]] * 3 + [[-torch.inf] * 3])
    loss = mixed(torch.zeros(()), logits, {SOFT: soft}, ALONE)
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert bool((logits.grad[:3, [0, 2]] != 0).all())
    assert bool((logits.grad[:, 1] == 0).all())
    assert bool((logits.grad[3] == 0).all())
    # the teacher's other answers count as if there were no more of them
    two = mixed(torch.zeros(()), logits.detach()[:3, [0, 2]], {SOFT: soft[:3, [0, 2]]}, ALONE)
    assert float(loss.detach()) == pytest.approx(float(two) * 3 / 4, rel=1e-5)


def test_softening_can_be_undone() -> None:
    soft = torch.tensor([[1.0, 3.0, -torch.inf], [-torch.inf] * 3])
    heard = softened(soft, 2.0)
    assert heard.sum(dim=1).tolist() == pytest.approx([1.0, 0.0])
    back = sharpened(heard, 2.0)
    assert float(back[0, 1] - back[0, 0]) == pytest.approx(2.0, abs=1e-5)
    assert back[0, 2] == -torch.inf
    assert bool((back[1] == -torch.inf).all())


def _mixing(share: float) -> Callable[[Sequence[Any]], torch.Tensor]:
    task = SentimentTask(augment=SpeechAugment(mix=1.0))

    def loss(rows: Sequence[Any]) -> torch.Tensor:
        net = student("sentiment")
        with torch.no_grad():
            net.classifier.weight.normal_()
        torch.manual_seed(1)
        return task.loss(
            net, task.collate([replace(row, learning=True) for row in rows]), LossSettings(teacher_share=share)
        )

    return loss


def test_clips_that_are_mixed_have_their_teachers_word_mixed() -> None:
    rows, plain = taught("sentiment"), ROWS["sentiment"]()
    assert torch.equal(_mixing(0.0)(rows), _mixing(0.0)(plain))
    said = _mixing(1.0)(rows)
    assert torch.isfinite(said)
    alike = [replace(row, soft=rows[0].soft) for row in rows]  # one word for all: mixing must not change it
    constant = _mixing(1.0)(alike)
    assert torch.isfinite(constant)
    assert not torch.equal(said, constant)


def test_a_speech_teacher_may_have_another_shape() -> None:
    shape = SpeechConfig(width=16, heads=2, head_width=6, layers=2, inner=24, mel_bins=20)
    config = CONFIGS["sentiment"]
    assert teacher_shape(config).layers == 4
    settings = shape_settings(encoder(shape))
    net = SpeechTask().build(replace(config, task="speech", settings=settings))
    assert {n: p.shape for n, p in net.teacher.named_parameters()} == {
        n: p.shape for n, p in encoder(shape).named_parameters()
    }
    net.teacher.load_state_dict(encoder(shape).state_dict(), strict=True)
