"""``compare``: which of two models is better on some data, and where they differ."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmdemo.cli.jobs import Device
from mmdemo.cli.measure import Data, Fold, Folds, OneObject, progress
from mmdemo.cli.terminal import console, say
from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import TaskName
from mmdemo.core.writing import json_text

if TYPE_CHECKING:
    from mmdemo.evaluate.forgetting import Curve
    from mmdemo.evaluate.verdict import Verdict

SHOWN = 10
"""Examples that are shown where nobody asked for JSON."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(compare)


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A model: name, folder or zip.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one of the same task.")],
    data: Data,
    folds: Folds = None,
    fold: Fold = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only so many examples, spread evenly over the data.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Also write every example with both answers.")
    ] = None,
    forgetting: Annotated[
        list[Path] | None,
        typer.Option(
            "--forgetting",
            metavar="OLD",
            help="Of classifiers: accuracy on --data and on the other labels of OLD, for mixtures of A and B.",
        ),
    ] = None,
    mix: Annotated[
        float | None, typer.Option("--mix", min=0, max=1, help="Keep a mixture: this share of B, the rest of A.")
    ] = None,
    out: Annotated[str | None, typer.Option("--out", metavar="NAME", help="What the mixture is called.")] = None,
    task: Annotated[
        TaskName | None, typer.Option("--task", help="Of models that both serve several jobs: the one to compare.")
    ] = None,
    device: Device = "auto",
    as_json: OneObject = False,
) -> None:
    """Compare two models on data: the difference with interval and paired test, and the examples that flipped."""
    from mmdemo.core.memory import keep_freed_memory
    from mmdemo.studio import compare as studio

    keep_freed_memory()
    if csv is not None and not csv.parent.is_dir():
        raise MmdemoError(f"{csv} cannot be written", "its folder does not exist", "Make the folder first")
    if (mix is None) != (out is None):
        raise MmdemoError("A mixture needs both its share and its name", "", "Give --mix 0.5 and --out NAME")
    job = studio.task_of(a, b, task)
    if forgetting or mix is not None:
        _line(job, a, b, data, forgetting or [], mix=mix, out=out, device=device, as_json=as_json)
        return
    dataset = studio.read_data(job, data, folds=folds, fold=fold)
    verdict = studio.run(a, b, dataset, device=device, limit=limit, progress=progress)
    if csv is not None:
        studio.write_csv(verdict, csv)
        say(f"{len(verdict.rows)} examples written to {csv}")
    if as_json:
        sys.stdout.write(json_text(verdict.to_json()) + "\n")
        return
    _show(verdict)


def _line(
    task: str,
    a: str,
    b: str,
    data: list[Path],
    old: list[Path],
    *,
    mix: float | None,
    out: str | None,
    device: str,
    as_json: bool,
) -> None:
    """What the mixtures of both reach, and one of them kept."""
    from mmdemo.models.loading import pick_device
    from mmdemo.studio import compare as studio
    from mmdemo.studio.interpolation import save_interpolation

    folders = studio.folder_of(a), studio.folder_of(b)
    found = None
    if old:
        from mmdemo.evaluate.forgetting import curve

        alphas = [] if mix is None else [mix]
        new, other = (studio.read_data(task, places) for places in (data, old))
        found = curve(*folders, new, other, alphas=alphas, device=pick_device(device), progress=progress)
        if not as_json:
            _show_line(found)
    kept = None
    if mix is not None and out is not None:
        metrics, notes = (found.metrics(mix), found.notes) if found is not None else ((), ())
        kept = save_interpolation(*folders, mix, out, metrics=metrics, notes=notes, device=pick_device(device))
        say(f"{kept} written")
    if as_json:
        line = found.to_json() if found is not None else {}
        data_out = {"task": task, "a": a, "b": b, **line, "model": None if kept is None else str(kept)}
        sys.stdout.write(json_text(data_out) + "\n")


def _show_line(found: Curve) -> None:
    from rich.table import Table
    from rich.text import Text

    out = console()
    out.print(Text(found.sentence(), style="bold"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("share of B", f"{found.new_data} (n = {found.new_n})", f"{found.old_data} (n = {found.old_n})"):
        table.add_column(column, justify="right")
    for point in found.points:
        sides = (f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})" for one in (point.new, point.old))
        table.add_row(f"{point.alpha:.0%}", *sides)
    out.print(table)
    for note in found.notes:
        out.print(Text(note, style="dim"))


def _show(verdict: Verdict) -> None:
    from rich.table import Table
    from rich.text import Text

    out = console()
    out.print(Text(verdict.sentence(), style="bold"))
    out.print(Text(f"A = {verdict.a.model}, B = {verdict.b.model}, on {verdict.b.data}", style="dim"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("metric", "A", "B", "B - A", "95 % interval", "p"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for name, found in verdict.comparison.differences.items():
        sides = (f"{report.metrics[name]:.3f}" for report in (verdict.a, verdict.b))
        interval = f"{found.low:+.3f} to {found.high:+.3f}"
        table.add_row(name, *sides, f"{found.value:+.3f}", interval, _p(found.p))
    out.print(table)
    if verdict.flipped:
        out.print(_flipped(verdict))
    for note in verdict.all_notes():
        out.print(Text(note, style="dim"))


def _flipped(verdict: Verdict) -> object:
    from rich.table import Table
    from rich.text import Text

    count = len(verdict.flipped)
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    table.title = Text(f"{count} examples differ" + (f", the first {SHOWN}:" if count > SHOWN else ":"))
    for column in ("file", "truth", "A", "B", "right"):
        table.add_column(column, overflow="fold")
    for row in verdict.flipped[:SHOWN]:
        name = f"{row.file} · {row.question}" if row.question else row.file
        said = (f"{side.answer} ({side.score:.0%})" for side in (row.a, row.b))
        table.add_row(*(Text(cell) for cell in (name, row.truth, *said, row.right.upper())))
    return table


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
