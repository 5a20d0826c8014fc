"""Checkpoints from elsewhere: a zip on this machine, or a repository on a hub."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import cache_root, checkpoints_root, lies_there, typed_path
from mmdemo.models.hub import HUB_ID

ALLOWED = frozenset({".json", ".safetensors", ".md", ".txt"})
"""Kinds of file that a checkpoint holds; anything else is refused or left on the hub."""

MAX_UNPACKED = 2 << 30
"""Bytes that a zip may unpack to."""

MAX_ENTRIES = 200
MAX_RATIO = 30
"""Unpacked bytes for each packed one; weights hardly shrink at all."""

LEAST_SUSPECT = 50_000_000
"""Bytes below which a zip may shrink as much as it likes: settings and cards are text."""


def fetch(model: str, *, allow_download: bool = False) -> Path | None:
    """The local folder of a zip or hub id; None for what is neither (a name or a folder).

    Raises:
        MmdemoError: A zip that is damaged or holds what no checkpoint holds; a hub id that is not on disk.
    """
    if any(lies_there(place) and place.is_dir() for place in (checkpoints_root() / model, typed_path(model))):
        return None
    if model.lower().endswith(".zip"):
        return unzip(typed_path(model))
    return download(model, allowed=allow_download) if HUB_ID.fullmatch(model) else None


def unzip(file: Path) -> Path:
    """Unpack a checkpoint zip into the cache, once per content."""
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise MmdemoError(f"{file.name} cannot be read", error.strerror or str(error)) from None
    target = cache_root() / "unpacked" / digest[:16]
    if not target.exists():
        part = target.with_name(f"{target.name}.{os.getpid()}.part")
        try:
            unpack(file, part)
            if not target.exists():  # else someone else was faster
                part.rename(target)
        except OSError as error:
            raise MmdemoError(f"{file.name} cannot be unpacked", str(error)) from None
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return inside(target, file.name)


def unpack(file: Path, to: Path) -> None:
    """Unpack a checkpoint zip into a folder, which is made; what it must not hold is found before anything is written.

    Raises:
        MmdemoError: It is damaged, encrypted or too large, points outside its folder, or holds what no checkpoint does.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = _checked(archive, file.name)
            to.mkdir(parents=True)
            for entry in entries:
                archive.extract(entry, to)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError) as error:
        # RuntimeError: its NotImplementedError says that Python lacks a compression
        why = error.strerror if isinstance(error, OSError) else ""
        raise MmdemoError(f"{file.name} cannot be unpacked", why or str(error)) from None


def inside(folder: Path, name: str) -> Path:
    """The checkpoint in an unpacked zip: at its top, or in the one folder around it.

    Raises:
        MmdemoError: There is none.
    """
    found = sorted(folder.rglob("config.json"), key=lambda f: (len(f.parts), f))
    if not found:
        raise MmdemoError(f"{name} is not a checkpoint", "it holds no config.json")
    return found[0].parent


def _checked(archive: zipfile.ZipFile, name: str) -> list[zipfile.ZipInfo]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    size = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    if len(entries) > MAX_ENTRIES or size > MAX_UNPACKED or size > max(packed * MAX_RATIO, LEAST_SUSPECT):
        raise MmdemoError(f"{name} is refused", "it unpacks to more than a checkpoint can be")
    seen: set[str] = set()
    kept: list[zipfile.ZipInfo] = []
    for entry in entries:
        path = Path(entry.filename)
        if (
            path.is_absolute()
            or ".." in path.parts
            or "\\" in entry.filename
            or ":" in entry.filename
            or stat.S_ISLNK(entry.external_attr >> 16)
        ):
            raise MmdemoError(f"{name} is refused", f"the entry {entry.filename!r} points outside its folder")
        if path.name.startswith(".") or "__MACOSX" in path.parts:
            continue  # left there by hubs and by file managers, and no part of a checkpoint
        if path.suffix.lower() not in ALLOWED:
            raise MmdemoError(f"{name} is refused", f"a checkpoint holds no {path.suffix or 'nameless'} files")
        if entry.flag_bits & 1:
            raise MmdemoError(f"{name} is refused", f"the entry {entry.filename!r} is encrypted")
        if entry.filename.lower() in seen:
            raise MmdemoError(f"{name} is refused", f"it holds {entry.filename!r} twice")
        seen.add(entry.filename.lower())
        kept.append(entry)
    return kept


def download(hub_id: str, *, allowed: bool) -> Path:
    """A model on a hub, of whatever kind; without ``allowed`` only what is already on disk.

    Raises:
        MmdemoError: It is not on this machine, or cannot be fetched.
    """
    from mmdemo.models.hub import download, installed

    found = download.on_disk(hub_id)
    if found is not None:
        return found
    kept = next((one for one in installed.installed_models() if one.id == hub_id), None)
    if kept is not None:  # it was fetched into another cache
        return Path(kept.folder)
    if not allowed:
        advice = f"See what it takes, and fetch it: python -m mmdemo download {hub_id}"
        raise MmdemoError(f"{hub_id} is not on this machine", "", advice)
    return download.fetch(download.plan(hub_id, anything=True))
