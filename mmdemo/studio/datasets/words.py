"""Names and words that people give in the page, cleaned, checked and made safe for files."""

from __future__ import annotations

import unicodedata

from mmdemo.core.errors import MmdemoError
from mmdemo.data.folders import split_name
from mmdemo.media.limits import MAX_LABEL_CHARS
from mmdemo.media.text import clean_question, parse_labels, plain

MAX_NAME_CHARS = 60
MAX_NAME_BYTES = 180
"""Of a dataset's name as UTF-8: file systems take 255, and a lock or a part file carries a suffix."""

MAX_CAPTION_CHARS = 500
MAX_ANSWER_CHARS = 100
MAX_SPEAKER_CHARS = 100

_SEPARATORS = '/\\:*?"<>|'
"""What separates folders somewhere, or is refused by Windows."""

_RESERVED = frozenset(
    ["con", "prn", "aux", "nul"] + [f"{port}{n}" for port in ("com", "lpt") for n in (*range(10), "¹", "²", "³")]
)
"""Devices of Windows, with any ending."""


def clean_name(name: str) -> str:
    """A dataset's name as the folder that holds it is called: letters of any language, nothing that separates folders.

    "Birds/Berlin" becomes "Birds-Berlin"; a name that reading would take for a split ("test") becomes "test data".

    Raises:
        MmdemoError: Nothing is left of it.
    """
    text = "".join("-" if char in _SEPARATORS else char for char in plain(name))
    # a leading dot hides a folder, "__" is passed over by reading, "~" is somebody's home and "-" begins a switch
    text = _shortened(text.lstrip(".~-_ ")).strip(". ")
    if not any(char.isalnum() or unicodedata.category(char).startswith("S") for char in text):
        raise MmdemoError("This name cannot be used", "it holds no letter or digit", "Type a name for the dataset")
    if text.split(".")[0].strip().casefold() in _RESERVED:
        text = f"{text} data" if "." not in text else f"data {text}"
    if split_name(text.casefold()) is not None:
        text = f"{text.replace('_', ' ')} data" if "_" not in text else text.replace("_", " ")
    return text


def _shortened(text: str) -> str:
    text = text[:MAX_NAME_CHARS]
    return text.encode()[:MAX_NAME_BYTES].decode(errors="ignore")


def clean_label(label: str) -> str:
    """A class or emotion.

    Raises:
        MmdemoError: Empty, too long, or "none of these".
    """
    if not plain(label):
        raise MmdemoError("The class has no name", "", "Type a word or two for it")
    try:
        return parse_labels((label,))[0]
    except MmdemoError as error:
        raise MmdemoError("This class cannot be used", error.why, "Choose another name") from None


def clean_caption(caption: str) -> str:
    """A caption; raises MmdemoError where it is empty or longer than :data:`MAX_CAPTION_CHARS`."""
    return _clean(caption, "caption", MAX_CAPTION_CHARS, "Type a sentence that describes the picture")


def clean_answer(answer: str) -> str:
    """An answer; raises MmdemoError where it is empty or longer than :data:`MAX_ANSWER_CHARS`."""
    return _clean(answer, "answer", MAX_ANSWER_CHARS, "Type the right answer, a word or a few")


def clean_speaker(speaker: str) -> str:
    """Who speaks; may be empty."""
    return _clean(speaker, "speaker", MAX_SPEAKER_CHARS, "") if plain(speaker) else ""


def _clean(text: str, what: str, limit: int, try_this: str) -> str:
    text = plain(text)
    if not any(char.isalnum() for char in text):
        raise MmdemoError(f"The {what} is missing", "it holds no word" if text else "", try_this)
    if len(text) > limit:
        why = f"it has {len(text)} characters and the limit is {limit}"
        raise MmdemoError(f"The {what} is too long", why, "Say it in fewer words")
    return text


__all__ = [
    "MAX_ANSWER_CHARS",
    "MAX_CAPTION_CHARS",
    "MAX_LABEL_CHARS",
    "MAX_NAME_CHARS",
    "clean_answer",
    "clean_caption",
    "clean_label",
    "clean_name",
    "clean_question",
    "clean_speaker",
]
