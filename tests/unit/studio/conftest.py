"""The small checkpoints that the tests of models are made with, for those of exchange."""

from __future__ import annotations

from tests.unit.models.conftest import root, written

__all__ = ["root", "written"]
