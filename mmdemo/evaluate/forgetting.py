"""What tuning a classifier made better and what it forgot, along the line between the weights of before and after.

Accuracy on the new data's labels, and on labels outside them, for mixtures of both sets of weights (WiSE-FT, see
:mod:`mmdemo.models.interpolation`). Pictures go through a trunk once: where it was not tuned, once for the whole line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmdemo.core import metrics
from mmdemo.core.config import CLASSES, TUNED_TRUNK, from_mapping
from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import CLASSIFY
from mmdemo.core.types import Json, Metric
from mmdemo.data.read import Dataset, Example
from mmdemo.evaluate.intervals import bootstrap
from mmdemo.evaluate.report import DIGITS
from mmdemo.media.image import load_picture
from mmdemo.models import registry
from mmdemo.models.classify import ClassifyModel
from mmdemo.models.encoders import VisionEncoder, load_text, load_vision, with_tuned_weights
from mmdemo.models.interpolation import WeightPair, pair
from mmdemo.models.pictures import PictureEncoder, encoder_for
from mmdemo.nets.shared_space import ClassifyConfig, TextSpace

Progress = Callable[[int, int], None]

ALPHAS = tuple(step / 10 for step in range(11))
"""Shares of B that are measured where pictures are encoded once for all of them."""

FEWER_ALPHAS = tuple(step / 5 for step in range(6))
"""Those where the trunk was tuned, and all pictures go through another one for each."""

_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Share of right answers with its 95 % interval."""

    value: float
    low: float
    high: float

    def to_json(self) -> Json:
        return {name: round(getattr(self, name), DIGITS) for name in ("value", "low", "high")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Accuracy on the new and on the old labels, with ``alpha`` of the way gone from A to B."""

    alpha: float
    new: Accuracy
    old: Accuracy


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The line from A to B.

    Attributes:
        points: By rising alpha.
        new_n, old_n: Pictures of either kind.
        new_data, old_data: What the data are called.
        left_out: Old labels that the new data have too.
        encoded: How often each picture went through a trunk.
    """

    points: tuple[Point, ...]
    new_n: int
    old_n: int
    new_data: str
    old_data: str
    left_out: tuple[str, ...] = ()
    encoded: int = 1
    notes: tuple[str, ...] = ()

    def sentence(self) -> str:
        """What B gained and forgot against A, and where between them both are best together."""
        first, last, best = self.points[0], self.points[-1], self.best()
        said = (
            f"From A to B: {100 * (last.new.value - first.new.value):+.1f} points on the new labels, "
            f"{100 * (last.old.value - first.old.value):+.1f} on the others."
        )
        if best.alpha not in (first.alpha, last.alpha):
            said += (
                f" A mixture with {best.alpha:.0%} of B reaches {best.new.value:.1%} and {best.old.value:.1%}, "
                "the highest mean of both."
            )
        return said

    def best(self) -> Point:
        """The highest mean of both accuracies; of equals the one nearest to B."""
        return max(self.points, key=lambda point: (round(point.new.value + point.old.value, 9), point.alpha))

    def metrics(self, alpha: float) -> tuple[Metric, ...]:
        """What a card says of the mixture at ``alpha``; empty where it was not measured there."""
        for point in self.points:
            if abs(point.alpha - alpha) < 1e-9:
                both = ((point.new, self.new_n, self.new_data), (point.old, self.old_n, self.old_data))
                return tuple(
                    Metric(name="top1", value=found.value, low=found.low, high=found.high, n=n, data=data)
                    for found, n, data in both
                )
        return ()

    def to_json(self) -> Json:
        return {
            "new": {"data": self.new_data, "n": self.new_n},
            "old": {"data": self.old_data, "n": self.old_n, "left_out": list(self.left_out)},
            "points": [{"alpha": p.alpha, "new": p.new.to_json(), "old": p.old.to_json()} for p in self.points],
            "best": self.best().alpha,
            "sentence": self.sentence(),
            "notes": list(self.notes),
        }


def curve(
    a: Path,
    b: Path,
    new: Dataset,
    old: Dataset,
    *,
    alphas: Sequence[float] = (),
    device: str = "cpu",
    progress: Progress | None = None,
) -> Curve:
    """Measure the mixtures of two classifiers.

    Args:
        a, b: Checkpoint folders: what was started from, and what was tuned.
        new: Pictures with labels that B was tuned for, and has not learned from.
        old: Pictures with other labels; those that the new data or B's own classes have are left out.
        alphas: Shares of B beside :data:`ALPHAS` or :data:`FEWER_ALPHAS`.
        progress: Called with pictures done and in all.

    Raises:
        MmdemoError: The two do not fit together, or too few labels are left.
    """
    both = pair(a, b)
    if both.configs[1].task != CLASSIFY:
        raise MmdemoError(
            "Forgetting cannot be measured", f"{b.name} is for {both.configs[1].task}", "Name classifiers"
        )
    fresh, kept, left_out = _apart(new, old, both)
    line = _Line(both, device=device)
    steps = sorted({*(FEWER_ALPHAS if line.tuned else ALPHAS), *alphas})
    passes = len(steps) if line.tuned else 1
    total, done = passes * (len(fresh) + len(kept)), 0

    def step(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total)

    sets = [(_pooled_of(some), [example.label or "" for example in some]) for some in (fresh, kept)]
    found: list[list[Accuracy]] = []
    seen: list[Tensor] = []
    for alpha in steps:
        model = line.model(alpha)
        if line.tuned or not seen:
            seen = [encode(model.pictures, step) for encode, _ in sets]
        found.append([_accuracy(model, pooled, labels) for pooled, (_, labels) in zip(seen, sets, strict=True)])
    notes = [*both.notes]
    if left_out:
        notes.append(f"of {old.name} {', '.join(left_out)} are left out: the new data have them")
    return Curve(
        points=tuple(Point(alpha=x, new=one, old=other) for x, (one, other) in zip(steps, found, strict=True)),
        new_n=len(fresh),
        old_n=len(kept),
        new_data=new.name,
        old_data=f"{old.name}, other labels",
        left_out=left_out,
        encoded=passes,
        notes=tuple(notes),
    )


# ----------------------------------------------------------------


def _apart(
    new: Dataset, old: Dataset, both: WeightPair
) -> tuple[tuple[Example, ...], tuple[Example, ...], tuple[str, ...]]:
    """Labelled pictures of the new data, and of the old data those with labels that are not new."""
    own = both.configs[1].settings.get(CLASSES)
    base = both.configs[0].settings.get(CLASSES)
    fresh = tuple(example for example in new.examples if example.label and example.file)
    taught = {name.casefold() for name in own} if isinstance(own, tuple) else set()
    if isinstance(base, tuple) and own != base:
        taught -= {name.casefold() for name in base}  # what A was taught already is nothing new
    known = taught | {(example.label or "").casefold() for example in fresh}
    labelled = tuple(example for example in old.examples if example.label and example.file)
    kept = tuple(example for example in labelled if (example.label or "").casefold() not in known)
    for name, some in ((new.name, fresh), (f"{old.name} without the new labels", kept)):
        if len({example.label for example in some}) < 2:
            raise MmdemoError(f"Nothing can be measured on {name}", "it has fewer than two labels", "Name other data")
    left_out = {example.label or "" for example in labelled} - {example.label or "" for example in kept}
    return fresh, kept, tuple(sorted(left_out))


def _pooled_of(examples: Sequence[Example]) -> Callable[[PictureEncoder, Callable[[int], None]], Tensor]:
    def encode(pictures: PictureEncoder, step: Callable[[int], None]) -> Tensor:
        """The pooled grids of all pictures, (N, D)."""
        rows: list[Tensor] = []
        for start in range(0, len(examples), _BATCH):
            some = [load_picture(example.file) for example in examples[start : start + _BATCH] if example.file]
            rows += [seen.pooled for seen in pictures.encode(some)]
            step(len(some))
        return torch.stack(rows)

    return encode


def _accuracy(model: ClassifyModel, pooled: Tensor, labels: Sequence[str]) -> Accuracy:
    """How often the right one of the labels is on top, as ``top1`` of ``evaluate``."""
    names = sorted(set(labels))
    with torch.inference_mode():
        vectors = model.vectors(names)
        table = torch.cat([model.heights(some, vectors) for some in torch.split(pooled, _BATCH)]).cpu().double().numpy()
    target = np.array([names.index(label) for label in labels], dtype=np.int64)
    right = metrics.in_top(table, target, 1).astype(float)

    def mean(weights: NDArray[np.float64]) -> dict[str, float]:
        return {"top1": metrics.mean(right, weights)}

    low, high = bootstrap(mean, range(len(right)))["top1"]
    return Accuracy(value=float(right.mean()), low=low, high=high)


class _Line:
    """Mixtures of a pair as models that share whatever they have in common."""

    def __init__(self, both: WeightPair, *, device: str) -> None:
        config = both.configs[1]
        self._both, self._device = both, device
        folder = both.folders[1]
        self._base = load_vision(registry.part_folder(folder, config.parts["vision"].name), device=device)
        self._text = load_text(registry.part_folder(folder, config.parts["text"].name), device=device)
        self._card = registry.read_card(folder)
        self.tuned = bool(both.trunk)

    def model(self, alpha: float) -> ClassifyModel:
        state = self._both.at(alpha)
        config = self._both.config(alpha)
        net = TextSpace(from_mapping(ClassifyConfig, config.net))
        net.load_state_dict(_without_trunk(state.items()), strict=True)
        return ClassifyModel(
            self._card,
            config,
            net,
            pictures=encoder_for(self._vision(state)),
            text=self._text,
            device=self._device,
        )

    def _vision(self, state: dict[str, Tensor]) -> VisionEncoder:
        tuned = {name.removeprefix(TUNED_TRUNK): t for name, t in state.items() if name.startswith(TUNED_TRUNK)}
        return with_tuned_weights(self._base, tuned, self._both.folders[1]) if tuned else self._base


def _without_trunk(items: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in items if not name.startswith(TUNED_TRUNK)}
