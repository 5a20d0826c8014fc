"""The tab Sentiment: how a voice sounds, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from mmdemo.core.types import SentimentRequest, SentimentResult
from mmdemo.serving import jobs
from mmdemo.ui import answers
from mmdemo.ui.examples import EXAMPLES_DIR, SENTIMENT
from mmdemo.ui.strings import text
from mmdemo.ui.wiring import (
    MODEL_EVENTS,
    QUICK_EVENTS,
    STOP,
    Page,
    first_limit,
    language_in,
    notice,
    raw_file,
    sound_or_refuse,
    stops,
)


@dataclass(frozen=True, slots=True, eq=False)  # gradio hashes it, and what it holds has no hash
class SentimentState:
    """The answer on the page and the file that it is about."""

    file: str
    result: SentimentResult

    @property
    def last(self) -> SentimentResult:
        return self.result


def build(page: Page) -> None:
    """Lay out the tab and wire it."""
    words, engines = page.words, page.engines
    heard = gr.State(None)
    gr.Markdown(words("sentiment_intro"), elem_classes="intro")
    with gr.Row(equal_height=False, elem_classes="bench"):
        with gr.Column(elem_classes="bring"):
            audio = raw_file(
                gr.Audio(
                    label=words("recording"),
                    sources=["microphone", "upload"],
                    type="filepath",
                    elem_id="sentiment-recording",
                    buttons=[],
                )
            )
            button = gr.Button(words("sentiment_button"), variant="primary", size="lg", elem_id="sentiment-button")
            stop = gr.Button(words("stop"), elem_id="sentiment-stop", **STOP)
        with gr.Column(elem_classes="answer"):
            failure = gr.HTML(elem_id="sentiment-failure")
            answer = gr.HTML(answers.empty("sentiment_empty", "en"), elem_id="sentiment-answer", elem_classes="result")
            where = gr.Button(words("where_sound"), elem_id="sentiment-where", elem_classes="where")
            maps = gr.HTML(elem_id="sentiment-maps")
            if not page.public:
                from mmdemo.ui import corrections  # a shared page does not even import it

                corrections.build(page, "sentiment", heard)
        with gr.Column(elem_classes="try"):
            samples = gr.Dataset(
                components=[audio],
                samples=[[str(EXAMPLES_DIR / name)] for name in SENTIMENT],
                label=words("examples"),
                type="index",
                elem_id="sentiment-examples",
                elem_classes="examples",
            )

    def run(path: str | None, model: str | None, device: str, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        language = language_in(request)
        try:
            engine = engines.on(device)
            sound = sound_or_refuse(path, language)
            for result in jobs.stream_sentiment(sound, model=model, engine=engine):
                limit = first_limit(engine, "sentiment", result.model)
                shown = answers.sentiment(result, sound, limit=limit, notes=sound.notes, language=language)
                yield "", shown, "", SentimentState(path or "", result)
        except Exception as error:
            yield notice(error, language), gr.skip(), gr.skip(), gr.skip()

    def clear(path: str | None, kept: SentimentState | None, request: gr.Request) -> tuple[Any, ...]:
        if kept is not None and kept.file == path:
            return gr.skip(), gr.skip(), gr.skip(), gr.skip()
        return "", answers.empty("sentiment_empty", language_in(request)), "", None

    def explain(path: str | None, device: str, kept: SentimentState | None, request: gr.Request) -> tuple[Any, ...]:
        language = language_in(request)
        if kept is None or kept.file != path:
            return "", answers.trouble_free(text("nothing_to_explain", language))
        try:
            sound = sound_or_refuse(path, language)
            found = engines.on(device).explain("sentiment", SentimentRequest(sound=sound), kept.result)
            return "", answers.map_over_sound(sound, found, language=language)
        except Exception as error:
            return notice(error, language), gr.skip()

    def example(index: int) -> str:
        return str(EXAMPLES_DIR / SENTIMENT[index])

    given = [audio, page.serving["sentiment"], page.device]
    shown = [failure, answer, maps, heard]
    clicked = button.click(run, given, shown, api_name="page_sentiment", **MODEL_EVENTS)
    tried = samples.click(example, samples, audio, api_name="page_sentiment_example", **QUICK_EVENTS).then(
        run, given, shown, api_name="page_sentiment_example_run", **MODEL_EVENTS
    )
    audio.change(clear, [audio, heard], shown, api_name="page_sentiment_clear", **QUICK_EVENTS)
    looked = where.click(
        explain, [audio, page.device, heard], [failure, maps], api_name="page_sentiment_where", **MODEL_EVENTS
    )
    stops(stop, "page_sentiment_stop", clicked, tried, looked)
