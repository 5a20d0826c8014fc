"""Settings that had another name in an earlier version; files, commands and checkpoints that use it still work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from mmdemo.core.errors import MmdemoError

V = TypeVar("V")

SECTIONS: Mapping[str, Mapping[str, str]] = {
    "train": {
        "clip": "max_grad_norm",
        "average": "ema_decay",
        "base_rate": "encoder_lr_scale",
        "accumulate": "grad_accum_steps",
        "keep": "save_total_limit",
    },
    "net": {"blind": "ablate_image", "question_blind": "ablate_question"},
}
"""Section of a configuration → earlier name → present name."""


def current_name(name: str) -> str:
    """``section.key`` under its present name."""
    section, dot, key = name.partition(".")
    return f"{section}{dot}{SECTIONS.get(section, {}).get(key, key)}"


def current_names(section: str, values: Mapping[str, V]) -> dict[str, V]:
    """The settings of one section under their present names.

    Raises:
        MmdemoError: One setting is given under both names.
    """
    renamed = SECTIONS.get(section, {})
    found: dict[str, V] = {}
    for key, value in values.items():
        new = renamed.get(key, key)
        if new in found or (new != key and new in values):
            old = next(name for name, other in renamed.items() if other == new)
            raise MmdemoError(
                f"{section}.{new} is given twice", f"{section}.{old} is its earlier name", f"Leave {section}.{old} out"
            )
        found[new] = value
    return found
