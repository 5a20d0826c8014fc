"""What a checkpoint's config.json holds, as frozen records: network, labels, calibration, parts, words for the card."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from mmdemo.core.errors import MmdemoError
from mmdemo.core.words import NUMBER, YES_NO

SCHEMA = 1

CLASSES = "classes"
"""Setting of a Classify checkpoint: the labels of its training pictures, which it is asked for where none are given."""

FAMILY = "family"
"""In ``net`` of a checkpoint that was tuned from a public model: which kind it is (see models.public.layout)."""

TUNED_TRUNK = "vision."
"""Prefix of tensors that stand in for those of the checkpoint's part "vision": its trunk was tuned along."""

Scalar = float | int | str | bool
C = TypeVar("C")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Another checkpoint that this one needs: folder name beside it, and the hash of its weights."""

    name: str
    hash: str


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
    ``height`` is Classify's alone: how far a label must stand out before it beats "none of these". ``yes_no`` and
    ``number`` are Ask's: the temperatures of questions to say yes or no to, and of counts; 0 is as for all others.
    """

    temperature: float = 1.0
    threshold: float = 0.0
    kept: float = 1.0
    right: float = 0.0
    data: str = ""
    height: float = 0.0
    yes_no: float = 0.0
    number: float = 0.0

    def temperature_of(self, kind: str) -> float:
        """Of a kind of question, as :func:`mmdemo.core.words.question_kind` names it."""
        return {YES_NO: self.yes_no, NUMBER: self.number}.get(kind, 0.0) or self.temperature


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointConfig:
    """Everything but the tensors.

    Attributes:
        task: "ask", "classify", "caption", "sentiment", "vision" or "text".
        net: Keyword arguments of the network's configuration.
        labels: Answers, words or emotions, in the order of the output units; part of the model, never given later.
        settings: What the task needs beside the network (templates, mixing weights).
        parts: Other checkpoints it refers to, by role ("vision", "text").
    """

    task: str
    net: Mapping[str, Scalar] = field(default_factory=lambda: MappingProxyType({}))
    labels: tuple[str, ...] = ()
    settings: Mapping[str, Scalar | tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    calibration: Calibration = field(default_factory=Calibration)
    parts: Mapping[str, Part] = field(default_factory=lambda: MappingProxyType({}))
    card: CardText = field(default_factory=CardText)
    schema: int = SCHEMA

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(_plain(self)), indent=1, ensure_ascii=False) + "\n"

    @staticmethod
    def from_json(text: str, where: str) -> CheckpointConfig:
        """Raises MmdemoError where the text is not a configuration of this schema."""
        try:
            raw = json.loads(text)
            if raw.get("schema") != SCHEMA:
                raise MmdemoError(
                    f"{where} cannot be loaded",
                    f"its config.json has schema {raw.get('schema')!r}, this version reads {SCHEMA}",
                )
            settings = {k: tuple(v) if isinstance(v, list) else v for k, v in raw["settings"].items()}
            # in Classify two things may be called the same (a crane flies or lifts); two units for one emotion are a
            # mistake
            if raw["task"] == "sentiment" and len(set(raw["labels"])) < len(raw["labels"]):
                raise ValueError("an emotion is among its labels twice")
            return CheckpointConfig(
                task=raw["task"],
                net=raw["net"],
                labels=tuple(raw["labels"]),
                settings=settings,
                calibration=from_mapping(Calibration, raw["calibration"]),
                parts={role: from_mapping(Part, part) for role, part in raw["parts"].items()},
                card=from_mapping(CardText, raw["card"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MmdemoError(f"{where} cannot be loaded", f"its config.json is not valid ({error})") from None


def _plain(config: CheckpointConfig) -> CheckpointConfig:
    """The same with plain dicts, which ``asdict`` can copy."""
    return dataclasses.replace(config, net=dict(config.net), settings=dict(config.settings), parts=dict(config.parts))


def from_mapping(kind: type[C], values: Mapping[str, object]) -> C:
    """A frozen dataclass from a JSON object; lists become tuples; an unknown key is a TypeError that names it."""
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
