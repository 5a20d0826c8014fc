"""The files of one commit on their way from a hub to the disk: one model at a time, resumed, compared, put in place."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from filelock import FileLock, Timeout

from mmdemo.core.errors import MmdemoError
from mmdemo.models.hub import client as http
from mmdemo.models.hub import local_files as files_
from mmdemo.models.hub.client import Cancelled
from mmdemo.models.hub.local_files import HubFile

TOLD_EVERY = 0.1
"""Seconds between two reports of progress."""

Stage = Literal["waiting", "fetching", "checking"]
"""What a download is doing: waiting for another one of the same model, fetching, or comparing checksums."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadProgress:
    """How far a download is.

    Attributes:
        file: The one that is at work.
        done, total: Bytes of all files together, those that were on disk before included.
    """

    stage: Stage
    file: str
    done: int
    total: int


@dataclass(slots=True)
class Downloader:
    """The files of one commit on their way here."""

    name: str
    commit: str
    cancelled: Cancelled
    on_progress: Callable[[DownloadProgress], None] = lambda progress: None
    total: int = 0
    here: dict[str, int] = field(default_factory=dict)
    told: float = -1.0

    def expect(self, files: Sequence[HubFile]) -> None:
        """Say what is to come, for the reports of progress."""
        self.total = sum(file.size for file in files)
        self.here = {file.name: files_.here(self.name, self.commit, file) for file in files}

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until no other process or thread fetches the same model."""
        folder = files_.cache_folder() / ".locks" / files_.repository(self.name).name
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "mmdemo.lock")
        while True:
            http.stop_if(self.cancelled, self.name)
            try:
                lock.acquire(timeout=http.STEP)
                break
            except Timeout:
                self._tell("waiting", "")
        try:
            yield
        finally:
            lock.release()

    def alone(self, file: HubFile) -> Path:
        """One small file, at once."""
        there = files_.snapshot(self.name, self.commit) / file.name
        if not (there.is_file() and there.stat().st_size == file.size):
            with writing(self.name), self.turn():
                self.bring(file)
        return there

    def bring(self, file: HubFile) -> None:
        """A file into its place: what is there already is compared, what is missing fetched."""
        there, contents = files_.snapshot(self.name, self.commit) / file.name, files_.blob(self.name, file)
        placed = there if there.is_file() else contents if contents.is_file() else None
        if placed is None or not self._right(placed, file):
            if placed is not None:  # damaged since, or cut short by another program
                for old in (there, contents):
                    old.unlink(missing_ok=True)
            part = self._download(file)
            if not self._right(part, file):
                part.unlink(missing_ok=True)
                raise MmdemoError(
                    f"{self.name} cannot be fetched",
                    f"{file.name} arrived damaged: its checksum is not the one that the hub names",
                    "Try again; the rest is kept",
                )
            part.replace(contents)
        if placed != there or not there.is_file():
            files_.place(self.name, self.commit, file)
        self.here[file.name] = file.size
        self._tell("fetching", file.name, now=True)

    def _right(self, path: Path, file: HubFile) -> bool:
        def look(read: int) -> None:
            http.stop_if(self.cancelled, self.name)
            self._tell("checking", file.name)

        return path.stat().st_size == file.size if not file.digest else files_.is_right(path, file, look)

    def _download(self, file: HubFile) -> Path:
        part = files_.part(self.name, file)
        part.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        url = f"{http.endpoint()}/{self.name}/resolve/{self.commit}/{quote(file.name)}"
        patience, furthest = http.RetryPolicy(self.name, self.cancelled), part.stat().st_size
        while (have := part.stat().st_size) != file.size:
            have = have if have < file.size else 0  # too long: of another download, or nonsense
            try:
                with http.stream(url, name=self.name, revision=self.commit, patience=patience, start=have) as answer:
                    goes_on = have and answer.status_code == 206
                    have = have if goes_on else 0  # 200: the whole file; 416: the next attempt begins anew
                    with part.open("ab" if goes_on else "wb") as out:
                        for chunk in answer.iter_bytes() if answer.status_code != 416 else ():
                            http.stop_if(self.cancelled, self.name)
                            out.write(chunk[: file.size - have])
                            have = min(file.size, have + len(chunk))
                            if have > furthest:
                                furthest = have
                                patience.moved()
                            self.here[file.name] = have
                            self._tell("fetching", file.name)
                            if have == file.size:
                                break
            except http.transport() as error:
                patience.again(http.unreachable(self.name, error))
                continue
            if have < file.size:
                why = f"{file.name} ends after {have} of {file.size} bytes"
                patience.again(MmdemoError(f"{self.name} cannot be fetched", why, "Try again later"))
        return part

    def _tell(self, stage: Stage, file: str, *, now: bool = False) -> None:
        if now or time.monotonic() - self.told >= TOLD_EVERY:
            self.told = time.monotonic()
            self.on_progress(DownloadProgress(stage=stage, file=file, done=sum(self.here.values()), total=self.total))


@contextmanager
def writing(name: str) -> Iterator[None]:
    """Troubles of the disk in one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise full(name, 0, 0) from None
        where = files_.cache_folder()
        raise MmdemoError(f"{name} cannot be stored in {where}", error.strerror or str(error)) from None


def full(name: str, missing: int, free: int) -> MmdemoError:
    """The sentence for a disk without room: bytes that are wanted and that are there, 0 where nobody has counted."""
    told = f"{missing / 1e9:.2f} GB are missing and {free / 1e9:.2f} GB are free" if missing else "the disk is full"
    return MmdemoError(
        f"{name} does not fit into {files_.cache_folder()}", told, "Make room, or set HF_HOME to a folder elsewhere"
    )
