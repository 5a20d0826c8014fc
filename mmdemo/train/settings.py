"""A training's configuration: TOML sections with defaults, overridden one by one, refused where a name is unknown."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import tomli_w

from mmdemo.core.config import CardText, Scalar
from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import MOST_TOML, Unreadable, parse_toml, read_bytes
from mmdemo.core.renamed import SECTIONS, current_names
from mmdemo.core.words import nearest_name
from mmdemo.tasks.base import LossSettings
from mmdemo.tasks.tune import Tune

R = typing.TypeVar("R")

SCHEDULES = ("cosine", "linear", "constant")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """The ``[train]`` section.

    Attributes:
        epochs: Passes over the training part; 0 leaves it at what the task can compute at once.
        batch_size: Rows per step.
        grad_accum_steps: Batches per step of the optimizer; refused where a task compares the rows of a batch.
        tune: What is trained: "head", "last:N" blocks of the encoder, "lora" or "all" (see tasks.tune.Tune).
        lora_rank, lora_alpha: Rank of LoRA's matrices, and the factor over the rank by which their product counts.
        learning_rate: Peak rate of the network's head, and of LoRA's matrices.
        encoder_lr_scale: Factor on the learning rate for what came from a base encoder.
        layer_decay: Factor on the learning rate per block below the top of that base.
        warmup: Share of the steps in which the rate rises from 0.
        schedule: "cosine", "linear" or "constant" after the warm-up.
        weight_decay: AdamW's, on matrices only.
        max_grad_norm: Largest norm of the gradient.
        seed: Of weights, order and augmentation.
        label_smoothing: Share of the target spread over all classes.
        save_steps: Steps between two states from which a run can be resumed.
        precision: "fp32", "bf16" or "fp16" for matrix products; "auto" takes the fastest that the device is good at.
        ema_decay: Decay of the running average of the weights (EMA) that is validated and kept; 0 turns it off.
        keep_best: Keep the epoch with the best validation figure; off keeps the last, where validation is too small to
            choose by.
        save_total_limit: How many of the best epochs' weights stay in the run's folder.
        metric: Validation figure to choose by; "" is the task's own.
        patience: Epochs without a better figure after which the training stops early; 0 is never.
        self_critical: Share of the loss that rewards whole captions of the network's own by CIDEr-D instead of single
            words; Caption only (see tasks.caption.CaptionTask.reward).
        teacher_share, teacher_temperature: Weight of the soft targets of --teacher, and how much they are softened.
    """

    epochs: float = 5
    batch_size: int = 64
    grad_accum_steps: int = 1
    tune: str = "head"
    lora_rank: int = 8
    lora_alpha: float = 16.0
    learning_rate: float = 5e-4
    encoder_lr_scale: float = 0.1
    layer_decay: float = 1.0
    warmup: float = 0.05
    schedule: str = "cosine"
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    seed: int = 0
    label_smoothing: float = 0.0
    save_steps: int = 500
    precision: str = "auto"
    ema_decay: float = 0.0
    keep_best: bool = True
    save_total_limit: int = 1
    metric: str = ""
    patience: int = 0
    teacher_share: float = 0.5
    teacher_temperature: float = 2.0
    self_critical: float = 0.0

    def __post_init__(self) -> None:
        for one in dataclasses.fields(self):
            value = getattr(self, one.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise MmdemoError(f"train.{one.name} must be a number", f"it is {value}")
        if self.epochs < 0:
            raise MmdemoError("train.epochs must not be below 0", f"it is {self.epochs}")
        above = (
            "batch_size",
            "grad_accum_steps",
            "learning_rate",
            "max_grad_norm",
            "save_steps",
            "save_total_limit",
            "lora_rank",
            "lora_alpha",
        )
        for name in (*above, "teacher_temperature"):
            if getattr(self, name) <= 0:
                raise MmdemoError(f"train.{name} must be above 0", f"it is {getattr(self, name)}")
        if self.precision not in PRECISIONS:
            raise MmdemoError(f"train.precision is {self.precision!r}", f"it must be one of {', '.join(PRECISIONS)}")
        for name in ("warmup", "label_smoothing", "teacher_share", "self_critical"):
            if not 0 <= getattr(self, name) <= 1:
                raise MmdemoError(f"train.{name} must be between 0 and 1", f"it is {getattr(self, name)}")
        for name in ("weight_decay", "encoder_lr_scale", "layer_decay", "patience"):
            if getattr(self, name) < 0:
                raise MmdemoError(f"train.{name} must not be below 0", f"it is {getattr(self, name)}")
        Tune.parse(self.tune)
        if self.schedule not in SCHEDULES:
            raise MmdemoError(f"train.schedule is {self.schedule!r}", f"it must be one of {', '.join(SCHEDULES)}")
        if not 0 <= self.ema_decay < 1:
            raise MmdemoError("train.ema_decay must be at least 0 and below 1", f"it is {self.ema_decay}")

    def how(self) -> LossSettings:
        """What of this the loss needs."""
        return LossSettings(
            smoothing=self.label_smoothing,
            teacher_share=self.teacher_share,
            teacher_temperature=self.teacher_temperature,
            self_critical=self.self_critical,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One entry of ``[[evaluate]]``: folders below the data root, and how they are named in the card.

    ``folds`` is a file of speaker folds below the data root; then only fold ``fold`` is measured.
    """

    data: tuple[str, ...]
    name: str = ""
    folds: str = ""
    fold: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """A whole configuration file.

    Attributes:
        net: Settings of the network (nets/), as keyword arguments.
        data: Options of the task's preparation (data/prepare.py).
        train: See :class:`TrainSettings`.
        card: What a person wrote about the model.
        evaluate: What the finished checkpoint is measured on, below the data root.
        base: What to start from where ``--base`` says nothing.
    """

    net: Mapping[str, Scalar] = field(default_factory=dict)
    data: Mapping[str, Scalar | tuple[str, ...]] = field(default_factory=dict)
    train: TrainSettings = field(default_factory=TrainSettings)
    card: CardText = field(default_factory=CardText)
    evaluate: tuple[Measure, ...] = ()
    base: str = ""


def write_config(config: RunConfig) -> str:
    """The configuration as TOML, every setting written out; :func:`read_config` reads the same again."""
    sections = dataclasses.asdict(
        dataclasses.replace(config, net=dict(config.net), data=dict(config.data))  # a proxy cannot be copied
    )
    if not config.base:
        del sections["base"]
    return tomli_w.dumps(_listed(sections))


def _listed(value: typing.Any) -> typing.Any:
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, tuple | list) else value


def read_config(file: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """A configuration file with ``section.key=value`` overrides on top.

    Raises:
        MmdemoError: For an unreadable file, an unknown key (naming the nearest one) or a value of the wrong type.
    """
    try:
        text = read_bytes(file, most=MOST_TOML)
    except Unreadable as error:
        raise MmdemoError(f"{file} cannot be read", error.why) from None
    try:
        raw = parse_toml(text, name=file.name)
    except Unreadable as error:
        raise MmdemoError(f"{file} is not valid TOML", error.why) from None
    for override in overrides:
        _apply(raw, override)
    sections = {f.name for f in dataclasses.fields(RunConfig)}
    for name in raw:
        if name not in sections:
            given = any(override.strip().startswith(f"{name}.") for override in overrides)
            raise _unknown(name, sections, f"{'--set' if given else file.name} has an unknown section")
        if name != "base":
            _check_section(name, raw[name], file.name)
            if isinstance(raw[name], dict):
                raw[name] = current_names(name, raw[name])
    return RunConfig(
        net=raw.get("net", {}),
        data={k: tuple(v) if isinstance(v, list) else v for k, v in raw.get("data", {}).items()},
        train=_record(TrainSettings, raw.get("train", {}), "train"),
        card=_record(CardText, raw.get("card", {}), "card"),
        evaluate=tuple(_record(Measure, entry, "evaluate") for entry in raw.get("evaluate", [])),
        base=str(_typed("base", raw.get("base", ""), str)),
    )


def _check_section(name: str, value: object, where: str) -> None:
    tables = value if name == "evaluate" and isinstance(value, list) else [value]
    if (name == "evaluate" and not isinstance(value, list)) or not all(isinstance(table, dict) for table in tables):
        wanted = "[[evaluate]] entries" if name == "evaluate" else f"a section [{name}]"
        raise MmdemoError(f"{name} in {where} is not understood", f"it must be {wanted}")


def _apply(raw: dict[str, typing.Any], override: str) -> None:
    path, sign, text = override.partition("=")
    section, dot, key = path.strip().partition(".")
    if not (sign and dot and key):
        raise MmdemoError(f"--set {override} is not understood", "it must read section.key=value")
    try:
        value = parse_toml(f"value = {text.strip()}", name="--set")["value"]
    except Unreadable:
        value = text.strip()  # a bare word is a string
    values = raw.setdefault(section, {})
    if not isinstance(values, dict):
        raise MmdemoError(f"--set {override} is not understood", f"{section} is no section with keys")
    values.pop(_earlier_name(section, key), None)  # --set wins over the file under either name
    values[key] = value


def _earlier_name(section: str, key: str) -> str:
    """The other name of a setting that was renamed, "" for all others."""
    names = SECTIONS.get(section, {})
    return names.get(key) or next((old for old, new in names.items() if new == key), "")


def _record(kind: type[R], values: Mapping[str, object], section: str) -> R:
    hints = typing.get_type_hints(kind)
    clean: dict[str, object] = {}
    for name, value in values.items():
        if name not in hints:
            raise _unknown(f"{section}.{name}", {f"{section}.{h}" for h in hints}, "Unknown setting")
        clean[name] = _typed(f"{section}.{name}", value, hints[name])
    try:
        return kind(**clean)
    except TypeError as error:  # the class says which ones it needs
        raise MmdemoError(f"A setting of {section} is missing", str(error).partition(": ")[2] or str(error)) from None


def _typed(name: str, value: object, hint: object) -> object:
    if isinstance(value, list):
        value = tuple(value)
    wanted = tuple if typing.get_origin(hint) is tuple else hint
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(wanted, type) and (not isinstance(value, wanted) or (wanted is int and isinstance(value, bool))):
        raise MmdemoError(f"{name} must be of type {wanted.__name__}", f"it is {value!r}")
    if isinstance(value, tuple) and not all(isinstance(item, str) for item in value):
        raise MmdemoError(f"{name} must be a list of texts", f"it is {list(value)!r}")
    return value


def _unknown(name: str, known: set[str], what: str) -> MmdemoError:
    near = nearest_name(name, sorted(known))
    return MmdemoError(
        f"{what}: {name}", f"known are {', '.join(sorted(known))}", f"Did you mean {near}" if near else ""
    )
