"""Florence-2 of transformers, asked for captions.

Xiao et al. 2024, "Florence-2: Advancing a Unified Representation for a Variety of Vision Tasks",
https://arxiv.org/abs/2311.06242.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import torch
from torch import Tensor

from mmdemo.core.config import FAMILY
from mmdemo.core.tasks import CAPTION
from mmdemo.core.types import CaptionRequest, Card
from mmdemo.models.caption import LEAST_BEAMS
from mmdemo.models.families.base import TUNED, Processor, RuntimeConfig, as_image
from mmdemo.models.families.detect import HubConfig
from mmdemo.models.families.generation import GeneratedSequence, GenerationParams, TokenStreamer, end_tokens, generate
from mmdemo.models.families.generative import GenerativeModel, budget
from mmdemo.models.families.pretrained import quantize_net, read_net, read_processor
from mmdemo.tasks.base import Batch
from mmdemo.tasks.hub.base import LibraryNet
from mmdemo.tasks.hub.generative import MOST_TOKENS, GenerativeRow, load_pictures, targets

DETAILED_WORDS = 30
"""Words from which on there is room for what the network calls a detailed caption: two or three sentences."""

TASK_WORD, DETAILED_TASK_WORD = "<CAPTION>", "<DETAILED_CAPTION>"
"""The network's own task words; the first is what it is tuned with."""


class FlorenceModel(GenerativeModel[CaptionRequest]):
    """Captions by the network's own task words, "<CAPTION>" and, where there is room, "<DETAILED_CAPTION>".

    Attributes:
        merged: Whether it was tuned, and then made one with its base.
    """

    family: ClassVar[str] = "florence"
    tasks: ClassVar[tuple[str, ...]] = (CAPTION,)
    trainable: ClassVar[bool] = True
    has_head: ClassVar[bool] = False

    merged = False

    @classmethod
    def recognises(cls, config: HubConfig) -> bool:
        return config.architecture == "Florence2ForConditionalGeneration"

    @classmethod
    def open(cls, folder: Path, card: Card, *, how: RuntimeConfig) -> Self:
        from transformers import Florence2ForConditionalGeneration

        net = read_net(Florence2ForConditionalGeneration, folder, how=how, name=card.id)
        processor = read_processor(folder, name=card.id)
        model = cls(card, quantize_net(net, how), processor, how=how, ends=end_tokens(net))
        model.merged = (folder / TUNED).is_file()
        return model

    def _manner(self, request: CaptionRequest) -> GenerationParams:
        # BART is made to begin with a token that says nothing
        least = 1 if self.net.generation_config.forced_bos_token_id is None else 2
        return GenerationParams(beams=max(request.n, LEAST_BEAMS), tokens=budget(request.max_words), least=least)

    def _say(
        self, requests: Sequence[CaptionRequest], manner: GenerationParams, listener: TokenStreamer
    ) -> list[list[GeneratedSequence]]:
        inputs = self.processor(
            images=[as_image(r.picture) for r in requests],
            text=[self.task_words(r) for r in requests],
            padding=True,
            return_tensors="pt",
        )
        return generate(
            self.net,
            inputs.to(self.device, self.how.dtype),
            items=len(requests),
            manner=manner,
            ends=self.ends,
            listener=listener,
        )

    def _text(self, request: CaptionRequest, said: GeneratedSequence) -> str:
        """As the processor reads it for this task; it wants the special tokens in place."""
        task, (height, width) = self.task_words(request), request.picture.pixels.shape[:2]
        text = self.processor.decode(list(said.tokens), skip_special_tokens=False)
        read: str = self.processor.post_process_generation(text, task=task, image_size=(width, height))[task]
        return read

    def task_words(self, request: CaptionRequest) -> str:
        """What Florence-2 is told to do; a tuned one what it was tuned with, however much room there is."""
        tuned = self.merged or FAMILY in self.config.net
        return DETAILED_TASK_WORD if request.max_words >= DETAILED_WORDS and not tuned else TASK_WORD

    def formatter(self, tune: str) -> FlorenceFormatter:
        return FlorenceFormatter(self.net, self.processor)


class FlorenceFormatter:
    """An encoder over picture and task word, and BART's decoder."""

    heads: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    look = None

    def __init__(self, net: LibraryNet, processor: Processor) -> None:
        self.processor = processor
        config = net.config.text_config
        self.start, self.begin, self.end = config.decoder_start_token_id, config.bos_token_id, config.eos_token_id

    def inputs(self, rows: Sequence[GenerativeRow], texts: Sequence[str]) -> Batch:
        pictures = load_pictures([row.file for row in rows])
        found = self.processor(
            images=[as_image(picture) for picture in pictures],
            text=[TASK_WORD] * len(rows),
            padding=True,
            return_tensors="pt",
        )
        tokens = self.processor.tokenizer(
            list(texts), add_special_tokens=False, truncation=True, max_length=MOST_TOKENS
        )
        # BART says its first token too
        read, target = targets([[self.begin, *one] for one in tokens["input_ids"]], end=self.end)
        start = torch.full((len(rows), 1), self.start)
        return {**found, "decoder_input_ids": torch.cat((start, read[:, :-1]), dim=1), "target": target}

    def logits(self, net: LibraryNet, batch: Batch) -> Tensor:
        inputs = {name: tensor for name, tensor in batch.items() if name != "target"}
        found: Tensor = net(**inputs, use_cache=False).logits
        return found
