"""What the C library does with freed memory: keep it for the next tensor, or hand it back to the system."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable, Mapping

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -2, -3, -8
"""Names and numbers of glibc's mallopt(3)."""


def keep_freed_memory(*, most: int = 1 << 30) -> bool:
    """Ask glibc to serve blocks of up to ``most`` bytes from its heap and to keep them when they are freed.

    By default every tensor above a few megabytes is mapped anew and unmapped again; on virtual machines, where a page
    fault is dear, that has taken more time than the arithmetic. Other C libraries are left alone.

    Returns:
        Whether it was done.
    """
    return _set({M_MMAP_THRESHOLD: most, M_TRIM_THRESHOLD: most, M_TOP_PAD: 64 << 20})


def share_heaps(count: int = 2) -> bool:
    """Ask glibc to serve all threads from ``count`` heaps; call it before threads are started.

    By default there are up to eight for each core, and what one thread frees is of no use to the threads of other
    heaps: a program with forty threads that work by turns holds more and more.

    Returns:
        Whether it was done.
    """
    return _set({M_ARENA_MAX: count})


def _set(values: Mapping[int, int]) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    done = [bool(mallopt(name, value)) for name, value in values.items()]
    return all(done)


def trim() -> bool:
    """Hand memory that was freed back to the system, where the C library can.

    glibc hands back only what lies at the end of its heap. What was needed to load a model (the file, tensors in fp16)
    and the model that it replaced lie below blocks that live on: without asking, the process goes on holding them, 60
    to 200 MB with the shipped checkpoints, and the memory shown after a swap would be that of both models.

    Returns:
        Whether the library was asked; False for others than glibc, which need no asking.
    """
    asked = _malloc_trim()
    if asked is None:
        return False
    asked(0)
    return True


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        found: Callable[[int], int] = ctypes.CDLL("libc.so.6").malloc_trim
    except (OSError, AttributeError):  # musl has none
        return None
    return found
