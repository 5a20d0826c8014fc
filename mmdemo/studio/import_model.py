"""Checkpoints handed on as a zip, and taken in: checked, loaded and probed before they are seen."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import checkpoints_root
from mmdemo.core.types import Card
from mmdemo.core.writing import json_text
from mmdemo.models import fetch, registry
from mmdemo.models import folder as folders

MAX_NAME = 60
"""Characters of a checkpoint's folder."""

MAX_TEXT = 20_000_000
"""Bytes of config.json and the like; the largest shipped one has 0.1 MB."""

_STAGING = ".received.part"
_STALE_SECONDS = 3600.0


def export(name: str, to: Path) -> Path:
    """Pack a checkpoint with its card and the parts that it refers to, so that it loads on another machine.

    What belongs to its training stays behind. The same checkpoint gives the same bytes.

    Args:
        name: Of any served checkpoint, by folder name or path.
        to: The zip, or a folder that it is put into as ``<name>.zip``.

    Returns:
        The zip.

    Raises:
        MmdemoError: No such checkpoint, a part that is missing or not the right one, or a full disk.
    """
    from mmdemo.models import checkpoint

    folder = registry.find_any(name)
    config = folders.read_config(folder)
    checkpoint.read_weights(folder)  # what is damaged is not handed on
    entries = [(f"{folder.name}/{file.name}", file) for file in _files(folder)]
    for role, part in sorted(config.parts.items()):
        place = registry.part_folder(folder, part.name)
        if not _is_plain(part.name) or not place.is_dir() or checkpoint.weights_hash(place) != part.hash:
            raise MmdemoError(f"{folder.name} cannot be exported", f"its {role} part {part.name} is not there")
        entries += [(f"{folder.name}/parts/{part.name}/{file.name}", file) for file in _files(place)]
    target = to if to.suffix.lower() == ".zip" else to / f"{folder.name}.zip"
    fresh = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(fresh, "w") as archive:
            for entry, file in entries:
                _add(archive, entry, file)
        fresh.replace(target)
    except OSError as error:
        raise MmdemoError(f"{folder.name} cannot be exported", error.strerror or str(error)) from None
    finally:
        with suppress(OSError):  # where nothing can be written, nothing can be removed
            fresh.unlink(missing_ok=True)
    return target


def receive(zip: Path, *, name: str | None = None) -> Card:
    """Take in somebody's checkpoint: nothing of it is seen before it was loaded strictly and reproduced its probe.

    Args:
        zip: With the checkpoint at its top or in one folder; the parts that it brings stay in its ``parts/``.
        name: Of the folder below the checkpoints; default that in the zip, else the zip's own. A name that is taken
            gets a number; nothing is ever overwritten.

    Returns:
        The card of the new checkpoint.

    Raises:
        MmdemoError: Saying what is wrong with the zip, its settings, a tensor or the probe. Nothing is left behind.
    """
    if name is not None and name in registry.SHIPPED:
        raise MmdemoError(f"A checkpoint cannot be called {name}", "that is a shipped one", "Choose another name")
    root = checkpoints_root()
    _sweep(root)
    staging = root / f".{uuid.uuid4().hex[:12]}{_STAGING}"
    try:
        digest = _digest(zip)
        fetch.unpack(zip, staging / "unpacked")
        found = fetch.inside(staging / "unpacked", zip.name)
        wrapped = found.name if found != staging / "unpacked" else zip.stem
        wanted = _clean(name if name is not None else wrapped)
        place = staging / wanted  # refusals are said with this name
        _keep(found, place)
        _prove(place)
        origin = {"file": zip.name, "sha256": digest, "time": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        (place / registry.RECEIVED).write_text(json_text(origin) + "\n", encoding="utf-8")
        return registry.read_card(_settle(place, root, wanted))
    except OSError as error:
        raise MmdemoError(f"{zip.name} cannot be taken in", error.strerror or str(error)) from None
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RuntimeError, MemoryError) as error:
        # settings of another kind than the code reads; it was written by others, so nothing about it can be relied on
        raise MmdemoError(f"{zip.name} cannot be taken in", f"its settings are wrong ({error})") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


# ---------------------------------------------------------------- writing


def _files(folder: Path) -> Iterator[Path]:
    from mmdemo.models import checkpoint

    return (folder / name for name in sorted(checkpoint.OWN - {checkpoint.LOCAL}) if (folder / name).is_file())


def _add(archive: zipfile.ZipFile, name: str, file: Path) -> None:
    info = zipfile.ZipInfo(name)  # 1980: whoever packs the same checkpoint gets the same bytes
    info.external_attr = 0o644 << 16
    # weights do not shrink, and stored they are read without unpacking
    info.compress_type = zipfile.ZIP_STORED if file.suffix == ".safetensors" else zipfile.ZIP_DEFLATED
    with file.open("rb") as source, archive.open(info, "w", force_zip64=True) as target:
        shutil.copyfileobj(source, target, 1 << 20)


def _is_plain(name: object) -> bool:
    """Whether a part's name is that of a folder and no path."""
    return isinstance(name, str) and name not in {"", ".", ".."} and Path(name).name == name


# ---------------------------------------------------------------- reading


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise MmdemoError(f"{file.name} cannot be read", error.strerror or str(error)) from None


def _keep(found: Path, place: Path) -> None:
    """Move what a checkpoint consists of; whatever else the zip held stays in the folder that is thrown away."""
    place.mkdir()
    for file in list(_files(found)):
        if file.suffix != ".safetensors" and file.stat().st_size > MAX_TEXT:
            raise MmdemoError(f"{place.name} is refused", f"its {file.name} has {file.stat().st_size:,} bytes")
        file.rename(place / file.name)
    for part in folders.read_config(place).parts.values():
        if not _is_plain(part.name):
            raise MmdemoError(f"{place.name} is refused", f"one of its parts has a path for a name: {part.name}")
        brought = found / "parts" / part.name
        if brought.is_dir():
            (place / "parts" / part.name).mkdir(parents=True)
            for file in list(_files(brought)):
                file.rename(place / "parts" / part.name / file.name)


def _prove(place: Path) -> None:
    """Raises MmdemoError where the checkpoint in ``place`` would not serve."""
    from mmdemo.models import loading, probe

    config = folders.read_config(place)
    for one in (config, *(folders.read_config(part) for part in sorted(place.glob("parts/*")))):
        loading.refuse_sizes(one, place.name)
    ready = loading.read(place, device="cpu")
    try:
        probe.check(ready, place)
    finally:
        ready.release()


def _settle(place: Path, root: Path, wanted: str) -> Path:
    """Rename into the first name that is free."""
    for number in range(1, 1000):
        target = root / (wanted if number == 1 else f"{wanted}-{number}")
        if target.exists() or target.name in registry.SHIPPED:
            continue
        try:
            place.rename(target)
        except OSError:
            if not target.exists():
                raise
            continue  # somebody else took the name meanwhile
        return target
    raise MmdemoError(f"{wanted} cannot be saved", "a thousand checkpoints have that name", "Give it another")


def _clean(name: str) -> str:
    """A name as a folder's: letters, digits, dots, hyphens and underscores."""
    kept = re.sub(r"[^\w.-]+", "-", name.strip())[:MAX_NAME].strip(".-_")
    while kept.endswith((".part", ".old")):  # such folders are passed over
        kept = kept.removesuffix(".part").removesuffix(".old").strip(".-_")
    return kept or "received"


def _sweep(root: Path) -> None:
    """Remove what a process that was killed while it unpacked has left."""
    for staging in root.glob(f".*{_STAGING}") if root.is_dir() else ():
        if time.time() - staging.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(staging, ignore_errors=True)
