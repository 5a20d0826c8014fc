"""Task "ask": question and picture → one of the answers learned from the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from mmdemo.core.config import Calibration, CheckpointConfig, from_mapping
from mmdemo.core.words import NUMBER, OPEN, YES_NO, confidence_kind, tokenise_caption
from mmdemo.nets.fusion import AskConfig, Fusion, build_fusion
from mmdemo.nets.losses import soft_cross_entropy
from mmdemo.nets.question import UNKNOWN_WORD
from mmdemo.tasks.base import HEAD, PLAIN, Batch, LossSettings, fit_confidence, fit_threshold
from mmdemo.tasks.distillation import SoftTargets, mixed, soft_batch
from mmdemo.tasks.pictures import Look, at_cut, draw


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTarget:
    """One question.

    Attributes:
        tokens: fp16 (T, E) states of the text encoder; for an LSTM int64 (T,), as from :func:`encode_question`.
        target: Answer index → share, summing to 1; empty where the answer is not among those learned.
        right: Answer index → how right it is, in [0, 1].
        question: Its words, by which a teacher finds it.
        soft: What a teacher answers.
    """

    tokens: NDArray[np.float16] | NDArray[np.int64]
    target: Mapping[int, float]
    right: Mapping[int, float]
    question: str = ""
    soft: SoftTargets | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskRow:
    """A picture with what is asked about it: the picture is projected once for all its questions.

    Attributes:
        views: What lies below all that is trained (tasks.pictures.Cut), of each view; one is drawn.
        questions: All of them; in training at most :data:`MOST_QUESTIONS` are drawn each time.
        learning: Whether some are drawn, or all are kept.
        file: The picture, by which a teacher finds it.
    """

    views: tuple[NDArray[Any], ...]
    questions: tuple[AnswerTarget, ...]
    learning: bool
    file: Path | None = None


MOST_QUESTIONS = 8
"""Questions per picture and step: a picture that many were asked about does not drown the others."""


LEAST_OF_A_KIND = 50
"""Validation questions of a kind without which it shares the temperature of all; of all, without which it is 1."""


def learn_answers(answers: Iterable[str], *, least: int, most: int) -> tuple[str, ...]:
    """The answers given at least ``least`` times, at most ``most`` of them, most frequent first."""
    counts = Counter(answers)
    return tuple(answer for answer, count in counts.most_common(most) if count >= least)


LONGEST = 32
"""Words of a question that an LSTM reads; VQA's longest has 23."""


def learn_question_words(questions: Iterable[str], *, least: int) -> tuple[str, ...]:
    """The words that occur at least ``least`` times, most frequent first."""
    counts = Counter(word for question in questions for word in tokenise_caption(question))
    return tuple(word for word, count in counts.most_common() if count >= least)


def encode_question(question: str, index: Mapping[str, int]) -> NDArray[np.int64]:
    """Word indices (T,), at least one and at most :data:`LONGEST`.

    Args:
        index: Word → its place in the vocabulary, counted from 0; the network's own words begin at 1.
    """
    words = tokenise_caption(question)[:LONGEST]
    return np.array([index[w] + 1 if w in index else UNKNOWN_WORD for w in words] or [UNKNOWN_WORD], np.int64)


def padded(questions: Sequence[NDArray[np.float16] | NDArray[np.int64]]) -> tuple[Tensor, Tensor]:
    """What :attr:`AnswerTarget.tokens` holds, as a batch: fp32 (Q, T, E) or int64 (Q, T), and the mask bool (Q, T)."""
    rows = [torch.tensor(question) for question in questions]  # copies: the cache's arrays are read-only
    mask = pad_sequence([torch.ones(len(row), dtype=torch.bool) for row in rows], batch_first=True)
    tokens = pad_sequence(rows, batch_first=True)
    return (tokens.float() if tokens.is_floating_point() else tokens), mask


class AskTask:
    """Fusion of question and picture, trained on the answers' shares; see :class:`mmdemo.tasks.base.Task`."""

    name = "ask"
    metric = "accuracy"
    label_rows: tuple[str, ...] = tuple(
        f"{head}.3.{kind}"
        for head in ("answer", "late.image_answer", "late.question_answer")
        for kind in ("weight", "bias")
    )
    additive = True
    grown_rows: tuple[str, ...] = ()
    concludes = False

    def build(self, config: CheckpointConfig) -> Fusion:
        return build_fusion(from_mapping(AskConfig, config.net))

    def start(self, net: Fusion, bases: Mapping[str, nn.Module]) -> None:
        """Nothing: the encoders stay outside, frozen."""

    def fit_init(self, net: Fusion, rows: Sequence[AskRow]) -> None:
        """Nothing: all is learned step by step."""

    def finalize(self, net: Fusion, rows: Sequence[AskRow]) -> None:
        """Nothing: the steps are all there is."""

    def depth(self, net: Fusion, name: str) -> int:
        return HEAD  # everything in this network is new; the encoders are not part of it

    def shipped(self, net: Fusion) -> dict[str, Tensor]:
        return net.state_dict()

    def collate(self, rows: Sequence[AskRow]) -> Batch:
        """``tokens`` (Q, T, ...) of all questions, ``picture`` (Q,) says about which row each is."""
        asked = [(i, question) for i, row in enumerate(rows) for question in _drawn(row)]
        tokens, mask = padded([question.tokens for _, question in asked])
        items = [(j, answer, share) for j, (_, q) in enumerate(asked) for answer, share in q.target.items()]
        return {
            **at_cut([draw(row.views) for row in rows]),
            "tokens": tokens,
            "mask": mask,
            "picture": torch.tensor([i for i, _ in asked], dtype=torch.long),
            "target_at": torch.tensor([(j, answer) for j, answer, _ in items], dtype=torch.long).reshape(-1, 2),
            "target": torch.tensor([share for _, _, share in items]),
            **soft_batch([question.soft for _, question in asked]),
        }

    def _logits(self, net: Fusion, batch: Batch) -> Tensor:
        memory = net.memory(batch["grid"])
        logits: Tensor = net(batch["tokens"], batch["mask"], memory, batch["picture"])
        return logits.float()

    def loss(self, net: Fusion, batch: Batch, how: LossSettings = PLAIN) -> Tensor:
        logits = self._logits(net, batch)
        target = torch.zeros_like(logits)
        target[batch["target_at"][:, 0], batch["target_at"][:, 1]] = batch["target"]
        return mixed(soft_cross_entropy(logits, target, smoothing=how.smoothing), logits, batch, how)

    def items(self, net: Fusion, batch: Batch) -> Tensor:
        return batch["target"].sum()  # the shares of a question sum to 1

    def outputs(self, net: Fusion, batch: Batch) -> list[NDArray[np.float32]]:
        """Per row the logits of its questions, (Q, K)."""
        logits = self._logits(net, batch).cpu()
        counts = torch.bincount(batch["picture"].cpu(), minlength=len(batch["grid"])).tolist()
        return [part.numpy() for part in torch.split(logits, counts)]

    def score(self, net: Fusion, outputs: Sequence[NDArray[np.float32]], rows: Sequence[AskRow]) -> dict[str, float]:
        return {"accuracy": float(np.mean(_credit(np.concatenate(outputs), rows)))}

    def calibrate(self, net: Fusion, outputs: Sequence[NDArray[np.float32]], rows: Sequence[AskRow]) -> Calibration:
        """Temperatures by the kind of question: many to which one says yes or no are a matter of taste."""
        logits, credit = np.concatenate(outputs), _credit(np.concatenate(outputs), rows)
        kinds = np.array([confidence_kind(question.question) for row in rows for question in row.questions])

        def fitted(kind: str, otherwise: float) -> float:
            some = kinds == kind
            return fit_confidence(logits[some], credit[some]) if _tells(credit[some]) else otherwise

        found = Calibration(
            temperature=fitted(OPEN, fit_confidence(logits, credit) if _tells(credit) else 1.0),
            yes_no=fitted(YES_NO, 0.0),
            number=fitted(NUMBER, 0.0),
        )
        divisors = np.array([found.temperature_of(kind) for kind in kinds], np.float32)
        scores = torch.softmax(torch.from_numpy(logits / divisors[:, None]), dim=1).numpy()
        sure = fit_threshold(scores.max(axis=1), credit)
        return replace(found, threshold=sure.threshold, kept=sure.kept, right=sure.right)

    def with_image_features(self, net: Fusion, rows: Sequence[AskRow], look: Look) -> Sequence[AskRow]:
        return rows  # the outputs say all that is asked


def _tells(credit: NDArray[np.float32]) -> bool:
    """Whether so many answers, some of them right and some wrong, say how sure the others may be."""
    return len(credit) >= LEAST_OF_A_KIND and bool(0 < credit.mean() < 1)


def _drawn(row: AskRow) -> Sequence[AnswerTarget]:
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
