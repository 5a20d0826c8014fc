"""The tab Compare: two models of a job on data, on one input, and on what one of them may have forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from mmdemo.core.tasks import CLASSIFY, spec_of
from mmdemo.core.types import TASKS
from mmdemo.ui import answers
from mmdemo.ui.compare import forgetting as compare_forgetting
from mmdemo.ui.compare import side as compare_side
from mmdemo.ui.compare import work as compare_work
from mmdemo.ui.compare.data import COMPARE_EVENTS, DataChoice, data_choice, data_update, two
from mmdemo.ui.strings import text
from mmdemo.ui.wiring import CHOICE, QUICK_EVENTS, Page, language_in, model_ids, notice

if TYPE_CHECKING:
    from mmdemo.evaluate.verdict import Verdict
    from mmdemo.ui.runs.watch import Studio


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareTab:
    """What other tabs need of this one.

    Attributes:
        wanted: Task and two models that the tab shows when it is opened next; None to leave it as it is. It is kept by
            the server: a value that the browser still has to be told would be too late for what opening the tab does.
        refresh: Fills the lists with what is on disk by now; takes ``given`` and gives ``lists``.
    """

    wanted: gr.State
    refresh: Callable[..., list[Any]]
    given: Sequence[Any]
    lists: Sequence[Any]


def build(page: Page, studio: Studio | None = None) -> CompareTab:
    """Lay out the tab and wire it.

    Args:
        studio: Tells when the tab is opened, so that its lists are up to date.
    """
    words = page.words
    gr.Markdown(words("compare_intro"), elem_classes="intro")
    task = gr.Radio(
        [(words(f"tab_{name}"), name) for name in TASKS],
        value=CLASSIFY,
        label=words("compare_task"),
        elem_id="compare-task",
    )
    with gr.Row(elem_id="compare-bar"):
        first, second = _two_models(page, CLASSIFY)
        a = gr.Dropdown(**first, label=words("compare_a"), elem_id="compare-a", min_width=180)
        b = gr.Dropdown(**second, label=words("compare_b"), elem_id="compare-b", min_width=180)
    with gr.Tabs(elem_id="compare-parts"):
        with gr.Tab(words("compare_on_data"), id="compare-data", elem_id="tab-compare-data"):
            data = _build_data(page, task, a, b)
        with gr.Tab(words("compare_side"), id="compare-side", elem_id="tab-compare-side"):
            side = compare_side.build(page, task, a, b)
        with gr.Tab(words("compare_forgetting"), id="compare-forgetting", elem_id="tab-compare-forgetting"):
            # the tab itself stays: gradio hides what is in it and leaves its button, on which somebody may be
            others = gr.HTML(visible=False, elem_id="compare-forgetting-only")
            with gr.Column() as forgetting:
                new, old = compare_forgetting.build(page, task, a, b)

    fields = [field for choice in (data, new, old) for field in choice.both]
    lists = [a, b, *fields, *side, forgetting, others]
    given = [task, a, b, *fields]

    def refresh(
        job: str,
        one: str | None,
        other: str | None,
        chosen: str | None,
        typed: str | None,
        new_chosen: str | None,
        new_typed: str | None,
        old_chosen: str | None,
        old_typed: str | None,
        request: gr.Request,
    ) -> list[Any]:
        language = language_in(request)
        models = _two_models(page, job, one, other)
        two = tuple(model["value"] for model in models)
        return [
            *(gr.Dropdown(**model) for model in models),
            *data_update(job, two, (chosen, typed), language),
            *data_update(CLASSIFY, two, (new_chosen, new_typed), language),
            *data_update(CLASSIFY, two, (old_chosen, old_typed), language, old=True),
            *compare_side.shown(job),
            gr.Column(visible=job == CLASSIFY),
            gr.HTML(answers.trouble_free(text("compare_forgetting_only", language)), visible=job != CLASSIFY),
        ]

    task.input(refresh, given, lists, api_name="page_compare_task", **QUICK_EVENTS, **CHOICE)
    gr.on([a.input, b.input], refresh, given, lists, api_name="page_compare_models", **QUICK_EVENTS, **CHOICE)
    wanted = gr.State(None)

    def opened(request: gr.Request, asked: tuple[str, str, str] | None, *shown: Any) -> list[Any]:
        if asked is None:
            values: list[Any] = [*shown, request]
            return [gr.skip(), gr.skip(), *refresh(*values)]
        values = [*asked, *([None] * len(fields)), request]  # what was measured on before was for other models
        return [None, asked[0], *refresh(*values)]

    if studio is not None:
        outputs = [wanted, task, *lists]
        studio.tab.change(opened, [wanted, *given], outputs, api_name="page_compare_opened", **QUICK_EVENTS, **CHOICE)
    return CompareTab(wanted=wanted, refresh=refresh, given=given, lists=lists)


def _two_models(
    page: Page, task: str, one: str | None = None, other: str | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Choices and values of both lists: what was chosen and is still there, else the shipped one and another."""
    found = model_ids(page.engines.default, task)
    shipped = f"{task}-base" if f"{task}-base" in found else next(iter(found), None)
    newer = next((name for name in reversed(found) if name != shipped), shipped)
    values = (one if one in found else shipped, other if other in found else newer)
    first, second = ({"choices": found, "value": value, "interactive": True} for value in values)
    return first, second


# ---------------------------------------------------------------- on data


def _build_data(page: Page, task: gr.Radio, a: gr.Dropdown, b: gr.Dropdown) -> DataChoice:
    words = page.words
    with gr.Row():
        with gr.Column(scale=3, min_width=260):
            data = data_choice(page, "compare_data", "data", info="compare_data_info")
        with gr.Column(scale=1, min_width=160):
            limit = gr.Number(
                label=words("compare_limit"),
                info=words("compare_limit_info"),
                value=0,
                precision=0,
                minimum=0,
                elem_id="compare-limit",
            )
    with gr.Row(elem_classes="mm-buttons"):
        button = gr.Button(words("compare_run"), variant="primary", size="lg", elem_id="compare-button")
        stop = gr.Button(words("compare_cancel"), size="lg", visible=False, elem_id="compare-cancel")
    failure = gr.HTML(elem_id="compare-failure")
    result = gr.HTML(answers.empty("compare_empty", "en"), elem_id="compare-result", elem_classes="result")
    download = gr.DownloadButton(words("compare_csv"), visible=False, elem_id="compare-csv")  # type: ignore[arg-type]

    def run(
        job: str,
        one: str | None,
        other: str | None,
        chosen: str | None,
        typed: str | None,
        most: float | None,
        device: str,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        from mmdemo.studio import compare as studio
        from mmdemo.ui.compare import view as compare_view

        language = language_in(request)
        waiting, over = (
            (
                gr.Button(interactive=False),
                gr.Button(visible=True),
            ),
            (gr.Button(interactive=True), gr.Button(visible=False)),
        )

        def measure(progress: Callable[[int, int], None]) -> Verdict:
            names = two(one, other, language)
            dataset = compare_work.read_choice(job, chosen, typed, language)
            progress(0, 0)
            return studio.run(*names, dataset, device=device, limit=int(most or 0) or None, progress=progress)

        try:
            for work in compare_work.watched(f"data {request.session_hash}", measure):
                if not work.ended.is_set():
                    shown = compare_view.busy(work.done, work.total, language)
                    yield "", shown, gr.DownloadButton(visible=False), *waiting
            found = work.outcome()
            served = Path(download.GRADIO_CACHE)
            file = compare_work.fresh_file(served, "compare.csv")
            studio.write_csv(found, file)
            shown = compare_view.verdict(found, served=served, sound=spec_of(job).has_sound, language=language)
            yield "", shown, gr.DownloadButton(value=str(file), visible=True), *over
        except compare_work.Cancelled:
            shown = answers.trouble_free(text("compare_cancelled", language))
            yield "", shown, gr.DownloadButton(visible=False), *over
        except Exception as error:
            yield notice(error, language), "", gr.DownloadButton(visible=False), *over

    def cancel(request: gr.Request) -> None:
        compare_work.cancel(f"data {request.session_hash}")

    button.click(
        run,
        [task, a, b, *data.both, limit, page.device],
        [failure, result, download, button, stop],
        api_name="page_compare_run",
        **COMPARE_EVENTS,
    )

    def clear(request: gr.Request) -> tuple[Any, ...]:
        """What was measured for another job says nothing of the models that are chosen now."""
        return "", answers.empty("compare_empty", language_in(request)), gr.DownloadButton(visible=False)

    stop.click(cancel, None, None, api_name="page_compare_cancel", **QUICK_EVENTS)
    task.change(clear, None, [failure, result, download], api_name="page_compare_clear", **QUICK_EVENTS)
    return data
