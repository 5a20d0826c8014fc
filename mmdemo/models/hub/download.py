"""Bring models here from a hub: what it would take, then the files themselves, resumed, checked and pinned."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import object_or_empty
from mmdemo.core.types import Json
from mmdemo.models.families.detect import OPEN_CLIP_CONFIG, Layout, infer_family
from mmdemo.models.hub import HUB_ID
from mmdemo.models.hub import client as http
from mmdemo.models.hub import local_files as files_
from mmdemo.models.hub import selection as choice
from mmdemo.models.hub.catalog import find
from mmdemo.models.hub.client import Cancelled, DownloadStopped
from mmdemo.models.hub.local_files import COMMIT, DIGEST, HubFile
from mmdemo.models.hub.selection import INDEX
from mmdemo.models.hub.transfer import Downloader, DownloadProgress, full, writing

__all__ = ["DownloadPlan", "DownloadProgress", "DownloadStopped", "HubFile", "fetch", "on_disk", "plan"]

ROOM = 64 << 20
"""Bytes that stay free on the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadPlan:
    """What fetching a model would take.

    Attributes:
        id: On the hub.
        asked: The revision that was asked for: a commit, a branch, a tag.
        commit: What that means.
        files: What would be fetched, small ones first.
        layout: What kind of model it is; None for a checkpoint of ours, or one that serves others.
        missing: Bytes of them that are not on disk yet.
        free: Bytes that the disk has.
        gated: Whether its makers give it only to those who have accepted their terms.
    """

    id: str
    asked: str
    commit: str
    files: tuple[HubFile, ...]
    layout: Layout | None
    missing: int
    free: int
    licence: str = ""
    gated: bool = False

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def folder(self) -> Path:
        """Where they lie, or will."""
        return files_.snapshot(self.id, self.commit)


def _never() -> bool:
    return False


def on_disk(name: str, revision: str | None = None) -> Path | None:
    """The folder of a model that is on this machine as a whole; nobody is asked.

    Args:
        name: Hub id, or alias of a listed model.
        revision: None is the one that was fetched last, else the listed one, else the main branch.
    """
    entry = find(name)
    name = entry.id if entry else name
    if not HUB_ID.fullmatch(name):
        return None
    asked = [revision] if revision else [files_.pinned(name), entry.revision if entry else "", "main"]
    for commit in (files_.meant(name, one) for one in asked if one):
        folder = files_.snapshot(name, commit)
        if commit and folder.is_dir() and (files_.marked(name, commit) or files_.is_whole(folder)):
            return folder
    return None


def plan(
    name: str, revision: str | None = None, *, anything: bool = False, cancelled: Cancelled = _never
) -> DownloadPlan:
    """What fetching a model would take. Its small configuration files are fetched for this, and nothing else.

    A commit that was fetched before is looked up on disk alone; so is anything that is there where no hub answers.

    Args:
        name: Hub id, or alias of a listed model.
        revision: Commit, branch or tag; None is the commit that was fetched last, else the listed one, else "main".
        anything: Also kinds of model that serve no tab: what others are trained from.

    Raises:
        MmdemoError: There is no such model, it is of a kind that is not supported, its weights are pickles alone, or
            the hub cannot be asked.
    """
    entry = find(name)
    name = entry.id if entry else name.strip()
    if not HUB_ID.fullmatch(name):
        raise MmdemoError(f"{name!r} is no id of a hub", "", "Write it as owner/name")
    asked = revision or files_.pinned(name) or (entry.revision if entry else "") or "main"
    if not files_.plain(asked):
        raise MmdemoError(f"{name} cannot be fetched", f"{asked!r} is no revision")
    if COMMIT.fullmatch(asked) and (known := files_.marked(name, asked)):
        return _known(name, asked, asked, known)
    try:
        found = http.info(name, asked, cancelled=cancelled)
    except DownloadStopped:
        raise
    except MmdemoError:
        if (folder := on_disk(name, revision)) is None:
            raise
        there = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        unsigned = [
            HubFile(name=path.relative_to(folder).as_posix(), size=path.stat().st_size, digest="") for path in there
        ]
        return _known(name, asked, folder.name, tuple(unsigned))
    commit = str(found.sha or "")
    if not COMMIT.fullmatch(commit):
        raise MmdemoError(f"{name} cannot be fetched", "the hub names no commit for it", "Check HF_ENDPOINT")
    there_ = {one.rfilename: one for one in found.siblings or () if choice.safe(one.rfilename)}
    bringing = Downloader(name, commit, cancelled)

    def signed(file: str) -> HubFile:
        one = there_[file]
        size, digest = (one.lfs.size, one.lfs.sha256) if one.lfs else (one.size, one.blob_id)
        if not isinstance(size, int) or size < 0 or not DIGEST.fullmatch(str(digest)):
            raise MmdemoError(f"{name} cannot be fetched", f"the hub gives no size and checksum of {file}")
        return HubFile(name=file, size=size, digest=str(digest))

    def read(file: str) -> Path:
        return bringing.alone(signed(file))

    layout, wanted = _wanted(name, list(there_), read, anything=anything or bool(entry and entry.role))
    return _planned(
        DownloadPlan(
            id=name,
            asked=asked,
            commit=commit,
            files=tuple(sorted((signed(file) for file in wanted), key=lambda file: (file.size, file.name))),
            layout=layout,
            missing=0,
            free=0,
            licence=_licence(found.card_data) or (entry.licence if entry else ""),
            gated=bool(found.gated),
        )
    )


def fetch(
    plan: DownloadPlan,
    on_progress: Callable[[DownloadProgress], None] = lambda progress: None,
    cancelled: Cancelled = _never,
) -> Path:
    """Fetch what is missing, compare all checksums, and pin the commit.

    One download of a model runs at a time, in all processes; others wait for it. Where it is stopped or breaks off,
    what came stays, and the next one goes on from there.

    Returns:
        The folder with the files.

    Raises:
        DownloadStopped: ``cancelled`` said so.
        MmdemoError: Something did not arrive, arrived damaged (it is removed), or does not fit on the disk.
    """
    if files_.marked(plan.id, plan.commit) == plan.files and files_.pinned(plan.id) == plan.commit:
        return plan.folder
    bringing = Downloader(plan.id, plan.commit, cancelled, on_progress)
    with writing(plan.id), bringing.turn():
        now = _planned(plan)
        if now.missing and now.missing + ROOM > now.free:
            raise full(plan.id, now.missing, now.free)
        if files_.marked(plan.id, plan.commit) != plan.files:  # else somebody else was faster, or it was unpinned only
            bringing.expect(plan.files)
            for file in plan.files:
                bringing.bring(file)
        if all(file.digest for file in plan.files):
            files_.mark(plan.id, plan.commit, plan.files, licence=plan.licence, revision=plan.asked)
    return plan.folder


def _wanted(
    name: str, names: list[str], read: Callable[[str], Path], *, anything: bool
) -> tuple[Layout | None, tuple[str, ...]]:
    """What kind of model it is, and the names of the files that its loader needs."""
    transformers = _told(read("config.json"), name) if "config.json" in names else {}
    if "schema" in transformers:  # a checkpoint of ours, with its parts
        return None, choice.everything(names, name=name)
    try:
        if not transformers and OPEN_CLIP_CONFIG not in names:
            infer_family({}, {}, name=name)
        library, weights, texts = choice.choose(names, name=name)
        open_clip = _told(read(OPEN_CLIP_CONFIG), name) if library == "open_clip" else {}
        layout = infer_family(open_clip, transformers, name=name)
    except DownloadStopped:
        raise
    except MmdemoError:
        if not anything:
            raise
        return None, choice.everything(names, name=name)
    if INDEX in weights:
        weights += choice.shards(read(INDEX), names, name=name)
    return layout, (*weights, *texts)


def _licence(card: Any) -> str:
    """As the card at the top of a README names it: https://huggingface.co/docs/hub/repositories-licenses."""
    told = getattr(card, "license", None)
    if told == "other":
        told = getattr(card, "license_name", None) or told
    return ", ".join(map(str, told)) if isinstance(told, list) else str(told or "")


def _known(name: str, asked: str, commit: str, there: tuple[HubFile, ...]) -> DownloadPlan:
    """The plan for what is on disk as a whole."""
    folder = files_.snapshot(name, commit)
    transformers = _json(folder / "config.json")
    layout = None
    if "schema" not in transformers:
        with suppress(MmdemoError):
            layout = infer_family(_json(folder / OPEN_CLIP_CONFIG), transformers, name=name)
    entry = find(name)
    licence = files_.licence_of(name, commit) or (entry.licence if entry else "")
    plan_ = DownloadPlan(
        id=name, asked=asked, commit=commit, files=there, layout=layout, missing=0, free=0, licence=licence
    )
    return _planned(plan_)


def _planned(plan_: DownloadPlan) -> DownloadPlan:
    """With what is missing on disk now, and what the disk has."""
    missing = sum(file.size - files_.here(plan_.id, plan_.commit, file) for file in plan_.files)
    return replace(plan_, missing=missing, free=_free())


def _free() -> int:
    """Bytes free on the disk of the cache."""
    place = files_.cache_folder().absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free


def _told(file: Path, name: str) -> Json:
    found = _json(file)
    if not found:
        raise MmdemoError(f"{name} cannot be loaded", f"its {file.name} is damaged")
    return found


def _json(file: Path) -> Json:
    return object_or_empty(file)
