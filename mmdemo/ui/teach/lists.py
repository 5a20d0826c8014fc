"""What the tab Teach shows of data as HTML: items by hand, one item large, and the preview of a whole set."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from mmdemo.core.tasks import spec_of
from mmdemo.ui.strings import Language, text
from mmdemo.ui.thumbs import player, small_picture

if TYPE_CHECKING:
    from mmdemo.studio.datasets import Item
    from mmdemo.studio.preview import Preview

PAGE_OF_ITEMS = 48
"""Items that a list shows at first, and by how many it grows."""

_LABELS_SHOWN = 40
_LARGE = 320  # pixels of an item that is edited


def said_of(item: Item) -> str:
    """What an item says, in one line."""
    if item.question:
        return f"{item.question} – {item.answer}"
    return item.caption or item.label


def items(found: Sequence[Item], *, sound: bool, shown: int, selected: str, served: Path, language: Language) -> str:
    """Newest first; each can be chosen.

    Args:
        found: Items in the order in which they were added.
        sound: Whether they are clips.
        shown: How many at most.
        selected: Id of the one that is chosen.
        served: A folder that the page serves files from, for players.
    """
    if not found:
        return f'<p class="mm mm-sub mm-none">{escape(text("teach_items_none", language))}</p>'
    newest = list(reversed(found))[:shown]
    tiles = "".join(
        _clip(item, item.id == selected, served, language) if sound else _picture(item, item.id == selected)
        for item in newest
    )
    count = text("teach_items_count", language, n=len(found))
    if len(newest) < len(found):
        count = text("teach_items_some", language, n=len(newest), all=len(found))
    kind = "mm-clips" if sound else ("mm-said" if any(item.caption or item.question for item in newest) else "mm-tiles")
    return f'<div class="mm"><p class="mm-sub">{escape(count)}</p><ul class="mm-items {kind}">{tiles}</ul></div>'


def _picture(item: Item, chosen: bool) -> str:
    said = said_of(item)
    image = _image(item.file, said)
    words = f"<span>{escape(said)}</span>" if item.caption or item.question else ""
    return f'<li><button type="button" data-run="{escape(item.id)}"{_mark(chosen)}>{image}{words}</button></li>'


def _clip(item: Item, chosen: bool, served: Path, language: Language) -> str:
    edit = escape(text("teach_edit_one", language))
    return (
        f"<li>{player(item.file, served=served, label=item.label)}"
        f'<button type="button" data-run="{escape(item.id)}"{_mark(chosen)}>{edit}</button></li>'
    )


def _mark(chosen: bool) -> str:
    return ' aria-pressed="true" class="mm-chosen"' if chosen else ' aria-pressed="false"'


def _image(file: Path, alt: str, *, side: int = 128) -> str:
    address = small_picture(file, side=side)
    if not address:
        return f'<span class="mm-sub">{escape(file.name)}</span>'
    return f'<img src="{address}" alt="{escape(alt)}" loading="lazy">'


def one_item(item: Item, *, sound: bool, served: Path) -> str:
    """The item that is edited, large enough to be looked at or listened to."""
    shown = (
        player(item.file, served=served, label=item.label) if sound else _image(item.file, said_of(item), side=_LARGE)
    )
    return f'<div class="mm mm-one-item">{shown}</div>'


def preview(found: Preview, *, served: Path, language: Language) -> str:
    """How training would part the data, counts and samples by class, and what speaks against them."""
    parts = []
    sizes = [(name, part.examples) for name, part in found.parts.items() if part.examples]
    if sizes:
        words = ", ".join(
            text("teach_part", language, n=n, part=text(f"teach_part_{name}", language)) for name, n in sizes
        )
        parts.append(f'<p class="mm-sub">{escape(words)}</p>')
    if found.refusals:
        title = text("teach_not_yet", language)
        rows = "".join(f"<li>{escape(one)}</li>" for one in found.refusals)
        parts.append(f'<div class="mm-notes mm-refused" role="alert"><b>{escape(title)}</b><ul>{rows}</ul></div>')
    if found.warnings:
        title = text("teach_warnings", language)
        rows = "".join(f"<li>{escape(one)}</li>" for one in found.warnings)
        parts.append(f'<div class="mm-notes"><b>{escape(title)}</b><ul>{rows}</ul></div>')
    elif not found.refusals:
        parts.append(f'<p class="mm-good">✓ {escape(text("teach_no_warnings", language))}</p>')
    parts.append(_by_label(found, served, language))
    return f'<div class="mm mm-panel">{"".join(parts)}</div>'


def _by_label(found: Preview, served: Path, language: Language) -> str:
    labels = dict(found.labels) or ({"": found.examples} if found.samples else {})
    most = max(labels.values(), default=1)
    sound = spec_of(found.task).has_sound
    rows = []
    for label, count in list(labels.items())[:_LABELS_SHOWN]:
        samples = found.shown.get(label, ())
        files = "".join(
            player(one.file, served=served, label=one.said) if sound else _image(one.file, one.said)
            for one in samples[: 2 if sound else None]
        )
        words = label or text("teach_examples_all", language)
        head = (
            f'<div class="mm-bar-text"><span>{escape(words)}</span><b>{count:,}</b></div>'
            f'<div class="mm-bar" aria-hidden="true"><span style="width:{count / most * 100:.1f}%"></span></div>'
        )
        if samples and samples[0].said != label:
            files = "".join(
                f"<figure>{_image(one.file, one.said)}<figcaption>{escape(one.said)}</figcaption></figure>"
                for one in samples
            )
        rows.append(f'<li>{head if label else ""}<div class="mm-samples">{files}</div></li>')
    more = len(labels) - _LABELS_SHOWN
    if more > 0:
        rows.append(f'<li class="mm-sub">{escape(text("teach_more_labels", language, n=more))}</li>')
    return f'<ul class="mm-bars mm-labels">{"".join(rows)}</ul>' if rows else ""
