"""Ready models: network, preprocessing, labels and calibration together, from a folder, a zip or a hub id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdemo.models.registry import default_model, list_models

if TYPE_CHECKING:
    from mmdemo.models.loading import load

__all__ = ["default_model", "list_models", "load"]


def __getattr__(name: str) -> object:
    """``load`` brings torch; listing models does not need it. No module here may be called like it."""
    if name == "load":
        from mmdemo.models.loading import load

        return load
    raise AttributeError(name)
