"""The part of the tab Compare where two models get the same input: both answers, and the change for each label."""

from __future__ import annotations

from typing import Any, assert_never

import gradio as gr

from mmdemo.core.tasks import ASK, CLASSIFY, spec_of
from mmdemo.core.types import AskRequest, CaptionRequest, ClassifyRequest, Request, SentimentRequest
from mmdemo.media.text import clean_question, parse_labels
from mmdemo.serving.engine import Engine
from mmdemo.ui import answers
from mmdemo.ui.compare import view as compare_view
from mmdemo.ui.compare.data import two
from mmdemo.ui.strings import Language
from mmdemo.ui.wiring import (
    MODEL_EVENTS,
    QUICK_EVENTS,
    Page,
    language_in,
    notice,
    picture_or_refuse,
    raw_file,
    sound_or_refuse,
)

MAX_LENGTH = 300
"""Characters of a question."""


def build(page: Page, task: gr.Radio, a: gr.Dropdown, b: gr.Dropdown) -> list[Any]:
    """Lay out the part; returns the inputs that :func:`shown` shows or hides."""
    words = page.words
    with gr.Row(equal_height=False, elem_classes="mm-two"):
        with gr.Column(scale=4, min_width=280):
            image = raw_file(
                gr.Image(
                    label=words("picture"),
                    sources=["upload", "webcam", "clipboard"],
                    type="filepath",
                    image_mode=None,
                    height=300,
                    placeholder=words("picture_placeholder"),  # type: ignore[arg-type]
                    elem_id="compare-picture",
                    buttons=["fullscreen"],
                )
            )
            audio = raw_file(
                gr.Audio(
                    label=words("recording"),
                    sources=["microphone", "upload"],
                    type="filepath",
                    visible=False,
                    elem_id="compare-recording",
                    buttons=[],
                )
            )
            question = gr.Textbox(
                label=words("compare_question"),
                placeholder=words("question_placeholder"),
                max_length=MAX_LENGTH,
                visible=False,
                elem_id="compare-question",
            )
            labels = gr.Textbox(
                label=words("compare_labels"),
                info=words("compare_labels_info"),
                lines=2,
                max_lines=6,
                elem_id="compare-labels",
            )
            button = gr.Button(words("compare_ask_both"), variant="primary", size="lg", elem_id="compare-side-button")
        with gr.Column(scale=6, min_width=300):
            failure = gr.HTML(elem_id="compare-side-failure")
            result = gr.HTML(answers.empty("compare_side_empty", "en"), elem_id="compare-side", elem_classes="result")

    def ask_both(
        job: str,
        one: str | None,
        other: str | None,
        picture: str | None,
        clip: str | None,
        asked: str,
        listed: str,
        device: str,
        request: gr.Request,
    ) -> tuple[Any, Any]:
        language = language_in(request)
        try:
            names = two(one, other, language)
            engine = page.engines.on(device)
            made = _request(
                job, picture or "", clip or "", asked, listed, names=names, engine=engine, language=language
            )
            first, second = (engine.predict(job, made, name) for name in names)
            return "", compare_view.both_answers(first, second, names, language)
        except Exception as error:
            return notice(error, language), ""

    button.click(
        ask_both,
        [task, a, b, image, audio, question, labels, page.device],
        [failure, result],
        api_name="page_compare_side",
        **MODEL_EVENTS,
    )

    def clear(request: gr.Request) -> tuple[str, str]:
        """Answers to another job."""
        return "", answers.empty("compare_side_empty", language_in(request))

    task.change(clear, None, [failure, result], api_name="page_compare_side_clear", **QUICK_EVENTS)
    return [image, audio, question, labels]


def shown(task: str) -> tuple[Any, ...]:
    """Updates for the inputs: those that the job takes."""
    return (
        gr.Image(visible=not spec_of(task).has_sound),
        gr.Audio(visible=spec_of(task).has_sound),
        gr.Textbox(visible=task == ASK),
        gr.Textbox(visible=task == CLASSIFY),
    )


def _request(
    task: str,
    picture: str,
    clip: str,
    question: str,
    labels: str,
    *,
    names: tuple[str, str],
    engine: Engine,
    language: Language,
) -> Request:
    match spec_of(task).name:
        case "sentiment":
            return SentimentRequest(sound=sound_or_refuse(clip, language))
        case "ask":
            return AskRequest(picture=picture_or_refuse(picture, language), question=clean_question(question))
        case "caption":
            return CaptionRequest(picture=picture_or_refuse(picture, language), n=1)
        case "classify":
            found = picture_or_refuse(picture, language)
            taught = dict.fromkeys(label for name in reversed(names) for label in engine.classes(name))
            return ClassifyRequest(picture=found, labels=parse_labels(labels if labels.strip() else tuple(taught)))
        case unknown:
            assert_never(unknown)
