"""Small files that somebody else may have written or damaged: read within bounds, or refused in one sentence.

Every reader of JSON, TOML and text files goes through here. What is refused: anything but a regular file (a folder, a
pipe that would never end), files that are too large, bytes that are not UTF-8, nesting that is too deep for the code
that walks over it, numbers that no float holds, NaN and infinity, halves of surrogate pairs.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any, NoReturn

from mmdemo.core.errors import MmdemoError

MOST_BYTES = 32 << 20
"""Bytes of a file of settings; the largest shipped one has 0.1 MB."""

MOST_LISTED = 1 << 30
"""Bytes of an index of our own cache, which has a line for every file of a data set."""

MOST_TOML = 1 << 20
"""Bytes of a configuration; ours have a few thousand."""

MOST_CARD = 1 << 20
"""Bytes that are read of a README; what comes behind them is left out."""

MOST_DEPTH = 32
"""Lists and objects within each other; ours have four levels, and those of hubs below ten."""

MOST_DIGITS = 300
"""Digits of a whole number: all of them fit into a float. Tokenizers of hubs hold numbers of 31."""

MOST_DIGITS_IN_SETTINGS = 18
"""The same in a configuration of ours: all of them fit into 64 bits."""

_SURROGATE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}|\\u[dD][c-fC-F][0-9a-fA-F]{2}")


class Unreadable(MmdemoError):
    """A file that is not there, or does not hold what it should.

    Attributes:
        missing: Nothing lies there at all.
    """

    def __init__(self, name: str, why: str, *, missing: bool = False) -> None:
        super().__init__(f"{name} cannot be read", why)
        self.name, self.missing = name, missing

    @property
    def trouble(self) -> str:
        """What is wrong, to be said behind "its config.json"."""
        return "is missing" if self.missing else f"is not valid ({self.why})"


# ---------------------------------------------------------------- files


def read_bytes(file: Path, *, most: int = MOST_BYTES, cut: bool = False) -> bytes:
    """The contents of a regular file.

    Args:
        most: Bytes that are read.
        cut: Leave out what comes behind them, instead of refusing the file.

    Raises:
        Unreadable: It is missing, no regular file, too large, or the system does not let us read it.
    """
    try:
        # a pipe without a writer would keep us waiting for ever
        handle = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise Unreadable(file.name, "there is no such file", missing=True) from None
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL byte
        raise Unreadable(file.name, _reason(error)) from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable(file.name, "it is a folder" if stat.S_ISDIR(status.st_mode) else "it is no regular file")
        with open(handle, "rb", closefd=False) as opened:
            found = opened.read(most + 1)
    except OSError as error:
        raise Unreadable(file.name, _reason(error)) from None
    finally:
        os.close(handle)
    if len(found) > most and not cut:
        raise Unreadable(file.name, f"it has more than {most:,} bytes")
    return found[:most]


def read_text(file: Path, *, most: int = MOST_BYTES) -> str:
    """The text of a file in UTF-8, with or without a byte order mark; raises Unreadable."""
    return _decoded(read_bytes(file, most=most), file.name)


def read_card_text(file: Path) -> str:
    """A README as far as it goes: bytes that are no text become signs; empty where it cannot be read."""
    try:
        return read_bytes(file, most=MOST_CARD, cut=True).decode("utf-8", errors="replace")
    except Unreadable:
        return ""


def read_json(file: Path, *, most: int = MOST_BYTES) -> Any:
    """The value in a JSON file; raises Unreadable."""
    return parse_json(read_bytes(file, most=most), name=file.name)


def read_object(file: Path, *, most: int = MOST_BYTES) -> dict[str, Any]:
    """The object in a JSON file; raises Unreadable, for any other value too."""
    found = read_json(file, most=most)
    if not isinstance(found, dict):
        raise Unreadable(file.name, f"it holds a {type(found).__name__}, not an object")
    return found


def object_or_empty(file: Path) -> dict[str, Any]:
    """As :func:`read_object`; empty where there is none. For notes that the program can do without."""
    try:
        return read_object(file)
    except Unreadable:
        return {}


def read_toml(file: Path) -> dict[str, Any]:
    """A TOML file; raises Unreadable."""
    return parse_toml(read_bytes(file, most=MOST_TOML), name=file.name)


# ---------------------------------------------------------------- texts


def parse_json(text: str | bytes, *, name: str, most_digits: int = MOST_DIGITS) -> Any:
    """A value from JSON, made of dicts, lists, texts, finite numbers, booleans and None.

    Args:
        name: Of the file, for the error.
        most_digits: Digits of a whole number.

    Raises:
        Unreadable: It is no such value.
    """
    if isinstance(text, bytes):
        text = _decoded(text, name)

    def whole(digits: str) -> int:
        if len(digits) > most_digits + digits.startswith("-"):
            raise Unreadable(name, f"it holds a number of {len(digits):,} digits")
        return int(digits)

    def real(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            raise Unreadable(name, f"it holds the number {digits[:40]}, which is too large")
        return value

    def none(word: str) -> NoReturn:
        raise Unreadable(name, f"it holds {word}, which is no number")

    try:
        found = json.loads(text, parse_int=whole, parse_float=real, parse_constant=none)
    except RecursionError:
        raise _too_deep(name) from None
    except ValueError as error:
        raise Unreadable(name, str(error)) from None
    if text.count("[") + text.count("{") > MOST_DEPTH:
        _refuse_deep(found, name)
    if _SURROGATE.search(text):
        _refuse_halves(found, name)
    return found


def parse_toml(text: str | bytes, *, name: str) -> dict[str, Any]:
    """The tables of a TOML text; raises Unreadable, for NaN, infinity and numbers that no float holds too."""
    if isinstance(text, bytes):
        text = _decoded(text, name)
    try:
        found = tomllib.loads(text)
    except RecursionError:
        raise _too_deep(name) from None
    except (ValueError, OverflowError) as error:  # not only tomllib's own: dates and digits out of bounds
        raise Unreadable(name, str(error)) from None
    _refuse_deep(found, name, most_bits=63)
    return found


def _decoded(raw: bytes, name: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(name, f"it is not UTF-8 at byte {error.start:,}") from None


def _refuse_deep(value: object, name: str, *, most_bits: int | None = None) -> None:
    """Without recursion: values that cannot be walked over by it are what is looked for.

    Args:
        most_bits: Of a whole number; None where the parser has looked at them.
    """
    level: list[object] = [value]
    for _ in range(MOST_DEPTH + 1):
        below: list[object] = []
        for one in level:
            if isinstance(one, dict):
                below += one.values()
            elif isinstance(one, list):
                below += one
            elif isinstance(one, float) and not math.isfinite(one):
                raise Unreadable(name, f"it holds {one}, which is no number")
            elif most_bits is not None and isinstance(one, int) and one.bit_length() > most_bits:
                raise Unreadable(name, f"it holds a number of {one.bit_length()} bits")
        if not below:
            return
        level = below
    raise _too_deep(name)


def _refuse_halves(value: object, name: str) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Unreadable(name, "it holds half of a character (\\ud800 to \\udfff)") from None


def _too_deep(name: str) -> Unreadable:
    return Unreadable(name, f"its lists and objects are nested more than {MOST_DEPTH} deep")


def _reason(error: Exception) -> str:
    return ((error.strerror if isinstance(error, OSError) else "") or str(error)).lower()
