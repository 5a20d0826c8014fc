"""CIDEr-D over word indices is pycocoevalcap's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdemo.core.cider import Cider
from mmdemo.evaluate.captions import caption_statistics

WORDS = ["a", "b", "c", "d", "e", "f", "g", "h"]
sentences = st.lists(st.integers(0, len(WORDS) - 1), min_size=1, max_size=12).map(tuple)
pictures = st.lists(st.lists(sentences, min_size=1, max_size=4), min_size=1, max_size=6)


def said(words: tuple[int, ...]) -> str:
    return " ".join(f"w{WORDS[i]}" for i in words)


@given(pictures, st.data())
def test_the_figure_is_that_of_pycocoevalcap(captions: list[list[tuple[int, ...]]], data: st.DataObject) -> None:
    candidates = [data.draw(sentences) for _ in captions]
    mine = Cider(captions)
    found = [mine.scores([one], others)[0] for one, others in zip(candidates, captions, strict=True)]
    theirs = caption_statistics([said(one) for one in candidates], [[said(w) for w in others] for others in captions])
    np.testing.assert_allclose(found, theirs.cider, atol=1e-9)


def test_a_caption_that_somebody_gave_is_the_best() -> None:
    cider = Cider([[(0, 1, 2, 3)], [(4, 5, 6)], [(2, 2)]])
    same, part, other = cider.scores([(0, 1, 2, 3), (0, 1), (4, 5, 6)], [(0, 1, 2, 3)])
    assert same == pytest.approx(10.0)
    assert same > part > other == 0


def test_without_references_nothing_is_right() -> None:
    assert Cider([]).scores([(1, 2)], []) == [0.0]
