"""Runs app.py and writes down at its end which modules were imported; used by test_public."""

from __future__ import annotations

import atexit
import json
import os
import runpy
import sys
from pathlib import Path


def _write_modules() -> None:
    names = sorted(name for name in sys.modules if name.startswith("mmdemo"))
    Path(os.environ["MMDEMO_TEST_MODULES"]).write_text(json.dumps(names), encoding="utf-8")


if __name__ == "__main__":
    atexit.register(_write_modules)
    root = Path(__file__).resolve().parents[2]
    sys.path.insert(0, str(root))
    sys.argv[0] = str(root / "app.py")
    runpy.run_path(sys.argv[0], run_name="__main__")
