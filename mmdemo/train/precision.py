"""In which numbers a network computes, and its outputs for many rows."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mmdemo.core.errors import MmdemoError
from mmdemo.tasks.base import Task

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def pick_precision(wanted: str, device: str) -> str:
    """What "auto" means on a device: the fastest type of matrix products that it is built for.

    Raises:
        MmdemoError: fp16 on a CPU, whose small numbers need a GPU's loss scaling to be of use.
    """
    if wanted == "fp16" and device == "cpu":
        raise MmdemoError("fp16 needs a GPU", "on a CPU it is slower than fp32", "Leave train.precision at auto")
    if wanted != "auto":
        return wanted
    if device == "cpu":
        # without these instructions bf16 is emulated, several times slower than fp32
        quick = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
        return "bf16" if quick or getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)() else "fp32"
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return "fp32"


@contextlib.contextmanager
def eval_mode(net: nn.Module) -> Iterator[None]:
    """In evaluation mode, and torch's generator left as it was: looking at a network does not change its training."""
    was, chance = net.training, torch.get_rng_state()
    net.eval()
    try:
        yield
    finally:
        net.train(was)
        torch.set_rng_state(chance)


def run_outputs(
    task: Task[Any, Any],
    net: nn.Module,
    rows: Sequence[Any],
    *,
    batch_size: int,
    device: torch.device,
    precision: str = "fp32",
) -> list[NDArray[np.float32]]:
    """The network's outputs for all rows, in order, in evaluation mode; leaves torch's generator as it was."""
    found: list[NDArray[np.float32]] = []
    cast = DTYPES.get(precision)
    with eval_mode(net), torch.inference_mode():
        while len(found) < len(rows):
            batch = task.collate(rows[len(found) : len(found) + batch_size])  # in full: libraries' processors need that
            try:
                with torch.autocast(device.type, dtype=cast, enabled=cast is not None):
                    found += task.outputs(net, {name: tensor.to(device) for name, tensor in batch.items()})
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error) or batch_size == 1:
                    raise
                batch_size = math.ceil(batch_size / 2)
    return found


def out_of_memory(error: Exception) -> bool:
    """Whether memory was what was lacking, of a device or of the machine."""
    words = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        sign in words for sign in ("out of memory", "can't allocate memory", "not enough memory")
    )
