"""Ask, ready to serve."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmdemo.core.config import CheckpointConfig
from mmdemo.core.types import AskRequest, AskResult, Card, HeatMap, Request, Result, Scored
from mmdemo.core.words import confidence_kind
from mmdemo.models.encoders import LoadedTextEncoder
from mmdemo.models.pictures import PictureEncoder
from mmdemo.models.ready import ReadyModel, cam, of_type
from mmdemo.nets.fusion import Fusion, FusionOutput
from mmdemo.tasks.ask import encode_question, padded

ALTERNATIVES = 4
"""Runners-up in a result."""


class AskModel(ReadyModel):
    """Fusion network over a shared picture trunk and, unless it reads words itself, a shared text encoder."""

    in_pieces = True

    def __init__(
        self,
        card: Card,
        config: CheckpointConfig,
        net: Fusion,
        *,
        pictures: PictureEncoder,
        text: LoadedTextEncoder | None,
        device: str,
    ) -> None:
        super().__init__(card, config, device=device)
        self.net = net.eval().requires_grad_(False).to(device)
        self.pictures, self.text = pictures, text
        words = config.settings.get("question_words", ())
        self._words = {word: i for i, word in enumerate(words)} if isinstance(words, tuple) else {}

    def _tokens(self, questions: list[str]) -> tuple[Tensor, Tensor]:
        if self.text is not None:
            states, mask = self.text.states(questions)
            return states.clone(), mask
        tokens, mask = padded([encode_question(question, self._words) for question in questions])
        return tokens.to(self.device), mask.to(self.device)

    def _fused(self, grid: Tensor, questions: list[str]) -> FusionOutput:
        """Calibrated logits (B, K) and the shares (B, 2)."""
        tokens, mask = self._tokens(questions)
        picture = torch.arange(len(questions), device=self.device)
        fused = self.net.fused(tokens, mask, self.net.memory(grid), picture)
        calibration = self.config.calibration
        divisors = [calibration.temperature_of(confidence_kind(question)) for question in questions]
        return fused._replace(logits=fused.logits.float() / torch.tensor(divisors, device=self.device)[:, None])

    def _answer(self, requests: Sequence[AskRequest]) -> list[Result]:
        seen = self.pictures.encode([r.picture for r in requests])
        grid = torch.stack([s.grid for s in seen])
        fused = self._fused(grid, [r.question for r in requests])
        scores = fused.logits.softmax(dim=1)  # (B, K)
        shares = [None] * len(requests) if fused.weights is None else fused.weights.tolist()
        best = scores.topk(min(ALTERNATIVES + 1, scores.shape[1]))
        results: list[Result] = []
        for request, share, values, indices in zip(
            requests, shares, best.values.tolist(), best.indices.tolist(), strict=True
        ):
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
                    weights=None if share is None else dict(zip(("image", "question"), share, strict=True)),
                )
            )
        return results

    def explain(self, request: Request, result: Result) -> tuple[HeatMap, ...]:
        """The cells that speak for the answer; none where the picture is hidden."""
        self._in_use()
        request, result = of_type(request, AskRequest), of_type(result, AskResult)
        if self.net.config.ablate_image:
            return ()
        answer = self.config.labels.index(result.answer)
        grid = self.pictures.encode([request.picture])[0].grid
        (cells,) = cam(grid, lambda x: self._fused(x, [request.question]).logits[:, answer])
        return (HeatMap(cells=cells, label=result.answer),)
