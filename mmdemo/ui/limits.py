"""How much of the machine one visitor gets."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of requests that ask a model.

    Attributes:
        running: At once from one address; more wait.
        open: Running and waiting from one address; more are refused.
        per_minute: From one address, evened out over the minute, and as many at once; more are refused.
        waiting: From everybody; more are refused.
    """

    running: float
    open: float
    per_minute: float
    waiting: int


OWN = Limits(running=math.inf, open=math.inf, per_minute=math.inf, waiting=64)
"""A page of one's own: only the length of the queue."""

PUBLIC = Limits(running=2, open=8, per_minute=600, waiting=48)
"""Strangers."""

ADDRESSES = 4_096
"""Addresses whose requests are counted; the one that was quiet for longest is forgotten first."""


class Rate:
    """Counts requests by address: a bucket that holds ``per_minute`` and fills at that rate."""

    def __init__(self, per_minute: float) -> None:
        self._most = per_minute
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address -> requests left, and when

    def take(self, address: str) -> float:
        """Seconds to wait until a request may come from here; 0 where it may now, and then it is counted."""
        if math.isinf(self._most):
            return 0.0
        now = time.monotonic()
        left, since = self._left.pop(address, (self._most, now))
        left = min(self._most, left + (now - since) * self._most / 60)
        allowed = left >= 1
        self._left[address] = (left - allowed, now)
        while len(self._left) > ADDRESSES:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) * 60 / self._most
