"""The words of CoCa (Yu et al. 2022, https://arxiv.org/abs/2205.01917): one token at a time, and the search for them.

open_clip's own ``generate`` needs a class that transformers took out in version 5, and reads the whole caption and the
whole picture anew for every token; this one keeps what has been computed.

Legend: ``K`` captions under way, ``T`` tokens, ``M`` vectors of the picture, ``D`` width, ``A`` heads, ``V`` words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat

import torch
from torch import Tensor
from torch.nn import functional as F

from mmdemo.nets.decoder import Hypothesis
from mmdemo.tasks.hub.base import LibraryNet

LEAST_TOKENS = 4
"""open_clip lets no caption end before, so that "a" is none."""

Keys = list[tuple[Tensor, Tensor]]
"""Keys and values (K, A, T, D / A) of every layer."""


class Decoding:
    """A picture's captions as they grow.

    Args:
        net: An ``open_clip.CoCa`` of the library's plain blocks.
        picture: What its picture tower says, (1, M, D).
    """

    def __init__(self, net: LibraryNet, picture: Tensor) -> None:
        self.net = net
        self._picture: Keys = []
        for block in net.text_decoder.cross_attn:
            seen = block.ln_1_kv(picture)
            self._picture.append((_project(block, seen, 1), _project(block, seen, 2)))
        self._past: Keys = []

    def step(self, tokens: Tensor, rows: Tensor | None = None) -> Tensor:
        """Logits of the next token, (K, V).

        Args:
            tokens: int (K, T), all so far, from the one that begins a caption; one more than at the last step.
            rows: Which of the last step's captions each of these goes on from, int (K,).
        """
        if rows is not None:
            self._past = [(keys[rows], values[rows]) for keys, values in self._past]
        past: Iterator[tuple[Tensor, Tensor] | None] = iter(self._past) if self._past else repeat(None)
        self._past = []
        text, decoder, at = self.net.text, self.net.text_decoder, tokens.shape[1]
        x, mask = text._embeds(tokens)  # (K, T, D), and a class token after them in some
        x = x[:, at - 1 : at]
        if mask.dim() == 3:  # one for each caption and head, as the library hides the token with number 0
            mask = mask.view(len(tokens), -1, *mask.shape[1:])[:, :, at - 1 : at, :at]
        else:
            mask = mask[at - 1 : at, :at]
        for block in text.transformer.resblocks:
            x = self._self(block, x, next(past), mask)
        if text.cls_emb is None:
            x = text.ln_final(x)
        for block, cross, seen in zip(decoder.resblocks, decoder.cross_attn, self._picture, strict=True):
            x = self._self(block, x, next(past), None)
            keys, values = (part.expand(len(tokens), -1, -1, -1) for part in seen)
            x = _block(cross, x, _project(cross, cross.ln_1(x), 0), keys, values, None)
        logits: Tensor = decoder.ln_final(x[:, 0]) @ decoder.text_projection
        return logits

    def _self(self, block: LibraryNet, x: Tensor, past: tuple[Tensor, Tensor] | None, mask: Tensor | None) -> Tensor:
        h = block.ln_1(x)
        queries, keys, values = (_project(block, h, part) for part in range(3))
        if past is not None:
            keys, values = torch.cat((past[0], keys), dim=2), torch.cat((past[1], values), dim=2)
        self._past.append((keys, values))
        return _block(block, x, queries, keys, values, mask)


def _project(block: LibraryNet, x: Tensor, part: int) -> Tensor:
    """Queries (0), keys (1) or values (2) of a layer's attention: (K, T, D) → (K, A, T, D / A)."""
    attention = block.attn
    rows = slice(part * attention.embed_dim, (part + 1) * attention.embed_dim)
    y = F.linear(x, attention.in_proj_weight[rows], attention.in_proj_bias[rows])
    return y.view(len(y), y.shape[1], attention.num_heads, -1).transpose(1, 2)


def _block(block: LibraryNet, x: Tensor, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """``ResidualAttentionBlock.forward`` behind its projections."""
    mask = None if mask is None else mask.to(queries.dtype)
    found = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    x = x + block.ls_1(block.attn.out_proj(found.transpose(1, 2).flatten(2)))
    y: Tensor = x + block.ls_2(block.mlp(block.ln_2(x)))
    return y


def search(
    step: Callable[[Tensor, Tensor | None], Tensor],
    *,
    start: int,
    end: int,
    beams: int,
    longest: int,
    full: Callable[[tuple[int, ...]], bool],
    temperature: float = 1.0,
    device: str = "cpu",
) -> Iterator[list[Hypothesis]]:
    """Beam search by log-probability per token: the captions under way after every token, and at last those found.

    Args:
        step: From tokens (K, T) and the rows that they go on from to logits (K, V).
        start, end: Tokens around a caption.
        beams: Captions under way, and found, at most.
        longest: Most tokens between them.
        full: Whether tokens say more words than were asked for; a caption whose likeliest next token would is at its
            end.
        temperature: Divides the logits.
    """
    live, done = [Hypothesis((), 0.0, False)], list[Hypothesis]()
    rows: Tensor | None = None
    for at in range(longest + 1):
        tokens = torch.tensor([[start, *h.words] for h in live], device=device)
        log_p = F.log_softmax(step(tokens, rows).float() / temperature, dim=1)  # (K, V)
        end_p = log_p[:, end].tolist()
        ends = [Hypothesis(h.words, h.log_probability + p, True) for h, p in zip(live, end_p, strict=True)]
        if at == longest:
            done += ends
            break
        log_p[:, start] = -torch.inf
        if at < LEAST_TOKENS:
            log_p[:, end] = -torch.inf
        each = log_p.topk(min(2 * beams, log_p.shape[1]))  # (K, 2 * beams)
        grown, chosen, over = list[Hypothesis](), list[int](), set[int]()
        for total, row, place, token in _ranked(live, each.values.tolist(), each.indices.tolist()):
            words = (*live[row].words, token)
            if token != end and not full(words):
                grown.append(Hypothesis(words, total, False))
                chosen.append(row)
            elif (token == end or place == 0) and row not in over:
                over.add(row)
                done.append(ends[row])
            if len(grown) == beams:
                break
        live, rows = grown, torch.tensor(chosen, device=device)
        done = sorted(done, key=lambda h: h.score, reverse=True)[:beams]
        if not live or (len(done) == beams and done[-1].score >= max(h.log_probability / (at + 2) for h in live)):
            break  # none under way is as good, even as it stands
        yield live
    yield sorted(done, key=lambda h: h.score, reverse=True)[:beams]


def _ranked(
    live: list[Hypothesis], values: list[list[float]], tokens: list[list[int]]
) -> list[tuple[float, int, int, int]]:
    """What each caption may go on with, best of all first: log-probability with it, row, place in the row, token."""
    found = [
        (live[row].log_probability + value, row, place, token)
        for row, (some, names) in enumerate(zip(values, tokens, strict=True))
        for place, (value, token) in enumerate(zip(some, names, strict=True))
        if value > -float("inf")
    ]
    return sorted(found, key=lambda one: -one[0])
