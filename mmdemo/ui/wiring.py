"""What every tab needs: engines by device, words, raw files, failures in place, and events that share one queue."""

from __future__ import annotations

import functools
import logging
import threading
from abc import ABCMeta
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import gradio as gr
from gradio.components import Component
from gradio.context import get_blocks_context
from gradio.events import EventListenerMethod, set_cancel_events

from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import CLASSIFY
from mmdemo.core.types import Card, Picture, Sound
from mmdemo.media.audio import load_sound
from mmdemo.media.image import load_picture
from mmdemo.serving.engine import Engine
from mmdemo.ui import answers
from mmdemo.ui.queue import AT_ONCE, MODEL_LANE
from mmdemo.ui.strings import Language, language_of, text

log = logging.getLogger("mmdemo.ui")

AnyComponent = TypeVar("AnyComponent", bound=Component)

MODEL_EVENTS: Mapping[str, Any] = {
    "concurrency_id": MODEL_LANE,
    "concurrency_limit": AT_ONCE,
    "show_progress": "minimal",
    "api_visibility": "private",
}
"""Settings of every page event that asks a model: one lane, see :mod:`mmdemo.ui.queue`."""

STOP: Mapping[str, Any] = {"size": "sm", "elem_classes": "stop"}
"""Settings of a button that is shown while an answer is waited for; see ``css/frame.css``."""

QUICK_EVENTS: Mapping[str, Any] = {
    "queue": False,
    "show_progress": "hidden",
    "api_visibility": "private",
}
"""Settings of page events that only clear or fill in something."""

LIVE_EVENTS: Mapping[str, Any] = {
    "concurrency_id": "page",
    "concurrency_limit": 8,
    "show_progress": "hidden",
    "api_visibility": "private",
}
"""Settings of quick page events that change a ``gr.State`` which others listen to: gradio tells of it only through the
queue."""

CHOICE: Mapping[str, Any] = {"trigger_mode": "always_last"}
"""Besides, for events of a choice: whoever chooses again before the answer has come gets what was chosen last."""

DATA_EVENTS: Mapping[str, Any] = {
    "concurrency_id": "data",
    "concurrency_limit": 2,
    "show_progress": "minimal",
    "api_visibility": "private",
}
"""Settings of page events that read or write many files: a lane of their own, so that answers never wait for them."""


class Engines:
    """One engine per device, each made when it is first asked for.

    Args:
        engine: The engine for ``device``.
        device: What the page was started with.
        public: Whether only that one device may be used.
    """

    def __init__(self, engine: Engine, *, device: str, public: bool) -> None:
        self.default = engine
        self.device = device
        self.public = public
        self._made: dict[str, Engine] = {device: engine}
        self._lock = threading.Lock()

    def on(self, device: str | None) -> Engine:
        """The engine for a device chosen on the page; the one of the start when none was."""
        if self.public or not device or device == self.device:
            return self.default
        with self._lock:
            if device not in self._made:
                like = self.default
                self._made[device] = Engine(device=device, max_models=like.max_models, max_bytes=like.max_bytes)
            return self._made[device]

    def made(self) -> tuple[Engine, ...]:
        """All that there are by now."""
        with self._lock:
            return tuple(self._made.values())

    def devices(self) -> list[str]:
        """What can be chosen: the device of the start, then the others that this machine has."""
        found = [self.device]
        if not self.public:
            found += [name for name in ("cpu", *accelerators()) if name not in found]
        return found


def accelerators() -> tuple[str, ...]:
    """``cuda`` and ``mps`` where torch finds them."""
    import torch  # seconds of import; the page is already served when this is first called

    names = []
    if torch.cuda.is_available():
        names.append("cuda")
    if torch.backends.mps.is_available():
        names.append("mps")
    return tuple(names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What the tabs are built from.

    Attributes:
        engines: Who answers.
        public: Whether strangers use the page.
        words: Turns a key into words that the browser translates.
        models: The model list of each task.
        serving: Which model answers, by task: what was chosen from the list, once it was loaded and probed.
        notes: What is said under the lists; changes when a model takes its own place anew. None on a shared page.
        asked: Another value here has the list's choice loaded, as if it had been chosen by hand; none on a shared page.
        device: The device list.
    """

    engines: Engines
    public: bool
    words: gr.I18n
    models: Mapping[str, gr.Dropdown]
    serving: Mapping[str, gr.Dropdown | gr.Textbox]
    notes: Mapping[str, gr.HTML]
    asked: Mapping[str, gr.State]
    device: gr.Dropdown


def stops(button: gr.Button, name: str, *events: Any) -> None:
    """Let a button drop the visitor's waiting events, and end those that run at their next piece of work.

    Args:
        button: To be clicked.
        name: Of the new event; the browser acts on it by itself, with gradio's ``/cancel``.
        events: To be stopped.
    """
    set_cancel_events([EventListenerMethod(button, "click")], list(events))
    root = get_blocks_context()
    assert root is not None  # noqa: S101 - a page is being built
    list(root.fns.values())[-1].api_name = name  # gradio has no way to say it


def own_kind(component: AnyComponent, **parts: Any) -> AnyComponent:
    """Give one component methods and attributes of its own.

    They go on a class for it alone, because every update makes the component anew for its visitor; past gradio's own
    metaclass, which would write a .pyi file into the package.
    """
    kind = type(component)
    component.__class__ = ABCMeta.__new__(type(kind), kind.__name__, (kind,), {"__module__": kind.__module__, **parts})
    return component


RAW = "_mmdemo_raw_file"
"""Mark of components that :func:`raw_file` made."""


def raw_file(component: AnyComponent) -> AnyComponent:
    """Let ``media/`` do all decoding: the component hands over the path of the uploaded file, untouched.

    Gradio would otherwise open pictures itself, with its own errors and conversions. That the path is one of an upload
    is checked for all components in :mod:`mmdemo.ui.uploads`.
    """
    return own_kind(component, preprocess=_paths, **{RAW: True})


def _paths(_: Component, payload: Any) -> Any:
    if isinstance(payload, list) or hasattr(payload, "root"):
        return [_paths(_, item) for item in (payload if isinstance(payload, list) else payload.root)]
    return getattr(payload, "path", None)


@functools.lru_cache(maxsize=16)
def picture_in(path: str) -> Picture:
    """The decoded picture of an uploaded file; gradio names uploads by their content, so a path means one picture."""
    return load_picture(path)


@functools.lru_cache(maxsize=8)
def sound_in(path: str) -> Sound:
    """The decoded clip of an uploaded file."""
    return load_sound(path)


def picture_or_refuse(path: str | None, language: Language) -> Picture:
    """The picture, or one sentence that there is none."""
    if not path:
        raise MmdemoError(text("no_picture", language), "", text("no_picture_try", language))
    return picture_in(path)


def sound_or_refuse(path: str | None, language: Language) -> Sound:
    """The clip, or one sentence that there is none."""
    if not path:
        raise MmdemoError(text("no_recording", language), "", text("no_recording_try", language))
    return sound_in(path)


def language_in(request: gr.Request | None) -> Language:
    """The language that the visitor's browser asks for."""
    return language_of(request.headers.get("accept-language") if request is not None else None)


def in_words(error: Exception, language: Language) -> str:
    """One sentence for a failure; the traceback of an unexpected one goes to the log only."""
    if isinstance(error, MmdemoError):
        return str(error)
    log.error("unexpected failure while answering", exc_info=error)
    return text("unexpected", language)


def notice(error: Exception, language: Language) -> str:
    """The failure as a panel for the page."""
    return answers.trouble(in_words(error, language), language)


def first_limit(engine: Engine, task: str, model: str) -> str:
    """The model's first known limit, "" where its card names none."""
    try:
        limits = engine.card(task, model).limits
    except MmdemoError:
        return ""
    return limits[0] if limits else ""


def model_ids(engine: Engine, task: str) -> list[str]:
    """Ids that can be chosen for a task."""
    return [card.id for card in engine.cards(task)]


def own_model_ids(engine: Engine, task: str) -> list[str]:
    """Without what others published: what can be taught in the page."""
    return [card.id for card in engine.cards(task) if card.source != "public"]


def learned_classes(engine: Engine, model: str | None) -> tuple[str, ...]:
    """The classes of its own that a listed model of Classify has; () where it has none, or is not on the list."""
    if model not in model_ids(engine, CLASSIFY):
        return ()
    try:
        return engine.classes(model)
    except MmdemoError:
        return ()


def card_or_none(engine: Engine, task: str, model: str | None) -> Card | None:
    """The card of a model, None while there is none."""
    try:
        return engine.card(task, model)
    except MmdemoError:
        return None
