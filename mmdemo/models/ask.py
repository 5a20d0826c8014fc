"""Ask, ready to serve."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmdemo.core.config import CheckpointConfig
from mmdemo.core.types import AskRequest, AskResult, Card, HeatMap, Request, Result, Scored
from mmdemo.models.parts import TextPart
from mmdemo.models.pictures import PictureEncoder
from mmdemo.models.ready import ReadyModel, cam, of_type
from mmdemo.nets.fusion import CrossAttentionFusion

ALTERNATIVES = 4
"""Runners-up in a result."""


class AskModel(ReadyModel):
    """Fusion network over a shared picture trunk and text encoder."""

    def __init__(
        self,
        card: Card,
        config: CheckpointConfig,
        net: CrossAttentionFusion,
        *,
        pictures: PictureEncoder,
        text: TextPart,
        device: str,
    ) -> None:
        super().__init__(card, config, device=device)
        self.net = net.eval().requires_grad_(False).to(device)
        self.pictures, self.text = pictures, text

    def _logits(self, grid: Tensor, questions: list[str]) -> Tensor:
        states, mask = self.text.states(questions)
        picture = torch.arange(len(questions), device=self.device)
        logits: Tensor = self.net(states.clone(), mask, self.net.memory(grid), picture)
        return logits.float() / self.config.calibration.temperature

    def _answer(self, requests: Sequence[AskRequest]) -> list[Result]:
        seen = self.pictures.encode([r.picture for r in requests])
        grid = torch.stack([s.grid for s in seen])
        scores = self._logits(grid, [r.question for r in requests]).softmax(dim=1)  # (B, K)
        best = scores.topk(min(ALTERNATIVES + 1, scores.shape[1]))
        results: list[Result] = []
        for request, values, indices in zip(requests, best.values.tolist(), best.indices.tolist(), strict=True):
            found = tuple(Scored(label=self.config.labels[i], score=v) for i, v in zip(indices, values, strict=True))
            results.append(
                AskResult(
                    file=request.picture.name,
                    question=request.question,
                    answer=found[0].label,
                    score=found[0].score,
                    sure=found[0].score >= self.config.calibration.threshold,
                    alternatives=found[1:],
                    model=self.card.id,
                    seconds=0.0,
                )
            )
        return results

    def explain(self, request: Request, result: Result) -> tuple[HeatMap, ...]:
        """The cells that speak for the answer."""
        self._in_use()
        request, result = of_type(request, AskRequest), of_type(result, AskResult)
        answer = self.config.labels.index(result.answer)
        grid = self.pictures.encode([request.picture])[0].grid
        (cells,) = cam(grid, lambda x: self._logits(x, [request.question])[:, answer])
        return (HeatMap(cells=cells, label=result.answer),)
