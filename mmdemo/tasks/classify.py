"""Task "classify": pictures and texts in one space, together with what the ImageNet head knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mmdemo.core.config import Calibration, CheckpointConfig, from_mapping
from mmdemo.nets.losses import clip_loss
from mmdemo.nets.shared_space import ClassifyConfig, TextSpace, heights
from mmdemo.tasks.base import HEAD, PLAIN, Batch, LossSettings, fit_threshold


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
        views: fp32 (D,) each, the pooled grid of the picture and of its mirror image; one is drawn.
        texts: fp32 (N, E) sentence vectors, N ≥ 1; one is drawn.
        trials: Only on validation rows.
    """

    views: tuple[NDArray[np.float32], ...]
    texts: NDArray[np.float32]
    trials: tuple[Trial, ...] = ()


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
        views = [row.views[int(torch.randint(len(row.views), ()))] for row in rows]
        texts = [row.texts[int(torch.randint(len(row.texts), ()))] for row in rows]
        return {"pooled": torch.from_numpy(np.stack(views)), "text": torch.from_numpy(np.stack(texts))}

    def loss(self, net: TextSpace, batch: Batch, how: LossSettings = PLAIN) -> Tensor:
        return clip_loss(net(batch["pooled"]), batch["text"], net.log_scale, smoothing=how.smoothing)

    def items(self, batch: Batch) -> Tensor:
        return torch.tensor(float(len(batch["text"])))

    def outputs(self, net: TextSpace, batch: Batch) -> list[NDArray[np.float32]]:
        return list(net(batch["pooled"]).float().cpu().numpy())

    def score(
        self, net: TextSpace, outputs: Sequence[NDArray[np.float32]], rows: Sequence[ClassifyRow]
    ) -> dict[str, float]:
        """All captions against all pictures: the share whose own picture is the nearest (r1), or near (r10)."""
        pictures = np.stack(outputs)  # (N, E)
        owner = np.repeat(np.arange(len(rows)), [len(row.texts) for row in rows])
        scores = np.concatenate([row.texts for row in rows]) @ pictures.T  # (captions, N)
        rank = (scores > scores[np.arange(len(owner)), owner][:, None]).sum(axis=1)
        return {"r1": float((rank < 1).mean()), "r10": float((rank < 10).mean())}

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
