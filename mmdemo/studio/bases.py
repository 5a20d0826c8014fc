"""What others made and a training can start from: public models on this machine whose kind can be taught."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.data.prepare.public import can_learn
from mmdemo.models.folder import read_config
from mmdemo.models.public import adapter, shelf
from mmdemo.models.public.layout import Layout, is_public, read_layout, weights_in
from mmdemo.models.public.shelf import Known
from mmdemo.models.registry import default_model
from mmdemo.studio.settings import Choice, public_place
from mmdemo.train.plan import base_here


def public_bases(task: str) -> tuple[Known, ...]:
    """Those that stand in the model lists, as far as they can be taught that task, in the order in which they came.

    What writes down speech teaches nothing, and what is damaged is passed over.
    """
    return tuple(one for one in shelf.known() if task in one.tasks and task in _learns(Path(one.folder)))


def _learns(folder: Path) -> tuple[str, ...]:
    try:
        return _read(folder, (folder / "config.json").stat().st_mtime_ns if (folder / "config.json").exists() else 0)
    except OSError:
        return ()


@lru_cache(maxsize=256)
def _read(folder: Path, changed: int) -> tuple[str, ...]:
    """The tasks that what lies in a folder can be taught."""
    try:
        if not is_public(folder):  # a checkpoint of ours, from a hub
            return (read_config(folder).task,)
        layout = read_layout(folder)
    except MmdemoError:
        return ()
    return layout.tasks if can_learn(layout.family) else ()


# ---------------------------------------------------------------- the one that was chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicBase:
    """What others made, as the base of a training.

    Attributes:
        id: Hub id, or name of a folder that no hub knows.
        folder: Where its weights lie.
        tuned: Whether it was tuned here before.
    """

    id: str
    folder: Path
    layout: Layout
    licence: str = ""
    tuned: bool = False

    @property
    def weights(self) -> tuple[Path, ...]:
        """The files that its weights are read from."""
        return weights_in(self.folder, self.layout)


def public_base(task: str, base: str) -> PublicBase | None:
    """What stands behind the name of a base; None where that is a model of ours, or is not here.

    Raises:
        MmdemoError: Its files are damaged.
    """
    place = public_place(task, base)
    if place is None:
        return None
    if is_public(place):
        known = next((one for one in shelf.known() if one.id == base), None)
        name = Path(base).name if Path(base).is_absolute() else base
        return PublicBase(
            id=name, folder=place, layout=read_layout(place, name=name), licence=known.licence if known else ""
        )
    config = read_config(place)
    there = adapter.place_of(place, config)
    if there is None:
        return None
    name = str(config.settings.get(adapter.ID, there.name))
    return PublicBase(id=name, folder=there, layout=read_layout(there, name=name), tuned=True)


def check(choice: Choice) -> None:
    """Raises MmdemoError where a training would be refused for what it starts from."""
    if choice.base and choice.base != default_model(choice.task) and base_here(choice.base) is None:
        raise MmdemoError(f"There is no model {choice.base} any more", "", "Choose another one to start from")
