"""The one exception that people see."""

from __future__ import annotations


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
