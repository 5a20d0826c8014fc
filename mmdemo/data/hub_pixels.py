"""What the processor of a hub model makes of pictures, through the cache: made once, and read memory-mapped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import Unreadable, read_json
from mmdemo.core.writing import json_text
from mmdemo.data.features import Store, chunks, file_hashes, written
from mmdemo.data.pictures import Say
from mmdemo.models.families.adapter import AdapterBase
from mmdemo.tasks.hub.base import Look, Pixels
from mmdemo.tasks.hub.generative import AT_ONCE, load_pictures

NAMES = "tensors"
"""File of a store: the names of the tensors that make up a row."""

Rows = Mapping[Path, Pixels]
"""Picture → its row of each tensor."""


def pixels(files: Iterable[Path], look: Look, base: AdapterBase, *, say: Say | None = None) -> Rows:
    """The rows of pictures; numbers in fp16, whose rounding is a tenth of a step of the 8 bits that they came from.

    Args:
        base: Its settings are what a row depends on, beside the picture.

    Raises:
        MmdemoError: The processor makes tensors of different shapes, which cannot be kept, or the disk is full.
    """
    keys = file_hashes(files)
    store = Store(f"public-{base.layout.family}", _made_by(base))
    by_key = {key: file for file, key in keys.items()}
    with store.lock():
        names = _noted(store)
        todo = [key for key in by_key if not names or any(key not in store.index(name) for name in names)]
        done = 0
        for some in chunks(todo, AT_ONCE):
            found = look(load_pictures([by_key[key] for key in some]))
            names = names or _note(store, tuple(found))
            try:
                for name in names:
                    there = store.index(name)
                    new = [i for i, key in enumerate(some) if key not in there]
                    store.append(name, [some[i] for i in new], _kept(found[name])[new])
            except (KeyError, ValueError):
                raise MmdemoError(
                    f"{base.id} cannot be tuned here", "its processor gives every picture a shape of its own"
                ) from None
            done += len(some)
            if say is not None:
                say("pictures", done, len(todo))
    views = {name: store.rows(name, keys.values()) for name in names}
    return {file: {name: rows[key] for name, rows in views.items()} for file, key in keys.items()}


def _kept(tensor: Tensor) -> NDArray[Any]:
    """fp16 for numbers, all else as it is."""
    found: NDArray[Any] = (tensor.to(torch.float16) if tensor.is_floating_point() else tensor).numpy()
    return np.ascontiguousarray(found)


def _noted(store: Store) -> tuple[str, ...]:
    """The tensors of a row by name; () where nobody has noted them, and what is there may be some of them alone."""
    try:
        return tuple(read_json(store.folder / NAMES))
    except (Unreadable, TypeError):
        return ()


def _note(store: Store, names: tuple[str, ...]) -> tuple[str, ...]:
    """Write down what a row consists of, before the first is: an interruption may come between two tensors.

    Raises:
        MmdemoError: The disk is full.
    """
    with written():
        part = store.folder / f"{NAMES}.part"
        part.write_text(json_text(names), encoding="utf-8")
        part.replace(store.folder / NAMES)
    return names


def _made_by(base: AdapterBase) -> str:
    """Names what makes the rows: the settings that lie beside the weights, and the library's version."""
    import open_clip
    import transformers

    version = open_clip.__version__ if base.layout.library == "open_clip" else transformers.__version__
    digest = hashlib.sha256()
    for file in sorted(base.folder.glob("*.json")):
        if "processor" in file.name or file.name.endswith("config.json"):
            digest.update(file.name.encode() + file.read_bytes())
    return f"{base.layout.library} {version} {base.layout.family} {digest.hexdigest()}"
