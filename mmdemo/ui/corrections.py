"""“Wrong? Say the right answer”: under each answer, and what is said becomes data to train on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Protocol

import gradio as gr

from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import CAPTION, spec_of
from mmdemo.core.types import (
    EMOTIONS,
    NONE_OF_THESE,
    AskResult,
    CaptionResult,
    ClassifyResult,
    Result,
    SentimentResult,
)
from mmdemo.ui.strings import Language, text
from mmdemo.ui.wiring import QUICK_EVENTS, Page, language_in, notice

MOST_CHOICES = 200
"""Labels that the list offers; any other can be typed."""


class LastAnswer(Protocol):
    """An answer on the page with the file that it is about, whatever lies in the picture box by now."""

    @property
    def file(self) -> str: ...

    @property
    def last(self) -> Result: ...


def build(page: Page, task: str, answered: gr.State) -> None:
    """Lay out the accordion under an answer and wire it.

    Args:
        answered: Holds a :class:`LastAnswer`, or None while there is no answer.
    """
    words = page.words
    with gr.Accordion(words("teach_correct"), open=False, elem_id=f"{task}-correct", elem_classes="mm-correct"):
        right: gr.Textbox | gr.Dropdown
        if spec_of(task).labelled:
            right = gr.Dropdown(
                [],
                value=None,
                label=words("teach_correct_right"),
                info=words("teach_correct_info"),
                allow_custom_value=True,
                elem_id=f"{task}-right",
            )
        else:
            right = gr.Textbox(
                label=words("teach_correct_right"),
                lines=2 if task == CAPTION else 1,
                max_length=300,
                elem_id=f"{task}-right",
            )
        button = gr.Button(words("teach_correct_keep"), elem_id=f"{task}-keep")
        said = gr.HTML(elem_id=f"{task}-kept")

    def keep(kept: LastAnswer | None, words_given: str | None, request: gr.Request) -> str:
        language = language_in(request)
        try:
            return said_html(store(task, kept, words_given, language), language)
        except Exception as error:
            return notice(error, language)

    def offer(kept: LastAnswer | None) -> tuple[Any, str]:
        return offered(task, None if kept is None else kept.last), ""

    given = [answered, right]
    button.click(keep, given, said, api_name=f"page_{task}_correct", concurrency_id="correct", **_SETTINGS)
    if isinstance(right, gr.Textbox):
        right.submit(keep, given, said, api_name=f"page_{task}_correct_enter", concurrency_id="correct", **_SETTINGS)
    answered.change(offer, answered, [right, said], api_name=f"page_{task}_correct_offer", **QUICK_EVENTS)


_SETTINGS: Mapping[str, Any] = {"concurrency_limit": 2, "show_progress": "minimal", "api_visibility": "private"}


def store(task: str, kept: LastAnswer | None, right: str | None, language: Language) -> tuple[str, int, str]:
    """Put the file of an answer and what would have been right into the data set of corrections.

    Returns:
        Task, number of corrections by now, name of the data set.

    Raises:
        MmdemoError: There is no answer, nothing was said, or the file is no longer there.
    """
    from mmdemo.studio import datasets  # not part of a shared page

    if kept is None:
        raise MmdemoError(text("teach_correct_no_answer", language), "", text("teach_correct_no_answer_try", language))
    if not (right or "").strip():
        raise MmdemoError(text("teach_correct_nothing", language), "", text("teach_correct_nothing_try", language))
    file = Path(kept.file)
    if not kept.file or not file.is_file():  # uploads are deleted after some hours
        raise MmdemoError(text("teach_correct_deleted", language), "", text("teach_correct_deleted_try", language))
    words: dict[str, str] = {spec_of(task).target: (right or "").strip()}
    if isinstance(kept.last, AskResult):
        words["question"] = kept.last.question
    name, number = datasets.correct(task, file, **words)
    return task, number, name


def offered(task: str, result: Result | None) -> Any:
    """The field for the right answer as it stands under a fresh answer."""
    match result:
        case ClassifyResult():
            names = [item.label for item in result.labels if item.label != NONE_OF_THESE]
            return _choices(names)
        case SentimentResult():
            names = [item.label for item in result.scores] or list(EMOTIONS)
            return _choices(names)
        case CaptionResult():
            return gr.Textbox(value=result.caption)
        case _:
            return gr.Dropdown(choices=[], value=None) if spec_of(task).labelled else gr.Textbox(value="")


def said_html(stored: tuple[str, int, str], language: Language) -> str:
    """How many corrections there are, and where they are taught."""
    task, number, name = stored
    key = "teach_correct_kept_one" if number == 1 else "teach_correct_kept"
    words = text(key, language, n=number, task=text(f"tab_{task}", language), data=name)
    return f'<p class="mm mm-sub" role="status">{escape(words)}</p>'


def _choices(labels: Sequence[str]) -> gr.Dropdown:
    return gr.Dropdown(choices=list(sorted(labels, key=str.casefold)[:MOST_CHOICES]), value=None)
