"""Ask and Caption over networks that say their answers token by token: what people said is made likelier.

Legend: ``B`` rows of a batch, ``T`` tokens of what is to be said, ``V`` vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mmdemo.core.config import Calibration
from mmdemo.core.tasks import ASK
from mmdemo.core.types import AskRequest, AskResult, CaptionRequest, CaptionResult, Picture, Result
from mmdemo.core.words import normalize_answer
from mmdemo.media.image import load_picture
from mmdemo.tasks.base import PLAIN, Batch, LossSettings, fit_threshold
from mmdemo.tasks.hub.base import FEWEST, HubTask, Look, Pixels, TrainableFamily, TrainableParts

SILENT = -100
"""A target that says nothing: padding, and all that the network does not say itself."""

JUDGED = 200
"""Validation rows whose answers are listened to after every epoch, evenly from all; the loss is of all."""

HEARD = 200
"""Captions that the threshold of "not sure" is taken from."""

AT_ONCE = 16
"""Pictures that are decoded at once: a decoded one has up to 8 MB."""

MOST_TOKENS = 256
"""Of one answer or caption; what is longer is cut off in training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerativeRow:
    """A picture, what is asked about it if anything, and what people said.

    Attributes:
        answers: Text → share; in training one is drawn by it, else the first counts.
        right: Normalised answer → how right it is, in [0, 1]; empty for captions.
        pixels: What the processor makes of the picture, where that is kept.
    """

    file: Path
    question: str = ""
    answers: Mapping[str, float]
    right: Mapping[str, float] = field(default_factory=dict)
    learning: bool = False
    pixels: Pixels | None = None


def target_texts(rows: Sequence[GenerativeRow]) -> list[str]:
    """One answer of each row."""
    found = []
    for row in rows:
        texts = list(row.answers)
        if row.learning and len(texts) > 1:
            shares = torch.tensor([row.answers[text] for text in texts])
            found.append(texts[int(torch.multinomial(shares, 1))])
        else:
            found.append(texts[0])
    return found


def load_pictures(files: Sequence[Path]) -> list[Picture]:
    """Pictures, several at a time; the same file is decoded once."""
    unique = list(dict.fromkeys(files))
    with ThreadPoolExecutor(max_workers=4) as pool:
        found = dict(zip(unique, pool.map(load_picture, unique), strict=True))
    return [found[file] for file in files]


class SFTFormatter(Protocol):
    """How a family's training rows are formatted: prompt, target, and where the next token is said."""

    heads: tuple[str, ...]
    """Beginnings of the names of what sits on top of its encoders."""

    only: tuple[str, ...]
    """Beginnings of the names of what may be trained; () is everything."""

    @property
    def look(self) -> Look | None:
        """What of pictures is kept in the cache, as ``pixels`` of the rows; None where each is decoded anew."""
        ...

    def inputs(self, rows: Sequence[GenerativeRow], texts: Sequence[str]) -> Batch:
        """What the network reads, and ``target`` (B, T): :data:`SILENT` where nothing is said."""
        ...

    def logits(self, net: nn.Module, batch: Batch) -> Tensor:
        """(B, T, V), each for the target in its place."""
        ...


@runtime_checkable
class GenerativeFamily(TrainableFamily, Protocol):
    """A family that says its answers token by token."""

    def formatter(self, tune: str) -> SFTFormatter:
        """How its rows are formatted.

        Args:
            tune: The kind of ``train.tune``: "head", "last", "all" or "lora".

        Raises:
            MmdemoError: The network cannot be tuned like that.
        """
        ...


class GenerativeTask(HubTask[GenerativeRow]):
    """Cross-entropy of the next token; validation also measures the answers of the served model.

    Args:
        family: Opened for Ask or Caption.
    """

    def __init__(self, family: GenerativeFamily, formatter: SFTFormatter) -> None:
        super().__init__(family.card.task, family.net, heads=formatter.heads, only=formatter.only)
        self.formatter, self.answer = formatter, family.predict
        self.metric = "accuracy" if self.name == ASK else "minus_loss"

    def collate(self, rows: Sequence[GenerativeRow]) -> Batch:
        return self.formatter.inputs(rows, target_texts(rows))

    def loss(self, net: TrainableParts, batch: Batch, how: LossSettings = PLAIN) -> Tensor:
        logits = self.formatter.logits(net.net, batch).float()
        return F.cross_entropy(
            logits.flatten(0, 1), batch["target"].flatten(), ignore_index=SILENT, label_smoothing=how.smoothing
        )

    def items(self, net: TrainableParts, batch: Batch) -> Tensor:
        return (batch["target"] != SILENT).sum().float()

    def outputs(self, net: TrainableParts, batch: Batch) -> list[NDArray[np.float32]]:
        """Per row the summed loss over its tokens, and their number."""
        logits, target = self.formatter.logits(net.net, batch).float(), batch["target"]
        loss = F.cross_entropy(logits.transpose(1, 2), target, ignore_index=SILENT, reduction="none").sum(dim=1)
        return list(torch.stack((loss, (target != SILENT).sum(dim=1)), dim=1).cpu().float().numpy())

    def score(
        self, net: TrainableParts, outputs: Sequence[NDArray[np.float32]], rows: Sequence[GenerativeRow]
    ) -> dict[str, float]:
        """Mean log-probability per token, and for Ask how right the served model's answers are."""
        total = np.sum(outputs, axis=0)
        figures = {"minus_loss": -float(total[0] / max(total[1], 1))}
        if self.name == ASK:
            figures["accuracy"] = float(np.mean(self._judged(rows)[1]))
        return figures

    def calibrate(
        self, net: TrainableParts, outputs: Sequence[NDArray[np.float32]], rows: Sequence[GenerativeRow]
    ) -> Calibration:
        """A threshold alone: a temperature would not change which of two answers is the surer one.

        Of captions, which are neither right nor wrong, the least sure fifth is "not sure".
        """
        if len(rows) < FEWEST:
            return Calibration()
        if self.name == ASK:
            confidence, right = self._judged(rows)
            return fit_threshold(confidence, right)
        files = list(dict.fromkeys(row.file for row in rows))[:HEARD]
        results = self._answers([GenerativeRow(file=file, answers={}) for file in files])
        scores = [result.score for result in results if isinstance(result, CaptionResult)]
        return replace(Calibration(), threshold=float(np.quantile(scores, 0.2)), kept=0.8)

    def _judged(self, rows: Sequence[GenerativeRow]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Score and credit of the served model's answers to some rows, evenly from all."""
        some = list(rows)[:: -(-len(rows) // JUDGED)]
        results = self._answers(some)
        scores, credit = [], []
        for row, result in zip(some, results, strict=True):
            assert isinstance(result, AskResult)  # noqa: S101 - it was asked
            scores.append(result.score)
            credit.append(row.right.get(normalize_answer(result.answer), 0.0))
        return np.array(scores, np.float32), np.array(credit, np.float32)

    def _answers(self, rows: Sequence[GenerativeRow]) -> list[Result]:
        found: list[Result] = []
        for start in range(0, len(rows), AT_ONCE):
            some = rows[start : start + AT_ONCE]
            pictures = load_pictures([row.file for row in some])
            found += self.answer([request(self.name, p, row) for p, row in zip(pictures, some, strict=True)])
        return found


def request(task: str, picture: Picture, row: GenerativeRow) -> AskRequest | CaptionRequest:
    """What a person would ask of a served model."""
    if task == ASK:
        return AskRequest(picture=picture, question=row.question)
    return CaptionRequest(picture=picture, n=1)


def targets(texts: Sequence[Sequence[int]], *, end: int) -> tuple[Tensor, Tensor]:
    """Tokens of what is to be said as int64 (B, T) with ``end`` behind each; and the same, :data:`SILENT` behind that.

    The first is what a decoder reads (padded with ``end``), the second what it is to say.
    """
    longest = max(len(tokens) for tokens in texts) + 1
    read = torch.full((len(texts), longest), end)
    said_ = torch.full((len(texts), longest), SILENT)
    for i, tokens in enumerate(texts):
        read[i, : len(tokens)] = torch.tensor(list(tokens), dtype=torch.long)
        said_[i, : len(tokens) + 1] = read[i, : len(tokens) + 1]
    return read, said_
