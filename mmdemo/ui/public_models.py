"""Under the model lists: models that others published, looked at, fetched and put into the lists."""

from __future__ import annotations

import time
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import TASKS
from mmdemo.models.public import fetching, listed, shelf
from mmdemo.models.public.fetching import Plan
from mmdemo.models.public.listed import Listed
from mmdemo.models.public.opening import put_on_shelf
from mmdemo.models.public.precision import default_precision, free_memory, needs
from mmdemo.serving.downloads import Download, Downloads
from mmdemo.ui import answers
from mmdemo.ui.cards import size_text
from mmdemo.ui.strings import Language, text
from mmdemo.ui.wiring import LIVE_EVENTS, MODEL_EVENTS, QUICK_EVENTS, Page, in_words, language_in, model_ids

LOOKS_EVERY = 0.7
"""Seconds between two looks at a download."""


def build(page: Page) -> None:
    """The accordion with its parts, wired; to be called under the bar."""
    downloads, words = Downloads(), page.words
    with gr.Accordion(words("hub"), open=False, elem_id="hub"):
        gr.Markdown(words("hub_what"))
        with gr.Row():
            task = gr.Dropdown(
                [(words(f"tab_{name}"), name) for name in TASKS],
                value="ask",
                label=words("hub_task"),
                min_width=140,
                elem_id="hub-task",
            )
            model = gr.Dropdown(
                _ids("ask"),
                value=None,
                label=words("hub_model"),
                allow_custom_value=True,
                min_width=320,
                scale=3,
                elem_id="hub-model",
            )
        facts = gr.HTML(elem_id="hub-facts")
        with gr.Row():
            look = gr.Button(words("hub_look"), elem_id="hub-look", min_width=120)
            get = gr.Button(words("hub_get"), variant="primary", visible=False, elem_id="hub-get", min_width=120)
            stop = gr.Button(words("hub_stop"), visible=False, elem_id="hub-stop", min_width=120)
        state = gr.HTML(elem_id="hub-state")
        planned: gr.State = gr.State(None)
        timer = gr.Timer(LOOKS_EVERY, active=False)

    def chosen_task(name: str) -> tuple[Any, ...]:
        return gr.Dropdown(choices=_ids(name), value=None), "", gr.Button(visible=False), None

    def describe(name: str, on: str, request: gr.Request) -> tuple[Any, ...]:
        """What the list says of a model; nothing is asked of anybody."""
        entry = listed.find((name or "").strip())
        known = _listed_facts(entry, page.engines.on(on).device, language_in(request)) if entry else ""
        return known, gr.Button(visible=False), "", None

    def ask_hub(job: str, name: str, on: str, request: gr.Request) -> tuple[Any, ...]:
        """Size, licence, revision, free disk; what is on this machine is put into the list at once."""
        language = language_in(request)
        name = (name or "").strip()
        try:
            if not name:
                raise MmdemoError(text("hub_none", language))
            if Path(name).expanduser().is_dir():
                one = put_on_shelf(Path(name).expanduser().resolve(), name=name)
                return (_told(one.id, job, language), gr.Button(visible=False), "", None, *_chosen(page, job, one.id))
            plan = fetching.plan(name)
            if not plan.missing:
                put_on_shelf(fetching.fetch(plan), name=plan.id)
                return (_told(plan.id, job, language), gr.Button(visible=False), "", None, *_chosen(page, job, plan.id))
        except Exception as error:
            return (answers.trouble(in_words(error, language), language), gr.Button(visible=False), "", None, *_same())
        found = _plan_facts(plan, page.engines.on(on).device, language)
        button = gr.Button(text("hub_get_size", language, size=size_text(plan.missing)), visible=True)
        return (found, button, "", plan, *_same())

    def begin(plan: Plan | None) -> tuple[Any, ...]:
        if plan is None:
            return gr.skip(), gr.skip(), gr.skip()
        downloads.start(plan)
        return gr.Button(visible=False), gr.Button(visible=True), gr.Timer(active=True)

    def watch(plan: Plan | None, job: str, request: gr.Request) -> tuple[Any, ...]:
        language = language_in(request)
        found = downloads.look(plan.id) if plan is not None else None
        if plan is None or found is None or found.status == "running":
            return (_progress(found, language), gr.skip(), gr.skip(), gr.skip(), *_same())
        ended = (gr.Button(visible=False), gr.Timer(active=False))
        if found.status != "done":
            words_ = text("hub_stopped", language) if found.status == "stopped" else found.error
            return (answers.trouble(words_, language), gr.Button(visible=True), *ended, *_same())
        try:
            put_on_shelf(fetching.fetch(plan), name=plan.id)
        except Exception as error:
            return (answers.trouble(in_words(error, language), language), gr.skip(), *ended, *_same())
        return (_told(plan.id, job, language), gr.skip(), *ended, *_chosen(page, job, plan.id))

    def end(plan: Plan | None) -> None:
        if plan is not None:
            downloads.stop(plan.id)

    lists = [*(page.models[name] for name in TASKS), *(page.asked[name] for name in TASKS)]
    task.input(chosen_task, task, [model, facts, get, planned], api_name="page_hub_task", **QUICK_EVENTS)
    model.change(
        describe, [model, page.device], [facts, get, state, planned], api_name="page_hub_known", **QUICK_EVENTS
    )
    look.click(
        ask_hub,
        [task, model, page.device],
        [facts, get, state, planned, *lists],
        api_name="page_hub_look",
        **MODEL_EVENTS,
    )
    get.click(begin, planned, [get, stop, timer], api_name="page_hub_get", **QUICK_EVENTS)
    timer.tick(watch, [planned, task], [state, get, stop, timer, *lists], api_name="page_hub_watch", **LIVE_EVENTS)
    stop.click(end, planned, None, api_name="page_hub_stop", **QUICK_EVENTS)


def _ids(task: str) -> list[str]:
    writers = listed.transcribers() if task == "sentiment" else ()
    return [entry.id for entry in (*listed.listed(task), *writers)]


def _chosen(page: Page, task: str, name: str) -> list[Any]:
    """All lists with the new model; that of the task has it chosen, and loaded."""
    if not any(one.tasks for one in shelf.known() if one.id == name):
        _hear_words(page)
    found = {job: model_ids(page.engines.default, job) for job in TASKS}
    serves = name in found[task]
    lists = [
        gr.Dropdown(choices=found[job], value=name) if serves and job == task else gr.Dropdown(choices=found[job])
        for job in TASKS
    ]
    asked = [f"{name} {time.monotonic()}" if serves and job == task else gr.skip() for job in TASKS]
    return [*lists, *asked]


def _hear_words(page: Page) -> None:
    """Models of Sentiment that are in memory come back with the new transcriber when they are next asked."""
    for task, model in page.engines.default.loaded:
        if task == "sentiment":
            page.engines.default.unload(task, model)


def _same() -> list[Any]:
    return [gr.skip() for _ in (*TASKS, *TASKS)]


def _told(name: str, task: str, language: Language) -> str:
    one = next((known for known in shelf.known() if known.id == name), None)
    tasks = one.tasks if one is not None else (task,)
    if not tasks:
        return f'<p class="mm" role="status">{escape(text("hub_writes", language, model=name))}</p>'
    jobs = ", ".join(text(f"tab_{job}", language) for job in tasks)
    return f'<p class="mm" role="status">{escape(text("hub_here", language, model=name, jobs=jobs))}</p>'


def _listed_facts(entry: Listed, device: str, language: Language) -> str:
    rows = [
        (text("hub_good_at", language), entry.good_at),
        (text("hub_size", language), size_text(entry.size) if entry.size else "?"),
        (text("hub_licence", language), entry.licence),
        (text("hub_memory", language), _memory(entry.parameters, device, language)),
        (text("hub_languages", language), ", ".join(entry.languages)),
        (text("hub_figure", language), f"{entry.figure} ({entry.source})" if entry.figure else ""),
    ]
    return _table(rows)


def _plan_facts(plan: Plan, device: str, language: Language) -> str:
    entry = listed.find(plan.id)
    parameters = entry.parameters if entry else plan.total // 4
    kind = f"{plan.layout.architecture} ({plan.layout.library})" if plan.layout else text("hub_own_kind", language)
    rows = [
        (text("hub_kind", language), kind),
        (text("hub_size", language), size_text(plan.total)),
        (text("hub_missing", language), size_text(plan.missing)),
        (text("hub_free", language), size_text(plan.free)),
        (text("hub_licence", language), plan.licence or text("hub_not_stated", language)),
        (text("hub_memory", language), _memory(parameters, device, language)),
        (text("hub_revision", language), plan.commit),
    ]
    return _table(rows)


def _memory(parameters: int, device: str, language: Language) -> str:
    if not parameters:
        return "?"
    where = "cpu" if device == "auto" else device
    precision = default_precision(where, parameters)
    return text(
        "hub_memory_of",
        language,
        need=size_text(needs(parameters, precision)),
        precision=precision,
        free=size_text(free_memory(where)),
    )


def _table(rows: list[tuple[str, str]]) -> str:
    cells = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows if value)
    return f'<dl class="mm mm-hub-facts">{cells}</dl>'


def _progress(found: Download | None, language: Language) -> str:
    if found is None:
        return ""
    share = min(1.0, found.done / found.total) if found.total else 0.0
    words = text("hub_progress", language, done=size_text(found.done), total=size_text(found.total))
    return (
        f'<div class="mm-bar mm-thick" role="progressbar" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{share:.0%}"><span style="width:{share:.1%}"></span></div>'
        f'<p class="mm mm-sub">{escape(words)}</p>'
    )
