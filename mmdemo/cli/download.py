"""``download``: bring a public model here; and the list of those that we recommend, for ``models --public``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mmdemo.cli.terminal import console, say
from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import Json
from mmdemo.core.writing import json_text

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from mmdemo.models.hub.catalog import CatalogEntry
    from mmdemo.models.hub.download import DownloadPlan, DownloadProgress

TENTHS = 10
"""Lines that tell of a download where nobody watches a bar."""

PRECISIONS = ("fp32", "bf16", "int8")

_STAGES = {"waiting": "waiting for another download", "fetching": "fetching", "checking": "comparing checksums"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(download)


def download(
    model: Annotated[str, typer.Argument(metavar="ID", help="Hub id (owner/name), or alias of a listed model.")],
    revision: Annotated[
        str | None,
        typer.Option("--revision", help="Commit, branch or tag. Default: fetched before, else listed, else main."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Fetch a public model, after saying what it takes; prints its folder."""
    from mmdemo.models.hub import download

    plan = download.plan(model, revision)
    _describe(plan)
    if plan.missing and not yes and not _agreed(plan):
        say("Nothing was fetched.")
        raise typer.Exit(1)
    bar = _bar() if sys.stderr.isatty() else _PlainDownload()
    try:
        with bar:
            folder = download.fetch(plan, bar)
    except KeyboardInterrupt:
        again = f"python -m mmdemo download {plan.id}" + (f" --revision {revision}" if revision else "")
        say(f"Stopped after {_megabytes(bar.done)} of {_megabytes(plan.total)}. To go on from there: {again}")
        raise
    from mmdemo.models.families.factory import register_installed

    one = register_installed(folder, name=plan.id)
    if one.tasks:
        say(f"{plan.id} is here, for {' and '.join(one.tasks)}: --model {plan.id}")
    else:
        say(f"{plan.id} is here, and writes down what Sentiment hears")
    sys.stdout.write(f"{folder}\n")


def show_listed(task: str | None, *, as_json: bool) -> None:
    """Print the public models that we recommend.

    Args:
        task: Only those that serve this one.
    """
    from mmdemo.models.hub.catalog import catalog_entries
    from mmdemo.models.hub.download import on_disk

    entries = [(entry, on_disk(entry.id)) for entry in catalog_entries(task)]
    if as_json:
        rows = [_row(entry, str(place) if place else "") for entry, place in entries]
        sys.stdout.write(json_text(rows, indent=2) + "\n")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("id", "task", "size", "memory in GB", "licence", "here", "good at"):
        numbers = column in {"size", "memory in GB"}
        table.add_column(column, overflow="fold", justify="right" if numbers else "left", no_wrap=numbers)
    for entry, place in entries:
        memory = " / ".join(f"{entry.memory(precision) / 1e9:.2f}" for precision in PRECISIONS)
        jobs = f"{entry.tasks[0]}, words" if entry.role else ", ".join(entry.tasks)
        size = _megabytes(entry.size) if entry.size else "?"
        cells = (entry.id, jobs, size, memory, entry.licence, "yes" if place else "no", entry.good_at)
        table.add_row(*(Text(cell) for cell in cells))
    console().print(table)
    say(
        f"Memory: the weights in {' / '.join(PRECISIONS)}; answering takes about a fifth more. "
        "To fetch one: python -m mmdemo download ID"
    )


def _row(entry: CatalogEntry, folder: str) -> Json:
    return {
        "id": entry.id,
        "alias": entry.alias,
        "tasks": list(entry.tasks),
        "role": entry.role,
        "library": entry.library,
        "family": entry.family,
        "revision": entry.revision,
        "size": entry.size,
        "parameters": entry.parameters,
        "memory": {precision: entry.memory(precision) for precision in PRECISIONS},
        "licence": entry.licence,
        "languages": list(entry.languages),
        "good_at": entry.good_at,
        "figure": entry.figure,
        "source": entry.source,
        "checked": entry.checked,
        "note": entry.note,
        "on_disk": bool(folder),
        "folder": folder,
    }


def _describe(plan: DownloadPlan) -> None:
    from mmdemo.models.hub.catalog import find

    entry = find(plan.id)
    layout = plan.layout
    rows = {
        "model": plan.id,
        "kind": f"{layout.architecture} ({layout.library}), for {' and '.join(layout.tasks)}" if layout else "",
        "licence": plan.licence or "not stated",
        "revision": plan.commit,
        "size": _megabytes(plan.total),
        "to fetch": _megabytes(plan.missing) if plan.missing else "nothing, it is here",
        "free disk": _megabytes(plan.free),
        "into": str(plan.folder),
        "note": entry.note if entry else "",
    }
    width = max(len(name) for name in rows)
    for name, value in rows.items():
        if value:
            say(f"{name:<{width}}  {value}")


def _agreed(plan: DownloadPlan) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise MmdemoError(f"{plan.id} was not fetched", "there is nobody here to ask", "Add --yes")
    return typer.confirm(f"Fetch {_megabytes(plan.missing)}?", err=True)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.2f} GB"


class _PlainDownload:
    """A line for each tenth, where the output is kept."""

    def __init__(self) -> None:
        self.done = self._tenth = 0

    def __enter__(self) -> _PlainDownload:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __call__(self, progress: DownloadProgress) -> None:
        self.done = progress.done
        tenth = TENTHS * progress.done // progress.total if progress.total else TENTHS
        if tenth > self._tenth:
            self._tenth = tenth
            say(f"{_megabytes(progress.done)} of {_megabytes(progress.total)}")


class _BarDownload:
    """A bar with what is at work, bytes, speed and time left."""

    def __init__(self, bar: Bar) -> None:
        self.done = 0
        self._bar = bar
        self._task = bar.add_task("fetching", total=None)

    def __enter__(self) -> _BarDownload:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def __call__(self, progress: DownloadProgress) -> None:
        self.done = progress.done
        words = _STAGES[progress.stage]
        self._bar.update(self._task, description=words, completed=progress.done, total=progress.total or None)


def _bar() -> _BarDownload:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    return _BarDownload(
        Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
        )
    )
