"""Commands that measure: evaluate a model on data, make questions to measure with, benchmark this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from mmdemo.cli.jobs import Device
from mmdemo.cli.terminal import console, say
from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import TaskName
from mmdemo.core.types import Json
from mmdemo.core.writing import json_text

Data = Annotated[
    list[Path], typer.Option("--data", metavar="DIR", help="A folder or table with examples; may be repeated.")
]
Folds = Annotated[
    Path | None,
    typer.Option("--folds", metavar="FILE", help="JSON with folds of speakers; one fold is the test split."),
]
Fold = Annotated[int | None, typer.Option("--fold", metavar="K", min=0, help="Which fold of --folds, from 0.")]
OneObject = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(evaluate)
    app.command()(questions)
    app.command()(benchmark)


def evaluate(
    task: Annotated[TaskName, typer.Argument(metavar="TASK", help="ask, classify, caption or sentiment.")],
    data: Data,
    model: Annotated[str | None, typer.Option("--model", metavar="ID", help="Default: the shipped one.")] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="COLUMN", help="Add a row for each value of this column.")
    ] = None,
    folds: Folds = None,
    fold: Fold = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first so many examples.")] = None,
    device: Device = "auto",
    as_json: OneObject = False,
) -> None:
    """Measure a model on data, with interval and baseline."""
    if (folds is None) != (fold is None):
        raise MmdemoError("A fold needs both its file and its number", "", "Give --folds FILE and --fold K")
    from mmdemo.evaluate.run import evaluate as measure

    one = None if folds is None or fold is None else (folds, fold)
    report = measure(task, data, model=model, by=by, fold=one, device=device, limit=limit, progress=progress)
    show_report(report.to_json(), as_json=as_json)


def questions(
    data: Data,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where questions.jsonl is written.")],
    seed: Annotated[int, typer.Option("--seed", help="The same seed makes the same questions.")] = 0,
    presence: Annotated[
        bool, typer.Option("--presence", help='Only "Is there a …?", half of them about absent things.')
    ] = False,
) -> None:
    """Make questions with answers from captions."""
    from mmdemo.data.recipes import write_questions

    written = write_questions(data, out, seed=seed, presence=presence)
    say(f"{written} questions written to {out}")


def benchmark(
    what: Annotated[
        Literal["serve", "train"], typer.Argument(metavar="[serve|train]", help="Answers, or training and its cache.")
    ] = "serve",
    n: Annotated[
        int | None, typer.Option("--n", min=1, help="How often each job is timed; 20, and 3 for training.")
    ] = None,
    task: Annotated[TaskName | None, typer.Option("--task", help="Time this job alone.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="ID", help="With --task: the model that answers it.")
    ] = None,
    device: Device = "auto",
    as_json: OneObject = False,
) -> None:
    """Time each job here: p50, p95 and peak memory; or how fast training is, and what its cache is worth."""
    if what == "train":
        _benchmark_train(n or 3, device, as_json=as_json)
        return
    from mmdemo.serving.benchmark import run

    rows = run(n=n or 20, task=task, model=model, device=device, progress=_job_progress)
    if as_json:
        _print_json([row.to_json() for row in rows])
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("job", "n", "p50", "p95", "peak memory"):
        table.add_column(column, justify="left" if column == "job" else "right")
    for row in rows:
        times = (f"{seconds * 1000:.1f} ms" for seconds in (row.p50, row.p95))
        table.add_row(Text(row.job), str(row.n), *times, f"{row.peak / 1e6:.0f} MB")
    console().print(table)


def _benchmark_train(n: int, device: str, *, as_json: bool) -> None:
    from mmdemo.models.loading import pick_device
    from mmdemo.train.benchmark import run

    rows = run(n=n, device=pick_device(device), progress=_job_progress)
    if as_json:
        _print_json([row.to_json() for row in rows])
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("what", "n", "median", "least to most", "wanted"):
        table.add_column(column, justify="right" if column in {"n", "median", "least to most"} else "left")
    for row in rows:
        spread = f"{_short(row.low)} to {_short(row.high)}"
        table.add_row(Text(row.what), str(row.n), f"{_short(row.value)} {row.unit}", spread, row.wanted)
    console().print(table)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 10 else f"{value:.1f}"


# ---------------------------------------------------------------- reports


def show_report(data: Json, *, as_json: bool) -> None:
    """Print the object of ``evaluate``, as it is or as tables.

    Args:
        data: ``task, model, data, n, metrics, interval, baseline`` and perhaps ``by, notes``.
        as_json: As one JSON object on stdout.
    """
    if as_json:
        _print_json(data)
        return
    from rich.table import Table
    from rich.text import Text

    out = console()
    out.print(Text(f"{data['task']} · {data['model']} · n = {data['n']}", style="bold"))
    metrics, interval, baseline = (_figures(data, key) for key in ("metrics", "interval", "baseline"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("metric", "value", "95 % interval", "baseline"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for name, value in metrics.items():
        low, high = _pair(interval.get(name))
        table.add_row(name, _number(value), f"{low} to {high}" if low else "-", _number(baseline.get(name)))
    out.print(table)
    rows = _figures(data, "by")
    if rows:
        out.print(_by_table(rows))
    notes = data.get("notes")
    for note in notes if isinstance(notes, list | tuple) else []:
        out.print(Text(str(note), style="dim"))


def _by_table(rows: Json) -> object:
    from rich.table import Table
    from rich.text import Text

    figures = {name: row for name, row in rows.items() if isinstance(row, dict)}
    names = list(dict.fromkeys(metric for row in figures.values() for metric in _figures(row, "metrics")))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("value", "n", *names):
        table.add_column(column, justify="left" if column == "value" else "right", overflow="fold")
    for value, row in figures.items():
        metrics = _figures(row, "metrics")
        table.add_row(Text(value), str(row.get("n", "")), *(_number(metrics.get(name)) for name in names))
    return table


def _figures(data: Json, key: str) -> Json:
    value = data.get(key)
    return {str(name): item for name, item in value.items()} if isinstance(value, dict) else {}


def _pair(value: object) -> tuple[str, str]:
    if isinstance(value, list | tuple) and len(value) == 2:
        return _number(value[0]), _number(value[1])
    return "", ""


def _number(value: object) -> str:
    if isinstance(value, int | float):
        return f"{value:.3f}"
    return "-" if value is None else str(value)


def _print_json(data: object) -> None:
    sys.stdout.write(json_text(data) + "\n")


def progress(done: int, total: int) -> None:
    """One line on stderr, rewritten, where a person watches."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done}/{total}" + ("\n" if done >= total else ""))
        sys.stderr.flush()


def _job_progress(job: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{job}: {done}/{total}" + ("\n" if done >= total else ""))
        sys.stderr.flush()
