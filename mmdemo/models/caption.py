"""Caption, ready to serve."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from mmdemo.core.config import CheckpointConfig
from mmdemo.core.turns import pause
from mmdemo.core.types import CaptionRequest, CaptionResult, Card, HeatMap, Request, Result, Scored
from mmdemo.models.pictures import PictureEncoder
from mmdemo.models.ready import ReadyModel, of_type, scaled
from mmdemo.nets.decoder import SPECIAL, START, CaptionDecoder, Hypothesis, beam_steps, beams_together
from mmdemo.tasks.caption import decode

LEAST_BEAMS = 3
"""Beams even where one caption is wanted: the best of three is better than the greedy one."""


class CaptionModel(ReadyModel):
    """Decoder over a shared picture trunk."""

    in_pieces = True
    streaming = True

    def __init__(
        self, card: Card, config: CheckpointConfig, net: CaptionDecoder, *, pictures: PictureEncoder, device: str
    ) -> None:
        super().__init__(card, config, device=device)
        self.net = net.eval().requires_grad_(False).to(device)
        self.pictures = pictures

    def _steps(self, request: CaptionRequest) -> Iterator[list[Hypothesis]]:
        grid = self.pictures.encode([request.picture])[0].grid
        for found in beam_steps(
            self.net,
            self.net.memory(grid.unsqueeze(0)),
            beams=max(request.n, LEAST_BEAMS),
            longest=request.max_words,
            temperature=self.config.calibration.temperature,
            no_repeat=2,
        ):
            yield found
            pause()

    def _result(self, request: CaptionRequest, found: Sequence[Hypothesis]) -> CaptionResult:
        said = [
            Scored(label=decode(h.words, self.config.labels), score=math.exp(min(h.score, 0.0)))
            for h in found[: request.n]
        ]
        return CaptionResult(
            file=request.picture.name,
            caption=said[0].label,
            score=said[0].score,
            sure=said[0].score >= self.config.calibration.threshold,
            alternatives=tuple(said[1:]),
            model=self.card.id,
            seconds=0.0,
        )

    def _answer(self, requests: Sequence[CaptionRequest]) -> list[Result]:
        if len(requests) == 1:  # exactly what a stream says
            *_, alone = self._steps(requests[0])
            return [self._result(requests[0], alone)]
        grids = torch.stack([seen.grid for seen in self.pictures.encode([r.picture for r in requests])])
        found = beams_together(
            self.net,
            self.net.memory(grids),
            beams=[max(request.n, LEAST_BEAMS) for request in requests],
            longest=[request.max_words for request in requests],
            temperature=self.config.calibration.temperature,
            no_repeat=2,
            between=pause,
        )
        return [self._result(request, said) for request, said in zip(requests, found, strict=True)]

    def stream(self, request: Request) -> Iterator[Result]:
        """The best caption so far after every word; the last result is that of :meth:`predict`."""
        self._in_use()
        request = of_type(request, CaptionRequest)
        started = time.perf_counter()
        steps = self._steps(request)
        held: list[Hypothesis] | None = None
        while True:
            with torch.inference_mode():
                found = next(steps, None)
            if found is None:
                break
            if held is not None:
                partial = self._result(request, held[:1])
                seconds = time.perf_counter() - started
                yield self._sound(replace(partial, caption=partial.caption.rstrip("."), seconds=seconds))
            held = found
        if held is not None:
            full = self._result(request, held)
            yield self._sound(replace(full, seconds=time.perf_counter() - started))

    def explain(self, request: Request, result: Result) -> tuple[HeatMap, ...]:
        """One map per word of the caption."""
        self._in_use()
        request, result = of_type(request, CaptionRequest), of_type(result, CaptionResult)
        names = {name: i for i, name in enumerate(self.config.labels)}
        said = [w for w in result.caption.rstrip(".").lower().split() if names.get(w, 0) >= SPECIAL]
        if not said:
            return ()
        side = self.net.config.grid
        grid = self.pictures.encode([request.picture])[0].grid
        with torch.inference_mode():
            words = torch.tensor([[START, *(names[w] for w in said)]], device=self.device)
            looked = self.net.attention_maps(words, self.net.memory(grid.unsqueeze(0)))[0]  # (T, G * G)
            usual = looked[: len(said)].mean(dim=0)  # what every word looks at says nothing about this one
        return tuple(
            HeatMap(cells=scaled((looked[t] - 0.5 * usual).clamp(min=0).view(side, side)), label=word)
            for t, word in enumerate(said)
        )
