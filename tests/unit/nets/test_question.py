"""The question encoder that is trained from scratch: it reads words in their order, both ways, in any company."""

from __future__ import annotations

import torch

from mmdemo.nets.question import UNKNOWN_WORD, LstmQuestion


def made() -> LstmQuestion:
    torch.manual_seed(0)
    return LstmQuestion(6, 8, dropout=0.5).eval().requires_grad_(False)


def test_each_word_knows_what_stands_before_and_behind_it() -> None:
    net, mask = made(), torch.ones(1, 3, dtype=torch.bool)
    start, seen = net(torch.tensor([[1, 2, 3]]), mask)
    assert start.shape == (1, 3, 8)
    assert seen is mask
    for changed in ([4, 2, 3], [1, 2, 4]):
        other, _ = net(torch.tensor([changed]), mask)
        assert not torch.isclose(other, start).all(dim=2).any()


def test_questions_of_any_length_side_by_side() -> None:
    net = made()
    questions = [[3], [1, 2, 3, 4, 5], [2, UNKNOWN_WORD, 6]]
    tokens = torch.zeros(3, 5, dtype=torch.long)
    mask = torch.zeros(3, 5, dtype=torch.bool)
    for i, question in enumerate(questions):
        tokens[i, : len(question)] = torch.tensor(question)
        mask[i, : len(question)] = True
    together, _ = net(tokens, mask)
    assert together.shape == (3, 5, 8)
    for i, question in enumerate(questions):
        alone, _ = net(torch.tensor([question]), torch.ones(1, len(question), dtype=torch.bool))
        torch.testing.assert_close(together[i, : len(question)], alone[0], atol=1e-6, rtol=1e-5)
