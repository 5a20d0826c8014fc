"""What a checkpoint's config.json holds, as frozen records: network, labels, calibration, parts, words for the card."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import MOST_DIGITS_IN_SETTINGS, Unreadable, parse_json
from mmdemo.core.renamed import current_names
from mmdemo.core.tasks import SENTIMENT
from mmdemo.core.words import NUMBER, YES_NO
from mmdemo.core.writing import json_text

SCHEMA = 1

CLASSES = "classes"
"""Setting of a Classify checkpoint: the labels of its training pictures, which it is asked for where none are given."""

FAMILY = "family"
"""In ``net`` of a checkpoint that was tuned from a hub model: which kind it is (see models.families.classes)."""

TUNED_TRUNK = "vision."
"""Prefix of tensors that stand in for those of the checkpoint's part "vision": its trunk was tuned along."""

MOST_NAME = 200
"""Bytes of a part's name; file systems take 255."""

Scalar = float | int | str | bool
C = TypeVar("C")


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderRef:
    """Another checkpoint that this one needs: folder name beside it, and the hash of its weights."""

    name: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Checksums of a weight file, written with it.

    Attributes:
        sha256: Hex SHA-256 of the whole file: what decides.
        tensors: Name → first 16 hex digits of the SHA-256 of its bytes: says which one was damaged.
    """

    sha256: str
    tensors: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class CardText:
    """What a person wrote about a checkpoint; the ``[card]`` section of a configuration file."""

    summary: str = ""
    licence: str = "other"
    language: tuple[str, ...] = ("en",)
    data: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Scores are ``softmax(logits / temperature)``; below ``threshold`` the answer is "not sure".

    ``kept`` and ``right`` say what that threshold did on validation: share of answers kept, and share of those right.
    ``height`` and ``height_slope`` are Classify's alone: how far a label must stand out before it beats "none of
    these", and how much that grows with the natural logarithm of the number of labels, because the best of many stands
    out further by chance. ``yes_no`` and ``number`` are Ask's: the temperatures of questions to say yes or no to, and
    of counts; 0 is as for all others.
    """

    temperature: float = 1.0
    threshold: float = 0.0
    kept: float = 1.0
    right: float = 0.0
    data: str = ""
    height: float = 0.0
    height_slope: float = 0.0
    yes_no: float = 0.0
    number: float = 0.0

    def none_height(self, labels: int) -> float:
        """How far "none of these" stands out among so many labels."""
        return self.height + self.height_slope * math.log(max(1, labels))

    def temperature_of(self, kind: str) -> float:
        """Of a kind of question, as :func:`mmdemo.core.words.question_kind` names it."""
        return {YES_NO: self.yes_no, NUMBER: self.number}.get(kind, 0.0) or self.temperature


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointConfig:
    """Everything but the tensors.

    Attributes:
        task: A served task, "vision", "speech" or "text".
        net: Keyword arguments of the network's configuration.
        labels: Answers, words or emotions, in the order of the output units; part of the model, never given later.
        settings: What the task needs beside the network (templates, mixing weights).
        parts: Other checkpoints it refers to, by role ("vision", "text").
        weights: Checksums of its weights; None where a version wrote it that noted none.
    """

    task: str
    net: Mapping[str, Scalar] = field(default_factory=lambda: MappingProxyType({}))
    labels: tuple[str, ...] = ()
    settings: Mapping[str, Scalar | tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    calibration: Calibration = field(default_factory=Calibration)
    parts: Mapping[str, EncoderRef] = field(default_factory=lambda: MappingProxyType({}))
    card: CardText = field(default_factory=CardText)
    schema: int = SCHEMA
    weights: Weights | None = None

    def to_json(self) -> str:
        data = dataclasses.asdict(_plain(self))
        if self.weights is None:
            del data["weights"]
        return json_text(data, indent=1) + "\n"

    @staticmethod
    def from_json(text: str, where: str) -> CheckpointConfig:
        """Raises MmdemoError where the text is not a configuration of this schema."""
        try:
            raw = parse_json(text, name="config.json", most_digits=MOST_DIGITS_IN_SETTINGS)
            if not isinstance(raw, dict):
                raise TypeError(f"it is a {type(raw).__name__}, not an object")
            if raw.get("schema") != SCHEMA:
                raise MmdemoError(
                    f"{where} cannot be loaded",
                    f"its config.json has schema {raw.get('schema')!r}, this version reads {SCHEMA}",
                )
            return _config(raw)
        except Unreadable as error:
            raise MmdemoError(f"{where} cannot be loaded", f"its config.json {error.trouble}") from None
        except (ValueError, KeyError, TypeError) as error:
            why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise MmdemoError(f"{where} cannot be loaded", f"its config.json is not valid ({why})") from None


def _config(raw: Mapping[str, typing.Any]) -> CheckpointConfig:
    """Raises KeyError, TypeError and ValueError."""
    config = CheckpointConfig(
        task=raw["task"],
        net=current_names("net", _object(raw["net"], "net")),
        labels=_texts(raw["labels"], "labels"),
        settings={k: _setting(v, k) for k, v in _object(raw["settings"], "settings").items()},
        calibration=from_mapping(Calibration, raw["calibration"]),
        parts={role: _part(part, role) for role, part in _object(raw["parts"], "parts").items()},
        card=from_mapping(CardText, raw["card"]),
        weights=_weights(raw["weights"]) if raw.get("weights") is not None else None,
    )
    if not isinstance(config.task, str):
        raise TypeError(f"task is {config.task!r}, not text")
    for name, value in config.net.items():
        if not isinstance(value, float | int | str):
            raise TypeError(f"net.{name} is a {type(value).__name__}")
    # in Classify two things may be called the same (a crane flies or lifts); two units for one emotion are a mistake
    if config.task == SENTIMENT and len(set(config.labels)) < len(config.labels):
        raise ValueError("an emotion is among its labels twice")
    return config


def _part(raw: object, role: str) -> EncoderRef:
    part = from_mapping(EncoderRef, _object(raw, role))
    # it is joined to a folder: no path, nothing that the system refuses as a name
    if part.name in {"", ".", ".."} or Path(part.name).name != part.name or not part.name.isprintable():
        raise ValueError(f"its {role} part has a path for a name: {part.name[:80]}")
    if len(part.name.encode()) > MOST_NAME:
        raise ValueError(f"the name of its {role} part has more than {MOST_NAME} bytes")
    return part


def _weights(raw: object) -> Weights:
    found = _object(raw, "weights")
    tensors = _object(found.get("tensors", {}), "weights.tensors")
    if not isinstance(found["sha256"], str) or not all(isinstance(one, str) for one in tensors.values()):
        raise TypeError("its checksums are not text")
    return Weights(sha256=found["sha256"], tensors=tensors)


def _object(value: object, name: str) -> dict[str, typing.Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{name} is a {type(value).__name__}, not an object")
    return value


def _texts(value: object, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise TypeError(f"{name} is no list of texts")
    return tuple(value)


def _setting(value: object, name: str) -> Scalar | tuple[str, ...]:
    if isinstance(value, list):
        return _texts(value, f"settings.{name}")
    if not isinstance(value, float | int | str):
        raise TypeError(f"settings.{name} is a {type(value).__name__}")
    return value


def _plain(config: CheckpointConfig) -> CheckpointConfig:
    """The same with plain dicts, which ``asdict`` can copy."""
    weights = config.weights
    return dataclasses.replace(
        config,
        net=dict(config.net),
        settings=dict(config.settings),
        parts=dict(config.parts),
        weights=None if weights is None else dataclasses.replace(weights, tensors=dict(weights.tensors)),
    )


def from_mapping(kind: type[C], values: Mapping[str, object]) -> C:
    """A frozen dataclass from a JSON object; lists become tuples.

    Raises:
        TypeError: A key is unknown, or a value is not of the kind that the field is declared to be.
    """
    if not isinstance(values, Mapping):  # whoever wrote the file has put anything there
        raise TypeError(f"{kind.__name__.lower()} is a {type(values).__name__}, not an object")
    found = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    hints = typing.get_type_hints(kind)
    for name, value in found.items():
        if name in hints and not _fits(value, hints[name]):
            raise TypeError(f"{name} is {str(value)[:40]!r}, which is no {getattr(hints[name], '__name__', 'value')}")
    return kind(**found)


def _fits(value: object, hint: object) -> bool:
    """Whether a value may stand in a field of numbers, texts or lists of texts; other fields look for themselves."""
    if typing.get_origin(hint) is tuple:
        texts = typing.get_args(hint)[:1] == (str,)
        return isinstance(value, tuple) and (not texts or all(isinstance(one, str) for one in value))
    if hint is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    if hint in (int, str, bool):
        return type(value) is hint
    return True
