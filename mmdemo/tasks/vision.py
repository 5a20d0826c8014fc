"""Task "vision": tune the upper half of the picture trunk once for captions, questions and labels together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmdemo.core.config import Calibration, CheckpointConfig, from_mapping
from mmdemo.core.errors import MmdemoError
from mmdemo.nets.losses import clip_loss, distillation, word_loss
from mmdemo.nets.vision import PictureTrunk, VisionConfig, VisionTuner
from mmdemo.tasks.base import HEAD, PLAIN, Batch, LossSettings

D = TypeVar("D", bound=np.generic)


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionRow:
    """A picture below the cut, and what people said of it.

    Attributes:
        stems: fp16 (C, 2G, 2G) each, the picture and its mirror image; one of them is drawn.
        texts: fp32 (N, E) sentence vectors, N ≥ 1; one is drawn.
        words: Indices of words that were used of the picture.
        complete: Whether words that are not listed were not used (captions), or may have been (questions).
        teacher: fp16 (1000,) ImageNet logits of the untuned trunk.
    """

    stems: tuple[NDArray[np.float16], ...]
    texts: NDArray[np.float32]
    words: tuple[int, ...]
    complete: bool
    teacher: NDArray[np.float16]


class VisionTask:
    """Upper stages of the trunk tuned for captions, questions and labels; see :class:`mmdemo.tasks.base.Task`."""

    name = "vision"
    metric = "r1"
    label_rows: tuple[str, ...] = ("words.weight", "words.bias")
    additive = False

    def build(self, config: CheckpointConfig) -> VisionTuner:
        trunk = PictureTrunk(from_mapping(VisionConfig, config.net))
        return VisionTuner(trunk, text_width=_whole(config, "text_width"), words=len(config.labels))

    def start(self, net: VisionTuner, bases: Mapping[str, nn.Module]) -> None:
        net.trunk.load_state_dict(bases["vision"].state_dict(), strict=True)

    def warm_up(self, net: VisionTuner, rows: Sequence[VisionRow]) -> None:
        """Nothing: all is learned step by step."""

    def depth(self, net: VisionTuner, name: str) -> int:
        return net.trunk.depth(name.removeprefix("trunk.")) if name.startswith("trunk.") else HEAD

    def shipped(self, net: VisionTuner) -> dict[str, Tensor]:
        return net.trunk.state_dict()

    def collate(self, rows: Sequence[VisionRow]) -> Batch:
        count = int(max((max(row.words, default=0) for row in rows), default=0)) + 1
        words = torch.zeros(len(rows), count)
        for i, row in enumerate(rows):
            words[i, list(row.words)] = 1.0
        return {
            "stem": torch.from_numpy(np.stack([_draw(row.stems) for row in rows])).float(),
            "text": torch.from_numpy(np.stack([_draw(tuple(row.texts)) for row in rows])).float(),
            "words": words,
            "complete": torch.tensor([row.complete for row in rows]),
            "teacher": torch.from_numpy(np.stack([row.teacher for row in rows])).float(),
        }

    def loss(self, net: VisionTuner, batch: Batch, how: LossSettings = PLAIN) -> Tensor:
        # running statistics of the base are kept: batches here are small and of another domain
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        out = net(batch["stem"])
        count = batch["words"].shape[1]
        whole = batch["complete"]
        words = out.words[:, :count]
        loss = clip_loss(out.text, batch["text"], net.log_scale, smoothing=how.smoothing)
        loss = loss + distillation(out.imagenet, batch["teacher"])
        if whole.any():
            loss = loss + 0.05 * word_loss(words[whole], batch["words"][whole])
        if not whole.all():
            loss = loss + 0.05 * word_loss(words[~whole], batch["words"][~whole], negative_weight=0.0)
        return loss

    def items(self, batch: Batch) -> Tensor:
        return torch.tensor(float(len(batch["stem"])))

    def outputs(self, net: VisionTuner, batch: Batch) -> list[NDArray[np.float32]]:
        return list(net(batch["stem"]).text.float().cpu().numpy())

    def score(
        self, net: VisionTuner, outputs: Sequence[NDArray[np.float32]], rows: Sequence[VisionRow]
    ) -> dict[str, float]:
        """Text to picture among all: share of first captions whose own picture is the nearest (r1), or near (r10)."""
        pictures = np.stack(outputs)  # (N, E)
        texts = np.stack([row.texts[0] for row in rows])  # (N, E)
        scores = texts @ pictures.T
        rank = (scores > np.diag(scores)[:, None]).sum(axis=1)
        return {"r1": float((rank < 1).mean()), "r10": float((rank < 10).mean())}

    def calibrate(
        self, net: VisionTuner, outputs: Sequence[NDArray[np.float32]], rows: Sequence[VisionRow]
    ) -> Calibration:
        return Calibration()


def _draw(views: Sequence[NDArray[D]]) -> NDArray[D]:
    return views[int(torch.randint(len(views), ()))]


def _whole(config: CheckpointConfig, name: str) -> int:
    """A whole number of the checkpoint's settings."""
    value = config.settings.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise MmdemoError("This vision configuration cannot be used", f"its settings hold no whole number {name}")
    return value
