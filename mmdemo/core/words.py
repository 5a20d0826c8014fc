"""Plain text rules: answers made comparable, kinds of question, words of a caption, nearest names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

YES_NO = "yes/no"
NUMBER = "number"
OPEN = "open"


def word_set(text: str) -> frozenset[str]:
    """The words of a text that is written as a table: separated by blanks, nothing else."""
    return frozenset(text.split())


_NUMBERS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen twenty
"""
NUMBER_WORDS = {word: str(value) for value, word in enumerate(_NUMBERS.split())}
"""Number words up to twenty, and the digits that stand for them."""

_ARTICLES = frozenset({"a", "an", "the"})
_YES_NO_STARTS = word_set(
    "is are am was were do does did can could will would has have had should shall may might must "
    "isn't aren't wasn't weren't don't doesn't didn't can't couldn't won't wouldn't hasn't haven't"
)
_PRESENCE = re.compile(
    r"^(?:(?:is|are|was|were) there|(?:do|did|can|could) (?:you|we|i|one) see"
    r"|does (?:the|this) (?:picture|photo|photograph|image) (?:show|have|contain|include)) (?:an?|any|some) "
)
_COUNTS = re.compile(r"^(how many|what number|what is the number|count)\b")
_WORD = re.compile(r"\w+(?:['-]\w+)*")


def normalize_answer(answer: str) -> str:
    """Make answers comparable: the same rule for what was said and what is right.

    Lower case; underscores and inner hyphens become spaces (``garbage_bin``, ``t-shirt``); full stops, exclamation and
    question marks at the end go, and so do quotation marks and articles; number words up to twenty become digits
    ("one" only where it is the whole answer, because of "no one"); one space after a comma. Order in a list of several
    things is kept: ``table, chair`` is not ``chair, table``. Never turns something into nothing: "the" stays "the".
    """
    text = answer.lower().replace("’", "'").replace("_", " ")
    text = re.sub(r"(?<=\w)-(?=[^\W\d])", " ", text)
    text = re.sub(r"[\"“”`]", " ", text)
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    text = re.sub(r"\s*,\s*", ", ", text)
    words = text.split()
    while words and (stripped := words[-1].rstrip(".!?;:,")) != words[-1]:
        words[-1:] = [stripped] if stripped else []
    if not words:
        return text.strip()
    kept = [word for word in words if word not in _ARTICLES] or words
    if len(kept) == 1:
        return NUMBER_WORDS.get(kept[0], kept[0])
    return " ".join(NUMBER_WORDS.get(word, word) if word != "one" else word for word in kept)


def question_kind(question: str, answer: str | None = None) -> str:
    """Say whether a question is "yes/no", "number" or "open".

    A known answer decides first: yes or no, or digits. Without one the question's first words do; a question that
    offers a choice ("is it red or blue?") is open.
    """
    text = question.lower().replace("’", "'").strip()
    if answer is not None:
        given = normalize_answer(answer)
        if given in {"yes", "no"}:
            return YES_NO
        if given.replace(".", "", 1).isdigit() or _COUNTS.match(text):
            return NUMBER
        return OPEN
    if _COUNTS.match(text):
        return NUMBER
    first = text.split(maxsplit=1)[0] if text else ""
    if first in _YES_NO_STARTS and " or " not in text:
        return YES_NO
    return OPEN


def confidence_kind(question: str) -> str:
    """Say as which kind of question the confidence in its answer is fitted, and then used.

    As :func:`question_kind` without an answer, but "is there a dog?" counts as open: what is there is to be seen, while
    most questions that people answer with yes or no are a matter of taste.
    """
    text = question.lower().strip()
    return OPEN if _PRESENCE.match(text) and " or " not in text else question_kind(question)


def tokenise_caption(caption: str) -> list[str]:
    """Split into lower-cased words without punctuation; hyphens and apostrophes inside a word stay ("t-shirt")."""
    return _WORD.findall(caption.lower().replace("’", "'"))


def nearest_name(word: str, names: Iterable[str]) -> str | None:
    """Return the name that ``word`` was probably meant to be, or None when nothing is close."""
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None
