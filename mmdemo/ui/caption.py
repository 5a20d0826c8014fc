"""The tab Caption: a sentence about a picture, shown while it is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from mmdemo.core.types import CaptionRequest, CaptionResult
from mmdemo.media.limits import MAX_CAPTION_WORDS, MAX_CAPTIONS, MIN_CAPTION_WORDS
from mmdemo.serving import jobs
from mmdemo.ui import answers
from mmdemo.ui.examples import CAPTION, EXAMPLES_DIR
from mmdemo.ui.strings import text
from mmdemo.ui.wiring import (
    MODEL_EVENTS,
    QUICK_EVENTS,
    STOP,
    Page,
    first_limit,
    language_in,
    notice,
    picture_or_refuse,
    raw_file,
    stops,
)


@dataclass(frozen=True, slots=True, eq=False)  # gradio hashes it, and what it holds has no hash
class CaptionState:
    """The caption on the page and what it was made from."""

    file: str
    n: int
    max_words: int
    result: CaptionResult

    @property
    def last(self) -> CaptionResult:
        return self.result


def build(page: Page) -> None:
    """Lay out the tab and wire it."""
    words, engines = page.words, page.engines
    captioned = gr.State(None)
    gr.Markdown(words("caption_intro"), elem_classes="intro")
    with gr.Row(equal_height=False, elem_classes="bench"):
        with gr.Column(elem_classes="bring"):
            image = raw_file(
                gr.Image(
                    label=words("picture"),
                    sources=["upload", "webcam", "clipboard"],
                    type="filepath",
                    image_mode=None,
                    height=340,
                    placeholder=words("picture_placeholder"),  # type: ignore[arg-type]
                    elem_id="caption-picture",
                    buttons=["fullscreen"],
                )
            )
            button = gr.Button(words("caption_button"), variant="primary", size="lg", elem_id="caption-button")
            stop = gr.Button(words("stop"), elem_id="caption-stop", **STOP)
            with gr.Accordion(words("fine_tuning_options"), open=False):
                max_words = gr.Slider(
                    MIN_CAPTION_WORDS,
                    MAX_CAPTION_WORDS,
                    value=20,
                    step=1,
                    label=words("max_words"),
                    elem_id="caption-words",
                )
                number = gr.Slider(
                    1, MAX_CAPTIONS, value=3, step=1, label=words("alternatives_number"), elem_id="caption-number"
                )
        with gr.Column(elem_classes="answer"):
            failure = gr.HTML(elem_id="caption-failure")
            answer = gr.HTML(answers.empty("caption_empty", "en"), elem_id="caption-answer", elem_classes="result")
            where = gr.Button(words("where_picture"), elem_id="caption-where", elem_classes="where")
            maps = gr.HTML(elem_id="caption-maps")
            if not page.public:
                from mmdemo.ui import corrections  # a shared page does not even import it

                corrections.build(page, "caption", captioned)
        with gr.Column(elem_classes="try"):
            samples = gr.Dataset(
                components=[image],
                samples=[[str(EXAMPLES_DIR / name)] for name in CAPTION],
                label=words("examples"),
                type="index",
                elem_id="caption-examples",
                elem_classes="examples",
            )

    def run(
        path: str | None, n: int, longest: int, model: str | None, device: str, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        language = language_in(request)
        try:
            engine = engines.on(device)
            picture = picture_or_refuse(path, language)
            result: CaptionResult | None = None
            for result in jobs.stream_caption(picture, n=int(n), max_words=int(longest), model=model, engine=engine):
                partial = answers.caption(result, limit="", notes=(), language=language, finished=False)
                yield "", partial, "", gr.skip()
            if result is None:
                return
            limit = first_limit(engine, "caption", result.model)
            shown = answers.caption(result, limit=limit, notes=picture.notes, language=language)
            yield "", shown, "", CaptionState(path or "", int(n), int(longest), result)
        except Exception as error:
            yield notice(error, language), gr.skip(), gr.skip(), gr.skip()

    def clear(path: str | None, kept: CaptionState | None, request: gr.Request) -> tuple[Any, ...]:
        if kept is not None and kept.file == path:
            return gr.skip(), gr.skip(), gr.skip(), gr.skip()
        return "", answers.empty("caption_empty", language_in(request)), "", None

    def explain(path: str | None, device: str, kept: CaptionState | None, request: gr.Request) -> tuple[Any, ...]:
        language = language_in(request)
        if kept is None or kept.file != path:
            return "", answers.trouble_free(text("nothing_to_explain", language))
        try:
            picture = picture_or_refuse(path, language)
            asking = CaptionRequest(picture=picture, n=kept.n, max_words=kept.max_words)
            found = engines.on(device).explain("caption", asking, kept.result)
            return "", answers.maps_over_picture(picture, found, language=language)
        except Exception as error:
            return notice(error, language), gr.skip()

    def example(index: int) -> str:
        return str(EXAMPLES_DIR / CAPTION[index])

    given = [image, number, max_words, page.serving["caption"], page.device]
    shown = [failure, answer, maps, captioned]
    clicked = button.click(run, given, shown, api_name="page_caption", **MODEL_EVENTS)
    tried = samples.click(example, samples, image, api_name="page_caption_example", **QUICK_EVENTS).then(
        run, given, shown, api_name="page_caption_example_run", **MODEL_EVENTS
    )
    image.change(clear, [image, captioned], shown, api_name="page_caption_clear", **QUICK_EVENTS)
    looked = where.click(
        explain, [image, page.device, captioned], [failure, maps], api_name="page_caption_where", **MODEL_EVENTS
    )
    stops(stop, "page_caption_stop", clicked, tried, looked)
