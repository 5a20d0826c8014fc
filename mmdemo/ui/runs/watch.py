"""What is looked at again and again: the state of the runs, from disk, and only what of it has changed since."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from mmdemo.core.errors import MmdemoError
from mmdemo.ui.runs import view as run_view
from mmdemo.ui.strings import Language, text

if TYPE_CHECKING:
    from mmdemo.runs import Run

SECONDS = 1.5
"""Between two looks at the disk, while something is running or the tab Runs is open."""

NEWS_SECONDS = 600.0
"""For how long a run that ended is news at the top of every page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Studio:
    """What the tabs Teach, Runs and Compare share on a page.

    Attributes:
        tabs: The row of tabs, to switch to another one.
        tab: Id of the tab that is open.
        opened: Name of the run that is looked at, "" while none was chosen.
        timer: Ticks while there is something to watch.
        banner: The line at the top.
        demo: The page, for what happens when it is opened.
    """

    tabs: gr.Tabs
    tab: gr.State
    opened: gr.State
    timer: gr.Timer
    banner: gr.HTML
    demo: gr.Blocks


def switch(tab: str) -> tuple[gr.Tabs, str]:
    """Updates for ``Studio.tabs`` and ``Studio.tab``: gradio tells nobody when a program opens a tab."""
    return gr.Tabs(selected=tab), tab


def changed(wanted: Sequence[Mapping[str, Any]], shown: Sequence[str]) -> tuple[list[Any], tuple[str, ...]]:
    """Updates for what is not shown yet, ``gr.skip()`` for all else.

    Args:
        wanted: Properties of each component.
        shown: What this function returned the last time, () at first.

    Returns:
        The updates, and what is shown when they have arrived.
    """
    now = tuple(repr(sorted(one.items(), key=lambda item: item[0])) for one in wanted)
    before = shown if len(shown) == len(now) else ("",) * len(now)
    updates = [
        gr.skip() if mark == old else gr.update(**one) for one, mark, old in zip(wanted, now, before, strict=True)
    ]
    return updates, now


def chosen_run(runs: Sequence[Run], opened: str) -> Run | None:
    """The run of that name; while none was chosen, one that is active, else the newest."""
    for run in runs:
        if run.name == opened:
            return run
    if opened:
        return None
    return next((run for run in runs if run.state in run_view.ACTIVE), next(iter(runs), None))


def banner(runs: Sequence[Run], hidden: Sequence[str], language: Language) -> str:
    """One line about the run that is active, else about the one that has just ended; "" when all is quiet."""
    active = [run for run in runs if run.state in run_view.ACTIVE]
    if active:
        run = next((one for one in active if one.state != "queued"), active[0])
        words = _doing(run, language)
        if len(active) > 1:
            words = f"{words} · {text('runs_banner_more', language, n=len(active) - 1)}"
        return _line(words, _button("open", run.name, "runs_banner_open", language))
    ended = [run for run in runs if run.ended and time.time() - run.ended < NEWS_SECONDS and run.name not in hidden]
    if not ended:
        return ""
    run = max(ended, key=lambda one: one.ended or 0.0)
    task = run_view.task_name(run.task, language)
    key = "ready" if run.state == "done" else str(run.state)
    words = text(f"runs_banner_{key}", language, name=run.name, task=task)
    if run.model:
        buttons = _button("use", run.name, "runs_banner_use", language)
    else:
        buttons = _button("open", run.name, "runs_banner_open", language)
    return _line(words, buttons + _button("hide", run.name, "runs_banner_hide", language))


def _doing(run: Run, language: Language) -> str:
    if run.state == "training" and run.seconds_left is not None:
        left = run_view.length(run.seconds_left, language)
        percent = f"{run_view.share(run) * 100:.0f}"
        return text("runs_banner_training", language, name=run.name, percent=percent, left=left)
    return text("runs_banner_busy", language, name=run.name, state=text(f"runs_state_{run.state}", language))


def _line(words: str, buttons: str) -> str:
    return f'<p class="mm mm-banner" role="status"><span>{escape(words)}</span>{buttons}</p>'


def _button(what: str, name: str, key: str, language: Language) -> str:
    words = escape(text(key, language))
    return f'<button type="button" data-do="{what}" data-run="{escape(name)}">{words}</button>'


def read_runs() -> tuple[Run, ...]:
    """All runs of whoever uses the page; none when the folder cannot be read just now."""
    from mmdemo import runs  # only pages that train read it

    try:
        return own(runs.list_runs())
    except (MmdemoError, OSError):
        return ()


def own(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Without the shipped models: how they were trained is no history of this machine, and they cannot be deleted.

    One that is being trained just now stays in sight.
    """
    from mmdemo.models.registry import SHIPPED

    return tuple(run for run in runs if run.name not in SHIPPED or run.state in run_view.ACTIVE)
