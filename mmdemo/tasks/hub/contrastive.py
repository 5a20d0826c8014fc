"""Classify over two towers that were trained on pictures with captions: more of that, or classes in folders.

Legend: ``B`` rows of a batch, ``K`` classes, ``E`` width of the common space, ``N`` rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mmdemo.core.config import Calibration
from mmdemo.core.tasks import CLASSIFY
from mmdemo.nets.losses import clip_loss
from mmdemo.tasks.base import PLAIN, Batch, LossSettings, fit_threshold
from mmdemo.tasks.hub.base import FEWEST, HubTask, Look, Pixels, TrainableFamily, TrainableParts

HEADS = (
    *("visual.proj", "visual.head", "visual_projection", "text_projection", "text.text_projection"),
    *("vision_model.head", "text_model.head"),
)
"""What leads from the towers into the common space. Under LoRA it stays as it is: there is nothing new about it."""

SCALES = ("logit_scale", "logit_bias")
"""Stay as they are: they belong to the calibration, and served models read them once."""

PICTURES = ("visual", "vision")
"""Beginnings of the names of all that looks at pictures."""

MOST_TRIED, MOST_WRONG = 500, 99
"""Pictures that a calibration is fitted to, and wrong classes that each is tried with."""


@runtime_checkable
class ContrastiveFamily(TrainableFamily, Protocol):
    """A family with two towers; see :class:`mmdemo.models.families.contrastive.ContrastiveModel`."""

    processor: Look
    scale: float
    bias: float
    sigmoid: bool

    def picture_features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """(B, E), of any length."""
        ...

    def text_features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """(N, E), of any length."""
        ...

    def tokenizer(self, texts: Sequence[str]) -> Mapping[str, Tensor]:
        """What the text tower reads."""
        ...

    def templates(self, labels: int) -> tuple[str, ...]:
        """The sentences that each of so many labels is put into; they hold ``{}``."""
        ...

    def label_vectors(self, labels: Sequence[str]) -> Tensor:
        """Unit vectors of labels, (K, E)."""
        ...

    def neutral_vector(self) -> Tensor:
        """Unit vector (1, E) of what can be said of any picture."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastiveRow:
    """A picture and what is said of it.

    Attributes:
        pixels: The processor's output for it, without the dimension of the batch.
        texts: Captions, or prompts with its label; one is drawn.
        group: Rows of one group (a label) belong to each other's texts as well; -1 is a row by itself.
        own: Number of its class where all rows have one, else -1.
    """

    pixels: Pixels
    texts: tuple[str, ...]
    group: int = -1
    own: int = -1


def stacked(rows: Sequence[Pixels]) -> Batch:
    """The processor's outputs of several pictures as a batch, numbers in fp32."""
    found: Batch = {}
    for name in rows[0]:
        tensor = torch.from_numpy(np.stack([row[name] for row in rows]))
        found[name] = tensor.float() if tensor.is_floating_point() else tensor
    return found


def unit(vectors: Tensor) -> Tensor:
    """fp32 vectors of length 1."""
    return F.normalize(vectors.float(), dim=-1)


class _TowersTask(HubTask[ContrastiveRow]):
    """What both have in common."""

    def __init__(
        self, family: ContrastiveFamily, *, heads: tuple[str, ...] = HEADS, only: tuple[str, ...] = ()
    ) -> None:
        super().__init__(CLASSIFY, family.net, heads=heads, only=only, fixed=SCALES)
        self.family = family

    def _pictures(self, batch: Batch) -> Tensor:
        """Unit vectors (B, E)."""
        return unit(self.family.picture_features({n: t for n, t in batch.items() if n not in {"group", "own"}}))


class CaptionedTask(_TowersTask):
    """Pictures and captions find each other, as in the network's own training: by softmax, or by sigmoids."""

    metric = "r10"
    additive = False

    def collate(self, rows: Sequence[ContrastiveRow]) -> Batch:
        """The processor's output; the tokenizer's, its names after "text."; ``group`` (B,)."""
        drawn = [row.texts[int(torch.randint(len(row.texts), ()))] for row in rows]
        read = {f"text.{name}": tensor for name, tensor in self.family.tokenizer(drawn).items()}
        own = range(-1, -len(rows) - 1, -1)
        group = torch.tensor([row.group if row.group >= 0 else i for row, i in zip(rows, own, strict=True)])
        return {**stacked([row.pixels for row in rows]), **read, "group": group}

    def loss(self, net: TrainableParts, batch: Batch, how: LossSettings = PLAIN) -> Tensor:
        texts = unit(self.family.text_features(_part(batch, "text.")))
        pictures = self._pictures({n: t for n, t in batch.items() if not n.startswith("text.")})
        group = batch["group"]
        if not self.family.sigmoid:
            scale = torch.tensor(math.log(self.family.scale), device=pictures.device)
            alone = len(set(group.tolist())) == len(group)
            return clip_loss(pictures, texts, scale, None if alone else group, smoothing=how.smoothing)
        return sigmoid_loss(pictures, texts, scale=self.family.scale, bias=self.family.bias, group=group)

    def items(self, net: TrainableParts, batch: Batch) -> Tensor:
        return torch.tensor(float(len(batch["group"])))

    def outputs(self, net: TrainableParts, batch: Batch) -> list[NDArray[np.float32]]:
        """Unit vectors (E,)."""
        return list(self._pictures({n: t for n, t in batch.items() if not n.startswith("text.")}).cpu().numpy())

    def score(
        self, net: TrainableParts, outputs: Sequence[NDArray[np.float32]], rows: Sequence[ContrastiveRow]
    ) -> dict[str, float]:
        """All captions against all pictures: the share whose own picture is the nearest (r1), or near (r10).

        Pictures of the same group do not count: a label belongs to all of them.
        """
        pictures, device = np.stack(outputs), next(net.parameters()).device
        texts = [text for row in rows for text in row.texts]
        owner = np.repeat(np.arange(len(rows)), [len(row.texts) for row in rows])
        groups = np.array([row.group if row.group >= 0 else -i - 1 for i, row in enumerate(rows)])
        ranks, losses = [], []
        with torch.inference_mode():
            for start in range(0, len(texts), 64):
                some = self.family.tokenizer(texts[start : start + 64])
                vectors = unit(self.family.text_features({n: t.to(device) for n, t in some.items()})).cpu().numpy()
                whose, at = owner[start : start + 64], np.arange(len(vectors))
                scores = vectors @ pictures.T  # (64, N)
                other = groups[whose][:, None] != groups[None, :]
                right = scores[at, whose][:, None]
                ranks.append((other & (scores > right)).sum(axis=1))
                rest = np.where(other, self.family.scale * (scores - right), -np.inf)
                losses.append(np.log1p(np.exp(rest).sum(axis=1)))  # of the own picture among all
        rank = np.concatenate(ranks)
        loss = float(np.concatenate(losses).mean())
        return {"minus_loss": -loss, "r1": float((rank < 1).mean()), "r10": float((rank < 10).mean())}

    def calibrate(
        self, net: TrainableParts, outputs: Sequence[NDArray[np.float32]], rows: Sequence[ContrastiveRow]
    ) -> Calibration:
        """None: captions say nothing of how sure a label is."""
        return Calibration()


class ClassesTask(_TowersTask):
    """Pictures in folders: the picture tower learns to bring them to the names of their classes.

    The text tower stays as it is, so that the vectors of the names are made once, and every other label means what it
    meant before.

    Args:
        classes: Unit vectors (K, E) of the classes, as the served model makes them.
        neutral: Unit vector (1, E) of what can be said of any picture; None with a sigmoid, which needs none.
    """

    metric = "top1"

    def __init__(
        self,
        family: ContrastiveFamily,
        *,
        heads: tuple[str, ...] = HEADS,
        classes: Tensor,
        neutral: Tensor | None,
    ) -> None:
        super().__init__(family, heads=heads, only=PICTURES)
        self.classes, self.neutral = classes, neutral

    def collate(self, rows: Sequence[ContrastiveRow]) -> Batch:
        """The processor's output, and ``own`` (B,)."""
        return {**stacked([row.pixels for row in rows]), "own": torch.tensor([row.own for row in rows])}

    def _logits(self, batch: Batch) -> Tensor:
        """(B, K), and one more for "none of these"."""
        pictures = self._pictures(batch)
        device = pictures.device
        with torch.autocast(device.type, enabled=False):  # a scale of 100 would blow bf16's rounding up
            scores = self.family.scale * pictures @ self.classes.to(device).T + self.family.bias
            if self.neutral is None:
                none = scores.new_zeros(len(scores), 1)
            else:
                none = self.family.scale * pictures @ self.neutral.to(device).T + self.family.bias
        return torch.cat((scores, none), dim=1)

    def loss(self, net: TrainableParts, batch: Batch, how: LossSettings = PLAIN) -> Tensor:
        return F.cross_entropy(self._logits(batch)[:, :-1], batch["own"], label_smoothing=how.smoothing)

    def items(self, net: TrainableParts, batch: Batch) -> Tensor:
        return torch.tensor(float(len(batch["own"])))

    def outputs(self, net: TrainableParts, batch: Batch) -> list[NDArray[np.float32]]:
        """Scores (K + 1,)."""
        return list(self._logits(batch).float().cpu().numpy())

    def score(
        self, net: TrainableParts, outputs: Sequence[NDArray[np.float32]], rows: Sequence[ContrastiveRow]
    ) -> dict[str, float]:
        """The share whose class is the nearest."""
        scores, own = torch.from_numpy(np.stack(outputs)[:, :-1]), torch.tensor([row.own for row in rows])
        right = scores.argmax(dim=1) == own
        return {"minus_loss": -float(F.cross_entropy(scores, own)), "top1": float(right.float().mean())}

    def calibrate(
        self, net: TrainableParts, outputs: Sequence[NDArray[np.float32]], rows: Sequence[ContrastiveRow]
    ) -> Calibration:
        """Temperature and height of "none of these" under which pictures are most probably what they are.

        Each is asked for with its class among the labels, and without it, when none of them is right.
        """
        if len(rows) < FEWEST:
            return Calibration()
        step = max(1, len(rows) // MOST_TRIED)
        trials: list[tuple[NDArray[np.float32], float, int]] = []
        for out, row in list(zip(outputs, rows, strict=True))[::step]:
            wrong = np.delete(out[:-1], row.own)
            wrong = -np.sort(-wrong)[:MOST_WRONG]
            trials.append((np.concatenate((out[row.own : row.own + 1], wrong)), float(out[-1]), 0))
            if len(wrong):
                trials.append((wrong, float(out[-1]), -1))
        return _fitted(trials)


def sigmoid_loss(pictures: Tensor, texts: Tensor, *, scale: float, bias: float, group: Tensor) -> Tensor:
    """For every pair whether the two belong together (Zhai et al. 2023, https://arxiv.org/abs/2303.15343).

    Args:
        pictures, texts: Unit vectors (B, E); row i of one belongs to row i of the other.
        group: int (B,); pairs of one group that are not of one row have no say.
    """
    with torch.autocast(pictures.device.type, enabled=False):
        logits = scale * pictures.float() @ texts.float().T + bias  # (B, B)
    here = torch.eye(len(logits), device=logits.device)
    counts = (group[:, None] != group[None, :]) | here.bool()
    loss = -F.logsigmoid((2 * here - 1) * logits)
    return (loss * counts).sum() / len(logits)


def _part(batch: Batch, prefix: str) -> Batch:
    return {name.removeprefix(prefix): tensor for name, tensor in batch.items() if name.startswith(prefix)}


def _fitted(trials: Sequence[tuple[NDArray[np.float32], float, int]]) -> Calibration:
    """The best of a grid; a trial is scores, that of "none of these", and the right one's place (-1 is none)."""
    most = max(len(scores) for scores, _, _ in trials)
    table = torch.full((len(trials), most + 1), -torch.inf)
    none = torch.tensor([height for _, height, _ in trials])
    for i, (scores, _, _) in enumerate(trials):
        table[i, : len(scores)] = torch.from_numpy(scores)
    right = torch.tensor([most if place < 0 else place for _, _, place in trials])
    best = (float("inf"), 1.0, 0.0)
    for height in np.arange(-8.0, 8.25, 0.5):
        table[:, most] = none + float(height)
        for temperature in np.geomspace(0.25, 8.0, 30):
            loss = float(F.cross_entropy(table / float(temperature), right))
            best = min(best, (loss, float(temperature), float(height)))
    _, temperature, height = best
    table[:, most] = none + height
    confidence, top = (table / temperature).softmax(dim=1).max(dim=1)
    fitted = fit_threshold(confidence.numpy(), (top == right).float().numpy())
    return replace(fitted, temperature=temperature, height=height)
