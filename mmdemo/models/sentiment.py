"""Sentiment, ready to serve.

Legend: ``B`` windows, ``S`` samples, ``T`` tokens of 20 ms, ``K`` emotions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mmdemo.core.config import CheckpointConfig
from mmdemo.core.types import (
    SAMPLE_RATE,
    VALENCE,
    Card,
    HeatMap,
    Request,
    Result,
    Scored,
    Segment,
    SentimentRequest,
    SentimentResult,
    Sound,
)
from mmdemo.media.speech import prepare_speech, trim, what_is_heard, windows
from mmdemo.models.ready import ReadyModel, of_type, scaled
from mmdemo.nets.speech import TOKEN_SECONDS, EmotionNet

WINDOW = 3.0
"""Seconds of a window; about as long as the training clips."""

HOP = 1.5
BATCH = 16
BARS = 100
"""Cells of the map over time."""


class SentimentModel(ReadyModel):
    """Emotion network over windows of speech; a longer clip is the mean of its windows that hold speech."""

    def __init__(self, card: Card, config: CheckpointConfig, net: EmotionNet, *, device: str) -> None:
        super().__init__(card, config, device=device)
        self.net = net.eval().requires_grad_(False).to(device)

    def probabilities(self, clips: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """Calibrated probabilities (N, K) of prepared clips (S,) each."""
        found = [np.zeros((0, len(self.config.labels)))]
        order = sorted(range(len(clips)), key=lambda i: len(clips[i]))  # alike lengths together: little padding
        for start in range(0, len(order), BATCH):
            some = [clips[i] for i in order[start : start + BATCH]]
            samples, lengths = _padded(some)
            with torch.inference_mode():
                logits = self.net(samples.to(self.device), lengths.to(self.device)).logits.double()
            found.append((logits / self.config.calibration.temperature).softmax(dim=1).cpu().numpy())
        rows = np.concatenate(found)
        back = np.empty(len(order), dtype=np.intp)
        back[order] = np.arange(len(order))
        return rows[back]

    def _answer(self, requests: Sequence[SentimentRequest]) -> list[Result]:
        plans = [_Plan(request.sound) for request in requests]
        spoken = [clip for plan in plans for clip in plan.spoken]
        rows = iter(self.probabilities(spoken))
        return [self._result(request.sound, plan, rows) for request, plan in zip(requests, plans, strict=True)]

    def _result(self, sound: Sound, plan: _Plan, rows: Iterator[NDArray[np.float64]]) -> SentimentResult:
        segments: list[Segment] = []
        total = np.zeros(len(self.config.labels))
        weight = 0.0
        for (start, end), nothing in zip(plan.bounds, plan.nothing, strict=True):
            if nothing is None:
                row = next(rows)
                total += row * (end - start)
                weight += end - start
                segments.append(
                    Segment(
                        start=start,
                        end=end,
                        emotion=self.config.labels[int(row.argmax())],
                        scores=self._ranked(row),
                        uncertainty=_entropy(row),
                    )
                )
            else:
                segments.append(Segment(start=start, end=end, emotion=nothing, scores=(), uncertainty=1.0))
        if not weight:
            return SentimentResult(
                file=sound.name,
                emotion=plan.whole or segments[0].emotion,
                scores=(),
                sentiment={"negative": 0.0, "neutral": 0.0, "positive": 0.0},
                segments=tuple(segments),
                sure=False,
                model=self.card.id,
                seconds=0.0,
            )
        mean = total / weight
        scores = self._ranked(mean)
        sentiment = dict.fromkeys(("negative", "neutral", "positive"), 0.0)
        for label, value in zip(self.config.labels, mean, strict=True):
            sentiment[VALENCE.get(label, "neutral")] += float(value)
        return SentimentResult(
            file=sound.name,
            emotion=scores[0].label,
            scores=scores,
            sentiment=sentiment,
            segments=tuple(segments),
            sure=scores[0].score >= self.config.calibration.threshold,
            model=self.card.id,
            seconds=0.0,
        )

    def _ranked(self, row: NDArray[np.float64]) -> tuple[Scored, ...]:
        order = np.argsort(-row, kind="stable")
        return tuple(Scored(label=self.config.labels[i], score=float(row[i])) for i in order)

    def explain(self, request: Request, result: Result) -> tuple[HeatMap, ...]:
        """The seconds that decided: how much each moment's sound speaks for the answer."""
        self._in_use()
        request, result = of_type(request, SentimentRequest), of_type(result, SentimentResult)
        sound = request.sound
        plan = _Plan(sound)
        if not plan.spoken:
            return ()
        label = self.config.labels.index(result.emotion)
        bars = np.zeros(BARS)
        spoken = iter(zip(plan.spoken, plan.offsets, strict=True))
        for (start, _), nothing in zip(plan.bounds, plan.nothing, strict=True):
            if nothing is not None:
                continue
            clip, offset = next(spoken)
            samples, lengths = _padded([clip])
            added = self.net.decided(samples.to(self.device), lengths.to(self.device), label)[0]
            for token, share in enumerate(added.clamp(min=0).tolist()):
                second = start + offset + token * TOKEN_SECONDS
                bars[min(int(second / max(sound.seconds, 1e-6) * BARS), BARS - 1)] += share
        smooth = np.convolve(bars, np.ones(3) / 3, mode="same")
        return (HeatMap(cells=scaled(torch.from_numpy(smooth[None].astype(np.float32))), label=result.emotion),)


class _Plan:
    """How a clip is cut: bounds of the windows in seconds, why a window is passed over, and the prepared rest."""

    def __init__(self, sound: Sound) -> None:
        self.whole = what_is_heard(sound)
        first, last = (sample / SAMPLE_RATE for sample in trim(sound))
        # a short utterance with silence around it is one window, as the training clips were
        short = 0 < last - first <= WINDOW
        self.bounds = ((first, last),) if short else windows(sound.seconds, WINDOW, HOP)
        self.nothing: list[str | None] = []
        self.spoken: list[NDArray[np.float32]] = []
        self.offsets: list[float] = []
        for start, end in self.bounds:
            part = sound.samples[int(start * SAMPLE_RATE) : max(int(end * SAMPLE_RATE), 1)]
            heard = self.whole if len(self.bounds) == 1 or self.whole is not None else what_is_heard(part)
            self.nothing.append(heard)
            if heard is None:
                self.offsets.append(trim(part)[0] / SAMPLE_RATE)
                self.spoken.append(prepare_speech(part))


def _padded(clips: Sequence[NDArray[np.float32]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples (B, S) and lengths (B,)."""
    lengths = torch.tensor([max(len(clip), 1) for clip in clips])
    samples = torch.zeros(len(clips), int(lengths.max()))
    for i, clip in enumerate(clips):
        samples[i, : len(clip)] = torch.from_numpy(np.ascontiguousarray(clip))
    return samples, lengths


def _entropy(row: NDArray[np.float64]) -> float:
    """Entropy over its maximum, in [0, 1]."""
    positive = row[row > 0]
    return float(-(positive * np.log(positive)).sum() / math.log(len(row))) if len(row) > 1 else 0.0
