"""From a name to a ready model: found, read strictly, probed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from mmdemo.core.config import FAMILY, CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import checkpoints_root, lies_there, typed_path
from mmdemo.core.tasks import ASK, CAPTION, CLASSIFY, SENTIMENT
from mmdemo.core.types import TASKS as SERVED
from mmdemo.core.types import Card, Model
from mmdemo.models import checkpoint, fetch, probe, registry
from mmdemo.models.ask import AskModel
from mmdemo.models.caption import CaptionModel
from mmdemo.models.classify import ClassifyModel
from mmdemo.models.encoders import LoadedTextEncoder, load_text, load_vision
from mmdemo.models.families import detect
from mmdemo.models.families.base import HubModel
from mmdemo.models.pictures import PictureEncoder, encoder_for
from mmdemo.models.ready import ReadyModel
from mmdemo.models.sentiment import SentimentModel
from mmdemo.models.weights import verify
from mmdemo.tasks import TASKS

MAX_LAYERS = 200
MAX_UNITS = 1_000_000
"""The largest number that a network's settings may hold: one that asks for more is not built to find out."""

MAY_BE_NONE = frozenset({"own", "classes", "bank", "text_hidden", "question_words", "head_width", "dropout"})
"""Settings in which 0 has a meaning."""

log = logging.getLogger("mmdemo")

DEVICES = ("auto", "cpu", "cuda", "mps")


def pick_device(name: str) -> str:
    """The device that a name means; "auto" is the GPU where there is one.

    Raises:
        MmdemoError: For a device that this machine lacks.
    """
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        return next((device for device in ("cuda", "mps") if there[device]), "cpu")
    if name not in there:
        raise MmdemoError(f"There is no device {name!r}", f"known are {', '.join(DEVICES)}")
    if not there[name]:
        raise MmdemoError(f"The device {name} cannot be used", "this machine or its torch has none", "Use cpu or auto")
    return name


def load(task: str, model: str | None = None, *, device: str = "auto", allow_download: bool = False) -> Model:
    """A ready model.

    Args:
        task: One of :data:`~mmdemo.core.types.TASKS`.
        model: A name under checkpoints/, a folder, a zip or a hub id; None is the shipped one. What lies there may be a
            checkpoint of ours or a hub model of a family in models.families.classes.
        device: "auto", "cpu", "cuda" or "mps".
        allow_download: Whether a hub id that is not on disk may be fetched.

    Raises:
        MmdemoError: No such model, another task, damaged files, or a probe that differs.
    """
    if task not in SERVED:
        raise MmdemoError(f"There is no task {task!r}", f"known are {', '.join(SERVED)}")
    place = None if model is None else fetch.fetch(model, allow_download=allow_download)
    hub = hub_folder(model, place)
    if model is not None and hub is not None:
        from mmdemo.models.families.factory import open_hub_model  # pulls in libraries that our own models do not need

        return open_hub_model(task, hub, name=model, device=pick_device(device))
    folder = registry.find(task, str(place) if place else model)
    if checkpoint.read_config(folder).weights is None:
        log.info("%s has no checksum: written by an older version", folder.name)
    ready = read(folder, device=pick_device(device))
    exact = ready.device == "cpu" and (not isinstance(ready, HubModel) or ready.how.precision == "fp32")
    probe.check(ready, folder, tolerance=None if exact else probe.ROUNDED)
    return ready


def load_with_words(
    task: str, model: str | None = None, *, device: str = "auto", allow_download: bool = False
) -> Model:
    """As :func:`load`; a model of Sentiment also says what was said, where somebody has brought a transcriber."""
    ready = load(task, model, device=device, allow_download=allow_download)
    if task != SENTIMENT:
        return ready
    from mmdemo.models.families.factory import with_words

    return with_words(ready, pick_device(device))


def hub_folder(model: str | None, fetched: Path | None = None) -> Path | None:
    """The folder that a name, a path or a fetched hub id means, where a model of others lies there."""
    if model is None:
        return None
    named = checkpoints_root() / model
    folder = fetched or (named if lies_there(named / "config.json") else typed_path(model))
    return folder if lies_there(folder) and folder.is_dir() and detect.is_hub_model(folder) else None


def read(folder: Path, *, device: str) -> ReadyModel:
    """The model in a checkpoint folder, not yet probed."""
    config = checkpoint.read_config(folder)
    if FAMILY in config.net:
        from mmdemo.models.families.adapter import open_adapter

        return open_adapter(folder, registry.read_card(folder), config, device=device)
    if config.task not in _READERS:
        raise MmdemoError(f"{folder.name} cannot be served", f'it is a "{config.task}" checkpoint')
    return _READERS[config.task](folder, registry.read_card(folder), config, device)


def _part(folder: Path, config: CheckpointConfig, role: str) -> Path:
    part = config.parts.get(role)
    if part is None:
        raise MmdemoError(f"{folder.name} cannot be loaded", f"its config.json names no {role} part")
    place = registry.part_folder(folder, part.name)
    if not place.is_dir():
        raise MmdemoError(f"{folder.name} cannot be loaded", f"it needs {part.name}, which is not there")
    if checkpoint.weights_hash(place) != part.hash:
        _refuse_damaged(place)
        raise MmdemoError(f"{folder.name} cannot be loaded", f"{part.name} is not the one that it was trained with")
    return place


def _refuse_damaged(place: Path) -> None:
    """Says which tensor of a part was damaged, where it is a damaged file and not another one."""
    try:
        config = checkpoint.read_config(place)
    except MmdemoError:  # a base in the layout of its hub
        return
    verify(place, config)


def _pictures(folder: Path, config: CheckpointConfig, device: str) -> PictureEncoder:
    return encoder_for(load_vision(_part(folder, config, "vision"), device=device, over=folder))


def _text(folder: Path, config: CheckpointConfig, device: str) -> LoadedTextEncoder:
    return load_text(_part(folder, config, "text"), device=device)


def _net(folder: Path, config: CheckpointConfig) -> Any:
    """The task's network, filled; its class is the one that the task builds."""
    refuse_sizes(config, folder.name)
    try:
        with torch.device("meta"):  # settings of a few words may ask for more memory than there is
            planned = {name: tuple(one.shape) for name, one in TASKS[config.task].build(config).state_dict().items()}
        checkpoint.refuse_shapes(planned, folder, trunk_apart="vision" in config.parts)
        net: torch.nn.Module = TASKS[config.task].build(config)
    except (TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise MmdemoError(f"{folder.name} cannot be loaded", f"its network settings are wrong ({error})") from None
    checkpoint.load_weights(net, folder, trunk_apart="vision" in config.parts)
    return net


def refuse_sizes(config: CheckpointConfig, name: str) -> None:
    """Raises MmdemoError for settings that no network of ours has, before anything is built by them."""
    for key, value in config.net.items():
        if isinstance(value, bool) or not isinstance(value, int):
            continue
        least, most = (0 if key in MAY_BE_NONE else 1), (MAX_LAYERS if "layers" in key else MAX_UNITS)
        if not least <= value <= most:
            raise MmdemoError(
                f"{name} cannot be loaded",
                f"its network settings are wrong ({key} = {value}, not {least} to {most})",
            )


def _ask(folder: Path, card: Card, config: CheckpointConfig, device: str) -> ReadyModel:
    if config.net.get("answers") != len(config.labels):
        raise MmdemoError(
            f"{folder.name} cannot be loaded",
            f"it has {len(config.labels)} labels and {config.net.get('answers')} output units",
        )
    words = config.settings.get("question_words", ())
    if config.net.get("question_words", 0) != (len(words) if isinstance(words, tuple) else -1):
        raise MmdemoError(
            f"{folder.name} cannot be loaded",
            f"its network reads {config.net.get('question_words', 0)} words, and its settings list others",
        )
    reads = config.net.get("question") == "lstm"  # it brings its own words, and needs no text encoder
    pictures, text = _pictures(folder, config, device), None if reads else _text(folder, config, device)
    return AskModel(card, config, _net(folder, config), pictures=pictures, text=text, device=device)


def _classify(folder: Path, card: Card, config: CheckpointConfig, device: str) -> ReadyModel:
    pictures, text = _pictures(folder, config, device), _text(folder, config, device)
    return ClassifyModel(card, config, _net(folder, config), pictures=pictures, text=text, device=device)


def _caption(folder: Path, card: Card, config: CheckpointConfig, device: str) -> ReadyModel:
    if config.net.get("words") != len(config.labels):
        raise MmdemoError(
            f"{folder.name} cannot be loaded",
            f"it has {len(config.labels)} words and {config.net.get('words')} output units",
        )
    return CaptionModel(card, config, _net(folder, config), pictures=_pictures(folder, config, device), device=device)


def _sentiment(folder: Path, card: Card, config: CheckpointConfig, device: str) -> ReadyModel:
    if config.net.get("labels") != len(config.labels):
        raise MmdemoError(
            f"{folder.name} cannot be loaded",
            f"it has {len(config.labels)} labels and {config.net.get('labels')} output units",
        )
    return SentimentModel(card, config, _net(folder, config), device=device)


_READERS: Mapping[str, Callable[[Path, Card, CheckpointConfig, str], ReadyModel]] = {
    ASK: _ask,
    CLASSIFY: _classify,
    CAPTION: _caption,
    SENTIMENT: _sentiment,
}
