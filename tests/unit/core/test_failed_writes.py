"""What cannot be written, or only in another form."""

from __future__ import annotations

import errno
import json
import os

import pytest

from mmdemo.core.errors import after_failed_write
from mmdemo.core.writing import json_text


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "Free some space; --resume goes on"),
        (errno.EROFS, "Choose a folder that you may write to"),
        (errno.EACCES, "Choose a folder that you may write to"),
    ],
)
def test_what_to_try(number: int, said: str) -> None:
    assert after_failed_write(OSError(number, os.strerror(number)), "--resume goes on") == said


def test_names_that_are_no_text_come_back_from_json() -> None:
    name = os.fsdecode(b"caf\xe9.png")
    text = json_text({"file": name, "café": "\U0001f600"})
    assert text.encode() == b'{"file": "caf\\udce9.png", "caf\xc3\xa9": "\xf0\x9f\x98\x80"}'
    assert json.loads(text)["file"] == name
