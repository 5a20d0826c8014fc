"""Task "vision": tune the upper half of the picture trunk once for captions, questions and labels together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mmdemo.core.config import Calibration, CheckpointConfig, from_mapping
from mmdemo.core.errors import MmdemoError
from mmdemo.nets.losses import clip_loss, distillation, feature_distillation, word_loss
from mmdemo.nets.shared_space import placed
from mmdemo.nets.vision import PictureTrunk, VisionConfig, VisionTuner, keep_statistics
from mmdemo.tasks.base import HEAD, PLAIN, Batch, LossSettings, grids
from mmdemo.tasks.distillation import SOFT, uses_teacher
from mmdemo.tasks.pictures import at_cut, draw, grid_of, jittered
from mmdemo.tasks.tune import LORA


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionRow:
    """A picture below the cut, and what people said of it.

    Attributes:
        views: What lies below all that is trained (tasks.pictures.Cut), of each view; one of them is drawn.
        texts: fp32 (E,) sentence vectors, one or more; one is drawn.
        words: Indices of words that were used of the picture.
        complete: Whether words that are not listed were not used (captions), or may have been (questions).
        teacher: fp16 (1000,) ImageNet logits of the untuned trunk.
        asked: fp32 (E,) vectors of questions about it, each with its answer's index.
        jitter: Whether a view of pixels is cropped and coloured anew each time (tasks.pictures.jittered).
        soft: Another trunk's grid, uint8 (D', G', G'), of as many of the views as it has seen, the first ones.
        file: The picture, by which that trunk finds it.
    """

    views: tuple[NDArray[Any], ...]
    texts: Sequence[NDArray[np.float32]]
    words: tuple[int, ...]
    complete: bool
    teacher: NDArray[np.float16]
    asked: tuple[tuple[NDArray[np.float32], int], ...] = ()
    jitter: bool = False
    soft: tuple[NDArray[np.uint8], ...] = ()
    file: Path | None = None


MOST_ASKED = 3
"""Questions per picture and step."""


class VisionTask:
    """Upper stages of the trunk tuned for captions, questions and labels; see :class:`mmdemo.tasks.base.Task`."""

    name = "vision"
    metric = "r1"
    label_rows: tuple[str, ...] = ("words.weight", "words.bias")
    additive = False
    grown_rows: tuple[str, ...] = ()

    def build(self, config: CheckpointConfig) -> VisionTuner:
        trunk = PictureTrunk(from_mapping(VisionConfig, config.net))
        teacher = _whole(config, TEACHER_WIDTH) if TEACHER_WIDTH in config.settings else 0
        return VisionTuner(
            trunk,
            text_width=_whole(config, "text_width"),
            words=len(config.labels),
            teacher_width=teacher,
            answers=_whole(config, ANSWERS) if ANSWERS in config.settings else 0,
        )

    def start(self, net: VisionTuner, bases: Mapping[str, nn.Module]) -> None:
        net.trunk.load_state_dict(bases["vision"].state_dict(), strict=True)

    def fit_init(self, net: VisionTuner, rows: Sequence[VisionRow]) -> None:
        """Nothing: all is learned step by step."""

    def finalize(self, net: VisionTuner, rows: Sequence[VisionRow]) -> None:
        """Nothing: the steps are all there is."""

    def depth(self, net: VisionTuner, name: str) -> int:
        if not name.startswith("trunk.") or LORA in name:
            return HEAD
        return net.trunk.depth(name.removeprefix("trunk."))

    def shipped(self, net: VisionTuner) -> dict[str, Tensor]:
        return net.trunk.state_dict()

    def collate(self, rows: Sequence[VisionRow]) -> Batch:
        count = int(max((max(row.words, default=0) for row in rows), default=0)) + 1
        words = torch.zeros(len(rows), count)
        for i, row in enumerate(rows):
            words[i, list(row.words)] = 1.0
        drawn = [int(torch.randint(len(row.views), ())) for row in rows]
        views = [row.views[i] for row, i in zip(rows, drawn, strict=True)]
        if all(row.jitter for row in rows):
            views = [jittered(view) for view in views]
        asked = [(i, *row.asked[j]) for i, row in enumerate(rows) for j in torch.randperm(len(row.asked))[:MOST_ASKED]]
        return {
            **at_cut(views),
            "questions": torch.from_numpy(np.stack([q for _, q, _ in asked])) if asked else torch.empty(0, 0),
            "picture": torch.tensor([i for i, _, _ in asked], dtype=torch.long),
            "answer": torch.tensor([answer for _, _, answer in asked], dtype=torch.long),
            **_soft([row.soft[i] if i < len(row.soft) else None for row, i in zip(rows, drawn, strict=True)]),
            "text": torch.from_numpy(np.stack([draw(row.texts) for row in rows])).float(),
            "words": words,
            "complete": torch.tensor([row.complete for row in rows]),
            "teacher": torch.from_numpy(np.stack([row.teacher for row in rows])).float(),
        }

    def loss(self, net: VisionTuner, batch: Batch, how: LossSettings = PLAIN) -> Tensor:
        keep_statistics(net)
        grid = grid_of(net.trunk, batch)
        out = net(grid)
        count = batch["words"].shape[1]
        whole = batch["complete"]
        words = out.words[:, :count]
        loss = clip_loss(out.text, net.said(batch["text"]), net.log_scale, smoothing=how.smoothing)
        if net.asking is not None and len(batch["answer"]):
            answers = net.asking(grid, batch["questions"], batch["picture"]).float()
            loss = loss + 0.5 * F.cross_entropy(answers, batch["answer"])
        loss = loss + distillation(out.imagenet, batch["teacher"])
        if whole.any():
            loss = loss + 0.05 * word_loss(words[whole], batch["words"][whole])
        if not whole.all():
            loss = loss + 0.05 * word_loss(words[~whole], batch["words"][~whole], negative_weight=0.0)
        if not uses_teacher(batch, how) or net.project is None:
            return loss
        taught = feature_distillation(net.project(grid), batch[SOFT], batch["taught"])
        return (1 - how.teacher_share) * loss + how.teacher_share * taught

    def items(self, net: VisionTuner, batch: Batch) -> Tensor:
        return torch.tensor(float(len(batch["text"])))

    def outputs(self, net: VisionTuner, batch: Batch) -> list[NDArray[np.float32]]:
        return list(net(grid_of(net.trunk, batch)).text.float().cpu().numpy())

    def score(
        self, net: VisionTuner, outputs: Sequence[NDArray[np.float32]], rows: Sequence[VisionRow]
    ) -> dict[str, float]:
        """Text to picture among all: share of first captions whose own picture is the nearest (r1), or near (r10)."""
        pictures = np.stack(outputs)  # (N, E)
        texts = placed(net.said, np.stack([row.texts[0] for row in rows]))  # (N, E)
        scores = texts @ pictures.T
        rank = (scores > np.diag(scores)[:, None]).sum(axis=1)
        return {"r1": float((rank < 1).mean()), "r10": float((rank < 10).mean())}

    def calibrate(
        self, net: VisionTuner, outputs: Sequence[NDArray[np.float32]], rows: Sequence[VisionRow]
    ) -> Calibration:
        return Calibration()


ANSWERS = "answers"
"""Setting of a run whose data hold questions: how many answers it learns."""

TEACHER_WIDTH = "teacher_width"
"""Setting of a run with a teacher: the channels of its grid."""


def _soft(grids_of_teacher: Sequence[NDArray[np.uint8] | None]) -> Batch:
    """The teacher's grids (B, D', G', G'), and of which rows there is one; empty where there is none at all."""
    there = next((grid for grid in grids_of_teacher if grid is not None), None)
    if there is None:
        return {}
    nothing = np.zeros_like(there)
    return {
        SOFT: grids([nothing if grid is None else grid for grid in grids_of_teacher]),
        "taught": torch.tensor([grid is not None for grid in grids_of_teacher]),
    }


def _whole(config: CheckpointConfig, name: str) -> int:
    """A whole number of the checkpoint's settings."""
    value = config.settings.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise MmdemoError("This vision configuration cannot be used", f"its settings hold no whole number {name}")
    return value
