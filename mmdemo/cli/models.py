"""``models``: what there is to choose from."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mmdemo.cli.terminal import console, say
from mmdemo.core.tasks import TaskName
from mmdemo.core.types import Card, Json
from mmdemo.core.writing import json_text

if TYPE_CHECKING:
    from mmdemo.models.registry import Damaged


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(models)


def models(
    task: Annotated[TaskName | None, typer.Option("--task", help="Only the models of this job.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list on stdout, nothing else.")] = False,
    public: Annotated[
        bool, typer.Option("--public", help="Instead: models of others that we recommend, here or not.")
    ] = False,
) -> None:
    """List models: id, task, size, licence, metric, source."""
    if public:
        from mmdemo.cli.download import show_listed

        show_listed(task, as_json=as_json)
        return
    from mmdemo.models.registry import survey

    cards, damaged = survey(task)
    if as_json:
        sys.stdout.write(json_text([*map(card_json, cards), *map(damaged_json, damaged)], indent=2) + "\n")
        return
    if not cards and not damaged:
        say("There are no models on this machine; make one with: python -m mmdemo train")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("id", "task", "size", "licence", "metric", "from"):
        table.add_column(column, overflow="fold", justify="right" if column == "size" else "left")
    for card in cards:
        cells = (card.id, card.task, _megabytes(card), card.licence, _figure(card), card.source)
        table.add_row(*(Text(cell) for cell in cells))
    console().print(table)
    for one in damaged:
        say(f"damaged: {one.id}: {one.why}")


def damaged_json(one: Damaged) -> Json:
    """A model that cannot be used, with the keys of one that can, as far as they are known."""
    return {
        "id": one.id,
        "task": one.task,
        "summary": "",
        "size": 0,
        "parameters": 0,
        "licence": "",
        "metrics": [],
        "source": "damaged",
        "limits": [],
        "damaged": {"file": one.file, "reason": one.why},
    }


def card_json(card: Card) -> Json:
    """A card as one object, without its long text."""
    return {
        "id": card.id,
        "task": card.task,
        "summary": card.summary,
        "size": card.size,
        "parameters": card.parameters,
        "licence": card.licence,
        "metrics": [
            {
                "name": metric.name,
                "value": metric.value,
                "interval": [metric.low, metric.high],
                "n": metric.n,
                "data": metric.data,
            }
            for metric in card.metrics
        ],
        "source": card.source,
        "limits": list(card.limits),
    }


def _megabytes(card: Card) -> str:
    return f"{card.size / 1e6:.1f} MB"


def _figure(card: Card) -> str:
    if not card.metrics:
        return "-"
    first = card.metrics[0]
    return f"{first.name} {first.value:.3f} ({first.data})"
