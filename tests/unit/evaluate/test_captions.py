"""BLEU-4 and CIDEr: equal to pycocoevalcap's own, and weights equal to repeated pictures."""

from __future__ import annotations

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider

from mmdemo.core.words import tokenise_caption
from mmdemo.evaluate.captions import caption_statistics, score_captions, typical_caption

REFERENCES = [
    ["A black dog runs through the snow .", "A dog is running in the deep white snow ."],
    ["Two men play tennis on a court .", "Two men are playing tennis on a sunny day ."],
    ["A small kitchen with a white stove .", "A kitchen with a stove and a sink ."],
    ["A man rides a horse on the beach .", "A man is riding a brown horse on the beach ."],
]
PREDICTED = [
    "A black dog is running in the snow",
    "Two men play tennis on a court",
    "a kitchen with a stove and a sink",
    "a man on the beach",
]


def theirs(predicted: list[str], references: list[list[str]]) -> dict[str, float]:
    said = {number: [" ".join(tokenise_caption(text))] for number, text in enumerate(predicted)}
    right = {number: [" ".join(tokenise_caption(text)) for text in texts] for number, texts in enumerate(references)}
    bleu, _ = Bleu(4).compute_score(right, said, verbose=0)
    cider, _ = Cider().compute_score(right, said)
    return {"bleu4": float(bleu[3]), "cider": float(cider)}


def test_the_same_as_pycocoevalcap() -> None:
    assert score_captions(PREDICTED, REFERENCES) == pytest.approx(theirs(PREDICTED, REFERENCES))
    assert score_captions(PREDICTED[::-1], REFERENCES)["cider"] < score_captions(PREDICTED, REFERENCES)["cider"]


def test_case_and_punctuation_do_not_count() -> None:
    shouted = [f"{text.upper()} ." for text in PREDICTED]
    assert score_captions(shouted, REFERENCES) == pytest.approx(score_captions(PREDICTED, REFERENCES))


def test_weights_repeat_pictures_in_bleu() -> None:
    weighted = caption_statistics(PREDICTED, REFERENCES).figures(np.array([2.0, 0.0, 1.0, 1.0]))
    rows = [0, 0, 2, 3]
    repeated = theirs([PREDICTED[row] for row in rows], [REFERENCES[row] for row in rows])
    assert weighted["bleu4"] == pytest.approx(repeated["bleu4"])
    assert weighted["bleu4"] != pytest.approx(score_captions(PREDICTED, REFERENCES)["bleu4"])


def test_an_empty_caption_scores_nothing_and_breaks_nothing() -> None:
    assert score_captions(["", "", "", ""], REFERENCES) == {"bleu4": 0.0, "cider": 0.0}
    one_empty = score_captions(["", *PREDICTED[1:]], REFERENCES)
    assert 0 < one_empty["cider"] < score_captions(PREDICTED, REFERENCES)["cider"]


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one reference"):
        score_captions(PREDICTED, REFERENCES[:2])
    with pytest.raises(ValueError, match="at least one reference"):
        score_captions([], [])
    with pytest.raises(ValueError, match="at least one reference"):
        score_captions(["a"], [[]])


def test_the_typical_caption_is_one_of_the_given_and_of_some_length() -> None:
    chosen = typical_caption(REFERENCES)
    assert chosen in {text for texts in REFERENCES for text in texts}
    assert len(tokenise_caption(chosen)) >= 8
