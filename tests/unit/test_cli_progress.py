"""What a training shows, and that the training goes on where nobody can see it any more."""

from __future__ import annotations

import sys
from typing import NoReturn

import pytest

from mmdemo.cli.progress import watch


class _Gone:
    """A terminal whose window was closed."""

    def __init__(self) -> None:
        self.writes = 0

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> NoReturn:
        self.writes += 1
        raise OSError(5, "Input/output error")


def test_lines_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    watch().log("epoch 1")
    assert capsys.readouterr().err == "epoch 1\n"


def test_a_closed_terminal_ends_the_lines_only(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = _Gone()
    monkeypatch.setattr(sys, "stderr", gone)
    observer = watch()
    observer.log("epoch 1")
    observer.log("epoch 2")
    observer.close()
    assert gone.writes == 1
