"""The one exception that people see."""

from __future__ import annotations

import errno

_REFUSED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


class MmdemoError(Exception):
    """What went wrong, why, and what to try: one sentence for page, command line and HTTP alike.

    Args:
        what: What could not be done, without a full stop ("This picture cannot be opened").
        why: The reason in plain words, without a full stop; empty when ``what`` says it all.
        try_this: The next step, without a full stop; empty when there is none.
    """

    def __init__(self, what: str, why: str = "", try_this: str = "") -> None:
        self.what = what
        self.why = why
        self.try_this = try_this
        super().__init__(str(self))

    def __str__(self) -> str:
        head = f"{self.what}: {self.why}." if self.why else f"{self.what}."
        end = "?" if self.try_this.startswith("Did you mean") else "."
        return f"{head} {self.try_this}{end}" if self.try_this else head


def after_failed_write(error: Exception, then: str = "") -> str:
    """What to try after a failed write, for :class:`MmdemoError`.

    Args:
        error: What the system or a library raised.
        then: What goes on once there is space, without a full stop ("--resume goes on from the last state").
    """
    if isinstance(error, OSError) and error.errno in _REFUSED:
        return "Choose a folder that you may write to"
    return f"Free some space; {then}" if then else "Free some space"
