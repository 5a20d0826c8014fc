"""The four jobs over HTTP and as MCP tools: the same functions, the same objects as on the command line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import gradio as gr

from mmdemo.core.writing import json_text
from mmdemo.serving import jobs
from mmdemo.serving.engine import Engine
from mmdemo.ui.queue import AT_ONCE, MODEL_LANE
from mmdemo.ui.strings import text
from mmdemo.ui.wiring import in_words, picture_or_refuse, raw_file, sound_or_refuse

ENDPOINTS = ("ask", "classify", "caption", "sentiment")
"""Names under ``/gradio_api/call/``; nothing else is offered to programs."""

_SETTINGS: dict[str, Any] = {"concurrency_id": MODEL_LANE, "concurrency_limit": AT_ONCE, "api_visibility": "public"}


@contextlib.contextmanager
def _plain_failures() -> Iterator[None]:
    """Failures reach the caller as the one sentence that page and command line show."""
    try:
        yield
    except Exception as error:
        raise gr.Error(in_words(error, "en"), print_exception=False) from error


def build(engine: Engine) -> None:
    """Add the four endpoints to the page that is being built."""

    def ask(image: str, question: str, model: str | None = None) -> dict[str, object]:
        """
        Answer a short English question about what can be seen in a picture, in one or a few words.
        Good for presence, counts, colours, actions and places in everyday photos; poor at reading text, diagrams
        and reasoning. The answer comes with a calibrated probability; when "sure" is false treat it as a guess.

        Args:
            image: The picture (JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF; at most 50 MB and 50 megapixels).
            question: The question in English, at most 300 characters, for example "is there a dog?".
            model: Id of an installed model; leave out for the default.

        Returns:
            Object with file, question, answer, score, sure, alternatives [{label, score}], model, seconds.
        """
        with _plain_failures():
            return jobs.ask(picture_or_refuse(image, "en"), question, model=model or None, engine=engine).to_json()

    def classify(image: str, labels: str, template: str | None = None, model: str | None = None) -> dict[str, object]:
        """
        Say which of the given labels fits a picture best. "none of these" is always added and comes first when
        no label fits. Scores are probabilities that sum to 1, most probable first.

        Args:
            image: The picture (JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF; at most 50 MB and 50 megapixels).
            labels: English labels in one string, separated by commas or line breaks, without duplicates, at most 5,000
                (200 where strangers are served); may be
                empty for a model that was tuned on classes of its own, which are then asked for.
            template: Prompt around each label, with {} for the label; leave out for the model's own set.
            model: Id of an installed model; leave out for the default.

        Returns:
            Object with file, labels [{label, score}], sure, model, seconds.
        """
        with _plain_failures():
            picture = picture_or_refuse(image, "en")
            answer = jobs.classify(picture, labels, template=template or None, model=model or None, engine=engine)
            return answer.to_json()

    def caption(image: str, n: int = 3, model: str | None = None) -> dict[str, object]:
        """
        Describe a picture in one English sentence, with alternatives.

        Args:
            image: The picture (JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF; at most 50 MB and 50 megapixels).
            n: How many captions in all, 1 to 10.
            model: Id of an installed model; leave out for the default.

        Returns:
            Object with file, caption, score, sure, alternatives [{label, score}], model, seconds.
        """
        with _plain_failures():
            picture = picture_or_refuse(image, "en")
            return jobs.caption(picture, n=int(n), model=model or None, engine=engine).to_json()

    def sentiment(audio: str, model: str | None = None) -> dict[str, object]:
        """
        Tell how a recorded voice sounds: eight emotions, and negative, neutral or positive, over the whole clip and
        in windows of 3 seconds every 1.5 seconds. Judges the tone, not the words; trained on acted speech in English,
        German and Polish. Silence and clips without speech are reported as "silence" and "no speech".

        Args:
            audio: The recording (WAV, FLAC, OGG or MP3; at most 50 MB and 10 minutes).
            model: Id of an installed model; leave out for the default.

        Returns:
            Object with file, emotion, scores [{label, score}], sentiment {negative, neutral, positive},
            segments [{start, end, emotion, scores, uncertainty}], sure, model, seconds, and words where something that
            can write them down is installed.
        """
        with _plain_failures():
            return jobs.sentiment(sound_or_refuse(audio, "en"), model=model or None, engine=engine).to_json()

    with gr.Row(visible=False):
        picture = raw_file(gr.Image(label="Picture", type="filepath", image_mode=None, sources=["upload"]))
        recording = raw_file(gr.Audio(label="Recording", type="filepath", sources=["upload"]))
        question = gr.Textbox(label="Question")
        labels = gr.Textbox(label="Labels")
        template = gr.Textbox(label="Prompt template", value=None)
        number = gr.Number(label="Number of captions", value=3, precision=0)
        model = gr.Textbox(label="Model", value=None)
        result = gr.JSON(label="Result")
        trigger = gr.Button()
    trigger.click(ask, [picture, question, model], result, api_name="ask", **_SETTINGS)
    trigger.click(classify, [picture, labels, template, model], result, api_name="classify", **_SETTINGS)
    trigger.click(caption, [picture, number, model], result, api_name="caption", **_SETTINGS)
    trigger.click(sentiment, [recording, model], result, api_name="sentiment", **_SETTINGS)


def answer_assistants_in_json(demo: gr.Blocks) -> None:
    """Let MCP tools answer with JSON, where gradio would write the objects as Python literals; and refuse what is no
    file with the sentence of all other doors, where gradio would repeat it.

    Args:
        demo: A page that was launched with ``mcp_server=True``.
    """
    server: Any = demo.mcp_server_obj
    as_content, as_files = server.postprocess_output_data, server.convert_strings_to_filedata

    def in_json(outputs: Any, root_url: str) -> Any:
        return as_content([json_text(output) for output in outputs], root_url)

    def files_only(value: Any, places: Any) -> Any:
        try:
            return as_files(value, places)
        except ValueError:
            raise ValueError(text("not_uploaded", "en")) from None

    server.postprocess_output_data = in_json
    server.convert_strings_to_filedata = files_only
