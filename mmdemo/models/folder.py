"""What a checkpoint folder says of itself, read without torch: configuration, figures, names and shapes of tensors."""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path
from typing import Any

from mmdemo.core.config import TUNED_TRUNK, CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import Unreadable, parse_json, read_object, read_text
from mmdemo.core.types import Metric

WEIGHTS = "model.safetensors"
SCALE = ".int8_scale"
"""Suffix of the per-row scale that stands beside an int8 tensor."""

MOST_HEADER = 32 << 20
"""Bytes of a header; that of ten thousand tensors has 1.2 MB."""


def read_config(folder: Path) -> CheckpointConfig:
    """The configuration of a checkpoint; raises MmdemoError where there is no readable config.json of ours."""
    try:
        text = read_text(folder / "config.json")
    except Unreadable as error:
        if error.missing:
            raise MmdemoError(f"{folder} is not a checkpoint", "it holds no config.json") from None
        raise MmdemoError(f"{folder.name} cannot be loaded", f"its config.json {error.trouble}") from None
    return CheckpointConfig.from_json(text, folder.name)


def read_metrics(folder: Path) -> tuple[Metric, ...]:
    """Figures of metrics.json, headline first; empty where none were measured."""
    try:
        rows = read_object(folder / "metrics.json")["metrics"]
        return tuple(_metric(row) for row in rows)
    except Unreadable as error:
        if error.missing:
            return ()
        raise MmdemoError(f"{folder.name} cannot be loaded", f"its metrics.json {error.trouble}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise MmdemoError(f"{folder.name} cannot be loaded", f"its metrics.json is not valid ({error})") from None


def _metric(row: dict[str, Any]) -> Metric:
    value, low, high = (_number(row[key]) for key in ("value", "low", "high"))
    name, data = (row[key] for key in ("name", "data"))
    if not isinstance(name, str) or not isinstance(data, str):
        raise TypeError("a figure has no name")
    return Metric(name=name, value=value, low=low, high=high, n=int(_number(row["n"])), data=data)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r:.40} is no number")
    return value


# ---------------------------------------------------------------- tensors


def parameters_in(file: Path) -> int:
    """Number of weights, from the header of a safetensors file: https://github.com/huggingface/safetensors#format.

    0 where it cannot be read: loading will say so.
    """
    # a tuned trunk's stand in for tensors of the part that are counted there
    counted = {name: shape for name, shape in shapes_in(file).items() if not name.startswith(TUNED_TRUNK)}
    return sum(math.prod(shape) for name, shape in counted.items() if not name.endswith(SCALE))


def shapes_in(file: Path) -> dict[str, tuple[int, ...]]:
    """Tensor → its shape, from the same header; empty where it cannot be read."""
    try:
        return {name: tuple(entry["shape"]) for name, entry in read_header(file)[0].items()}
    except Unreadable:
        return {}


def read_header(file: Path) -> tuple[dict[str, dict[str, Any]], int]:
    """What a safetensors file says of its tensors.

    Returns:
        Name → dtype, shape and ``data_offsets`` of every tensor, and at which byte the data begins.

    Raises:
        Unreadable: It is missing, no regular file, or its header is not one.
    """
    name = file.name
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable(name, "it is no regular file")
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if length > min(MOST_HEADER, status.st_size - 8):
                raise Unreadable(name, f"its header should have {length:,} bytes")
            raw = opened.read(length)
    except FileNotFoundError:
        raise Unreadable(name, "there is no such file", missing=True) from None
    except (OSError, ValueError) as error:
        raise Unreadable(
            name, os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        ) from None
    found = parse_json(raw, name=name)
    if not isinstance(found, dict):
        raise Unreadable(name, "its header is no object")
    tensors = {key: entry for key, entry in found.items() if key != "__metadata__"}
    for key, entry in tensors.items():
        _check_entry(name, key, entry, most=status.st_size - 8 - length)
    return tensors, 8 + length


def _check_entry(name: str, key: str, entry: object, *, most: int) -> None:
    told: dict[str, Any] = entry if isinstance(entry, dict) else {}
    shape, offsets = told.get("shape"), told.get("data_offsets", ())
    if not _counts(shape) or not _counts(offsets) or len(offsets) != 2 or not offsets[0] <= offsets[1] <= most:
        raise Unreadable(name, f"its header does not say where the tensor {key[:80]} lies")


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(one) is int and one >= 0 for one in value)
