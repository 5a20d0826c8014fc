"""How answers look on a terminal: rich tables for people; messages and progress on stderr, never in the output."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmdemo.core.types import AskResult, CaptionResult, ClassifyResult, Result, Scored, SentimentResult

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table
    from rich.text import Text

BAR = 24
"""Cells of a full probability bar."""

SHOWN_LABELS = 8
"""Labels shown of one answer; the JSON has all."""

_MODALITIES = {"image": "picture", "question": "question"}
"""Keys of an answer's weights, as people call them."""


def console() -> Console:
    """The output that people read; as wide as the terminal."""
    from rich.console import Console

    return Console(highlight=False)


def say(message: str) -> None:
    """Tell the person something that is no result."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def progress(total: int, *, quiet: bool) -> Progress:
    """A bar on stderr, shown only where a person watches and more than one file is waiting."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=quiet or total < 2 or not sys.stderr.isatty(),
    )


# ---------------------------------------------------------------- results


def headline(result: Result) -> Scored:
    """The answer itself with its probability (0 where there is nothing to hear)."""
    if isinstance(result, AskResult):
        return Scored(label=result.answer, score=result.score)
    if isinstance(result, ClassifyResult):
        return result.labels[0]
    if isinstance(result, CaptionResult):
        return Scored(label=result.caption, score=result.score)
    return Scored(label=result.emotion, score=result.scores[0].score if result.scores else 0.0)


def runners_up(result: Result) -> tuple[Scored, ...]:
    """Everything but the headline, most probable first."""
    if isinstance(result, ClassifyResult):
        return result.labels[1:]
    if isinstance(result, SentimentResult):
        return result.scores[1:]
    return result.alternatives


def show(outcomes: Sequence[tuple[str, Result | str]], *, title: str) -> None:
    """Print results and problems: one file in full, several as a table.

    Args:
        outcomes: File name and its result, or the sentence why there is none.
        title: The answer's column heading.
    """
    out = console()
    if len(outcomes) == 1:
        name, outcome = outcomes[0]
        if isinstance(outcome, str):
            say(outcome)
        else:
            _show_one(out, name, outcome)
        return
    out.print(_table(outcomes, title=title))


def _show_one(out: Console, name: str, result: Result) -> None:
    from rich.table import Table
    from rich.text import Text

    out.print(Text(name, style="dim"))
    if isinstance(result, AskResult):
        out.print(Text(result.question, style="italic"))
    out.print(_answer(result, style="bold"))
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(overflow="fold", max_width=60)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for item in _rows_of_one(result):
        table.add_row(Text(item.label), Text("█" * round(item.score * BAR), style="cyan"), f"{item.score:.1%}")
    if table.row_count:
        out.print(table)
    if isinstance(result, SentimentResult):
        _show_sentiment(out, result)
    if isinstance(result, AskResult) and result.weights is not None:
        shares = ", ".join(f"{_MODALITIES[name]} {share:.0%}" for name, share in result.weights.items())
        out.print(Text(f"relied on: {shares}"))
    out.print(Text(f"{result.model} · {result.seconds * 1000:.0f} ms", style="dim"))


def _rows_of_one(result: Result) -> list[Scored]:
    return [item for item in (headline(result), *runners_up(result)) if item.score > 0][:SHOWN_LABELS]


def _show_sentiment(out: Console, result: SentimentResult) -> None:
    from rich.text import Text

    if result.words:
        out.print(Text(f"“{result.words}”", style="italic"))
    if result.scores:
        out.print(Text("   ".join(f"{name} {value:.1%}" for name, value in result.sentiment.items())))
    if len(result.segments) > 1:
        for part in result.segments:
            score = f" {part.scores[0].score:.0%}" if part.scores else ""
            out.print(Text(f"{part.start:7.1f} to {part.end:.1f} s  {part.emotion}{score}"))


def _table(outcomes: Sequence[tuple[str, Result | str]], *, title: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold", ratio=3)
    table.add_column(title, overflow="fold", ratio=4)
    table.add_column("probability", justify="right", no_wrap=True)
    table.add_column("runners-up", overflow="fold", ratio=4)
    for name, outcome in outcomes:
        if isinstance(outcome, str):
            table.add_row(Text(name), Text(outcome, style="red"), "", "")
            continue
        best = headline(outcome)
        others = ", ".join(f"{item.label} {item.score:.0%}" for item in runners_up(outcome)[:3])
        table.add_row(Text(name), _answer(outcome), f"{best.score:.1%}", Text(others))
    return table


def _answer(result: Result, *, style: str = "") -> Text:
    """The answer, and "not sure" behind it where its score is low."""
    from rich.text import Text

    text = Text(headline(result).label, style=style)
    nothing_heard = isinstance(result, SentimentResult) and not result.scores
    if not result.sure and not nothing_heard:
        text.append(" (not sure)", style="yellow")
    return text
