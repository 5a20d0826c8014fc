"""Public models that somebody chose and that are on this machine: they stand in every list of models from then on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import cache_root
from mmdemo.core.types import Card

FILE = "public.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One of them.

    Attributes:
        id: Hub id, or path of a folder, as it was given.
        folder: Where its files lie.
        tasks: What it can serve.
    """

    id: str
    folder: str
    tasks: tuple[str, ...]
    summary: str = ""
    licence: str = ""
    size: int = 0
    parameters: int = 0

    def card(self, task: str) -> Card:
        """What a list shows of it, without opening its files; the whole card comes with the model."""
        return Card(
            id=self.id,
            task=task,
            summary=self.summary,
            licence=self.licence,
            limits=("Made by others: read what they say of it before you rely on it.",),
            source="public",
            parameters=self.parameters,
            size=self.size,
        )


def known() -> tuple[Known, ...]:
    """All whose files are still there, in the order in which they came."""
    return tuple(one for one in _read().values() if Path(one.folder).is_dir())


def remember(one: Known) -> None:
    """Put a model on the shelf, in the place of one with the same id.

    Raises:
        MmdemoError: The disk is full, or the cache cannot be written.
    """

    def put(all_: dict[str, Known]) -> None:
        all_.pop(one.id, None)  # what is brought again comes last
        all_[one.id] = one

    _change(put, f"{one.id} cannot be put into the lists")


def forget(id_: str) -> None:
    """Take a model off the shelf; its files stay."""

    def take(all_: dict[str, Known]) -> None:
        all_.pop(id_, None)

    _change(take, f"{id_} cannot be taken out of the lists")


def marks() -> str:
    """Another text whenever the shelf has changed, or what stands on it has gone; cheap."""
    try:
        status = (cache_root() / FILE).stat()
    except OSError:
        return ""
    return f"{status.st_mtime_ns}:{status.st_size}:{status.st_ino}:{len(known())}"


def _read() -> dict[str, Known]:
    try:
        rows = json.loads((cache_root() / FILE).read_text(encoding="utf-8"))
        return {row["id"]: Known(**{**row, "tasks": tuple(row["tasks"])}) for row in rows}
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # a damaged shelf is an empty one: the files are found again by their ids


def _change(change: Callable[[dict[str, Known]], None], what: str) -> None:
    file = cache_root() / FILE
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock"):
            rows = _read()
            change(rows)
            fresh = file.with_suffix(f".{os.getpid()}.part")
            fresh.write_text(json.dumps([asdict(row) for row in rows.values()], indent=1), encoding="utf-8")
            fresh.replace(file)
    except OSError as error:
        raise MmdemoError(what, error.strerror or str(error)) from None
