"""Which models there are: the folders under checkpoints/, as cards, without loading a network."""

from __future__ import annotations

from pathlib import Path

from mmdemo.core.config import FAMILY
from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import cache_root, checkpoints_root, typed_path
from mmdemo.core.types import TASKS, Card
from mmdemo.core.words import nearest_name
from mmdemo.models import folder as folders
from mmdemo.models.public import shelf

SHIPPED = frozenset(f"{task}-base" for task in (*TASKS, "vision", "text"))
"""Names of the checkpoints that come with the program."""


RECEIVED = "received.json"
"""Lies in the folder of a checkpoint that came as a zip, and says from where."""


def default_model(task: str) -> str:
    """The shipped checkpoint of a task."""
    return f"{task}-base"


def list_models(task: str | None = None) -> tuple[Card, ...]:
    """Cards of all models that can be served; broken folders are passed over.

    Shipped ones come first, then checkpoints by name, then what others published and somebody brought here.
    """
    root = checkpoints_root()
    cards: list[Card] = []
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        if folder.suffix in {".part", ".old"} or not (folder / folders.WEIGHTS).exists():
            continue
        try:
            card = read_card(folder)
        except MmdemoError:
            continue
        if card.task in TASKS and task in (None, card.task):
            cards.append(card)
    for one in shelf.known():
        cards += [one.card(served) for served in one.tasks if served in TASKS and task in (None, served)]
    return tuple(sorted(cards, key=lambda c: (TASKS.index(c.task), *_order(c))))


def list_own(task: str | None = None) -> tuple[Card, ...]:
    """Without what others published, and what stands on it: a large model would stall whoever else is asking."""
    return tuple(card for card in list_models(task) if card.source != "public" and not _stands_on_public(card))


def _stands_on_public(card: Card) -> bool:
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
    folder = here if (here / "config.json").exists() else typed_path(name)
    if not (folder / "config.json").exists():
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
        if (place / "trainer").is_dir() and not (place / "config.json").exists():
            raise MmdemoError(f"{name} is no model yet", "its training has not ended", "Go on with --resume")


def find_any(model: str) -> Path:
    """The folder of a checkpoint of any task, parts too, by name or path.

    Raises:
        MmdemoError: Naming what there is, where there is no such checkpoint.
    """
    root = checkpoints_root()
    for place in (root / model, typed_path(model)):
        if (place / "config.json").is_file():
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
    readme = folder / "README.md"
    listed = folder.parent.resolve() == checkpoints_root().resolve()
    cached = folder.resolve().is_relative_to(cache_root().resolve())  # a zip, unpacked: its place is nobody's business
    shipped = folder.name in SHIPPED and listed
    return Card(
        id=folder.name if listed or cached else str(folder),
        task=config.task,
        summary=config.card.summary,
        licence=config.card.licence,
        limits=config.card.limits,
        source="shipped" if shipped else "received" if (folder / RECEIVED).exists() else "trained here",
        parameters=sum(folders.parameters_in(place / folders.WEIGHTS) for place in places),
        size=sum(f.stat().st_size for place in places if place.is_dir() for f in place.iterdir() if f.is_file()),
        metrics=folders.read_metrics(folder),
        text=readme.read_text(encoding="utf-8", errors="replace") if readme.exists() else "",
    )


def part_folder(folder: Path, name: str) -> Path:
    """Where a part lies: packed into the checkpoint, beside it, or among the shipped ones."""
    for place in (folder / "parts" / name, folder.parent / name):
        if place.is_dir():
            return place
    return checkpoints_root() / name
