"""Note the checksums of weights in the config.json of checkpoints that have none, once they are known to be right.

python scripts/seal.py checkpoints/*-base
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from mmdemo.core.reading import read_object
from mmdemo.core.writing import json_text
from mmdemo.models.folder import WEIGHTS, read_config
from mmdemo.models.weights import checksums


def seal(folder: Path) -> None:
    """Add them behind what the file holds, which stays as it is."""
    read_config(folder)  # refuses what is no checkpoint
    known = read_object(folder / "config.json")
    found = dataclasses.asdict(checksums(folder / WEIGHTS))
    (folder / "config.json").write_text(json_text({**known, "weights": found}, indent=1) + "\n", encoding="utf-8")
    print(f"{folder.name}: {found['sha256']}")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        seal(Path(name))
