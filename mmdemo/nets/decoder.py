"""The caption decoder: words over the picture's grid, and beam search that keeps what it has computed.

Legend: ``B`` sequences, ``T`` positions, ``V`` words, ``D`` channels and ``G`` side of the grid, ``W`` width, ``K``
beams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
    """``words`` counts the special ones; ``ablate_image`` hides the picture."""

    words: int
    width: int = 320
    layers: int = 3
    heads: int = 8
    dropout: float = 0.1
    positions: int = 32
    channels: int = 1280
    grid: int = 8
    ablate_image: bool = False


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
            config.channels, width, config.grid**2, ablate_image=config.ablate_image, dropout=config.dropout
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

    def attention_maps(self, words: Tensor, memory: Keys) -> Tensor:
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
    search = _Search(beams, min(longest, decoder.config.positions - 1), no_repeat)
    words = torch.full((1, 1), START, device=decoder.bias.device)
    past: Keys | None = None
    wide = memory
    for at in range(search.longest + 1):
        logits, past = decoder.step(words, at, wide, past)
        rows = search.advance(F.log_softmax(logits.float() / temperature, dim=1), at)
        if not rows:
            break
        yield search.live
        chosen = torch.tensor(rows, device=words.device)
        past = [(k[chosen], v[chosen]) for k, v in past]
        words = torch.tensor([[h.words[-1]] for h in search.live], device=words.device)
        wide = [(k.expand(len(rows), -1, -1, -1), v.expand(len(rows), -1, -1, -1)) for k, v in memory]
    yield search.best()


def beams_together(
    decoder: CaptionDecoder,
    memory: Keys,
    *,
    beams: Sequence[int],
    longest: Sequence[int],
    temperature: float,
    no_repeat: int,
    between: Callable[[], None],
) -> list[list[Hypothesis]]:
    """As :func:`beam_search` for B pictures, all words of one position in one pass: far faster than one by one.

    Args:
        memory: Keys for B pictures.
        beams, longest: For each picture.
        between: Called before every position.
    """
    device = decoder.bias.device
    searches = [
        _Search(wanted, min(most, decoder.config.positions - 1), no_repeat)
        for wanted, most in zip(beams, longest, strict=True)
    ]
    open_ = list(range(len(searches)))  # pictures that still grow
    words = torch.full((len(searches), 1), START, device=device)
    owners, wide = list(open_), memory  # the picture of each row, and its keys
    past: Keys | None = None
    at = 0
    while open_:
        between()
        logits, past = decoder.step(words, at, wide, past)
        log_p = F.log_softmax(logits.float() / temperature, dim=1)
        chosen: list[int] = []
        kept: list[int] = []
        first = 0
        for picture in open_:
            search = searches[picture]
            count = len(search.live)
            rows = search.advance(log_p[first : first + count], at)
            chosen += [first + row for row in rows]
            kept += [picture] * len(rows)
            first += count
        if not kept:
            break
        place = torch.tensor(chosen, device=device)
        past = [(k[place], v[place]) for k, v in past]
        if kept != owners:
            owners, of = kept, torch.tensor(kept, device=device)
            wide = [(k[of], v[of]) for k, v in memory]
        open_ = list(dict.fromkeys(kept))
        words = torch.tensor([[h.words[-1]] for i in open_ for h in searches[i].live], device=device)
        at += 1
    return [search.best() for search in searches]


class _Search:
    """The hypotheses about one picture.

    Attributes:
        live: Those that still grow, best first, in the order of the network's rows.
        longest: Most words.
    """

    def __init__(self, beams: int, longest: int, no_repeat: int) -> None:
        self.beams, self.longest, self.no_repeat = beams, longest, no_repeat
        self.live = [Hypothesis((), 0.0, False)]
        self.done: list[Hypothesis] = []

    def best(self) -> list[Hypothesis]:
        """The finished ones, best first."""
        return sorted(self.done, key=lambda h: h.score, reverse=True)[: self.beams]

    def advance(self, log_p: Tensor, at: int) -> list[int]:
        """Grow by one word: log-probabilities (K, V) of K live hypotheses, which are changed.

        Returns:
            The row that each of the new live ones came from; none where the search is over.
        """
        log_p[:, [START, UNKNOWN, PAD]] = -torch.inf
        if at == self.longest:
            ends = log_p[:, END].tolist()
            self.done += [
                Hypothesis(h.words, h.log_probability + p, True) for h, p in zip(self.live, ends, strict=True)
            ]
            return []
        for row, hypothesis in enumerate(self.live):
            for word in _blocked(hypothesis.words, self.no_repeat):
                log_p[row, word] = -torch.inf
        if at == 0:
            log_p[:, END] = -torch.inf  # an empty caption says nothing
        so_far = torch.tensor([h.log_probability for h in self.live], device=log_p.device)
        totals = (so_far[:, None] + log_p).flatten()  # (K * V,)
        best = totals.topk(min(2 * self.beams, len(totals)))  # enough even where every beam could end
        grown: list[Hypothesis] = []
        rows: list[int] = []
        for total, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            row, word = divmod(index, log_p.shape[1])
            if total == -float("inf"):
                continue
            if word == END:
                self.done.append(Hypothesis(self.live[row].words, total, True))
            elif len(grown) < self.beams:
                grown.append(Hypothesis((*self.live[row].words, word), total, False))
                rows.append(row)
        self.live = grown
        if len(self.done) >= self.beams and grown:
            worst = sorted((h.score for h in self.done), reverse=True)[self.beams - 1]
            if worst >= max(h.log_probability for h in grown) / (self.longest + 1):
                return []  # no live hypothesis can get among the best any more
        return rows


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
