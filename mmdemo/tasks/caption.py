"""Task "caption": the picture's grid → words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mmdemo.core.config import Calibration, CheckpointConfig, from_mapping
from mmdemo.core.words import tokenise_caption
from mmdemo.nets.decoder import (
    END,
    PAD,
    SPECIAL,
    START,
    UNKNOWN,
    CaptionConfig,
    CaptionDecoder,
    beam_search,
)
from mmdemo.tasks.base import HEAD, PLAIN, Batch, LossSettings, grids, to_bytes
from mmdemo.tasks.pictures import Look, at_cut, draw

CALIBRATED = 200
"""Pictures that the threshold of "not sure" is taken from."""

SPECIAL_NAMES = ("<start>", "<end>", "<unknown>", "<pad>")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionRow:
    """A picture with its captions as word indices, without START and END.

    Attributes:
        views: What lies below all that is trained (tasks.pictures.Cut), of each view; one is drawn.
    """

    views: tuple[NDArray[Any], ...]
    captions: tuple[tuple[int, ...], ...]


def learn_words(captions: Iterable[str], *, least: int) -> tuple[str, ...]:
    """The special words, then all that occur at least ``least`` times, most frequent first."""
    counts = Counter(word for caption in captions for word in tokenise_caption(caption))
    return (*SPECIAL_NAMES, *(word for word, count in counts.most_common() if count >= least))


def encode(caption: str, index: Mapping[str, int]) -> tuple[int, ...]:
    """A caption's words as indices, UNKNOWN for those not learned, without START and END."""
    return tuple(index.get(word, UNKNOWN) for word in tokenise_caption(caption))


class CaptionTask:
    """Teacher-forced decoder over the grid; see :class:`mmdemo.tasks.base.Task`."""

    name = "caption"
    metric = "minus_loss"
    label_rows: tuple[str, ...] = ("word.weight", "bias")
    additive = True
    grown_rows: tuple[str, ...] = ()
    concludes = False

    def build(self, config: CheckpointConfig) -> CaptionDecoder:
        return CaptionDecoder(from_mapping(CaptionConfig, config.net))

    def start(self, net: CaptionDecoder, bases: Mapping[str, nn.Module]) -> None:
        """Nothing: the trunk stays outside, frozen."""

    def warm_up(self, net: CaptionDecoder, rows: Sequence[CaptionRow]) -> None:
        """Nothing: all is learned step by step."""

    def conclude(self, net: CaptionDecoder, rows: Sequence[CaptionRow]) -> None:
        """Nothing: the steps are all there is."""

    def depth(self, net: CaptionDecoder, name: str) -> int:
        return HEAD

    def shipped(self, net: CaptionDecoder) -> dict[str, Tensor]:
        return net.state_dict()

    def collate(self, rows: Sequence[CaptionRow]) -> Batch:
        """All captions of each picture: ``words`` int (C, T), ``picture`` int (C,) says whose each is."""
        captions = [(i, caption) for i, row in enumerate(rows) for caption in row.captions]
        longest = max((len(caption) for _, caption in captions), default=0) + 2
        words = torch.full((len(captions), longest), PAD)
        for j, (_, caption) in enumerate(captions):
            words[j, : len(caption) + 2] = torch.tensor([START, *caption, END])
        return {
            **at_cut([draw(row.views) for row in rows]),
            "words": words,
            "picture": torch.tensor([i for i, _ in captions], dtype=torch.long),
        }

    def _logits(self, net: CaptionDecoder, batch: Batch) -> tuple[Tensor, Tensor]:
        words = batch["words"][:, : net.config.positions + 1]
        memory = [(k[batch["picture"]], v[batch["picture"]]) for k, v in net.memory(batch["grid"])]
        return net(words[:, :-1], memory), _taught(words)

    def loss(self, net: CaptionDecoder, batch: Batch, how: LossSettings = PLAIN) -> Tensor:
        logits, target = self._logits(net, batch)
        return F.cross_entropy(
            logits.flatten(0, 1).float(), target.flatten(), ignore_index=PAD, label_smoothing=how.smoothing
        )

    def items(self, net: CaptionDecoder, batch: Batch) -> Tensor:
        return (_taught(batch["words"][:, : net.config.positions + 1]) != PAD).sum().float()

    def outputs(self, net: CaptionDecoder, batch: Batch) -> list[NDArray[np.float32]]:
        """Per picture: summed loss over its captions' words, and their number."""
        logits, target = self._logits(net, batch)
        loss = F.cross_entropy(logits.transpose(1, 2).float(), target, ignore_index=PAD, reduction="none").sum(dim=1)
        count = (target != PAD).sum(dim=1)
        rows = torch.zeros(len(batch["grid"]), 2)
        rows.index_add_(0, batch["picture"].cpu(), torch.stack((loss.cpu(), count.cpu().float()), dim=1))
        return list(rows.numpy())

    def score(
        self, net: CaptionDecoder, outputs: Sequence[NDArray[np.float32]], rows: Sequence[CaptionRow]
    ) -> dict[str, float]:
        """Mean log-probability per word; the words that people say are judged by ``evaluate``."""
        total = np.sum(outputs, axis=0)
        return {"minus_loss": -float(total[0] / total[1])}

    def calibrate(
        self, net: CaptionDecoder, outputs: Sequence[NDArray[np.float32]], rows: Sequence[CaptionRow]
    ) -> Calibration:
        """The least sure fifth of the network's own captions is "not sure".

        Captions are neither right nor wrong, so there is no share to fit a threshold to; and the likelihood of people's
        captions says nothing of scores after a search, which are far higher.
        """
        scores = []
        for row in rows[:CALIBRATED]:
            with torch.inference_mode():
                memory = net.memory(grids([row.views[0]]).to(net.bias.device))
                best = beam_search(net, memory, beams=3, longest=20)[0]
            scores.append(np.exp(min(best.score, 0.0)))
        return replace(Calibration(), threshold=float(np.quantile(scores, 0.2)), kept=0.8)

    def looked_at(self, net: CaptionDecoder, rows: Sequence[CaptionRow], look: Look) -> Sequence[CaptionRow]:
        """The first rows with their grids."""
        found = []
        for start in range(0, min(len(rows), CALIBRATED), 32):
            some = rows[start : min(start + 32, CALIBRATED)]
            seen = to_bytes(look([row.views[0] for row in some])[0])
            found += [replace(row, views=(grid,)) for row, grid in zip(some, seen, strict=True)]
        return found


def _taught(words: Tensor) -> Tensor:
    """What follows each word, (C, T) → (C, T - 1); the network is never taught to say "unknown"."""
    return words[:, 1:].masked_fill(words[:, 1:] == UNKNOWN, PAD)


def decode(words: Sequence[int], names: Sequence[str]) -> str:
    """Word indices → a sentence with a capital and a full stop."""
    text = " ".join(names[word] for word in words if word >= SPECIAL)
    return text[:1].upper() + text[1:] + "." if text else ""
