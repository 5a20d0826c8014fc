"""The tab Ask: a question about a picture, and the earlier ones kept beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from mmdemo.core.types import AskRequest, AskResult
from mmdemo.serving import jobs
from mmdemo.ui import answers
from mmdemo.ui.examples import ASK, EXAMPLES_DIR
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

KEPT_QUESTIONS = 30
"""Questions about one picture that stay on the page."""


@dataclass(frozen=True, slots=True, eq=False)  # gradio hashes it, and what it holds has no hash
class AskState:
    """What was asked about one uploaded file, oldest first."""

    file: str
    results: tuple[AskResult, ...]

    @property
    def last(self) -> AskResult:
        return self.results[-1]


def build(page: Page) -> None:
    """Lay out the tab and wire it."""
    words, engines = page.words, page.engines
    asked = gr.State(None)
    gr.Markdown(words("ask_intro"), elem_classes="intro")
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
                    elem_id="ask-picture",
                    buttons=["fullscreen"],
                )
            )
            question = gr.Textbox(
                label=words("question"),
                placeholder=words("question_placeholder"),
                max_lines=3,
                max_length=300,
                elem_id="ask-question",
            )
            button = gr.Button(words("ask_button"), variant="primary", size="lg", elem_id="ask-button")
            stop = gr.Button(words("stop"), elem_id="ask-stop", **STOP)
        with gr.Column(elem_classes="answer"):
            failure = gr.HTML(elem_id="ask-failure")
            answer = gr.HTML(answers.empty("ask_empty", "en"), elem_id="ask-answer", elem_classes="result")
            where = gr.Button(words("where_picture"), elem_id="ask-where", elem_classes="where")
            maps = gr.HTML(elem_id="ask-maps")
            if not page.public:
                from mmdemo.ui import corrections  # a shared page does not even import it

                corrections.build(page, "ask", asked)
        with gr.Column(elem_classes="try"):
            samples = gr.Dataset(
                components=[image, question],
                samples=[[str(EXAMPLES_DIR / name), asking] for name, asking in ASK],
                label=words("examples"),
                headers=["picture", "text"],  # the head is not shown
                type="index",
                elem_id="ask-examples",
                elem_classes="examples",
            )

    def run(
        path: str | None, asking: str, model: str | None, device: str, history: AskState | None, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        language = language_in(request)
        try:
            engine = engines.on(device)
            picture = picture_or_refuse(path, language)
            same = history is not None and history.file == path
            earlier = history.results if history is not None and same else ()
            results = earlier
            for result in jobs.stream_ask(picture, asking, model=model, engine=engine):
                if results is not earlier:  # the one before was not the last
                    yield "", answers.ask(results, limit="", notes=(), language=language, finished=False), "", gr.skip()
                results = (*earlier, result)[-KEPT_QUESTIONS:]
            limit = first_limit(engine, "ask", results[-1].model)
            shown = answers.ask(results, limit=limit, notes=picture.notes, language=language)
        except Exception as error:
            kept = answers.ask(history.results, limit="", notes=(), language=language) if history is not None else ""
            yield notice(error, language), kept or answers.empty("ask_empty", language), gr.skip(), gr.skip()
            return
        yield "", shown, "", AskState(path or "", results)

    def clear(path: str | None, history: AskState | None, request: gr.Request) -> tuple[Any, ...]:
        if history is not None and history.file == path:  # the answer to this very picture is already there
            return gr.skip(), gr.skip(), gr.skip(), gr.skip()
        return "", answers.empty("ask_empty", language_in(request)), "", None

    def explain(path: str | None, device: str, history: AskState | None, request: gr.Request) -> tuple[Any, ...]:
        language = language_in(request)
        if history is None or history.file != path:
            return "", answers.trouble_free(text("nothing_to_explain", language))
        try:
            picture = picture_or_refuse(path, language)
            result = history.results[-1]
            asking = AskRequest(picture=picture, question=result.question)
            found = engines.on(device).explain("ask", asking, result)
            return "", answers.maps_over_picture(picture, found, language=language)
        except Exception as error:
            return notice(error, language), gr.skip()

    def example(index: int) -> tuple[str, str]:
        name, asking = ASK[index]
        return str(EXAMPLES_DIR / name), asking

    given = [image, question, page.serving["ask"], page.device, asked]
    shown = [failure, answer, maps, asked]
    clicked = button.click(run, given, shown, api_name="page_ask", **MODEL_EVENTS)
    entered = question.submit(run, given, shown, api_name="page_ask_enter", **MODEL_EVENTS)
    tried = samples.click(example, samples, [image, question], api_name="page_ask_example", **QUICK_EVENTS).then(
        run, given, shown, api_name="page_ask_example_run", **MODEL_EVENTS
    )
    image.change(clear, [image, asked], shown, api_name="page_ask_clear", **QUICK_EVENTS)
    looked = where.click(
        explain, [image, page.device, asked], [failure, maps], api_name="page_ask_where", **MODEL_EVENTS
    )
    stops(stop, "page_ask_stop", clicked, entered, tried, looked)
