"""The tab Runs: every training, running or past, as it is on disk."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import TASKS
from mmdemo.ui import answers
from mmdemo.ui.runs import view as run_view
from mmdemo.ui.runs.watch import Studio, banner, changed, chosen_run, read_runs, switch
from mmdemo.ui.strings import Language, text
from mmdemo.ui.wiring import DATA_EVENTS, LIVE_EVENTS, QUICK_EVENTS, Page, language_in, model_ids, notice, raw_file

PRESSED = (
    "element.addEventListener('click', event => {"
    " const button = event.target.closest('button[data-run]');"
    " if (button) trigger('click', {run: button.dataset.run, action: button.dataset.do || ''}); });"
)
"""Buttons inside own HTML tell the page which one was pressed."""

IN_SIGHT = """() => {
  const opened = document.getElementById("runs-opened"), top = opened ? opened.getBoundingClientRect().top : 0;
  if (top < 0 || top > window.innerHeight / 2) opened.scrollIntoView({block: "start", behavior: "smooth"});
}"""
"""On a phone the list is below what it opens."""

DOWNLOAD = "() => document.querySelector('#{id}')?.click()"
"""A file is made first and taken then; the second click is done by the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsTab:
    """The parts of the tab that follow the disk, in the order of :func:`_wanted`."""

    views: tuple[gr.HTML, ...]
    buttons: tuple[gr.Button, ...]
    compare: gr.Button

    @property
    def outputs(self) -> list[Any]:
        return [*self.views, *self.buttons]


def build(page: Page, studio: Studio) -> RunsTab:
    """Lay out the tab and wire its buttons; :func:`follow` keeps it up to date."""
    words = page.words
    gr.Markdown(words("runs_intro"), elem_classes="intro")
    said = gr.HTML(elem_id="runs-said")
    with gr.Row(equal_height=False, elem_classes="mm-two"):
        with gr.Column(scale=4, min_width=280):
            listing = gr.HTML(elem_id="runs-list", js_on_load=PRESSED)
            with gr.Accordion(words("runs_receive"), open=False, elem_id="runs-receive"):
                gr.Markdown(words("runs_receive_info"), elem_classes="intro")
                brought = raw_file(
                    gr.File(label=words("runs_receive"), file_types=[".zip"], height=130, elem_id="runs-zip")
                )
        with gr.Column(scale=7, min_width=300, elem_id="runs-opened"):
            state = gr.HTML(elem_id="runs-state")
            failure = gr.HTML(elem_id="runs-failed")
            with gr.Row(elem_classes="mm-buttons"):
                use = gr.Button(words("runs_use"), variant="primary", size="md", visible=False, elem_id="runs-use")
                compare = gr.Button(words("runs_compare"), size="md", visible=False, elem_id="runs-compare")
                stop = gr.Button(words("runs_stop"), size="md", visible=False, elem_id="runs-stop")
                stop_now = gr.Button(words("runs_stop_now"), size="md", visible=False, elem_id="runs-stop-now")
                resume = gr.Button(words("runs_resume"), size="md", visible=False, elem_id="runs-resume")
                download = gr.Button(words("runs_download"), size="md", visible=False, elem_id="runs-download")
                rename = gr.Button(words("runs_rename"), size="md", visible=False, elem_id="runs-rename")
                delete = gr.Button(words("runs_delete"), size="md", visible=False, elem_id="runs-delete")
            why_not = gr.HTML(elem_id="runs-why-not")
            zipped = gr.DownloadButton(words("runs_download"), elem_classes="mm-unseen", elem_id="runs-zipped")  # type: ignore[arg-type]
            with gr.Row(visible=False, elem_classes="mm-ask") as renaming:
                new_name = gr.Textbox(label=words("runs_new_name"), max_length=80, elem_id="runs-new-name")
                rename_yes = gr.Button(words("runs_rename_yes"), size="md", elem_id="runs-rename-yes")
                rename_no = gr.Button(words("runs_cancel"), size="md", elem_id="runs-rename-no")
            with gr.Row(visible=False, elem_classes="mm-ask") as deleting:
                question = gr.HTML(elem_id="runs-delete-ask")
                delete_yes = gr.Button(words("runs_delete_yes"), variant="stop", size="md", elem_id="runs-delete-yes")
                delete_no = gr.Button(words("runs_cancel"), size="md", elem_id="runs-delete-no")
            curves = gr.HTML(elem_id="runs-curves")
            figures = gr.HTML(elem_id="runs-figures")
            with gr.Accordion(words("runs_made_of"), open=False, elem_id="runs-made-of"):
                made_of = gr.HTML()
            with gr.Accordion(words("runs_log"), open=False, elem_id="runs-log"):
                log = gr.HTML()

    # ------------------------------------------------------------ what the buttons do

    opened, tabs, tab = studio.opened, studio.tabs, studio.tab
    used = [tabs, tab, *(page.models[task] for task in TASKS), *(page.asked[task] for task in TASKS)]

    def do_download(name: str, request: gr.Request) -> tuple[Any, ...]:
        from mmdemo import runs
        from mmdemo.studio import import_model

        try:
            _need(name, language_in(request))
            runs.read_run(name)  # a name, never a place on this machine
            folder = Path(zipped.GRADIO_CACHE)
            folder.mkdir(parents=True, exist_ok=True)
            return "", str(import_model.export(name, Path(tempfile.mkdtemp(dir=folder)) / f"{name}.zip"))
        except Exception as error:
            return notice(error, language_in(request)), None

    def do_use(name: str) -> list[Any]:
        return use_model(page, name)

    def from_banner(hidden: Sequence[str], event: gr.EventData) -> list[Any]:
        name, action = str(event._data.get("run", "")), event._data.get("action")
        if action == "hide":
            return [(*hidden, name), *(gr.skip() for _ in range(1 + len(used)))]
        if action == "use":
            return [gr.skip(), name, *use_model(page, name)]
        return [gr.skip(), name, *switch("runs"), *(gr.skip() for _ in used[2:])]

    quick = LIVE_EVENTS
    listing.click(_open_one, None, opened, api_name="page_runs_open", **quick).then(
        _close, None, [renaming, deleting], js=IN_SIGHT, api_name="page_runs_opened", **quick
    )
    acted = [
        stop.click(_do_stop, opened, said, api_name="page_runs_stop", **quick),
        stop_now.click(_do_stop, opened, said, api_name="page_runs_stop_now", **quick),
        resume.click(_do_resume, opened, said, api_name="page_runs_resume", **quick),
    ]
    rename.click(_ask_rename, opened, [renaming, new_name, deleting], api_name="page_runs_rename_ask", **quick)
    gr.on(
        [rename_yes.click, new_name.submit],
        _do_rename,
        [opened, new_name],
        [said, renaming, opened],
        api_name="page_runs_rename",
        **quick,
    )
    delete.click(_ask_delete, opened, [deleting, question, renaming], api_name="page_runs_delete_ask", **quick)

    delete_yes.click(_do_delete, opened, [said, deleting, opened], api_name="page_runs_delete", **quick)
    gr.on([rename_no.click, delete_no.click], _close, None, [renaming, deleting], api_name="page_runs_cancel", **quick)
    download.click(do_download, opened, [said, zipped], api_name="page_runs_download", **DATA_EVENTS).success(
        None, None, None, js=DOWNLOAD.format(id="runs-zipped"), api_name="page_runs_take", api_visibility="private"
    )
    brought.upload(_do_receive, brought, [said, brought], api_name="page_runs_receive", **DATA_EVENTS)
    use.click(do_use, opened, used, api_name="page_runs_use", **quick)
    hidden = gr.State(())
    studio.banner.click(from_banner, hidden, [hidden, opened, *used], api_name="page_runs_banner", **quick)
    views = (listing, state, failure, curves, figures, made_of, log, why_not)
    buttons = (use, compare, stop, stop_now, resume, download, rename, delete)
    tab_parts = RunsTab(views=views, buttons=buttons, compare=compare)
    _follow(page, studio, tab_parts, hidden, acted)
    return tab_parts


def _act(what: str, name: str, request: gr.Request) -> str:
    from mmdemo import runs

    language = language_in(request)
    try:
        _need(name, language)
        {"stop": runs.stop, "resume": runs.resume}[what](name)
    except Exception as error:
        return notice(error, language)
    return ""


def _do_stop(name: str, request: gr.Request) -> str:
    return _act("stop", name, request)


def _do_resume(name: str, request: gr.Request) -> str:
    return _act("resume", name, request)


def _open_one(event: gr.EventData) -> str:
    return str(event._data.get("run", ""))


def _ask_rename(name: str) -> tuple[Any, ...]:
    return gr.Row(visible=True), gr.Textbox(value=name), gr.Row(visible=False)


def _do_rename(name: str, new: str, request: gr.Request) -> tuple[Any, ...]:
    from mmdemo import runs

    language = language_in(request)
    try:
        _need(name, language)
        found = runs.rename(name, new)
    except Exception as error:
        return notice(error, language), gr.skip(), gr.skip()
    return _said("runs_renamed", language, name=found.name), gr.Row(visible=False), found.name


def _ask_delete(name: str, request: gr.Request) -> tuple[Any, ...]:
    asked = run_view.told(text("runs_delete_ask", language_in(request), name=name))
    return gr.Row(visible=True), asked, gr.Row(visible=False)


def _do_delete(name: str, request: gr.Request) -> tuple[Any, ...]:
    from mmdemo import runs

    language = language_in(request)
    try:
        _need(name, language)
        runs.delete(name)
    except Exception as error:
        return notice(error, language), gr.skip(), gr.skip()
    return _said("runs_deleted", language, name=name), gr.Row(visible=False), ""


def _close() -> tuple[Any, ...]:
    return gr.Row(visible=False), gr.Row(visible=False)


def _do_receive(file: str | None, request: gr.Request) -> tuple[Any, ...]:
    from mmdemo.studio import import_model

    language = language_in(request)
    if not file:
        return "", gr.skip()
    try:
        card = import_model.receive(Path(file))
    except Exception as error:
        return notice(error, language), None
    return _said("runs_received", language, name=card.id, task=run_view.task_name(card.task, language)), None


def use_model(page: Page, name: str) -> list[Any]:
    """Updates that open a model's tab and have the model loaded there: tabs, the open one, lists, and what is asked."""
    run = next((one for one in read_runs() if one.name == name), None)
    if run is None or not run.model:
        return [gr.skip()] * (2 + 2 * len(TASKS))
    found = model_ids(page.engines.default, run.task)
    lists = [gr.Dropdown(choices=found, value=name) if task == run.task else gr.skip() for task in TASKS]
    asked = [f"{name} {time.time()}" if task == run.task else gr.skip() for task in TASKS]
    return [*switch(run.task), *lists, *asked]


def _follow(page: Page, studio: Studio, parts: RunsTab, hidden: gr.State, acted: Sequence[Any]) -> None:
    """Whatever may have changed what is shown: a tick, another tab, another run, a page opened anew."""
    shown = gr.State(((), ()))
    outputs = [shown, studio.opened, studio.timer, studio.banner, *parts.outputs]

    def look(tab: str, opened: str, dismissed: Sequence[str], seen: Any, request: gr.Request) -> list[Any]:
        language = language_in(request)
        runs = read_runs()
        active = any(one.state in run_view.ACTIVE for one in runs)
        above: list[Mapping[str, Any]] = [
            {"active": active or tab == "runs"},
            {"value": banner(runs, dismissed, language)},
        ]
        head, head_seen = changed(above, seen[0])
        body, body_seen, name = [gr.skip()] * len(parts.outputs), seen[1], opened
        if tab == "runs":  # nobody sees it otherwise
            run = chosen_run(runs, opened)
            name = run.name if run is not None else opened
            body, body_seen = changed(_wanted(runs, run, language), seen[1])
        if name == opened and all(update == gr.skip() for update in (*head, *body)):
            return [gr.skip()] * len(outputs)
        return [(head_seen, body_seen), name if name != opened else gr.skip(), *head, *body]

    given = [studio.tab, studio.opened, hidden, shown]
    settings = {**QUICK_EVENTS, "trigger_mode": "multiple"}
    studio.timer.tick(look, given, outputs, api_name="page_runs_tick", **settings)
    gr.on(
        [studio.demo.load, studio.opened.change, studio.tab.change, hidden.change],
        look,
        given,
        outputs,
        api_name="page_runs_look",
        **settings,
    )
    for number, event in enumerate(acted):  # at once: whoever sees no change presses again, and that ends the process
        event.then(look, given, outputs, api_name=f"page_runs_acted_{number}", **settings)


def _wanted(runs: Sequence[Any], run: Any, language: Language) -> list[Mapping[str, Any]]:
    """Properties of every part of the tab, in the order of :attr:`RunsTab.outputs`."""
    from mmdemo import runs as on_disk

    listing = {"value": run_view.run_list(runs, run.name if run else "", language)}
    if run is None:
        empty = answers.trouble_free(text("runs_choose", language)) if runs else ""
        return [listing, {"value": empty}, *([{"value": ""}] * 6), *([{"visible": False}] * 8)]
    end = on_disk.log_end(run.name)
    active = run.state in run_view.ACTIVE
    why = ""
    if not active and not run.resumable and run.state != "done" and run.why_not:
        why = run_view.told(text("runs_why_not", language, why=run.why_not))
    views = [
        run_view.state(run, language),
        run_view.failure(run, end, language),
        run_view.curves(run, on_disk.curve(run.name), language),
        run_view.figures(run.metrics, language),
        run_view.made_of(run, language),
        run_view.log(end, language),
        why,
    ]
    stopping = run.state in ("stopping", "queued", "preparing")
    ready = run.model and not active
    resume: dict[str, Any] = {"visible": not active and run.state != "done", "interactive": run.resumable}
    return [
        listing,
        *({"value": view} for view in views),
        {"visible": ready},
        {"visible": ready},
        {"visible": active and not stopping},
        {"visible": active and stopping},
        resume,
        {"visible": ready},
        {"visible": not active},
        {"visible": not active},
    ]


def _need(name: str, language: Language) -> None:
    if not name:
        raise MmdemoError(text("runs_no_run", language), "", text("runs_no_run_try", language))


def _said(key: str, language: Language, **values: object) -> str:
    return run_view.told(text(key, language, **values))
