"""The page's example files can all be used, are small, and are listed with a licence."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from mmdemo.core.settings import ROOT
from mmdemo.media.audio import detect_speech, load_sound
from mmdemo.media.image import load_picture
from mmdemo.media.text import clean_question, parse_labels

FOLDER = ROOT / "mmdemo" / "ui" / "examples"
PICTURES = sorted(path for path in FOLDER.iterdir() if path.suffix in (".jpg", ".png"))
CLIPS = sorted(path for path in FOLDER.iterdir() if path.suffix in (".flac", ".wav"))


def listed() -> dict[str, tuple[object, ...]]:
    """The tuples of the examples' module, read without importing the page's package."""
    tree = ast.parse((FOLDER / "__init__.py").read_text(encoding="utf-8"))
    found = {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            found[node.target.id] = ast.literal_eval(node.value)
    return found


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_pictures_are_read_without_a_remark(path: Path) -> None:
    picture = load_picture(path)
    assert max(picture.pixels.shape) <= 640
    assert picture.notes == ()


@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.name)
def test_clips_hold_speech(path: Path) -> None:
    sound = load_sound(path)
    assert sound.notes == ()  # mono, 16 kHz
    assert detect_speech(sound) is None
    assert 2.0 < sound.seconds < 15.0


def test_each_tab_has_three_or_more_and_all_files_are_there() -> None:
    names = {path.name for path in (*PICTURES, *CLIPS)}
    for tab, examples in listed().items():
        assert len(examples) >= 3, tab
        assert {item[0] if isinstance(item, tuple) else item for item in examples} <= names, tab
    for _, question in listed()["ASK"]:  # type: ignore[misc]
        assert clean_question(question) == question
    for _, labels in listed()["CLASSIFY"]:  # type: ignore[misc]
        assert len(parse_labels(labels)) >= 3


def test_every_file_has_a_source_and_a_licence() -> None:
    text = (FOLDER / "SOURCES.md").read_text(encoding="utf-8")
    for path in (*PICTURES, *CLIPS):
        assert f"| {path.name} |" in text
    assert all(word in text for word in ("CC0 1.0", "CC BY 2.0", "Synthetic speech"))


def test_they_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 1_200_000
