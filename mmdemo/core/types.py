"""Requests, results and cards: the frozen records that every layer meets in.

Legend for shapes: ``H`` height, ``W`` width in pixels or cells, ``S`` audio samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Samples per second of every :class:`Sound`."""

TASKS = ("ask", "classify", "caption", "sentiment")
"""The four jobs that are served, in the order of the tabs."""

NONE_OF_THESE = "none of these"
"""The label that Classify adds to every list of labels."""

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""Labels of the shipped sentiment model, RAVDESS's eight."""

NO_SPEECH = "no speech"
SILENCE = "silence"

VALENCE: Mapping[str, str] = {
    "neutral": "neutral",
    "calm": "neutral",
    "happy": "positive",
    "surprised": "positive",
    "sad": "negative",
    "angry": "negative",
    "fearful": "negative",
    "disgust": "negative",
}
"""Emotion to negative/neutral/positive. Surprise is counted as positive, as acted corpora play it."""

Json = dict[str, object]


# ---------------------------------------------------------------- what people bring


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A decoded picture.

    Attributes:
        pixels: uint8 RGB, shape (H, W, 3), upright, on white where it was transparent.
        key: Hex SHA-1 of shape and pixels; equal keys mean equal pictures.
        name: Base name for results, "" when there is none.
        notes: What was done to it, in words ("first frame of an animation").
    """

    pixels: NDArray[np.uint8]
    key: str
    name: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """A decoded clip.

    Attributes:
        samples: float32 mono at :data:`SAMPLE_RATE`, shape (S,), in [-1, 1], level untouched.
        key: Hex SHA-1 of the samples.
        name: Base name for results, "" when there is none.
        notes: What was done to it ("resampled from 48 kHz", "2 channels averaged").
    """

    samples: NDArray[np.float32]
    key: str
    name: str = ""
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True, slots=True, kw_only=True)
class AskRequest:
    picture: Picture
    question: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifyRequest:
    """``labels`` are clean and unique; ``template`` None means the model's own ensemble, else it holds ``{}``."""

    picture: Picture
    labels: tuple[str, ...]
    template: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionRequest:
    """``n`` captions in all (1 to 10), each of at most ``max_words`` words."""

    picture: Picture
    n: int = 3
    max_words: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SentimentRequest:
    sound: Sound


Request = AskRequest | ClassifyRequest | CaptionRequest | SentimentRequest


# ---------------------------------------------------------------- what people get


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A label with its calibrated probability in [0, 1]."""

    label: str
    score: float

    def to_json(self) -> Json:
        return {"label": self.label, "score": round(self.score, 6)}


def _scored(items: Sequence[Scored]) -> list[Json]:
    return [item.to_json() for item in items]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskResult:
    """``weights`` is the share of each modality ("image", "question") where the network learned one."""

    file: str
    question: str
    answer: str
    score: float
    sure: bool
    alternatives: tuple[Scored, ...]
    model: str
    seconds: float
    weights: Mapping[str, float] | None = None

    def to_json(self) -> Json:
        data: Json = {
            "file": self.file,
            "question": self.question,
            "answer": self.answer,
            "score": round(self.score, 6),
            "sure": self.sure,
            "alternatives": _scored(self.alternatives),
            "model": self.model,
            "seconds": round(self.seconds, 4),
        }
        if self.weights is not None:
            data["weights"] = {name: round(value, 6) for name, value in self.weights.items()}
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifyResult:
    """``labels`` from most to least probable, :data:`NONE_OF_THESE` among them; they sum to 1."""

    file: str
    labels: tuple[Scored, ...]
    sure: bool
    model: str
    seconds: float

    def to_json(self) -> Json:
        return {
            "file": self.file,
            "labels": _scored(self.labels),
            "sure": self.sure,
            "model": self.model,
            "seconds": round(self.seconds, 4),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionResult:
    """``score`` is the geometric mean of the words' probabilities; ``alternatives`` excludes the caption."""

    file: str
    caption: str
    score: float
    sure: bool
    alternatives: tuple[Scored, ...]
    model: str
    seconds: float

    def to_json(self) -> Json:
        return {
            "file": self.file,
            "caption": self.caption,
            "score": round(self.score, 6),
            "sure": self.sure,
            "alternatives": _scored(self.alternatives),
            "model": self.model,
            "seconds": round(self.seconds, 4),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One window of a clip.

    Attributes:
        start, end: Seconds from the beginning of the clip.
        emotion: Most probable label, or :data:`SILENCE` / :data:`NO_SPEECH`.
        scores: All labels, most probable first; empty without speech.
        uncertainty: Entropy of the scores over its maximum, in [0, 1]; 1 without speech.
    """

    start: float
    end: float
    emotion: str
    scores: tuple[Scored, ...]
    uncertainty: float

    def to_json(self) -> Json:
        return {
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "emotion": self.emotion,
            "scores": _scored(self.scores),
            "uncertainty": round(self.uncertainty, 4),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SentimentResult:
    """``emotion`` is :data:`SILENCE` or :data:`NO_SPEECH` where there is nothing to hear; then scores are empty.

    ``sentiment`` maps negative, neutral and positive to probabilities that sum to 1 (all 0 without speech).
    ``segments`` holds one entry for a short clip, and a window of 3 s every 1.5 s for a longer one.
    ``words`` are what was said, where something at hand could write it down.
    """

    file: str
    emotion: str
    scores: tuple[Scored, ...]
    sentiment: Mapping[str, float]
    segments: tuple[Segment, ...]
    sure: bool
    model: str
    seconds: float
    words: str = ""

    def to_json(self) -> Json:
        data: Json = {
            "file": self.file,
            "emotion": self.emotion,
            "scores": _scored(self.scores),
            "sentiment": {name: round(value, 6) for name, value in self.sentiment.items()},
            "segments": [segment.to_json() for segment in self.segments],
            "sure": self.sure,
            "model": self.model,
            "seconds": round(self.seconds, 4),
        }
        if self.words:
            data["words"] = self.words
        return data


Result = AskResult | ClassifyResult | CaptionResult | SentimentResult


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """Where a model looked, or when it listened.

    Attributes:
        cells: float32 in [0, 1]. For pictures (H, W) grid cells, to be stretched over the whole picture;
            for sound (1, W), evenly spread over the clip.
        label: The answer, label or word that it explains.
    """

    cells: NDArray[np.float32]
    label: str


# ---------------------------------------------------------------- what a model says of itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One measured figure: value and 95 % interval on a named data set."""

    name: str
    value: float
    low: float
    high: float
    n: int
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What people should know before they trust a model.

    Attributes:
        id: What ``--model`` takes: folder name, path or hub id.
        task: One of :data:`TASKS`, or "vision" / "text" for parts that are not served.
        summary: One sentence.
        licence: SPDX id or plain words for the weights.
        limits: Known limits, one sentence each; the first is shown beside every answer.
        source: Where it comes from ("shipped", "trained here", "received" as a zip).
        parameters: Count, with everything it refers to.
        size: Bytes on disk, with everything it refers to.
        metrics: Measured figures, headline first.
        text: The whole card as Markdown.
    """

    id: str
    task: str
    summary: str
    licence: str
    limits: tuple[str, ...] = ()
    source: str = "shipped"
    parameters: int = 0
    size: int = 0
    metrics: tuple[Metric, ...] = ()
    text: str = field(default="", repr=False)


class Model(Protocol):
    """A ready model, whatever it is made of: network, preprocessing, labels and calibration together.

    Methods may be called from several threads; the model serialises what must not overlap.
    """

    @property
    def card(self) -> Card: ...

    def predict(self, requests: Sequence[Request]) -> list[Result]:
        """Answer all requests as one batch, in order."""
        ...

    def stream(self, request: Request) -> Iterator[Result]:
        """Yield ever longer results, the last one complete; models that do not stream yield once."""
        ...

    def explain(self, request: Request, result: Result) -> tuple[HeatMap, ...]:
        """Where it looked: one map for Ask, one per leading label for Classify, one per word for Caption,
        one over time for Sentiment. Empty where the model has no way to tell."""
        ...

    def held(self) -> Mapping[int, int]:
        """Address → bytes of every block of memory its tensors lie in; what models share has the same address."""
        ...

    def release(self) -> None:
        """Give the memory back; the model cannot be used afterwards."""
        ...


class ClassifyingModel(Model, Protocol):
    """A model of Classify: it may know classes of its own, and can also be used for retrieval."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels of the pictures that it was tuned on, asked for where none are given; () where there are none."""
        ...

    def encode_pictures(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """Unit vectors, shape (N, D)."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, shape (N, D), in the same space."""
        ...
