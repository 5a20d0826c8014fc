"""Models of a hub as they lie on this machine: where their files are, and whether they are whole.

The folders are those of huggingface_hub's cache (https://huggingface.co/docs/huggingface_hub/guides/manage-cache), so
that the ``hf`` command and other programs find what we fetch, and we find what they fetched::

    models--OWNER--NAME/
        blobs/DIGEST                 contents, by SHA-256 (large files) or by git's SHA-1
        blobs/DIGEST.part            ours: begun and not yet whole
        snapshots/COMMIT/FILE        links to them
        refs/REVISION                commit that a branch meant
        mmdemo/COMMIT.json           ours: what was fetched and found to be right
        mmdemo/pin                   ours: the commit that was last fetched on purpose

Nothing here needs a network or huggingface_hub itself.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import Unreadable, object_or_empty, read_object, read_text
from mmdemo.core.writing import json_text
from mmdemo.models.families.detect import OPEN_CLIP_CONFIG
from mmdemo.models.folder import read_header
from mmdemo.models.hub.selection import shards

COMMIT = re.compile(r"[0-9a-f]{40}")
DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
REVISION = re.compile(r"[\w][\w.\-/]*")

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """One file of a model on a hub.

    Attributes:
        name: Path inside the repository, with slashes.
        size: In bytes.
        digest: 64 hexadecimal digits of its SHA-256, or 40 of the SHA-1 that git gives its contents.
    """

    name: str
    size: int
    digest: str


# ---------------------------------------------------------------- where it lies


def cache_folder() -> Path:
    """Where models of hubs lie, by the variables of huggingface_hub, which are read now and not when it is imported."""
    environ = os.environ
    given = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE")
    if given:
        return Path(os.path.expandvars(given)).expanduser()
    home = environ.get("HF_HOME") or Path(environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(os.path.expandvars(home)).expanduser() / "hub"


def repository(name: str) -> Path:
    """The folder of a model in the cache, there or not."""
    return cache_folder() / f"models--{name.replace('/', '--')}"


def snapshot(name: str, commit: str) -> Path:
    """The folder of one commit of it, there or not."""
    return repository(name) / "snapshots" / commit


def pinned(name: str) -> str:
    """The commit that was last fetched on purpose, "" where none was."""
    return _commit_in(repository(name) / "mmdemo" / "pin")


def meant(name: str, revision: str) -> str:
    """The commit that a revision means on this machine, "" where nobody has asked a hub for it."""
    if COMMIT.fullmatch(revision):
        return revision
    return _commit_in(repository(name) / "refs" / revision) if plain(revision) else ""


def plain(revision: str) -> bool:
    """Whether a revision may name a file below refs/."""
    return bool(REVISION.fullmatch(revision)) and ".." not in revision.split("/")


def revision_of(folder: Path) -> str:
    """The commit of a folder in the hub's cache (its name is the commit), "" of any other."""
    return folder.name if COMMIT.fullmatch(folder.name) else ""


def _commit_in(file: Path) -> str:
    try:
        found = read_text(file).strip()
    except Unreadable:
        return ""
    return found if COMMIT.fullmatch(found) else ""


# ---------------------------------------------------------------- whether it is whole


def marked(name: str, commit: str) -> tuple[HubFile, ...]:
    """What we fetched of a commit and found to be right; () where we did not, or where a file is gone since."""
    try:
        rows = read_object(repository(name) / "mmdemo" / f"{commit}.json")["files"]
        files = tuple(HubFile(**row) for row in rows)
        folder = snapshot(name, commit)
        whole = all((folder / file.name).stat().st_size == file.size for file in files)
    except (Unreadable, OSError, ValueError, KeyError, TypeError):
        return ()
    return files if whole else ()


def mark(name: str, commit: str, files: Sequence[HubFile], *, licence: str, revision: str) -> None:
    """Write down what was fetched and found to be right, and that this commit is meant from now on."""
    folder = repository(name) / "mmdemo"
    rows = [{"name": file.name, "size": file.size, "digest": file.digest} for file in files]
    _write(folder / f"{commit}.json", json_text({"licence": licence, "files": rows}, indent=1) + "\n")
    _write(folder / "pin", commit)
    if plain(revision) and not COMMIT.fullmatch(revision):
        _write(repository(name) / "refs" / revision, commit)


def licence_of(name: str, commit: str) -> str:
    """The licence as the hub named it when a commit was fetched."""
    return str(object_or_empty(repository(name) / "mmdemo" / f"{commit}.json").get("licence", ""))


def is_whole(folder: Path) -> bool:
    """Whether somebody else has fetched a model to its end: it has a configuration, and weights that are all there.

    Every safetensors file must be as long as its header says (https://github.com/huggingface/safetensors#format).
    """
    if not any((folder / name).is_file() for name in ("config.json", OPEN_CLIP_CONFIG)):
        return False
    weights = [path for path in folder.iterdir() if path.name.endswith(".safetensors")]
    for index in folder.glob("*.safetensors.index.json"):
        if (folder / index.name.removesuffix(".index.json")).is_file():
            continue  # one file with everything is there as well
        try:
            weights += [folder / name for name in shards(index, [path.name for path in weights], name="")]
        except MmdemoError:
            return False
    return bool(weights) and all(_as_long_as_it_says(path) for path in weights)


def _as_long_as_it_says(file: Path) -> bool:
    try:
        tensors, start = read_header(file)
        return file.stat().st_size == start + max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
    except (Unreadable, OSError):
        return False


def is_right(file: Path, wanted: HubFile, on_chunk: Callable[[int], None] = lambda read: None) -> bool:
    """Whether a file has the contents that the hub says.

    Args:
        on_chunk: Told how many bytes were read so far.
    """
    if file.stat().st_size != wanted.size:
        return False
    digest = hashlib.sha256() if len(wanted.digest) == 64 else hashlib.sha1(usedforsecurity=False)
    if len(wanted.digest) == 40:  # https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
        digest.update(f"blob {wanted.size}\0".encode())
    read = 0
    with file.open("rb") as opened:
        while chunk := opened.read(CHUNK):
            digest.update(chunk)
            read += len(chunk)
            on_chunk(read)
    return digest.hexdigest() == wanted.digest


# ---------------------------------------------------------------- putting it there


def blob(name: str, file: HubFile) -> Path:
    """Where the contents of a file lie."""
    return repository(name) / "blobs" / file.digest


def part(name: str, file: HubFile) -> Path:
    """Where they lie as long as they are not whole."""
    return blob(name, file).with_name(f"{file.digest}.part")


def here(name: str, commit: str, file: HubFile) -> int:
    """Bytes of a file that are on disk, those of a part included."""
    whole = [snapshot(name, commit) / file.name, *([blob(name, file)] if file.digest else [])]
    if any(one.is_file() and one.stat().st_size == file.size for one in whole):
        return file.size
    begun = part(name, file)
    have = begun.stat().st_size if file.digest and begun.is_file() else 0
    return have if have <= file.size else 0


def place(name: str, commit: str, file: HubFile) -> None:
    """Put the contents of a file, which lie in its blob, into the folder of a commit: as a link where that works."""
    there, contents = snapshot(name, commit) / file.name, blob(name, file)
    there.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        there.unlink()
    try:
        there.symlink_to(os.path.relpath(contents, there.parent))
    except OSError:  # Windows, without the right to make links; huggingface_hub does the same there
        shutil.copyfile(contents, there.with_name(f"{there.name}.part"))
        there.with_name(f"{there.name}.part").replace(there)
        contents.unlink()


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f"{file.name}.{os.getpid()}.part")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(file)
