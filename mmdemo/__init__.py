"""Four small multimodal models that answer offline: ask, classify, caption, sentiment.

``import mmdemo`` is light: the networks' libraries are imported by the first call that needs them.

    >>> import mmdemo
    >>> mmdemo.ask("photo.jpg", "Is there a dog?").answer  # doctest: +SKIP
    'yes'
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING

# transformers imports torchao wherever it is installed, and torch then warns of enums there: nothing for people to do
logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)

if TYPE_CHECKING:
    from mmdemo.core.errors import MmdemoError
    from mmdemo.core.types import (
        AskResult,
        CaptionResult,
        Card,
        ClassifyResult,
        HeatMap,
        Metric,
        Scored,
        Segment,
        SentimentResult,
    )
    from mmdemo.models import load
    from mmdemo.serving.jobs import ask, caption, classify, sentiment

__version__ = "0.1.0"

__all__ = [
    "AskResult",
    "CaptionResult",
    "Card",
    "ClassifyResult",
    "HeatMap",
    "Metric",
    "MmdemoError",
    "Scored",
    "Segment",
    "SentimentResult",
    "__version__",
    "ask",
    "caption",
    "classify",
    "load",
    "sentiment",
]

_HOMES = {
    "AskResult": "mmdemo.core.types",
    "CaptionResult": "mmdemo.core.types",
    "Card": "mmdemo.core.types",
    "ClassifyResult": "mmdemo.core.types",
    "HeatMap": "mmdemo.core.types",
    "Metric": "mmdemo.core.types",
    "MmdemoError": "mmdemo.core.errors",
    "Scored": "mmdemo.core.types",
    "Segment": "mmdemo.core.types",
    "SentimentResult": "mmdemo.core.types",
    "ask": "mmdemo.serving.jobs",
    "caption": "mmdemo.serving.jobs",
    "classify": "mmdemo.serving.jobs",
    "load": "mmdemo.models",
    "sentiment": "mmdemo.serving.jobs",
}
"""Public name to the module that defines it, imported when the name is first used (PEP 562)."""


def __getattr__(name: str) -> object:
    """Import a public name's module when it is first used."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
