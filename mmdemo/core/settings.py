"""Where things lie: the few paths and switches that the environment can change."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout: the folder of app.py, configs/ and checkpoints/."""


def typed_path(name: str) -> Path:
    """What somebody typed, as a path; "~nobody" stays as it is."""
    try:
        return Path(name).expanduser()
    except RuntimeError:  # there is no such person on this machine
        return Path(name)


def lies_there(place: Path) -> bool:
    """Whether something lies there; not so under a name that the system refuses, for its length or its signs."""
    try:
        return place.exists()
    except (OSError, ValueError):
        return False


def data_root() -> Path:
    """Folder of the public data sets: ``MMDEMO_DATA``, default ``../shared/data`` beside the checkout."""
    return Path(os.environ.get("MMDEMO_DATA") or ROOT.parent / "shared" / "data").expanduser()


def checkpoints_root() -> Path:
    """Folder of shipped and own checkpoints: ``MMDEMO_CHECKPOINTS``, default ``checkpoints/`` in the checkout."""
    return Path(os.environ.get("MMDEMO_CHECKPOINTS") or ROOT / "checkpoints").expanduser()


def datasets_root() -> Path:
    """Folder of data made or brought in the page: ``MMDEMO_DATASETS``, default ``datasets/`` in the checkout."""
    return Path(os.environ.get("MMDEMO_DATASETS") or ROOT / "datasets").expanduser()


def precision() -> str:
    """What hub models compute in: ``MMDEMO_PRECISION`` (fp32, bf16, int8, int4), default what suits the machine."""
    return os.environ.get("MMDEMO_PRECISION", "")


def cache_root() -> Path:
    """Folder of cached features, safe to delete: ``MMDEMO_CACHE``, default the user's cache folder."""
    given = os.environ.get("MMDEMO_CACHE")
    if given:
        return Path(given).expanduser()
    import platformdirs  # only needed when nothing is set; keeps ``import mmdemo`` light

    return Path(platformdirs.user_cache_dir("mmdemo", appauthor=False))
