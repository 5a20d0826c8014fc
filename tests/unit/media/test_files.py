"""Files are read whole or refused, and foreign ones are named in words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmdemo.core.errors import MmdemoError
from mmdemo.media.files import base_name, describe, read_limited
from mmdemo.media.limits import MAX_FILE_BYTES


def test_reads_a_file_and_passes_bytes_on(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"abc")
    assert read_limited(file, "picture") == read_limited(str(file), "picture") == read_limited(b"abc", "picture")


def test_too_big_is_refused_before_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "big.jpg"
    with file.open("wb") as sparse:
        sparse.truncate(MAX_FILE_BYTES + 2_000_000)
    with pytest.raises(MmdemoError, match="52 MB and the limit is 50 MB"):
        read_limited(file, "picture")
    with pytest.raises(MmdemoError, match="too big"):
        read_limited(bytes(MAX_FILE_BYTES + 1), "sound")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("no/such/file.jpg", "there is no file file.jpg"),
        (".", "is a folder"),
        ("https://example.invalid/cat.jpg", "web address"),
        ("a\0b", "null"),
        (b"", "0 bytes"),
        ("x" * 5000, "name too long"),
    ],
)
def test_what_is_no_file_is_refused(source: str | bytes, why: str) -> None:
    with pytest.raises(MmdemoError, match=why):
        read_limited(source, "picture")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MmdemoError, match="not an ordinary file"):
        read_limited(tmp_path / "pipe", "sound")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"%PDF-1.7", "a PDF document"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b"\xef\xbb\xbf  <!DOCTYPE html><html>", "a web page (HTML)"),
        (b"\0\0\0\x18ftypheic", "a HEIC photo"),
        (b"\0\0\0\x18ftypisom", "a video"),
        (b"RIFF\0\0\0\0AVI ", "a video"),
        (b"RIFF\0\0\0\0WAVE", "a WAV sound"),
        ("naïve text".encode(), "a text file"),
        (b"\x89", ""),
        (b"", ""),
        (bytes(range(256)), ""),
    ],
)
def test_describe(content: bytes, words: str) -> None:
    assert describe(content) == words


@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [
        (Path("/a/b/c.jpg"), None, "c.jpg"),
        ("C:\\photos\\c.jpg", None, "c.jpg"),
        (b"bytes", None, ""),
        (b"bytes", "../../c.jpg", "c.jpg"),
        (Path("x.jpg"), "y.jpg", "y.jpg"),
    ],
)
def test_base_name(source: object, name: str | None, expected: str) -> None:
    assert base_name(source, name) == expected
