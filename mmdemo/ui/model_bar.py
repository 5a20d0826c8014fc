"""The bar's model lists: what is on disk by now, a swap without a restart, and what came of it in one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from mmdemo.core.types import TASKS
from mmdemo.models import registry
from mmdemo.serving.engine import Engine
from mmdemo.serving.pool import Swap
from mmdemo.ui import answers
from mmdemo.ui.cards import card_markdown
from mmdemo.ui.strings import Language, text
from mmdemo.ui.wiring import MODEL_EVENTS, QUICK_EVENTS, Engines, card_or_none, in_words, language_in, model_ids

LOOKS_EVERY = 2.0
"""Seconds between two looks at the folder of checkpoints, some file times each, by every page that is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """The parts of the bar, by task.

    Attributes:
        models: The lists.
        serving: What the tabs ask: the list's choice, but only once it was loaded and probed. On a shared page, where
            only what is on the list can be asked for and nothing is swapped, the list itself.
        notes: The line about the last swap; none on a shared page.
        asked: Another value has the list's choice loaded: what a program puts into a list gives no input event.
        damaged: What lies among the models and cannot be used; none on a shared page.
    """

    models: Mapping[str, gr.Dropdown]
    serving: Mapping[str, gr.Dropdown | gr.Textbox]
    notes: Mapping[str, gr.HTML]
    asked: Mapping[str, gr.State]
    damaged: gr.HTML | None = None


def choices(engine: Engine, words: gr.I18n) -> dict[str, gr.Dropdown]:
    """One model list for each task; to be called inside the bar's row."""
    return {task: _model_choice(engine, task, words) for task in TASKS}


def below(models: Mapping[str, gr.Dropdown], *, public: bool) -> Bar:
    """What stands under the row: a line about the last swap, and, unseen, which model serves."""
    if public:
        return Bar(models=models, serving=models, notes={}, asked={})
    notes = {task: gr.HTML(elem_id=f"loaded-{task}", elem_classes="mm-loaded") for task in TASKS}
    # not a gr.State: the page outlives a restart of the program, and a state does not
    serving = {
        task: gr.Textbox(models[task].value, visible="hidden", show_label=False, elem_id=f"serving-{task}")
        for task in TASKS
    }
    asked = {task: gr.State("") for task in TASKS}
    damaged = gr.HTML(elem_id="damaged-models", elem_classes="mm-loaded")
    return Bar(models=models, serving=serving, notes=notes, asked=asked, damaged=damaged)


def damaged_note(damaged: Sequence[registry.Damaged], language: Language) -> str:
    """Which models cannot be used, and why; "" where there are none."""
    if not damaged:
        return ""
    rows = "".join(f"<li><b>{escape(one.id)}</b> {escape(one.why)}</li>" for one in damaged)
    title = escape(text("bar_damaged", language, n=len(damaged)))
    return f'<details class="mm mm-sub"><summary>{title}</summary><ul>{rows}</ul></details>'


def follow(engines: Engines, bar: Bar, *, device: gr.Dropdown, cards: Mapping[str, gr.Markdown]) -> None:
    """Wire the lists to the engines, and to the cards of the models."""
    for task in TASKS:
        if engines.public:
            _show_card(engines, task, bar.models[task], device=device, card=cards[task])
        else:
            _swap(engines, task, bar, device=device, card=cards[task])
    if not engines.public:
        _look_often(engines, bar, device=device, cards=cards)


def _model_choice(engine: Engine, task: str, words: gr.I18n) -> gr.Dropdown:
    found = model_ids(engine, task)
    return gr.Dropdown(
        found,
        value=_default(found, task),
        label=words(f"model_for_{task}"),
        interactive=True,
        min_width=220,
        elem_id=f"model-{task}",
        elem_classes="model-choice",
    )


def _default(found: list[str], task: str) -> str | None:
    shipped = registry.default_model(task)
    return shipped if shipped in found else next(iter(found), None)


def _show_card(engines: Engines, task: str, model: gr.Dropdown, *, device: gr.Dropdown, card: gr.Markdown) -> None:
    def show(chosen: str | None, on: str) -> str:
        return card_markdown(card_or_none(engines.on(on), task, chosen))

    model.input(show, [model, device], card, api_name=f"page_{task}_card", **QUICK_EVENTS)


def _swap(engines: Engines, task: str, bar: Bar, *, device: gr.Dropdown, card: gr.Markdown) -> None:
    """Choosing a model loads it; until that is done, and for good where it is refused, the one before serves."""
    model, serving, note = bar.models[task], bar.serving[task], bar.notes[task]
    last = gr.State("")  # what the note says was chosen: the list sends one choice twice

    def swap(chosen: str | None, before: str, on: str, told: str, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        language, engine = language_in(request), engines.on(on)
        if chosen not in (before, told):
            loading = _quiet(text("bar_loading", language, model=chosen, before=before))
            yield gr.skip(), gr.skip(), loading, gr.skip(), gr.skip()
        try:
            done = engine.prepare(task, chosen)
        except Exception as error:
            words = f"{in_words(error, language)} {text('bar_goes_on', language, model=before)}"
            yield gr.Dropdown(value=before), gr.skip(), answers.trouble(words, language), gr.skip(), ""
            return
        if chosen == told and not done.seconds:
            yield tuple(gr.skip() for _ in range(5))
            return
        shown = _quiet(swap_words(done, before=before, language=language))
        yield gr.skip(), chosen, shown, card_markdown(card_or_none(engine, task, chosen)), chosen

    gr.on(
        [model.input, bar.asked[task].change],
        swap,
        [model, serving, device, last],
        [model, serving, note, card, last],
        api_name=f"page_{task}_card",
        trigger_mode="always_last",  # who chooses twice quickly means the second
        **MODEL_EVENTS,
    )


def _look_often(engines: Engines, bar: Bar, *, device: gr.Dropdown, cards: Mapping[str, gr.Markdown]) -> None:
    """A finished run appears by itself, what was trained anew is swapped, what was deleted is left."""
    seen = gr.State({})

    def look(
        before: dict[str, str],
        on: str,
        ask: str | None,
        classify: str | None,
        caption: str | None,
        sentiment: str | None,
        request: gr.Request,
    ) -> list[Any]:
        engine, language = engines.on(on), language_in(request)
        known = {"state": f"{on} {engine.models_state}"}
        if before.get("state") == known["state"]:
            return [gr.skip() for _ in outputs]
        columns = []
        for task, model in zip(TASKS, (ask, classify, caption, sentiment), strict=True):
            column, told = _look(engine, task, model, before.get(task), language)
            columns.append(column)
            known[task] = told
        note = damaged_note(registry.survey()[1], language)
        return [known, *(part for parts in zip(*columns, strict=True) for part in parts), note]

    outputs = [seen, *bar.models.values(), *bar.serving.values(), *bar.notes.values(), *cards.values()]
    if bar.damaged is not None:
        outputs.append(bar.damaged)
    timer = gr.Timer(LOOKS_EVERY)
    timer.tick(look, [seen, device, *bar.serving.values()], outputs, api_name="page_models_look", **QUICK_EVENTS)


def _look(
    engine: Engine, task: str, model: str | None, before: str | None, language: Language
) -> tuple[tuple[Any, Any, Any, Any], str]:
    """Changes of one task's list, serving model, note and card; and what was told, so that it is told once."""
    found = model_ids(engine, task)
    if (not model or model not in found) and found:
        instead = _default(found, task)
        left = text("bar_gone", language, model=model, instead=instead) if model else ""
        shown = card_markdown(card_or_none(engine, task, instead))
        return (gr.Dropdown(choices=found, value=instead), instead, _quiet(left), shown), ""
    engine.renew(task, model)
    trouble, swapped = engine.trouble(task, model), engine.swapped(task, model)
    told = f"{model} {trouble or swapped}"
    note: Any = gr.skip()
    card: Any = gr.skip()
    if before is not None and told != before:
        if trouble:
            words = f"{text('bar_anew_refused', language, model=model)} {trouble} {text('bar_anew_goes_on', language)}"
            note = answers.trouble(words, language)
        elif swapped is not None:
            note = _quiet(swap_words(swapped, before=swapped.model, language=language))
            card = card_markdown(card_or_none(engine, task, model))
    return (gr.Dropdown(choices=found), gr.skip(), note, card), told


def swap_words(done: Swap, *, before: str, language: Language) -> str:
    """One line: memory before and after, how long it took, what left memory for it."""
    after = _megabytes(done.after)
    if not done.seconds:
        return text("bar_was_there", language, model=done.model, after=after)
    anew = before == done.model
    seconds = answers.duration(done.seconds, language)
    words = text(
        "bar_anew" if anew else "bar_swapped",
        language,
        model=done.model,
        before=before,
        held=_megabytes(done.before),
        after=after,
        seconds=seconds,
    )
    left = [name for _, name in done.evicted if name != done.model]
    return f"{words} {text('bar_let_go', language, models=', '.join(left))}" if left else words


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def _quiet(words: str) -> str:
    return f'<p class="mm mm-sub" role="status">{escape(words)}</p>' if words else ""
