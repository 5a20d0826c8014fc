"""Runs as HTML: the list, the state of one, its curves, figures, settings and the end of its log."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from mmdemo.core.types import Metric
from mmdemo.ui.cards import size_text
from mmdemo.ui.runs.plot import line, number
from mmdemo.ui.strings import TEXTS, Language, metric_text, text

if TYPE_CHECKING:
    from mmdemo.runs import Run

ACTIVE = ("queued", "preparing", "training", "finishing", "stopping")
"""States in which something will still happen by itself."""

_SIGNS = {
    "queued": "◷", "preparing": "◔", "training": "▶", "finishing": "◕", "stopping": "◼", "stopped": "◼", "done": "✓",
    "failed": "✕", "damaged": "✕",
}  # fmt: skip


def run_list(runs: Sequence[Run], opened: str, language: Language) -> str:
    """All runs, newest first, each a button."""
    if not runs:
        return f'<div class="mm mm-panel mm-empty">{escape(text("runs_none", language))}</div>'
    rows = "".join(_row(run, run.name == opened, language) for run in runs)
    return f'<div class="mm"><ul class="mm-runs" aria-label="{escape(text("runs_list", language))}">{rows}</ul></div>'


def _row(run: Run, chosen: bool, language: Language) -> str:
    facts = [task_name(run.task, language), headline(run, language)]
    facts += [length(run.seconds, language) if run.seconds else "", size_text(run.size) if run.size else ""]
    facts.append(when(run.created))
    words = "".join(f"<span>{escape(fact)}</span>" for fact in facts if fact)
    bar = _bar(run) if run.state in ACTIVE else ""
    return (
        f'<li><button type="button" data-run="{escape(run.name)}"{_current(chosen)}>'
        f'<span class="mm-run-top"><b>{escape(run.name)}</b>{badge(run.state, language)}</span>'
        f'<span class="mm-run-facts">{words}</span>{bar}</button></li>'
    )


def _current(chosen: bool) -> str:
    return ' aria-current="true" class="mm-chosen"' if chosen else ""


def badge(state: str, language: Language) -> str:
    """The state as a word, with a sign and a colour beside it."""
    word = escape(text(f"runs_state_{state}", language))
    return f'<span class="mm-state mm-is-{state}"><i aria-hidden="true">{_SIGNS[state]}</i>{word}</span>'


def headline(run: Run, language: Language) -> str:
    """The one figure that tells runs apart: the measured one, else the best so far."""
    if run.metrics:
        one = run.metrics[0]
        return f"{metric_text(one.name, language)} {figure(one.value)}"
    if run.metric and run.metric in run.figures:
        key = "runs_validated" if run.state == "done" else "runs_best_so_far"
        name = metric_text(run.metric, language)
        return text(key, language, name=name, value=figure(run.figures[run.metric]))
    return ""


def task_name(task: str, language: Language) -> str:
    """A task as its tab is called; those that have none, such as the shared picture encoder, by their own name."""
    return text(f"tab_{task}", language) if f"tab_{task}" in TEXTS else task


def share(run: Run) -> float:
    """How much of the steps is done, 0 to 1."""
    if run.state in ("done", "finishing"):
        return 1.0
    return min(run.step / run.steps, 1.0) if run.steps else 0.0


def _bar(run: Run) -> str:
    done = share(run) * 100
    return f'<span class="mm-bar" aria-hidden="true"><span style="width:{done:.1f}%"></span></span>'


def state(run: Run, language: Language) -> str:
    """Name, state, progress and what can be said of it in numbers."""
    done = share(run) * 100
    parts = [f'<p class="mm-run-top"><b class="mm-sentence">{escape(run.name)}</b>{badge(run.state, language)}</p>']
    parts.append(f'<p class="mm-sub">{escape(sentence(run, language))}</p>')
    if run.state in ACTIVE and run.state != "queued":
        label = escape(text("runs_progress", language, name=run.name))
        parts.append(
            f'<div class="mm-bar mm-thick" role="progressbar" aria-label="{label}" aria-valuemin="0" '
            f'aria-valuemax="100" aria-valuenow="{done:.0f}"><span style="width:{done:.1f}%"></span></div>'
        )
    facts = _live_facts(run, language) if run.state in ACTIVE else _past_facts(run, language)
    if facts:
        parts.append(_facts(facts))
    return f'<div class="mm mm-panel">{"".join(parts)}</div>'


def sentence(run: Run, language: Language) -> str:
    """What is going on, in one sentence."""
    if run.state == "queued":
        if not run.ahead:
            return text("runs_waits_first", language)
        return text("runs_waits", language, place=run.place, names=text("runs_and", language).join(run.ahead))
    if run.state == "training" and run.seconds_left is not None:
        left = length(run.seconds_left, language)
        return text("runs_training_left", language, percent=f"{share(run) * 100:.0f}", left=left)
    if run.state == "stopped" and not run.model:
        return text("runs_stopped_no_model", language)
    if run.state == "done" and not run.metrics:
        return text("runs_done_unmeasured", language)
    return text(f"runs_now_{run.state}", language)


def _live_facts(run: Run, language: Language) -> list[tuple[str, str]]:
    facts = []
    if run.steps:
        facts.append((text("runs_step", language), text("runs_of", language, n=run.step, all=run.steps)))
    if run.epochs:
        epoch = text("runs_of", language, n=f"{run.epoch:.1f}", all=number(run.epochs))
        facts.append((text("runs_epoch", language), epoch))
    if run.loss is not None:
        facts.append((text("runs_loss", language), f"{run.loss:.3f}"))
    facts += [(metric_text(name, language), figure(value)) for name, value in run.figures.items() if name == run.metric]
    if run.speed:
        facts.append((text("runs_speed", language), text("runs_per_second", language, n=f"{run.speed:.1f}")))
    if run.seconds_left is not None:
        facts.append((text("runs_left", language), length(run.seconds_left, language)))
    if run.memory:
        facts.append((text("runs_memory", language), size_text(run.memory)))
    if run.seconds:
        facts.append((text("runs_so_far", language), length(run.seconds, language)))
    return facts


def _past_facts(run: Run, language: Language) -> list[tuple[str, str]]:
    facts = [(text("runs_took", language), length(run.seconds, language))] if run.seconds else []
    if run.state == "done" and not run.metrics and run.metric in run.figures:
        name = text("runs_metric_name", language, name=metric_text(run.metric, language))
        facts.append((name, figure(run.figures[run.metric])))
    if run.steps:
        facts.append((text("runs_step", language), text("runs_of", language, n=run.step, all=run.steps)))
    if run.size:
        facts.append((text("runs_size", language), size_text(run.size)))
    facts.append((text("runs_started", language), when(run.created)))
    if run.ended:
        facts.append((text("runs_ended", language), when(run.ended)))
    return facts


def failure(run: Run, log: str, language: Language) -> str:
    """Why a run failed, or cannot be read: one sentence, the exit code, the end of the log; "" for any other."""
    if run.state not in ("failed", "damaged"):
        return ""
    why = escape(run.reason or text("runs_no_reason", language))
    code = ""
    if run.exit_code is not None:
        code = f'<p class="mm-sub">{escape(text("runs_exit_code", language, code=run.exit_code))}</p>'
    end = f'<pre class="mm-log" tabindex="0">{escape(log)}</pre>' if log.strip() else ""
    title = escape(text(f"runs_{run.state}_title", language, name=run.name))
    return f'<div class="mm mm-panel mm-trouble" role="alert"><strong>{title}</strong>{why}{code}{end}</div>'


def curves(run: Run, curve: Mapping[str, Any], language: Language) -> str:
    """The loss and the figure that is chosen by, side by side."""
    step = text("runs_steps_axis", language)
    drawn = []
    loss = [(float(x), float(y)) for x, y in curve.get("loss", ())]
    if loss:
        name = text("runs_loss", language)
        drawn.append(line(loss, name=name, alt=_in_words(name, loss, language), across=step))
    chosen = [(float(x), float(y)) for x, y in curve.get("metric", ())]
    if chosen and (len(chosen) > 1 or chosen[0][0] > 0):  # what was computed at once has no steps: one number
        named = metric_text(run.metric, language)
        name = text("runs_metric_name", language, name=named) if run.metric else text("runs_metric", language)
        best = max(range(len(chosen)), key=lambda index: chosen[index][1])  # every figure is better the higher
        drawn.append(line(chosen, name=name, alt=_in_words(name, chosen, language), across=step, mark=best))
    drawn = [one for one in drawn if one]
    return f'<div class="mm mm-panel mm-curves">{"".join(drawn)}</div>' if drawn else ""


def _in_words(name: str, points: Sequence[tuple[float, float]], language: Language) -> str:
    values = {"first": number(points[0][1]), "last": number(points[-1][1]), "step": number(points[-1][0])}
    return text("runs_curve_alt", language, name=name, **values)


def figures(metrics: Sequence[Metric], language: Language) -> str:
    """What the finished model was measured at, with intervals."""
    if not metrics:
        return ""
    head = "".join(
        f"<th>{escape(text(f'runs_column_{key}', language))}</th>" for key in ("figure", "value", "n", "data")
    )
    rows = "".join(
        f"<tr><td>{escape(metric_text(one.name, language))}</td><td><b>{figure(one.value)}</b> "
        f'<span class="mm-sub">{figure(one.low)} – {figure(one.high)}</span></td>'
        f'<td class="mm-number">{one.n:,}</td><td>{escape(one.data)}</td></tr>'
        for one in metrics
    )
    title, note = escape(text("runs_figures", language)), escape(text("runs_interval", language))
    return (
        f'<div class="mm mm-panel"><h3>{title}</h3><div class="mm-wide"><table class="mm-table"><thead><tr>{head}</tr>'
        f'</thead><tbody>{rows}</tbody></table></div><p class="mm-sub">{note}</p></div>'
    )


def made_of(run: Run, language: Language) -> str:
    """Data, base, device, settings and the command line of a run."""
    facts = [(text("runs_data", language), "\n".join(run.data)), (text("runs_base", language), run.base)]
    facts.append((text("device", language), run.device))
    for name, value in run.settings.items():
        if name.startswith("teacher_"):  # says nothing without --teacher, which the command shows
            continue
        key = f"teach_set_{name}"
        facts.append((text(key, language) if key in TEXTS else name, _value(value, language)))
    parts = [_facts([fact for fact in facts if fact[1]])]
    if run.command:
        title = escape(text("runs_command", language))
        parts.append(f'<h3>{title}</h3><pre class="mm-log" tabindex="0">{escape(run.command)}</pre>')
    return f'<div class="mm">{"".join(parts)}</div>'


def log(lines: str, language: Language) -> str:
    """The end of a log."""
    words = lines.strip() or text("runs_log_empty", language)
    return f'<div class="mm"><pre class="mm-log" tabindex="0">{escape(words)}</pre></div>'


def told(message: str) -> str:
    """A short remark about what was just done, or a question; nothing wrong."""
    return f'<p class="mm mm-told" role="status">{escape(message)}</p>'


# ---------------------------------------------------------------- pieces


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    return f'<dl class="mm-facts">{rows}</dl>'


def _value(value: object, language: Language) -> str:
    if isinstance(value, bool):
        return text("runs_on" if value else "runs_off", language)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def figure(value: float) -> str:
    """A measured figure with the digits that mean something."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def length(seconds: float, language: Language) -> str:
    """``20 s``, ``3 min 5 s`` or ``2 h 10 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return text("seconds", language, value=whole)
    if whole < 3600:
        return text("minutes_seconds", language, minutes=whole // 60, seconds=whole % 60)
    return text("runs_hours", language, hours=whole // 3600, minutes=whole % 3600 // 60)


def when(moment: float) -> str:
    """A moment of this machine's clock."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment)).replace(" ", "\N{NO-BREAK SPACE}")
