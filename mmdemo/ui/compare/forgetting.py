"""The part of the tab Compare about forgetting: two accuracies along the line from A to B, and a mixture to keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import gradio as gr

from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import CLASSIFY
from mmdemo.ui import answers
from mmdemo.ui.compare import work as compare_work
from mmdemo.ui.compare.data import COMPARE_EVENTS, DataChoice, data_choice, two
from mmdemo.ui.strings import text
from mmdemo.ui.wiring import QUICK_EVENTS, Page, language_in, model_ids, notice

if TYPE_CHECKING:
    from mmdemo.evaluate.forgetting import Curve


def build(page: Page, task: gr.Radio, a: gr.Dropdown, b: gr.Dropdown) -> tuple[DataChoice, DataChoice]:
    """Lay out the part and wire it; returns the lists of the new and of the other labels."""
    words = page.words
    measured = gr.State(None)
    gr.Markdown(words("compare_forgetting_info"), elem_classes="intro")
    with gr.Row():
        with gr.Column(min_width=260):
            new = data_choice(page, "compare_new_data", "new")
        with gr.Column(min_width=260):
            old = data_choice(page, "compare_old_data", "old")
    with gr.Row(elem_classes="mm-buttons"):
        button = gr.Button(words("compare_line_run"), variant="primary", size="lg", elem_id="compare-line-button")
        stop = gr.Button(words("compare_cancel"), size="lg", visible=False, elem_id="compare-line-cancel")
    failure = gr.HTML(elem_id="compare-line-failure")
    result = gr.HTML(answers.empty("compare_line_empty", "en"), elem_id="compare-line", elem_classes="result")
    with gr.Row(visible=False, elem_classes="mm-set", elem_id="compare-mixture") as mixture:
        share = gr.Slider(
            0,
            1,
            value=0.5,
            step=0.1,
            label=words("compare_share"),
            info=words("compare_share_info"),
            elem_id="compare-share",
        )
        name = gr.Textbox(label=words("compare_keep_name"), max_length=80, elem_id="compare-keep-name")
        keep = gr.Button(words("compare_keep"), size="md", elem_id="compare-keep")
    said = gr.HTML(elem_id="compare-kept")

    def run(
        job: str,
        one: str | None,
        other: str | None,
        new_chosen: str | None,
        new_typed: str | None,
        old_chosen: str | None,
        old_typed: str | None,
        device: str,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        from mmdemo.ui.compare import view as compare_view

        language = language_in(request)
        waiting = gr.Button(interactive=False), gr.Button(visible=True)
        over = gr.Button(interactive=True), gr.Button(visible=False)
        unchanged = gr.skip(), gr.skip(), gr.skip(), ""

        def measure(progress: Callable[[int, int], None]) -> Curve:
            from mmdemo.evaluate.forgetting import curve
            from mmdemo.models.loading import pick_device
            from mmdemo.studio.compare import folder_of

            names = two(one, other, language)
            if job != CLASSIFY:
                raise MmdemoError(text("compare_forgetting_only", language).rstrip(".。"))
            fresh = compare_work.read_choice(job, new_chosen, new_typed, language)
            others = compare_work.read_choice(job, old_chosen, old_typed, language)
            progress(0, 0)
            before, after = (folder_of(each) for each in names)
            return curve(before, after, fresh, others, device=pick_device(device), progress=progress)

        try:
            for work in compare_work.watched(f"line {request.session_hash}", measure):
                if not work.ended.is_set():
                    yield "", compare_view.busy(work.done, work.total, language), *unchanged, *waiting
            found = work.outcome()
            best = found.best().alpha
            step = round(found.points[1].alpha - found.points[0].alpha, 6)
            slider = gr.Slider(value=best, step=step)
            shown = compare_view.line(found, best, language)
            yield "", shown, (found, one, other), slider, gr.Row(visible=True), "", *over
        except compare_work.Cancelled:
            shown = answers.trouble_free(text("compare_cancelled", language))
            yield "", shown, None, gr.skip(), gr.Row(visible=False), "", *over
        except Exception as error:
            yield notice(error, language), "", None, gr.skip(), gr.Row(visible=False), "", *over

    def cancel(request: gr.Request) -> None:
        compare_work.cancel(f"line {request.session_hash}")

    def move(kept: Any, at: float, request: gr.Request) -> Any:
        from mmdemo.ui.compare import view as compare_view

        return gr.skip() if kept is None else compare_view.line(kept[0], at, language_in(request))

    def keep_it(kept: Any, at: float, called: str, request: gr.Request) -> tuple[Any, ...]:
        from mmdemo.runs import check_name
        from mmdemo.studio.compare import folder_of
        from mmdemo.studio.interpolation import save_interpolation

        language = language_in(request)
        try:
            if kept is None:
                raise MmdemoError(text("compare_keep_first", language), "", text("compare_keep_first_try", language))
            found, one, other = kept
            wanted = (called or "").strip()
            if wanted:  # as for runs: a name that every part of the page takes, and never a place
                check_name(wanted)
            at = round(at, 6)
            folder = save_interpolation(
                folder_of(one), folder_of(other), at, wanted, metrics=found.metrics(at), notes=found.notes
            )
        except Exception as error:
            return notice(error, language), gr.skip(), gr.skip(), gr.skip()
        names = model_ids(page.engines.default, CLASSIFY)
        lists = (gr.Dropdown(choices=names) for _ in range(3))
        return answers.trouble_free(text("compare_kept", language, name=folder.name)), *lists

    button.click(
        run,
        [task, a, b, *new.both, *old.both, page.device],
        [failure, result, measured, share, mixture, said, button, stop],
        api_name="page_compare_line",
        **COMPARE_EVENTS,
    )
    stop.click(cancel, None, None, api_name="page_compare_line_cancel", **QUICK_EVENTS)
    share.change(move, [measured, share], result, api_name="page_compare_share", **QUICK_EVENTS)
    keep.click(
        keep_it,
        [measured, share, name],
        [said, a, b, page.models[CLASSIFY]],
        api_name="page_compare_keep",
        **COMPARE_EVENTS,
    )
    return new, old
