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

from mmdemo.core.cider import Cider
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
    Keys,
    beam_search,
    sample,
)
from mmdemo.tasks.base import HEAD, PLAIN, Batch, LossSettings, grids, to_bytes
from mmdemo.tasks.pictures import Look, at_cut, draw

CALIBRATED = 200
"""Pictures that the threshold of "not sure" is taken from."""

SAMPLES = 5
"""Captions that are drawn of each picture, each judged against the others."""

LONGEST = 21
"""Words of a drawn caption, END counted."""

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
    """Decoder over the grid, taught word by word, and by reward; see :class:`mmdemo.tasks.base.Task`."""

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

    def fit_init(self, net: CaptionDecoder, rows: Sequence[CaptionRow]) -> None:
        """How rare runs of words are, by which drawn captions are judged; no part of a checkpoint."""
        net.cider = Cider([[(*caption, END) for caption in row.captions] for row in rows])

    def finalize(self, net: CaptionDecoder, rows: Sequence[CaptionRow]) -> None:
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
        share = how.self_critical if net.cider is not None else 0.0
        loss = batch["grid"].new_zeros(()) if net.cider is None or not share else self.reward(net, batch, net.cider)
        if share < 1:
            logits, target = self._logits(net, batch)
            words = F.cross_entropy(
                logits.flatten(0, 1).float(), target.flatten(), ignore_index=PAD, label_smoothing=how.smoothing
            )
            loss = share * loss + (1 - share) * words
        return loss

    def reward(self, net: CaptionDecoder, batch: Batch, cider: Cider) -> Tensor:
        """Captions that the network draws become likelier the better they are than others of the same picture.

        Self-critical sequence training (Rennie et al. 2017, https://arxiv.org/abs/1612.00563) on CIDEr-D; what a
        caption is compared with is the mean of the others (Luo 2020, https://arxiv.org/abs/2003.09971). The end counts
        as a word, or captions would stop after "in a".
        """
        was, pictures = net.training, len(batch["grid"])
        net.eval()
        with torch.no_grad():
            drawn = sample(net, _each(net.memory(batch["grid"]), SAMPLES), longest=LONGEST)  # (P * S, T)
        net.train(was)
        said = references(batch["words"], batch["picture"], pictures)
        captions = [_until_end(words) for words in drawn.tolist()]
        scores = [cider.scores(captions[i * SAMPLES :][:SAMPLES], said[i]) for i in range(pictures)]
        score = torch.tensor(scores, device=drawn.device)  # (P, S)
        better = (score - (score.sum(dim=1, keepdim=True) - score) / (SAMPLES - 1)).flatten()
        start = torch.full((len(drawn), 1), START, device=drawn.device)
        logits = net(
            torch.cat((start, drawn[:, :-1].masked_fill(drawn[:, :-1] == PAD, END)), dim=1),
            _each(net.memory(batch["grid"]), SAMPLES),
        )
        log_p = -F.cross_entropy(
            logits.transpose(1, 2).float(), drawn, ignore_index=PAD, reduction="none"
        )  # (P * S, T)
        return -(better[:, None] * log_p).sum() / self.items(net, batch).clamp(min=1)

    def items(self, net: CaptionDecoder, batch: Batch) -> Tensor:
        return (_taught(batch["words"][:, : net.config.positions + 1]) != PAD).sum().float()

    def outputs(self, net: CaptionDecoder, batch: Batch) -> list[NDArray[np.float32]]:
        """Per picture: summed loss over its captions' words, their number, and the words of the likeliest caption."""
        logits, target = self._logits(net, batch)
        loss = F.cross_entropy(logits.transpose(1, 2).float(), target, ignore_index=PAD, reduction="none").sum(dim=1)
        count = (target != PAD).sum(dim=1)
        rows = torch.zeros(len(batch["grid"]), 2)
        rows.index_add_(0, batch["picture"].cpu(), torch.stack((loss.cpu(), count.cpu().float()), dim=1))
        found = sample(net, net.memory(batch["grid"]), longest=LONGEST, greedy=True).cpu().float()
        found = F.pad(found, (0, LONGEST - found.shape[1]), value=PAD)
        return list(torch.cat((rows, found), dim=1).numpy())

    def score(
        self, net: CaptionDecoder, outputs: Sequence[NDArray[np.float32]], rows: Sequence[CaptionRow]
    ) -> dict[str, float]:
        """Mean log-probability per word, and CIDEr of the likeliest captions; ``evaluate`` searches for better ones."""
        total = np.sum([row[:2] for row in outputs], axis=0)
        cider = Cider([row.captions for row in rows])
        captions = [_until_end(row[2:].astype(int).tolist())[:-1] for row in outputs]
        each = [cider.scores([caption], row.captions)[0] for caption, row in zip(captions, rows, strict=True)]
        return {"minus_loss": -float(total[0] / total[1]), "cider": float(np.mean(each))}

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

    def with_image_features(self, net: CaptionDecoder, rows: Sequence[CaptionRow], look: Look) -> Sequence[CaptionRow]:
        """The first rows with their grids."""
        found = []
        for start in range(0, min(len(rows), CALIBRATED), 32):
            some = rows[start : min(start + 32, CALIBRATED)]
            seen = to_bytes(look([row.views[0] for row in some])[0])
            found += [replace(row, views=(grid,)) for row, grid in zip(some, seen, strict=True)]
        return found


def _each(memory: Keys, count: int) -> Keys:
    """Keys of each picture ``count`` times in a row."""
    return [(k.repeat_interleave(count, dim=0), v.repeat_interleave(count, dim=0)) for k, v in memory]


def _until_end(words: Sequence[int]) -> tuple[int, ...]:
    """A drawn caption, END included; one that did not end gets none, and a word that nobody says in its place."""
    return (*words[: words.index(END)], END) if END in words else (*(w for w in words if w != PAD), PAD)


def references(words: Tensor, picture: Tensor, pictures: int) -> list[list[tuple[int, ...]]]:
    """What people said of each picture, END included: words int (C, T) as in a batch, picture int (C,)."""
    found: list[list[tuple[int, ...]]] = [[] for _ in range(pictures)]
    for row, whose in zip(words[:, 1:].tolist(), picture.tolist(), strict=True):
        found[whose].append((*row[: row.index(END)], END))
    return found


def _taught(words: Tensor) -> Tensor:
    """What follows each word, (C, T) → (C, T - 1); the network is never taught to say "unknown"."""
    return words[:, 1:].masked_fill(words[:, 1:] == UNKNOWN, PAD)


def decode(words: Sequence[int], names: Sequence[str]) -> str:
    """Word indices → a sentence with a capital and a full stop."""
    text = " ".join(names[word] for word in words if word >= SPECIAL)
    return text[:1].upper() + text[1:] + "." if text else ""
