"""The four jobs as plain functions, the same for page, command line, HTTP and Python."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import assert_never, cast

from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import ASK, CAPTION, CLASSIFY, SENTIMENT
from mmdemo.core.types import (
    NONE_OF_THESE,
    AskRequest,
    AskResult,
    CaptionRequest,
    CaptionResult,
    ClassifyRequest,
    ClassifyResult,
    HeatMap,
    Picture,
    Request,
    Result,
    SentimentRequest,
    SentimentResult,
    Sound,
)
from mmdemo.media.audio import SoundSource, load_sound
from mmdemo.media.image import PictureSource, load_picture
from mmdemo.media.limits import MAX_CAPTION_WORDS, MAX_CAPTIONS, MAX_LABELS, MIN_CAPTION_WORDS
from mmdemo.media.text import check_template, clean_question, parse_labels
from mmdemo.serving.engine import Engine

Image = Picture | PictureSource | None
Audio = Sound | SoundSource | None

_lock = threading.Lock()
_engine: Engine | None = None


def default_engine() -> Engine:
    """The process-wide engine, made on first use and closed at exit."""
    global _engine
    with _lock:
        if _engine is None:
            _engine = Engine()
            atexit.register(_engine.close)
        return _engine


def ask(image: Image, question: str, *, model: str | None = None, engine: Engine | None = None) -> AskResult:
    """Answer a question about a picture.

    Args:
        image: Path, bytes, PIL image, array, or a :class:`~mmdemo.core.types.Picture`.
        question: In plain English, up to 300 characters.
        model: Id, folder or hub id; default the shipped one.
        engine: Default the process-wide one.

    Raises:
        MmdemoError: The picture or the question cannot be used, or there is no such model.
    """
    started = time.perf_counter()
    asked = clean_question(question)
    request = AskRequest(picture=_picture(image), question=asked)
    return cast(AskResult, _answer(ASK, request, model, engine, started))


def stream_ask(
    image: Image, question: str, *, model: str | None = None, engine: Engine | None = None
) -> Iterator[AskResult]:
    """As :func:`ask`, word by word where the model writes its answer; the last result is complete."""
    started = time.perf_counter()
    request = AskRequest(picture=_picture(image), question=clean_question(question))
    steps = (engine or default_engine()).stream(ASK, request, model)
    return (cast(AskResult, replace(step, seconds=time.perf_counter() - started)) for step in steps)


def classify(
    image: Image,
    labels: str | Sequence[str],
    *,
    template: str | None = None,
    model: str | None = None,
    engine: Engine | None = None,
) -> ClassifyResult:
    """Say which label fits a picture, "none of these" included.

    Args:
        image: As in :func:`ask`.
        labels: One string with commas or line ends between labels, or one label per item; up to 5,000,
            of strangers 200. None at all
            for a model that was tuned on classes of its own: those.
        template: A prompt with ``{}`` for the label; default the model's own prompts.
        model, engine: As in :func:`ask`.

    Raises:
        MmdemoError: The picture, a label or the template cannot be used, or there is no such model.
    """
    started = time.perf_counter()
    names, prompt = labels_or_classes(labels, model, engine=engine), check_template(template)
    request = ClassifyRequest(picture=_picture(image), labels=names, template=prompt)
    return cast(ClassifyResult, _answer(CLASSIFY, request, model, engine, started))


def labels_or_classes(
    labels: str | Sequence[str], model: str | None = None, *, engine: Engine | None = None
) -> tuple[str, ...]:
    """The labels, checked; where there are none, the classes that the model was tuned on.

    Raises:
        MmdemoError: A label cannot be used, or there are none and the model has no classes of its own.
    """
    if not (labels if not isinstance(labels, str) else labels.strip()):
        learned = (engine or default_engine()).classes(model or None)
        if learned:
            return parse_labels(learned)
    return parse_labels(labels, most=MAX_LABELS if engine is None else engine.max_labels)


def caption(
    image: Image, *, n: int = 3, max_words: int = 20, model: str | None = None, engine: Engine | None = None
) -> CaptionResult:
    """Describe a picture in a sentence.

    Args:
        image: As in :func:`ask`.
        n: Captions in all, 1 to 10.
        max_words: Of each caption, 3 to 40.
        model, engine: As in :func:`ask`.

    Raises:
        MmdemoError: The picture or a number cannot be used, or there is no such model.
    """
    started = time.perf_counter()
    request = _caption_request(image, n, max_words)
    return cast(CaptionResult, _answer(CAPTION, request, model, engine, started))


def stream_caption(
    image: Image, *, n: int = 3, max_words: int = 20, model: str | None = None, engine: Engine | None = None
) -> Iterator[CaptionResult]:
    """As :func:`caption`, word by word: ever longer results, the last one complete. Bad input raises at once."""
    started = time.perf_counter()
    request = _caption_request(image, n, max_words)
    steps = (engine or default_engine()).stream(CAPTION, request, model)
    return (cast(CaptionResult, replace(step, seconds=time.perf_counter() - started)) for step in steps)


def sentiment(audio: Audio, *, model: str | None = None, engine: Engine | None = None) -> SentimentResult:
    """Say which emotion is heard in speech, over time for longer clips.

    Args:
        audio: Path, bytes, (samples per second, array), or a :class:`~mmdemo.core.types.Sound`.
        model, engine: As in :func:`ask`.

    Raises:
        MmdemoError: The sound cannot be used, or there is no such model.
    """
    started = time.perf_counter()
    request = SentimentRequest(sound=_sound(audio))
    return cast(SentimentResult, _answer(SENTIMENT, request, model, engine, started))


def stream_sentiment(
    audio: Audio, *, model: str | None = None, engine: Engine | None = None
) -> Iterator[SentimentResult]:
    """As :func:`sentiment`; where words are written down too, first how it sounds, then with the words."""
    started = time.perf_counter()
    steps = (engine or default_engine()).stream(SENTIMENT, SentimentRequest(sound=_sound(audio)), model)
    return (cast(SentimentResult, replace(step, seconds=time.perf_counter() - started)) for step in steps)


def explain(
    source: Image | Audio,
    result: Result,
    *,
    labels: str | Sequence[str] | None = None,
    template: str | None = None,
    max_words: int = 20,
    model: str | None = None,
    engine: Engine | None = None,
) -> tuple[HeatMap, ...]:
    """Where the model looked, or when it listened, for a result that it gave for ``source``.

    Args:
        source: The picture or sound of the result.
        result: What :func:`ask`, :func:`classify`, :func:`caption` or :func:`sentiment` returned.
        labels, template, max_words: As they were given, where they differ from what the result tells.
        model, engine: As in :func:`ask`; the default is the model that gave the result.

    Returns:
        Empty where the model has no way to tell.
    """
    request: Request
    match result:
        case SentimentResult():
            task, request = SENTIMENT, SentimentRequest(sound=_sound(cast(Audio, source)))
        case AskResult():
            task, request = ASK, AskRequest(picture=_picture(cast(Image, source)), question=result.question)
        case ClassifyResult():
            known = [item.label for item in result.labels if item.label != NONE_OF_THESE]
            given = parse_labels(labels if labels is not None else known)
            picture = _picture(cast(Image, source))
            task = CLASSIFY
            request = ClassifyRequest(picture=picture, labels=given, template=check_template(template))
        case CaptionResult():
            task = CAPTION
            request = _caption_request(cast(Image, source), 1 + len(result.alternatives), max_words)
        case unknown:
            assert_never(unknown)
    return (engine or default_engine()).explain(task, request, result, model)


def _answer(task: str, request: Request, model: str | None, engine: Engine | None, started: float) -> Result:
    answer = (engine or default_engine()).predict(task, request, model or None)
    return replace(answer, seconds=time.perf_counter() - started)  # decoding the file included


def _picture(image: Image) -> Picture:
    return image if isinstance(image, Picture) else load_picture(image)


def _sound(audio: Audio) -> Sound:
    return audio if isinstance(audio, Sound) else load_sound(audio)


def _caption_request(image: Image, n: int, max_words: int) -> CaptionRequest:
    if not 1 <= n <= MAX_CAPTIONS:
        raise MmdemoError("So many captions cannot be made", f"{n} were asked for", f"Ask for 1 to {MAX_CAPTIONS}")
    if not MIN_CAPTION_WORDS <= max_words <= MAX_CAPTION_WORDS:
        raise MmdemoError(
            "A caption cannot have that length",
            f"{max_words} words were asked for",
            f"Ask for {MIN_CAPTION_WORDS} to {MAX_CAPTION_WORDS}",
        )
    return CaptionRequest(picture=_picture(image), n=int(n), max_words=int(max_words))
