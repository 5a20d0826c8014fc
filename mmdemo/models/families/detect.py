"""What kind of model lies in a folder of the hub's layout, told from its configuration files alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import Unreadable, object_or_empty, read_object
from mmdemo.core.types import Json

if TYPE_CHECKING:
    from mmdemo.models.families.base import HubModel

OPEN_CLIP_CONFIG = "open_clip_config.json"

WEIGHTS = (".safetensors", ".safetensors.index.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubConfig:
    """What the configuration files of a hub model say of its kind.

    Attributes:
        open_clip: ``model_cfg`` of open_clip_config.json; None of a model of transformers.
        model_type: transformers' name of the architecture ("blip"), "" where there is none.
        architecture: The class by transformers' name ("BlipForQuestionAnswering"), "" where there is none.
    """

    open_clip: Json | None = None
    model_type: str = ""
    architecture: str = ""

    def is_listed(self, table: Mapping[str, str | Sequence[str]]) -> bool:
        """Whether one of transformers' tables (model type to classes) lists it.

        An architecture with another head than the table's is not listed.
        """
        listed = table.get(self.model_type)
        names = (listed,) if isinstance(listed, str) else tuple(listed or ())
        return bool(names) and (not self.architecture or self.architecture in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a folder holds.

    Attributes:
        architecture: Class or architecture by the library's own name ("BlipForQuestionAnswering", "CLIP").
        model_class: The family.
    """

    architecture: str
    model_class: type[HubModel]

    @property
    def family(self) -> str:
        return self.model_class.family

    @property
    def library(self) -> str:
        """Either "open_clip" or "transformers"."""
        return self.model_class.library

    @property
    def tasks(self) -> tuple[str, ...]:
        return self.model_class.tasks


def is_hub_model(folder: Path) -> bool:
    """Whether a folder has the layout of a hub model rather than that of a checkpoint of ours."""
    if (folder / OPEN_CLIP_CONFIG).is_file():
        return True
    config = object_or_empty(folder / "config.json")
    return "schema" not in config and ("architectures" in config or "model_type" in config)


def read_layout(folder: Path, *, name: str = "") -> Layout:
    """Look into the configuration files of a folder.

    Args:
        name: What the model is called in errors; default the folder's name.

    Raises:
        MmdemoError: It holds a kind of model that is not supported, or weights that are pickles alone, or no weights.
    """
    name = name or folder.name
    layout = infer_family(_json(folder / OPEN_CLIP_CONFIG, name), _json(folder / "config.json", name), name=name)
    refuse_pickles([file.name for file in folder.iterdir()], name=name)
    return layout


def infer_family(open_clip: Json, transformers: Json, *, name: str) -> Layout:
    """As :func:`read_layout`, of the contents of open_clip_config.json and config.json; {} where there is none.

    Raises:
        MmdemoError: Nothing that is supported.
    """
    from mmdemo.models.families.classes import FAMILIES  # brings torch

    config = _hub_config(open_clip, transformers, name=name)
    called = config.architecture or config.model_type
    for model_class in FAMILIES:
        if model_class.recognises(config):
            return Layout(architecture=called or model_class.architecture, model_class=model_class)
    found = f"a {called}" if called else "no model of open_clip or transformers"
    raise MmdemoError(
        f"{name} cannot be used here",
        f"it holds {found}",
        "Supported are open_clip and CLIP-like models, BLIP, ViLT, Florence-2, CoCa, models that chat about pictures "
        "(image-text-to-text), and classifiers of speech",
    )


def refuse_pickles(files: list[str], *, name: str) -> None:
    """Weights come as safetensors or not at all: a pickle can run any code when it is read.

    Raises:
        MmdemoError: There are no safetensors among the file names.
    """
    if any(file.endswith(WEIGHTS) for file in files):
        return
    pickles = sorted(file for file in files if file.endswith((".bin", ".pt", ".pth", ".ckpt")))
    if pickles:
        raise MmdemoError(
            f"{name} is refused",
            f"its weights come as {pickles[0]} only, a format that can run code when it is read, not as safetensors",
            "Choose a repository or revision with safetensors",
        )
    raise MmdemoError(f"{name} cannot be loaded", "it holds no weights")


def _hub_config(open_clip: Json, transformers: Json, *, name: str) -> HubConfig:
    if open_clip:
        shape = open_clip.get("model_cfg")
        if not isinstance(shape, dict):
            raise MmdemoError(f"{name} cannot be loaded", f"its {OPEN_CLIP_CONFIG} has no model_cfg")
        return HubConfig(open_clip=shape)
    listed = transformers.get("architectures")
    return HubConfig(
        model_type=str(transformers.get("model_type", "")),
        architecture=str(listed[0]) if isinstance(listed, list) and listed else "",
    )


def _json(file: Path, name: str) -> Json:
    try:
        return read_object(file)
    except Unreadable as error:
        if error.missing:
            return {}
        raise MmdemoError(f"{name} cannot be loaded", f"its {file.name} {error.trouble}") from None


def weights_in(folder: Path, library: str) -> tuple[Path, ...]:
    """The safetensors files that a model is read from: one, or the shards that an index names; () where there are none.

    A repository of open_clip may hold the same weights once more in transformers' names. Older ones call their file
    "open_clip_pytorch_model" in safetensors too.
    """
    stems = ("open_clip_model", "open_clip_pytorch_model") if library == "open_clip" else ("model",)
    for stem in stems:
        whole, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
        if whole.is_file():  # a single file comes before an index, as in transformers
            return (whole,)
        if index.is_file():
            names = _json(index, folder.name).get("weight_map")
            shards = sorted(set(names.values())) if isinstance(names, dict) else []
            return tuple(folder / shard for shard in shards if isinstance(shard, str) and Path(shard).name == shard)
    return ()
