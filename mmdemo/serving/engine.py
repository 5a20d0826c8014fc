"""Which model serves a job now, and what it answered: requests in, results out."""

from __future__ import annotations

import difflib
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import cast

from mmdemo import models
from mmdemo.core.config import CLASSES
from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import checkpoints_root, typed_path
from mmdemo.core.tasks import ASK, CAPTION, CLASSIFY, SENTIMENT
from mmdemo.core.types import (
    TASKS,
    AskRequest,
    AskResult,
    CaptionRequest,
    CaptionResult,
    Card,
    ClassifyingModel,
    ClassifyRequest,
    ClassifyResult,
    HeatMap,
    Model,
    Request,
    Result,
    SentimentRequest,
    SentimentResult,
)
from mmdemo.media.limits import MAX_LABELS, MAX_LABELS_PUBLIC
from mmdemo.models import registry
from mmdemo.models.folder import read_config
from mmdemo.models.hub import installed
from mmdemo.serving.cache import LruCache
from mmdemo.serving.memory import resident_bytes
from mmdemo.serving.pool import Loader, ModelPool, Served, Swap, translated
from mmdemo.serving.versions import versions_below

MAX_MODELS = 8
"""Models in memory at once where nothing else is asked for."""

CACHED_ANSWERS = 512
"""Answers that are kept."""

CACHED_BYTES = 32_000_000
"""Bytes, roughly, of the answers that are kept; it bounds those with thousands of labels."""

REMEMBERED = 4_096
"""Answers of which is known what version of a model gave them, so that no other version explains them."""

_REQUESTS: dict[str, type[Request]] = {
    ASK: AskRequest,
    CLASSIFY: ClassifyRequest,
    CAPTION: CaptionRequest,
    SENTIMENT: SentimentRequest,
}


class Engine:
    """Answers requests with models that it loads when they are first asked for. Thread-safe.

    Args:
        device: "auto", "cpu", "cuda" or "mps".
        public: For strangers: only models of ours that :func:`mmdemo.models.list_models` names, nothing by path or hub
            id, and nothing that others published.
        max_models: Loaded at once, 1 or more; the one that was not used for longest goes first.
        max_bytes: Of the tensors of all loaded models, what they share counted once; None for no limit. Pictures and
            texts that a model remembers come on top: at most 0.1 GB for each trunk and text encoder.
        allow_download: Whether a hub id may be fetched; never in public.
        loader, lister, default: Stand in for :func:`mmdemo.models.load`, ``list_models`` and ``default_model``.
    """

    def __init__(
        self,
        *,
        device: str = "auto",
        public: bool = False,
        max_models: int = MAX_MODELS,
        max_bytes: int | None = None,
        allow_download: bool = False,
        loader: Loader | None = None,
        lister: Callable[[str | None], tuple[Card, ...]] | None = None,
        default: Callable[[str], str] | None = None,
    ) -> None:
        self.device = device
        self.public = public
        self.max_models, self.max_bytes = max_models, max_bytes
        self.max_labels = MAX_LABELS_PUBLIC if public else MAX_LABELS
        self._lister = lister or (registry.list_own if public else models.list_models)
        self._default = default or models.default_model
        self._pool = ModelPool(
            loader or (models.load if public else _load_with_words),
            device=device,
            allow_download=allow_download and not public,
            max_models=max_models,
            max_bytes=max_bytes,
        )
        self._answers: LruCache[tuple[str, str, str], Result] = LruCache(
            max_entries=CACHED_ANSWERS, max_bytes=CACHED_BYTES, size=_rough_size
        )
        self._given: LruCache[tuple[str, str, str, str], str] = LruCache(max_entries=REMEMBERED)

    # ------------------------------------------------------------ what there is

    def cards(self, task: str) -> tuple[Card, ...]:
        """Cards of all models on disk for a job."""
        _check_task(task)
        return tuple(self._lister(task))

    def card(self, task: str, model: str | None = None) -> Card:
        """A model's card; one that is not listed (a path, a hub id) is loaded for it.

        Raises:
            MmdemoError: There is no such model.
        """
        wanted = self._resolve(task, model)
        if (task, wanted) not in self._pool.loaded:
            for card in self._lister(task):
                if card.id == wanted:
                    return card
        with self._pool.use(task, wanted) as served:
            return served.model.card

    def classes(self, model: str | None = None) -> tuple[str, ...]:
        """The classes that a model of Classify was tuned on, () where it has none.

        Raises:
            MmdemoError: There is no such model, or it has to be loaded for this and does not load.
        """
        wanted = self._resolve(CLASSIFY, model)
        if (CLASSIFY, wanted) not in self._pool.loaded:
            if any(card.id == wanted and card.source == "public" for card in self._lister(CLASSIFY)):
                return ()  # it is asked with any labels, and is not loaded to say so
            with suppress(MmdemoError):  # a zip, or a hub id
                learned = read_config(registry.find(CLASSIFY, wanted)).settings.get(CLASSES)
                return learned if isinstance(learned, tuple) else ()
        with self._pool.use(CLASSIFY, wanted) as served:
            return cast(ClassifyingModel, served.model).classes

    def memory(self) -> int:
        """Bytes that this process holds in memory now."""
        return resident_bytes()

    @property
    def held(self) -> int:
        """Bytes of the tensors of all models in memory, what they share counted once."""
        return self._pool.held

    @property
    def loaded(self) -> tuple[tuple[str, str], ...]:
        """(task, model) of what is in memory, longest unused first."""
        return self._pool.loaded

    # ------------------------------------------------------------ swapping

    def prepare(self, task: str, model: str | None = None) -> Swap:
        """Load a model, or the version of it that lies on disk now, so that the next answer does not wait.

        Raises:
            MmdemoError: No such model, or it is refused: the tensor, label or probe that differs is named. What
                served before goes on.
        """
        return self._pool.prepare(task, self._resolve(task, model))

    def renew(self, task: str, model: str | None = None) -> None:
        """Load in the background what was trained anew since, where the model is in memory; returns at once."""
        self._pool.renew(task, model or self._default(task))

    def trouble(self, task: str, model: str | None = None) -> str:
        """Why the version on disk does not serve, in one sentence; "" where it does, or was not tried yet."""
        return self._pool.trouble(task, model or self._default(task))

    def swapped(self, task: str, model: str | None = None) -> Swap | None:
        """How a model that was trained anew took its own place, None where it did not."""
        return self._pool.swapped(task, model or self._default(task))

    @property
    def models_state(self) -> str:
        """Another one whenever a checkpoint is written, deleted, loaded, refused or let go; cheap to ask for often."""
        return f"{self._pool.changes} {versions_below(checkpoints_root())} {installed.marks()}"

    # ------------------------------------------------------------ answering

    def predict(self, task: str, request: Request, model: str | None = None) -> Result:
        """Answer one request; ``seconds`` is the time until the answer was there, waiting and loading included.

        Raises:
            MmdemoError: No such model, or the model could not answer.
        """
        started = time.perf_counter()
        wanted = self._checked(task, request, model)
        with self._pool.use(task, wanted) as served:
            key = (f"{task}:{wanted}", _version(served), _content_key(request))
            answer = self._answers.get(key)
            if answer is None:
                with translated(wanted):
                    answer = served.answer(request)
                self._answers.put(key, answer)
            self._given.put(_given_key(task, request, answer), served.version)
        return _present(answer, request, started)

    def stream(self, task: str, request: Request, model: str | None = None) -> Iterator[Result]:
        """Ever longer results, the last one complete; once only where a model does not stream or knows the answer."""
        started = time.perf_counter()
        wanted = self._checked(task, request, model)
        with self._pool.use(task, wanted) as served:
            if not getattr(served.model, "streaming", True):
                yield self.predict(task, request, wanted)
                return
            key = (f"{task}:{wanted}", _version(served), _content_key(request))
            answer = self._answers.get(key)
            if answer is not None:
                self._given.put(_given_key(task, request, answer), served.version)
                yield _present(answer, request, started)
                return
            with translated(wanted):
                steps, turn = served.model.stream(request), served.turn()
                while True:
                    # held for one step only, so that a slow reader does not stop everyone else
                    with turn:
                        step = next(steps, None)
                    if step is None:
                        break
                    answer = step
                    self._given.put(_given_key(task, request, answer), served.version)
                    yield _present(answer, request, started)
            if answer is not None:
                self._answers.put(key, answer)

    def explain(self, task: str, request: Request, result: Result, model: str | None = None) -> tuple[HeatMap, ...]:
        """Where the model looked for ``result``; by default the model that gave it.

        Returns:
            One map for Ask, one per leading label for Classify, one per word for Caption, one over time for
            Sentiment; empty where the model cannot tell.

        Raises:
            MmdemoError: No such model any more, or one that was trained anew since it gave the result.
        """
        given = self._given.get(_given_key(task, request, result)) if model is None else None
        if model is None:
            model = self._pool.asked_by(task, result.model)
        wanted = self._checked(task, request, model)
        with self._pool.use(task, wanted) as served, translated(wanted), served.turn():
            if given is not None and given != served.version:
                raise MmdemoError(
                    "This answer can no longer be explained",
                    f"{wanted} has been trained anew since it gave it",
                    "Ask again, and the new one answers",
                )
            return served.model.explain(request, result)

    # ------------------------------------------------------------ ending

    def unload(self, task: str, model: str | None = None) -> None:
        """Give a model's memory back; the next request loads it again. Nothing happens when it is not loaded."""
        self._pool.unload(task, self._resolve(task, model))

    def close(self) -> None:
        """Release all models; those that are answering go when they are done. May be called twice."""
        self._pool.close()
        self._answers.clear()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------ which model

    def _checked(self, task: str, request: Request, model: str | None) -> str:
        _check_task(task)
        if not isinstance(request, _REQUESTS[task]):
            raise TypeError(f"{task} takes {_REQUESTS[task].__name__}, not {type(request).__name__}")
        return self._resolve(task, model)

    def _resolve(self, task: str, model: str | None) -> str:
        """The id that will be loaded.

        Raises:
            MmdemoError: No such model, or not one that may be chosen here.
        """
        _check_task(task)
        wanted = model or self._default(task)
        if (task, wanted) in self._pool.loaded:
            return wanted  # it passed what follows when it was loaded
        listed = [card.id for card in self._lister(task)]
        if wanted in listed:
            return wanted
        if not self.public:
            registry.refuse_unfinished(wanted)
        if not self.public and (typed_path(wanted).exists() or "/" in wanted or "\\" in wanted):
            return wanted  # a folder, a zip or a hub id: the loader knows
        raise self._unknown(task, wanted, listed)

    def _unknown(self, task: str, wanted: str, listed: Sequence[str]) -> MmdemoError:
        shown = wanted if len(wanted) <= 80 else wanted[:79] + "…"
        what = f"There is no model “{shown}” for {task}"
        if not listed:
            return MmdemoError(what, "no model for it is on disk", f"Train one: python -m mmdemo train {task}")
        other = next((card.task for card in self._lister(None) if card.id == wanted and card.task != task), None)
        why = f"it is a model for {other}" if other else ""
        near = [] if other else difflib.get_close_matches(wanted, listed, n=1, cutoff=0.6)
        names = ", ".join(listed[:8]) + (", …" if len(listed) > 8 else "")
        return MmdemoError(what, why, f"Did you mean {near[0]}? There are: {names}" if near else f"There are: {names}")


def _load_with_words(
    task: str, model: str | None = None, *, device: str = "auto", allow_download: bool = False
) -> Model:
    from mmdemo.models.loading import load_with_words  # brings torch

    return load_with_words(task, model, device=device, allow_download=allow_download)


def _version(served: Served) -> str:
    """Of the model, and of what writes down words beside it."""
    return f"{served.version} {getattr(served.model, 'writer', '')}"


def _check_task(task: str) -> None:
    if task not in TASKS:
        raise MmdemoError(f"There is no job “{task}”", "", f"There are: {', '.join(TASKS)}")


def _rough_size(answer: Result) -> int:
    """Bytes, counting labels only: about what a short string, a float and their record take."""
    return 1_000 + 200 * (len(answer.labels) if isinstance(answer, ClassifyResult) else 20)


def _content_key(request: Request) -> str:
    """Equal for requests that must get the same answer."""
    match request:
        case AskRequest():
            return f"{request.picture.key}\n{request.question}"
        case ClassifyRequest():
            text = "\0".join(request.labels) + f"\n{request.template!r}"
            return f"{request.picture.key}\n{hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()}"
        case CaptionRequest():
            return f"{request.picture.key}\n{request.n}\n{request.max_words}"
        case SentimentRequest():
            return request.sound.key


def _given_key(task: str, request: Request, answer: Result) -> tuple[str, str, str, str]:
    """Equal for one answer of one model to one request, whatever else it says of time and file."""
    match answer:
        case AskResult():
            said: tuple[object, ...] = (answer.answer, answer.score, answer.alternatives)
        case ClassifyResult():
            said = answer.labels[:8]
        case CaptionResult():
            said = (answer.caption, answer.score)
        case SentimentResult():
            said = (answer.emotion, answer.scores)
    return task, answer.model, _content_key(request), repr(said)


def _present(answer: Result, request: Request, started: float) -> Result:
    """An answer as this caller sees it: with the present file's name and the time it took here."""
    file = request.sound.name if isinstance(request, SentimentRequest) else request.picture.name
    return replace(answer, file=file, seconds=time.perf_counter() - started)
