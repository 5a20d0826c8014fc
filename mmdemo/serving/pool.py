"""The models in memory: each loaded once, by whoever asks first; the longest unused goes; what changed is swapped."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import checkpoints_root
from mmdemo.core.types import Model, Request, Result
from mmdemo.serving.batching import Batcher

_log = logging.getLogger(__name__)


class Loader(Protocol):
    """What :func:`mmdemo.models.load` is."""

    def __call__(
        self, task: str, model: str | None = None, *, device: str = "auto", allow_download: bool = False
    ) -> Model: ...


class Served:
    """A loaded model, its batcher, its lock, and how many are using it.

    ``version`` changes when the checkpoint on disk does.
    """

    def __init__(self, model: Model, key: tuple[str, str], version: str) -> None:
        self.model = model
        self.version = version
        self.users = 0
        self.retired = False
        self.lock = threading.Lock()
        self.batcher: Batcher[Request, Result] = Batcher(self._predict, name=f"{key[0]}:{key[1]}")

    def _predict(self, requests: Sequence[Request]) -> list[Result]:
        with self.lock:
            return self.model.predict(requests)

    def dispose(self) -> None:
        self.batcher.close()
        with self.lock:
            self.model.release()


class ModelPool:
    """Loads models when they are first asked for and keeps the ones used last. Thread-safe.

    Args:
        loader: What :func:`mmdemo.models.load` is.
        device: "auto", "cpu", "cuda" or "mps".
        allow_download: Whether the loader may fetch a hub id.
        max_models: Loaded at once, 1 or more.
    """

    def __init__(self, loader: Loader, *, device: str, allow_download: bool, max_models: int) -> None:
        if max_models < 1:
            raise ValueError(f"max_models must be at least 1, got {max_models}")
        self._loader = loader
        self._device = device
        self._allow_download = allow_download
        self._max_models = max_models
        self._lock = threading.Lock()
        self._served: OrderedDict[tuple[str, str], Served] = OrderedDict()
        self._loading: dict[tuple[str, str], Future[Served]] = {}
        self._names: dict[tuple[str, str], str] = {}  # (task, id on the card) -> what it was asked for by
        self._closed = False

    @property
    def loaded(self) -> tuple[tuple[str, str], ...]:
        """(task, model) of what is in memory, longest unused first."""
        with self._lock:
            return tuple(self._served)

    def asked_by(self, task: str, card_id: str) -> str:
        """The name by which the model with this card was asked for: for a folder given by path, the path."""
        with self._lock:
            return self._names.get((task, card_id), card_id)

    def unload(self, task: str, wanted: str) -> None:
        """Give a model's memory back as soon as nobody uses it; nothing happens when it is not loaded."""
        with self._lock:
            served = self._served.pop((task, wanted), None)
            idle = served is not None and self._retire(served)
        if served is not None and idle:
            served.dispose()

    def close(self) -> None:
        """Release all models; those that are answering go when they are done. May be called twice."""
        with self._lock:
            self._closed = True
            idle = [served for served in self._served.values() if self._retire(served)]
            self._served.clear()
        for served in idle:
            served.dispose()

    @contextmanager
    def use(self, task: str, wanted: str) -> Iterator[Served]:
        """The loaded model, which stays in memory until the block ends."""
        served = self._acquire(task, wanted)
        try:
            yield served
        finally:
            with self._lock:
                served.users -= 1
                gone = served.retired and served.users == 0
            if gone:
                served.dispose()

    def _acquire(self, task: str, wanted: str) -> Served:
        key = (task, wanted)
        while True:
            version = _version(wanted)
            stale: Served | None = None
            with self._lock:
                if self._closed:
                    raise MmdemoError("No answer can be given", "the program is shutting down")
                served = self._served.get(key)
                if served is not None and served.version == version:
                    self._served.move_to_end(key)
                    served.users += 1
                    return served
                if served is not None:  # trained anew since: swap
                    del self._served[key]
                    stale = served if self._retire(served) else None
                loading = self._loading.get(key)
                mine = loading is None
                if loading is None:
                    loading = self._loading[key] = Future()
            if stale is not None:
                stale.dispose()
            if mine:
                self._load(key, version, loading)
            loading.result()  # raises what the loader raised, for everyone who waited for it

    def _load(self, key: tuple[str, str], version: str, loading: Future[Served]) -> None:
        """Load outside the engine's lock, so that other models go on answering."""
        task, wanted = key
        idle: list[Served] = []
        try:
            with translated(wanted, "cannot be loaded"):
                model = self._loader(task, wanted, device=self._device, allow_download=self._allow_download)
            served = Served(model, key, version)
        except BaseException as error:
            with self._lock:
                del self._loading[key]
            loading.set_exception(error)
            return
        with self._lock:
            del self._loading[key]
            if not self._closed:
                self._served[key] = served
            elif self._retire(served):
                idle.append(served)
            self._names[task, model.card.id] = wanted
            while len(self._served) > self._max_models:
                _, oldest = self._served.popitem(last=False)
                if self._retire(oldest):
                    idle.append(oldest)
        loading.set_result(served)
        for other in idle:
            other.dispose()

    def _retire(self, served: Served) -> bool:
        """Mark for release, with the engine's lock held; True when the caller is to dispose of it."""
        served.retired = True
        return served.users == 0


def _version(wanted: str) -> str:
    """Changes when a checkpoint is written anew: sizes and times of its files; "" for a hub id."""
    path = Path(wanted).expanduser()
    if not path.exists():
        path = checkpoints_root() / wanted
    files = [path] if path.is_file() else [path / name for name in ("config.json", "model.safetensors")]
    marks: list[str] = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        marks.append(f"{file.name}:{status.st_size}:{status.st_mtime_ns}")
    return " ".join(marks)


@contextmanager
def translated(model: str, what: str = "could not answer") -> Iterator[None]:
    """Whatever a network or a library raises becomes a sentence; the traceback goes to the log."""
    try:
        yield
    except (MmdemoError, GeneratorExit, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        _log.exception("model %s %s", model, what)
        lines = str(error).strip().splitlines()
        why = f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
        raise MmdemoError(f"The model {model} {what}", why.rstrip("."), "Try another input or another model") from error
