"""Fusion of question and picture: shapes, padding, pictures shared by questions, blindness."""

from __future__ import annotations

import pytest
import torch

from mmdemo.nets.attention import Attention
from mmdemo.nets.fusion import AskConfig, CrossAttentionFusion

CONFIG = AskConfig(answers=5, width=16, layers=2, heads=2, text_width=12, channels=6, grid=2)


def made(config: AskConfig = CONFIG) -> CrossAttentionFusion:
    torch.manual_seed(0)
    return CrossAttentionFusion(config).eval().requires_grad_(False)


def test_shapes_and_one_picture_for_several_questions() -> None:
    net = made()
    grid = torch.rand(2, 6, 2, 2) * 6
    memory = net.memory(grid)
    assert memory.shape == (2, 4, 16)
    states, mask = torch.randn(3, 7, 12), torch.ones(3, 7, dtype=torch.bool)
    together = net(states, mask, memory, torch.tensor([0, 1, 1]))
    assert together.shape == (3, 5)
    alone = net(states[2:], mask[2:], net.memory(grid[1:]), torch.tensor([0]))
    torch.testing.assert_close(together[2:], alone, atol=1e-5, rtol=1e-4)


def test_padding_changes_nothing() -> None:
    net = made()
    memory = net.memory(torch.rand(1, 6, 2, 2) * 6)
    states = torch.randn(1, 4, 12)
    padded = torch.cat((states, torch.randn(1, 3, 12) * 50), dim=1)
    mask = torch.tensor([[True] * 4 + [False] * 3])
    picture = torch.tensor([0])
    torch.testing.assert_close(
        net(padded, mask, memory, picture), net(states, mask[:, :4], memory, picture), atol=1e-5, rtol=1e-4
    )


def test_only_a_blind_network_ignores_the_picture() -> None:
    states, mask, picture = torch.randn(1, 4, 12), torch.ones(1, 4, dtype=torch.bool), torch.tensor([0])
    for blind in (True, False):
        config = AskConfig(answers=5, width=16, layers=1, heads=2, text_width=12, channels=6, grid=2, blind=blind)
        net = made(config)
        one, other = (
            net(states, mask, net.memory(grid), picture) for grid in (torch.zeros(1, 6, 2, 2), torch.ones(1, 6, 2, 2))
        )
        assert torch.equal(one, other) is blind


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


def test_width_must_fit_the_heads() -> None:
    with pytest.raises(ValueError, match="10 is not a multiple of 3"):
        Attention(10, 3, dropout=0.0)
