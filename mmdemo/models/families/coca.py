"""Caption by open_clip's CoCa."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import ClassVar, Protocol, Self, cast

import torch
from torch import Tensor, nn

from mmdemo.core.tasks import CAPTION
from mmdemo.core.types import CaptionRequest, CaptionResult, Card, HeatMap, Picture, Request, Result, Scored
from mmdemo.models.families.base import HubModel, RuntimeConfig
from mmdemo.models.families.coca_decoding import Decoding, search
from mmdemo.models.families.detect import HubConfig
from mmdemo.models.families.open_clip_folder import (
    framing_of,
    picture_processor,
    read_config,
    read_net,
    refusing,
    tokenizer,
    unfit,
)
from mmdemo.models.families.patch_maps import Framing, cut_tokens
from mmdemo.models.families.pretrained import quantize_net
from mmdemo.models.ready import cam, of_type
from mmdemo.nets.decoder import Hypothesis
from mmdemo.tasks.base import Batch
from mmdemo.tasks.hub.base import LibraryNet, Look
from mmdemo.tasks.hub.contrastive import stacked
from mmdemo.tasks.hub.generative import GenerativeRow, targets

LEAST_BEAMS = 3
"""Captions under way even where one is wanted."""

PIECES = 3
"""Most tokens for each word that was asked for; English takes 1.2 on average."""

PICTURES = 16
"""Most in one forward pass."""


class Words(Protocol):
    """CLIP's tokenizer (``open_clip.SimpleTokenizer``)."""

    sot_token_id: int
    eot_token_id: int
    decoder: Mapping[int, str]

    def encode(self, text: str) -> list[int]: ...

    def decode(self, tokens: Sequence[int]) -> str: ...


class CocaModel(HubModel):
    """A contrastive model with a decoder behind its text tower, which looks at the picture."""

    family: ClassVar[str] = "coca"
    tasks: ClassVar[tuple[str, ...]] = (CAPTION,)
    library: ClassVar[str] = "open_clip"
    architecture: ClassVar[str] = "CoCa"
    trainable: ClassVar[bool] = True
    has_head: ClassVar[bool] = False

    streaming = True

    processor: Look

    def __init__(
        self,
        card: Card,
        net: nn.Module,
        processor: Look,
        words: Words,
        *,
        framing: Framing,
        how: RuntimeConfig,
    ) -> None:
        super().__init__(card, net, processor, how=how)
        self.words, self.framing = words, framing

    @classmethod
    def recognises(cls, config: HubConfig) -> bool:
        return config.open_clip is not None and "multimodal_cfg" in config.open_clip

    @classmethod
    def open(cls, folder: Path, card: Card, *, how: RuntimeConfig) -> Self:
        from open_clip import CoCa
        from open_clip.transformer import ResidualAttentionBlock, VisionTransformer

        with refusing(card.id):
            shape, looks = read_config(folder)
            shape.pop("custom_text", None)
            if shape["text_cfg"].get("hf_tokenizer_name"):
                raise unfit("it speaks in the words of another tokenizer than CLIP's")
            words, framing = cast("Words", tokenizer(folder, shape["text_cfg"])), framing_of(looks)
            net = read_net(CoCa, shape, folder, how=how)
            blocks = (*net.text.transformer.resblocks, *net.text_decoder.resblocks)
            if not isinstance(net.visual, VisionTransformer) or not net.visual.output_tokens:
                raise unfit("its picture tower keeps nothing for the decoder to look at (output_tokens)")
            plain = net.text.attn_mask is not None and all(isinstance(b, ResidualAttentionBlock) for b in blocks)
            if not net.text.output_tokens or not plain:
                raise unfit("its text tower is not of the plain kind that captions are made with")
            processor = picture_processor(net, looks)
            return cls(card, quantize_net(net, how), processor, words, framing=framing, how=how)

    def formatter(self, tune: str) -> CocaFormatter:
        return CocaFormatter(self.net, self.words, self.processor)

    # ------------------------------------------------------------ captions

    def _pictures(self, pictures: Sequence[Picture]) -> Tensor:
        """What the decoder looks at, (B, M, D)."""
        net = self.net
        pixels = self.processor(pictures)["image"].to(self.device, self.how.dtype)
        return torch.cat([net.visual(some)[1] for some in torch.split(pixels, PICTURES)])

    def _steps(self, request: CaptionRequest, picture: Tensor) -> Iterator[list[Hypothesis]]:
        net = self.net
        return search(
            Decoding(net, picture).step,
            start=self.words.sot_token_id,
            end=self.words.eot_token_id,
            beams=max(request.n, LEAST_BEAMS),
            longest=min(net.text.context_length, net.context_length, PIECES * request.max_words) - 1,
            full=lambda tokens: len(detokenize(self.words.decode(tokens)).split()) > request.max_words,
            temperature=self.config.calibration.temperature,
            device=self.device,
        )

    def _result(self, request: CaptionRequest, found: Sequence[Hypothesis]) -> CaptionResult:
        said = [
            Scored(label=sentence(self.words.decode(h.words)), score=math.exp(min(h.score, 0.0)))
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
        pictures = self._pictures([request.picture for request in requests])
        results: list[Result] = []
        for request, picture in zip(requests, pictures, strict=True):
            *_, found = self._steps(request, picture.unsqueeze(0))
            results.append(self._result(request, found))
        return results

    def beginnings(self, requests: Sequence[Request]) -> list[dict[str, float]]:
        """For each request the likeliest beginnings of a caption, two tokens as numbers → probability."""
        self._in_use()
        found: list[dict[str, float]] = []
        for request in requests:
            asked = of_type(request, CaptionRequest)
            with torch.inference_mode():
                steps = self._steps(asked, self._pictures([asked.picture]))
                under_way = list(islice(steps, 2))[-1]
            found.append({" ".join(map(str, h.words)): math.exp(h.log_probability) for h in under_way})
        return found

    def stream(self, request: Request) -> Iterator[Result]:
        """The best caption so far after every token; the last result is that of :meth:`predict`."""
        self._in_use()
        request = of_type(request, CaptionRequest)
        started = time.perf_counter()
        with torch.inference_mode():
            steps = self._steps(request, self._pictures([request.picture]))
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

    # ------------------------------------------------------------ why

    def explain(self, request: Request, result: Result) -> tuple[HeatMap, ...]:
        """The patches that speak for each word of the caption, given the words before it.

        Gradient times activation (:func:`mmdemo.models.ready.cam`) of the word's log-probability; none of a network
        rounded to integers, which has no gradients.
        """
        self._in_use()
        request, result = of_type(request, CaptionRequest), of_type(result, CaptionResult)
        net = self.net
        tokens = self.words.encode(result.caption)[: min(net.text.context_length, net.context_length) - 1]
        ends = [i for i, token in enumerate(tokens) if self.words.decoder[token].endswith("</w>")]
        begins = [0, *(end + 1 for end in ends[:-1])]
        words = [
            (begin, end + 1, self.words.decode(tokens[begin : end + 1]).strip())
            for begin, end in zip(begins, ends, strict=False)
        ]
        words = [word for word in words if re.search(r"\w", word[2])]
        if not words or self.how.precision in {"int8", "int4"}:
            return ()
        pixels = self.processor([request.picture])["image"].to(self.device, self.how.dtype)
        pooled, visual = net.visual.attn_pool, net.visual
        size = (pixels.shape[2] // visual.patch_size[0], pixels.shape[3] // visual.patch_size[1])
        said = torch.tensor([[self.words.sot_token_id, *tokens]], device=self.device)
        with torch.no_grad():
            before = net.text(said[:, :-1])[1]  # (1, T, D)
            cut = cut_tokens(
                visual.ln_post if pooled is None else pooled.ln_k, lambda: visual(pixels)[1], first=1, size=size
            )
        if cut is None:
            return ()

        def score(x: Tensor) -> Tensor:
            log_p = net.text_decoder(cut.rest(x), before)[0].float().log_softmax(dim=1)  # (T, V)
            each = log_p.gather(1, said[0, 1:, None])[:, 0]
            return torch.stack([each[begin:end].sum() for begin, end, _ in words])

        height, width = request.picture.pixels.shape[:2]
        return tuple(
            HeatMap(cells=self.framing.placed(cells, height, width), label=word)
            for cells, (_, _, word) in zip(cam(cut.grid, score), words, strict=True)
        )


class CocaFormatter:
    """CoCa: the decoder behind its text tower. Its contrastive loss is left out: captions are all that it serves."""

    heads: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    def __init__(self, net: LibraryNet, words: Words, look: Look) -> None:
        self.words, self.look = words, look
        self.start, self.end = words.sot_token_id, words.eot_token_id
        self.longest = min(net.text.context_length, net.context_length) - 2

    def inputs(self, rows: Sequence[GenerativeRow], texts: Sequence[str]) -> Batch:
        shown = [row.pixels for row in rows if row.pixels is not None]
        read, target = targets([self.words.encode(text)[: self.longest] for text in texts], end=self.end)
        start = torch.full((len(rows), 1), self.start)
        return {**stacked(shown), "read": torch.cat((start, read[:, :-1]), dim=1), "target": target}

    def logits(self, net: LibraryNet, batch: Batch) -> Tensor:
        found: Tensor = net.text_decoder(net.visual(batch["image"])[1], net.text(batch["read"])[1])
        return found


def detokenize(text: str) -> str:
    """A caption as people write it, of CLIP's words with a space around every mark."""
    return re.sub(r"\s+([.,;:!?%)]|'\w+)", r"\1", " ".join(text.split()))


def sentence(text: str) -> str:
    """As :func:`detokenize`, with a capital and a full stop."""
    text = detokenize(text).rstrip(" .,;")
    return text[:1].upper() + text[1:] + ("" if text.endswith(("!", "?")) else ".") if text else ""
