"""What a person chose for a training in the page: defaults that fit the data, and the command line saying the same."""

from __future__ import annotations

import dataclasses
import math
import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tomli_w

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import Unreadable, parse_toml
from mmdemo.core.renamed import current_name
from mmdemo.core.settings import ROOT
from mmdemo.core.tasks import ASK, CAPTION, CLASSIFY, spec_of
from mmdemo.models.registry import default_model
from mmdemo.train.hub import as_before, check_settings, is_hub_base
from mmdemo.train.plan import base_here, config_of
from mmdemo.train.request import TrainRequest
from mmdemo.train.settings import RunConfig, TrainSettings, read_config, write_config

if TYPE_CHECKING:
    from mmdemo.studio.preview import Preview

Value = str | int | float | bool | tuple[str, ...]
"""What a setting may be: what TOML knows."""

CAPTION_RATE = 2e-4
"""Learning rate of a caption model that goes on: a third of what its first training took. Whole captions were rewarded
in the end, and at the full rate a handful of others take more of that away. See docs/teaching.md as well."""

FEW = 2_000
"""Rows below which an answer counts from its first occurrence on."""

PUBLIC_STEPS, MOST_PUBLIC_EPOCHS = 60, 20
"""The same for models that others made, whatever their kind: LoRA's matrices begin at nothing, and a few steps leave
them there. See docs/teaching.md, "Starting from a public model"."""

LEAST_TO_CHOOSE = 20
"""Validation rows below which the last epoch is kept: which of them is best would be chance."""

SECTIONS = ("net", "data", "train")
"""Sections of a configuration that a training depends on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A training as it was chosen.

    Attributes:
        out: Name of the new model.
        base: What to start from; "" is the shipped model of the task.
        overrides: Settings that differ from the task's configuration, as ``{"train.epochs": 8}``.
    """

    task: str
    data: tuple[Path, ...]
    out: str
    base: str = ""
    overrides: Mapping[str, Value] = field(default_factory=dict)
    device: str = "auto"
    allow_leaks: bool = False


def hub_place(task: str, base: str) -> Path | None:
    """The folder of a base that others made, tuned before or not; None of any other, and of one that is not here."""
    place = None if not base or base == default_model(task) else base_here(base)
    return place if is_hub_base(place) else None


def settings_of(task: str, overrides: Mapping[str, Value] | None = None, base: str = "") -> RunConfig:
    """The configuration that a run is given where nothing else is said, with overrides on top.

    It is the task's own, or that for hub models; one that was tuned before is tuned as it was then.

    Args:
        base: What to start from, as in :class:`Choice`.

    Raises:
        MmdemoError: A setting is unknown or cannot be, or makes no sense for that base.
    """
    said, place = overrides or {}, hub_place(task, base)
    config = read_config(config_of(task, place), _written(said))
    if place is not None:
        config = as_before(config, place, set(said))
        check_settings(config, place, name=base)
    return config


def suggest(task: str, preview: Preview, base: str = "") -> dict[str, Value]:
    """Settings that fit the size of the data, as overrides; empty where those of :func:`settings_of` are right."""
    rows, chosen_by = (preview.parts[part].examples if part in preview.parts else 0 for part in ("train", "validation"))
    own = settings_of(task, base=base).train
    if rows and hub_place(task, base) is not None:
        return _suggest_hub(task, own, rows, chosen_by)
    found: dict[str, Value] = {}
    if not rows or not own.epochs:  # Sentiment's head is fitted exactly, however few clips there are
        return found
    batch = own.batch_size
    if task == CLASSIFY:
        if rows < 1_000:  # it learns by telling the rows of a batch apart: small ones make more steps of few data
            batch = min(batch, 64)
        if preview.parts["train"].labels:  # the share of captions that find their picture says nothing of classes
            found["train.metric"] = "top1"
    if batch != own.batch_size:
        found["train.batch_size"] = batch
    steps = math.ceil(rows / batch)
    epochs = min(spec_of(task).max_epochs, math.ceil(spec_of(task).head_steps / steps))
    if epochs > own.epochs:
        found["train.epochs"] = epochs
    total = steps * max(epochs, int(own.epochs))
    if total // 4 < own.save_steps:
        found["train.save_steps"] = max(10, total // 4)
    if chosen_by < LEAST_TO_CHOOSE and task != CAPTION:  # every word of a caption has a loss: a few say enough
        found["train.keep_best"] = False
    if task == CAPTION:
        found["train.learning_rate"] = CAPTION_RATE
    if task == ASK and rows < FEW:
        found["data.least"] = 1
    return found


def _suggest_hub(task: str, own: TrainSettings, rows: int, chosen_by: int) -> dict[str, Value]:
    found: dict[str, Value] = {}
    steps = math.ceil(rows / own.batch_size)
    epochs = max(own.epochs, min(MOST_PUBLIC_EPOCHS, math.ceil(PUBLIC_STEPS / steps)))
    if epochs > own.epochs:
        found["train.epochs"] = epochs
    total = steps * math.ceil(epochs)
    if total // 4 < own.save_steps:
        found["train.save_steps"] = max(10, total // 4)
    if chosen_by < LEAST_TO_CHOOSE and task != CAPTION:  # to stop by chance is as bad as to choose by it
        found |= {"train.keep_best": False, "train.patience": 0}
    return found


# ---------------------------------------------------------------- the command


def request_of(choice: Choice) -> TrainRequest:
    """The same as a request, paths absolute."""
    return TrainRequest(
        task=choice.task,
        data=tuple(data.expanduser().resolve() for data in choice.data),
        out=choice.out,
        base=choice.base if _names_base(choice) else None,
        overrides=tuple(_written(differences(choice.task, choice.overrides, choice.base))),
        allow_leaks=choice.allow_leaks,
        device=choice.device,
    )


def command(choice: Choice) -> str:
    """The same for people: to be pasted into a shell that stands in the checkout."""
    return shlex.join(("python", "-m", "mmdemo", "train", *request_of(choice).to_argv(_near)))


def _names_base(choice: Choice) -> bool:
    return bool(choice.base) and choice.base != default_model(choice.task)


def _near(place: str) -> str:
    path = Path(place)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else place


# ---------------------------------------------------------------- TOML


def to_toml(choice: Choice) -> str:
    """A configuration that ``--config`` takes, every setting written out, and what to start from.

    Raises:
        MmdemoError: A setting is unknown or cannot be.
    """
    config = settings_of(choice.task, choice.overrides, choice.base)
    if _names_base(choice):  # which brings a network of its own
        net = {name: value for name, value in config.net.items() if f"net.{name}" in choice.overrides}
        config = dataclasses.replace(config, net=net, base=choice.base)
    # what the shipped checkpoint is called and measured on is not said of somebody's own
    return write_config(dataclasses.replace(config, card=RunConfig().card, evaluate=()))


def from_toml(task: str, text: str) -> tuple[dict[str, Value], str]:
    """What a configuration for ``--config`` says otherwise than :func:`settings_of`, as overrides; and the base.

    A setting that it does not name has the value that it would have on the command line, where a run starts from the
    shipped model too if nothing else is named.

    Raises:
        MmdemoError: It is not TOML, a setting is unknown or cannot be, or its base is not on this machine.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "settings.toml"
        file.write_text(text, encoding="utf-8", errors="surrogateescape")  # bytes that were no text come back
        try:
            config = read_config(file)
        except MmdemoError as error:
            why = error.why.replace(str(file), "it")
            raise MmdemoError(error.what.replace(str(file), "The file"), why, error.try_this) from None
    base = config.base or default_model(task)
    if config.base and base_here(base) is None:
        raise MmdemoError("These settings cannot be used", f"they start from {base}, which is not on this machine")
    own = _flat(settings_of(task, base=base))
    return {name: value for name, value in _flat(config).items() if own.get(name) != value}, base


def differences(task: str, overrides: Mapping[str, Value], base: str = "") -> dict[str, Value]:
    """The overrides that say something else than the configuration that a run from that base is given anyway."""
    own = _flat(settings_of(task, base=base))
    return {name: value for name, value in overrides.items() if name not in own or own[name] != value}


def parse_line(line: str) -> tuple[str, Value]:
    """``section.key=value`` as ``--set`` takes it.

    Raises:
        MmdemoError: It does not read like that.
    """
    name, sign, value = line.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (sign and dot and section and key):
        raise MmdemoError(f"The setting {line.strip()!r} is not understood", "it must read section.key=value")
    try:
        found = parse_toml(f"value = {value.strip()}", name="the setting")["value"]
    except Unreadable:
        found = value.strip()  # a bare word is a string
    return current_name(name.strip()), tuple(found) if isinstance(found, list) else found


def _flat(config: RunConfig) -> dict[str, Value]:
    sections: dict[str, Mapping[str, Value]] = {
        "net": config.net,
        "data": config.data,
        "train": dataclasses.asdict(config.train),
    }
    return {f"{section}.{key}": value for section in SECTIONS for key, value in sections[section].items()}


def _written(overrides: Mapping[str, Value]) -> list[str]:
    return [f"{name}={_as_toml(value)}" for name, value in overrides.items()]


def _as_toml(value: Value) -> str:
    written = tomli_w.dumps({"value": list(value) if isinstance(value, tuple) else value})
    return " ".join(written.partition("=")[2].split())
