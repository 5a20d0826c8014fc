"""Sentiment, ready to serve.

Legend: ``B`` windows, ``S`` samples, ``T`` tokens of 20 ms, ``K`` emotions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mmdemo.core.config import CheckpointConfig
from mmdemo.core.turns import pause
from mmdemo.core.types import Card, HeatMap, Request, Result, SentimentRequest, SentimentResult
from mmdemo.models.ready import ReadyModel, of_type
from mmdemo.models.sentiment_windows import WindowPlan, aggregate_windows, over_time, padded
from mmdemo.nets.speech import TOKEN_SECONDS, EmotionNet

BATCH = 16
"""Windows per forward pass on an accelerator."""

BATCH_CPU = 2
"""Windows per forward pass on a CPU: more take longer each."""


class SentimentModel(ReadyModel):
    """Emotion network over windows of speech; a longer clip is the mean of its windows that hold speech."""

    in_pieces = True

    def __init__(self, card: Card, config: CheckpointConfig, net: EmotionNet, *, device: str) -> None:
        super().__init__(card, config, device=device)
        self.net = net.eval().requires_grad_(False).to(device)

    def probabilities(self, clips: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """Calibrated probabilities (N, K) of prepared clips (S,) each."""
        found = [np.zeros((0, len(self.config.labels)))]
        order = sorted(range(len(clips)), key=lambda i: len(clips[i]))  # alike lengths together: little padding
        batch = BATCH_CPU if self.device == "cpu" else BATCH
        for start in range(0, len(order), batch):
            pause()
            some = [clips[i] for i in order[start : start + batch]]
            samples, lengths = padded(some)
            with torch.inference_mode():
                logits = self.net(samples.to(self.device), lengths.to(self.device)).logits.double()
            found.append((logits / self.config.calibration.temperature).softmax(dim=1).cpu().numpy())
        rows = np.concatenate(found)
        back = np.empty(len(order), dtype=np.intp)
        back[order] = np.arange(len(order))
        return rows[back]

    def _answer(self, requests: Sequence[SentimentRequest]) -> list[Result]:
        plans = [WindowPlan(request.sound) for request in requests]
        rows = iter(self.probabilities([clip for plan in plans for clip in plan.spoken]))
        threshold = self.config.calibration.threshold
        return [
            aggregate_windows(request.sound, plan, rows, self.config.labels, threshold=threshold, model=self.card.id)
            for request, plan in zip(requests, plans, strict=True)
        ]

    def explain(self, request: Request, result: Result) -> tuple[HeatMap, ...]:
        """The seconds that decided: how much each moment's sound speaks for the answer."""
        self._in_use()
        request, result = of_type(request, SentimentRequest), of_type(result, SentimentResult)
        if not result.scores:
            return ()
        label = self.config.labels.index(result.emotion)

        def decided(clip: NDArray[np.float32]) -> Iterator[tuple[float, float]]:
            samples, lengths = padded([clip])
            added = self.net.decided(samples.to(self.device), lengths.to(self.device), label)[0]
            for token, share in enumerate(added.tolist()):
                yield token * TOKEN_SECONDS, share

        return over_time(request.sound, WindowPlan(request.sound), result.emotion, decided)
