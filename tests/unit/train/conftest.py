"""The small checkpoints that tests of the models use, here as well."""

from __future__ import annotations

from tests.unit.models.conftest import root, written

__all__ = ["root", "written"]
