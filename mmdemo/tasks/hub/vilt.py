"""Ask over ViLT: a list of answers, each with a yes or no of its own; new answers are rows of its head.

Legend: ``B`` questions, ``K`` answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mmdemo.core.config import Calibration
from mmdemo.core.tasks import ASK
from mmdemo.core.types import AskRequest
from mmdemo.tasks.base import PLAIN, Batch, LossSettings, fit_confidence, fit_threshold
from mmdemo.tasks.hub.base import FEWEST, HubTask, TrainableFamily, TrainableParts
from mmdemo.tasks.hub.generative import load_pictures

HEADS = ("classifier",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ViltRow:
    """A question and the answers that people gave.

    Attributes:
        right: Number of an answer → how right it is, in [0, 1]; those that the network cannot give are left out.
    """

    file: Path
    question: str
    right: Mapping[int, float]


@runtime_checkable
class AnswerListFamily(TrainableFamily, Protocol):
    """A family with an output unit for each of its answers; its ``data_options`` are "least" and "most"."""

    def question_inputs(self, requests: Sequence[AskRequest]) -> Mapping[str, Tensor]:
        """What the network reads of questions, on the CPU."""
        ...


class ViltTask(HubTask[ViltRow]):
    """Binary cross-entropy over all answers, as in the network's own training.

    Args:
        answers: K.
    """

    metric = "accuracy"

    def __init__(self, family: AnswerListFamily, *, answers: int) -> None:
        super().__init__(ASK, family.net, heads=HEADS)
        self.family, self.answers = family, answers

    def collate(self, rows: Sequence[ViltRow]) -> Batch:
        """The processor's output, and ``target`` (B, K) in [0, 1]."""
        pictures = load_pictures([row.file for row in rows])
        asked = [AskRequest(picture=p, question=row.question) for p, row in zip(pictures, rows, strict=True)]
        return {**self.family.question_inputs(asked), "target": self._target(rows)}

    def _target(self, rows: Sequence[ViltRow]) -> Tensor:
        target = torch.zeros(len(rows), self.answers)
        for i, row in enumerate(rows):
            for answer, share in row.right.items():
                target[i, answer] = share
        return target

    def _logits(self, net: nn.Module, batch: Batch) -> Tensor:
        found: Tensor = net(**{name: tensor for name, tensor in batch.items() if name != "target"}).logits
        return found.float()

    def loss(self, net: TrainableParts, batch: Batch, how: LossSettings = PLAIN) -> Tensor:
        """Summed over the answers, mean over the questions (https://github.com/jnhwkim/ban-vqa)."""
        target = batch["target"] * (1 - how.smoothing) + how.smoothing / self.answers
        target = target if how.smoothing else batch["target"]
        return F.binary_cross_entropy_with_logits(self._logits(net.net, batch), target) * self.answers

    def items(self, net: TrainableParts, batch: Batch) -> Tensor:
        return torch.tensor(float(len(batch["target"])))

    def outputs(self, net: TrainableParts, batch: Batch) -> list[NDArray[np.float32]]:
        """Logits (K,)."""
        return list(self._logits(net.net, batch).cpu().numpy())

    def score(
        self, net: TrainableParts, outputs: Sequence[NDArray[np.float32]], rows: Sequence[ViltRow]
    ) -> dict[str, float]:
        """How right the likeliest answers are."""
        logits = torch.from_numpy(np.stack(outputs))
        target = self._target(rows)
        loss = F.binary_cross_entropy_with_logits(logits, target) * self.answers
        return {"minus_loss": -float(loss), "accuracy": float(np.mean(_credit(outputs, rows)))}

    def calibrate(
        self, net: TrainableParts, outputs: Sequence[NDArray[np.float32]], rows: Sequence[ViltRow]
    ) -> Calibration:
        credit = _credit(outputs, rows)
        if len(rows) < FEWEST or not 0 < credit.mean() < 1:
            return Calibration()
        logits = np.stack(outputs)
        temperature = fit_confidence(logits, credit)
        scores = torch.softmax(torch.from_numpy(logits / np.float32(temperature)), dim=1).amax(dim=1).numpy()
        return replace(fit_threshold(scores, credit), temperature=temperature)


def _credit(outputs: Sequence[NDArray[np.float32]], rows: Sequence[ViltRow]) -> NDArray[np.float32]:
    found = [row.right.get(int(out.argmax()), 0.0) for out, row in zip(outputs, rows, strict=True)]
    return np.array(found, np.float32)
