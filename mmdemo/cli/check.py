"""What ``train --check`` shows: the data in tables, and everything that is wrong with them in words."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmdemo.cli.terminal import console
from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import Unreadable, read_toml
from mmdemo.core.settings import ROOT
from mmdemo.core.writing import json_text

if TYPE_CHECKING:  # these load numpy and decoders, and a command line must start quickly
    from mmdemo.data.check import CheckReport
    from mmdemo.train.request import TrainRequest

SHOWN = 10
"""Lines of one kind that are shown; ``--json`` has all."""

LABELS = 30
"""Labels that are shown."""


def seed_of(request: TrainRequest) -> int:
    """The setting ``train.seed``, which decides how data are parted.

    Looked up here, because all of the settings need torch, and a look at the data should take a second. A mistake in
    the other settings is for the training to tell.
    """
    for override in reversed(request.overrides):
        name, _, value = override.partition("=")
        if name.strip() == "train.seed" and value.strip().isdigit():
            return int(value)
    file = request.config or ROOT / "configs" / f"{request.task}.toml"
    try:
        train = read_toml(file).get("train", {})
    except Unreadable as error:
        raise MmdemoError(f"The configuration {file} cannot be read", error.why) from error
    found = train.get("seed", 0) if isinstance(train, dict) else 0
    return found if isinstance(found, int) else 0


def check(request: TrainRequest, *, as_json: bool) -> int:
    """Look at the data of a training and print what was found; 1 where training would refuse them, else 0."""
    from mmdemo.data.check import check_data

    report = check_data(
        request.task,
        request.data,
        folds=None if request.cross_validate else request.folds,
        fold=request.fold,
        seed=seed_of(request),
        allow_leaks=request.allow_leaks,
        say=_progress if not as_json else None,
    )
    if as_json:
        sys.stdout.write(json_text(report.to_json()) + "\n")
    else:
        show(report)
    return 0 if report.good else 1


def show(report: CheckReport) -> None:
    """Print a report as tables and sentences."""
    from rich.table import Table
    from rich.text import Text

    out = console()
    out.print(Text(f"{report.task} · {report.data}", style="bold"))
    if report.parts:
        table = Table(box=None, pad_edge=False, header_style="bold")
        groups = any(part.groups for part in report.parts.values())
        for name in ("part", "examples", "files", *(["speakers or groups"] if groups else [])):
            table.add_column(name, justify="left" if name == "part" else "right")
        for name, part in report.parts.items():
            table.add_row(name, str(part.examples), str(part.files), *([str(part.groups)] if groups else []))
        out.print(table)
        _show_labels(report)
    for note in report.notes:
        out.print(Text(note, style="dim"))
    _listed("Rows that cannot be used", report.bad_rows)
    _listed("Left out, because they cannot be used", [str(problem) for problem in report.problems])
    _listed("Same content more than once", [f"{s.part}: {', '.join(s.files)}" for s in report.duplicates])
    _listed(
        "Same content with different labels or answers",
        [f"{' = '.join(s.files)}: {' or '.join(map(repr, s.said))}" for s in report.conflicts],
    )
    _listed("Clips shorter than half a second", report.short)
    _listed("Silent clips", report.silent)
    _listed("Empty captions, which are passed over", [str(problem) for problem in report.empty_captions])
    _listed("In two parts at once", report.leaks)
    for refusal in report.refusals:
        out.print(Text(f"Training would refuse: {refusal}", style="red"))
    if report.good:
        out.print(Text(f"Training would start ({report.seconds:.1f} s to look)", style="green"))


def _show_labels(report: CheckReport) -> None:
    from rich.table import Table
    from rich.text import Text

    names = list(dict.fromkeys(label for part in report.parts.values() for label in part.labels))
    if not names:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("label", overflow="fold")
    for part in report.parts:
        table.add_column(part, justify="right")
    for label in names[:LABELS]:
        table.add_row(
            Text(label), *(_share(part.labels.get(label, 0), part.examples) for part in report.parts.values())
        )
    if len(names) > LABELS:
        table.add_row(f"and {len(names) - LABELS} more")
    console().print(table)


def _share(count: int, total: int) -> str:
    return f"{count} ({count / total:.0%})" if count else "-"


def _listed(what: str, lines: Sequence[str]) -> None:
    from rich.text import Text

    if not lines:
        return
    out = console()
    out.print(Text(f"{what}: {len(lines)}", style="yellow"))
    for line in lines[:SHOWN]:
        out.print(Text(f"  {line}"))
    if len(lines) > SHOWN:
        out.print(Text(f"  and {len(lines) - SHOWN} more"))


def _progress(what: str, done: int, count: int) -> None:
    """One line on stderr, rewritten, where a person watches."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{what}: {done}/{count}" + ("\n" if done >= count else ""))
        sys.stderr.flush()
