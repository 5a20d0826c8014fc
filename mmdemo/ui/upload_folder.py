"""The folder that uploads go to: one of this process's own, readable by its user only, removed when it ends.

Nothing of gradio is imported here: gradio reads ``GRADIO_TEMP_DIR`` in several modules while they are imported.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

VARIABLE = "GRADIO_TEMP_DIR"
"""Where gradio looks for the folder."""


def make_upload_folder() -> Callable[[], None]:
    """Make a new folder and have gradio keep uploads and downloads there; call it before gradio is imported.

    The folder lies below ``GRADIO_TEMP_DIR`` where that is set, else below the machine's folder for temporary files.

    Returns:
        What removes the folder. It also runs when the program ends in any ordinary way.
    """
    before = os.environ.get(VARIABLE)
    if before:
        Path(before).mkdir(parents=True, exist_ok=True)
    made = os.path.realpath(tempfile.mkdtemp(prefix="mmdemo-", dir=before or None))  # mode 0700
    os.environ[VARIABLE] = made

    def remove() -> None:
        atexit.unregister(remove)
        shutil.rmtree(made, ignore_errors=True)
        if os.environ.get(VARIABLE) != made:
            return
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before

    atexit.register(remove)
    return remove
