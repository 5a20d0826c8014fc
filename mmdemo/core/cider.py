"""CIDEr-D over word indices: the figure that captions are judged by, fast enough to be learned from.

Vedantam et al. 2015, "CIDEr: Consensus-based Image Description Evaluation", https://arxiv.org/abs/1411.5726, in the
form that pycocoevalcap computes (its CiderScorer, against which the tests hold it).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property

Words = tuple[int, ...]

ORDERS = 4
"""Longest n-grams that are counted."""

SIGMA = 6.0
"""Of the penalty for another length, in words."""


def n_grams(words: Words) -> Counter[Words]:
    """How often each run of one to :data:`ORDERS` words occurs."""
    return Counter(words[i : i + n] for n in range(1, ORDERS + 1) for i in range(len(words) - n + 1))


class Cider:
    """CIDEr-D with the document frequencies of some pictures' captions.

    Args:
        captions: Of each picture.
    """

    def __init__(self, captions: Sequence[Sequence[Words]]) -> None:
        self._captions = captions
        self._log_count = math.log(max(1, len(captions)))

    @cached_property
    def _pictures(self) -> Counter[Words]:
        """In how many pictures' captions each n-gram is; not counted before somebody asks."""
        return Counter(gram for said in self._captions for gram in {gram for words in said for gram in n_grams(words)})

    def _vector(self, words: Words) -> tuple[list[dict[Words, float]], list[float]]:
        """tf-idf by order of the n-grams, and the norms."""
        found: list[dict[Words, float]] = [{} for _ in range(ORDERS)]
        for gram, count in n_grams(words).items():
            rarity = self._log_count - math.log(max(1, self._pictures[gram]))
            found[len(gram) - 1][gram] = count * rarity
        return found, [math.sqrt(sum(x * x for x in one.values())) for one in found]

    def scores(self, candidates: Sequence[Words], references: Sequence[Words]) -> list[float]:
        """The figure of each candidate for one picture, 10 at most; references are what people said of it."""
        said = [(len(words), *self._vector(words)) for words in references]
        return [self._score(words, said) for words in candidates]

    def _score(
        self, words: Words, said: Sequence[tuple[int, Sequence[Mapping[Words, float]], Sequence[float]]]
    ) -> float:
        vector, norms = self._vector(words)
        total = 0.0
        for length, other, other_norms in said:
            alike = 0.0
            for mine, theirs, norm, other_norm in zip(vector, other, norms, other_norms, strict=True):
                shared = sum(min(x, theirs[gram]) * theirs[gram] for gram, x in mine.items() if gram in theirs)
                if norm and other_norm:
                    alike += shared / (norm * other_norm)
            total += alike * math.exp(-((len(words) - length) ** 2) / (2 * SIGMA**2))
        return 10.0 * total / ORDERS / len(said) if said else 0.0
