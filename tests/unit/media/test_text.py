"""Questions, labels and templates: what is taken, and the sentence for what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdemo.core.errors import MmdemoError
from mmdemo.media.limits import MAX_LABEL_CHARS, MAX_LABELS, MAX_QUESTION_CHARS, MAX_TEMPLATE_CHARS
from mmdemo.media.text import check_template, clean_question, parse_labels


class TestQuestion:
    @pytest.mark.parametrize(
        ("typed", "clean"),
        [
            ("  Is there\ta  dog?\n", "Is there a dog?"),
            ("What\x00 colour\x07 is\u200b it?", "What colour is it?"),
            ("Wie viele Bären?", "Wie viele Bären?"),
            ("有狗吗？", "有狗吗？"),
            ("is it <b>red</b>?", "is it <b>red</b>?"),
            ("a\r\nb", "a b"),
        ],
    )
    def test_is_cleaned(self, typed: str, clean: str) -> None:
        assert clean_question(typed) == clean

    @pytest.mark.parametrize("typed", ["", "   ", "\n\t", "???", "\x00", None])
    def test_without_words_is_refused(self, typed: str | None) -> None:
        with pytest.raises(MmdemoError, match="Type a question"):
            clean_question(typed)

    def test_too_long_is_refused_with_both_numbers(self) -> None:
        assert clean_question("a" * MAX_QUESTION_CHARS)
        with pytest.raises(MmdemoError, match=f"{MAX_QUESTION_CHARS + 1} characters.*{MAX_QUESTION_CHARS}"):
            clean_question("a" * (MAX_QUESTION_CHARS + 1))


class TestLabels:
    @pytest.mark.parametrize(
        ("typed", "labels"),
        [
            ("cat, dog", ("cat", "dog")),
            ("cat,dog,", ("cat", "dog")),
            ("cat\ndog\n\n", ("cat", "dog")),
            ("cat, red car\r\ndog", ("cat", "red car", "dog")),
            ("cat,\ndog,\n", ("cat", "dog")),
            ("猫，狗、鸟", ("猫", "狗", "鸟")),
            ("<b>cat</b>, <script>alert(1)</script>", ("<b>cat</b>", "<script>alert(1)</script>")),
            ("one", ("one",)),
            ("  hot   dog  ", ("hot dog",)),
            (["Paris, France", "Rome"], ("Paris, France", "Rome")),
            (("a",), ("a",)),
        ],
    )
    def test_are_split(self, typed: str | list[str], labels: tuple[str, ...]) -> None:
        assert parse_labels(typed) == labels

    @pytest.mark.parametrize("typed", ["", "  ", ",", ",,\n,", [], None, [" "]])
    def test_none_at_all(self, typed: str | list[str] | None) -> None:
        with pytest.raises(MmdemoError, match="There are no labels"):
            parse_labels(typed)

    @pytest.mark.parametrize(
        ("typed", "where"),
        [
            ("cat,,dog", "after “cat”"),
            (",cat", "before “cat”"),
            ("cat\n\ndog", "after “cat”"),
            (["", "x"], "before “x”"),
        ],
    )
    def test_an_empty_one_is_refused_and_located(self, typed: str | list[str], where: str) -> None:
        with pytest.raises(MmdemoError, match=where):
            parse_labels(typed)

    def test_duplicates_are_refused_by_name(self) -> None:
        with pytest.raises(MmdemoError, match="given more than once: “CAT”, “dog”"):
            parse_labels("cat, dog, CAT, bird, dog")

    def test_the_added_label_is_refused(self) -> None:
        with pytest.raises(MmdemoError, match="always added"):
            parse_labels("cat, None of These")

    def test_limits(self) -> None:
        most = [f"label {index}" for index in range(MAX_LABELS)]
        assert parse_labels(", ".join(most)) == tuple(most)
        with pytest.raises(MmdemoError, match=f"{MAX_LABELS + 1} were given"):
            parse_labels([*most, "one more"])
        assert parse_labels("x" * MAX_LABEL_CHARS)
        with pytest.raises(MmdemoError, match="commas between"):
            parse_labels("cat, " + "x" * (MAX_LABEL_CHARS + 1))

    def test_other_things_than_text_are_refused(self) -> None:
        with pytest.raises(MmdemoError, match="7 is not text"):
            parse_labels(["cat", 7])  # type: ignore[list-item]

    @given(st.text(max_size=60))
    def test_any_text_gives_clean_unique_labels_or_a_sentence(self, typed: str) -> None:
        try:
            labels = parse_labels(typed)
        except MmdemoError:
            return
        assert labels
        assert len({label.casefold() for label in labels}) == len(labels)
        assert all(label == " ".join(label.split()) and label for label in labels)
        assert parse_labels(list(labels)) == labels

    @given(st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8), min_size=1, max_size=12))
    def test_commas_and_lines_mean_the_same(self, words: list[str]) -> None:
        try:
            expected = parse_labels(words)
        except MmdemoError:
            return
        for separator in (",", ", ", "\n", ",\n"):
            assert parse_labels(separator.join(words)) == expected


class TestTemplate:
    @pytest.mark.parametrize("blank", [None, "", "  "])
    def test_blank_means_the_models_own(self, blank: str | None) -> None:
        assert check_template(blank) is None

    def test_good_one_is_kept(self) -> None:
        assert check_template(" a  drawing of a {} ") == "a drawing of a {}"

    @pytest.mark.parametrize(
        ("template", "why"),
        [
            ("a photo", "missing"),
            ("{} and {}", "2 times"),
            ("a {label}", "missing"),
            ("a {} {0.__class__}", "other braces"),
            ("a {}" + "x" * MAX_TEMPLATE_CHARS, "limit"),
        ],
    )
    def test_bad_one_is_refused(self, template: str, why: str) -> None:
        with pytest.raises(MmdemoError, match=why):
            check_template(template)
