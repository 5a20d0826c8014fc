"""Losses against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mmdemo.nets.losses import clip_loss, distillation, feature_distillation, soft_cross_entropy, word_loss

LOG_2 = math.log(2)


def test_soft_cross_entropy() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)]])  # probabilities 1/4, 3/4
    target = torch.tensor([[0.5, 0.5]])
    assert float(soft_cross_entropy(logits, target)) == pytest.approx(0.5 * math.log(4) + 0.5 * math.log(4 / 3))
    hard = torch.tensor([[1.0, 0.0]])
    smoothed = 0.9 * math.log(4) + 0.1 * math.log(4 / 3)  # 0.2 of the share is spread over two classes
    assert float(soft_cross_entropy(logits, hard, smoothing=0.2)) == pytest.approx(smoothed)


def test_soft_cross_entropy_passes_over_rows_without_a_say() -> None:
    logits = torch.tensor([[0.0, 0.0], [5.0, -5.0]])
    target = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    assert float(soft_cross_entropy(logits, target)) == pytest.approx(LOG_2)
    assert float(soft_cross_entropy(logits, torch.zeros(2, 2))) == 0


def test_distillation() -> None:
    same = torch.tensor([[1.0, -2.0, 0.5]])
    assert float(distillation(same, same + 7)) == pytest.approx(0, abs=1e-6)
    # softened by 2: teacher (1/4, 3/4), student (1/2, 1/2)
    teacher, student = torch.tensor([[0.0, 2 * math.log(3.0)]]), torch.zeros(1, 2)
    divergence = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert float(distillation(student, teacher, temperature=2.0)) == pytest.approx(4 * divergence)


def test_distillation_where_the_teacher_has_no_opinion() -> None:
    student = torch.tensor([[0.0, 50.0, 0.0]])
    teacher = torch.tensor([[0.0, -torch.inf, 2 * math.log(3.0)]])
    divergence = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert float(distillation(student, teacher, temperature=2.0)) == pytest.approx(4 * divergence)
    assert float(distillation(student, torch.full((1, 3), -torch.inf))) == 0


def test_feature_distillation() -> None:
    torch.manual_seed(0)
    teacher = torch.randn(3, 5, 4, 4)
    wanted = torch.nn.functional.layer_norm(teacher.movedim(1, 3), (5,)).movedim(3, 1)
    taught = torch.tensor([True, True, False])
    assert float(feature_distillation(wanted, teacher, taught)) == pytest.approx(0, abs=1e-6)
    # normalised cells have mean 0 and variance 1; the last row does not count
    assert float(feature_distillation(torch.zeros(3, 5, 4, 4), teacher, taught)) == pytest.approx(1, abs=1e-3)
    assert float(feature_distillation(wanted + taught[:, None, None, None], teacher, taught)) == pytest.approx(
        1, abs=1e-3
    )
    assert float(feature_distillation(wanted, teacher, torch.zeros(3, dtype=torch.bool))) == 0
    small = feature_distillation(torch.zeros(3, 5, 2, 2), teacher, taught)  # a larger grid is averaged
    assert float(small) == pytest.approx(1, abs=1e-3)


def test_word_loss() -> None:
    logits = torch.zeros(2, 3)
    present = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert float(word_loss(logits, present)) == pytest.approx(3 * LOG_2)
    assert float(word_loss(logits, present, negative_weight=0.0)) == pytest.approx(LOG_2 / 2)


def test_clip_loss() -> None:
    vectors, scale = torch.eye(4), 2.0
    wanted = math.log(1 + 3 * math.exp(-scale))  # own pair e^2, three others e^0
    assert float(clip_loss(vectors, vectors, torch.tensor(math.log(scale)))) == pytest.approx(wanted)
    shuffled = clip_loss(vectors, vectors.roll(1, dims=0), torch.tensor(math.log(scale)))
    assert float(shuffled) == pytest.approx(wanted + scale)


def test_clip_loss_holds_its_scale() -> None:
    vectors = torch.eye(2)
    huge, most = (clip_loss(vectors, vectors.flip(0), torch.tensor(x)) for x in (50.0, math.log(100.0)))
    assert float(huge) == pytest.approx(float(most))


def test_captions_of_one_picture_are_not_each_others_negatives() -> None:
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    zero = torch.tensor(0.0)
    plain = float(clip_loss(vectors, vectors, zero))
    grouped = float(clip_loss(vectors, vectors, zero, torch.tensor([7, 7, 8])))
    e = math.e
    assert plain == pytest.approx((2 * math.log((2 * e + 1) / e) + math.log((e + 2) / e)) / 3)
    assert grouped == pytest.approx((2 * math.log((e + 1) / e) + math.log((e + 2) / e)) / 3)
