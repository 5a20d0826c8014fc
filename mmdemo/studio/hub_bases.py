"""What others made and a training can start from: hub models on this machine whose family can be trained."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import CLASSIFY
from mmdemo.models.families import adapter
from mmdemo.models.families.detect import Layout, is_hub_model, read_layout, weights_in
from mmdemo.models.folder import read_config
from mmdemo.models.hub import installed
from mmdemo.models.hub.installed import InstalledModel
from mmdemo.models.loading import pick_device
from mmdemo.models.registry import default_model
from mmdemo.studio.settings import Choice, hub_place, settings_of
from mmdemo.train.hub import weights_place
from mmdemo.train.hub_cost import TuningCost, check_memory, cost_of
from mmdemo.train.plan import base_here

if TYPE_CHECKING:
    from mmdemo.runs.reading import Run
    from mmdemo.studio.preview import Preview


def hub_starting_points(task: str) -> tuple[InstalledModel, ...]:
    """Those that stand in the model lists, as far as they can be taught that task, in the order in which they came.

    What writes down speech teaches nothing, and what is damaged is passed over.
    """
    return tuple(one for one in installed.installed_models() if task in one.tasks and task in _learns(Path(one.folder)))


def _learns(folder: Path) -> tuple[str, ...]:
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix in {".json", ".safetensors"})
        return _read(folder, tuple((file.name, file.stat().st_mtime_ns) for file in files))
    except OSError:
        return ()


@lru_cache(maxsize=256)
def _read(folder: Path, files: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    """The tasks that what lies in a folder can be taught."""
    try:
        if not is_hub_model(folder):  # a checkpoint of ours, from a hub
            return (read_config(folder).task,)
        layout = read_layout(folder)
        weights_in(folder, layout.library)
    except MmdemoError:
        return ()
    return layout.tasks if layout.model_class.trainable else ()


# ---------------------------------------------------------------- the one that was chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class HubStartingPoint:
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


def hub_starting_point(task: str, base: str) -> HubStartingPoint | None:
    """What stands behind the name of a base; None where that is a model of ours, or is not here.

    Raises:
        MmdemoError: Its files are damaged, or what it was tuned from is not here.
    """
    place = hub_place(task, base)
    if place is None:
        return None
    found = weights_place(place, name=base)
    if found is None:
        adapter.find_base(place, read_config(place))  # says what is missing, and how it is brought here
        raise MmdemoError(f"No training can go on from {base}", "what it stands on has gone")
    folder, layout = found
    if folder == place:
        known = next((one for one in installed.installed_models() if one.id == base), None)
        name = Path(base).name if Path(base).is_absolute() else base
        return HubStartingPoint(id=name, folder=folder, layout=layout, licence=known.licence if known else "")
    name = str(read_config(place).settings.get(adapter.ID, folder.name))
    return HubStartingPoint(id=name, folder=folder, layout=layout, tuned=True)


def cost(base: HubStartingPoint, task: str, preview: Preview | None) -> TuningCost:
    """What tuning it takes for a row of some data, as far as anybody has looked at them."""
    train = preview.parts.get("train") if preview is not None else None
    labelled = task == CLASSIFY and train is not None and bool(train.labels)
    return cost_of(base.folder, base.layout, task, texts=not labelled)


def check(choice: Choice, preview: Preview | None = None) -> int:
    """Whether a training could start from what was chosen.

    Returns:
        Bytes of memory that it takes, 0 where it starts from a model of ours.

    Raises:
        MmdemoError: The base has gone, or does not fit into the memory that is free.
    """
    if choice.base and choice.base != default_model(choice.task) and base_here(choice.base) is None:
        raise MmdemoError(f"There is no model {choice.base} any more", "", "Choose another one to start from")
    found = hub_starting_point(choice.task, choice.base)
    if found is None:
        return 0
    train, device = settings_of(choice.task, choice.overrides, choice.base).train, pick_device(choice.device)
    try:
        return check_memory(found.id, cost(found, choice.task, preview), train, device=device)
    except MmdemoError:
        if not _taken(device):
            raise
        # it will wait for whoever trains there now, and have that memory then
        return check_memory(found.id, cost(found, choice.task, preview), train, device=device, free=1 << 60)


def _taken(device: str) -> bool:
    """Whether somebody trains there, or waits to."""
    from mmdemo.runs.reading import ACTIVE, list_runs

    return any(run.state in ACTIVE and device_of(run) == device for run in list_runs())


def device_of(run: Run) -> str:
    """Where a run computes: what it was told, or what that means here."""
    return pick_device("auto") if run.device in {"", "auto"} else run.device
