"""The models in memory: each loaded once, by whoever asks first; the longest unused goes; what changed is swapped."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from mmdemo.core.errors import MmdemoError
from mmdemo.core.memory import trim
from mmdemo.core.turns import COMPUTE
from mmdemo.core.types import Model, Request, Result
from mmdemo.serving.batching import Batcher
from mmdemo.serving.length import takes_long
from mmdemo.serving.memory import resident_bytes
from mmdemo.serving.versions import is_gone, version_of

_log = logging.getLogger(__name__)

Key = tuple[str, str]
"""Task, and what the model was asked for by."""

ENDING_SECONDS = 10.0
"""Seconds that closing waits for a model which is being loaded in the background."""


class Loader(Protocol):
    """What :func:`mmdemo.models.load` is."""

    def __call__(
        self, task: str, model: str | None = None, *, device: str = "auto", allow_download: bool = False
    ) -> Model: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """A model that serves now.

    Attributes:
        model: What it was asked for by.
        before, after: Bytes that the process held before it was loaded and after.
        seconds: How long that took; 0 where it was in memory already.
        evicted: What left memory for it: (task, model) each; itself where it was trained anew.
    """

    model: str
    before: int
    after: int
    seconds: float
    evicted: tuple[Key, ...]


class Served:
    """A loaded model, its batcher, and how many are using it.

    ``version`` changes when the checkpoint on disk does; ``held`` is address → bytes of its tensors. ``in_pieces`` says
    whether the model lets others pass while it works, so that all such models can share
    :data:`~mmdemo.core.turns.COMPUTE`; any other has a lock of its own, and shares the machine as threads do.
    """

    def __init__(self, model: Model, key: Key, version: str) -> None:
        self.model = model
        self.version = version
        self.held = model.held()
        self.users = 0
        self.retired = False
        self.in_pieces: bool = getattr(model, "in_pieces", False)
        self._lock = threading.Lock()
        self.batcher: Batcher[Request, Result] = Batcher(model.predict, name=f"{key[0]}:{key[1]}", turn=self.turn)

    def turn(self) -> AbstractContextManager[object]:
        """What a job holds while it computes; entered anew for each step of a stream, it is the same job's."""
        return COMPUTE.job() if self.in_pieces else self._lock

    def answer(self, request: Request) -> Result:
        """The answer to one request: together with those of others, or beside them where it takes long."""
        if self.in_pieces and takes_long(request):
            with self.turn():
                return self.model.predict([request])[0]
        return self.batcher.submit(request).result()

    def dispose(self) -> None:
        self.batcher.close()
        with self._lock:
            self.model.release()
        trim()


class ModelPool:
    """Loads models when they are first asked for and keeps the ones used last. Thread-safe.

    A model whose checkpoint is written anew goes on serving until the new one has been loaded and has reproduced its
    probe; one that is refused is remembered by its version, and the old one stays.

    Args:
        loader: What :func:`mmdemo.models.load` is.
        device: "auto", "cpu", "cuda" or "mps".
        allow_download: Whether the loader may fetch a hub id.
        max_models: Loaded at once, 1 or more.
        max_bytes: Of the tensors of all loaded models, what several share counted once; None for no limit. The model
            that was asked for last stays even where it alone takes more.
    """

    def __init__(
        self, loader: Loader, *, device: str, allow_download: bool, max_models: int, max_bytes: int | None = None
    ) -> None:
        if max_models < 1:
            raise ValueError(f"max_models must be at least 1, got {max_models}")
        if max_bytes is not None and max_bytes < 1:
            raise ValueError(f"max_bytes must be at least 1, got {max_bytes}")
        self._loader = loader
        self._device = device
        self._allow_download = allow_download
        self._max_models = max_models
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._served: OrderedDict[Key, Served] = OrderedDict()
        self._loading: dict[Key, Future[Swap]] = {}
        self._refused: dict[Key, tuple[str, str]] = {}  # version on disk, why it does not serve
        self._swapped: dict[Key, Swap] = {}
        self._behind: set[threading.Thread] = set()
        self._names: dict[Key, str] = {}  # (task, id on the card) -> what it was asked for by
        self._closed = False
        self._changes = 0

    # ------------------------------------------------------------ what there is

    @property
    def loaded(self) -> tuple[Key, ...]:
        """(task, model) of what is in memory, longest unused first."""
        with self._lock:
            return tuple(self._served)

    @property
    def held(self) -> int:
        """Bytes of all tensors in memory, what models share counted once."""
        with self._lock:
            return self._held()

    @property
    def changes(self) -> int:
        """How often a model was loaded, refused or let go; what was read off the pool is true until this changes."""
        with self._lock:
            return self._changes

    def asked_by(self, task: str, card_id: str) -> str:
        """The name by which the model with this card was asked for: for a folder given by path, the path."""
        with self._lock:
            return self._names.get((task, card_id), card_id)

    def trouble(self, task: str, wanted: str) -> str:
        """Why the version on disk does not serve, "" where it does or was not tried."""
        with self._lock:
            version, why = self._refused.get((task, wanted), ("", ""))
        return why if version == version_of(wanted) else ""

    def swapped(self, task: str, wanted: str) -> Swap | None:
        """How the version that serves now took the place of an earlier one, None where it did not."""
        with self._lock:
            return self._swapped.get((task, wanted))

    # ------------------------------------------------------------ using

    @contextmanager
    def use(self, task: str, wanted: str) -> Iterator[Served]:
        """The loaded model, which stays in memory until the block ends."""
        served = self._acquire((task, wanted))
        try:
            yield served
        finally:
            with self._lock:
                served.users -= 1
                gone = served.retired and served.users == 0
            if gone:
                served.dispose()

    def prepare(self, task: str, wanted: str) -> Swap:
        """Have the version on disk in memory; returns when it serves.

        Raises:
            MmdemoError: It does not load or does not reproduce its probe. What served before goes on.
        """
        key = (task, wanted)
        self._drop_if_gone(key)
        while True:
            version = version_of(wanted)
            with self._lock:
                self._refuse_when_closed()
                served = self._served.get(key)
                if served is not None and served.version == version:
                    self._served.move_to_end(key)
                    held = resident_bytes()
                    return Swap(model=wanted, before=held, after=held, seconds=0.0, evicted=())
                loading, mine = self._begin(key)
            if mine:
                self._load(key, version, loading)
                return loading.result()
            with suppress(MmdemoError):  # what somebody else waits for may be an older version
                done = loading.result()
                with self._lock:
                    served = self._served.get(key)
                if served is not None and served.version == version:
                    return done

    def renew(self, task: str, wanted: str) -> None:
        """Where a loaded model's checkpoint was written anew, load it in the background; returns at once."""
        version = version_of(wanted)
        with self._lock:
            served = self._served.get((task, wanted))
            if served is not None and not self._closed:
                self._load_behind((task, wanted), served, version)

    def unload(self, task: str, wanted: str) -> None:
        """Give a model's memory back as soon as nobody uses it; nothing happens when it is not loaded."""
        with self._lock:
            served = self._served.pop((task, wanted), None)
            self._changes += served is not None
            idle = served is not None and self._retire(served)
        if served is not None and idle:
            served.dispose()

    def close(self) -> None:
        """Release all models; those that are answering go when they are done. May be called twice."""
        with self._lock:
            self._closed = True
            idle = [served for served in self._served.values() if self._retire(served)]
            self._served.clear()
            behind = list(self._behind)
        for served in idle:
            served.dispose()
        for thread in behind:
            thread.join(ENDING_SECONDS)

    # ------------------------------------------------------------ loading

    def _acquire(self, key: Key) -> Served:
        self._drop_if_gone(key)
        while True:
            version = version_of(key[1])
            with self._lock:
                self._refuse_when_closed()
                served = self._served.get(key)
                if served is not None:
                    self._load_behind(key, served, version)
                    self._served.move_to_end(key)
                    served.users += 1
                    return served
                loading, mine = self._begin(key)
            if mine:
                self._load(key, version, loading)
            loading.result()  # raises what the loader raised, for everyone who waited for it

    def _drop_if_gone(self, key: Key) -> None:
        """A model whose files were deleted is let go when it is next asked for.

        Raises:
            MmdemoError: It was.
        """
        with self._lock:
            served = self._served.get(key)
        if served is None or not served.version or not is_gone(key[1]):
            return
        with self._lock:
            mine = self._served.get(key) is served
            if mine:
                del self._served[key]
                self._changes += 1
            idle = mine and self._retire(served)
        if idle:
            served.dispose()
        raise MmdemoError(f"{key[1]} is gone", "its folder was deleted or renamed", "Choose another model")

    def _begin(self, key: Key) -> tuple[Future[Swap], bool]:
        """The load under way, and whether it is the caller's to do; with the lock held."""
        loading = self._loading.get(key)
        if loading is not None:
            return loading, False
        loading = self._loading[key] = Future()
        return loading, True

    def _load_behind(self, key: Key, served: Served, version: str) -> None:
        """Load a version that is neither serving, nor on its way, nor known to be refused; with the lock held."""
        known = served.version == version or self._refused.get(key, ("", ""))[0] == version
        if known or not version or key in self._loading:
            return
        loading, _ = self._begin(key)
        thread = threading.Thread(
            target=self._load, args=(key, version, loading), name=f"load {key[0]}:{key[1]}", daemon=True
        )
        self._behind = {other for other in self._behind if other.is_alive()} | {thread}
        thread.start()

    def _load(self, key: Key, version: str, loading: Future[Swap]) -> None:
        """Load outside the lock, so that other models, and the old version of this one, go on answering."""
        task, wanted = key
        started, before = time.perf_counter(), resident_bytes()
        try:
            with translated(wanted, "cannot be loaded"):
                served = Served(
                    self._loader(task, wanted, device=self._device, allow_download=self._allow_download), key, version
                )
        except BaseException as error:
            trim()  # what was read before it was refused
            with self._lock:
                del self._loading[key]
                if key in self._served:
                    self._refused[key] = (version, str(error))
                    self._changes += 1
            loading.set_exception(error)
            return
        with self._lock:
            del self._loading[key]
            self._refused.pop(key, None)
            self._names[task, served.model.card.id] = wanted
            left = self._put(key, served)
            idle = [other for _, other in left if self._retire(other)]
            again = any(name == key for name, _ in left) and not self._closed
        for other in idle:
            other.dispose()
        trim()
        done = Swap(
            model=wanted,
            before=before,
            after=resident_bytes(),
            seconds=time.perf_counter() - started,
            evicted=tuple(name for name, _ in left),
        )
        with self._lock:
            if again:
                self._swapped[key] = done
            else:
                self._swapped.pop(key, None)
            self._changes += 1
        loading.set_result(done)

    def _put(self, key: Key, served: Served) -> list[tuple[Key, Served]]:
        """Let a loaded model serve; returns what has to go for it. With the lock held."""
        if self._closed:
            return [(key, served)]
        old = self._served.pop(key, None)
        left = [] if old is None else [(key, old)]
        self._served[key] = served
        while len(self._served) > 1 and (
            len(self._served) > self._max_models or (self._max_bytes is not None and self._held() > self._max_bytes)
        ):
            left.append(self._served.popitem(last=False))
        return left

    def _held(self) -> int:
        tensors: dict[int, int] = {}
        for served in self._served.values():
            tensors.update(served.held)
        return sum(tensors.values())

    def _retire(self, served: Served) -> bool:
        """Mark for release, with the lock held; True when the caller is to dispose of it."""
        served.retired = True
        return served.users == 0

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise MmdemoError("No answer can be given", "the program is shutting down")


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
