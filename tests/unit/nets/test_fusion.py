"""Fusions of question and picture: shapes, padding, pictures shared by questions, shares, hidden modalities."""

from __future__ import annotations

import inspect
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mmdemo.nets.attention import Attention
from mmdemo.nets.fusion import (
    FUSION_NAMES,
    FUSIONS,
    QUESTION_ENCODERS,
    AskConfig,
    Fusion,
    HybridFusion,
    LateFusion,
    build_fusion,
)

CONFIG = AskConfig(
    answers=5, width=16, layers=2, heads=2, text_width=12, channels=6, grid=2, question="minilm", question_words=9
)
WEIGHING = ("weighted", "late", "hybrid")

each_fusion = pytest.mark.parametrize("fusion", FUSION_NAMES)
each_encoder = pytest.mark.parametrize("question", QUESTION_ENCODERS)


def made(config: AskConfig = CONFIG, **changes: object) -> Fusion:
    """With weights that leave nothing at its first value, so that no share or bias is 0 or 1 by chance."""
    torch.manual_seed(0)
    net = build_fusion(replace(config, **changes)).eval().requires_grad_(False)  # type: ignore[arg-type]
    for parameter in net.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.3)
    return net


def asked(net: Fusion, count: int, length: int, seed: int = 0) -> Tensor:
    torch.manual_seed(seed + 1)
    if net.config.question == "lstm":
        return torch.randint(0, net.config.question_words + 1, (count, length))
    return torch.randn(count, length, net.config.text_width)


def pictures(count: int, seed: int = 0) -> Tensor:
    torch.manual_seed(seed + 100)
    return torch.rand(count, 6, 2, 2) * 6


def everything(count: int, length: int) -> Tensor:
    return torch.ones(count, length, dtype=torch.bool)


@each_encoder
@each_fusion
def test_one_picture_for_several_questions_is_the_same_as_each_alone(fusion: str, question: str) -> None:
    net = made(fusion=fusion, question=question)
    grid, tokens = pictures(2), asked(net, 3, 7)
    memory = net.memory(grid)
    assert len(memory) == 2
    together = net.fused(tokens, everything(3, 7), memory, torch.tensor([0, 1, 1]))
    assert together.logits.shape == (3, 5)
    torch.testing.assert_close(net(tokens, everything(3, 7), memory, torch.tensor([0, 1, 1])), together.logits)
    assert (together.weights is not None) is (fusion in WEIGHING)
    for i, picture in enumerate((0, 1, 1)):
        own = net.memory(grid[picture : picture + 1])
        alone = net.fused(tokens[i : i + 1], everything(1, 7), own, torch.tensor([0]))
        torch.testing.assert_close(together.logits[i : i + 1], alone.logits, atol=1e-5, rtol=1e-4)
        if together.weights is not None and alone.weights is not None:
            torch.testing.assert_close(together.weights[i : i + 1], alone.weights, atol=1e-5, rtol=1e-4)


@each_encoder
@each_fusion
def test_padding_changes_nothing(fusion: str, question: str) -> None:
    net = made(fusion=fusion, question=question)
    memory, tokens = net.memory(pictures(1)), asked(net, 1, 4)
    noise = asked(net, 1, 3, seed=5) * (1 if question == "lstm" else 50)
    padded, mask = torch.cat((tokens, noise), dim=1), torch.tensor([[True] * 4 + [False] * 3])
    one, other = torch.tensor([0]), everything(1, 4)
    torch.testing.assert_close(net(padded, mask, memory, one), net(tokens, other, memory, one), atol=1e-5, rtol=1e-4)


@each_encoder
@each_fusion
@pytest.mark.parametrize("hidden", ["", "ablate_image", "ablate_question"])
def test_only_a_hidden_modality_changes_nothing(fusion: str, question: str, hidden: str) -> None:
    net = made(fusion=fusion, question=question, **({hidden: True} if hidden else {}))

    def answer(picture: int, question: int, length: int = 4) -> Tensor:
        memory = net.memory(pictures(1, picture))
        found = net.fused(asked(net, 1, length, question), everything(1, length), memory, torch.tensor([0]))
        if hidden and found.weights is not None:
            assert found.weights.tolist() == [[0.0, 1.0] if hidden == "ablate_image" else [1.0, 0.0]]
        return found.logits

    start = answer(0, 0)
    assert torch.isfinite(start).all()
    assert torch.equal(answer(1, 0), start) is (hidden == "ablate_image")
    assert torch.equal(answer(0, 1), start) is (hidden == "ablate_question")
    if hidden == "ablate_question":  # not even how long it is
        assert torch.equal(answer(0, 0, length=6), start)


@each_fusion
def test_every_weight_gets_a_gradient(fusion: str) -> None:
    for question in QUESTION_ENCODERS:
        net = build_fusion(replace(CONFIG, fusion=fusion, question=question)).train()
        logits = net(asked(net, 3, 4), everything(3, 4), net.memory(pictures(3)), torch.arange(3))
        logits.log_softmax(dim=1)[:, 0].sum().backward()
        without = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
        assert not without


# ---------------------------------------------------------------- shares


def weights(net: Fusion, picture: int, question: int) -> Tensor:
    memory = net.memory(pictures(1, picture))
    found = net.fused(asked(net, 1, 4, question), everything(1, 4), memory, torch.tensor([0])).weights
    assert found is not None
    assert found.shape == (1, 2)
    assert float(found.min()) > 0
    assert float(found.sum()) == pytest.approx(1)
    return found


def test_shares_of_the_weighted_fusion_depend_on_picture_and_question() -> None:
    net = made(fusion="weighted")
    start = weights(net, 0, 0)
    assert not torch.allclose(weights(net, 1, 0), start)
    assert not torch.allclose(weights(net, 0, 1), start)


@pytest.mark.parametrize("fusion", ["late", "hybrid"])
def test_shares_of_late_predictions_are_learned_once_for_all(fusion: str) -> None:
    net = made(fusion=fusion)
    assert isinstance(net, LateFusion | HybridFusion)
    net.late.mix.copy_(torch.tensor([0.1, 0.2]))
    expected = torch.tensor([[1.0, 2.0]]).softmax(dim=1)
    for picture, question in ((0, 0), (1, 0), (0, 1)):
        torch.testing.assert_close(weights(net, picture, question), expected)


def test_late_and_hybrid_average_predictions() -> None:
    late, hybrid = made(fusion="late"), made(fusion="hybrid")
    assert isinstance(late, LateFusion)
    assert isinstance(hybrid, HybridFusion)
    v, q = torch.randn(3, 16), torch.randn(3, 16)
    w = (10 * late.late.mix).softmax(dim=0)
    average = w[0] * late.late.image_answer(v).softmax(dim=1) + w[1] * late.late.question_answer(q).softmax(dim=1)
    torch.testing.assert_close(late.vectors(v, q).logits.softmax(dim=1), average)

    early = hybrid.answer(hybrid.norm(torch.cat((q, v), dim=1))).softmax(dim=1)
    share = (10 * hybrid.early_share).sigmoid()
    mixed = share * early + (1 - share) * hybrid.late(v, q)[0].exp()
    torch.testing.assert_close(hybrid.vectors(v, q).logits.softmax(dim=1), mixed)


# ---------------------------------------------------------------- attention


def test_cells_that_are_asked_about_depend_on_the_question_only_in_co_attention() -> None:
    """With tokens cut off from the answer, what is left of a question has come through the cells."""
    for fusion, through in (("cross-attention", False), ("co-attention", True)):
        net = made(fusion=fusion)
        net.answer[0].weight[:, :16] = 0  # type: ignore[index,union-attr]
        net.norm.register_forward_hook(lambda norm, inputs, out: inputs[0])  # type: ignore[union-attr]
        one, other = (
            net(asked(net, 1, 4, seed), everything(1, 4), net.memory(pictures(1)), torch.tensor([0])) for seed in (0, 1)
        )
        assert (not torch.allclose(one, other)) is through


def test_shown_attention_is_the_attention_used() -> None:
    torch.manual_seed(1)
    attention = Attention(8, 1, dropout=0.0).eval()
    x, memory = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    key, value = attention.keys(memory)
    assert key.shape == value.shape == (2, 1, 5, 8)
    weights = attention.weights(x, (key, value))
    assert weights.shape == (2, 3, 5)
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(2, 3))
    torch.testing.assert_close(attention(x, (key, value)), attention.out(weights @ value[:, 0]), atol=1e-5, rtol=1e-4)


# ---------------------------------------------------------------- settings


def test_names_that_do_not_exist_name_the_nearest_one() -> None:
    with pytest.raises(ValueError, match=r"fusion is 'co-atention'.* of which co-attention is the nearest"):
        replace(CONFIG, fusion="co-atention")
    with pytest.raises(ValueError, match=r"question is 'ltsm'.* of which lstm is the nearest"):
        replace(CONFIG, question="ltsm")
    with pytest.raises(ValueError, match=r"leave nothing to answer from"):
        replace(CONFIG, ablate_image=True, ablate_question=True)


def test_every_name_has_a_network_that_gives_formula_and_source() -> None:
    assert tuple(FUSIONS) == FUSION_NAMES
    for name, kind in FUSIONS.items():
        net = made(fusion=name)
        assert type(net) is kind
        said = inspect.getdoc(kind) or ""
        assert "https://" in said
        assert "=" in said or "←" in said


def test_the_default_is_what_was_shipped_before_there_was_a_choice() -> None:
    net = build_fusion(AskConfig(answers=811))
    names = list(net.state_dict())
    assert type(net).__name__ == "CrossAttentionFusion"
    assert names[:4] == ["question.0.weight", "question.0.bias", "question.1.weight", "question.1.bias"]
    assert {"picture.position", "blocks.1.cross_attention.key_value.weight", "norm.weight", "answer.3.bias"} < {*names}


def test_width_must_fit_the_heads_and_the_directions() -> None:
    with pytest.raises(ValueError, match="10 is not a multiple of 3"):
        Attention(10, 3, dropout=0.0)
    with pytest.raises(ValueError, match="width 9 cannot be halved"):
        build_fusion(replace(CONFIG, width=9, fusion="early", question="lstm"))
