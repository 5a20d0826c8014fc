"""A hub model that somebody tuned: what has changed, as a checkpoint of ours that names its base and proves it.

config.json          task, kind of model, labels, calibration; which base: id, revision, hash of its weights
model.safetensors    LoRA's matrices, and the tensors that were trained whole (heads, last blocks): nothing of the base
base.json            where the base lies on this machine, if no hub knows it; never handed on
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from mmdemo.core.config import FAMILY, CheckpointConfig, Scalar
from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import object_or_empty
from mmdemo.core.settings import checkpoints_root
from mmdemo.core.types import Card
from mmdemo.core.writing import json_text
from mmdemo.models import checkpoint
from mmdemo.models.families.base import HubModel, RuntimeConfig
from mmdemo.models.families.detect import Layout, read_layout, weights_in
from mmdemo.models.folder import parameters_in
from mmdemo.models.hub import HUB_ID, installed
from mmdemo.tasks.hub.base import LORA_A, LORA_B

ID, REVISION, HASH = "base_id", "base_revision", "base_hash"
"""Settings that say which base: hub id or name of a folder, commit, SHA-256 of the weights."""

TUNE, RANK, ALPHA = "tune", "lora_rank", "lora_alpha"
"""Settings that say what was trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterBase:
    """A hub model that something is tuned from.

    Attributes:
        id: Hub id, or the name of a folder that no hub knows.
        revision: Commit, "" of a folder.
        folder: Where it lies here.
        hash: See :func:`base_hash`.
    """

    id: str
    revision: str
    folder: Path
    layout: Layout
    hash: str

    def settings(self) -> dict[str, Scalar]:
        """What a checkpoint's settings say of it."""
        return {ID: self.id, REVISION: self.revision, HASH: self.hash}

    @property
    def named(self) -> str:
        """For people."""
        return f"{self.id}, revision {self.revision}" if self.revision else self.id


def is_adapter(config: CheckpointConfig) -> bool:
    """Whether a checkpoint needs a hub model to stand on."""
    return FAMILY in config.net


def base_hash(files: Sequence[Path]) -> str:
    """Hex SHA-256 of a file of weights, as hubs show it; of several, that of their names and hashes, one a line.

    Raises:
        MmdemoError: One cannot be read.
    """
    found: dict[str, str] = {}
    for file in files:
        try:
            stat = file.stat()
            found[file.name] = _digest(str(file.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        except OSError as error:
            raise MmdemoError(f"{file} cannot be read", error.strerror or str(error)) from None
    if len(found) == 1:
        return next(iter(found.values()))
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(found.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


@lru_cache(maxsize=64)
def _digest(file: str, *state: int) -> str:
    """Hex SHA-256 of a file; gigabytes are read once as long as size and times stay as they are."""
    with Path(file).open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def read_base(folder: Path, *, name: str) -> AdapterBase:
    """Look at a hub model that something is to be tuned from.

    Args:
        name: As it was given: a hub id, or a path.

    Raises:
        MmdemoError: It is of no kind that can be used, or its weights cannot be read.
    """
    from mmdemo.models.hub.catalog import find
    from mmdemo.models.hub.local_files import revision_of

    layout, entry = read_layout(folder, name=name), find(name)
    revision = revision_of(folder)
    if entry is not None:
        name = entry.id
    elif revision and folder.parent.parent.name.startswith("models--"):  # a folder of the hub's cache, by its path
        name = folder.parent.parent.name.removeprefix("models--").replace("--", "/", 1)
    known = bool(revision) and HUB_ID.match(name) is not None
    return AdapterBase(
        id=name if known else folder.resolve().name,
        revision=revision if known else "",
        folder=folder,
        layout=layout,
        hash=base_hash(weights_in(folder, layout.library)),
    )


# ---------------------------------------------------------------- loading


def open_adapter(
    folder: Path, card: Card, config: CheckpointConfig, *, device: str, how: RuntimeConfig | None = None
) -> HubModel:
    """The base with everything that was learned folded into its weights.

    Args:
        how: Where and in what numbers to compute; default as for any hub model of that size on ``device``.

    Raises:
        MmdemoError: The base is not there or is another one, or tensors do not fit it.
    """
    from mmdemo.models.families.classes import FAMILIES
    from mmdemo.models.families.precision import check_fit, lower, runtime_config

    family = str(config.net[FAMILY])
    model_class = next((one for one in FAMILIES if one.family == family and config.task in one.tasks), None)
    if model_class is None:
        raise MmdemoError(f"{folder.name} cannot be loaded", f"no {family} model serves {config.task}")
    base = find_base(folder, config)
    learned = checkpoint.read_weights(folder)
    card = with_base(card, folder, config)
    if how is None:
        how = runtime_config(device, card.parameters)
        check_fit(card.id, card.parameters, how)
    unrounded = RuntimeConfig(
        precision="fp32" if how.stored is torch.float32 else "bf16"
    )  # what was learned goes in before
    model = model_class.open(base.folder, card, how=unrounded)
    model.fit_labels(config.labels)
    apply(model.net, learned, scale=_scale(config, folder), name=folder.name)
    model.net = lower(model.net, how).eval().requires_grad_(False)
    model.config, model.how, model.device = config, how, how.device
    return model


def find_base(folder: Path, config: CheckpointConfig) -> AdapterBase:
    """The base of an adapter, proved to be the one that it was tuned from.

    Raises:
        MmdemoError: It is not on this machine, or another one lies in its place.
    """
    name, revision = str(config.settings.get(ID, "")), str(config.settings.get(REVISION, ""))
    place = place_of(folder, config)
    if place is None:
        called = f"{name} at revision {revision}" if revision else f"the folder {name} of a public model"
        advice = f"Put it beside {folder.name}"
        if revision:
            advice = f"Fetch it first: python -m mmdemo download {name} --revision {revision}"
        raise MmdemoError(
            f"{folder.name} cannot be loaded", f"it stands on {called}, which is not on this machine", advice
        )
    layout = read_layout(place, name=name)
    found = AdapterBase(
        id=name, revision=revision, folder=place, layout=layout, hash=base_hash(weights_in(place, layout.library))
    )
    wanted = str(config.settings.get(HASH, ""))
    if layout.family != config.net[FAMILY]:
        raise MmdemoError(
            f"{folder.name} cannot be loaded", f"its base {name} is {layout.family} here, and was {config.net[FAMILY]}"
        )
    if found.hash != wanted:
        raise MmdemoError(
            f"{folder.name} cannot be loaded",
            f"the weights of its base {name} in {place} are not those that it was tuned from: their SHA-256 begins "
            f"with {found.hash[:12]} and should begin with {wanted[:12]}",
        )
    return found


def with_base(card: Card, folder: Path, config: CheckpointConfig) -> Card:
    """The card of a tuned model with the parameters and bytes of its base counted in, where that is there."""
    place = place_of(folder, config)
    if place is None:
        return card
    files = weights_in(place, read_layout(place, name=place.name).library)
    return replace(
        card,
        parameters=card.parameters + sum(map(parameters_in, files)),
        size=card.size + sum(file.stat().st_size for file in files),
    )


def place_of(folder: Path, config: CheckpointConfig) -> Path | None:
    """Where the base should lie, None where nothing lies there."""
    name, revision = str(config.settings.get(ID, "")), str(config.settings.get(REVISION, ""))
    if revision:
        from mmdemo.models.hub import download

        return download.on_disk(name, revision)
    return next((there for there in _places(folder, name) if there.is_dir()), None)


def local_note(base: AdapterBase) -> dict[str, str]:
    """The file that says where a base lies which no hub knows, by name; empty for one that a hub knows."""
    if base.revision:
        return {}
    return {checkpoint.LOCAL: json_text({"folder": str(base.folder.resolve())}) + "\n"}


def _places(folder: Path, name: str) -> list[Path]:
    """Where a folder that no hub knows may lie; a name with a path in it is nobody's."""
    noted = object_or_empty(folder / checkpoint.LOCAL).get("folder")
    if not name or Path(name).name != name:
        return []
    places = [Path(noted)] if isinstance(noted, str) else []
    places += [folder.parent / name, checkpoints_root() / name]
    return places + [Path(one.folder) for one in installed.installed_models() if Path(one.folder).name == name]


def _scale(config: CheckpointConfig, folder: Path) -> float:
    rank, alpha = config.settings.get(RANK, 1), config.settings.get(ALPHA, 1.0)
    if not isinstance(rank, int) or not isinstance(alpha, int | float) or rank < 1:
        raise MmdemoError(f"{folder.name} cannot be loaded", f"its settings have no {RANK} or {ALPHA}")
    return alpha / rank


# ---------------------------------------------------------------- tensors


def apply(net: nn.Module, learned: Mapping[str, Tensor], *, scale: float, name: str) -> None:
    """Put what was learned into a network, in place.

    Args:
        learned: Whole tensors by name, and pairs with the suffixes of tasks.hub.base.
        scale: By which a product of two matrices counts: alpha over rank.
        name: Of the checkpoint, for errors.

    Raises:
        MmdemoError: Naming the first tensor that the network does not have, or has in another shape.
    """
    places, as_they_are = dict(net.named_parameters()), whole(learned)
    pairs = sorted({n.removesuffix(LORA_A).removesuffix(LORA_B) for n in learned.keys() - as_they_are.keys()})
    for tensor in (*as_they_are, *pairs):
        if tensor not in places:
            raise MmdemoError(f"{name} cannot be loaded", f"tensor {tensor} is unknown to its base")
    with torch.no_grad():
        for tensor, value in as_they_are.items():
            _check(tensor, value.shape, places[tensor].shape, name)
            places[tensor].copy_(value)
        for tensor in pairs:
            one, other = learned.get(tensor + LORA_A), learned.get(tensor + LORA_B)
            if one is None or other is None:
                raise MmdemoError(f"{name} cannot be loaded", f"tensor {tensor} has one matrix of two")
            a, b = one.flatten(1), other.flatten(1)  # (rank, in), (out, rank)
            rows = places[tensor].flatten(1)
            if a.shape[0] != b.shape[1]:
                raise MmdemoError(f"{name} cannot be loaded", f"the two matrices of {tensor} do not fit each other")
            _check(tensor, torch.Size((b.shape[0], a.shape[1])), rows.shape, name)
            product = (scale * (b @ a)).view_as(places[tensor]).to(places[tensor].device)
            places[tensor].copy_(places[tensor].float() + product)  # rounded once, where it is rounded at all


def whole(learned: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that were trained as they are, without LoRA's matrices."""
    return {name: tensor for name, tensor in learned.items() if not name.endswith((LORA_A, LORA_B))}


def _check(tensor: str, have: torch.Size, want: torch.Size, name: str) -> None:
    if have != want:
        raise MmdemoError(
            f"{name} cannot be loaded", f"tensor {tensor} has shape {tuple(have)}, its base needs {tuple(want)}"
        )
