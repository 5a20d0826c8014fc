"""Any model of transformers that chats about pictures: SmolVLM, Qwen-VL, LLaVA, InternVL, Gemma and their kin.

What it is told is laid out by the chat template that its makers published with it. Keys and values of what was read
before are kept in a cache that grows (transformers' DynamicCache) on the CPU, and in one of fixed size on a GPU, where
growing means copying some thousand picture tokens for every new one; it is not compiled, for an answer of a few tokens
is over long before a compiler is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import AskRequest, CaptionRequest, Card
from mmdemo.models.families.base import RuntimeConfig, as_image
from mmdemo.models.families.generation import GeneratedSequence, GenerationParams, TokenStreamer, end_tokens, generate
from mmdemo.models.families.generative import GenerativeModel, budget
from mmdemo.models.families.pretrained import quantize_net, read_net, read_processor

BRIEFLY = "Answer with a word or a short phrase."
"""Said behind every question."""

DESCRIBE = "Describe this picture in one short sentence."

ANSWER_TOKENS = 32


class ChatModel(GenerativeModel):
    """Answers or describes, by ``card.task``; greedily, or by as many beams as captions are wanted."""

    family: ClassVar[str] = "chat"

    @classmethod
    def open(cls, folder: Path, card: Card, *, how: RuntimeConfig) -> Self:
        from transformers import AutoModelForImageTextToText

        processor = read_processor(folder, name=card.id)
        tokenizer = processor.tokenizer
        processor.chat_template = getattr(processor, "chat_template", None) or tokenizer.chat_template
        if not processor.chat_template:
            raise MmdemoError(
                f"{card.id} cannot be used here",
                "its makers published no chat template with it",
            )
        tokenizer.padding_side = "left"  # what is to be continued must stand at the end
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        net = read_net(AutoModelForImageTextToText, folder, how=how, name=card.id)
        ends = end_tokens(net) or {tokenizer.eos_token_id}
        return cls(card, quantize_net(net, how), processor, how=how, ends=ends)

    def _manner(self, request: AskRequest | CaptionRequest) -> GenerationParams:
        if isinstance(request, AskRequest):
            return GenerationParams(beams=1, tokens=ANSWER_TOKENS)
        return GenerationParams(beams=request.n, tokens=budget(request.max_words))

    def _say(
        self, requests: Sequence[AskRequest | CaptionRequest], manner: GenerationParams, listener: TokenStreamer
    ) -> list[list[GeneratedSequence]]:
        inputs = self.processor.apply_chat_template(
            [self.talk(request) for request in requests],
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
            # where the makers let their model think aloud first, it would use up the tokens of the answer
            **({"enable_thinking": False} if "enable_thinking" in str(self.processor.chat_template) else {}),
        )
        return generate(
            self.net,
            inputs.to(self.device, self.how.dtype),
            items=len(requests),
            manner=manner,
            ends=self.ends,
            listener=listener,
            pad_token_id=self.processor.tokenizer.pad_token_id,
            **({"cache_implementation": "static", "disable_compile": True} if self._fixed_cache() else {}),
        )

    def _fixed_cache(self) -> bool:
        """Whether keys and values are kept in a cache of fixed size; not every architecture can."""
        return self.device == "cuda" and bool(getattr(self.net, "_can_compile_fullgraph", False))

    def talk(self, request: AskRequest | CaptionRequest) -> list[dict[str, object]]:
        """The conversation that a request makes, as chat templates take it: one turn, the picture and what is said."""
        said = DESCRIBE if isinstance(request, CaptionRequest) else f"{self.without_marks(request.question)} {BRIEFLY}"
        picture = {"type": "image", "image": as_image(request.picture)}
        return [{"role": "user", "content": [picture, {"type": "text", "text": said}]}]

    def without_marks(self, text: str) -> str:
        """What somebody wrote without the marks that mean something to the network.

        Who types "<image>" brings no second picture, and an answer to learn from that holds the mark of an end does not
        end there.
        """
        tokenizer: Any = self.processor.tokenizer
        marks = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
        marks |= {str(getattr(self.processor, f"{kind}_token", "") or "") for kind in ("image", "video", "audio")}
        marks = {mark for mark in marks if mark.strip() and mark in text}
        for mark in sorted(marks, key=len, reverse=True):
            text = text.replace(mark, " ")
        return " ".join(text.split()) if marks else text
