"""Classes of somebody's own get vectors that pictures of them have moved; nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmdemo.nets.shared_space import ClassifyConfig, TextSpace, heights, known_vector
from mmdemo.tasks.classify import RIGHT, SLOPES, ClassifyRow, ClassifyTask, Trial
from mmdemo.train.precision import eval_mode

CHANNELS, WIDTH, CLASSES = 24, 16, 3


def made_net(own: int = CLASSES, *, moving: bool = False) -> TextSpace:
    torch.manual_seed(0)
    config = ClassifyConfig(channels=CHANNELS, hidden=32, text_width=WIDTH, dropout=0.5, classes=8, bank=30, own=own)
    net = TextSpace(replace(config, text_hidden=8) if moving else config)
    if net.texts is not None:
        torch.nn.init.normal_(net.texts.net[-1].weight)
    for name in ("names", "bank", *(["said"] if own else [])):
        buffer = net.get_buffer(name)
        buffer.copy_(F.normalize(torch.randn_like(buffer), dim=1))
    return net


def made_rows(per_class: int = 6, *, seed: int = 1, classes: int = CLASSES) -> list[ClassifyRow]:
    """Pictures of a class lie around one point, which has nothing to do with the class's name."""
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(CLASSES, CHANNELS))
    return [
        ClassifyRow(
            views=((centres[own] + 0.2 * chance.normal(size=CHANNELS)).astype(np.float32),) * 2,
            texts=(np.ones(WIDTH, np.float32),),
            group=own,
            own=own,
            imagenet=chance.normal(size=8).astype(np.float16),
        )
        for own in range(classes)
        for _ in range(per_class)
    ]


def accuracy(net: TextSpace, rows: list[ClassifyRow]) -> float:
    """Of both opinions together, as served."""
    with torch.inference_mode():
        pictures = net.eval()(torch.from_numpy(np.stack([row.views[0] for row in rows])))
        logits = torch.from_numpy(np.stack([row.imagenet for row in rows if row.imagenet is not None])).float()
        known = heights(known_vector(logits.softmax(1), net.names), net.said, net.bank)
        both = 0.5 * known + 0.5 * heights(pictures, net.own(), net.place(net.bank))
    right = both.argmax(1).numpy() == np.array([row.own for row in rows])
    return float(right.mean())


@pytest.mark.parametrize("moving", [False, True])
def test_pictures_of_a_class_move_its_vector_to_where_they_are_told_apart(moving: bool) -> None:
    net, unseen = made_net(moving=moving), made_rows(seed=2)
    before = accuracy(net, unseen)

    ClassifyTask().finalize(net, made_rows())

    assert before < 0.7
    assert accuracy(net, unseen) > 0.9


def test_names_alone_do_not_move_sentences() -> None:
    net, task = made_net(moving=True).train(), ClassifyTask()
    assert net.texts is not None
    task.loss(net, task.collate(made_rows())).backward()
    assert all(p.grad is None for p in net.texts.parameters())
    captioned = [replace(row, group=-1, own=-1) for row in made_rows()]
    task.loss(net, task.collate(captioned)).backward()
    assert any(p.grad is not None and bool(p.grad.any()) for p in net.texts.parameters())


def test_labels_beside_captions_have_a_share_of_their_own() -> None:
    net, task, rows = made_net(own=0, moving=True).eval(), ClassifyTask(), made_rows()
    labelled = [replace(row, own=-1) for row in rows[:8]]
    captioned = [replace(row, group=-1, own=-1) for row in rows[8:]]

    def loss(some: list[ClassifyRow]) -> float:
        return float(task.loss(net, task.collate(some)).detach())

    for share in (0.0, 0.3):
        net.config = replace(net.config, label_share=share)
        assert loss([*labelled, *captioned]) == pytest.approx(loss(captioned) + share * loss(labelled), rel=1e-5)


def test_none_of_these_is_calibrated_with_the_length_of_the_list() -> None:
    """Wrong labels are noise, right ones stand out: the more labels, the further the best wrong one stands out."""
    chance, net, task = np.random.default_rng(0), made_net(own=0), ClassifyTask()
    units = np.eye(WIDTH, dtype=np.float32)
    bank = np.concatenate([units, -units])
    rows, outputs = [], []
    for number in range(120):
        vector = F.normalize(torch.from_numpy(chance.normal(size=WIDTH).astype(np.float32)), dim=0).numpy()
        wrong = chance.normal(size=(2 + number % 12, WIDTH)).astype(np.float32)
        wrong /= np.linalg.norm(wrong, axis=1, keepdims=True)
        there = np.concatenate([vector[None], wrong[1:]])
        made = [Trial(known=np.zeros(len(wrong), np.float32), labels=labels, bank=bank, weight=0.0, right=right)
                for labels, right in ((there, 0), (wrong, len(wrong)))]  # fmt: skip
        rows.append(replace(made_rows()[0], own=-1, group=-1, trials=tuple(made)))
        outputs.append(vector)
    found = task.calibrate(net, outputs, rows)

    assert found.height_slope in SLOPES
    assert found.none_height(12) >= found.none_height(2) > 0
    assert found.right >= RIGHT
    given = replace(found, height=3.25)
    assert task.calibrate(net, outputs, [replace(row, calibration=given) for row in rows]) == given


def test_pictures_are_put_beside_the_names_of_what_is_known_of_them() -> None:
    task, seen = ClassifyTask(), np.zeros(8, np.float16)
    seen[3] = 20  # all are of one class, whatever is said of them
    rows = [replace(row, group=-1, own=-1, imagenet=seen) for row in made_rows()]
    nearest = []
    for share in (0.0, 1.0):
        net = made_net(own=0)
        net.config = replace(net.config, known_share=share)
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
        for _ in range(40):
            loss = task.loss(net.train(), task.collate(rows))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        vectors = np.stack(task.outputs(net.eval().requires_grad_(False), task.collate(rows)))
        nearest.append(((vectors @ net.names.numpy().T).argmax(1) == 3).mean())
    assert nearest[0] < 0.5
    assert nearest[1] > 0.9


def test_nothing_but_the_own_classes_changes() -> None:
    net = made_net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}

    ClassifyTask().finalize(net, made_rows())

    changed = {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"moved"}


def test_classes_without_new_pictures_stay_where_they_were() -> None:
    net = made_net()
    net.moved.copy_(torch.randn_like(net.moved) * 0.1)
    before = net.moved.clone()

    ClassifyTask().finalize(net, made_rows(classes=2))

    assert torch.equal(net.moved[2], before[2])
    assert not torch.equal(net.moved[:2], before[:2])


def test_few_pictures_move_a_class_less_than_many() -> None:
    way = []
    for per_class in (1, 30):
        net = made_net()
        ClassifyTask().finalize(net, made_rows(per_class))
        way.append(float(net.moved.norm(dim=1).mean()))

    assert way[0] < way[1]


def test_the_same_rows_give_the_same_vectors() -> None:
    found = []
    for _ in range(2):
        net = made_net()
        ClassifyTask().finalize(net, made_rows())
        found.append(net.moved.clone())

    assert torch.equal(*found)


def test_rows_with_captions_conclude_nothing() -> None:
    net = made_net()
    rows = [ClassifyRow(views=(np.ones(CHANNELS, np.float32),), texts=(np.ones(WIDTH, np.float32),))]

    ClassifyTask().finalize(net, rows)
    ClassifyTask().finalize(made_net(own=0), made_rows())

    assert not net.moved.any()


def test_the_figure_of_classes_is_how_often_the_nearest_is_right() -> None:
    net, rows = made_net(), made_rows(seed=2)
    ClassifyTask().finalize(net, made_rows())
    with torch.inference_mode():
        outputs = ClassifyTask().outputs(net.eval(), ClassifyTask().collate(rows))

    figures = ClassifyTask().score(net, outputs, rows)

    assert figures["top1"] == pytest.approx(1.0)
    assert "top1" not in ClassifyTask().score(made_net(own=0), outputs, rows)


def test_trials_of_own_classes_calibrate_with_the_right_one_and_without_it() -> None:
    net, rows = made_net(), made_rows(12, seed=2)
    task = ClassifyTask()
    task.finalize(net, made_rows())
    with torch.inference_mode():
        outputs = task.outputs(net.eval(), task.collate(rows))

    found = task.calibrate(net, outputs, rows)

    assert found.right >= 0.8
    assert found.height > 0  # below it, no class fits


def test_a_label_among_captions_leaves_the_captions_what_they_teach() -> None:
    net, task = made_net(moving=True).train(), ClassifyTask()
    assert net.texts is not None
    rows = made_rows()
    mixed = [replace(row, group=-1, own=-1) for row in rows[1:]] + rows[:1]
    task.loss(net, task.collate(mixed)).backward()
    assert any(p.grad is not None and bool(p.grad.any()) for p in net.texts.parameters())


def test_scoring_in_a_training_draws_no_chance() -> None:
    """Or a run that is resumed after it would go on otherwise than one that was not interrupted."""
    rows, task = made_rows(), ClassifyTask()
    seen: list[float] = []
    for _ in range(2):
        net = made_net(moving=True).train()
        before = torch.get_rng_state()
        with eval_mode(net):
            outputs = [net(torch.from_numpy(row.views[0])[None])[0].detach().numpy() for row in rows]
            seen.append(task.score(net, outputs, rows)["top1"])
            task.calibrate(net, outputs, rows)
            torch.randn(3)
        assert torch.equal(torch.get_rng_state(), before)
        assert net.training
    assert seen[0] == seen[1]
