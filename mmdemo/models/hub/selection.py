"""Which files of a repository on a hub we want, told from their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import Unreadable, read_object
from mmdemo.models.families.detect import OPEN_CLIP_CONFIG, refuse_pickles

OPEN_CLIP_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")
"""Names that open_clip looks for, in its order (``open_clip.factory._find_checkpoint_in_dir``)."""

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
"""Names that transformers looks for, in its order (``modeling_utils``)."""

TEXTS = (".json", ".txt", ".model", ".jinja", ".tiktoken", ".spm", ".md")
"""Kinds of file that processors and tokenizers are read from, and the card."""


def choose(names: Sequence[str], *, name: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Which files of a repository with a hub model a loader needs, told from their names alone.

    Args:
        name: What the model is called in errors.

    Returns:
        "open_clip" or "transformers"; names of the weights (of an index, where there is one: its shards come on top);
        names of everything else.

    Raises:
        MmdemoError: There are no safetensors that the library would load.
    """
    root = [one for one in names if "/" not in one]
    own = next(([one] for one in OPEN_CLIP_WEIGHTS if one in root), [])
    theirs = next(([one] for one in (WEIGHTS, INDEX) if one in root), []) if "config.json" in root else []
    library = "open_clip" if OPEN_CLIP_CONFIG in root and (own or not theirs) else "transformers"
    weights = own if library == "open_clip" else theirs
    refuse_pickles([*weights, *(one for one in root if not one.endswith((".safetensors", INDEX)))], name=name)
    # an open_clip_config.json without weights for it would have the folder taken for what it is not
    unwanted = {OPEN_CLIP_CONFIG} if library == "transformers" else set()
    texts = [one for one in names if _is_text(one) and one not in unwanted and ".index." not in one]
    return library, tuple(weights), tuple(texts)


def everything(names: Sequence[str], *, name: str) -> tuple[str, ...]:
    """Texts and safetensors of a repository whose loader we do not know, in all its folders.

    Raises:
        MmdemoError: There are no safetensors among them.
    """
    refuse_pickles([PurePosixPath(one).name for one in names], name=name)
    again = [one for one in names if re.fullmatch(r"model[.-].+\.safetensors", one) and WEIGHTS in names]
    return tuple(
        one
        for one in names
        if one.endswith((".safetensors", *TEXTS))
        and one not in again
        and (".index." not in one or WEIGHTS not in names)
    )


def shards(index: Path, names: Iterable[str], *, name: str) -> tuple[str, ...]:
    """The weights that an index names.

    Raises:
        MmdemoError: It is damaged, or the repository lacks one of them.
    """
    try:
        found = sorted(set(read_object(index)["weight_map"].values()))
    except (Unreadable, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MmdemoError(f"{name} cannot be loaded", f"its {index.name} is damaged ({error})") from None
    there = set(names)
    for one in found:
        if not isinstance(one, str) or one not in there or not one.endswith(".safetensors"):
            raise MmdemoError(f"{name} cannot be loaded", f"its {index.name} names {one!r}, which is not there")
    return tuple(found)


def safe(name: str) -> bool:
    """Whether a name from a hub stays inside the folder that it is put into."""
    path = PurePosixPath(name)
    odd = "\\" in name or ":" in name or "\0" in name
    return bool(name) and not path.is_absolute() and ".." not in path.parts and not odd


def _is_text(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix in TEXTS and (len(path.parts) == 1 or path.parts[0] == "additional_chat_templates")
