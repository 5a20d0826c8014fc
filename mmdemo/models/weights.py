"""Weight files: read whole and finite, and proved to be the ones that were written.

A checkpoint's config.json carries the SHA-256 of its weight file, and a short one of each tensor. A file is hashed once
per version of it, whoever uses it; the tensors are asked only where the file is not the one that was written, so that
the refusal names the one that was damaged.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mmdemo.core.config import CheckpointConfig, Weights
from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import Unreadable
from mmdemo.models.folder import WEIGHTS, read_header

SHORT = 16
"""Hex digits of a tensor's own checksum: it only says where a file differs that the whole one has refused."""

SETTLED = 2.0
"""Seconds after which a file's times are told apart from those of a later write; before that it is hashed again."""

_known: dict[tuple[int, ...], str] = {}
_lock = threading.Lock()


def file_hash(file: Path) -> str:
    """Hex SHA-256 of a file, computed once for each version of it.

    Raises:
        OSError: It cannot be read.
    """
    status = file.stat()
    version = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    found = _known.get(version)
    if found is not None:
        return found
    settled = time.time() - max(status.st_mtime, status.st_ctime) > SETTLED
    with _lock:  # several models that share a part come at once: one of them hashes
        found = _known.get(version)
        if found is None:
            with file.open("rb") as opened:
                found = hashlib.file_digest(opened, "sha256").hexdigest()
            if settled:
                _known[version] = found
    return found


def checksums(file: Path) -> Weights:
    """What config.json notes of a weight file.

    Raises:
        Unreadable: It is no safetensors file.
        OSError: It cannot be read.
    """
    return Weights(sha256=file_hash(file), tensors=_tensor_hashes(file))


def verify(folder: Path, config: CheckpointConfig) -> None:
    """Prove that a checkpoint's weight file is the one that was written with its config.json.

    Raises:
        MmdemoError: It is not, naming the first tensor that differs. Without a checksum nothing is raised.
    """
    if config.weights is None:
        return
    try:
        if file_hash(folder / WEIGHTS) == config.weights.sha256:
            return
        found = _tensor_hashes(folder / WEIGHTS)
    except (Unreadable, FileNotFoundError) as error:
        missing = isinstance(error, FileNotFoundError) or error.missing
        why = f"{WEIGHTS} is missing" if missing else f"{WEIGHTS} is damaged ({error})"
        raise _damaged(folder, why) from None
    except OSError as error:
        raise _damaged(folder, f"{WEIGHTS} cannot be read ({error.strerror or error})") from None
    wanted = config.weights.tensors
    differing = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if not differing:
        raise _damaged(folder, f"{WEIGHTS} is not the file that was saved: its SHA-256 differs, its tensors do not")
    name, more = differing[0], len(differing) - 1
    what = "differs from the one that was saved" if name in found else "is missing"
    others = f", and so do {more} more" if more else ""
    raise _damaged(folder, f"tensor {name} of {WEIGHTS} {what}{others}")


def read_tensors(file: Path, *, name: str) -> dict[str, Tensor]:
    """All tensors of a safetensors file, every one of them finite.

    Args:
        name: What the model is called in errors.

    Raises:
        MmdemoError: The file is missing or damaged, or a tensor holds NaN or infinity.
    """
    try:
        read_header(file)  # refuses what is no regular file: a pipe would keep the library waiting
        tensors: dict[str, Tensor] = load_file(file)
    except Unreadable as error:
        why = f"{file.name} is missing" if error.missing else f"{file.name} is damaged ({error.why})"
        raise MmdemoError(f"{name} cannot be loaded", why) from None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise MmdemoError(f"{name} cannot be loaded", f"{file.name} is damaged ({_line(error)})") from None
    refuse_odd(tensors, name=name)
    return tensors


def refuse_odd(tensors: Mapping[str, Tensor], *, name: str) -> None:
    """Raises MmdemoError for the first tensor that holds NaN or infinity, or complex numbers."""
    for key, tensor in sorted(tensors.items()):
        if tensor.is_complex() or not is_finite(tensor):
            raise MmdemoError(f"{name} cannot be loaded", f"tensor {key} holds values that are no numbers")


def is_finite(tensor: Tensor) -> bool:
    """Whether no value is NaN or infinite; nothing of the tensor's size is made."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    # formats of 8 bits know no comparison
    values = tensor.float() if tensor.element_size() == 1 else tensor
    low, high = torch.aminmax(values.detach())
    return bool(torch.isfinite(low) & torch.isfinite(high))


def _tensor_hashes(file: Path) -> dict[str, str]:
    tensors, start = read_header(file)
    found = {}
    with file.open("rb") as opened:
        for name, entry in tensors.items():
            first, end = entry["data_offsets"]
            opened.seek(start + first)
            digest = hashlib.sha256(f"{entry.get('dtype')} {entry['shape']}\n".encode())
            digest.update(opened.read(end - first))
            found[name] = digest.hexdigest()[:SHORT]
    return found


def _damaged(folder: Path, why: str) -> MmdemoError:
    return MmdemoError(f"{folder.name} cannot be loaded", why, "Restore the file, or train it again")


def _line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
