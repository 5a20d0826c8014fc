"""What every task's preparation works with: what a run builds on, learns from and makes, and its checked settings."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from mmdemo.core.config import CardText, CheckpointConfig, Scalar
from mmdemo.core.errors import MmdemoError
from mmdemo.core.words import nearest_name, word_set
from mmdemo.data.pictures import Say
from mmdemo.data.read import Dataset
from mmdemo.models.encoders import LoadedTextEncoder, VisionEncoder
from mmdemo.models.families.adapter import AdapterBase
from mmdemo.nets.speech import EmotionNet, SpeechEncoder
from mmdemo.tasks.base import Task
from mmdemo.tasks.hub.base import TrainableFamily
from mmdemo.tasks.tune import Tune

C = TypeVar("C")

Net = Mapping[str, Scalar]
"""The ``[net]`` section of a configuration file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubBase:
    """A hub model that a run builds on.

    Attributes:
        base: Which one it is.
        model: Opened, in fp32; its network is what is tuned.
        before: Configuration of the tuned model that the run goes on from, whose base it is.
        folder: Where that lies.
    """

    base: AdapterBase
    model: TrainableFamily
    before: CheckpointConfig | None = None
    folder: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoders:
    """What a run builds on.

    Attributes:
        vision, text: Shared parts; absent where a task does not need them.
        speech: Encoder that a Sentiment network starts from.
        same: Configuration of a checkpoint of the same task that the network starts from; its labels stay.
        emotion: That checkpoint's network, where the task is Sentiment.
        hub: A model from a hub, which is tuned as a whole; then there is nothing else.
    """

    vision: VisionEncoder | None = None
    text: LoadedTextEncoder | None = None
    speech: SpeechEncoder | None = None
    same: CheckpointConfig | None = None
    emotion: EmotionNet | None = None
    hub: HubBase | None = None

    def modules(self) -> dict[str, nn.Module]:
        """Role → network, for what a task takes over."""
        found: dict[str, nn.Module] = {}
        if self.vision is not None:
            found["vision"] = self.vision.trunk
        if self.text is not None:
            found["text"] = self.text.encoder
        if self.speech is not None:
            found["speech"] = self.speech
        return found

    def labels(self, learned: Sequence[str]) -> tuple[str, ...]:
        """Labels of the base, then those that are new."""
        return tuple(dict.fromkeys((*(self.same.labels if self.same else ()), *learned)))

    def net(self, given: Net) -> dict[str, Scalar]:
        """Network settings: those of the base, overridden by what the configuration says."""
        return {**(self.same.net if self.same else {}), **given}

    def need_hub(self) -> HubBase:
        if self.hub is None:
            raise MmdemoError("This training needs a public model", "none was named", "Name one with --base")
        return self.hub

    def need_vision(self) -> VisionEncoder:
        if self.vision is None:
            raise MmdemoError("This training needs a picture trunk", "no vision checkpoint was found")
        return self.vision

    def need_text(self) -> LoadedTextEncoder:
        if self.text is None:
            raise MmdemoError("This training needs a text encoder", "no text checkpoint was found")
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """Rows for training and validation, and the configuration of the checkpoint that they make.

    ``data`` names what was learned from; ``constants`` are values for buffers of the network, by name: known
    beforehand, carried along, not learned. ``ships`` is the checkpoint's configuration where it holds less than what
    was trained; ``beside`` are parts, by folder name, that are written next to it with their cards if they are missing.
    ``crossed`` says that nothing is set aside, because the task judges itself by parts that it leaves out. ``task`` is
    the run's own, where it is none of ours.
    """

    train: Sequence[Any]
    validation: Sequence[Any]
    config: CheckpointConfig
    constants: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    data: str = ""
    ships: CheckpointConfig | None = None
    crossed: bool = False
    beside: Mapping[str, tuple[LoadedTextEncoder, CardText]] = field(default_factory=dict)
    task: Task[Any, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSplits:
    """What a run learns from and what it is chosen by; validation may come from folders of its own."""

    train: Dataset
    validation: Dataset
    seed: int = 0
    options: Mapping[str, Scalar | tuple[str, ...]] = field(default_factory=dict)
    tune: Tune = field(default_factory=Tune)


Prepare = Callable[[DatasetSplits, Encoders, Net, Say | None], TrainingData]
"""How a task's rows are made."""

STOPWORDS = word_set(
    """
    a an the of in on at to and or with for from by as is are be been being was were it its this that these those
    there his her their he she they him them who which while into out up down over under near next has have had do
    does not no some other another one two three very just i you we my your our all each off about what where when
    how
    """
)
"""Words that say nothing of what is in a picture."""


# ---------------------------------------------------------------- settings


def chosen_options(given: Mapping[str, Scalar | tuple[str, ...]], **defaults: Scalar) -> dict[str, Any]:
    """The ``[data]`` options of a task, each of its default's type.

    Raises:
        MmdemoError: For an unknown option, naming the nearest one, or a value of another type.
    """
    found: dict[str, Any] = dict(defaults)
    for name, value in given.items():
        _known(f"data.{name}", {f"data.{known}" for known in defaults})
        found[name] = _of_type(f"data.{name}", value, type(defaults[name]))
    return found


def net_settings(kind: type[C], values: Mapping[str, object]) -> C:
    """The settings of a network as its record, so that a mistake is found before any feature is made.

    Raises:
        MmdemoError: For an unknown setting, naming the nearest one, a value of another type, or one that cannot be.
    """
    hints = typing.get_type_hints(kind)
    for name, value in values.items():
        _known(f"net.{name}", {f"net.{known}" for known in hints})
        _of_type(f"net.{name}", value, hints[name])
    try:
        return kind(**values)
    except ValueError as error:
        raise MmdemoError("The settings of [net] do not fit", str(error)) from None


def _known(name: str, known: set[str]) -> None:
    if name not in known:
        near = nearest_name(name, sorted(known))
        listed = ", ".join(sorted(known)) or "none"
        raise MmdemoError(f"Unknown setting: {name}", f"known are {listed}", f"Did you mean {near}" if near else "")


def _of_type(name: str, value: object, kind: type) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise MmdemoError(f"{name} must be of type {kind.__name__}", f"it is {value!r}")
    return value
