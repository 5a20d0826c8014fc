"""The tab Teach: data, a look at them, settings, and the start of a training that lives on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import MOST_TOML, Unreadable, read_text
from mmdemo.models.registry import default_model
from mmdemo.ui import answers
from mmdemo.ui.cards import size_text
from mmdemo.ui.runs import view as run_view
from mmdemo.ui.runs.tab import DOWNLOAD
from mmdemo.ui.runs.watch import Studio, switch
from mmdemo.ui.strings import Language, text
from mmdemo.ui.teach import actions as teach_actions
from mmdemo.ui.teach import camera
from mmdemo.ui.teach import hand as teach_hand
from mmdemo.ui.teach import lists as teach_lists
from mmdemo.ui.teach import settings as options
from mmdemo.ui.teach.data import FILES, HAND, DataPanel, folder_for_download, newest_set, unchecked
from mmdemo.ui.wiring import (
    CHOICE,
    DATA_EVENTS,
    LIVE_EVENTS,
    QUICK_EVENTS,
    Page,
    language_in,
    notice,
    raw_file,
)

LOOK_BY_ITSELF = 400
"""Items up to which data made by hand are looked at after every change."""


@dataclass(frozen=True, eq=False)
class Previewed:
    """A preview as the page keeps it: each look is another one, which is what gradio asks to notice a change."""

    preview: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """The parts of the tab that its events share."""

    page: Page
    studio: Studio
    data: DataPanel
    settings: options.Settings
    folder: gr.Textbox
    seen: gr.State

    @property
    def where(self) -> list[Any]:
        """Which data are meant."""
        return [self.data.task, self.data.source, self.data.name, self.folder]

    @property
    def inputs(self) -> list[Any]:
        """All settings."""
        return self.settings.inputs

    @property
    def filled(self) -> list[Any]:
        """What is filled in when data or base change."""
        return [*self.inputs[:-1], self.settings.suggested, self.settings.note]


def build(page: Page, studio: Studio) -> None:
    """Lay out the tab and wire it."""
    words = page.words
    gr.Markdown(words("teach_intro"), elem_classes="intro")
    gr.Markdown(words("teach_step_data"), elem_classes="mm-step")
    data = DataPanel(page)
    with gr.Column(visible=False) as bring, gr.Row(equal_height=True, elem_classes="mm-two"):
        zipped = raw_file(gr.File(label=words("teach_zip_in"), file_types=[".zip"], height=150, elem_id="teach-zip-in"))
        with gr.Column(min_width=260):
            folder = gr.Textbox(label=words("teach_folder"), info=words("teach_folder_info"), elem_id="teach-folder")
            brought = unchecked(gr.Dropdown([], label=words("teach_brought"), visible=False, elem_id="teach-brought"))
    hand = teach_hand.build(page, data)
    gr.Markdown(words("teach_step_look"), elem_classes="mm-step")
    look = gr.Button(words("teach_look"), size="md", elem_id="teach-look")
    seen = gr.State(None)
    shown = gr.HTML(answers.empty("teach_look_empty", "en"), elem_id="teach-preview")
    gr.Markdown(words("teach_step_settings"), elem_classes="mm-step")
    settings = options.build(page)
    with gr.Accordion(words("teach_command"), open=False, elem_id="teach-command"):
        command = gr.Textbox(
            label=words("runs_command"), lines=2, max_lines=8, interactive=False, buttons=["copy"],
            elem_id="teach-command-line", elem_classes="mm-mono",
        )  # fmt: skip
    said = gr.HTML(elem_id="teach-settings-said")
    estimate = gr.HTML(elem_id="teach-estimate")
    failure = gr.HTML(elem_id="teach-failure")
    start = gr.Button(words("teach_start"), variant="primary", size="lg", elem_id="teach-start")
    parts = _Parts(page=page, studio=studio, data=data, settings=settings, folder=folder, seen=seen)
    _arrange(parts, hand, bring, brought)
    _preview(parts, zipped, brought, look, shown)
    _fill(parts)
    _tell(parts, command, estimate, said)
    _toml(parts, said)
    _start(parts, start, failure)


def _arrange(parts: _Parts, hand: teach_hand.ManualEntry, bring: gr.Column, brought: gr.Dropdown) -> None:
    """What is shown follows the task and where its data come from."""
    data = parts.data

    def arrange(task: str, source: str) -> list[Any]:
        from mmdemo.studio import datasets

        found = [str(one) for one in datasets.list_folders() if not (one / "dataset.json").is_file()]
        parts = teach_hand.visible(task, source)
        groups = [gr.Column(visible=one) for one in parts]
        names = [(Path(one).name, one) for one in found]
        return [*groups, gr.Column(visible=source == FILES), gr.Dropdown(choices=names, visible=bool(found))]

    gr.on(
        [data.task.input, data.source.input],
        arrange,
        [data.task, data.source],
        [*hand.outputs(), bring, brought],
        api_name="page_teach_arrange",
        **QUICK_EVENTS,
        **CHOICE,
    ).then(None, None, None, js=camera.OFF, api_name="page_teach_camera_off", api_visibility="private")
    data.on([data.task.input, data.source.input], teach_actions.again, api_name="page_teach_task", choice=True)


def _preview(parts: _Parts, zipped: gr.File, brought: gr.Dropdown, look: gr.Button, shown: gr.HTML) -> None:
    """Data are looked at when they are brought, when they change, and when somebody asks."""
    data, settings, folder, seen, where = parts.data, parts.settings, parts.folder, parts.seen, parts.where

    def unpack(file: str | None, request: gr.Request) -> tuple[Any, ...]:
        from mmdemo.studio import import_data

        try:
            found = import_data.receive(Path(file or ""))
        except Exception as error:
            return notice(error, language_in(request)), None, gr.skip()
        note = text("teach_unpacked", language_in(request), n=found.files, name=found.name)
        return run_view.told(" ".join((note, *found.notes))), None, str(found.data)

    def fill_folder(path: str | None) -> str:
        return path or ""

    def look_at(task: str, source: str, name: str | None, typed: str, leaks: bool, request: gr.Request) -> list[Any]:
        from mmdemo.studio import preview

        language = language_in(request)
        try:
            found = preview.look(task, places(task, source, name, typed, language), allow_leaks=bool(leaks))
        except Exception as error:
            return [notice(error, language), None]
        served = Path(data.listing_cache())
        return [teach_lists.preview(found, served=served, language=language), Previewed(found)]

    def look_if_small(
        task: str, source: str, name: str | None, typed: str, leaks: bool, request: gr.Request
    ) -> list[Any]:
        from mmdemo.studio import datasets

        if source != FILES:
            set_name = name if source == HAND else f"corrections-{task}"
            found = next((one for one in datasets.list_datasets(task) if one.name == set_name), None)
            if found is not None and 0 < len(found.items) <= LOOK_BY_ITSELF:
                return look_at(task, source, name, typed, leaks, request)
        return [answers.empty("teach_look_empty", language_in(request)), None]

    looked = [*where, settings.leaks]
    unpacked = zipped.upload(unpack, zipped, [data.said, zipped, folder], api_name="page_teach_unpack", **DATA_EVENTS)
    unpacked.then(look_at, looked, [shown, seen], api_name="page_teach_unpacked", **DATA_EVENTS)
    brought.input(fill_folder, brought, folder, api_name="page_teach_brought", **QUICK_EVENTS).then(
        look_at, looked, [shown, seen], api_name="page_teach_brought_look", **DATA_EVENTS
    )
    gr.on([look.click, folder.submit], look_at, looked, [shown, seen], api_name="page_teach_look", **DATA_EVENTS)
    quietly = {**DATA_EVENTS, "show_progress": "hidden", "trigger_mode": "always_last"}
    data.stamp.change(look_if_small, looked, [shown, seen], api_name="page_teach_look_again", **quietly)


def _fill(parts: _Parts) -> None:
    """Settings follow the data and the base, but for those that somebody has touched."""
    page, studio, data, settings, seen = parts.page, parts.studio, parts.data, parts.settings, parts.seen
    where, inputs, filled = parts.where, parts.inputs, parts.filled

    def fill(
        request: gr.Request,
        task: str,
        source: str,
        name: str | None,
        typed: str,
        found: Any,
        before: Any,
        *values: Any,
    ) -> list[Any]:
        from mmdemo.studio import datasets

        language = language_in(request)

        if source == HAND and not name:  # the list may not be filled yet; what it will be filled with counts
            name = newest_set(datasets.list_datasets(task))
        stem = {HAND: name or task, FILES: Path(typed or task).name}.get(source, f"corrected-{task}")
        other_task = before.get("task") != task
        out, base = values[:2]
        points = options.starting_points(page.engines.default, task, language)
        if other_task or base not in [value for _, value in points]:
            base = default_model(task)
        public = options.is_public(task, base)
        # between models of ours what was typed stays; what others made is tuned at rates of its own
        anew = other_task or (base != before.get("base") and (public or bool(before.get("public"))))
        try:
            wanted = options.fitting(task, found and found.preview, options.free_name(stem), base)
            note = options.base_note(task, base, language)
        except MmdemoError as error:  # what it stands on is damaged, or has gone
            return [*(gr.skip() for _ in filled[:-1]), notice(error, language)]
        updates = options.untouched(values, wanted, before, always=anew)
        updates[1] = gr.Dropdown(choices=points, value=base) if base != values[1] else gr.Dropdown(choices=points)
        if anew:
            updates[2] = options.tune_update(wanted["tune"], public=public, language=language)
            if before.get("out") not in (None, out):  # a name that somebody has typed
                updates[0] = gr.skip()
        now = {"task": task, "base": base, "public": public, **wanted}
        return [*updates, now, note]

    following = [*where, seen, settings.suggested, *inputs]
    gr.on(
        [seen.change, data.task.change, data.name.change, settings.base.input],
        fill,
        following,
        filled,
        api_name="page_teach_fill",
        **QUICK_EVENTS,
    )

    def opened(request: gr.Request, tab: str, before: Any, *given: Any) -> list[Any]:
        """The tab is opened for the first time, or again: sets and models may have come meanwhile."""
        if tab != "teach":
            return [gr.skip()] * len(filled)
        return fill(request, *given[: len(where)], given[len(where)], before, *given[len(where) + 1 :])

    gr.on(
        [studio.tab.change, *(asked.change for asked in page.asked.values())],  # a public model was put into the lists
        opened,
        [studio.tab, settings.suggested, *where, seen, *inputs],
        filled,
        api_name="page_teach_opened",
        **QUICK_EVENTS,
    )
    data.on([studio.tab.change], teach_actions.again, api_name="page_teach_sets")


def _tell(parts: _Parts, command: gr.Textbox, estimate: gr.HTML, said: gr.HTML) -> None:
    """The command that does the same, and how long it takes, are told after every change."""
    page, studio, data, folder, seen = parts.page, parts.studio, parts.data, parts.folder, parts.seen
    where, inputs = parts.where, parts.inputs

    def tell(tab: str, device: str, preview: Any, *given: Any, request: gr.Request | None = None) -> list[Any]:
        from mmdemo.studio import settings as choices

        language = language_in(request)
        if tab != "teach" or given[4] is None:
            return [gr.skip()] * 3
        try:
            choice = _choose(given, device, language, need_data=False)
            line = choices.command(choice)
        except Exception as error:
            return [gr.skip(), "", notice(error, language)]
        try:
            return [line, _time(choice, preview and preview.preview, language), ""]
        except MmdemoError as error:  # it would not fit, which is no fault of the command
            return [line, notice(error, language), ""]

    def tell_now(request: gr.Request, tab: str, device: str, preview: Any, *given: Any) -> list[Any]:
        return tell(tab, device, preview, *given, request=request)

    described = [studio.tab, page.device, seen, *where, *inputs]
    triggers = [part.change for part in (*inputs, seen, data.name, folder, page.device)]
    gr.on(
        triggers,
        tell_now,
        described,
        [command, estimate, said],
        api_name="page_teach_command",
        **{**QUICK_EVENTS, "trigger_mode": "always_last"},
    )


def _toml(parts: _Parts, said: gr.HTML) -> None:
    """Settings are saved as a file, and read from one."""
    page, data, settings = parts.page, parts.data, parts.settings
    where, inputs, filled = parts.where, parts.inputs, parts.filled

    def show_blocks(kind: str) -> Any:
        return gr.Number(visible=kind == "last")

    settings.tune.change(show_blocks, settings.tune, settings.blocks, api_name="page_teach_tune", **QUICK_EVENTS)

    def save(request: gr.Request, device: str, *given: Any) -> tuple[Any, ...]:
        from mmdemo.studio import settings as choices

        language = language_in(request)
        try:
            choice = _choose(given, device, language, need_data=False)
            file = folder_for_download(settings.file.GRADIO_CACHE) / f"{choice.task}.toml"
            file.write_text(choices.to_toml(choice), encoding="utf-8")
        except Exception as error:
            return notice(error, language), None
        return "", str(file)

    settings.save.click(
        save, [page.device, *where, *inputs], [said, settings.file], api_name="page_teach_save_toml", **DATA_EVENTS
    ).success(
        None, None, None, js=DOWNLOAD.format(id="teach-toml"), api_name="page_teach_take_toml", api_visibility="private"
    )

    def load(request: gr.Request, file: str | None, task: str, before: Any, *values: Any) -> list[Any]:
        from mmdemo.studio import settings as choices

        language = language_in(request)
        try:
            written = read_text(Path(file or ""), most=MOST_TOML)
            overrides, base = choices.from_toml(task, written)
            wanted = options.shown_values(task, overrides, base)
            if base not in [value for _, value in options.starting_points(page.engines.default, task, language)]:
                raise MmdemoError(text("teach_toml_base", language, base=base))
        except Unreadable as error:
            problem = MmdemoError(text("teach_no_toml", language), error.why)
            return [notice(problem, language), *(gr.skip() for _ in filled)]
        except Exception as error:
            return [notice(error, language), *(gr.skip() for _ in filled)]
        public = options.is_public(task, base)
        updates = options.untouched(values, {**wanted, "base": base}, before, always=True)
        updates[2] = options.tune_update(wanted["tune"], public=public, language=language)
        done = run_view.told(text("teach_toml_read", language, n=len(overrides)))
        # what the file says stays, whatever is suggested for the data from now on
        now = {**options.all_touched(), "task": task, "base": base, "public": public}
        now |= {"out": before["out"]} if "out" in before else {}
        return [done, *updates, now, options.base_note(task, base, language)]

    settings.load.upload(
        load,
        [settings.load, data.task, settings.suggested, *inputs],
        [settings.read, *filled],  # not where the command is told, which follows at once
        api_name="page_teach_load_toml",
        **QUICK_EVENTS,
    )


def _start(parts: _Parts, start: gr.Button, failure: gr.HTML) -> None:
    """A training is started, and watched in the tab Runs."""
    page, studio, seen, where, inputs = parts.page, parts.studio, parts.seen, parts.where, parts.inputs

    def begin(request: gr.Request, device: str, looked_at: Any, *given: Any) -> list[Any]:
        from mmdemo import runs
        from mmdemo.studio import hub_bases
        from mmdemo.studio import settings as choices

        language = language_in(request)
        try:
            choice = _choose(given, device, language, need_data=True)
            found = looked_at and looked_at.preview
            if found is not None and found.data == choice.data and not found.good:
                raise MmdemoError(text("teach_not_yet", language), found.refusals[0].rstrip("."))
            hub_bases.check(choice, found)
            run = runs.start(choices.request_of(choice), name=choice.out)
        except Exception as error:
            return [notice(error, language), *(gr.skip() for _ in range(4))]
        return ["", run.name, *switch("runs"), gr.Timer(active=True)]

    start.click(
        begin,
        [page.device, seen, *where, *inputs],
        [failure, studio.opened, studio.tabs, studio.tab, studio.timer],
        api_name="page_teach_start",
        **LIVE_EVENTS,
    )


def _choose(given: Sequence[Any], device: str, language: Language, *, need_data: bool) -> Any:
    task, source, name, typed = given[:4]
    try:
        found = places(task, source, name, typed, language)
    except MmdemoError:
        if need_data:
            raise
        found = (Path("DATA"),)
    return options.chosen(task, found, given[4:], device=device, language=language)


def places(task: str, source: str, name: str | None, typed: str, language: Language) -> tuple[Path, ...]:
    """The data that are chosen.

    Raises:
        MmdemoError: There are none yet, or the folder cannot be used.
    """
    from mmdemo.studio import datasets, import_data

    if source == FILES:
        return (import_data.usable_folder(typed or ""),)
    wanted = name if source == HAND else f"corrections-{task}"
    if not wanted or (source != HAND and wanted not in [one.name for one in datasets.list_datasets(task)]):
        raise MmdemoError(text("teach_no_data", language), "", text("teach_no_data_try", language))
    return (datasets.read_dataset(wanted).folder,)


def _time(choice: Any, preview: Any, language: Language) -> str:
    if preview is None or not preview.good:
        return ""
    from mmdemo.studio.estimate import estimate

    found = estimate(choice, preview)
    low, high = run_view.length(found.low, language), run_view.length(found.high, language)
    words = text("teach_estimate", language, about=run_view.length(found.seconds, language), low=low, high=high)
    if found.memory:
        words += text("teach_estimate_memory", language, memory=size_text(found.memory))
    return f'<p class="mm mm-estimate">{escape(words)} <span class="mm-sub">({escape(found.how)})</span></p>'
