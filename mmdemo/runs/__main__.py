"""``python -m mmdemo.runs FOLDER``: watch over the run that lies there (see supervise)."""

from __future__ import annotations

import sys
from pathlib import Path

from mmdemo.runs.supervise import main

raise SystemExit(main(Path(sys.argv[1])))
