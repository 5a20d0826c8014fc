"""Each served task described once: everything that differs from task to task and is not code of the task itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from mmdemo.core.types import (
    AskRequest,
    AskResult,
    CaptionRequest,
    CaptionResult,
    ClassifyRequest,
    ClassifyResult,
    Request,
    Result,
    SentimentRequest,
    SentimentResult,
)

TaskName = Literal["ask", "classify", "caption", "sentiment"]

ASK: Final = "ask"
CLASSIFY: Final = "classify"
CAPTION: Final = "caption"
SENTIMENT: Final = "sentiment"

Modality = Literal["picture", "sound"]
Target = Literal["answer", "label", "caption"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """A served task.

    Attributes:
        name: As in commands, endpoints and checkpoints.
        request, result: Records of :mod:`mmdemo.core.types`.
        modality: What people bring.
        target: What a row of training data gives for it, and what a person corrects.
        table: File of a dataset made by hand.
        columns: Columns of that table, beside ``file_name``.
        csv_columns: Columns of a file of results, between ``file`` and ``model, seconds, error``.
        pipeline_tag: The hub's name for it (https://huggingface.co/docs/hub/models-tasks).
        own_dataset: Name that a first dataset of one's own gets.
        examples: What its training examples are called in a sentence.
        min_examples: Examples below which a person is warned that figures are mostly chance.
        min_of_label: Examples of a label below which figures say nothing of it.
        encode_seconds: Seconds for the frozen encoder to encode one file, on two cores.
        row_seconds: Seconds for the head to process one row forward and backward, on two cores.
        text_tokens: Tokens of text that a hub model reads or writes for one row.
        head_steps: Steps in which a head learns something small and new; 0 where the head is fitted in closed form.
            See docs/teaching.md, "What the page suggests".
        max_epochs: Epochs suggested at most; more would only learn few rows by heart.
    """

    name: TaskName
    request: type[Request]
    result: type[Result]
    modality: Modality
    target: Target
    table: str
    columns: tuple[str, ...]
    csv_columns: tuple[str, ...]
    pipeline_tag: str
    own_dataset: str
    examples: str
    min_examples: int
    min_of_label: int = 1
    encode_seconds: float
    row_seconds: float
    text_tokens: int
    head_steps: int
    max_epochs: int

    @property
    def labelled(self) -> bool:
        """Whether its data have classes."""
        return self.target == "label"

    @property
    def has_sound(self) -> bool:
        """Whether people bring sound rather than pictures."""
        return self.modality == "sound"


TASK_SPECS: Mapping[str, TaskSpec] = {
    ASK: TaskSpec(
        name=ASK,
        request=AskRequest,
        result=AskResult,
        modality="picture",
        target="answer",
        table="questions.jsonl",
        columns=("question", "answer"),
        csv_columns=("question", "answer", "score", "sure", "alternatives"),
        pipeline_tag="visual-question-answering",
        own_dataset="my-questions",
        examples="questions",
        min_examples=50,
        encode_seconds=0.016,
        row_seconds=0.0018,
        text_tokens=16,
        head_steps=120,
        max_epochs=30,
    ),
    CLASSIFY: TaskSpec(
        name=CLASSIFY,
        request=ClassifyRequest,
        result=ClassifyResult,
        modality="picture",
        target="label",
        table="metadata.jsonl",
        columns=("label", "speaker"),
        csv_columns=("label", "score", "sure"),
        pipeline_tag="zero-shot-image-classification",
        own_dataset="my-pictures",
        examples="pictures",
        min_examples=20,
        encode_seconds=0.016,
        row_seconds=0.0002,
        text_tokens=77,
        head_steps=40,
        max_epochs=20,
    ),
    CAPTION: TaskSpec(
        name=CAPTION,
        request=CaptionRequest,
        result=CaptionResult,
        modality="picture",
        target="caption",
        table="captions.jsonl",
        columns=("captions",),
        csv_columns=("caption", "score", "sure"),
        pipeline_tag="image-to-text",
        own_dataset="my-captions",
        examples="pictures with captions",
        min_examples=50,
        encode_seconds=0.016,
        row_seconds=0.0024,
        text_tokens=24,
        head_steps=40,
        max_epochs=20,
    ),
    SENTIMENT: TaskSpec(
        name=SENTIMENT,
        request=SentimentRequest,
        result=SentimentResult,
        modality="sound",
        target="label",
        table="metadata.jsonl",
        columns=("label", "speaker"),
        csv_columns=("emotion", "score", "sure", "negative", "neutral", "positive", "scores", "segments", "words"),
        pipeline_tag="audio-classification",
        own_dataset="my-clips",
        examples="clips",
        min_examples=20,
        min_of_label=10,
        encode_seconds=0.025,
        row_seconds=0.0002,
        text_tokens=0,
        head_steps=0,
        max_epochs=0,
    ),
}
"""By name, in the order of the tabs."""


def spec_of(task: str) -> TaskSpec:
    """The description of a served task.

    Raises:
        ValueError: There is no such task.
    """
    try:
        return TASK_SPECS[task]
    except KeyError:
        raise ValueError(f"no task is called {task!r}") from None
