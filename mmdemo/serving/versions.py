"""Which version of a checkpoint lies on disk, told from its files without reading them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mmdemo.core.settings import checkpoints_root, lies_there, typed_path
from mmdemo.models.hub.catalog import find
from mmdemo.models.hub.local_files import pinned

_FILES = ("config.json", "model.safetensors", "probe.json", "open_clip_config.json", "open_clip_model.safetensors")


def version_of(wanted: str) -> str:
    """Changes whenever a checkpoint is written anew; "" where there are no such files.

    Of a hub id it is the commit that was fetched last.

    Size and time of writing alone would miss a file of the same size that is written within one tick of the file
    system's clock, or whose time was set back by whoever copied it; its inode and the time of its last change of any
    kind are new even then.

    Args:
        wanted: A name under checkpoints/, a folder or a zip.
    """
    return _marks(_place(wanted)) or _commit(wanted)


def is_gone(wanted: str) -> bool:
    """Whether nothing is left of a checkpoint that lay here. One that is being replaced is not gone."""
    if version_of(wanted):
        return False
    # between the two renames of models.checkpoint the new one lies beside its place; by the next look it is there
    places = (checkpoints_root() / wanted, typed_path(wanted))
    return not any(
        lies_there(place.with_name(place.name + ".part")) for place in places if place.name
    ) and not version_of(wanted)


def versions_below(root: Path) -> str:
    """Changes with every checkpoint below a folder."""
    names = sorted(entry.name for entry in root.iterdir() if entry.is_dir()) if root.is_dir() else []
    text = "\n".join(f"{name} {_marks(root / name)}" for name in names)
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _commit(wanted: str) -> str:
    if wanted.count("/") != 1:
        return ""
    entry = find(wanted)
    return pinned(entry.id if entry else wanted)


def _marks(place: Path) -> str:
    marks: list[str] = []
    for file in [place] if lies_there(place) and place.is_file() else [place / name for name in _FILES]:
        try:
            status = file.stat()
        except (OSError, ValueError):
            continue
        marks.append(f"{file.name}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}")
    return " ".join(marks)


def _place(wanted: str) -> Path:
    # the order in which models.registry looks
    named, path = checkpoints_root() / wanted, typed_path(wanted)
    return path if lies_there(path) and not lies_there(named) else named
