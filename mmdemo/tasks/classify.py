"""Task "classify": pictures and texts in one space, together with what the ImageNet head knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mmdemo.core.config import Calibration, CheckpointConfig, from_mapping
from mmdemo.nets.losses import clip_loss, distillation
from mmdemo.nets.shared_space import ClassifyConfig, TextSpace, heights, known_vector
from mmdemo.tasks.base import HEAD, PLAIN, Batch, LossSettings, fit_threshold
from mmdemo.tasks.pictures import Look, at_cut, draw
from mmdemo.tasks.soft import SOFT, listens


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A made question of classification, for calibration: which of these labels is it, if any?

    Attributes:
        known: fp32 (K,) heights of the labels by what the ImageNet head knows.
        labels: fp32 (K, E) unit vectors.
        bank: fp32 (M, E) unit vectors of everyday words; one array shared by all trials.
        weight: Share of ``known`` in the sum.
        right: Index of the right label, K for "none of these".
    """

    known: NDArray[np.float32]
    labels: NDArray[np.float32]
    bank: NDArray[np.float32]
    weight: float
    right: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifyRow:
    """A picture and the texts that belong to it.

    Attributes:
        views: The pooled grid, fp16 (D,), of each view; with a trunk that is trained along what lies below all that is
            trained (tasks.pictures.Cut). One is drawn.
        texts: fp32 (E,) sentence vectors, one or more; one is drawn.
        group: Rows of one group (a label) belong to each other's texts as well; -1 is a row by itself.
        trials: Only on validation rows.
        imagenet: fp16 (1000,) ImageNet logits of the untuned trunk, where the trunk is trained along.
        soft: fp16 (E,), where a teacher puts the upright picture in the same space, times its scale.
        file: The picture, by which a teacher finds it.
    """

    views: tuple[NDArray[Any], ...]
    texts: Sequence[NDArray[np.float32]]
    group: int = -1
    trials: tuple[Trial, ...] = ()
    imagenet: NDArray[np.float16] | None = None
    soft: NDArray[np.float16] | None = None
    file: Path | None = None


class ClassifyTask:
    """Projection of pictures into the text space; see :class:`mmdemo.tasks.base.Task`."""

    name = "classify"
    metric = "r10"
    label_rows: tuple[str, ...] = ()
    additive = False

    def build(self, config: CheckpointConfig) -> TextSpace:
        return TextSpace(from_mapping(ClassifyConfig, config.net))

    def start(self, net: TextSpace, bases: Mapping[str, nn.Module]) -> None:
        """Nothing: both encoders stay outside, frozen."""

    def warm_up(self, net: TextSpace, rows: Sequence[ClassifyRow]) -> None:
        """Nothing: all is learned step by step."""

    def depth(self, net: TextSpace, name: str) -> int:
        return HEAD

    def shipped(self, net: TextSpace) -> dict[str, Tensor]:
        return net.state_dict()

    def collate(self, rows: Sequence[ClassifyRow]) -> Batch:
        """``pooled`` (B, D) or the picture at its cut, ``text`` (B, E); ``group`` (B,) where rows belong together."""
        views = [draw(row.views) for row in rows]
        texts = [draw(row.texts) for row in rows]
        pooled = views[0].ndim == 1
        batch = {"pooled": torch.from_numpy(np.stack(views)).float()} if pooled else at_cut(views)
        batch["text"] = torch.from_numpy(np.stack(texts))
        if any(row.group >= 0 for row in rows):
            batch["group"] = torch.from_numpy(_groups(rows))
        known = [row.imagenet for row in rows if row.imagenet is not None]
        if len(known) == len(rows):
            batch["imagenet"] = torch.from_numpy(np.stack(known)).float()
        soft = [row.soft for row in rows if row.soft is not None]
        if len(soft) == len(rows):
            batch[SOFT] = torch.from_numpy(np.stack(soft)).float()
        return batch

    def loss(self, net: TextSpace, batch: Batch, how: LossSettings = PLAIN) -> Tensor:
        pictures = net(batch["pooled"])
        loss = clip_loss(pictures, batch["text"], net.log_scale, batch.get("group"), smoothing=how.smoothing)
        if not listens(batch, how):
            return loss
        with torch.autocast(pictures.device.type, enabled=False):  # as in clip_loss
            logits = pictures.float() @ batch["text"].float().T * net.log_scale.exp().clamp(max=100.0)  # (B, B)
            wanted = batch[SOFT] @ batch["text"].float().T
        taught = sum(
            distillation(mine, theirs, temperature=how.teacher_temperature)
            for mine, theirs in ((logits, wanted), (logits.T, wanted.T))
        )
        return (1 - how.teacher_share) * loss + how.teacher_share * taught / 2

    def items(self, net: TextSpace, batch: Batch) -> Tensor:
        return torch.tensor(float(len(batch["text"])))

    def outputs(self, net: TextSpace, batch: Batch) -> list[NDArray[np.float32]]:
        return list(net(batch["pooled"]).float().cpu().numpy())

    def score(
        self, net: TextSpace, outputs: Sequence[NDArray[np.float32]], rows: Sequence[ClassifyRow]
    ) -> dict[str, float]:
        """All captions against all pictures: the share whose own picture is the nearest (r1), or near (r10).

        Pictures of the same group do not count: a label belongs to all of them.
        """
        pictures = np.stack(outputs)  # (N, E)
        owner = np.repeat(np.arange(len(rows)), [len(row.texts) for row in rows])
        scores = np.concatenate([row.texts for row in rows]) @ pictures.T  # (captions, N)
        groups = _groups(rows)
        other = groups[owner][:, None] != groups[None, :]  # (captions, N)
        rank = (other & (scores > scores[np.arange(len(owner)), owner][:, None])).sum(axis=1)
        return {"r1": float((rank < 1).mean()), "r10": float((rank < 10).mean())}

    def looked_at(self, net: TextSpace, rows: Sequence[ClassifyRow], look: Look) -> Sequence[ClassifyRow]:
        """The rows with what the ImageNet head knows of their pictures."""
        found, names = list(rows), net.names.cpu()
        asked = [i for i, row in enumerate(rows) if row.trials]
        for start in range(0, len(asked), 32):
            some = asked[start : start + 32]
            logits = look([rows[i].views[0] for i in some])[1]
            for i, known in zip(some, logits, strict=True):
                found[i] = tried(rows[i], known[None], names)
        return found

    def calibrate(
        self, net: TextSpace, outputs: Sequence[NDArray[np.float32]], rows: Sequence[ClassifyRow]
    ) -> Calibration:
        """Temperature and height of "none of these" that together make the made trials most probable."""
        found: list[tuple[Tensor, int]] = []
        for vector, row in zip(outputs, rows, strict=True):
            for trial in row.trials:
                space = heights(
                    torch.from_numpy(vector[None]), torch.from_numpy(trial.labels), torch.from_numpy(trial.bank)
                )[0]
                found.append((trial.weight * torch.from_numpy(trial.known) + (1 - trial.weight) * space, trial.right))
        if not found:
            return Calibration()
        most = max(len(h) for h, _ in found)
        table = torch.full((len(found), most + 1), -torch.inf)
        right = torch.empty(len(found), dtype=torch.long)
        for i, (h, answer) in enumerate(found):
            table[i, : len(h)] = h
            right[i] = answer if answer < len(h) else most
        best = (float("inf"), 1.0, 0.0)
        for height in np.arange(0.0, 5.0, 0.1):
            table[:, most] = float(height)
            for temperature in np.geomspace(0.1, 2.0, 40):
                loss = float(F.cross_entropy(table / float(temperature), right))
                best = min(best, (loss, float(temperature), float(height)))
        _, temperature, height = best
        table[:, most] = height
        scores = (table / temperature).softmax(dim=1)
        confidence, top = scores.max(dim=1)
        return replace(
            fit_threshold(confidence.numpy(), (top == right).float().numpy()), temperature=temperature, height=height
        )


def tried(row: ClassifyRow, imagenet: Tensor, names: Tensor) -> ClassifyRow:
    """The row with ``known`` of its trials from ImageNet logits (1, N); names (N, E)."""
    by_names = known_vector(imagenet.softmax(dim=1), names)
    return replace(
        row,
        trials=tuple(
            replace(
                trial,
                known=heights(by_names, torch.from_numpy(trial.labels), torch.from_numpy(trial.bank))[0].numpy(),
            )
            for trial in row.trials
        ),
    )


def _groups(rows: Sequence[ClassifyRow]) -> NDArray[np.int64]:
    """(N,); rows by themselves are groups of their own."""
    return np.array([row.group if row.group >= 0 else -1 - i for i, row in enumerate(rows)], dtype=np.int64)
