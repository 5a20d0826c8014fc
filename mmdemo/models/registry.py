"""Which models there are: the folders under checkpoints/, as cards, without loading a network."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from mmdemo.core.config import FAMILY
from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import read_card_text
from mmdemo.core.settings import cache_root, checkpoints_root, lies_there, typed_path
from mmdemo.core.types import TASKS, Card
from mmdemo.core.words import nearest_name
from mmdemo.models import folder as folders
from mmdemo.models import probe
from mmdemo.models.families.detect import is_hub_model
from mmdemo.models.hub import installed

log = logging.getLogger("mmdemo")

SHIPPED = frozenset(f"{task}-base" for task in (*TASKS, "vision", "text"))
"""Names of the checkpoints that come with the program."""


NO_CHECKSUM = "Its weights have no checksum (written by an older version): damage to them may go unnoticed."

RECEIVED = "received.json"
"""Lies in the folder of a checkpoint that came as a zip, and says from where."""


def default_model(task: str) -> str:
    """The shipped checkpoint of a task."""
    return f"{task}-base"


@dataclass(frozen=True, slots=True, kw_only=True)
class Damaged:
    """A model that lies on the disk and cannot be used.

    Attributes:
        id: As a model that works is called.
        file: Of its folder, the one that is damaged; "" where it is not about one.
        why: What is wrong, one sentence.
        task: "" where nothing readable says it.
    """

    id: str
    file: str
    why: str
    task: str = ""


def list_models(task: str | None = None) -> tuple[Card, ...]:
    """Cards of all models that can be served; damaged ones are told by :func:`survey`.

    Shipped ones come first, then checkpoints by name, then what others published and somebody brought here.
    """
    return survey(task)[0]


def survey(task: str | None = None) -> tuple[tuple[Card, ...], tuple[Damaged, ...]]:
    """All models that can be served, as :func:`list_models` has them, and those that are damaged, by name.

    Every folder is looked at by itself: whatever lies in one, the others are listed. Of weights only the header is
    read; their checksum is for loading.
    """
    cards: list[Card] = []
    damaged: list[Damaged] = []
    for folder in _folders():
        found = _isolated(folder)
        if isinstance(found, Damaged):
            damaged.append(found)
        elif found is not None and found.task in TASKS:
            cards.append(found)
    for one in installed.installed_models():
        trouble = installed.trouble(one)
        if trouble is not None:
            damaged.append(Damaged(id=one.id, file=trouble.name, why=str(trouble), task=next(iter(one.tasks), "")))
        else:
            cards += [one.card(served) for served in one.tasks if served in TASKS]
    damaged += [Damaged(id=installed.FILE, file=installed.FILE, why=why) for why in installed.damage()]
    cards.sort(key=lambda c: (TASKS.index(c.task), *_order(c)))
    return (
        tuple(card for card in cards if task in (None, card.task)),
        tuple(one for one in damaged if task is None or one.task in ("", task)),
    )


def _folders() -> list[Path]:
    """What may be a checkpoint: a run that has not come to a model yet, and a hub model, are none."""
    root = checkpoints_root()
    try:
        found = sorted(folder for folder in root.iterdir() if folder.is_dir())
    except OSError:
        return []
    return [folder for folder in found if folder.suffix not in {".part", ".old"} and not folder.name.startswith(".")]


def _isolated(folder: Path) -> Card | Damaged | None:
    """The card of a folder, or what is wrong with it; None where no checkpoint of ours lies there."""
    task = ""
    file = "config.json"
    try:
        if not os.path.lexists(folder / file) or is_hub_model(folder):
            weights = os.path.lexists(folder / folders.WEIGHTS) and not os.path.lexists(folder / file)
            return _missing(folder, file) if weights else None
        task = folders.read_config(folder).task
        file = folders.WEIGHTS
        folders.read_header(folder / file)
        file = "metrics.json"
        folders.read_metrics(folder)
        file = probe.FILE
        if os.path.lexists(folder / file):
            probe.read(folder)
        file = ""
        return read_card(folder)
    except MmdemoError as error:
        return Damaged(id=folder.name, file=file, why=str(error), task=task)
    except Exception as error:  # whatever it is, it must not take the other models away
        log.warning("%s cannot be listed", folder, exc_info=error)
        return Damaged(id=folder.name, file=file, why=f"{type(error).__name__}: {error}", task=task)


def _missing(folder: Path, file: str) -> Damaged:
    return Damaged(id=folder.name, file=file, why=f"{folder.name} cannot be loaded: its {file} is missing.")


def list_own(task: str | None = None) -> tuple[Card, ...]:
    """Without what others published, and what stands on it: a large model would stall whoever else is asking."""
    return tuple(card for card in list_models(task) if card.source != "public" and not _has_hub_base(card))


def _has_hub_base(card: Card) -> bool:
    try:
        return FAMILY in folders.read_config(checkpoints_root() / card.id).net
    except MmdemoError:
        return False


def _order(card: Card) -> tuple[bool, bool, str]:
    return card.source != "shipped", card.source == "public", card.id


def find(task: str, model: str | None) -> Path:
    """The folder of a model by id or path.

    Raises:
        MmdemoError: Naming what there is, where there is no such model, or one of another task.
    """
    name = model or default_model(task)
    here = checkpoints_root() / name
    folder = here if lies_there(here / "config.json") else typed_path(name)
    if not lies_there(folder / "config.json"):
        refuse_unfinished(name)
        known = [card.id for card in list_models(task)]
        near = nearest_name(name, known)
        raise MmdemoError(
            f"There is no model {name!r} for {task}",
            f"there are {', '.join(known)}" if known else "there are no checkpoints",
            f"Did you mean {near}" if near else "",
        )
    found = folders.read_config(folder).task
    if found != task:
        raise MmdemoError(f"{name} cannot serve {task}", f"it was trained for {found}")
    return folder


def refuse_unfinished(name: str) -> None:
    """Raises MmdemoError where the name is that of a run which has not come to a model yet."""
    for place in (checkpoints_root() / name, typed_path(name)):
        if lies_there(place / "trainer") and not lies_there(place / "config.json"):
            raise MmdemoError(f"{name} is no model yet", "its training has not ended", "Go on with --resume")


def find_any(model: str) -> Path:
    """The folder of a checkpoint of any task, parts too, by name or path.

    Raises:
        MmdemoError: Naming what there is, where there is no such checkpoint.
    """
    root = checkpoints_root()
    for place in (root / model, typed_path(model)):
        if lies_there(place / "config.json"):
            return place
    known = sorted(file.parent.name for file in root.glob("*/config.json")) if root.is_dir() else []
    near = nearest_name(model, known)
    raise MmdemoError(
        f"There is no model {model!r}",
        f"there are {', '.join(known)}" if known else "there are no checkpoints",
        f"Did you mean {near}" if near else "",
    )


def read_card(folder: Path) -> Card:
    """The card of a checkpoint folder, from its files alone."""
    config = folders.read_config(folder)
    places = [folder, *(part_folder(folder, part.name) for part in config.parts.values())]
    limits = config.card.limits if config.weights is not None else (*config.card.limits, NO_CHECKSUM)
    listed = folder.parent.resolve() == checkpoints_root().resolve()
    cached = folder.resolve().is_relative_to(cache_root().resolve())  # a zip, unpacked: its place is nobody's business
    shipped = folder.name in SHIPPED and listed
    return Card(
        id=folder.name if listed or cached else str(folder),
        task=config.task,
        summary=config.card.summary,
        licence=config.card.licence,
        limits=limits,
        source="shipped" if shipped else "received" if (folder / RECEIVED).exists() else "trained here",
        parameters=sum(folders.parameters_in(place / folders.WEIGHTS) for place in places),
        size=sum(f.stat().st_size for place in places if place.is_dir() for f in place.iterdir() if f.is_file()),
        metrics=folders.read_metrics(folder),
        text=read_card_text(folder / "README.md"),
    )


def part_folder(folder: Path, name: str) -> Path:
    """Where a part lies: packed into the checkpoint, beside it, or among the shipped ones."""
    for place in (folder / "parts" / name, folder.parent / name):
        if lies_there(place):
            return place
    return checkpoints_root() / name
