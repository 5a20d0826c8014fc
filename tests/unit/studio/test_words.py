"""Names of datasets: any language, safe as folders; words of examples within their limits."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdemo.core.errors import MmdemoError
from mmdemo.data.folders import split_name
from mmdemo.studio.datasets import words


@pytest.mark.parametrize(
    ("given_name", "folder"),
    [
        ("Vögel in Köln", "Vögel in Köln"),
        ("我的 鸟", "我的 鸟"),
        ("a/b\\c:d", "a-b-c-d"),
        ("../../etc/passwd", "etc-passwd"),
        ("  .hidden ", "hidden"),
        ("~root", "root"),
        ("-rf", "rf"),
        ("con", "con data"),
        ("nul.txt", "data nul.txt"),
        ("test", "test data"),
        ("train_birds", "train birds"),
        ("birds.", "birds"),
        ("a\0b\nc", "ab c"),
        ("🐦", "🐦"),
        ("x" * 300, "x" * 60),
    ],
)
def test_names_become_folders(given_name: str, folder: str) -> None:
    assert words.clean_name(given_name) == folder


@pytest.mark.parametrize("name", ["", "  ", "...", "/", "__", "-", "\u200b"])
def test_names_without_a_letter_are_refused(name: str) -> None:
    with pytest.raises(MmdemoError, match="no letter"):
        words.clean_name(name)


@given(st.text(max_size=200))
def test_any_name_is_refused_or_one_plain_folder(text: str) -> None:
    try:
        name = words.clean_name(text)
    except MmdemoError:
        return
    assert words.clean_name(name) == name
    assert Path(name).name == name
    assert not name.startswith((".", "-", "~", "_"))
    assert not name.endswith((".", " "))
    assert len(name) <= words.MAX_NAME_CHARS
    assert len(name.encode()) <= words.MAX_NAME_BYTES
    assert split_name(name) is None


def test_words_are_cleaned() -> None:
    assert words.clean_label(" a / b\n") == "a / b"
    assert words.clean_answer("on\tthe  sofa") == "on the sofa"
    assert words.clean_speaker("  ") == ""
    with pytest.raises(MmdemoError, match="too long"):
        words.clean_speaker("x" * 101)
