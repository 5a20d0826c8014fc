"""Checkpoints from elsewhere: a zip on this machine, or a repository on a hub."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import zipfile
import zlib
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import cache_root, checkpoints_root

HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")
ALLOWED = frozenset({".json", ".safetensors", ".md", ".txt"})
"""Kinds of file that a checkpoint holds; anything else is refused or left on the hub."""

MAX_UNPACKED = 2 << 30
"""Bytes that a zip may unpack to."""

MAX_ENTRIES = 200


def fetch(model: str, *, allow_download: bool = False) -> Path | None:
    """The local folder of a zip or hub id; None for what is neither (a name or a folder).

    Raises:
        MmdemoError: A zip that is damaged or holds what no checkpoint holds; a hub id that is not on disk.
    """
    if (checkpoints_root() / model).is_dir() or Path(model).expanduser().is_dir():
        return None
    if model.lower().endswith(".zip"):
        return unzip(Path(model).expanduser())
    return download(model, allowed=allow_download) if HUB_ID.match(model) else None


def unzip(file: Path) -> Path:
    """Unpack a checkpoint zip into the cache, once per content."""
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise MmdemoError(f"{file.name} cannot be read", error.strerror or str(error)) from None
    target = cache_root() / "unpacked" / digest[:16]
    if not target.exists():
        part = target.with_name(f"{target.name}.{os.getpid()}.part")
        part.mkdir(parents=True)
        try:
            with zipfile.ZipFile(file) as archive:
                for entry in _checked(archive, file.name):
                    archive.extract(entry, part)
            if not target.exists():  # else someone else was faster
                part.rename(target)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError) as error:
            # RuntimeError: encrypted; its NotImplementedError: a compression that Python lacks
            raise MmdemoError(f"{file.name} cannot be unpacked", str(error)) from None
        finally:
            shutil.rmtree(part, ignore_errors=True)
    found = sorted(target.rglob("config.json"), key=lambda f: len(f.parts))
    if not found:
        raise MmdemoError(f"{file.name} is not a checkpoint", "it holds no config.json")
    return found[0].parent


def _checked(archive: zipfile.ZipFile, name: str) -> list[zipfile.ZipInfo]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(entries) > MAX_ENTRIES or sum(entry.file_size for entry in entries) > MAX_UNPACKED:
        raise MmdemoError(f"{name} is refused", "it unpacks to more than a checkpoint can be")
    for entry in entries:
        path = Path(entry.filename)
        if (
            path.is_absolute()
            or ".." in path.parts
            or "\\" in entry.filename
            or stat.S_ISLNK(entry.external_attr >> 16)
        ):
            raise MmdemoError(f"{name} is refused", f"the entry {entry.filename!r} points outside its folder")
        if path.suffix.lower() not in ALLOWED:
            raise MmdemoError(f"{name} is refused", f"a checkpoint holds no {path.suffix or 'nameless'} files")
    return entries


def download(hub_id: str, *, allowed: bool) -> Path:
    """A checkpoint of ours on a hub; without ``allowed`` only what is already on disk."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                hub_id,
                local_files_only=not allowed,
                allow_patterns=[f"*{suffix}" for suffix in sorted(ALLOWED)],
            )
        )
    except LocalEntryNotFoundError:
        advice = "Check the connection" if allowed else "Allow downloads, or fetch it with huggingface-cli first"
        raise MmdemoError(f"{hub_id} is not on this machine", "", advice) from None
    except (HfHubHTTPError, OSError) as error:
        raise MmdemoError(f"{hub_id} cannot be fetched", str(error).splitlines()[0]) from None
