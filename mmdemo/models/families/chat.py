"""Any model of transformers that chats about pictures: SmolVLM, Qwen-VL, LLaVA, InternVL, Gemma and their kin.

What it is told is laid out by the chat template that its makers published with it. Keys and values of what was read
before are kept in a cache that grows (transformers' DynamicCache) on the CPU, and in one of fixed size on a GPU, where
growing means copying some thousand picture tokens for every new one; it is not compiled, for an answer of a few tokens
is over long before a compiler is.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import ASK, CAPTION
from mmdemo.core.types import AskRequest, CaptionRequest, Card
from mmdemo.models.families.base import RuntimeConfig, as_image
from mmdemo.models.families.detect import HubConfig
from mmdemo.models.families.generation import GeneratedSequence, GenerationParams, TokenStreamer, end_tokens, generate
from mmdemo.models.families.generative import GenerativeModel, budget
from mmdemo.models.families.pretrained import quantize_net, read_net, read_processor
from mmdemo.tasks.base import Batch
from mmdemo.tasks.hub.base import LibraryNet
from mmdemo.tasks.hub.generative import MOST_TOKENS, SILENT, GenerativeRow, load_pictures, request, targets

BRIEFLY = "Answer with a word or a short phrase."
"""Said behind every question."""

DESCRIBE = "Describe this picture in one short sentence."

ANSWER_TOKENS = 32


CONNECTORS = ("connector", "multi_modal_projector", "merger", "mm_projector", "vision_projector", "mlp1")
"""In names of what stands between the eyes of a chat model and its words."""

WORDS = ("text_model", "language_model", "text_decoder")
"""Names of the part of a chat model that reads and says words."""


class ChatModel(GenerativeModel[AskRequest | CaptionRequest]):
    """Answers or describes, by ``card.task``; greedily, or by as many beams as captions are wanted."""

    family: ClassVar[str] = "chat"
    tasks: ClassVar[tuple[str, ...]] = (ASK, CAPTION)
    trainable: ClassVar[bool] = True
    joint_sequence: ClassVar[bool] = True

    @classmethod
    def recognises(cls, config: HubConfig) -> bool:
        from transformers.models.auto import modeling_auto

        return config.is_listed(modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)

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
        tokenizer = self.processor.tokenizer
        marks = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
        marks |= {str(getattr(self.processor, f"{kind}_token", "") or "") for kind in ("image", "video", "audio")}
        marks = {mark for mark in marks if mark.strip() and mark in text}
        for mark in sorted(marks, key=len, reverse=True):
            text = text.replace(mark, " ")
        return " ".join(text.split()) if marks else text

    def formatter(self, tune: str) -> ChatFormatter:
        """See :class:`mmdemo.tasks.hub.generative.GenerativeFamily`; the head is what stands before the language model.

        Raises:
            MmdemoError: The head alone is to be trained, and there is none.
        """
        formatter = ChatFormatter(self, projector_only=tune == "head")
        if tune == "head" and not formatter.only:
            raise MmdemoError(
                f"{self.card.id} has no head to train", "nothing stands between its eyes and its words", "Use lora"
            )
        return formatter


class ChatFormatter:
    """Any model that chats about pictures: the prompt as it is served, then the answer, which alone is learned.

    Args:
        projector_only: Train what stands between the picture encoder and the language model, and nothing else.
    """

    look = None

    def __init__(self, model: ChatModel, *, projector_only: bool) -> None:
        self.model, self.processor, net = model, model.processor, model.net
        own = self.processor.tokenizer.eos_token_id
        self.end = own if own in model.ends else min(model.ends)
        names = [name for name, _ in net.named_parameters()]
        connectors = _prefixes(names, CONNECTORS)
        self.heads = connectors if projector_only else ()
        self.only = connectors if projector_only else _prefixes(names, WORDS)
        self.keeps = "logits_to_keep" in inspect.signature(net.forward).parameters

    def inputs(self, rows: Sequence[GenerativeRow], texts: Sequence[str]) -> Batch:
        pictures = load_pictures([row.file for row in rows])
        talks = [self.model.talk(request(self.model.card.task, p, row)) for p, row in zip(pictures, rows, strict=True)]
        found = dict(self._laid_out(talks, tokenize=True, return_dict=True, return_tensors="pt"))
        tokens = self.processor.tokenizer(
            [self._behind(talk, self.model.without_marks(text)) for talk, text in zip(talks, texts, strict=True)],
            add_special_tokens=False,
            truncation=True,
            max_length=MOST_TOKENS,
        )
        read, target = targets(tokens["input_ids"], end=self.end)
        shape = found["input_ids"].shape
        batch: Batch = {}
        for name, tensor in found.items():
            if name == "input_ids":
                batch[name] = torch.cat((tensor, read), dim=1)  # prompts are padded on the left: they end together
            elif name == "attention_mask":
                batch[name] = torch.cat((tensor, (target != SILENT).to(tensor.dtype)), dim=1)
            elif tensor.shape == shape:  # kinds of token: an answer is plain text
                batch[name] = torch.cat((tensor, tensor.new_zeros(read.shape)), dim=1)
            else:
                batch[name] = tensor
        return {**batch, "target": target}

    def logits(self, net: LibraryNet, batch: Batch) -> Tensor:
        count = batch["target"].shape[1]
        inputs = {name: tensor for name, tensor in batch.items() if name != "target"}
        kept = {"logits_to_keep": count + 1} if self.keeps else {}  # of a whole prompt they would fill the memory
        found: Tensor = net(**inputs, use_cache=False, **kept).logits
        return found[:, -count - 1 : -1]

    def _laid_out(self, talks: Sequence[object], *, prompt: bool = True, **how: object) -> Any:
        thinks = "enable_thinking" in str(self.processor.chat_template)
        return self.processor.apply_chat_template(
            talks,
            add_generation_prompt=prompt,
            **({"processor_kwargs": {"padding": True}} if how.get("tokenize") else {}),
            **({"enable_thinking": False} if thinks else {}),
            **how,
        )

    def _behind(self, talk: list[dict[str, object]], text: str) -> str:
        """What stands behind the prompt where the answer is ``text``, as the template has it (" blue" after "Answer:").

        The token that ends it, and what the template puts behind that, are left out.
        """
        answer = {"role": "assistant", "content": [{"type": "text", "text": text}]}
        before = str(self._laid_out(talk, tokenize=False))
        whole = str(self._laid_out([*talk, answer], prompt=False, tokenize=False))
        if not whole.startswith(before) or text not in whole[len(before) :]:
            return text
        rest = whole[len(before) :]
        return rest[: rest.rindex(text) + len(text)]


def _prefixes(names: Sequence[str], signs: Sequence[str]) -> tuple[str, ...]:
    """Names of the modules called so, outermost."""
    found: dict[str, None] = {}
    for name in names:
        parts = name.split(".")
        place = next((i for i, part in enumerate(parts) if part in signs), None)
        if place is not None:
            found[".".join(parts[: place + 1]) + "."] = None
    return tuple(found)
