"""Tuning a hub model: its network as a run trains it, and what the finished checkpoint says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mmdemo.core.config import FAMILY, Scalar
from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import ROOT
from mmdemo.data.prepare import Encoders, TrainingData
from mmdemo.data.prepare.inputs import chosen_options
from mmdemo.data.start import builds_on_hub_model
from mmdemo.models import checkpoint
from mmdemo.models.families import adapter
from mmdemo.models.families.classes import class_of
from mmdemo.models.families.detect import Layout, is_hub_model, read_layout
from mmdemo.models.families.precision import check_steps
from mmdemo.tasks.base import Task
from mmdemo.tasks.hub.base import LORA_A, LORA_B, HubTask, Row, TrainableParts, lora_matrices
from mmdemo.tasks.tune import Tune, freeze
from mmdemo.train.lora import add_lora
from mmdemo.train.settings import RunConfig, TrainSettings

CONFIG = ROOT / "configs" / "hub.toml"
"""Settings of runs that build on a hub model, where their task has none of its own (see :func:`default_config`)."""

KEPT = {adapter.TUNE: "tune", adapter.RANK: "lora_rank", adapter.ALPHA: "lora_alpha"}
"""Settings of a tuned model that a run which goes on from it must have as well, and what they are called there."""


def default_config(task: str) -> Path:
    """The settings of a run that builds on a hub model."""
    own = CONFIG.with_name(f"hub_{task}.toml")
    return own if own.is_file() else CONFIG


def is_hub_base(base: Path | None) -> bool:
    """Whether a run builds on a model that others made, tuned before or not."""
    return base is not None and builds_on_hub_model(base)


def weights_place(base: Path, *, name: str = "") -> tuple[Path, Layout] | None:
    """Where the weights lie that such a run reads, and of what kind they are; None where they are not here.

    Raises:
        MmdemoError: The files are damaged.
    """
    place = base if is_hub_model(base) else adapter.place_of(base, checkpoint.read_config(base))
    return None if place is None else (place, read_layout(place, name=name or base.name))


def as_before(config: RunConfig, base: Path, said: set[str]) -> RunConfig:
    """The configuration with what is trained as it was in the tuned model that the run goes on from.

    Args:
        said: Settings ("train.tune") that a person gave: they stay.
    """
    if not (base / "config.json").is_file():
        return config
    try:
        settings = checkpoint.read_config(base).settings
    except MmdemoError:
        return config  # as a library has it, not tuned before
    found: dict[str, Any] = {
        name: settings[key] for key, name in KEPT.items() if key in settings and f"train.{name}" not in said
    }
    return replace(config, train=replace(config.train, **found))


def check_settings(config: RunConfig, base: Path, *, name: str = "") -> None:
    """What a run that builds on a hub model would be refused for, said before anything is read.

    Args:
        name: What people call it; default the name of the folder, which is a commit in the hub's cache.

    Raises:
        MmdemoError: Settings are given that only networks of ours have, or others than those that the tuned model which
            it goes on from was tuned with.
    """
    name = name or base.name
    before = None if is_hub_model(base) else checkpoint.read_config(base)
    found = weights_place(base, name=name)  # which may be damaged: then nothing else counts
    model_class = found[1].model_class if before is None and found else class_of(str(before and before.net[FAMILY]))
    if config.net:
        raise MmdemoError(
            f"net.{next(iter(config.net))} cannot be set here", f"the network is that of {name}", "Leave it out"
        )
    if not model_class.has_head and config.train.tune == "head":
        raise MmdemoError("train.tune=head leaves nothing to train", f"{name} has no head of its own", "Use lora")
    chosen_options(config.data, **model_class.data_options)
    check_rewards(config)
    if before is not None:
        _check_kept(before.settings, config.train, name)


def check_rewards(config: RunConfig) -> None:
    """Raises MmdemoError where whole captions are to be rewarded, which hub models know nothing of."""
    if config.train.self_critical:
        raise MmdemoError(
            "train.self_critical is of no use here", "a public model learns word by word", "Leave it at 0"
        )


def network(prepared: TrainingData, bases: Encoders, settings: TrainSettings) -> tuple[Task[Any, Any], TrainableParts]:
    """Task and network of a run, with gradients where something is trained.

    Raises:
        MmdemoError: Nothing can be trained like that, or the run goes on from a model that was tuned otherwise.
    """
    hub, task, tune = bases.need_hub(), prepared.task, Tune.parse(settings.tune)
    assert isinstance(task, HubTask)  # noqa: S101 - as prepare_hub has made it
    net = TrainableParts(hub.model.net)
    task.open_up(net)
    if hub.before is not None:
        _check_kept(hub.before.settings, settings, str(hub.folder and hub.folder.name))
    if tune.kind == "lora":
        _watch(task, net, prepared.train[:1])
        add_lora(task, net, rank=settings.lora_rank, alpha=settings.lora_alpha)
    freeze(task, net, tune)
    if not any(parameter.requires_grad for parameter in net.parameters()):
        raise MmdemoError(
            f"train.tune={tune} leaves nothing to train", f"{hub.base.id} has no head of its own", "Use lora"
        )
    trained = sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
    check_steps(hub.base.id, str(tune), trained, device=next(net.parameters()).device.type)
    if hub.folder is not None:
        _fill(net, checkpoint.read_weights(hub.folder), hub.folder.name)
    return task, net


def described(prepared: TrainingData, settings: TrainSettings) -> TrainingData:
    """With what was trained among the settings of the checkpoint."""
    said: dict[str, Scalar] = {
        adapter.TUNE: str(Tune.parse(settings.tune)),
        adapter.RANK: settings.lora_rank,
        adapter.ALPHA: float(settings.lora_alpha),
    }
    return replace(prepared, config=replace(prepared.config, settings={**prepared.config.settings, **said}))


def _watch(task: HubTask[Row], net: TrainableParts, rows: Sequence[Row]) -> None:
    chance, device = torch.get_rng_state(), next(net.parameters()).device
    task.watch(net, {name: tensor.to(device) for name, tensor in task.collate(rows).items()})
    torch.set_rng_state(chance)


def _check_kept(before: Mapping[str, object], settings: TrainSettings, name: str) -> None:
    for key, setting in KEPT.items():
        if setting != "tune" and settings.tune != "lora":
            continue
        was, now = before.get(key), getattr(settings, setting)
        if was != now:
            raise MmdemoError(
                f"This run cannot go on from {name}",
                f"train.{setting} is {now} and was {was} there",
                f"Leave it as it was, or merge {name} first and tune what comes of it",
            )


def _fill(net: TrainableParts, learned: Mapping[str, torch.Tensor], name: str) -> None:
    """Put the matrices of a tuned model where LoRA has put its own."""
    places = lora_matrices(net)
    with torch.no_grad():
        for tensor, value in learned.items():
            place = tensor.removesuffix(LORA_A).removesuffix(LORA_B)
            if place == tensor:
                continue
            if place not in places:
                raise MmdemoError(f"This run cannot go on from {name}", f"nothing is tuned at {place} now")
            places[place][0 if tensor.endswith(LORA_A) else 1].copy_(value)
