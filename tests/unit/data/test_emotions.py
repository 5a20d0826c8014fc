"""Emotions of other corpora by mmdemo's names."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdemo.core.types import EMOTIONS
from mmdemo.data.emotions import NAMES, emotion, renamed
from mmdemo.data.read import read_examples
from tests.unit.data.made import write_csv


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("anger", "angry"),
        ("Happy", "happy"),
        ("sad ", "sad"),
        ("FEA", "fearful"),
        ("pleasant_surprise", "surprised"),
        ("disgusted", "disgust"),
        ("boredom", "boredom"),
        (" Longing ", "Longing"),
    ],
)
def test_names(given: str, name: str) -> None:
    assert emotion(given) == name


def test_the_table_leads_to_known_emotions_only() -> None:
    assert set(NAMES.values()) == set(EMOTIONS)
    assert renamed(EMOTIONS) == ""


def test_reading_says_what_it_renamed(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        (tmp_path / name).write_bytes(b"x")
    labels = {"a.wav": "Anger", "b.wav": "boredom", "c.wav": "angry"}
    write_csv(tmp_path / "metadata.csv", [{"file_name": name, "label": label} for name, label in labels.items()])
    found = read_examples("sentiment", [tmp_path])
    assert [e.label for e in found.examples] == ["angry", "boredom", "angry"]
    assert found.notes == ("Emotions by mmdemo's names: 'Anger' was read as 'angry'",)
