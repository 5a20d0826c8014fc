"""Let the C library keep freed memory, so that the next tensor does not fault it in page by page again."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""Names and numbers of glibc's mallopt(3)."""


def keep_freed_memory(*, most: int = 1 << 30) -> bool:
    """Ask glibc to serve blocks of up to ``most`` bytes from its heap and to keep them when they are freed.

    By default every tensor above a few megabytes is mapped anew and unmapped again; on virtual machines, where a page
    fault is dear, that has taken more time than the arithmetic. Other C libraries are left alone.

    Returns:
        Whether it was done.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    values = ((M_MMAP_THRESHOLD, most), (M_TRIM_THRESHOLD, most), (M_TOP_PAD, 64 << 20))
    done = [bool(mallopt(name, value)) for name, value in values]
    return all(done)
