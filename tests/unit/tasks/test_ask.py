"""Task "ask" over every fusion and question encoder: learned by heart, rows per answer named, words made numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmdemo.core.config import CheckpointConfig
from mmdemo.nets.fusion import FUSION_NAMES
from mmdemo.nets.question import UNKNOWN_WORD
from mmdemo.tasks import TASKS
from mmdemo.tasks.ask import LONGEST, encode_question, learn_question_words, padded
from tests.unit.tasks.made import CONFIGS, ask_rows

TASK = TASKS["ask"]
STEPS = {"early": 120, "late": 120}
"""Where 80 are not enough."""


def config(fusion: str, question: str = "minilm", **changes: object) -> CheckpointConfig:
    net = {**CONFIGS["ask"].net, "fusion": fusion, "question": question, **changes}
    return replace(CONFIGS["ask"], net={**net, "question_words": 5} if question == "lstm" else net)


@pytest.mark.parametrize("question", ["minilm", "lstm"])
@pytest.mark.parametrize("fusion", FUSION_NAMES)
def test_eight_examples_can_be_learned_by_heart(fusion: str, question: str) -> None:
    torch.manual_seed(0)
    rows = ask_rows(words=question == "lstm")
    net = TASK.build(config(fusion, question)).train()
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(STEPS.get(fusion, 80)):
        loss = TASK.loss(net, TASK.collate(rows))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    last = float(loss.detach())
    assert not [name for name, p in net.named_parameters() if torch.equal(p, before[name])]

    net.eval()
    with torch.inference_mode():
        outputs = TASK.outputs(net, TASK.collate(rows))
        alone = [TASK.outputs(net, TASK.collate([row]))[0] for row in rows]
    for one, other in zip(outputs, alone, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3, rtol=1e-3)
    accuracy = TASK.score(net, outputs, rows)["accuracy"]
    if fusion == "late":  # a picture alone has two answers, of which the question alone cannot choose one
        assert math.log(2) < last < math.log(2) + 0.2
    else:
        assert last < 0.1
        assert accuracy == 1


@pytest.mark.parametrize("fusion", FUSION_NAMES)
def test_every_tensor_with_a_row_per_answer_is_named(fusion: str) -> None:
    net = TASK.build(config(fusion, answers=37))
    rows = {name for name, tensor in net.state_dict().items() if tensor.ndim and len(tensor) == 37}
    assert rows
    assert rows == set(TASK.label_rows) & net.state_dict().keys()


# ---------------------------------------------------------------- words


def test_words_are_learned_by_how_often_they_were_asked() -> None:
    asked = ["What is it?", "What colour is the t-shirt?", "Is it the dog's?"]
    assert learn_question_words(asked, least=2) == ("is", "what", "it", "the")
    assert set(learn_question_words(asked, least=1)) >= {"t-shirt", "dog's"}
    assert learn_question_words([], least=1) == ()


def test_questions_as_words() -> None:
    index = {"what": 0, "is": 1}
    assert encode_question("What IS that?", index).tolist() == [1, 2, UNKNOWN_WORD]
    assert encode_question("???", index).tolist() == [UNKNOWN_WORD]
    assert len(encode_question("what " * 100, index)) == LONGEST


def test_questions_are_padded_at_the_end() -> None:
    tokens, mask = padded([np.array([3], np.int64), np.array([1, 2], np.int64)])
    assert tokens.tolist() == [[3, 0], [1, 2]]
    assert tokens.dtype == torch.int64
    assert mask.tolist() == [[True, False], [True, True]]
    kept = np.ones((3, 4), np.float16)
    kept.flags.writeable = False  # as the cache's are
    states, mask = padded([kept[:1], kept])
    assert states.shape == (2, 3, 4)
    assert states.dtype == torch.float32
    assert mask.sum(dim=1).tolist() == [1, 3]
