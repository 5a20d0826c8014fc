"""Cached features: computed once, resumed after an interruption, found again by what they were made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mmdemo.core.errors import MmdemoError
from mmdemo.data import pictures, texts
from mmdemo.data.features import cached, files_key
from mmdemo.models.parts import load_text, load_vision
from mmdemo.tasks.base import grids
from tests.small_bases import draw, write_text, write_vision


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_rows_are_computed_once_and_an_interruption_costs_little() -> None:
    calls: list[tuple[int, int]] = []
    limit = 9

    def encode(start: int, stop: int) -> NDArray[np.float32]:
        if len(calls) == limit:
            raise KeyboardInterrupt
        calls.append((start, stop))
        return np.arange(start, stop, dtype=np.float32)[:, None] * [1, 2]

    limit = 20
    with pytest.raises(KeyboardInterrupt):
        cached("k" * 40, 50, encode, chunk=2)
    assert len(calls) == 20
    limit = 99
    rows = cached("k" * 40, 50, encode, chunk=2)
    assert calls[20] == (32, 34)  # sixteen chunks had been noted
    np.testing.assert_array_equal(rows, np.arange(50, dtype=np.float32)[:, None] * [1, 2])
    assert isinstance(rows, np.memmap)
    done = len(calls)
    cached("k" * 40, 50, encode, chunk=2)
    assert len(calls) == done
    with pytest.raises(ValueError, match="nothing to cache"):
        cached("e" * 40, 0, encode)


def test_a_key_follows_contents_and_order(tmp_path: Path) -> None:
    one, other = tmp_path / "a", tmp_path / "b"
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    key = files_key([one, other])
    assert files_key([other, one]) != key
    one.rename(tmp_path / "c")
    assert files_key([tmp_path / "c", other]) == key
    other.write_bytes(b"3")
    assert files_key([tmp_path / "c", other]) != key


def test_pictures_and_their_mirror_images(tmp_path: Path) -> None:
    vision = load_vision(write_vision(tmp_path / "vision"))
    folder = tmp_path / "pictures"
    folder.mkdir()
    picture = draw("red", "dog", 0)
    picture.save(folder / "one.png")
    picture.transpose(0).save(folder / "two.png")  # left and right exchanged
    files = [folder / "one.png", folder / "two.png"]
    found = pictures.grids(files, vision, mirror=True)
    assert found[files[0]][0].shape == (1280, 2, 2)
    assert found[files[0]][0].dtype == np.uint8
    one, two = (grids([view]) for view in (found[files[0]][1], found[files[1]][0]))
    assert float((one - two).abs().max()) < 0.05
    assert len(pictures.grids(files[:1], vision, mirror=False)[files[0]]) == 1
    below = pictures.stems(files, vision, mirror=False)
    assert below[files[0]][0].shape == (120, 4, 4)
    assert pictures.imagenet(files, vision)[files[1]][0].shape == (1000,)
    with pytest.raises(MmdemoError, match=r"three\.png cannot be used"):
        pictures.grids([folder / "three.png"], vision, mirror=False)


def test_texts_with_and_without_anything_to_encode(tmp_path: Path) -> None:
    text = load_text(write_text(tmp_path / "text"))
    said = ["a red dog", "dog", "a dog on the grass", "dog"]
    vectors = texts.vectors(said, text)
    assert vectors.keys() == set(said)
    wanted = text.vectors(list(vectors))
    for vector, plain in zip(vectors.values(), wanted, strict=True):
        assert float(vector @ plain) > 0.99
    states = texts.states(said, text)
    assert states["dog"].shape == (3, 32)  # [CLS], the word, [SEP]
    assert states["a dog on the grass"].shape == (7, 32)
    assert texts.vectors([], text) == {}
    assert texts.states([], text) == {}
