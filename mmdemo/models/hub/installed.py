"""Public models that somebody chose and that are on this machine: they stand in every list of models from then on."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from mmdemo.core.config import from_mapping
from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import Unreadable, read_json, read_object
from mmdemo.core.settings import cache_root
from mmdemo.core.types import Card
from mmdemo.core.writing import json_text
from mmdemo.models.families.detect import OPEN_CLIP_CONFIG
from mmdemo.models.folder import read_header

FILE = "public.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledModel:
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


def installed_models() -> tuple[InstalledModel, ...]:
    """All whose files are still there, in the order in which they came."""
    return tuple(one for one in _read().values() if _is_folder(one.folder))


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except (OSError, ValueError):  # a name that the system refuses
        return False


def remember(one: InstalledModel) -> None:
    """Put a model on the shelf, in the place of one with the same id.

    Raises:
        MmdemoError: The disk is full, or the cache cannot be written.
    """

    def put(all_: dict[str, InstalledModel]) -> None:
        all_.pop(one.id, None)  # what is brought again comes last
        all_[one.id] = one

    _change(put, f"{one.id} cannot be put into the lists")


def forget(id_: str) -> None:
    """Take a model off the shelf; its files stay."""

    def take(all_: dict[str, InstalledModel]) -> None:
        all_.pop(id_, None)

    _change(take, f"{id_} cannot be taken out of the lists")


def marks() -> str:
    """Another text whenever the shelf has changed, or what stands on it has gone; cheap."""
    try:
        status = (cache_root() / FILE).stat()
    except OSError:
        return ""
    return f"{status.st_mtime_ns}:{status.st_size}:{status.st_ino}:{len(installed_models())}"


def trouble(one: InstalledModel) -> Unreadable | None:
    """What is wrong with the files of a model on the shelf, told from its configuration and the headers of weights."""
    folder = Path(one.folder)
    try:
        named = [file for file in ("config.json", OPEN_CLIP_CONFIG) if os.path.lexists(folder / file)]
        if not named:
            raise Unreadable("config.json", "there is no such file", missing=True)
        for file in named:
            read_object(folder / file)
        for weights in sorted(folder.glob("*.safetensors")):
            read_header(weights)
    except Unreadable as error:
        return error
    except OSError as error:
        return Unreadable(folder.name, error.strerror or str(error))
    return None


def damage() -> tuple[str, ...]:
    """Why the shelf, or a row of it, cannot be read, one sentence each."""
    return _rows()[1]


def _read() -> dict[str, InstalledModel]:
    return _rows()[0]


def _rows() -> tuple[dict[str, InstalledModel], tuple[str, ...]]:
    """The models on the shelf, each row by itself, and what is wrong with the others."""
    try:
        rows = read_json(cache_root() / FILE)
        if not isinstance(rows, list):
            raise Unreadable(FILE, "it holds no list")
    except Unreadable as error:
        return {}, () if error.missing else (str(error),)
    found: dict[str, InstalledModel] = {}
    wrong: list[str] = []
    for number, row in enumerate(rows, start=1):
        try:
            one = from_mapping(InstalledModel, row)
            found[one.id] = one
        except TypeError as error:
            wrong.append(str(Unreadable(FILE, f"its model {number} is not valid ({error})")))
    return found, tuple(wrong)


def _change(change: Callable[[dict[str, InstalledModel]], None], what: str) -> None:
    file = cache_root() / FILE
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock"):
            rows, wrong = _rows()
            if wrong:  # it may be mended by hand: the next change must not be the end of it
                file.replace(file.with_suffix(".damaged.json"))
            change(rows)
            fresh = file.with_suffix(f".{os.getpid()}.part")
            fresh.write_text(json_text([asdict(row) for row in rows.values()], indent=1), encoding="utf-8")
            fresh.replace(file)
    except OSError as error:
        raise MmdemoError(what, error.strerror or str(error)) from None
