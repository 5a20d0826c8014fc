"""Words of the tab Runs: trainings, live and past: English, Simplified Chinese."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, tuple[str, str]] = {}
