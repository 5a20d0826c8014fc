"""What kind of model lies in a folder of the hub's layout, told from its configuration files alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import Unreadable, object_or_empty, read_object
from mmdemo.core.types import Json

OPEN_CLIP_CONFIG = "open_clip_config.json"

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "open_clip": ("classify",),
    "zero_shot": ("classify",),
    "coca": ("caption",),
    "blip_caption": ("caption",),
    "blip_ask": ("ask",),
    "vilt": ("ask",),
    "florence": ("caption",),
    "chat": ("ask", "caption"),
    "audio": ("sentiment",),
}
"""Kinds of model, and the tasks that each can serve, the natural one first."""

_BY_CLASS: Mapping[str, str] = {
    "BlipForConditionalGeneration": "blip_caption",
    "BlipForQuestionAnswering": "blip_ask",
    "ViltForQuestionAnswering": "vilt",
    "Florence2ForConditionalGeneration": "florence",
}
"""Class in transformers → kind; these come before the general mappings, where some of them stand too."""

WEIGHTS = (".safetensors", ".safetensors.index.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a folder holds.

    Attributes:
        library: "open_clip" or "transformers".
        architecture: Class or architecture by the library's own name ("BlipForQuestionAnswering", "ViT-B-32").
        family: One of :data:`FAMILIES`.
    """

    library: str
    architecture: str
    family: str

    @property
    def tasks(self) -> tuple[str, ...]:
        return FAMILIES[self.family]


def is_hub_model(folder: Path) -> bool:
    """Whether a folder has the layout of a public model rather than that of a checkpoint of ours."""
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
    if open_clip:
        shape = open_clip.get("model_cfg")
        if not isinstance(shape, dict):
            raise MmdemoError(f"{name} cannot be loaded", f"its {OPEN_CLIP_CONFIG} has no model_cfg")
        coca = "multimodal_cfg" in shape
        return Layout(
            library="open_clip", architecture="CoCa" if coca else "CLIP", family="coca" if coca else "open_clip"
        )
    kind = str(transformers.get("model_type", ""))
    listed = transformers.get("architectures")
    architecture = str(listed[0]) if isinstance(listed, list) and listed else ""
    family = _BY_CLASS.get(architecture) or _family_by_mapping(kind, architecture)
    if family:
        return Layout(library="transformers", architecture=architecture or kind, family=family)
    found = f"a {architecture or kind}" if architecture or kind else "no model of open_clip or transformers"
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


def _family_by_mapping(kind: str, architecture: str) -> str | None:
    """By transformers' own tables of what can do what; an architecture of another head is not taken for ours."""
    from transformers.models.auto import modeling_auto as auto

    for family, table in (
        ("zero_shot", auto.MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES),
        ("audio", auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES),
        ("chat", auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES),
    ):
        served = table.get(kind)
        names = (served,) if isinstance(served, str) else tuple(served or ())
        if names and (not architecture or architecture in names):
            return family
    return None


def _json(file: Path, name: str) -> Json:
    try:
        return read_object(file)
    except Unreadable as error:
        if error.missing:
            return {}
        raise MmdemoError(f"{name} cannot be loaded", f"its {file.name} {error.trouble}") from None


def weights_in(folder: Path, layout: Layout) -> tuple[Path, ...]:
    """The safetensors files that a model is read from: one, or the shards that an index names; () where there are none.

    A repository of open_clip may hold the same weights once more in transformers' names. Older ones call their file
    "open_clip_pytorch_model" in safetensors too.
    """
    stems = ("open_clip_model", "open_clip_pytorch_model") if layout.library == "open_clip" else ("model",)
    for stem in stems:
        whole, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
        if whole.is_file():  # a single file comes before an index, as in transformers
            return (whole,)
        if index.is_file():
            names = _json(index, folder.name).get("weight_map")
            shards = sorted(set(names.values())) if isinstance(names, dict) else []
            return tuple(folder / shard for shard in shards if isinstance(shard, str) and Path(shard).name == shard)
    return ()
