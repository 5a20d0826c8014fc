"""Text that people type: questions, label lists and prompt templates, cleaned and checked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import NONE_OF_THESE
from mmdemo.media.limits import MAX_LABEL_CHARS, MAX_LABELS, MAX_QUESTION_CHARS, MAX_TEMPLATE_CHARS

_SEPARATORS = re.compile(r"[,，、][^\S\n]*\n|[,，、\n]")
"""Commas (Latin, full-width, ideographic), line ends, or a comma that ends its line."""
_PLACE = "{}"


def plain(text: str) -> str:
    """NFC, without control and invisible formatting characters, blanks collapsed."""
    text = unicodedata.normalize("NFC", text)
    # joiners (U+200C, U+200D) belong to words and emoji of some scripts
    kept = (
        " " if char.isspace() else char
        for char in text
        if char.isspace() or char in "\u200c\u200d" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn")
    )
    return " ".join("".join(kept).split())


def _shown(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def clean_question(question: str | None) -> str:
    """Strip a question, collapse its blanks, drop control characters.

    Raises:
        MmdemoError: Empty, without a letter or digit, or longer than
            :data:`~mmdemo.media.limits.MAX_QUESTION_CHARS`.
    """
    if question is not None and not isinstance(question, str):
        raise MmdemoError("This question cannot be read", "it is not text", "Type a question")
    text = plain(question or "")
    if not any(char.isalnum() for char in text):
        why = "it holds no word" if text else "it is empty"
        raise MmdemoError("The question cannot be answered", why, "Type a question about the picture")
    if len(text) > MAX_QUESTION_CHARS:
        raise MmdemoError(
            "The question is too long",
            f"it has {len(text)} characters and the limit is {MAX_QUESTION_CHARS}",
            "Ask one thing at a time",
        )
    return text


def parse_labels(labels: str | Sequence[str] | None, *, most: int = MAX_LABELS) -> tuple[str, ...]:
    """Split and check a list of labels.

    Args:
        labels: One string with labels between commas or line ends (separators at the very end are fine),
            or a sequence that holds one label per item, where commas are part of the label.
        most: How many there may be.

    Returns:
        The labels in their order, unique apart from upper and lower case. Markup stays what it is: plain text.

    Raises:
        MmdemoError: None at all, an empty one, duplicates (named), too long or too many; "none of these" is
            added to every list, so it cannot be one of them.
    """
    if labels is None:
        raise _no_labels()
    if isinstance(labels, str):
        parts = [plain(part) for part in _SEPARATORS.split(labels.replace("\r\n", "\n").replace("\r", "\n"))]
        while parts and not parts[-1] and len(parts) > 1 and any(parts):
            parts.pop()  # a trailing comma, a last line end
    else:
        wrong = next((item for item in labels if not isinstance(item, str)), None)
        if wrong is not None:
            raise MmdemoError("These labels cannot be used", f"{wrong!r} is not text", "Give words")
        parts = [plain(part) for part in labels]
    if not any(parts):
        raise _no_labels()
    if len(parts) > most:
        raise MmdemoError("There are too many labels", f"{len(parts)} were given and the limit is {most}", "Give fewer")
    _refuse_empty(parts)
    _refuse_long(parts)
    _refuse_duplicates(parts)
    if NONE_OF_THESE in (part.casefold() for part in parts):
        raise MmdemoError(
            "These labels cannot be used", f"“{NONE_OF_THESE}” is always added by itself", "Take it out of the list"
        )
    return tuple(parts)


def _no_labels() -> MmdemoError:
    return MmdemoError("There are no labels", "", "Type at least one, with commas between them")


def _refuse_empty(parts: Sequence[str]) -> None:
    empty = [index for index, part in enumerate(parts) if not any(not char.isspace() for char in part)]
    if not empty:
        return
    index = empty[0]
    if index == 0:
        where = f"before “{_shown(next(part for part in parts if part))}”"
    else:
        where = f"after “{_shown(parts[index - 1])}”"
    why = f"there is an empty one {where}" + (f", and {len(empty) - 1} more" if len(empty) > 1 else "")
    raise MmdemoError("These labels cannot be used", why, "Take out the extra comma or blank line")


def _refuse_long(parts: Sequence[str]) -> None:
    for part in parts:
        if len(part) > MAX_LABEL_CHARS:
            raise MmdemoError(
                "These labels cannot be used",
                f"“{_shown(part)}” has {len(part)} characters and the limit is {MAX_LABEL_CHARS}",
                "Use a few words per label, with commas between them",
            )


def _refuse_duplicates(parts: Sequence[str]) -> None:
    seen: set[str] = set()
    twice: dict[str, str] = {}
    for part in parts:
        folded = part.casefold()
        if folded in seen:
            twice.setdefault(folded, part)
        seen.add(folded)
    if twice:
        names = [f"“{_shown(name)}”" for name in list(twice.values())[:5]]
        more = f" and {len(twice) - 5} more" if len(twice) > 5 else ""
        raise MmdemoError(
            "These labels cannot be used", f"given more than once: {', '.join(names)}{more}", "Keep each label once"
        )


def check_template(template: str | None) -> str | None:
    """Check a prompt template such as ``a photo of {}``; None or blank means the model's own prompts.

    Raises:
        MmdemoError: ``{}`` is missing or there twice, other braces, or too long.
    """
    if template is None:
        return None
    text = plain(template)
    if not text:
        return None
    if len(text) > MAX_TEMPLATE_CHARS:
        raise MmdemoError(
            "This template is too long",
            f"it has {len(text)} characters and the limit is {MAX_TEMPLATE_CHARS}",
            "Use one short sentence",
        )
    count = text.count(_PLACE)
    if count != 1:
        why = "{} is missing" if count == 0 else f"{{}} is in it {count} times"
        raise MmdemoError("This template cannot be used", why, "Write {} once, where the label goes: a photo of {}")
    if "{" in text.replace(_PLACE, "") or "}" in text.replace(_PLACE, ""):
        raise MmdemoError("This template cannot be used", "it holds other braces than {}", "Take them out")
    return text
