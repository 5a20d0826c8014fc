"""From a folder of a hub model to a ready one: its kind, its card, what it computes in."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import object_or_empty, read_card_text
from mmdemo.core.settings import checkpoints_root
from mmdemo.core.types import TASKS, Card, Model
from mmdemo.models.families.base import HubModel
from mmdemo.models.families.detect import Layout, is_hub_model, read_layout, weights_in
from mmdemo.models.families.precision import check_fit, runtime_config
from mmdemo.models.folder import parameters_in, read_config
from mmdemo.models.hub.catalog import CatalogEntry, find
from mmdemo.models.hub.installed import InstalledModel, installed_models, remember
from mmdemo.models.hub.local_files import revision_of

if TYPE_CHECKING:
    from mmdemo.models.families.transcriber import Transcriber

log = logging.getLogger("mmdemo")

_transcribers: WeakValueDictionary[tuple[str, str], Transcriber] = WeakValueDictionary()
"""By folder and device: one for all models that write with it, as long as there are any."""

NOT_STATED = "not stated"
"""The licence of a model whose makers name none."""


def open_hub_model(task: str, folder: Path, *, name: str, device: str) -> HubModel:
    """A ready model out of a folder of the hub's layout.

    Args:
        task: What it is to serve.
        name: Hub id or path, as people gave it.
        device: "cpu", "cuda" or "mps".

    Raises:
        MmdemoError: It serves another task, is of an unknown kind, damaged, or does not fit into memory.
    """
    layout = read_layout(folder, name=name)
    if task not in layout.tasks:
        raise MmdemoError(
            f"{name} cannot serve {task}", f"it is a {layout.architecture}, which serves {' and '.join(layout.tasks)}"
        )
    card = read_hub_card(folder, task, layout, name=name)
    how = runtime_config(device, card.parameters)
    check_fit(name, card.parameters, how, task=task)
    from mmdemo.models.families.merge import remember as as_tuned

    return as_tuned(layout.model_class.open(folder, card, how=how), folder)


def read_hub_card(folder: Path, task: str, layout: Layout, *, name: str) -> Card:
    """What is known of a hub model: from our list, else from what its makers wrote at the top of their README."""
    entry = find(name)
    readme = folder / "README.md"
    text = read_card_text(readme)
    front = front_matter(text)
    revision = revision_of(folder)
    summary = entry.good_at if entry else f"{layout.architecture} of {layout.library}, a public model."
    licence = entry.licence if entry else front.get("license", "") or NOT_STATED
    limits: tuple[str, ...] = ("Made by others: read what they say of it before you rely on it.",)
    if entry is None or not entry.calibrated:
        limits = (*limits, "Its scores are its own probabilities; nobody has fitted them to how often it is right.")
    return Card(
        id=name,
        task=task,
        summary=summary,
        licence=licence,
        limits=limits,
        source="public",
        parameters=sum(parameters_in(file) for file in weights_in(folder, layout.library)),
        size=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        text=_card_text(name, revision, licence, layout, entry, text),
    )


def front_matter(text: str) -> dict[str, str]:
    """The plain ``key: value`` lines between the first two ``---`` of a README; lists are passed over.

    https://huggingface.co/docs/hub/model-cards#model-card-metadata
    """
    parts = text.split("---", 2)
    if len(parts) < 3 or parts[0].strip():
        return {}
    # stripped before, not in the pattern: of a long line of blanks it would try every one
    found = (re.match(r"([a-z_]+):[ \t]*([^\s#].*)$", line.strip()) for line in parts[1].splitlines())
    return {match[1]: match[2].strip("'\"") for match in found if match}


def _card_text(name: str, revision: str, licence: str, layout: Layout, entry: CatalogEntry | None, readme: str) -> str:
    lines = [f"# {name}", "", f"{layout.architecture} ({layout.library}), licence: {licence}."]
    if revision:
        lines.append(f"Revision {revision}.")
    if entry is not None and entry.figure:
        lines.append(f"Published figure: {entry.figure} ({entry.source}).")
    if readme:
        body = readme.split("---", 2)[-1] if readme.startswith("---") else readme
        lines += ["", "What its makers say:", "", body.strip()]
    return "\n".join(lines) + "\n"


def with_words(model: Model, device: str) -> Model:
    """A model of Sentiment that says what was said too, where somebody has brought a transcriber; else as it is.

    Of several the one that came last. One that cannot be loaded takes nothing from the model: the log says why.
    """
    writer = next((one for one in reversed(installed_models()) if is_transcriber(Path(one.folder))), None)
    if writer is None:
        return model
    try:
        return _generation_settings(model, writer, device)
    except MmdemoError as error:
        log.warning("no words beside the emotion: %s", error)
        return model


def _generation_settings(model: Model, writer: InstalledModel, device: str) -> Model:
    from mmdemo.models.families.transcriber import Transcriber, WithWords

    transcriber = _transcribers.get((writer.folder, device))
    if transcriber is None:
        parameters = parameters_in(Path(writer.folder) / "model.safetensors")
        how = runtime_config(device, parameters)
        check_fit(writer.id, parameters, how)
        transcriber = Transcriber.open(Path(writer.folder), how, name=writer.id)
        _transcribers[writer.folder, device] = transcriber
    return WithWords(model, transcriber)


def is_transcriber(folder: Path) -> bool:
    """Whether Whisper lies there, which writes down speech."""
    config = object_or_empty(folder / "config.json")
    return bool(config.get("architectures") == ["WhisperForConditionalGeneration"])


def register_installed(folder: Path, *, name: str) -> InstalledModel:
    """Look at a folder and have it stand in every list of models from now on.

    A transcriber stands in no list; from now on it writes down what Sentiment hears.

    Args:
        name: Hub id, or the whole path.

    Raises:
        MmdemoError: Nothing that can be served lies there, or the list cannot be written.
    """
    if is_transcriber(folder):
        writer = InstalledModel(id=name, folder=str(folder), tasks=(), summary="Writes down what is said.")
        remember(writer)
        return writer
    if not is_hub_model(folder):  # a checkpoint of ours, from a hub
        config = read_config(folder)
        if config.task not in TASKS:
            raise MmdemoError(f"{name} serves no tab", f'it is a "{config.task}" checkpoint, a part of others')
        if folder.resolve().is_relative_to(checkpoints_root().resolve()):
            raise MmdemoError(f"{name} is in the lists already", "it lies in the folder of checkpoints")
        ours = InstalledModel(id=name, folder=str(folder), tasks=(config.task,), summary=config.card.summary)
        remember(ours)
        return ours
    layout = read_layout(folder, name=name)
    card = read_hub_card(folder, layout.tasks[0], layout, name=name)
    one = InstalledModel(
        id=name,
        folder=str(folder),
        tasks=layout.tasks,
        summary=card.summary,
        licence=card.licence,
        size=card.size,
        parameters=card.parameters,
    )
    remember(one)
    return one
