"""What a case feeds to a reader: a valid seed that was changed somewhere, or garbage that has the right form."""

from __future__ import annotations

import copy
import json
import math
from random import Random
from typing import Any

DIGITS, DEEP, HALF = "@@digits@@", "@@deep@@", "@@half@@"
"""Stand for what json.dumps would not write: a number of 5,000 digits, deep nesting, half of a character."""

ATOMS: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 5, 2**31, 2**63, 2**64, 10**20, 10**299, 10**310, -(10**25), 0.5, -0.0, 1e308, 1e-320),
    *(math.nan, math.inf, -math.inf, "", " ", "a", "x" * 300, "../x", "/etc/passwd", "\0", "é\u0301", "\u202e", "=1+1"),
    *(
        "\N{FULLWIDTH EQUALS SIGN}1",
        "NaN",
        "1e999",
        "-",
        "." * 5000,
        "{}",
        "{0.__class__}",
        "%s%n",
        "<b>x</b>",
        "\n\r\t",
    ),
    *([], {}, [[]], [None], [1, "a", {}], {"": ""}, {"a": {"b": [1]}}, DIGITS, DEEP, HALF),
)

TEXTS = (
    *(
        "",
        " ",
        "\0",
        "\ufeff",
        "\u200b",
        "a" * 10_000,
        "![" * 5000,
        "---\n" * 3000,
        "[" * 5000,
        "{" * 5000,
        "a: " + " " * 9000,
    ),
    *(
        "\ud800",
        "\U0001f600" * 300,
        "＝1+1",
        "\u202eabc",
        "=cmd|' /C calc'!A0",
        "{}{}",
        "{0}",
        "{x!r:>{y}}",
        "1." * 4000,
    ),
    *(
        "e\u0301" * 4000,
        "\r" * 5000,
        ",\n" * 3000,
        '"' * 4001,
        "<" * 5000,
        "a=1\n" * 2000,
        "\u3000？",
        "٣٣٣",
        "a.b." * 2000,
    ),
)


def json_like(rng: Random, seed: object) -> bytes:
    """The seed with one to four values replaced, removed or added, as JSON; now and then another value altogether."""
    value = copy.deepcopy(seed)
    if rng.random() < 0.05:
        value = rng.choice(ATOMS)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 4))):
        value = _changed(rng, value)
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    text = text.replace(f'"{DIGITS}"', "9" * rng.choice((301, 5000))).replace(HALF, "\\ud83d")
    depth = rng.choice((33, 100, 990, 5000, 100_000))
    text = text.replace(f'"{DEEP}"', rng.choice(("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth)))
    raw = text.encode("utf-8", "surrogatepass")
    return bytes_like(rng, raw) if rng.random() < 0.2 else raw


def _changed(rng: Random, value: Any) -> Any:
    """The value with something else at a random place in it."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.15:
        if isinstance(value, dict):
            return {**value, str(rng.choice(ATOMS)): rng.choice(ATOMS)}
        return [*value, rng.choice(ATOMS)] if isinstance(value, list) else rng.choice(ATOMS)
    key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
    if rng.random() < 0.15:
        del value[key]
    else:
        value[key] = _changed(rng, value[key]) if rng.random() < 0.7 else copy.deepcopy(rng.choice(ATOMS))
    return value


def bytes_like(rng: Random, seed: bytes) -> bytes:
    """The seed with bytes flipped, cut, repeated, put in or encoded otherwise."""
    raw = bytearray(seed)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randrange(len(raw) + 1)
        match rng.randrange(8):
            case 0 if raw:
                raw[at % len(raw)] ^= 1 << rng.randrange(8)
            case 1:
                del raw[at:]
            case 2:
                raw[at:at] = rng.randbytes(rng.choice((1, 4, 60)))
            case 3:
                del raw[at : at + rng.choice((1, 2, 8, 100))]
            case 4:
                raw[at:at] = raw[at : at + rng.choice((4, 40, 400))] * rng.choice((1, 3, 20))
            case 5 if raw:
                size = rng.choice((1, 2, 4, 8))
                raw[at : at + size] = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * size
            case 6:
                raw[at:at] = rng.choice((b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xc3(", b"\0", b"\r\n", b'"', b"\\ud800"))
            case 7 if rng.random() < 0.05:
                raw = bytearray(raw.decode("latin-1").encode(rng.choice(("utf-16", "utf-32"))))
    return bytes(raw)


def text_like(rng: Random, seed: str) -> bytes:
    """A text with others put in, lines moved, and now and then bytes that are none."""
    text = seed
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(text) + 1)
        match rng.randrange(4):
            case 0:
                text = text[:at] + rng.choice(TEXTS) + text[at:]
            case 1:
                text = (
                    text[:at] + chr(rng.choice((rng.randrange(128), rng.randrange(0x3000), 0xFF1D, 0x200B))) + text[at:]
                )
            case 2:
                lines = text.split("\n")
                rng.shuffle(lines)
                text = "\n".join(lines)
            case 3:
                text = text[:at] + str(rng.choice(ATOMS)) + text[at + rng.randrange(20) :]
    raw = text.encode("utf-8", "surrogatepass")
    return bytes_like(rng, raw) if rng.random() < 0.2 else raw


def word_like(rng: Random, seed: str) -> str:
    """As :func:`text_like`, for readers that take text."""
    return text_like(rng, seed).decode("utf-8", rng.choice(("replace", "surrogateescape")))
