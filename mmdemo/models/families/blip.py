"""BLIP of transformers, both ways: captions, and answers to questions.

Li, Li, Xiong and Hoi 2022, "BLIP: Bootstrapping Language-Image Pre-training", https://arxiv.org/abs/2201.12086.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

import torch
from torch import Tensor

from mmdemo.core.tasks import ASK, CAPTION
from mmdemo.core.types import AskRequest, CaptionRequest, Card, Picture
from mmdemo.models.ask import ALTERNATIVES
from mmdemo.models.caption import LEAST_BEAMS
from mmdemo.models.families.base import Processor, RuntimeConfig, as_image
from mmdemo.models.families.detect import HubConfig
from mmdemo.models.families.generation import GeneratedSequence, GenerationParams, TokenStreamer, generate
from mmdemo.models.families.generative import Asked, GenerativeModel, budget
from mmdemo.models.families.pretrained import quantize_net, read_net, read_processor
from mmdemo.tasks.base import Batch
from mmdemo.tasks.hub.base import LibraryNet
from mmdemo.tasks.hub.contrastive import stacked
from mmdemo.tasks.hub.generative import GenerativeRow, targets

ANSWER_TOKENS = 10
"""As in the authors' own code; answers of VQA are a word or two."""


class _BlipModel(GenerativeModel[Asked]):
    """A picture encoder, and a decoder that looks at its output."""

    trainable: ClassVar[bool] = True

    @classmethod
    def _opened(cls, net_class: type, folder: Path, card: Card, how: RuntimeConfig) -> Self:
        net = read_net(net_class, folder, how=how, name=card.id)
        ends = (net.config.text_config.sep_token_id,)
        return cls(card, quantize_net(net, how), read_processor(folder, name=card.id), how=how, ends=ends)

    def formatter(self, tune: str) -> BlipFormatter:
        return BlipFormatter(self.net, self.processor, head=tune != "lora")


class BlipCaptionModel(_BlipModel[CaptionRequest]):
    """Describes by beams what stands behind no words at all: the captions of its training."""

    family: ClassVar[str] = "blip_caption"
    tasks: ClassVar[tuple[str, ...]] = (CAPTION,)

    @classmethod
    def recognises(cls, config: HubConfig) -> bool:
        return config.architecture == "BlipForConditionalGeneration"

    @classmethod
    def open(cls, folder: Path, card: Card, *, how: RuntimeConfig) -> Self:
        from transformers import BlipForConditionalGeneration

        return cls._opened(BlipForConditionalGeneration, folder, card, how)

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


class BlipAskModel(_BlipModel[AskRequest]):
    """Answers in its own words; the runners-up are its other beams."""

    family: ClassVar[str] = "blip_ask"
    tasks: ClassVar[tuple[str, ...]] = (ASK,)

    @classmethod
    def recognises(cls, config: HubConfig) -> bool:
        return config.architecture == "BlipForQuestionAnswering"

    @classmethod
    def open(cls, folder: Path, card: Card, *, how: RuntimeConfig) -> Self:
        from transformers import BlipForQuestionAnswering

        return cls._opened(BlipForQuestionAnswering, folder, card, how)

    def _manner(self, request: AskRequest) -> GenerationParams:
        return GenerationParams(beams=ALTERNATIVES + 1, tokens=ANSWER_TOKENS)

    def _say(
        self, requests: Sequence[AskRequest], manner: GenerationParams, listener: TokenStreamer
    ) -> list[list[GeneratedSequence]]:
        """Questions of as many tokens together: behind a shorter one the library reads the padding as well.

        Its decoder looks at all the places of a question, whatever their mask (transformers 5.23); then an answer would
        depend on what else was asked at the same time.
        """
        longest = self.net.config.text_config.max_position_embeddings
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


class BlipFormatter:
    """BLIP, captions and answers alike: a decoder that starts with a token of its own, and ends with [SEP].

    The library's own loss is not used: it lets answers start with [CLS], which generation never does, and reads the
    padding of questions.

    Args:
        head: Whether what stands before the matrix over all words is trained whole.
    """

    only: tuple[str, ...] = ()

    def __init__(self, net: LibraryNet, processor: Processor, *, head: bool) -> None:
        self.heads: tuple[str, ...] = ("text_decoder.cls.predictions.transform",) if head else ()
        self.tokenizer, self.image_processor = processor.tokenizer, processor.image_processor
        config = net.config.text_config
        self.start, self.end, self.longest = config.bos_token_id, config.sep_token_id, config.max_position_embeddings

    def look(self, pictures: Sequence[Picture]) -> Mapping[str, Tensor]:
        images = [as_image(picture) for picture in pictures]
        return {"pixel_values": self.image_processor(images=images, return_tensors="pt")["pixel_values"]}

    def inputs(self, rows: Sequence[GenerativeRow], texts: Sequence[str]) -> Batch:
        """``picture`` (B,) says which of the P pictures each row is about."""
        places = {file: i for i, file in enumerate(dict.fromkeys(row.file for row in rows))}
        shown = {row.file: row.pixels for row in rows if row.pixels is not None}
        tokens = self.tokenizer(list(texts), add_special_tokens=False, truncation=True, max_length=self.longest - 1)
        read, target = targets(tokens["input_ids"], end=self.end)
        start = torch.full((len(rows), 1), self.start)
        found = {
            **stacked([shown[file] for file in places]),
            "picture": torch.tensor([places[row.file] for row in rows]),
            "read": torch.cat((start, read[:, :-1]), dim=1),
            "target": target,
        }
        if rows[0].question:
            asked = self.tokenizer(
                [row.question for row in rows],
                padding=True,
                truncation=True,
                max_length=self.longest,
                return_tensors="pt",
            )
            found |= {"question": asked["input_ids"], "mask": asked["attention_mask"]}
        return found

    def logits(self, net: LibraryNet, batch: Batch) -> Tensor:
        seen = net.vision_model(pixel_values=batch["pixel_values"]).last_hidden_state[batch["picture"]]  # (B, Q, D)
        if "question" not in batch:
            return _spoken(net, batch["read"], seen)
        lengths = batch["mask"].sum(dim=1)
        seen = net.text_encoder(
            input_ids=batch["question"],
            attention_mask=batch["mask"],
            encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.long, device=seen.device),
        ).last_hidden_state  # (B, L, D)
        # the decoder looks at all the places of a question, whatever their mask (transformers 5.23)
        found: list[Tensor] = []
        places: list[Tensor] = []
        for length in sorted(set(lengths.tolist())):
            some = (lengths == length).nonzero()[:, 0]
            found.append(_spoken(net, batch["read"][some], seen[some, :length]))
            places.append(some)
        return torch.cat(found)[torch.cat(places).argsort()]


def _spoken(net: LibraryNet, read: Tensor, seen: Tensor) -> Tensor:
    """Logits (B, T, V) of BLIP's decoder over states (B, L, D) of a picture or a question."""
    found: Tensor = net.text_decoder(
        input_ids=read,
        encoder_hidden_states=seen,
        encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.long, device=seen.device),
        use_cache=False,
    ).logits
    return found
