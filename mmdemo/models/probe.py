"""The probe: a few made inputs whose answers a checkpoint carries, so that it can prove that it still works."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, assert_never, runtime_checkable

import numpy as np

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import Unreadable, read_object
from mmdemo.core.tasks import spec_of
from mmdemo.core.types import (
    SAMPLE_RATE,
    AskRequest,
    AskResult,
    CaptionRequest,
    CaptionResult,
    ClassifyRequest,
    ClassifyResult,
    Model,
    Picture,
    Request,
    Result,
    SentimentRequest,
    SentimentResult,
    Sound,
)
from mmdemo.core.writing import json_text

FILE = "probe.json"
TOLERANCE = 2e-3
"""Largest difference of a probability: other processors and libraries round differently, other weights far more."""

ROUNDED = 0.05
"""The same between numbers of 32 bits and those of 16 or 8."""

QUESTIONS = ("What is in the picture?", "What color is it?")
LABELS = ("dog", "beach", "red car")


@runtime_checkable
class _Speaks(Protocol):
    """A model that says its answers word by word."""

    def beginnings(self, requests: Sequence[Request]) -> list[dict[str, float]]: ...


MOST_CLASSES = 8
"""Classes of somebody's own that the probe asks for, evenly from all: each costs the text encoder some milliseconds."""


def made_picture(seed: int) -> Picture:
    """Coloured bands and a disc, 96 x 128, the same on every machine (integers only)."""
    y, x = np.mgrid[0:96, 0:128]
    bands = np.stack([(x * (2 + seed) + y * 3) % 256, (y * (5 + seed)) % 256, (x + y * 2 + 40 * seed) % 256], axis=2)
    disc = (x - 64) ** 2 + (y - 48) ** 2 < 900
    bands[disc] = (220, 40 + 60 * seed, 30)
    pixels = bands.astype(np.uint8)
    return Picture(pixels=pixels, key=hashlib.sha1(pixels.tobytes(), usedforsecurity=False).hexdigest())


def made_sound(seed: int) -> Sound:
    """Two seconds of a gliding, pulsing voice-like tone: harmonics of 120 to 240 Hz."""
    t = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(120 + 60 * seed + 40 * np.sin(2 * np.pi * (2 + seed) * t)) / SAMPLE_RATE
    tone = sum(np.sin(k * phase) / k for k in range(1, 20))
    samples = (0.1 * tone * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * t))).astype(np.float32)
    return Sound(samples=samples, key=hashlib.sha1(samples.tobytes(), usedforsecurity=False).hexdigest())


def requests(task: str, classes: Sequence[str] = ()) -> list[Request]:
    """The probe's inputs of a task; for a model of Classify that learned ``classes`` of its own these as well."""
    pictures = [made_picture(seed) for seed in (0, 1)]
    match spec_of(task).name:
        case "sentiment":
            return [SentimentRequest(sound=made_sound(seed)) for seed in (0, 1)]
        case "ask":
            return [AskRequest(picture=p, question=q) for p, q in zip(pictures, QUESTIONS, strict=True)]
        case "classify":
            own = tuple(classes[:: -(-len(classes) // MOST_CLASSES)]) if classes else ()
            return [ClassifyRequest(picture=p, labels=labels) for labels in (LABELS, own) if labels for p in pictures]
        case "caption":
            return [CaptionRequest(picture=p, n=1, max_words=8) for p in pictures]
        case unknown:
            assert_never(unknown)


def answers(results: Sequence[Result]) -> list[dict[str, float]]:
    """What is compared: label → probability."""
    found: list[dict[str, float]] = []
    for result in results:
        match result:
            case AskResult():
                found.append({result.answer: result.score, **{s.label: s.score for s in result.alternatives}})
            case ClassifyResult():
                found.append({s.label: s.score for s in result.labels})
            case CaptionResult():
                found.append({result.caption: result.score})
            case SentimentResult():
                found.append({s.label: s.score for s in result.scores})
    return found


def record(model: Model, *, tolerance: float = TOLERANCE) -> str:
    """The text of probe.json for a model.

    Of a model that says its answers word by word the likeliest beginnings are written down as well: other numbers may
    turn a text at a near tie, and everything behind it, but they change probabilities a little.

    Args:
        tolerance: Stored with it; more where it computes in fewer bits than another machine may.
    """
    asked = requests(model.card.task, _classes(model))
    stored: dict[str, object] = {"tolerance": tolerance, "answers": answers(model.predict(asked))}
    if isinstance(model, _Speaks):
        stored["beginnings"] = model.beginnings(asked)
    return json_text(stored, indent=1) + "\n"


def _classes(model: Model) -> tuple[str, ...]:
    found = getattr(model, "classes", ())  # of a ClassifyingModel
    return found if isinstance(found, tuple) else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a checkpoint's probe.json holds; ``beginnings`` are None where it has none."""

    tolerance: float
    answers: tuple[Mapping[str, float], ...]
    beginnings: tuple[Mapping[str, float], ...] | None = None


def read(folder: Path) -> Stored:
    """The probe of a checkpoint.

    Raises:
        MmdemoError: It is missing, or holds anything else.
    """
    try:
        raw = read_object(folder / FILE)
        tolerance = raw["tolerance"]
        if not isinstance(tolerance, int | float) or isinstance(tolerance, bool) or not 0 <= tolerance <= ROUNDED:
            raise ValueError(f"its tolerance is {tolerance!r}")
        beginnings = raw.get("beginnings")
        return Stored(
            tolerance=tolerance,
            answers=_stored(raw["answers"]),
            beginnings=None if beginnings is None else _stored(beginnings),
        )
    except Unreadable as error:
        raise MmdemoError(f"{folder.name} cannot be loaded", f"its {FILE} {error.trouble}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise MmdemoError(f"{folder.name} cannot be loaded", f"its {FILE} is not valid ({error})") from None


def _stored(rows: object) -> tuple[Mapping[str, float], ...]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TypeError("its answers are no list of objects")
    for row in rows:
        for label, score in row.items():
            if isinstance(score, bool) or not isinstance(score, int | float):
                raise TypeError(f"the score of {label[:40]!r} is no number")
    return tuple(rows)


def check(model: Model, folder: Path, *, tolerance: float | None = None) -> None:
    """Repeat the probe.

    Raises:
        MmdemoError: Naming the first answer that differs by more than the tolerance stored with it, or is no number.
    """
    stored = read(folder)
    asked = requests(model.card.task, _classes(model))
    allowed = tolerance or stored.tolerance
    loosely = allowed >= ROUNDED and stored.beginnings is not None and isinstance(model, _Speaks)
    wanted = stored.beginnings if loosely and stored.beginnings is not None else stored.answers
    if len(wanted) == len(requests(model.card.task)):
        asked = asked[: len(wanted)]  # written before classes of one's own were asked for
    if len(wanted) != len(asked):
        raise MmdemoError(
            f"{folder.name} cannot be loaded", f"its {FILE} holds {len(wanted)} answers, not {len(asked)}"
        )
    found = model.beginnings(asked) if loosely and isinstance(model, _Speaks) else answers(model.predict(asked))
    for i, (want, have) in enumerate(zip(wanted, found, strict=True)):
        for label in want.keys() | have.keys():
            # a runner-up may change places with the next one; only what both name must agree
            both = (want.get(label, 0.0), have.get(label, 0.0))
            apart = label in want and label in have and not abs(both[0] - both[1]) <= allowed  # NaN is within nothing
            if apart or not all(map(math.isfinite, both)):
                raise MmdemoError(
                    f"{folder.name} cannot be loaded",
                    f"its probe differs: input {i + 1}, {label!r} was {both[0]:.4f} and is {both[1]:.4f}",
                )
        best = max(want, key=want.__getitem__, default="")
        turned = best not in have and not (loosely and want.get(best, 0.0) <= allowed)
        if turned or (loosely and want.keys().isdisjoint(have)):
            raise MmdemoError(f"{folder.name} cannot be loaded", f"its probe differs: input {i + 1} has another answer")
