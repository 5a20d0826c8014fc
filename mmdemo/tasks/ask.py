"""Task "ask": question and picture → one of the answers learned from the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmdemo.core.config import Calibration, CheckpointConfig, from_mapping
from mmdemo.nets.fusion import AskConfig, CrossAttentionFusion
from mmdemo.nets.losses import soft_cross_entropy
from mmdemo.tasks.base import HEAD, PLAIN, Batch, LossSettings, fit_temperature, fit_threshold, grids


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question.

    Attributes:
        states: fp16 (T, E) token states.
        target: Answer index → share, summing to 1; empty where the answer is not among those learned.
        right: Answer index → how right it is, in [0, 1].
    """

    states: NDArray[np.float16]
    target: Mapping[int, float]
    right: Mapping[int, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskRow:
    """A picture with what is asked about it: the picture is projected once for all its questions.

    Attributes:
        views: uint8 (D, G, G) each, the picture's grid and that of its mirror image; one is drawn.
        questions: All of them; in training at most :data:`MOST_QUESTIONS` are drawn each time.
        learning: Whether some are drawn, or all are kept.
    """

    views: tuple[NDArray[np.uint8], ...]
    questions: tuple[Asked, ...]
    learning: bool


MOST_QUESTIONS = 8
"""Questions per picture and step: a picture that many were asked about does not drown the others."""


def learn_answers(answers: Iterable[str], *, least: int, most: int) -> tuple[str, ...]:
    """The answers given at least ``least`` times, at most ``most`` of them, most frequent first."""
    counts = Counter(answers)
    return tuple(answer for answer, count in counts.most_common(most) if count >= least)


class AskTask:
    """Fusion of question and picture, trained on the answers' shares; see :class:`mmdemo.tasks.base.Task`."""

    name = "ask"
    metric = "accuracy"
    label_rows: tuple[str, ...] = ("answer.3.weight", "answer.3.bias")
    additive = True

    def build(self, config: CheckpointConfig) -> CrossAttentionFusion:
        return CrossAttentionFusion(from_mapping(AskConfig, config.net))

    def start(self, net: CrossAttentionFusion, bases: Mapping[str, nn.Module]) -> None:
        """Nothing: the encoders stay outside, frozen."""

    def warm_up(self, net: CrossAttentionFusion, rows: Sequence[AskRow]) -> None:
        """Nothing: all is learned step by step."""

    def depth(self, net: CrossAttentionFusion, name: str) -> int:
        return HEAD  # everything in this network is new; the encoders are not part of it

    def shipped(self, net: CrossAttentionFusion) -> dict[str, Tensor]:
        return net.state_dict()

    def collate(self, rows: Sequence[AskRow]) -> Batch:
        """``states`` (Q, T, E) of all questions, ``picture`` (Q,) says about which row each is."""
        asked = [(i, question) for i, row in enumerate(rows) for question in _drawn(row)]
        longest = max(len(question.states) for _, question in asked)
        states = torch.zeros(len(asked), longest, asked[0][1].states.shape[1])
        mask = torch.zeros(len(asked), longest, dtype=torch.bool)
        items: list[tuple[int, int, float]] = []
        for j, (_, question) in enumerate(asked):
            states[j, : len(question.states)] = torch.from_numpy(question.states.astype(np.float32))
            mask[j, : len(question.states)] = True
            items += [(j, answer, share) for answer, share in question.target.items()]
        return {
            "grid": grids([row.views[int(torch.randint(len(row.views), ()))] for row in rows]),
            "states": states,
            "mask": mask,
            "picture": torch.tensor([i for i, _ in asked], dtype=torch.long),
            "target_at": torch.tensor([(j, answer) for j, answer, _ in items], dtype=torch.long).reshape(-1, 2),
            "target": torch.tensor([share for _, _, share in items]),
        }

    def _logits(self, net: CrossAttentionFusion, batch: Batch) -> Tensor:
        memory = net.memory(batch["grid"])
        logits: Tensor = net(batch["states"], batch["mask"], memory, batch["picture"])
        return logits.float()

    def loss(self, net: CrossAttentionFusion, batch: Batch, how: LossSettings = PLAIN) -> Tensor:
        logits = self._logits(net, batch)
        target = torch.zeros_like(logits)
        target[batch["target_at"][:, 0], batch["target_at"][:, 1]] = batch["target"]
        return soft_cross_entropy(logits, target, smoothing=how.smoothing)

    def items(self, batch: Batch) -> Tensor:
        return batch["target"].sum()  # the shares of a question sum to 1

    def outputs(self, net: CrossAttentionFusion, batch: Batch) -> list[NDArray[np.float32]]:
        """Per row the logits of its questions, (Q, K)."""
        logits = self._logits(net, batch).cpu()
        counts = torch.bincount(batch["picture"].cpu(), minlength=len(batch["grid"])).tolist()
        return [part.numpy() for part in torch.split(logits, counts)]

    def score(
        self, net: CrossAttentionFusion, outputs: Sequence[NDArray[np.float32]], rows: Sequence[AskRow]
    ) -> dict[str, float]:
        return {"accuracy": float(np.mean(_credit(np.concatenate(outputs), rows)))}

    def calibrate(
        self, net: CrossAttentionFusion, outputs: Sequence[NDArray[np.float32]], rows: Sequence[AskRow]
    ) -> Calibration:
        logits = np.concatenate(outputs)
        target = np.zeros_like(logits)
        for i, question in enumerate(question for row in rows for question in row.questions):
            for answer, share in question.target.items():
                target[i, answer] = share
        temperature = fit_temperature(logits, target)
        scores = torch.softmax(torch.from_numpy(logits) / temperature, dim=1).numpy()
        return replace(fit_threshold(scores.max(axis=1), _credit(logits, rows)), temperature=temperature)


def _drawn(row: AskRow) -> Sequence[Asked]:
    if not row.learning or len(row.questions) <= MOST_QUESTIONS:
        return row.questions
    chosen = torch.randperm(len(row.questions))[:MOST_QUESTIONS].tolist()
    return [row.questions[i] for i in chosen]


def _credit(logits: NDArray[np.float32], rows: Sequence[AskRow]) -> NDArray[np.float32]:
    """How right the best answer to each question is: logits (Q, K) → (Q,)."""
    asked = (question for row in rows for question in row.questions)
    return np.array(
        [question.right.get(int(best), 0.0) for best, question in zip(logits.argmax(axis=1), asked, strict=True)],
        dtype=np.float32,
    )
