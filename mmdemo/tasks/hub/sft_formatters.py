"""How BLIP, Florence-2 and models that chat are taught: what each reads, and where it says the next token.

Legend: ``B`` rows of a batch, ``P`` different pictures among them, ``T`` tokens of what is to be said, ``L`` tokens of
a prompt, ``D`` width, ``V`` vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmdemo.core.types import Request
from mmdemo.tasks.base import Batch
from mmdemo.tasks.hub.contrastive import stacked
from mmdemo.tasks.hub.generative import SILENT, GenerativeRow, load_pictures, request, targets

CONNECTORS = ("connector", "multi_modal_projector", "merger", "mm_projector", "vision_projector", "mlp1")
"""In names of what stands between the eyes of a chat model and its words."""

WORDS = ("text_model", "language_model", "text_decoder")
"""Names of the part of a chat model that reads and says words."""

MOST_TOKENS = 256
"""Of one answer or caption; what is longer is cut off in training."""


class BlipFormatter:
    """BLIP, captions and answers alike: a decoder that starts with a token of its own, and ends with [SEP].

    The library's own loss is not used: it lets answers start with [CLS], which generation never does, and reads the
    padding of questions.

    Args:
        head: Whether what stands before the matrix over all words is trained whole.
    """

    only: tuple[str, ...] = ()

    def __init__(self, net: Any, processor: Any, *, head: bool) -> None:
        self.heads: tuple[str, ...] = ("text_decoder.cls.predictions.transform",) if head else ()
        self.tokenizer = processor.tokenizer
        config = net.config.text_config
        self.start, self.end, self.longest = config.bos_token_id, config.sep_token_id, config.max_position_embeddings

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

    def logits(self, net: Any, batch: Batch) -> Tensor:
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


def _spoken(net: Any, read: Tensor, seen: Tensor) -> Tensor:
    """Logits (B, T, V) of BLIP's decoder over states (B, L, D) of a picture or a question."""
    found: Tensor = net.text_decoder(
        input_ids=read,
        encoder_hidden_states=seen,
        encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.long, device=seen.device),
        use_cache=False,
    ).logits
    return found


class CocaFormatter:
    """CoCa: the decoder behind its text tower. Its contrastive loss is left out: captions are all that it serves."""

    heads: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    def __init__(self, net: Any, words: Any) -> None:
        self.words = words
        self.start, self.end = words.sot_token_id, words.eot_token_id
        self.longest = min(net.text.context_length, net.context_length) - 2

    def inputs(self, rows: Sequence[GenerativeRow], texts: Sequence[str]) -> Batch:
        shown = [row.pixels for row in rows if row.pixels is not None]
        read, target = targets([self.words.encode(text)[: self.longest] for text in texts], end=self.end)
        start = torch.full((len(rows), 1), self.start)
        return {**stacked(shown), "read": torch.cat((start, read[:, :-1]), dim=1), "target": target}

    def logits(self, net: Any, batch: Batch) -> Tensor:
        found: Tensor = net.text_decoder(net.visual(batch["image"])[1], net.text(batch["read"])[1])
        return found


class FlorenceFormatter:
    """Florence-2: an encoder over picture and task word, and BART's decoder.

    Args:
        prompt: The task word for captions.
    """

    heads: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    def __init__(self, net: Any, processor: Any, *, prompt: str, image: Callable[[Any], Any]) -> None:
        self.processor, self.prompt, self.image = processor, prompt, image
        config = net.config.text_config
        self.start, self.begin, self.end = config.decoder_start_token_id, config.bos_token_id, config.eos_token_id

    def inputs(self, rows: Sequence[GenerativeRow], texts: Sequence[str]) -> Batch:
        pictures = load_pictures([row.file for row in rows])
        found = self.processor(
            images=[self.image(picture) for picture in pictures],
            text=[self.prompt] * len(rows),
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

    def logits(self, net: Any, batch: Batch) -> Tensor:
        inputs = {name: tensor for name, tensor in batch.items() if name != "target"}
        found: Tensor = net(**inputs, use_cache=False).logits
        return found


class ChatFormatter:
    """Any model that chats about pictures: the prompt as it is served, then the answer, which alone is learned.

    Args:
        task: "ask" or "caption".
        ends: Tokens that end what it says.
        talk: The conversation that a request makes, for the chat template.
        plain: What people wrote without the marks that mean something to the network.
        between: Train what stands between eyes and words, and nothing else.
    """

    def __init__(
        self,
        task: str,
        net: nn.Module,
        processor: Any,
        *,
        ends: Sequence[int],
        talk: Callable[[Request], list[dict[str, object]]],
        plain: Callable[[str], str],
        between: bool,
    ) -> None:
        self.task, self.processor, self.talk, self.plain = task, processor, talk, plain
        own = processor.tokenizer.eos_token_id
        self.end = own if own in ends else min(ends)
        names = [name for name, _ in net.named_parameters()]
        connectors = _prefixes(names, CONNECTORS)
        self.heads = connectors if between else ()
        self.only = connectors if between else _prefixes(names, WORDS)
        self.keeps = "logits_to_keep" in inspect.signature(net.forward).parameters

    def inputs(self, rows: Sequence[GenerativeRow], texts: Sequence[str]) -> Batch:
        pictures = load_pictures([row.file for row in rows])
        talks = [self.talk(request(self.task, p, row)) for p, row in zip(pictures, rows, strict=True)]
        found = dict(self._laid_out(talks, tokenize=True, return_dict=True, return_tensors="pt"))
        tokens = self.processor.tokenizer(
            [self._behind(talk, self.plain(text)) for talk, text in zip(talks, texts, strict=True)],
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

    def logits(self, net: Any, batch: Batch) -> Tensor:
        count = batch["target"].shape[1]
        inputs = {name: tensor for name, tensor in batch.items() if name != "target"}
        kept = {"logits_to_keep": count + 1} if self.keeps else {}  # of a whole prompt they would fill the memory
        found: Tensor = net(**inputs, use_cache=False, **kept).logits
        return found[:, -count - 1 : -1]

    def _laid_out(self, talks: Any, *, prompt: bool = True, **how: Any) -> Any:
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
