"""Generation by transformers, heard step by step: what is said, how probable each token was, and a way to stop it.

Everything is decoded without sampling: greedily or by beams, as ``generate`` does it. Legend: ``B`` items of a batch,
``N`` sequences of each, ``R`` sequences that are being continued, ``C`` candidates to continue them, ``T`` tokens,
``V`` vocabulary.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from mmdemo.tasks.hub.base import LibraryNet


class GenerationParams(NamedTuple):
    """How something is said: by how many ``beams`` (1 is greedily), and in at most how many ``tokens``.

    Before it may end there are ``least`` of them: an empty answer is none.
    """

    beams: int
    tokens: int
    least: int = 1


@dataclass(frozen=True, slots=True)
class GeneratedSequence:
    """A sequence that a network said.

    Attributes:
        tokens: Without the prompt and padding; the token that ends it is there if it was said.
        chances: Natural logarithm of each token's probability, given all that stands before it.
        ended: Whether the network ended it itself; else it was cut off.
    """

    tokens: tuple[int, ...] = ()
    chances: tuple[float, ...] = ()
    ended: bool = False

    def score(self, without: Collection[int] = ()) -> float:
        """Geometric mean of the tokens' probabilities, those of special tokens left out; 0 where nothing was said."""
        heard = [chance for token, chance in zip(self.tokens, self.chances, strict=True) if token not in without]
        return math.exp(min(sum(heard) / len(heard), 0.0)) if heard else 0.0


class TokenStreamer:
    """Hears every step of ``generate``: keeps the probabilities of what is said, reports the best, and can stop it.

    The library would keep the logits of all steps (T x R x V, soon a gigabyte) to tell the same at the end.

    Args:
        report: Called with the likeliest sequence of the first item after every step.
    """

    def __init__(self, report: Callable[[GeneratedSequence], None] | None = None) -> None:
        self._report = report
        self._stopped = threading.Event()
        self._known: dict[tuple[int, tuple[int, ...]], tuple[float, ...]] = {}
        self._prompt, self._items, self._ends = 0, 1, frozenset[int]()
        self._running, self._logits = torch.empty(0, 0, dtype=torch.long), torch.empty(0, 0)

    def stop(self) -> None:
        """End the generation after the step that it is at; from any thread."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def begin(self, *, items: int, ends: Collection[int]) -> None:
        """Forget what was heard; ``ends`` are the tokens that end a sequence."""
        self._known = {(item, ()): () for item in range(items)}
        self._prompt, self._items, self._ends = -1, items, frozenset(ends)

    def before(self, running: Tensor, logits: Tensor) -> int:
        """What is about to be continued (R, T), and the logits of what comes next (R, V).

        Returns:
            How many tokens of it have been said.
        """
        if self._prompt < 0:
            self._prompt = running.shape[1]
        self._running, self._logits = running[:, self._prompt :], logits
        return self._running.shape[1]

    def after(self, candidates: Tensor) -> None:
        """The sequences (C, T + 1), among them all that go on or have ended; the likeliest of an item first."""
        rows: dict[tuple[int, tuple[int, ...]], int] = {}
        each = len(self._running) // self._items
        for row, tokens in enumerate(self._running.tolist()):
            rows.setdefault((row // each, tuple(tokens)), row)  # at the first step all beams are the same
        each = len(candidates) // self._items
        said = [tuple(tokens) for tokens in candidates[:, self._prompt :].tolist()]
        parents = [(i // each, tokens[:-1]) for i, tokens in enumerate(said)]
        whence = torch.tensor([rows[parent] for parent in parents], device=self._logits.device)
        whole = self._logits.logsumexp(dim=1)  # (R,)
        chances = (self._logits[whence, candidates[:, -1]] - whole[whence]).tolist()  # (C,)
        for parent, tokens, chance in zip(parents, said, chances, strict=True):
            self._known[parent[0], tokens] = (*self._known[parent], chance)
        if self._report is not None and not self.stopped:
            self._report(self._said(0, said[0]))

    def heard(self, sequences: Tensor) -> list[list[GeneratedSequence]]:
        """What ``generate`` returned (B * N, T), prompts and padding included, as N sequences of each item."""
        said = [tuple(tokens) for tokens in sequences[:, self._prompt :].tolist()]
        each = len(said) // self._items
        return [[self._said(i, one) for one in said[i * each : (i + 1) * each]] for i in range(self._items)]

    def _said(self, item: int, tokens: tuple[int, ...]) -> GeneratedSequence:
        """Up to the token that ends it; behind it, or behind the longest sequence of a batch, is padding."""
        end = next((i + 1 for i, token in enumerate(tokens) if token in self._ends), 0)
        if end:
            return GeneratedSequence(tokens[:end], self._known[item, tokens[:end]], ended=True)
        while (item, tokens) not in self._known:
            tokens = tokens[:-1]
        return GeneratedSequence(tokens, self._known[item, tokens])


class _Before(LogitsProcessor):
    def __init__(self, listener: TokenStreamer, ends: Collection[int], least: int) -> None:
        self._listener, self._ends, self._least = listener, sorted(ends), least

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """What is heard is what the network would have said: where that is the end, what it says instead is unlikely.

        The library's own ``min_new_tokens`` forbids the same, but only the ends that the makers' settings name.
        """
        if self._listener.before(input_ids, scores) >= self._least:
            return scores
        return scores.index_fill(1, torch.tensor(self._ends, device=scores.device), -torch.inf)


class _After(StoppingCriteria):
    def __init__(self, listener: TokenStreamer) -> None:
        self._listener = listener

    def __call__(self, input_ids: Tensor, scores: object, **_: object) -> Tensor:
        self._listener.after(input_ids)
        return torch.full((len(input_ids),), self._listener.stopped, device=input_ids.device)


def generate(
    net: LibraryNet,
    inputs: Mapping[str, Tensor],
    *,
    items: int,
    manner: GenerationParams,
    ends: Collection[int],
    listener: TokenStreamer,
    **options: object,
) -> list[list[GeneratedSequence]]:
    """``net.generate`` without sampling, and what came of it.

    Args:
        inputs: Keyword arguments of ``generate``: what the network reads.
        items: B, how many there are of them.
        ends: Tokens that end a sequence.
        options: More keyword arguments of ``generate``.

    Returns:
        For each item its ``manner.beams`` sequences in the library's order: the mean of all tokens' log-probabilities,
        the end's among them, falls.
    """
    listener.begin(items=items, ends=ends)
    sequences: Tensor = net.generate(
        **inputs,
        do_sample=False,
        num_beams=manner.beams,
        num_return_sequences=manner.beams,
        max_new_tokens=manner.tokens,
        max_length=None,  # which makers set as well, and which would count the prompt
        logits_processor=LogitsProcessorList([_Before(listener, ends, manner.least)]),
        stopping_criteria=StoppingCriteriaList([_After(listener)]),
        **options,
    )
    return listener.heard(sequences)


def end_tokens(net: LibraryNet) -> frozenset[int]:
    """The tokens that end a sequence, as the makers' generation settings name them."""
    named = net.generation_config.eos_token_id
    return frozenset(named if isinstance(named, list) else () if named is None else (named,))
