"""A checkpoint whose weights a test has changed, as if it had been written like that: with the right checksums."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mmdemo.models import checkpoint, weights


def seal(folder: Path) -> None:
    """Note the checksums of the weights as they are now."""
    config = checkpoint.read_config(folder)
    noted = replace(config, weights=weights.checksums(folder / checkpoint.WEIGHTS))
    (folder / "config.json").write_text(noted.to_json(), encoding="utf-8")
