"""How a run was asked for, so that it can be gone on with on this machine; never exported, and read without torch."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from mmdemo.core.settings import checkpoints_root
from mmdemo.train.folder import REQUEST, WATCHED, read_json, write_json


def out_folder(name: str) -> Path:
    """A bare name goes under checkpoints/; a path is taken as it is."""
    path = Path(name).expanduser()
    return path if len(path.parts) > 1 or path.is_absolute() else checkpoints_root() / name


def absolute_path(path: Path | str) -> str:
    """A path that means the same from whatever folder; a name under checkpoints/ and a hub id stay as they are."""
    there = Path(path).expanduser()
    return str(there.absolute()) if there.exists() else str(path)


def words_of(
    task: str,
    data: Sequence[Path],
    out: str,
    *,
    config: Path | None = None,
    base: str | None = None,
    teacher: str | None = None,
    overrides: Sequence[str] = (),
    folds: Path | None = None,
    fold: int | None = None,
    allow_leaks: bool = False,
    device: str = "auto",
) -> tuple[str, ...]:
    """What follows ``python -m mmdemo train``, with whole paths: it means the same from whatever folder."""
    words = [task]
    for folder in data:
        words += ["--data", str(folder.absolute())]
    words += ["--out", str(out_folder(out).absolute())]
    for name, path in (("--config", config), ("--base", base), ("--teacher", teacher), ("--folds", folds)):
        words += [name, absolute_path(path)] if path is not None else []
    for override in overrides:
        words += ["--set", override]
    words += ["--fold", str(fold)] if fold is not None else []
    words += ["--allow-leaks"] if allow_leaks else []
    words += ["--device", device] if device != "auto" else []
    return tuple(words)


def write_request(words: Sequence[str], folder: Path, *, device: str, resume: bool = False) -> None:
    """Write ``request.json`` into the folder ``trainer/`` of a run.

    What watches over a run has written it already. A run that is resumed keeps who started it, and when.

    Args:
        words: Of :func:`words_of`.
        device: Where it trains.
    """
    out = folder.parent.absolute()
    if os.environ.get(WATCHED) == str(out) or not words:
        return
    before = read_json(folder / REQUEST) if resume else {}
    data = [words[i + 1] for i, word in enumerate(words[:-1]) if word == "--data"]
    write_json(
        {
            "arguments": list(words),
            "task": words[0],
            "data": data,
            "out": str(out),
            "device": device,
            "created": before.get("created") or time.time(),
            "source": before.get("source") or "command",
        },
        folder / REQUEST,
    )
