"""The state from which a run goes on: safetensors and JSON, written whole or not at all.

weights.safetensors      the network
optimizer.safetensors    moments by parameter;  optimizer.json  its groups, the schedule, the gradient scaler
average.safetensors      the running average of the weights, where there is one
chance-R.safetensors     the random generators of process R
trainer_state.json       step and epoch, as transformers writes it
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import read_object
from mmdemo.models import weights
from mmdemo.train.folder import newest_state, step_of, write_json

__all__ = [
    "AVERAGE",
    "GROUPS",
    "OPTIMIZER",
    "TRAINER",
    "WEIGHTS",
    "chance",
    "clear_older",
    "folder_of",
    "newest_state",
    "publish",
    "read_optimizer",
    "read_tensors",
    "set_chance",
    "step_of",
    "write_json",
    "write_optimizer",
    "write_tensors",
]

WEIGHTS = "weights.safetensors"
OPTIMIZER = "optimizer.safetensors"
GROUPS = "optimizer.json"
AVERAGE = "average.safetensors"
TRAINER = "trainer_state.json"
"""The name that transformers looks for."""


def folder_of(states: Path, step: int) -> Path:
    """Where the state after a step lies."""
    return states / f"step-{step}"


def clear_older(states: Path, keep: Path) -> None:
    """Remove every state but one, half-written ones included."""
    for place in states.glob("step-*"):
        if place != keep:
            shutil.rmtree(place, ignore_errors=True)


def publish(part: Path, state: Path) -> None:
    """Flush a state to the disk and give it its name."""
    for file in part.iterdir():
        handle = os.open(file, os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    if state.exists():
        shutil.rmtree(state)
    part.rename(state)


# ---------------------------------------------------------------- tensors


def write_tensors(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Whole or not at all: an interruption leaves the file of before."""
    part = file.with_name(file.name + ".part")
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, part)
    part.replace(file)


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The reverse.

    Raises:
        MmdemoError: It is not there or damaged.
    """
    try:
        return weights.read_tensors(file, name=file.parent.name)
    except MmdemoError as error:
        raise MmdemoError(f"The state in {file.parent} cannot be used", error.why) from None


# ---------------------------------------------------------------- optimizer


def write_optimizer(optimizer: torch.optim.Optimizer, rest: Mapping[str, Any], place: Path) -> None:
    """Moments as tensors, groups and ``rest`` (schedule, scaler) as JSON."""
    stored = optimizer.state_dict()
    moments: dict[str, Tensor] = {}
    for number, values in stored["state"].items():
        for name, value in values.items():
            moments[f"{number}.{name}"] = value if isinstance(value, Tensor) else torch.tensor(float(value))
    write_tensors(moments, place / OPTIMIZER)
    write_json({"groups": stored["param_groups"], **rest}, place / GROUPS)


def read_optimizer(optimizer: torch.optim.Optimizer, place: Path) -> dict[str, Any]:
    """Fill the optimizer; returns the rest. Its rates are those of now, not those of then.

    Raises:
        MmdemoError: The state belongs to other parameters.
    """
    found = read_object(place / GROUPS)
    now = optimizer.state_dict()["param_groups"]
    if [group["params"] for group in now] != [group["params"] for group in found["groups"]]:
        raise MmdemoError(f"The state in {place} cannot be used", "it was made with other trained parameters")
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in read_tensors(place / OPTIMIZER).items():
        number, _, key = name.partition(".")
        moments.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": now})
    return dict(found)


# ---------------------------------------------------------------- chance


def chance() -> dict[str, Tensor]:
    """The states of all random generators of this process."""
    version, numbers, extra = random.getstate()
    _, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    found = {
        "torch": torch.get_rng_state(),
        "python": torch.tensor([version, *numbers], dtype=torch.int64),
        "python_gauss": torch.tensor([] if extra is None else [extra], dtype=torch.float64),
        "numpy": torch.from_numpy(np.asarray(keys, dtype=np.int64)),
        "numpy_rest": torch.tensor([position, has_gauss], dtype=torch.int64),
        "numpy_gauss": torch.tensor([gauss], dtype=torch.float64),
    }
    if torch.cuda.is_available():
        found["cuda"] = torch.cuda.get_rng_state()
    return found


def set_chance(found: Mapping[str, Tensor]) -> None:
    """The reverse."""
    torch.set_rng_state(found["torch"])
    version, *numbers = found["python"].tolist()
    extra = found["python_gauss"].tolist()
    random.setstate((version, tuple(numbers), extra[0] if extra else None))
    position, has_gauss = found["numpy_rest"].tolist()
    keys = found["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, position, has_gauss, float(found["numpy_gauss"])))
    if "cuda" in found and torch.cuda.is_available():
        torch.cuda.set_rng_state(found["cuda"])
