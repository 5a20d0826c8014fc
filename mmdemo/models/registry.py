"""Which models there are: the folders under checkpoints/, as cards, without loading a network."""

from __future__ import annotations

import json
import math
from pathlib import Path

from mmdemo.core.config import TUNED_TRUNK
from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import cache_root, checkpoints_root
from mmdemo.core.types import TASKS, Card
from mmdemo.core.words import nearest_name
from mmdemo.models import folder as folders

SHIPPED = frozenset(f"{task}-base" for task in (*TASKS, "vision", "text"))
"""Names of the checkpoints that come with the program."""


RECEIVED = "received.json"
"""Lies in the folder of a checkpoint that came as a zip, and says from where."""


def default_model(task: str) -> str:
    """The shipped checkpoint of a task."""
    return f"{task}-base"


def list_models(task: str | None = None) -> tuple[Card, ...]:
    """Cards of all checkpoints that can be served, shipped ones first, then by name; broken folders are passed over."""
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
    return tuple(sorted(cards, key=lambda c: (TASKS.index(c.task), c.source != "shipped", c.id)))


def find(task: str, model: str | None) -> Path:
    """The folder of a model by id or path.

    Raises:
        MmdemoError: Naming what there is, where there is no such model, or one of another task.
    """
    name = model or default_model(task)
    here = checkpoints_root() / name
    folder = here if (here / "config.json").exists() else Path(name).expanduser()
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
    for place in (checkpoints_root() / name, Path(name).expanduser()):
        if (place / "trainer").is_dir() and not (place / "config.json").exists():
            raise MmdemoError(f"{name} is no model yet", "its training has not ended", "Go on with --resume")


def find_any(model: str) -> Path:
    """The folder of a checkpoint of any task, parts too, by name or path.

    Raises:
        MmdemoError: Naming what there is, where there is no such checkpoint.
    """
    root = checkpoints_root()
    for place in (root / model, Path(model).expanduser()):
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
        parameters=sum(_parameters(place) for place in places),
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


def _parameters(folder: Path) -> int:
    """Number of weights, from the header of the safetensors file: https://github.com/huggingface/safetensors#format."""
    try:
        with (folder / folders.WEIGHTS).open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return sum(
            math.prod(entry["shape"])
            for name, entry in header.items()
            # a tuned trunk's stand in for tensors of the part that are counted there
            if name != "__metadata__" and not name.endswith(folders.SCALE) and not name.startswith(TUNED_TRUNK)
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError):
        return 0  # damaged: loading will say so
