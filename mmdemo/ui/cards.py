"""A model's card as Markdown for the page: figures, licence and limits first, nothing loaded from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

from mmdemo.core.types import Card

_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_REMOTE_IMAGE = re.compile(r"!\[([^\]]*)\]\(\s*(?:https?:)?//[^)]*\)")
_IMAGE = re.compile(r"!+(?=\[)")
"""What makes a picture of a link, in all the ways that Markdown has: none is shown, none is fetched from elsewhere."""
_TAG = re.compile(r"<(?=[A-Za-z/!])")
_FENCE = re.compile(r"^([^\n`~]*)(?:(`{3,})[^\n`]*|(~{3,})[^\n]*)$", re.MULTILINE)
"""Where a block of code begins, with the language that it names: gradio draws those in Mermaid, pictures of any address
among them."""


def short_name(model: str) -> str:
    """A model as plots and tables call it: of one that is named by its whole path the folder alone."""
    return Path(model).name if Path(model).is_absolute() else model


def size_text(size: int) -> str:
    """Bytes as people read them."""
    if size >= 1_000_000_000:
        return f"{size / 1_000_000_000:.1f} GB"
    if size >= 1_000_000:
        return f"{size / 1_000_000:.1f} MB"
    return f"{max(size, 0) / 1_000:.0f} kB"


def card_markdown(card: Card | None) -> str:
    """The card, without front matter, pictures, drawings and markup; "" when there is no model."""
    if card is None:
        return ""
    facts = [f"**{card.id}**", card.source]
    if card.parameters:
        facts.append(f"{card.parameters / 1e6:.1f} M parameters")
    if card.size:
        facts.append(size_text(card.size))
    facts.append(f"licence of the weights: {card.licence}")
    parts = [" · ".join(part for part in facts if part), card.summary]
    if card.limits:
        parts.append("\n".join(f"- {limit}" for limit in card.limits))
    if card.metrics:
        rows = [
            f"| {one.name} | {one.value:.3f} | {one.low:.3f} – {one.high:.3f} | {one.n} | {one.data} |"
            for one in card.metrics
        ]
        parts.append("\n".join(["| figure | value | 95 % interval | n | data |", "|---|---|---|---|---|", *rows]))
    body = _REMOTE_IMAGE.sub(r"\1", _FRONT_MATTER.sub("", _lines(card.text))).strip()
    if body:
        parts.append("---\n\n" + body)
    whole = _lines("\n\n".join(part for part in parts if part))
    return _TAG.sub("&lt;", _IMAGE.sub("", _FENCE.sub(r"\1\2\3", whole)))


def _lines(text: str) -> str:
    """One kind of line break, as Markdown sees them."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
