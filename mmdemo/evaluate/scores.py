"""From predictions and examples to figures: pure functions for each task, used by measuring and by training.

Each ``*_outcome`` returns an :class:`Outcome`, which gives figures for all rows, for some of them, and intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmdemo.core import metrics
from mmdemo.core.types import NO_SPEECH
from mmdemo.core.words import NUMBER, OPEN, YES_NO, normalize_answer, question_kind
from mmdemo.data.read import Example
from mmdemo.evaluate.captions import HOW, caption_statistics, typical_caption
from mmdemo.evaluate.intervals import bootstrap

Floats = NDArray[np.float64]
HUMAN_ANSWERS = 10
SMALLEST_CLASS = 10
"""Clips that a sentiment label needs to be scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What came out for each row, for pages and comparisons that name single examples; N rows.

    Attributes:
        headline: The figure that counts most.
        credit: 1 for right, 0 for wrong, between them for part of it; of captions their CIDEr. Shape (N,).
        weights: What a row counts in the headline, and in other figures that are sums of ``credit`` under some
            weights, shape (N,) each.
        answers, scores: What was answered, and the model's probability of it (0 where there is none).
        truth: What would have been right.
        names: The data's labels, where there are labels.
        target, predicted: Places in ``names``, shape (N,); predicted is -1 for what is none of them.
        sure, right: Probability of the answer as people are shown it, and how right that was; what ``ece`` is made of.
    """

    headline: str
    credit: Floats
    weights: Mapping[str, Floats]
    answers: Sequence[str]
    scores: Floats
    truth: Sequence[str]
    names: tuple[str, ...] = ()
    target: NDArray[np.int64] | None = None
    predicted: NDArray[np.int64] | None = None
    sure: Floats | None = None
    right: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came out for some rows.

    Attributes:
        n: Rows.
        groups: The group of each row that must be drawn as one in a bootstrap (picture, clip).
        statistic: Figures under row weights of shape (n,).
        baseline: What the best constant guess, or chance, would reach; same names.
        notes: What people should know of the figures.
        rows: The same, row by row.
    """

    n: int
    groups: tuple[Hashable, ...]
    statistic: Callable[[Floats], dict[str, float]]
    baseline: Mapping[str, float]
    notes: tuple[str, ...] = ()
    rows: Rows | None = None

    def figures(self, rows: Sequence[int] | None = None) -> dict[str, float]:
        """Figures over all rows, or over some."""
        weights = (
            np.ones(self.n) if rows is None else np.bincount(np.asarray(rows, int), minlength=self.n).astype(float)
        )
        return self.statistic(weights)

    def intervals(self, *, seed: int = 0) -> dict[str, tuple[float, float]]:
        """95 % bootstrap intervals, whole groups resampled."""
        return bootstrap(self.statistic, self.groups, seed=seed)


def _equal(n: int) -> Floats:
    """Weights of a mean, (N,)."""
    return np.full(n, 1 / max(1, n))


def _by_class(target: NDArray[np.int64]) -> Floats:
    """Weights of a mean of recalls, (N,): every label that occurs counts the same."""
    counts = np.bincount(target)
    weights: Floats = 1 / (np.count_nonzero(counts) * counts[target])
    return weights


# ---------------------------------------------------------------- ask


def answer_credit(predicted: str, example: Example) -> float:
    """Credit in [0, 1]: min(1, n/3) where ten human answers are given, else exact match of the whole answer."""
    said = normalize_answer(predicted)
    if len(example.answers) >= HUMAN_ANSWERS:
        return metrics.vqa_accuracy(said, [normalize_answer(answer) for answer in example.answers])
    return metrics.exact_accuracy(said, normalize_answer(example.answer or ""))


def example_kind(example: Example) -> str:
    """Say "yes/no", "number" or "open": by the data's ``type`` where it has one, else by rule."""
    given = example.columns.get("type")
    if given is not None:
        return given if given in {YES_NO, NUMBER} else OPEN
    return question_kind(example.question, example.answer)


def ask_outcome(
    predicted: Sequence[str], examples: Sequence[Example], confidence: Sequence[float] | None = None
) -> Outcome:
    """``accuracy``, ``open`` (only open questions) and, where confidences are given, ``ece``."""
    credit = np.array([answer_credit(answer, example) for answer, example in zip(predicted, examples, strict=True)])
    is_open = np.array([example_kind(example) == OPEN for example in examples], dtype=float)
    sure = None if confidence is None else np.asarray(confidence, dtype=float)

    def statistic(weights: Floats) -> dict[str, float]:
        figures = {"accuracy": metrics.mean(credit, weights)}
        if is_open.any():
            figures["open"] = metrics.mean(credit, weights * is_open)
        if sure is not None:
            figures["ece"] = metrics.ece(sure, credit, weights)
        return figures

    baseline = {"accuracy": _constant_answer(examples)}
    opens = [example for example, flag in zip(examples, is_open, strict=True) if flag]
    if opens:
        baseline["open"] = _constant_answer(opens)
    notes = ["the baseline is the best single answer to everything"]
    if any(len(example.answers) >= HUMAN_ANSWERS for example in examples):
        notes.append("where ten human answers are given an answer counts min(1, n/3), n of them equal to it")
    return Outcome(
        n=len(credit),
        groups=tuple(example.file or number for number, example in enumerate(examples)),
        statistic=statistic,
        baseline=baseline,
        notes=tuple(notes),
        rows=Rows(
            headline="accuracy",
            credit=credit,
            weights={"accuracy": _equal(len(credit))},
            answers=predicted,
            scores=np.zeros(len(credit)) if sure is None else sure,
            truth=[example.answer or "" for example in examples],
            sure=sure,
            right=credit,
        ),
    )


def score_answers(
    predicted: Sequence[str], examples: Sequence[Example], confidence: Sequence[float] | None = None
) -> dict[str, float]:
    """Figures of :func:`ask_outcome`."""
    return ask_outcome(predicted, examples, confidence).figures()


def _constant_answer(examples: Sequence[Example]) -> float:
    answer, _ = metrics.most_frequent([normalize_answer(example.answer or "") for example in examples])
    return float(np.mean([answer_credit(answer, example) for example in examples]))


# ---------------------------------------------------------------- classify


def class_outcome(
    probabilities: Floats,
    labels: Sequence[str],
    names: Sequence[str],
    *,
    served: tuple[Sequence[str], Sequence[float]] | None = None,
    groups: Sequence[Hashable] | None = None,
) -> Outcome:
    """``top1``, ``top5``, ``mean_class`` and, where ``served`` is given, ``ece`` and ``none_share``.

    Args:
        probabilities: Scores of the given names alone, shape (N, K); need not sum to 1.
        labels: The right label of each row.
        names: The K labels, in the order of the columns.
        served: The label and the score that people see on top of each row, which may be "none of these"; calibration is
            measured on it.
    """
    place = {name: number for number, name in enumerate(names)}
    target = np.array([place[label] for label in labels], dtype=np.int64)
    first, fifth = metrics.in_top(probabilities, target, 1), metrics.in_top(probabilities, target, 5)
    predicted = np.where(first, target, probabilities.argmax(axis=1))
    predicted = np.where((predicted == target) & ~first, -1, predicted)  # a tie for the first place is not right
    shown = None if served is None else np.asarray(served[1], dtype=float)
    right = None if served is None else np.array([a == b for a, b in zip(served[0], labels, strict=True)])
    none = None if served is None else np.array([label not in place for label in served[0]])

    def statistic(weights: Floats) -> dict[str, float]:
        figures = {
            "top1": metrics.mean(first, weights),
            "top5": metrics.mean(fifth, weights),
            "mean_class": metrics.unweighted_accuracy(predicted, target, len(names), weights),
        }
        if shown is not None and right is not None and none is not None:
            figures["ece"] = metrics.ece(shown, right, weights)
            figures["none_share"] = metrics.mean(none, weights)
        return figures

    k = len(names)
    return Outcome(
        n=len(target),
        groups=tuple(groups) if groups is not None else tuple(range(len(target))),
        statistic=statistic,
        baseline={
            "top1": max(metrics.most_frequent(labels)[1], 1 / k),
            "top5": min(1.0, 5 / k),
            "mean_class": 1 / k,
        },
        notes=(
            "top1, top5 and mean_class rank the data's labels alone; ece is that of the top answer as served, "
            "'none of these' included; none_share is how often that was on top",
        )
        if served is not None
        else (),
        rows=Rows(
            headline="top1",
            credit=first.astype(float),
            weights={"top1": _equal(len(target)), "mean_class": _by_class(target)},
            answers=[names[place] for place in probabilities.argmax(axis=1)],
            scores=probabilities.max(axis=1),
            truth=labels,
            names=tuple(names),
            target=target,
            predicted=predicted,
            sure=shown,
            right=None if right is None else right.astype(float),
        ),
    )


def retrieval_outcome(similarity: Floats, owner: Sequence[int]) -> Outcome:
    """``r1``, ``r5``, ``r10``: share of texts whose own picture is among the first; similarity (texts, pictures)."""
    ranks = metrics.retrieval_ranks(similarity, np.asarray(owner, dtype=np.int64))
    pictures = similarity.shape[1]
    cuts = (1, 5, 10)
    return Outcome(
        n=len(ranks),
        groups=tuple(owner),
        statistic=lambda weights: {f"r{k}": metrics.mean(ranks < k, weights) for k in cuts},
        baseline={f"r{k}": min(1.0, k / pictures) for k in cuts},
        notes=(f"text to picture among {pictures} pictures; no probabilities, so no ece",),
        rows=Rows(
            headline="r1",
            credit=(ranks < 1).astype(float),
            weights={"r1": _equal(len(ranks))},
            answers=[f"place {rank + 1}" for rank in ranks],
            scores=np.zeros(len(ranks)),
            truth=["place 1"] * len(ranks),
        ),
    )


# ---------------------------------------------------------------- caption


def caption_outcome(
    predicted: Sequence[str], examples: Sequence[Example], confidence: Sequence[float] | None = None
) -> Outcome:
    """``bleu4`` and ``cider``; the baseline says the same typical caption of every picture."""
    references = [example.captions for example in examples]
    typical = typical_caption(references)
    notes = (
        HOW,
        f"the baseline says {typical.strip(' .')!r} of every picture",
    )
    found = caption_statistics(predicted, references)
    return Outcome(
        n=len(examples),
        groups=tuple(range(len(examples))),
        statistic=found.figures,
        baseline=caption_statistics([typical] * len(examples), references).figures(),
        notes=notes,
        rows=Rows(
            headline="cider",
            credit=found.cider,
            weights={"cider": _equal(len(examples))},
            answers=predicted,
            scores=np.zeros(len(examples)) if confidence is None else np.asarray(confidence, dtype=float),
            truth=[captions[0] for captions in references],
        ),
    )


# ---------------------------------------------------------------- sentiment


def sentiment_outcome(
    probabilities: Floats,
    names: Sequence[str],
    labels: Sequence[str],
    *,
    groups: Sequence[Hashable] | None = None,
    all_labels: Sequence[str] | None = None,
) -> Outcome:
    """``ua`` (mean recall over the data's labels), ``wa``, ``macro_f1`` and ``ece``.

    Args:
        probabilities: Shape (N, K) over the model's labels; a row of zeros where it heard no speech, which is wrong.
        names: The model's K labels.
        labels: The right label of each row; "calm" counts as "neutral" where the data has no "calm".
        all_labels: The labels of the whole data, where ``labels`` is a part; default ``labels``.
    """
    known = sorted(set(all_labels if all_labels is not None else labels))
    merged, columns = merge_calm(probabilities, names, known)
    order = [*known, *(name for name in columns if name not in known)]
    place = {name: number for number, name in enumerate(order)}
    target = np.array([place[label] for label in labels], dtype=np.int64)
    to_order = np.array([place[name] for name in columns], dtype=np.int64)
    heard = merged.sum(axis=1) > 0
    predicted = np.where(heard, to_order[merged.argmax(axis=1)], -1)
    confidence, right = merged.max(axis=1), predicted == target
    k = len(order)

    def statistic(weights: Floats) -> dict[str, float]:
        return {
            "ua": metrics.unweighted_accuracy(predicted, target, k, weights),
            "wa": metrics.mean(right, weights),
            "macro_f1": metrics.macro_f1(predicted, target, k, weights),
            "ece": metrics.ece(confidence, right, weights),
        }

    label, share = metrics.most_frequent(labels)
    always = np.full(len(target), place[label])
    notes = []
    if "calm" in names and "calm" not in known:
        notes.append("calm counts as neutral, because the data has no calm")
    if missing := [name for name in known if name not in columns]:
        notes.append(f"the model does not know {', '.join(missing)}; every such clip counts as wrong")
    if not heard.all():
        notes.append(f"no speech was heard in {int((~heard).sum())} clips, which count as wrong")
    return Outcome(
        n=len(target),
        groups=tuple(groups) if groups is not None else tuple(range(len(target))),
        statistic=statistic,
        baseline={"ua": 1 / len(set(labels)), "wa": share, "macro_f1": metrics.macro_f1(always, target, k)},
        notes=tuple(notes),
        rows=Rows(
            headline="ua",
            credit=right.astype(float),
            weights={"ua": _by_class(target), "wa": _equal(len(target))},
            answers=[order[place] if place >= 0 else NO_SPEECH for place in predicted],
            scores=confidence,
            truth=labels,
            names=tuple(known),
            target=target,
            predicted=np.where(predicted < len(known), predicted, -1),
            sure=confidence,
            right=right.astype(float),
        ),
    )


def merge_calm(probabilities: Floats, names: Sequence[str], known: Sequence[str]) -> tuple[Floats, tuple[str, ...]]:
    """Count "calm" as "neutral" where the data has no "calm"; shape (N, K) to (N, K or K - 1)."""
    if "calm" not in names or "calm" in known:
        return probabilities, tuple(names)
    if "neutral" not in names:
        return probabilities, tuple("neutral" if name == "calm" else name for name in names)
    merged = probabilities.copy()
    merged[:, names.index("neutral")] += merged[:, names.index("calm")]
    return np.delete(merged, names.index("calm"), axis=1), tuple(name for name in names if name != "calm")


def scored_labels(examples: Sequence[Example]) -> tuple[tuple[Example, ...], tuple[str, ...]]:
    """Leave out labels with fewer than ten clips.

    Returns:
        The examples that stay, and notes that name what was left out.
    """
    counts: dict[str, int] = {}
    for example in examples:
        counts[example.label or ""] = counts.get(example.label or "", 0) + 1
    small = {label: count for label, count in sorted(counts.items()) if count < SMALLEST_CLASS}
    notes = tuple(f"{label} is left out: only {count} clips" for label, count in small.items())
    return tuple(example for example in examples if (example.label or "") not in small), notes


def score_labels(probabilities: Floats, labels: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    """Figures of :func:`sentiment_outcome` with probabilities over ``names``."""
    return sentiment_outcome(probabilities, names, labels).figures()
