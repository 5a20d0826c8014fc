"""BLEU-4 and CIDEr from pycocoevalcap, with lower-cased words without punctuation instead of its Java tokenizer.

Figures are comparable with each other, not with published ones, which are made with the Penn Treebank tokenizer.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmdemo.core.words import tokenise_caption

HOW = (
    "BLEU-4 and CIDEr by pycocoevalcap over lower-cased words without punctuation; "
    "not comparable with published figures"
)
_ORDERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionStatistics:
    """What BLEU and CIDEr need of each picture, so that both can be had for any weighting of the pictures.

    Attributes:
        correct, guess: Clipped matches and n-grams by order, shape (N, 4).
        length, reference: Words of the caption and of the reference closest in length, shape (N,).
        cider: CIDEr of each picture, with document frequencies over all pictures given, shape (N,).
    """

    correct: NDArray[np.float64]
    guess: NDArray[np.float64]
    length: NDArray[np.float64]
    reference: NDArray[np.float64]
    cider: NDArray[np.float64]

    def figures(self, weights: NDArray[np.float64] | None = None) -> dict[str, float]:
        """``bleu4`` (corpus level) and ``cider`` (mean), under weights of shape (N,)."""
        w = np.ones(len(self.cider)) if weights is None else weights
        return {"bleu4": self._bleu(w), "cider": float(w @ self.cider / w.sum()) if w.sum() > 0 else 0.0}

    def _bleu(self, w: NDArray[np.float64]) -> float:
        correct, guess = w @ self.correct, w @ self.guess
        length, reference = float(w @ self.length), float(w @ self.reference)
        if length == 0 or not correct.all():
            return 0.0
        precision = math.exp(float(np.log(correct / guess).mean()))
        return precision * min(1.0, math.exp(1 - reference / length))


def caption_statistics(predicted: Sequence[str], references: Sequence[Sequence[str]]) -> CaptionStatistics:
    """Measure each caption against its picture's references.

    Raises:
        ValueError: Lengths differ, there are none, or a picture has no reference.
    """
    if len(predicted) != len(references) or not predicted or not all(references):
        raise ValueError("each caption needs at least one reference, and there must be one caption")
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer
    from pycocoevalcap.cider.cider_scorer import CiderScorer

    bleu, cider = BleuScorer(n=_ORDERS), CiderScorer(n=_ORDERS)
    for caption, others in zip(predicted, references, strict=True):
        plain = " ".join(tokenise_caption(caption))
        plain_others = [" ".join(tokenise_caption(other)) for other in others]
        bleu += (plain, plain_others)
        cider += (plain, plain_others)
    _, each = cider.compute_score()
    closest = [min((abs(length - row["testlen"]), length) for length in row["reflen"])[1] for row in bleu.ctest]
    return CaptionStatistics(
        correct=np.array([row["correct"] for row in bleu.ctest], dtype=np.float64),
        guess=np.array([row["guess"] for row in bleu.ctest], dtype=np.float64),
        length=np.array([row["testlen"] for row in bleu.ctest], dtype=np.float64),
        reference=np.array(closest, dtype=np.float64),
        cider=np.asarray(each, dtype=np.float64),
    )


def score_captions(predicted: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """``bleu4`` and ``cider`` of one caption per picture; see :func:`caption_statistics`."""
    return caption_statistics(predicted, references).figures()


def typical_caption(references: Sequence[Sequence[str]]) -> str:
    """The caption that says most about all pictures at once: the one whose words are the commonest per word.

    A baseline that has never seen a picture. Words are weighed by the share of pictures whose captions use them;
    captions shorter than the median are not considered, or "a man" would win.
    """
    documents = [{word for caption in captions for word in tokenise_caption(caption)} for captions in references]
    share = Counter(word for words in documents for word in words)
    tokens = {caption: tokenise_caption(caption) for captions in references for caption in captions}
    middle = float(np.median([len(words) for words in tokens.values()]))
    long_enough = {caption: words for caption, words in tokens.items() if words and len(words) >= middle}
    return max(
        long_enough or tokens,
        key=lambda caption: sum(share[word] for word in set(tokens[caption])) / max(1, len(tokens[caption])),
    )
