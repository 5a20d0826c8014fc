"""What models of Ask and Caption have in common that say their answers token by token."""

from __future__ import annotations

import math
import queue
import threading
import time
from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Generic, TypeVar, cast

import torch
from torch import nn

from mmdemo.core.tasks import ASK
from mmdemo.core.types import AskRequest, AskResult, CaptionRequest, CaptionResult, Card, Request, Result, Scored
from mmdemo.models.families.base import HubModel, Processor, RuntimeConfig
from mmdemo.models.families.generation import GeneratedSequence, GenerationParams, TokenStreamer
from mmdemo.models.ready import of_type

BEGINNINGS = 4
"""Of an answer, two or three tokens long, by which a network is known."""

BATCH = 16
"""Requests that a network answers at once, at most."""


def budget(words: int) -> int:
    """Tokens in which that many words have room; in English a word is 1.2 to 1.4 tokens."""
    return words + words // 2 + 4


def shortened(text: str, *, words: int | None = None, cut: bool = False) -> str:
    """A text on one line, ended at a word's end, with "…" where it would have gone on.

    Args:
        words: How many may stay.
        cut: Whether it was cut off; then its last word may be a part of one.
    """
    found = text.replace("\ufffd", "").split()  # which stands for a letter whose bytes did not all come
    kept = found[: len(found) - 1 if cut and len(found) > 1 and not found[-1].endswith((".", "!", "?")) else None]
    kept = kept[:words]
    whole = " ".join(kept)
    if len(kept) == len(found) and not (cut and not whole.endswith((".", "!", "?"))):
        return whole
    return whole.rstrip(",;:-–. ") + "…" if whole else ""


def short_answer(text: str) -> str:
    """An answer without the full stop that chats like to put behind a word or two."""
    few = len(text.split()) <= 5 and text.count(".") == 1
    return text[:-1].rstrip() if few and text.endswith(".") else text


Asked = TypeVar("Asked", bound=AskRequest | CaptionRequest)
"""What a family is asked: questions, captions, or either."""


class GenerativeModel(HubModel, Generic[Asked]):
    """A model of Ask or Caption that generates; scores are geometric means of the tokens' probabilities."""

    streaming = True

    processor: Processor

    def __init__(
        self,
        card: Card,
        net: nn.Module,
        processor: Processor,
        *,
        how: RuntimeConfig,
        ends: Collection[int],
    ) -> None:
        super().__init__(card, net, processor, how=how)
        self.ends = frozenset(ends)
        self.special = self.ends | frozenset(processor.tokenizer.all_special_ids)
        # some architectures keep what belongs to the batch at hand in themselves, so generations must not mix
        self._turn = threading.Lock()

    @abstractmethod
    def _manner(self, request: Asked) -> GenerationParams: ...

    @abstractmethod
    def _say(
        self, requests: Sequence[Asked], manner: GenerationParams, listener: TokenStreamer
    ) -> list[list[GeneratedSequence]]:
        """For each request ``manner.beams`` sequences, best first."""

    def _text(self, request: Asked, said: GeneratedSequence) -> str:
        """What was said, in letters."""
        text: str = self.processor.decode(list(said.tokens), skip_special_tokens=True)
        return text

    def _answer(self, requests: Sequence[Asked]) -> list[Result]:
        found: dict[int, list[GeneratedSequence]] = {}
        for manner, places in self._together(requests).items():
            for start in range(0, len(places), BATCH):
                some = places[start : start + BATCH]
                with self._turn:
                    said = self._say([requests[i] for i in some], manner, TokenStreamer())
                found.update(zip(some, said, strict=True))
        return [self._result(request, found[i], whole=True) for i, request in enumerate(requests)]

    def beginnings(self, requests: Sequence[Request]) -> list[dict[str, float]]:
        """For each request the likeliest beginnings of an answer, as numbers of tokens → probability."""
        found: list[dict[str, float]] = []
        with torch.inference_mode(), self._turn:
            for request in cast("Sequence[Asked]", requests):  # one by one, so that no padding plays a part
                self._in_use()
                # some architectures begin with a token that says nothing, and are made to end with the last there is
                least = self._manner(request).least
                (said,) = self._say(
                    [request], GenerationParams(beams=BEGINNINGS, tokens=least + 1, least=least), TokenStreamer()
                )
                found.append({" ".join(map(str, one.tokens)): math.exp(sum(one.chances)) for one in said})
        return found

    def _together(self, requests: Sequence[Asked]) -> dict[GenerationParams, list[int]]:
        groups: dict[GenerationParams, list[int]] = {}
        for i, request in enumerate(requests):
            groups.setdefault(self._manner(request), []).append(i)
        return groups

    def _result(
        self, request: AskRequest | CaptionRequest, found: Sequence[GeneratedSequence], *, whole: bool
    ) -> AskResult | CaptionResult:
        """Different texts, the library's order kept; ``whole`` unless more is to come."""
        words = None if isinstance(request, AskRequest) else request.max_words
        scored: dict[str, Scored] = {}
        for said in found:
            text = shortened(self._text(cast("Asked", request), said), words=words, cut=whole and not said.ended)
            text = short_answer(text) if words is None and whole else text
            if text:
                scored.setdefault(text, Scored(label=text, score=said.score(self.special)))
        best, *others = scored.values() if scored else (Scored(label="", score=0.0),)
        sure = best.score >= self.config.calibration.threshold
        if isinstance(request, AskRequest):
            return AskResult(
                file=request.picture.name,
                question=request.question,
                answer=best.label,
                score=best.score,
                sure=sure,
                alternatives=tuple(others),
                model=self.card.id,
                seconds=0.0,
            )
        return CaptionResult(
            file=request.picture.name,
            caption=best.label,
            score=best.score,
            sure=sure,
            alternatives=tuple(others[: request.n - 1]),
            model=self.card.id,
            seconds=0.0,
        )

    # ------------------------------------------------------------ streaming

    def stream(self, request: Request) -> Iterator[Result]:
        """What the network would say so far, after every token; the last result is that of :meth:`predict`.

        Generation runs in a thread of its own, so that a slow reader stops nobody; it ends with the last result, or
        after the step that it is at when the reader leaves.
        """
        self._in_use()
        asked: AskRequest | CaptionRequest = (
            of_type(request, AskRequest) if self.card.task == ASK else of_type(request, CaptionRequest)
        )
        started = time.perf_counter()
        heard: queue.SimpleQueue[GeneratedSequence | list[GeneratedSequence] | BaseException] = queue.SimpleQueue()
        listener = TokenStreamer(report=heard.put)
        thread = threading.Thread(
            target=self._speak, args=(asked, listener, heard), name=f"stream:{self.card.id}", daemon=True
        )
        thread.start()
        shown: object = None
        try:
            while True:
                item = heard.get()
                if isinstance(item, BaseException):
                    raise item
                whole = isinstance(item, list)
                result = self._result(asked, item if isinstance(item, list) else [item], whole=whole)
                text = result.answer if isinstance(result, AskResult) else result.caption
                if whole or (text and text != shown):
                    yield self._sound(replace(result, seconds=time.perf_counter() - started))
                if whole:
                    return
                shown = text
        finally:
            listener.stop()
            thread.join()

    def _speak(
        self,
        request: Asked,
        listener: TokenStreamer,
        heard: queue.SimpleQueue[GeneratedSequence | list[GeneratedSequence] | BaseException],
    ) -> None:
        try:
            with torch.inference_mode(), self._turn:
                heard.put([] if listener.stopped else self._say([request], self._manner(request), listener)[0])
        except BaseException as error:  # belongs to whoever reads
            heard.put(error)
