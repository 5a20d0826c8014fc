"""Public models on their way here: fetched in the background, watched and stopped from any page."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, replace
from typing import Literal

from mmdemo.core.errors import MmdemoError
from mmdemo.models.families.factory import register_installed
from mmdemo.models.hub import download
from mmdemo.models.hub.download import DownloadPlan, DownloadProgress, DownloadStopped

log = logging.getLogger("mmdemo")

Status = Literal["running", "done", "stopped", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """How far one has come.

    Attributes:
        done, total: Bytes, those that were on disk before included.
        seconds: Since it was started.
        error: One sentence where it failed.
    """

    id: str
    status: Status
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    error: str = ""


class Downloads:
    """Fetches models, each in a thread of its own. Thread-safe.

    What was fetched of a model that was stopped stays, and the next start goes on from there. All end with the program.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, Download] = {}
        self._stop: dict[str, threading.Event] = {}

    def start(self, plan: DownloadPlan) -> None:
        """Begin, or go on; nothing happens where it is under way already."""
        with self._lock:
            now = self._found.get(plan.id)
            if now is not None and now.status == "running":
                return
            self._found[plan.id] = Download(id=plan.id, status="running", total=plan.total)
            stop = self._stop[plan.id] = threading.Event()
        threading.Thread(target=self._run, args=(plan, stop), name=f"download {plan.id}", daemon=True).start()

    def stop(self, id_: str) -> None:
        """Ask one to end; what it has fetched stays."""
        with self._lock:
            event = self._stop.get(id_)
        if event is not None:
            event.set()

    def look(self, id_: str) -> Download | None:
        """How far it is; None where it was never started."""
        with self._lock:
            return self._found.get(id_)

    def _run(self, plan: DownloadPlan, stop: threading.Event) -> None:
        started = time.monotonic()

        def tell(progress: DownloadProgress) -> None:
            self._put(plan.id, done=progress.done, total=progress.total, seconds=time.monotonic() - started)

        try:
            folder = download.fetch(plan, on_progress=tell, cancelled=stop.is_set)
            register_installed(folder, name=plan.id)  # also where nobody is watching any more
        except DownloadStopped as error:
            self._put(plan.id, status="stopped", error=str(error))
        except MmdemoError as error:
            self._put(plan.id, status="failed", error=str(error))
        except Exception as error:  # whatever it is, the page must not wait for ever
            log.error("a download failed unexpectedly", exc_info=error)
            self._put(plan.id, status="failed", error=f"{plan.id} cannot be fetched: {type(error).__name__}.")
        else:
            self._put(plan.id, status="done", done=plan.total, seconds=time.monotonic() - started)

    def _put(self, id_: str, **changes: object) -> None:
        with self._lock:
            self._found[id_] = replace(self._found[id_], **changes)  # type: ignore[arg-type]
