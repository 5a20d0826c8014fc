"""A checkpoint folder: written whole or not at all, read strictly or refused by name.

config.json          task, network settings, labels, calibration, the parts it refers to, words for the card
model.safetensors    fp16, or int8 rows with their scales; never a pickle
tokenizer.json       where the task reads text
probe.json           a few made inputs and what they gave (see models/probe.py)
metrics.json         figures with n and interval
README.md            the card
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mmdemo.core.config import CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.models.folder import SCALE, WEIGHTS, read_config, read_metrics

__all__ = [
    "SCALE",
    "WEIGHTS",
    "load_weights",
    "pack",
    "read_config",
    "read_metrics",
    "unpack",
    "weights_hash",
    "write",
]

# ---------------------------------------------------------------- tensors


def pack(state: Mapping[str, Tensor], *, int8: bool = False) -> dict[str, Tensor]:
    """Floats to fp16; with ``int8`` every matrix to int8 rows with an fp16 scale each (symmetric, round to nearest)."""
    packed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        value = tensor.detach().cpu()
        if int8 and value.is_floating_point() and value.ndim == 2:
            scale = (value.float().abs().amax(dim=1, keepdim=True) / 127).clamp(min=1e-7).half()
            packed[name] = (value.float() / scale.float()).round().clamp(-127, 127).to(torch.int8)
            packed[name + SCALE] = scale
        elif value.is_floating_point():
            packed[name] = value.half().contiguous()
        else:
            packed[name] = value.contiguous()
    return packed


def unpack(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The reverse of :func:`pack`, in fp32."""
    state: dict[str, Tensor] = {}
    for name, tensor in packed.items():
        if name.endswith(SCALE):
            continue
        scale = packed.get(name + SCALE)
        if scale is not None:
            state[name] = tensor.float() * scale.float()
        else:
            state[name] = tensor.float() if tensor.is_floating_point() else tensor
    return state


def load_weights(net: nn.Module, folder: Path) -> None:
    """Fill ``net`` from ``folder`` strictly.

    Raises:
        MmdemoError: Naming the first tensor that is unknown, missing or of another shape.
    """
    where = folder.name
    try:
        state = unpack(load_file(folder / WEIGHTS))
    except FileNotFoundError:
        raise MmdemoError(f"{where} cannot be loaded", f"{WEIGHTS} is missing") from None
    except (SafetensorError, OSError) as error:
        raise MmdemoError(f"{where} cannot be loaded", f"{WEIGHTS} is damaged ({error})") from None
    wanted = net.state_dict()
    for name in sorted(wanted.keys() ^ state.keys()):
        problem = "is missing" if name in wanted else "is unknown"
        raise MmdemoError(f"{where} cannot be loaded", f"tensor {name} {problem}")
    for name, tensor in state.items():
        if tensor.shape != wanted[name].shape:
            have, want = tuple(tensor.shape), tuple(wanted[name].shape)
            raise MmdemoError(f"{where} cannot be loaded", f"tensor {name} has shape {have}, the network needs {want}")
    net.load_state_dict(state, strict=True)


def weights_hash(folder: Path) -> str:
    """Hex SHA-256 of the weight file: the name by which other checkpoints refer to this one."""
    try:
        return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    except OSError:
        raise MmdemoError(f"{folder.name} cannot be loaded", f"{WEIGHTS} is missing") from None


# ---------------------------------------------------------------- folders


def write(
    folder: Path,
    config: CheckpointConfig,
    packed: Mapping[str, Tensor],
    *,
    extra: Mapping[str, str] | None = None,
    keep: Sequence[str] = ("trainer",),
) -> None:
    """Write a checkpoint beside its place, flush it to disk, then rename it into place.

    Args:
        extra: Further text files by name (tokenizer.json, probe.json, metrics.json, README.md).
        keep: Entries of an older folder of the same name that move over into the new one.
    """
    fresh = folder.with_name(folder.name + ".part")
    if fresh.exists():
        shutil.rmtree(fresh)
    fresh.mkdir(parents=True)
    try:
        save_file(dict(packed), fresh / WEIGHTS, metadata={"format": "pt"})
        for name, text in {"config.json": config.to_json(), **(extra or {})}.items():
            (fresh / name).write_text(text, encoding="utf-8")
        # safetensors lets nobody but the owner read what it writes
        (fresh / WEIGHTS).chmod((fresh / "config.json").stat().st_mode & 0o777)
        for file in fresh.iterdir():
            _fsync(file)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise MmdemoError(f"{folder.name} cannot be saved", str(error), "Free some space and save again") from None
    old = folder.with_name(folder.name + ".old")
    if folder.exists():
        for name in keep:
            if (folder / name).exists() and not (fresh / name).exists():
                (folder / name).rename(fresh / name)
        if old.exists():
            shutil.rmtree(old)
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _fsync(file: Path) -> None:
    handle = os.open(file, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
