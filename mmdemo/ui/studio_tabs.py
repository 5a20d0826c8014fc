"""Everything of the page that makes and keeps models: tabs Teach, Runs and Compare. A shared page never imports it."""

from __future__ import annotations

from typing import Any

import gradio as gr

from mmdemo.core.tasks import ASK
from mmdemo.core.types import TASKS
from mmdemo.models.registry import default_model
from mmdemo.ui import hub_models
from mmdemo.ui.compare import tab as compare
from mmdemo.ui.runs import tab as runs
from mmdemo.ui.runs.watch import SECONDS, Studio, read_runs, switch
from mmdemo.ui.teach import tab as teach
from mmdemo.ui.wiring import LIVE_EVENTS, Page, model_ids


def build_frame(demo: gr.Blocks) -> Studio:
    """What the tabs share: a line at the top, and what stands nowhere."""
    return Studio(
        tabs=gr.Tabs(elem_id="tabs", overflow_behavior="wrap", render=False),
        tab=gr.State(ASK),
        opened=gr.State(""),
        timer=gr.Timer(SECONDS, active=False),
        banner=gr.HTML(elem_id="banner", js_on_load=runs.PRESSED),
        demo=demo,
    )


def build_hub(page: Page) -> None:
    """Models that others published, under the model lists."""
    hub_models.build(page)


def build(page: Page, studio: Studio) -> None:
    """Lay out the tabs, inside ``studio.tabs``."""
    with gr.Tab(page.words("tab_teach"), id="teach", elem_id="tab-teach"):
        teach.build(page, studio)
    with gr.Tab(page.words("tab_runs"), id="runs", elem_id="tab-runs"):
        parts = runs.build(page, studio)
    with gr.Tab(page.words("tab_compare"), id="compare", elem_id="tab-compare"):
        comparing = compare.build(page, studio)
    _compare_with_base(page, studio, button=parts.compare, comparing=comparing)
    studio.tabs.select(_open_tab, None, studio.tab, api_name="page_tab", **LIVE_EVENTS)


def _compare_with_base(page: Page, studio: Studio, *, button: gr.Button, comparing: compare.CompareTab) -> None:
    """From a run to the tab Compare, with the model that it started from beside it."""

    def show(name: str) -> list[Any]:
        run = next((one for one in read_runs() if one.name == name), None)
        if run is None or run.task not in TASKS:
            return [gr.skip()] * 3
        found = model_ids(page.engines.default, run.task)
        base = next((one for one in (run.start, run.base) if one in found), default_model(run.task))
        return [(run.task, base, name), *switch("compare")]

    outputs = [comparing.wanted, studio.tabs, studio.tab]
    button.click(show, studio.opened, outputs, api_name="page_runs_compare", **LIVE_EVENTS)


def _open_tab(event: gr.SelectData) -> str:
    return str(event._data["id"])
