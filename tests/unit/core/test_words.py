"""Answers compared fairly, kinds of question, words of captions, near names."""

from __future__ import annotations

import pytest

from mmdemo.core.words import confidence_kind, nearest_name, normalize_answer, question_kind, tokenise_caption, word_set


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("  Two Dogs. ", "2 dogs"),
        ("garbage_bin", "garbage bin"),
        ("T-Shirt", "t shirt"),
        ("the beach", "beach"),
        ("the", "the"),
        ("A", "a"),
        ("one", "1"),
        ("no one", "no one"),
        ("table ,chair", "table, chair"),
        ('"stop".', "stop"),
        ("1,000", "1000"),
        ("12:30 pm", "12:30 pm"),
        ("don’t know", "don't know"),
        ("...", "..."),
        ("", ""),
    ],
)
def test_normalize_answer(given: str, wanted: str) -> None:
    assert normalize_answer(given) == wanted


@pytest.mark.parametrize("answer", ["Two dogs.", "the", "t-shirt", "table, chair", "1,000", "..."])
def test_normalizing_twice_changes_nothing(answer: str) -> None:
    once = normalize_answer(answer)
    assert normalize_answer(once) == once


def test_different_answers_stay_different() -> None:
    assert normalize_answer("table, chair") != normalize_answer("chair, table")
    assert normalize_answer("2 dogs") != normalize_answer("2 dog")


@pytest.mark.parametrize(
    ("question", "answer", "kind"),
    [
        ("Is there a dog?", "yes", "yes/no"),
        ("Is there a dog?", None, "yes/no"),
        ("Isn't it red?", None, "yes/no"),
        ("Is it red or blue?", None, "open"),
        ("Is it red or blue?", "red", "open"),
        ("How many cats?", None, "number"),
        ("How many cats?", "many", "number"),
        ("What number is on the bus?", "7", "number"),
        ("What is it?", "Three", "number"),
        ("What is the man holding?", None, "open"),
        ("", None, "open"),
    ],
)
def test_question_kind(question: str, answer: str | None, kind: str) -> None:
    assert question_kind(question, answer) == kind


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Is there a dog?", "open"),
        ("Do you see any people?", "open"),
        ("Does this picture show an apple?", "open"),
        ("Is the dog there happy?", "yes/no"),
        ("Is there enough food?", "yes/no"),
        ("How many dogs are there?", "number"),
        ("What is there?", "open"),
    ],
)
def test_what_is_there_is_no_matter_of_taste(question: str, kind: str) -> None:
    assert confidence_kind(question) == kind


def test_tokenise_caption() -> None:
    assert tokenise_caption("A man 's T-shirt , it’s RED .") == ["a", "man", "s", "t-shirt", "it's", "red"]
    assert tokenise_caption(" . ! ") == []


def test_nearest_name() -> None:
    assert nearest_name("Genderr", ["gender", "speaker"]) == "gender"
    assert nearest_name("zzz", ["gender", "speaker"]) is None
    assert nearest_name("x", []) is None


def test_word_set_takes_tables_of_several_lines() -> None:
    assert word_set(" a b\n a c ") == {"a", "b", "c"}
