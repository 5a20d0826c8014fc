"""A thread-safe least-recently-used cache with a limit on entries and on bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """Keeps what was used last.

    Args:
        max_entries: Number of values, 0 or more; 0 keeps nothing.
        max_bytes: Sum of ``size`` over the values; None for no limit.
        size: Bytes of one value; default 0 each, so that only entries count.
    """

    def __init__(
        self, *, max_entries: int, max_bytes: int | None = None, size: Callable[[V], int] | None = None
    ) -> None:
        if max_entries < 0 or (max_bytes is not None and max_bytes < 0):
            raise ValueError(f"limits must not be negative: {max_entries} entries, {max_bytes} bytes")
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._size = size
        self._lock = threading.Lock()
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: K) -> V | None:
        """The value, which is then the most recently used one; None when it is not there."""
        with self._lock:
            found = self._values.get(key)
            if found is None:
                return None
            self._values.move_to_end(key)
            return found[0]

    def put(self, key: K, value: V) -> None:
        """Keep a value and drop the oldest ones beyond the limits; a value over ``max_bytes`` is not kept."""
        size = self._size(value) if self._size else 0
        with self._lock:
            self._drop(key)
            if self._max_bytes is not None and size > self._max_bytes:
                return
            self._values[key] = (value, size)
            self._bytes += size
            while len(self._values) > self._max_entries or (
                self._max_bytes is not None and self._bytes > self._max_bytes
            ):
                self._drop(next(iter(self._values)))

    def clear(self) -> None:
        with self._lock:
            self._values.clear()
            self._bytes = 0

    def __len__(self) -> int:
        with self._lock:
            return len(self._values)

    @property
    def bytes(self) -> int:
        """Sum of the sizes that are kept."""
        with self._lock:
            return self._bytes

    def _drop(self, key: K) -> None:
        found = self._values.pop(key, None)
        if found is not None:
            self._bytes -= found[1]
