"""JSON and cells of tables as they leave the program: no NaN in the one, no formula in the other."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from typing import Any

from mmdemo.core.errors import MmdemoError

_FORMULA_STARTS = frozenset("=+-@\N{MINUS SIGN}")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_UNSEEN = frozenset({"Cc", "Cf", "Mn", "Me", "Zs", "Zl", "Zp"})
"""Categories of signs that a spreadsheet drops from the beginning of a cell, or may: blanks, controls, zero-width."""


def json_text(value: object, *, indent: int | None = None) -> str:
    """A value as JSON that every reader understands and UTF-8 can encode.

    File names that are no UTF-8 reach Python with lone surrogates; they are escaped and so come back as they were.

    Raises:
        MmdemoError: A number in it is NaN or infinite, for which JSON has no words.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    except ValueError:
        raise MmdemoError("This cannot be written as JSON", "a number in it is NaN or infinite") from None
    return _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def with_nulls(value: Any) -> Any:
    """The same with None in place of every NaN and infinity: for figures that a run may well not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: with_nulls(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [with_nulls(one) for one in value]
    return value


def harmless_cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula, with an apostrophe before it where one might.

    File names and labels come from strangers (CVE-2022-24770 was this in another demo). Blanks and signs without width
    before the formula are dropped by spreadsheets, and East Asian ones read full-width signs as plain ones.
    """
    for place, char in enumerate(text):
        if char in _FORMULA_STARTS or unicodedata.normalize("NFKC", char)[:1] in _FORMULA_STARTS:
            return f"'{text}"
        if unicodedata.category(char) not in _UNSEEN:
            break
        if place == 0 and char in "\t\r\n":
            return f"'{text}"
    return text
