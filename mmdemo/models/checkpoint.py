"""A checkpoint folder: written whole or not at all, read strictly or refused by name.

config.json          task, network settings, labels, calibration, the parts it refers to, words for the card, and the
                     checksums of the weights
model.safetensors    fp16, or int8 rows with their scales; never a pickle
tokenizer.json       where the task reads text
probe.json           a few made inputs and what they gave (see models/probe.py)
metrics.json         figures with n and interval
README.md            the card
base.json            of a tuned hub model: where its base lies on this machine, if no hub knows it
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from mmdemo.core.config import TUNED_TRUNK, CheckpointConfig
from mmdemo.core.errors import MmdemoError, after_failed_write
from mmdemo.core.reading import Unreadable
from mmdemo.models import weights
from mmdemo.models.folder import SCALE, WEIGHTS, read_config, read_header, read_metrics

__all__ = [
    "LOCAL",
    "OWN",
    "SCALE",
    "WEIGHTS",
    "check_shapes",
    "load_weights",
    "pack",
    "read_config",
    "read_metrics",
    "read_weights",
    "recover",
    "unpack",
    "weights_hash",
    "write",
]

# ---------------------------------------------------------------- tensors


LEAST_ROW = 32
"""Values that a row must hold to be worth a scale; smaller ones (depthwise filters) stay in fp16."""

LEAST_MATRIX = 16_384
"""Values that a matrix must hold to be rounded: small ones (a trunk's first layers) cost the most and save nothing."""


def pack(state: Mapping[str, Tensor], *, int8: bool = False) -> dict[str, Tensor]:
    """Floats to fp16; with ``int8`` matrices to int8 rows with an fp16 scale each (symmetric, round to nearest).

    A row is what makes one output: a filter of a convolution is one. Small matrices stay in fp16, and so do vectors
    (biases, norms, running statistics).

    Raises:
        MmdemoError: A tensor holds what is no number, or is too large for fp16.
    """
    packed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        value = tensor.detach().cpu()
        if value.is_floating_point() and not bool(torch.isfinite(value.half()).all()):
            raise MmdemoError("The checkpoint cannot be saved", f"tensor {name} holds values that are no numbers")
        if int8 and _is_large(value):
            rows = tuple(range(1, value.ndim))
            scale = (value.float().abs().amax(dim=rows, keepdim=True) / 127).clamp(min=1e-7).half()
            packed[name] = (value.float() / scale.float()).round().clamp(-127, 127).to(torch.int8)
            packed[name + SCALE] = scale
        elif value.is_floating_point():
            packed[name] = value.half().contiguous()
        else:
            packed[name] = value.contiguous()
    return packed


def _is_large(value: Tensor) -> bool:
    """Whether there is anything to save by rounding."""
    rows = value.is_floating_point() and value.ndim >= 2
    return rows and value[0].numel() >= LEAST_ROW and value.numel() >= LEAST_MATRIX


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


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint, in fp32, proved to be those that were saved.

    Raises:
        MmdemoError: The file is missing or damaged, or holds what is no number; naming the tensor.
    """
    weights.verify(folder, read_config(folder))
    return unpack(weights.read_tensors(folder / WEIGHTS, name=folder.name))


def load_weights(net: nn.Module, folder: Path, *, trunk_apart: bool = False) -> None:
    """Fill ``net`` from ``folder`` strictly.

    Args:
        trunk_apart: Leave the tensors of a tuned trunk aside, which models.encoders lays over the part "vision".

    Raises:
        MmdemoError: Naming the first tensor that is unknown, missing or of another shape.
    """
    state = read_weights(folder)
    if trunk_apart:
        state = {name: tensor for name, tensor in state.items() if not name.startswith(TUNED_TRUNK)}
    wanted = net.state_dict()
    for name in sorted(wanted.keys() ^ state.keys()):
        problem = "is missing" if name in wanted else "is unknown"
        raise MmdemoError(f"{folder.name} cannot be loaded", f"tensor {name} {problem}")
    check_shapes(state, wanted, folder)
    net.load_state_dict(state, strict=True)


def refuse_shapes(planned: Mapping[str, tuple[int, ...]], folder: Path, *, trunk_apart: bool = False) -> None:
    """As :func:`load_weights`, by names and shapes alone, before the network is built; see there."""
    try:
        header, _ = read_header(folder / WEIGHTS)
    except Unreadable as error:
        why = f"{WEIGHTS} is missing" if error.missing else f"{WEIGHTS} is damaged ({error.why})"
        raise MmdemoError(f"{folder.name} cannot be loaded", why) from None
    stored = {
        name: tuple(entry["shape"])
        for name, entry in header.items()
        if not name.endswith(SCALE) and not (trunk_apart and name.startswith(TUNED_TRUNK))
    }
    for name in sorted(planned.keys() | stored.keys()):
        if name not in planned or name not in stored:
            problem = "is missing" if name in planned else "is unknown"
            raise MmdemoError(f"{folder.name} cannot be loaded", f"tensor {name} {problem}")
        if planned[name] != stored[name]:
            raise MmdemoError(
                f"{folder.name} cannot be loaded",
                f"tensor {name} has shape {stored[name]}, the network needs {planned[name]}",
            )


def check_shapes(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], folder: Path, *, prefix: str = "") -> None:
    """Raises MmdemoError for the first tensor that has not the shape of its namesake among ``wanted``."""
    for name, tensor in state.items():
        if tensor.shape != wanted[name].shape:
            have, want = tuple(tensor.shape), tuple(wanted[name].shape)
            raise MmdemoError(
                f"{folder.name} cannot be loaded", f"tensor {prefix}{name} has shape {have}, the network needs {want}"
            )


def weights_hash(folder: Path) -> str:
    """Hex SHA-256 of the weight file: the name by which other checkpoints refer to this one."""
    try:
        if (folder / WEIGHTS).exists() and not (folder / WEIGHTS).is_file():
            raise MmdemoError(f"{folder.name} cannot be loaded", f"{WEIGHTS} is no regular file")
        return weights.file_hash(folder / WEIGHTS)
    except OSError:
        raise MmdemoError(f"{folder.name} cannot be loaded", f"{WEIGHTS} is missing") from None


# ---------------------------------------------------------------- folders


LOCAL = "base.json"
"""Names a folder of this machine, and is never handed on."""

OWN = frozenset({"config.json", WEIGHTS, "tokenizer.json", "probe.json", "metrics.json", "README.md", LOCAL})
"""What a checkpoint is made of. Whatever else lies in its folder is somebody's, and stays."""


def write(
    folder: Path,
    config: CheckpointConfig,
    packed: Mapping[str, Tensor],
    *,
    extra: Mapping[str, str] | None = None,
    complete: Callable[[Path], None] | None = None,
    aside: Path | None = None,
) -> None:
    """Write a checkpoint beside its place, flush it to disk, then rename it into place.

    Args:
        folder: Where it goes. Of what lies there only an older checkpoint's own files are replaced.
        extra: Further text files by name (tokenizer.json, probe.json, metrics.json, README.md).
        complete: Adds what needs the checkpoint to be loaded (probe, card), before anybody can see it.
        aside: A folder below ``folder`` that the older checkpoint's files move to; None removes them.

    Raises:
        MmdemoError: The disk is full, or something else is in the way.
    """
    recover(folder)
    fresh = _fresh(folder)
    if folder.is_file() or (fresh.exists() and (not fresh.is_dir() or _others(fresh))):
        raise MmdemoError(f"{folder.name} cannot be saved", f"{folder if folder.is_file() else fresh} is in the way")
    if fresh.exists():
        shutil.rmtree(fresh)
    try:
        fresh.mkdir(parents=True)
        save_file(dict(packed), fresh / WEIGHTS, metadata={"format": "pt"})
        config = dataclasses.replace(config, weights=weights.checksums(fresh / WEIGHTS))
        for name, text in {"config.json": config.to_json(), **(extra or {})}.items():
            (fresh / name).write_text(text, encoding="utf-8")
        # safetensors lets nobody but the owner read what it writes
        (fresh / WEIGHTS).chmod((fresh / "config.json").stat().st_mode & 0o777)
        if complete is not None:
            complete(fresh)
        for file in fresh.iterdir():
            _fsync(file)
    except (OSError, SafetensorError, Unreadable) as error:  # the library says a full disk in words of its own
        shutil.rmtree(fresh, ignore_errors=True)
        raise MmdemoError(f"{folder.name} cannot be saved", str(error), after_failed_write(error)) from None
    _put_in_place(fresh, folder, None if aside is None else aside.relative_to(folder))


def recover(folder: Path) -> None:
    """Finish what :func:`write` was interrupted in: a fresh folder that others' files have moved to is whole."""
    fresh = _fresh(folder)
    if (fresh / WEIGHTS).is_file() and (fresh / "config.json").is_file() and _others(fresh):
        _put_in_place(fresh, folder, None)


def _fresh(folder: Path) -> Path:
    return folder.with_name(folder.name + ".part")


def _others(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.name not in OWN)


def _put_in_place(fresh: Path, folder: Path, aside: Path | None) -> None:
    """What is not the checkpoint's moves over first; the old folder then holds nothing but an old checkpoint."""
    old = folder.with_name(f"{folder.name}.{os.getpid()}.old")
    if folder.exists():
        for entry in _others(folder):
            if not (fresh / entry.name).exists():
                entry.rename(fresh / entry.name)
        folder.rename(old)
    fresh.rename(folder)
    if aside is not None and old.exists():
        (folder / aside).mkdir(parents=True, exist_ok=True)
        for name in OWN:
            if (old / name).exists():
                (old / name).rename(folder / aside / name)
    for name in OWN:
        (old / name).unlink(missing_ok=True)
    if old.exists() and not any(old.iterdir()):
        old.rmdir()


def _fsync(file: Path) -> None:
    handle = os.open(file, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
