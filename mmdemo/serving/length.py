"""Which requests take long: they are answered beside the short ones, not among them."""

from __future__ import annotations

from mmdemo.core.types import CaptionRequest, ClassifyRequest, Request, SentimentRequest

MANY_LABELS = 64
"""Labels from which on Classify takes long, where none was asked for before."""

MANY_CAPTIONS = 5
LONG_SECONDS = 30.0
"""Seconds of a clip."""


def takes_long(request: Request) -> bool:
    """Whether a request should not be answered in one batch with others."""
    match request:
        case ClassifyRequest():
            return len(request.labels) > MANY_LABELS
        case CaptionRequest():
            return request.n > MANY_CAPTIONS
        case SentimentRequest():
            return request.sound.seconds > LONG_SECONDS
        case _:
            return False
