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
from mmdemo.nets.losses import clip_loss, distillation, soft_cross_entropy
from mmdemo.nets.shared_space import SPREAD, ClassifyConfig, TextSpace, heights, known_vector, placed
from mmdemo.nets.vision import pool
from mmdemo.tasks.base import HEAD, PLAIN, Batch, LossSettings, fit_threshold
from mmdemo.tasks.distillation import SOFT, uses_teacher
from mmdemo.tasks.pictures import Look, at_cut, draw


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
        own: Index of its label among the classes of somebody's own; -1 has none.
        known_weight: Share of what the ImageNet head knows in the sum of both opinions.
        calibration: Given from outside, in the place of one that is fitted; equal for all rows.
        imagenet: fp16 (1000,) ImageNet logits of the untuned trunk, where the trunk is trained along, ``own`` is set or
            the names of what the ImageNet head sees are learned (nets.shared_space.ClassifyConfig.known_share).
        soft: fp16 (E,), where a teacher puts the upright picture, times its scale.
        placed: fp32 (E,) each, where that teacher puts the texts; they stay where they are if it moves none.
        file: The picture, by which a teacher finds it.
    """

    views: tuple[NDArray[Any], ...]
    texts: Sequence[NDArray[np.float32]]
    group: int = -1
    own: int = -1
    known_weight: float = 0.5
    calibration: Calibration | None = None
    trials: tuple[Trial, ...] = ()
    imagenet: NDArray[np.float16] | None = None
    soft: NDArray[np.float16] | None = None
    placed: Sequence[NDArray[np.float32]] = ()
    file: Path | None = None


SHARPNESS = 0.4
"""Heights by which a class must stand out, while those of somebody's own are moved, before it counts as told apart."""

PULL = 0.3
"""Penalty on the squared way that a class's vector is moved, over the number of pictures."""

RIGHT, OWN_RIGHT = 0.88, 0.8
"""Share of sure answers that are right on the validation trials: of any labels, which are harder elsewhere, and of
somebody's own classes."""

THERE = 2.0
"""What a trial with the right label counts in the fit of "none of these", beside one without: mostly it is there."""

SLOPES = (0.0, 0.1, 0.2)
"""By how much "none of these" may stand out further for each e-fold of labels. Trials alone would take 0.6, but a trial
lacks the right label half of the time, however long its list is; a longer list of somebody's lacks it less often."""

MOST_WRONG = 99
"""Wrong classes of a trial with somebody's own."""


class ClassifyTask:
    """Projection of pictures into the text space; see :class:`mmdemo.tasks.base.Task`."""

    name = "classify"
    metric = "r10"
    label_rows: tuple[str, ...] = ()
    additive = False
    grown_rows: tuple[str, ...] = ("said", "moved")
    concludes = True

    def build(self, config: CheckpointConfig) -> TextSpace:
        return TextSpace(from_mapping(ClassifyConfig, config.net))

    def start(self, net: TextSpace, bases: Mapping[str, nn.Module]) -> None:
        """Nothing: both encoders stay outside, frozen."""

    def fit_init(self, net: TextSpace, rows: Sequence[ClassifyRow]) -> None:
        """Nothing: all is learned step by step."""

    def finalize(self, net: TextSpace, rows: Sequence[ClassifyRow]) -> None:
        """Move the vectors of somebody's own classes to where they tell the pictures of these classes apart.

        Logistic regression in the place of each name: what is added to a name's vector makes the pictures' own classes
        most probable, and is penalised, so that a class with few pictures stays close to what it is called. No other
        label is touched: nothing is forgotten by it.
        """
        mine = [row for row in rows if row.own >= 0]
        if not net.config.own or not mine:
            return
        was = net.training
        net.eval()
        seen = [(view, row) for row in mine for view in row.views]
        pooled = torch.from_numpy(np.stack([view for view, _ in seen])).float()
        known = [row.imagenet for _, row in seen if row.imagenet is not None]
        chance = torch.from_numpy(np.stack(known)).float().softmax(dim=1)
        said, bank, weight = net.said.cpu(), net.bank.cpu(), mine[0].known_weight
        with torch.no_grad():
            pictures = net(pooled.to(net.said.device)).cpu()
            usual = pictures @ net.place(net.bank).cpu().T
            names = net.place(net.said).cpu()
            mean, spread = usual.mean(dim=1, keepdim=True), usual.std(dim=1, keepdim=True).clamp(min=SPREAD)
            fixed = weight * heights(known_vector(chance, net.names.cpu()), said, bank)
        there = torch.tensor(sorted({row.own for row in mine}))
        right = torch.tensor([row.own for _, row in seen])
        before = net.moved.cpu().clone()
        change = torch.zeros(len(there), before.shape[1], requires_grad=True)
        optimizer = torch.optim.LBFGS([change], max_iter=200, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            moved = F.normalize(names + before.index_add(0, there, change), dim=1)
            logits = fixed + (1 - weight) * (pictures @ moved.T - mean) / spread
            loss = F.cross_entropy(logits / SHARPNESS, right) + PULL / len(seen) * change.square().sum()
            torch.autograd.backward(loss)
            return loss

        with torch.inference_mode(False), torch.enable_grad():
            optimizer.step(closure)  # type: ignore[no-untyped-call]  # torch gives it no types
        net.moved.copy_(before.index_add(0, there, change.detach()))
        net.train(was)

    def depth(self, net: TextSpace, name: str) -> int:
        return HEAD

    def shipped(self, net: TextSpace) -> dict[str, Tensor]:
        return net.state_dict()

    def collate(self, rows: Sequence[ClassifyRow]) -> Batch:
        """``pooled`` (B, D) or the picture at its cut, ``text`` (B, E); ``group`` (B,) where rows belong together."""
        views = [draw(row.views) for row in rows]
        drawn = [int(torch.randint(len(row.texts), ())) for row in rows]
        pooled = views[0].ndim == 1
        batch = {"pooled": torch.from_numpy(np.stack(views)).float()} if pooled else at_cut(views)
        batch["text"] = torch.from_numpy(np.stack([row.texts[i] for row, i in zip(rows, drawn, strict=True)]))
        if any(row.group >= 0 for row in rows):
            batch["group"] = torch.from_numpy(_groups(rows))
        known = [row.imagenet for row in rows if row.imagenet is not None]
        if len(known) == len(rows):
            batch["imagenet"] = torch.from_numpy(np.stack(known)).float()
        soft = [row.soft for row in rows if row.soft is not None]
        if len(soft) == len(rows):
            batch[SOFT] = torch.from_numpy(np.stack(soft)).float()
            heard = [(row.placed or row.texts)[i] for row, i in zip(rows, drawn, strict=True)]
            batch["heard"] = torch.from_numpy(np.stack(heard))
        return batch

    def loss(self, net: TextSpace, batch: Batch, how: LossSettings = PLAIN) -> Tensor:
        pictures, group = net(batch["pooled"]), batch.get("group")
        texts, single = net.place(batch["text"]), torch.ones(len(pictures), dtype=torch.bool, device=pictures.device)
        if group is not None:
            single = group < 0
            if not bool(single.any()):  # the names of a few classes say too little to move all sentences by
                texts = texts.detach()
        if group is None or bool(single.all()) or not bool(single.any()):
            loss = clip_loss(pictures, texts, net.log_scale, group, smoothing=how.smoothing)
        else:  # apart: a label is too easy to tell from captions, and hundreds of them would drown these
            loss = clip_loss(pictures[single], texts[single], net.log_scale, smoothing=how.smoothing)
            named = clip_loss(pictures[~single], texts[~single], net.log_scale, group[~single])
            loss = loss + net.config.label_share * named
        if net.config.known_share and "imagenet" in batch and bool(single.any()):
            loss = loss + net.config.known_share * self._known(net, pictures[single], batch["imagenet"][single])
        if not uses_teacher(batch, how):
            return loss
        with torch.autocast(pictures.device.type, enabled=False):  # as in clip_loss
            logits = pictures.float() @ texts.float().T * net.log_scale.exp().clamp(max=100.0)  # (B, B)
            wanted = batch[SOFT] @ batch["heard"].float().T
        taught = sum(
            distillation(mine, theirs, temperature=how.teacher_temperature)
            for mine, theirs in ((logits, wanted), (logits.T, wanted.T))
        )
        return (1 - how.teacher_share) * loss + how.teacher_share * taught / 2

    def _known(self, net: TextSpace, pictures: Tensor, imagenet: Tensor) -> Tensor:
        """Cross-entropy of the nearest class names against what the ImageNet head says: words that no caption has."""
        with torch.autocast(pictures.device.type, enabled=False):  # as in clip_loss
            logits = pictures.float() @ net.place(net.names).float().T * net.log_scale.exp().clamp(max=100.0)  # (B, N)
            return soft_cross_entropy(logits, imagenet.float().softmax(dim=1))

    def items(self, net: TextSpace, batch: Batch) -> Tensor:
        return torch.tensor(float(len(batch["text"])))

    def outputs(self, net: TextSpace, batch: Batch) -> list[NDArray[np.float32]]:
        return list(net(batch["pooled"]).float().cpu().numpy())

    def score(
        self, net: TextSpace, outputs: Sequence[NDArray[np.float32]], rows: Sequence[ClassifyRow]
    ) -> dict[str, float]:
        """All captions against all pictures: the share whose own picture is the nearest (r1), or near (r10).

        Pictures of the same group do not count: a label belongs to all of them. Where all rows are of somebody's own
        classes, also the share whose class is the nearest (top1), before :meth:`finalize` moves them.
        """
        pictures = np.stack(outputs)  # (N, E)
        owner = np.repeat(np.arange(len(rows)), [len(row.texts) for row in rows])
        scores = placed(net.texts, np.concatenate([row.texts for row in rows])) @ pictures.T  # (captions, N)
        groups = _groups(rows)
        other = groups[owner][:, None] != groups[None, :]  # (captions, N)
        rank = (other & (scores > scores[np.arange(len(owner)), owner][:, None])).sum(axis=1)
        figures = {"r1": float((rank < 1).mean()), "r10": float((rank < 10).mean())}
        own = np.array([row.own for row in rows])
        if net.config.own and bool((own >= 0).all()):
            with torch.inference_mode():
                nearest = (pictures @ net.own().cpu().numpy().T).argmax(axis=1)
            figures["top1"] = float((nearest == own).mean())
        return figures

    def with_image_features(self, net: TextSpace, rows: Sequence[ClassifyRow], look: Look) -> Sequence[ClassifyRow]:
        """The rows with what the ImageNet head knows of their pictures; own classes with what is seen there."""
        found, names = list(rows), net.names.cpu()
        shown = [i for i, row in enumerate(rows) if row.own >= 0]
        for start in range(0, len(shown), 32):
            some = shown[start : start + 32]
            grid, logits = look([rows[i].views[0] for i in some])
            for i, pooled, known in zip(some, pool(grid).numpy(), logits.numpy(), strict=True):
                found[i] = replace(rows[i], views=(pooled,), imagenet=known.astype(np.float16))
        asked = [i for i, row in enumerate(rows) if row.trials and row.own < 0]
        for start in range(0, len(asked), 32):
            some = asked[start : start + 32]
            logits = look([rows[i].views[0] for i in some])[1]
            for i, known in zip(some, logits, strict=True):
                found[i] = tried(rows[i], known[None], names)
        return found

    def calibrate(
        self, net: TextSpace, outputs: Sequence[NDArray[np.float32]], rows: Sequence[ClassifyRow]
    ) -> Calibration:
        """Temperature and height of "none of these" that together make the made trials most probable.

        Trials of different numbers of labels also tell how the height grows with that number.
        """
        if rows and rows[0].calibration is not None:
            return rows[0].calibration
        found: list[tuple[Tensor, int]] = []
        banks: dict[int, Tensor] = {}  # shared by the trials
        for vector, row in zip(outputs, rows, strict=True):
            if row.own >= 0 and row.imagenet is not None:
                found += own_trials(net, vector, row)
                continue
            for trial in row.trials:
                if id(trial.bank) not in banks:
                    banks[id(trial.bank)] = torch.from_numpy(placed(net.texts, trial.bank))
                labels = torch.from_numpy(placed(net.texts, trial.labels))
                space = heights(torch.from_numpy(vector[None]), labels, banks[id(trial.bank)])[0]
                found.append((trial.weight * torch.from_numpy(trial.known) + (1 - trial.weight) * space, trial.right))
        if not found:
            return Calibration()
        own = any(row.own >= 0 for row in rows)
        most = max(len(h) for h, _ in found)
        table = torch.full((len(found), most + 1), -torch.inf)
        right = torch.empty(len(found), dtype=torch.long)
        for i, (h, answer) in enumerate(found):
            table[i, : len(h)] = h
            right[i] = answer if answer < len(h) else most
        many = torch.tensor([len(h) for h, _ in found]).log()
        weights = torch.where(right < most, 1.0 if own else THERE, 1.0)
        weights = weights / weights.sum()
        best = (float("inf"), 1.0, 0.0, 0.0)
        for slope in (0.0,) if own else SLOPES:
            for height in np.arange(0.0, 5.0, 0.1):
                table[:, most] = float(height) + slope * many
                for temperature in np.geomspace(0.1, 2.0, 40):
                    loss = float(F.cross_entropy(table / float(temperature), right, reduction="none") @ weights)
                    best = min(best, (loss, float(temperature), float(height), slope))
        _, temperature, height, slope = best
        table[:, most] = height + slope * many
        scores = (table / temperature).softmax(dim=1)
        confidence, top = scores.max(dim=1)
        wanted = OWN_RIGHT if own else RIGHT
        fitted = fit_threshold(confidence.numpy(), (top == right).float().numpy(), wanted=wanted)
        return replace(fitted, temperature=temperature, height=height, height_slope=slope)


def own_trials(net: TextSpace, vector: NDArray[np.float32], row: ClassifyRow) -> list[tuple[Tensor, int]]:
    """Heights of somebody's own classes for one picture, with the right one among them and without it."""
    bank = net.bank.cpu()
    chance = torch.from_numpy(np.asarray(row.imagenet, np.float32)[None]).softmax(dim=1)
    known = heights(known_vector(chance, net.names.cpu()), net.said.cpu(), bank)[0]
    with torch.inference_mode():
        own, usual = net.own().cpu(), net.place(net.bank).cpu()
    space = heights(torch.from_numpy(vector[None]), own, usual)[0]
    both = row.known_weight * known + (1 - row.known_weight) * space
    wrong = [i for i in range(len(both)) if i != row.own][:MOST_WRONG]
    return [(both[[*wrong, row.own]], len(wrong)), (both[wrong], len(wrong))]


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
