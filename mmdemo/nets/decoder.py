"""The caption decoder: words over the picture's grid, and beam search that keeps what it has computed.

Legend: ``B`` sequences, ``T`` positions, ``V`` words, ``D`` channels and ``G`` side of the grid, ``W`` width, ``K``
beams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmdemo.core.cider import Cider
from mmdemo.nets.attention import Blocks, GridProjection

START, END, UNKNOWN, PAD = 0, 1, 2, 3
SPECIAL = 4
"""The first word's index; those below are START, END, UNKNOWN and PAD."""

Keys = list[tuple[Tensor, Tensor]]
"""Keys and values of every layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionConfig:
    """``words`` counts the special ones; ``blind`` hides the picture."""

    words: int
    width: int = 320
    layers: int = 3
    heads: int = 8
    dropout: float = 0.1
    positions: int = 32
    channels: int = 1280
    grid: int = 8
    blind: bool = False


class CaptionDecoder(nn.Module):
    """Transformer decoder (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762) over grid features.

    Input and output words share one matrix (Press and Wolf 2017, https://arxiv.org/abs/1608.05859).

    Attributes:
        cider: What judges its captions in training, where there is a training.
    """

    cider: Cider | None

    def __init__(self, config: CaptionConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.picture = GridProjection(
            config.channels, width, config.grid**2, blind=config.blind, dropout=config.dropout
        )
        self.word = nn.Embedding(config.words, width)
        self.position = nn.Embedding(config.positions, width)
        nn.init.normal_(self.word.weight, std=width**-0.5)
        nn.init.normal_(self.position.weight, std=0.02)
        self.blocks = Blocks(config.layers, width, config.heads, dropout=config.dropout)
        self.norm = nn.LayerNorm(width)
        self.drop = nn.Dropout(config.dropout)
        self.bias = nn.Parameter(torch.zeros(config.words))
        self.cider = None

    def memory(self, grid: Tensor) -> Keys:
        """Args: grid (B, D, G, G). Returns the cross-attention's keys of every layer, computed once per picture."""
        cells = self.picture(grid)
        return [block.cross_attention.keys(cells) for block in self.blocks]

    def _embed(self, words: Tensor, start: int) -> Tensor:
        positions = torch.arange(start, start + words.shape[1], device=words.device)
        scale = self.config.width**0.5
        x: Tensor = self.drop(self.word(words) * scale + self.position(positions))  # (B, T, W)
        return x

    def _logits(self, x: Tensor) -> Tensor:
        return F.linear(self.norm(x), self.word.weight, self.bias)

    def forward(self, words: Tensor, memory: Keys) -> Tensor:
        """Logits of the next word (B, T, V).

        Args:
            words: int (B, T), beginning with START.
            memory: Keys for B sequences.
        """
        x = self._embed(words, 0)
        for block, keys in zip(self.blocks, memory, strict=True):
            x, _ = block(x, keys, causal=True)
        return self._logits(x)

    def step(self, words: Tensor, at: int, memory: Keys, past: Keys | None) -> tuple[Tensor, Keys]:
        """One position: words int (B, 1) at position ``at``. Returns logits (B, V) and the grown keys."""
        x = self._embed(words, at)
        grown: Keys = []
        for i, (block, keys) in enumerate(zip(self.blocks, memory, strict=True)):
            x, kept = block(x, keys, past=None if past is None else past[i])
            grown.append(kept)
        return self._logits(x[:, -1]), grown

    def looked(self, words: Tensor, memory: Keys) -> Tensor:
        """Where each word was found: the last layer's attention, (B, T, G * G); row t belongs to word t + 1."""
        x = self._embed(words, 0)
        weights = x
        for block, keys in zip(self.blocks, memory, strict=True):
            h = block.norm_self(x)
            x_self = x + block.self_attention(h, block.self_attention.keys(h), causal=True)
            weights = block.cross_attention.weights(block.norm_cross(x_self), keys)
            x, _ = block(x, keys, causal=True)
        return weights


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """Words without START and END, and the sum of their log-probabilities (END's among them where it was reached)."""

    words: tuple[int, ...]
    log_probability: float
    ended: bool

    @property
    def score(self) -> float:
        """Log-probability per word, END counted: long and short captions compare fairly."""
        return self.log_probability / (len(self.words) + self.ended or 1)


def beam_search(
    decoder: CaptionDecoder,
    memory: Keys,
    *,
    beams: int,
    longest: int,
    temperature: float = 1.0,
    no_repeat: int = 2,
    watch: Callable[[list[Hypothesis]], None] | None = None,
) -> list[Hypothesis]:
    """The ``beams`` best captions of one picture, best first, by log-probability per word.

    Args:
        memory: Keys for one picture (B = 1).
        beams: How many are kept at every step.
        longest: Most words.
        temperature: Divides the logits before the softmax; a calibrated one makes the scores honest.
        no_repeat: No sequence of that many words comes twice (2 stops "a hat on top of a hat on top of").
        watch: Called after every word with the live hypotheses, best first; for showing a caption as it grows.
    """
    found: list[Hypothesis] = []
    for found in beam_steps(
        decoder, memory, beams=beams, longest=longest, temperature=temperature, no_repeat=no_repeat
    ):
        if watch is not None and not any(hypothesis.ended for hypothesis in found):
            watch(found)
    return found


def beam_steps(
    decoder: CaptionDecoder, memory: Keys, *, beams: int, longest: int, temperature: float, no_repeat: int
) -> Iterator[list[Hypothesis]]:
    """As :func:`beam_search`, yielding the live hypotheses after every word and the finished ones at the end."""
    device = decoder.bias.device
    longest = min(longest, decoder.config.positions - 1)
    live = [Hypothesis((), 0.0, False)]
    done: list[Hypothesis] = []
    words = torch.full((1, 1), START, device=device)
    past: Keys | None = None
    wide = memory
    for at in range(longest + 1):
        logits, past = decoder.step(words, at, wide, past)
        log_p = F.log_softmax(logits.float() / temperature, dim=1)  # (K, V)
        log_p[:, [START, UNKNOWN, PAD]] = -torch.inf
        if at == longest:
            ends = log_p[:, END].tolist()
            done += [Hypothesis(h.words, h.log_probability + p, True) for h, p in zip(live, ends, strict=True)]
            break
        for row, hypothesis in enumerate(live):
            for word in _blocked(hypothesis.words, no_repeat):
                log_p[row, word] = -torch.inf
        if at == 0:
            log_p[:, END] = -torch.inf  # an empty caption says nothing
        so_far = torch.tensor([h.log_probability for h in live], device=device)
        totals = (so_far[:, None] + log_p).flatten()  # (K * V,)
        best = totals.topk(min(2 * beams, len(totals)))  # enough even where every beam could end
        grown: list[Hypothesis] = []
        rows: list[int] = []
        for total, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            row, word = divmod(index, log_p.shape[1])
            if total == -float("inf"):
                continue
            if word == END:
                done.append(Hypothesis(live[row].words, total, True))
            elif len(grown) < beams:
                grown.append(Hypothesis((*live[row].words, word), total, False))
                rows.append(row)
        live = grown
        if not live:
            break
        if len(done) >= beams:
            worst = sorted((h.score for h in done), reverse=True)[beams - 1]
            if worst >= max(h.log_probability for h in live) / (longest + 1):
                break  # no live hypothesis can get among the best any more
        yield live
        chosen = torch.tensor(rows, device=device)
        past = [(k[chosen], v[chosen]) for k, v in past]
        words = torch.tensor([[h.words[-1]] for h in live], device=device)
        wide = [(k.expand(len(live), -1, -1, -1), v.expand(len(live), -1, -1, -1)) for k, v in memory]
    yield sorted(done, key=lambda h: h.score, reverse=True)[:beams]


def sample(decoder: CaptionDecoder, memory: Keys, *, longest: int, greedy: bool = False) -> Tensor:
    """A caption for each of the B sequences, word by word as the network finds them likely; chance is torch's.

    Args:
        memory: Keys for B sequences.
        longest: Most words, END counted.
        greedy: The likeliest word each time, and no chance.

    Returns:
        int (B, T), T at most ``longest``: words, then END, then PAD. Captions that did not end have no END.
    """
    device, count = decoder.bias.device, memory[0][0].shape[0]
    words, past = torch.full((count, 1), START, device=device), None
    ended = torch.zeros(count, dtype=torch.bool, device=device)
    found: list[Tensor] = []
    for at in range(min(longest, decoder.config.positions - 1)):
        logits, past = decoder.step(words, at, memory, past)
        logits = logits.float()
        logits[:, [START, UNKNOWN, PAD]] = -torch.inf
        if at == 0:
            logits[:, END] = -torch.inf  # an empty caption says nothing
        drawn = logits.argmax(dim=1) if greedy else torch.multinomial(logits.softmax(dim=1), 1).squeeze(1)
        drawn = drawn.masked_fill(ended, PAD)
        found.append(drawn)
        ended = ended | (drawn == END)
        if bool(ended.all()):
            break
        words = drawn.masked_fill(ended, END).unsqueeze(1)
    return torch.stack(found, dim=1)


def _blocked(words: tuple[int, ...], size: int) -> set[int]:
    """Words that would repeat a sequence of ``size`` words."""
    if size < 1 or len(words) < size:
        return set()
    tail = words[len(words) - size + 1 :] if size > 1 else ()
    return {words[i + size - 1] for i in range(len(words) - size + 1) if words[i : i + size - 1] == tail}
