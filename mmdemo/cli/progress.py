"""How a training looks on a terminal: a bar where somebody watches, plain lines where the output is kept."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from mmdemo.train.record import RunObserver, TrainProgress

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


def watch() -> RunObserver:
    """A bar for terminals, lines for files and pipes."""
    return _WhileWatched(_BarProgress() if sys.stderr.isatty() else _PlainProgress())


class _WhileWatched(RunObserver):
    """Shows what is told for as long as there is a terminal: the run's own log has all of it, and a closed terminal
    must not keep the run from saving its state."""

    def __init__(self, shown: _PlainProgress | _BarProgress) -> None:
        self._shown: _PlainProgress | _BarProgress | None = shown

    def log(self, text: str) -> None:
        self._try(lambda shown: shown.log(text))

    def step(self, progress: TrainProgress) -> None:
        self._try(lambda shown: shown.step(progress))

    def close(self) -> None:
        self._try(lambda shown: shown.close())

    def _try(self, show: Callable[[_PlainProgress | _BarProgress], None]) -> None:
        if self._shown is None:
            return
        try:
            show(self._shown)
        except OSError:
            self._shown = None


class _PlainProgress(RunObserver):
    """Everything that is said, a line each, on stderr."""

    def log(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


class _BarProgress(RunObserver):
    """A bar with step, loss, figure and time left; what is said stands above it."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._last = 0.0

    def log(self, text: str) -> None:
        if text.startswith("step "):
            return  # the bar says it
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        else:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    def step(self, progress: TrainProgress) -> None:
        if self._bar is None:
            self._bar = _bar()
            self._bar.start()
            self._bar.add_task("train", total=progress.steps, loss="", figures="")
        ended = progress.step >= progress.steps
        if time.monotonic() - self._last < 0.1 and not ended:
            return
        self._last = time.monotonic()
        figures = "  ".join(f"{name} {value:.3f}" for name, value in progress.figures.items())
        self._bar.update(
            self._bar.task_ids[0], completed=progress.step, loss=f"loss {progress.loss:.3f}", figures=figures
        )
        if ended:
            self.close()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    return Bar(
        MofNCompleteColumn(),
        BarColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[loss]}"),
        TextColumn("[dim]{task.fields[figures]}"),
        console=Console(stderr=True),
    )
