"""BLIP of transformers, both ways: captions, and answers to questions.

Li, Li, Xiong and Hoi 2022, "BLIP: Bootstrapping Language-Image Pre-training", https://arxiv.org/abs/2201.12086.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from mmdemo.core.types import AskRequest, CaptionRequest, Card
from mmdemo.models.ask import ALTERNATIVES
from mmdemo.models.caption import LEAST_BEAMS
from mmdemo.models.families.base import RuntimeConfig, as_image
from mmdemo.models.families.generation import GeneratedSequence, GenerationParams, TokenStreamer, generate
from mmdemo.models.families.generative import GenerativeModel, budget
from mmdemo.models.families.pretrained import quantize_net, read_net, read_processor

M = TypeVar("M", bound=GenerativeModel)

ANSWER_TOKENS = 10
"""As in the authors' own code; answers of VQA are a word or two."""


class BlipCaptionModel(GenerativeModel):
    """Describes by beams what stands behind no words at all: the captions of its training."""

    family: ClassVar[str] = "blip_caption"

    @classmethod
    def open(cls, folder: Path, card: Card, *, how: RuntimeConfig) -> Self:
        from transformers import BlipForConditionalGeneration

        return _open(cls, BlipForConditionalGeneration, folder, card, how)

    def _manner(self, request: CaptionRequest) -> GenerationParams:
        return GenerationParams(beams=max(request.n, LEAST_BEAMS), tokens=budget(request.max_words))

    def _say(
        self, requests: Sequence[CaptionRequest], manner: GenerationParams, listener: TokenStreamer
    ) -> list[list[GeneratedSequence]]:
        inputs = self.processor(images=[as_image(r.picture) for r in requests], return_tensors="pt")
        return generate(
            self.net,
            inputs.to(self.device),
            items=len(requests),
            manner=manner,
            ends=self.ends,
            listener=listener,
        )


class BlipAskModel(GenerativeModel):
    """Answers in its own words; the runners-up are its other beams."""

    family: ClassVar[str] = "blip_ask"

    @classmethod
    def open(cls, folder: Path, card: Card, *, how: RuntimeConfig) -> Self:
        from transformers import BlipForQuestionAnswering

        return _open(cls, BlipForQuestionAnswering, folder, card, how)

    def _manner(self, request: AskRequest) -> GenerationParams:
        return GenerationParams(beams=ALTERNATIVES + 1, tokens=ANSWER_TOKENS)

    def _say(
        self, requests: Sequence[AskRequest], manner: GenerationParams, listener: TokenStreamer
    ) -> list[list[GeneratedSequence]]:
        """Questions of as many tokens together: behind a shorter one the library reads the padding as well.

        Its decoder looks at all the places of a question, whatever their mask (transformers 5.23); then an answer would
        depend on what else was asked at the same time.
        """
        net: Any = self.net
        longest = net.config.text_config.max_position_embeddings
        read = self.processor.tokenizer([r.question for r in requests], truncation=True, max_length=longest)
        lengths = [len(tokens) for tokens in read["input_ids"]]
        found: dict[int, list[GeneratedSequence]] = {}
        for length in sorted(set(lengths)):
            places = [i for i, other in enumerate(lengths) if other == length]
            inputs = self.processor(
                images=[as_image(requests[i].picture) for i in places],
                text=[requests[i].question for i in places],
                truncation=True,
                max_length=longest,
                return_tensors="pt",
            )
            said = generate(
                self.net,
                inputs.to(self.device),
                items=len(places),
                manner=manner,
                ends=self.ends,
                listener=listener,
            )
            found.update(zip(places, said, strict=True))
        return [found[i] for i in range(len(requests))]


def _open(cls: type[M], kind: Any, folder: Path, card: Card, how: RuntimeConfig) -> M:
    net = read_net(kind, folder, how=how, name=card.id)
    ends = (net.config.text_config.sep_token_id,)
    return cls(card, quantize_net(net, how), read_processor(folder, name=card.id), how=how, ends=ends)
