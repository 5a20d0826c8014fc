"""The page: one bar for model and device, four tabs, and the four jobs for programs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from mmdemo.core.tasks import ASK, CAPTION, CLASSIFY, SENTIMENT
from mmdemo.core.types import TASKS
from mmdemo.media.limits import MAX_AUDIO_SECONDS, MAX_PIXELS
from mmdemo.serving.engine import Engine
from mmdemo.ui import api, ask, caption, classify, model_bar, sentiment
from mmdemo.ui.cards import card_markdown
from mmdemo.ui.limits import OWN, PUBLIC
from mmdemo.ui.queue import FairQueue
from mmdemo.ui.strings import translations
from mmdemo.ui.uploads import check_requests
from mmdemo.ui.web.blocks import ServedBlocks
from mmdemo.ui.wiring import QUICK_EVENTS, Engines, Page, card_or_none, model_ids

TITLE = "mmdemo"
MAX_UPLOAD_MB = 2_000  # data and models come as zips; a picture or a clip has the limit of media/
MAX_UPLOAD_MB_PUBLIC = 20
"""Megabytes (10^6 bytes) of one upload; the media layer checks its own limits besides."""

UPLOADS_KEPT_HOURS = 2
"""Hours after which an uploaded file is deleted; all of them go when the program ends."""

DELETED_EVERY_SECONDS = 600

_TABS = ((ASK, ask), (CLASSIFY, classify), (CAPTION, caption), (SENTIMENT, sentiment))


def build_words(*, public: bool) -> gr.I18n:
    """All words that the browser translates."""
    note = {
        "mb": MAX_UPLOAD_MB_PUBLIC if public else MAX_UPLOAD_MB,
        "megapixels": MAX_PIXELS // 1_000_000,
        "minutes": int(MAX_AUDIO_SECONDS // 60),
        "hours": UPLOADS_KEPT_HOURS,
    }
    return gr.I18n(**translations(public=public, public_note=note))


def build_page(engine: Engine, *, public: bool, device: str, words: gr.I18n | None = None) -> gr.Blocks:
    """Lay out the whole page around an engine.

    Args:
        engine: Who answers; made with ``public=True`` for a shared page.
        public: Build the profile for others: fixed models and device, fewer pictures at once.
        device: Device of ``engine``, as given on the command line.
        words: The translations that ``launch`` will get; made here when left out.
    """
    words = words or build_words(public=public)
    engines = Engines(engine, device=device, public=public)
    delete_every = (DELETED_EVERY_SECONDS, UPLOADS_KEPT_HOURS * 3600)
    demo = ServedBlocks(title=TITLE, analytics_enabled=False, delete_cache=delete_every, fill_width=True)
    with demo:
        with gr.Column(elem_id="head"):
            gr.Markdown(f"# {TITLE}")
            gr.Markdown(words("tagline"), elem_id="tagline")
        if public:
            gr.Markdown(words("public_note"), elem_id="shared-note")
        else:
            from mmdemo.ui import studio_tabs  # a shared page does not even import it

            studio = studio_tabs.build_frame(demo)
        with gr.Row(elem_id="bar"):
            models = model_bar.choices(engine, words)
            chosen = gr.Dropdown(
                _device_choices(words, [device]),
                value=device,
                label=words("device"),
                interactive=not public,
                min_width=160,
                elem_id="device",
            )
        bar = model_bar.below(models, public=public)
        page = Page(
            engines=engines,
            public=public,
            words=words,
            models=models,
            serving=bar.serving,
            notes=bar.notes,
            asked=bar.asked,
            device=chosen,
        )
        if not public:
            studio_tabs.build_hub(page)
        cards = {}
        tabs = gr.Tabs(elem_id="tabs") if public else studio.tabs.render()  # type: ignore[no-untyped-call]
        with tabs:
            for task, tab in _TABS:
                with gr.Tab(words(f"tab_{task}"), id=task, elem_id=f"tab-{task}"):
                    tab.build(page)
                    with gr.Accordion(words("card"), open=False, elem_id=f"card-{task}"):
                        first = card_markdown(card_or_none(engine, task, models[task].value))
                        cards[task] = gr.Markdown(first, latex_delimiters=[])
            if not public:
                studio_tabs.build(page, studio)
        api.build(engine)
        model_bar.follow(engines, bar, device=chosen, cards=cards)
        if not public:
            _refresh_choices(demo, page)
    check_requests(demo)
    demo.queue()
    demo._queue = FairQueue(demo, PUBLIC if public else OWN, demo._queue)
    return demo


def _device_choices(words: gr.I18n, devices: list[str]) -> list[Any]:
    return [(words("device_auto") if name == "auto" else name.upper(), name) for name in devices]


def _refresh_choices(demo: gr.Blocks, page: Page) -> None:
    """A page that is opened anew offers what is on disk by now, and the devices that were found."""

    def refresh() -> list[Any]:
        updates: list[Any] = [gr.Dropdown(choices=model_ids(page.engines.default, task)) for task in TASKS]
        return [*updates, gr.Dropdown(choices=_device_choices(page.words, page.engines.devices()))]

    outputs = [*(page.models[task] for task in TASKS), page.device]
    demo.load(refresh, None, outputs, api_name="page_opened", **QUICK_EVENTS)
