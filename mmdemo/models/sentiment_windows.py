"""What all models of Sentiment do alike: a clip is cut into windows, and their answers are put together into one.

Legend: ``S`` samples, ``B`` windows, ``K`` labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mmdemo.core.turns import pause
from mmdemo.core.types import SAMPLE_RATE, VALENCE, HeatMap, Scored, Segment, SentimentResult, Sound
from mmdemo.media.speech import detect_speech, prepare_speech, trim, windows
from mmdemo.models.ready import scaled

Samples = NDArray[np.float32]
Row = NDArray[np.float64]

WINDOW = 3.0
"""Seconds of a window; about as long as the training clips."""

HOP = 1.5
BARS = 100
"""Cells of the map over time."""


class WindowPlan:
    """How a clip is cut.

    Attributes:
        bounds: Start and end of each window in seconds.
        nothing: Why a window is passed over ("silence", "no speech"), None for one that holds speech.
        spoken: Prepared samples (S,) of the windows with speech.
        offsets: Seconds from the start of such a window to the first of its prepared samples.
    """

    def __init__(self, sound: Sound) -> None:
        self.whole = detect_speech(sound)
        first, last = (sample / SAMPLE_RATE for sample in trim(sound))
        # a short utterance with silence around it is one window, as the training clips were
        short = 0 < last - first <= WINDOW
        self.bounds = ((first, last),) if short else windows(sound.seconds, WINDOW, HOP)
        self.nothing: list[str | None] = []
        self.spoken: list[Samples] = []
        self.offsets: list[float] = []
        for start, end in self.bounds:
            pause()
            part = sound.samples[int(start * SAMPLE_RATE) : max(int(end * SAMPLE_RATE), 1)]
            heard = self.whole if len(self.bounds) == 1 or self.whole is not None else detect_speech(part)
            self.nothing.append(heard)
            if heard is None:
                self.offsets.append(trim(part)[0] / SAMPLE_RATE)
                self.spoken.append(prepare_speech(part))


def padded(clips: Sequence[Samples]) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples (B, S) with zeros behind the shorter clips, and lengths (B,)."""
    lengths = torch.tensor([max(len(clip), 1) for clip in clips])
    samples = torch.zeros(len(clips), int(lengths.max()))
    for i, clip in enumerate(clips):
        samples[i, : len(clip)] = torch.from_numpy(np.ascontiguousarray(clip))
    return samples, lengths


def aggregate_windows(
    sound: Sound,
    plan: WindowPlan,
    rows: Iterator[Row],
    labels: Sequence[str],
    *,
    threshold: float,
    model: str,
    valence: Mapping[str, str] = VALENCE,
) -> SentimentResult:
    """The answer about a clip: the mean over its windows with speech, each counted by its length.

    Args:
        rows: Yields the probabilities (K,) of each window with speech, in order; no more than these are taken.
        labels: K names.
        threshold: Probability from which the answer is sure.
        valence: Label to "negative", "neutral" or "positive"; what is not in it counts as neutral.
    """
    segments: list[Segment] = []
    total = np.zeros(len(labels))
    weight = 0.0
    for (start, end), nothing in zip(plan.bounds, plan.nothing, strict=True):
        if nothing is not None:
            segments.append(Segment(start=start, end=end, emotion=nothing, scores=(), uncertainty=1.0))
            continue
        row = next(rows)
        total += row * (end - start)
        weight += end - start
        segments.append(
            Segment(
                start=start,
                end=end,
                emotion=labels[int(row.argmax())],
                scores=_ranked(row, labels),
                uncertainty=_entropy(row),
            )
        )
    sentiment = dict.fromkeys(("negative", "neutral", "positive"), 0.0)
    if not weight:
        return SentimentResult(
            file=sound.name,
            emotion=plan.whole or segments[0].emotion,
            scores=(),
            sentiment=sentiment,
            segments=tuple(segments),
            sure=False,
            model=model,
            seconds=0.0,
        )
    mean = total / weight
    scores = _ranked(mean, labels)
    for label, value in zip(labels, mean, strict=True):
        sentiment[valence.get(label, "neutral")] += float(value)
    return SentimentResult(
        file=sound.name,
        emotion=scores[0].label,
        scores=scores,
        sentiment=sentiment,
        segments=tuple(segments),
        sure=scores[0].score >= threshold,
        model=model,
        seconds=0.0,
    )


def over_time(
    sound: Sound, plan: WindowPlan, label: str, decided: Callable[[Samples], Iterable[tuple[float, float]]]
) -> tuple[HeatMap, ...]:
    """The seconds that decided; () without speech.

    Args:
        decided: Maps the prepared samples of a window to moments in seconds from its first sample, and how much each
            speaks for ``label``; what speaks against it is left out.
    """
    if not plan.spoken:
        return ()
    bars = np.zeros(BARS)
    spoken = iter(zip(plan.spoken, plan.offsets, strict=True))
    for (start, _), nothing in zip(plan.bounds, plan.nothing, strict=True):
        if nothing is not None:
            continue
        clip, offset = next(spoken)
        pause()
        for moment, share in decided(clip):
            second = start + offset + moment
            bars[min(int(second / max(sound.seconds, 1e-6) * BARS), BARS - 1)] += max(share, 0.0)
    smooth = np.convolve(bars, np.ones(3) / 3, mode="same")
    return (HeatMap(cells=scaled(torch.from_numpy(smooth[None].astype(np.float32))), label=label),)


def _ranked(row: Row, labels: Sequence[str]) -> tuple[Scored, ...]:
    order = np.argsort(-row, kind="stable")
    return tuple(Scored(label=labels[i], score=float(row[i])) for i in order)


def _entropy(row: Row) -> float:
    """Entropy over its maximum, in [0, 1]."""
    positive = row[row > 0]
    return float(-(positive * np.log(positive)).sum() / math.log(len(row))) if len(row) > 1 else 0.0
