"""``runs``: trainings of this machine, those of the page too: what they are doing, and how they ended."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mmdemo.cli.terminal import console, say
from mmdemo.core.types import Json
from mmdemo.core.writing import json_text

if TYPE_CHECKING:
    from mmdemo.runs import Run


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(runs)


def runs(
    name: Annotated[str | None, typer.Argument(help="Only this run, with the end of what it said.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list on stdout, nothing else.")] = False,
) -> None:
    """List trainings, newest first: state, progress, figure, time, size."""
    from mmdemo.runs import list_runs, log_end, read_run

    found = list_runs() if name is None else (read_run(name),)
    if as_json:
        sys.stdout.write(json_text([run_json(run) for run in found], indent=2) + "\n")
        return
    if not found:
        say("Nothing was trained here yet; start with: python -m mmdemo train --help")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "task", "state", "progress", "figure", "time", "size"):
        table.add_column(column, overflow="fold", justify="right" if column in {"time", "size"} else "left")
    for run in found:
        cells = (run.name, run.task, _state(run), _progress(run), _figure(run), _clock(run.seconds), _size(run))
        table.add_row(*(Text(cell) for cell in cells))
    console().print(table)
    for run in found:
        if run.reason:
            say(f"{run.name}: {run.reason}")
    if name is not None:
        console().print(Text(log_end(name)))


def run_json(run: Run) -> Json:
    """A run as one object; what is not known is null, 0 or empty."""
    return {
        "name": run.name,
        "task": run.task,
        "state": run.state.value,
        "place": run.place,
        "ahead": list(run.ahead),
        "step": run.step,
        "steps": run.steps,
        "epoch": run.epoch,
        "epochs": run.epochs,
        "loss": run.loss,
        "figures": dict(run.figures),
        "metric": run.metric,
        "speed": run.speed,
        "seconds": round(run.seconds, 1),
        "seconds_left": run.seconds_left,
        "created": run.created,
        "ended": run.ended,
        "memory": run.memory,
        "size": run.size,
        "model": run.model,
        "reason": run.reason,
        "exit_code": run.exit_code,
        "resumable": run.resumable,
        "why_not": run.why_not,
        "folder": str(run.folder),
        "command": run.command,
    }


def _state(run: Run) -> str:
    if run.ahead:
        return f"{run.state.value}, after {', '.join(run.ahead)}"
    return run.state.value + (", can be resumed" if run.resumable else "")


def _progress(run: Run) -> str:
    if not run.steps:
        return "-"
    left = "" if run.seconds_left is None else f", {_clock(run.seconds_left)} left"
    return f"step {run.step}/{run.steps}{left}"


def _figure(run: Run) -> str:
    if run.metrics:
        return f"{run.metrics[0].name} {run.metrics[0].value:.3f}"
    value = run.figures.get(run.metric)
    return "-" if value is None else f"{run.metric} {value:.3f}"


def _clock(seconds: float) -> str:
    """As in 0:42 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _size(run: Run) -> str:
    return f"{run.size / 1e6:.1f} MB"
