"""What a checkpoint folder says of itself, read without torch: configuration and figures."""

from __future__ import annotations

import json
import math
from pathlib import Path

from mmdemo.core.config import TUNED_TRUNK, CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import Metric

WEIGHTS = "model.safetensors"
SCALE = ".int8_scale"
"""Suffix of the per-row scale that stands beside an int8 tensor."""


def read_config(folder: Path) -> CheckpointConfig:
    """The configuration of a checkpoint; raises MmdemoError where there is no readable config.json of ours."""
    try:
        text = (folder / "config.json").read_text(encoding="utf-8")
    except OSError:
        raise MmdemoError(f"{folder} is not a checkpoint", "it holds no config.json") from None
    except UnicodeDecodeError as error:
        raise MmdemoError(f"{folder.name} cannot be loaded", f"its config.json is not valid ({error})") from None
    return CheckpointConfig.from_json(text, folder.name)


def read_metrics(folder: Path) -> tuple[Metric, ...]:
    """Figures of metrics.json, headline first; empty where none were measured."""
    file = folder / "metrics.json"
    if not file.exists():
        return ()
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))["metrics"]
        return tuple(Metric(**{k: row[k] for k in ("name", "value", "low", "high", "n", "data")}) for row in rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MmdemoError(f"{folder.name} cannot be loaded", f"its metrics.json is not valid ({error})") from None


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
        with file.open("rb") as opened:
            header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
        return {name: tuple(map(int, entry["shape"])) for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError):
        return {}
