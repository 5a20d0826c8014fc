"""One temporary folder for the whole process, which goes when it ends, and in which nothing half-received stays."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_UPLOADS = "GRADIO_TEMP_DIR"

LEFTOVER_SECONDS = 600
"""A received part that nobody has written to for so long belongs to an upload that has failed."""


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder for uploads and everything else that is temporary; gone at the end, with all that lies in it.

    It is made where ``GRADIO_TEMP_DIR`` points, or among the system's temporary files. Processes that are started
    meanwhile, trainings among them, keep the system's.
    """
    above = os.environ.get(_UPLOADS)
    if above:
        Path(above).mkdir(parents=True, exist_ok=True)
    before = tempfile.tempdir
    folder = Path(tempfile.mkdtemp(prefix="mmdemo-", dir=above or None)).resolve()
    os.environ[_UPLOADS] = str(folder / "gradio")
    tempfile.tempdir = str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = before
        if above is None:
            os.environ.pop(_UPLOADS, None)
        else:
            os.environ[_UPLOADS] = above
        clear(folder)


def clear(folder: Path) -> None:
    """Delete a folder, also while a thread that cannot be stopped still writes into it."""
    for _ in range(3):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)


def drop_leftovers(uploads: Path, *, older_than: float = LEFTOVER_SECONDS) -> int:
    """Delete parts of uploads that were never finished, which gradio forgets.

    Args:
        uploads: gradio's upload folder.
        older_than: Seconds since the last byte.

    Returns:
        How many.
    """
    dropped = 0
    with contextlib.suppress(FileNotFoundError):
        for path in uploads.iterdir():
            with contextlib.suppress(OSError):
                if path.name.startswith("tmp") and path.is_file() and time.time() - path.stat().st_mtime > older_than:
                    path.unlink()
                    dropped += 1
    with contextlib.suppress(FileNotFoundError):
        for path in uploads.iterdir():
            with contextlib.suppress(OSError):  # not empty: in use
                if path.is_dir() and time.time() - path.stat().st_mtime > older_than:
                    path.rmdir()
    return dropped
