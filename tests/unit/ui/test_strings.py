"""Both languages say everything, with the same gaps to fill."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mmdemo.core.types import EMOTIONS, NO_SPEECH, NONE_OF_THESE, SILENCE
from mmdemo.ui.ready_sets import READY_SETS
from mmdemo.ui.strings import TEXTS, label_text, language_of, text, translations

UI = Path(__file__).parents[3] / "mmdemo" / "ui"
GAP = re.compile(r"{\w*}")


def test_both_languages_have_the_same_gaps() -> None:
    empty = [key for key, both in TEXTS.items() if not all(one.strip() for one in both)]
    other = [key for key, (en, zh) in TEXTS.items() if sorted(GAP.findall(en)) != sorted(GAP.findall(zh))]

    assert empty == []
    assert other == []


def test_every_word_that_the_code_names_is_there() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in UI.rglob("*.py"))
    named = set(re.findall(r'\b(?:words|text)\("([^"{}]+)"', code))

    assert named <= set(TEXTS), named - set(TEXTS)
    assert {f"set_{key}" for key in READY_SETS} <= set(TEXTS)


def test_the_models_own_labels_are_translated_and_nobody_elses() -> None:
    assert all(label in TEXTS for label in (*EMOTIONS, NONE_OF_THESE, SILENCE, NO_SPEECH))
    assert label_text("happy", "zh") == "高兴"
    assert label_text("<b>my label</b>", "zh") == "<b>my label</b>"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("zh", "zh"),
        ("zh-Hans-CN", "zh"),
        ("en-GB,zh;q=0.5", "en"),
        ("de,zh-CN;q=0.7", "zh"),
        ("fr", "en"),
        (";;,=", "en"),
    ],
)
def test_language_by_the_browser(header: str | None, language: str) -> None:
    assert language_of(header) == language


def test_the_browser_gets_messages_without_unquoted_braces() -> None:
    note = {"mb": 1, "megapixels": 2, "minutes": 3, "hours": 4}
    found = translations(public_note=note)

    assert set(found) == {"en", "zh-CN", "zh"}
    assert "{" not in found["en"]["public_note"]
    assert found["en"]["template_info"].startswith("'{}'")


def test_gaps_are_filled() -> None:
    assert text("seconds", "en", value="1.5") == "1.5 s"
