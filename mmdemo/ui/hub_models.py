"""Under the model lists: models that others published, looked at, fetched and put into the lists."""

from __future__ import annotations

import time
from html import escape
from typing import Any

import gradio as gr

from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import typed_path
from mmdemo.core.tasks import ASK, SENTIMENT
from mmdemo.core.types import TASKS
from mmdemo.models.families.factory import register_installed
from mmdemo.models.families.precision import free_memory, needs, runtime_config
from mmdemo.models.hub import catalog, download, installed
from mmdemo.models.hub.catalog import CatalogEntry
from mmdemo.models.hub.download import DownloadPlan
from mmdemo.models.hub.installed import InstalledModel
from mmdemo.models.loading import pick_device
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
                value=ASK,
                label=words("hub_task"),
                min_width=140,
                elem_id="hub-task",
            )
            model = gr.Dropdown(
                _ids(ASK),
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
            drop = gr.Button(words("hub_drop"), visible=False, elem_id="hub-drop", min_width=120)
        state = gr.HTML(elem_id="hub-state")
        planned: gr.State = gr.State(None)
        under_way: gr.State = gr.State(None)  # what is being fetched, whatever is looked at meanwhile
        timer = gr.Timer(LOOKS_EVERY, active=False)

    events = _Events(page, downloads)
    lists = [*(page.models[name] for name in TASKS), *(page.asked[name] for name in TASKS)]
    task.input(events.chosen_task, task, [model, facts, get, planned], api_name="page_hub_task", **QUICK_EVENTS)
    model.change(
        events.describe, [model, page.device], [facts, get, planned, drop], api_name="page_hub_known", **QUICK_EVENTS
    )
    look.click(
        events.ask_hub,
        [task, model, page.device],
        [facts, get, planned, drop, *lists],
        api_name="page_hub_look",
        **MODEL_EVENTS,
    )
    get.click(events.begin, planned, [get, stop, timer, under_way], api_name="page_hub_get", **QUICK_EVENTS)
    timer.tick(
        events.watch,
        [under_way, task],
        [state, get, stop, timer, under_way, *lists],
        api_name="page_hub_watch",
        **LIVE_EVENTS,
    )
    stop.click(events.end, under_way, None, api_name="page_hub_stop", **QUICK_EVENTS)
    drop.click(events.take_off, model, [facts, drop], api_name="page_hub_drop", **QUICK_EVENTS)


class _Events:
    """What happens on the accordion.

    Args:
        page: Whose lists get the models.
        downloads: What is being fetched.
    """

    def __init__(self, page: Page, downloads: Downloads) -> None:
        self.page, self.downloads = page, downloads

    def chosen_task(self, name: str) -> tuple[Any, ...]:
        return gr.Dropdown(choices=_ids(name), value=None), "", gr.Button(visible=False), None

    def describe(self, name: str, on: str, request: gr.Request) -> tuple[Any, ...]:
        """What the list says of a model; nothing is asked of anybody."""
        name = (name or "").strip()
        entry = catalog.find(name)
        known = _listed_facts(entry, self.page.engines.on(on).device, language_in(request)) if entry else ""
        return known, gr.Button(visible=False), None, gr.Button(visible=_find_installed(name) is not None)

    def ask_hub(self, job: str, name: str, on: str, request: gr.Request) -> tuple[Any, ...]:
        """Size, licence, revision, free disk; what is on this machine is put into the list at once."""
        language = language_in(request)
        name = (name or "").strip()
        hidden = gr.Button(visible=False)
        try:
            if not name:
                raise MmdemoError(text("hub_none", language))
            place = typed_path(name)
            if place.is_dir():
                one = register_installed(place.resolve(), name=str(place.resolve()))
            else:
                plan = download.plan(name)
                if plan.missing:
                    found = _plan_facts(plan, self.page.engines.on(on).device, language)
                    button = gr.Button(text("hub_get_size", language, size=size_text(plan.missing)), visible=True)
                    return (found, button, plan, gr.skip(), *_same())
                one = register_installed(download.fetch(plan), name=plan.id)
        except Exception as error:
            return (answers.trouble(in_words(error, language), language), hidden, None, gr.skip(), *_same())
        return (_told(one, language), hidden, None, gr.Button(visible=True), *_chosen(self.page, job, one))

    def begin(self, plan: DownloadPlan | None) -> tuple[Any, ...]:
        if plan is None:
            return gr.skip(), gr.skip(), gr.skip(), gr.skip()
        self.downloads.start(plan)
        return gr.Button(visible=False), gr.Button(visible=True), gr.Timer(active=True), plan

    def watch(self, plan: DownloadPlan | None, job: str, request: gr.Request) -> tuple[Any, ...]:
        language = language_in(request)
        found = self.downloads.look(plan.id) if plan is not None else None
        if found is not None and found.status == "running":
            return (_progress(found, language), gr.skip(), gr.skip(), gr.skip(), gr.skip(), *_same())
        ended = (gr.Button(visible=False), gr.Timer(active=False))
        if plan is None or found is None:
            return ("", gr.skip(), *ended, None, *_same())
        if found.status != "done":
            words_ = text("hub_stopped", language) if found.status == "stopped" else found.error
            return (answers.trouble(words_, language), gr.Button(visible=True), *ended, plan, *_same())
        one = _find_installed(plan.id)
        if one is None:
            return ("", gr.skip(), *ended, None, *_same())
        return (_told(one, language), gr.Button(visible=False), *ended, None, *_chosen(self.page, job, one))

    def end(self, plan: DownloadPlan | None) -> None:
        if plan is not None:
            self.downloads.stop(plan.id)

    def take_off(self, name: str, request: gr.Request) -> tuple[Any, ...]:
        language, one = language_in(request), _find_installed((name or "").strip())
        if one is None:
            return gr.skip(), gr.skip()
        try:
            installed.forget(one.id)
        except MmdemoError as error:
            return answers.trouble(in_words(error, language), language), gr.skip()
        if not one.tasks:
            _hear_words(self.page)
        said = escape(text("hub_dropped", language, model=one.id, folder=one.folder))
        return f'<p class="mm" role="status">{said}</p>', gr.Button(visible=False)


def _find_installed(name: str) -> InstalledModel | None:
    """What stands on the shelf under a hub id, an alias or a path."""
    entry = catalog.find(name)
    names = {name, entry.id if entry else name, str(typed_path(name).resolve()) if name else name}
    return next((one for one in installed.installed_models() if one.id in names), None)


def _ids(task: str) -> list[str]:
    writers = catalog.transcribers() if task == SENTIMENT else ()
    return [entry.id for entry in (*catalog.catalog_entries(task), *writers)]


def _chosen(page: Page, task: str, one: InstalledModel) -> list[Any]:
    """All lists with the new model; that of the task, or of the first it serves, has it chosen, and loaded."""
    if not one.tasks:
        _hear_words(page)
    found = {job: model_ids(page.engines.default, job) for job in TASKS}
    job_of = task if task in one.tasks else next(iter(one.tasks), "")
    lists = [
        gr.Dropdown(choices=found[job], value=one.id) if job == job_of else gr.Dropdown(choices=found[job])
        for job in TASKS
    ]
    asked = [f"{one.id} {time.monotonic()}" if job == job_of else gr.skip() for job in TASKS]
    return [*lists, *asked]


def _hear_words(page: Page) -> None:
    """Models of Sentiment that are in memory come back as the shelf now is when they are next asked."""
    for engine in page.engines.made():
        for task, model in engine.loaded:
            if task == SENTIMENT:
                engine.unload(task, model)


def _same() -> list[Any]:
    return [gr.skip() for _ in (*TASKS, *TASKS)]


def _told(one: InstalledModel, language: Language) -> str:
    jobs = ", ".join(text(f"tab_{job}", language) for job in one.tasks)
    said = text("hub_here" if one.tasks else "hub_writes", language, model=one.id, jobs=jobs)
    return f'<p class="mm" role="status">{escape(said)}</p>'


def _listed_facts(entry: CatalogEntry, device: str, language: Language) -> str:
    rows = [
        (text("hub_good_at", language), entry.good_at),
        (text("hub_size", language), size_text(entry.size) if entry.size else "?"),
        (text("hub_licence", language), entry.licence),
        (text("hub_memory", language), _memory(entry.parameters, device, language)),
        (text("hub_languages", language), ", ".join(entry.languages)),
        (text("hub_figure", language), f"{entry.figure} ({entry.source})" if entry.figure else ""),
    ]
    return _table(rows)


def _plan_facts(plan: DownloadPlan, device: str, language: Language) -> str:
    entry = catalog.find(plan.id)
    parameters = entry.parameters if entry else 0  # of others the numbers of their weights are not known yet
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
    """What it takes in the numbers that it would compute in there; "" where nobody knows."""
    if not parameters:
        return ""
    where = pick_device(device)
    how = runtime_config(where, parameters)
    return text(
        "hub_memory_of",
        language,
        need=size_text(needs(parameters, how.precision)),
        precision=how.precision,
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
