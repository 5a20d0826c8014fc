"""Files as they arrive: read whole within the size limit, and named in words by their first bytes."""

from __future__ import annotations

from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.media.limits import MAX_FILE_BYTES

_BRANDS = {  # ISO base media "ftyp" brands
    b"heic": "a HEIC photo",
    b"heix": "a HEIC photo",
    b"heif": "a HEIF photo",
    b"mif1": "a HEIF photo",
    b"msf1": "a HEIF photo",
    b"avif": "an AVIF picture",
    b"avis": "an AVIF picture",
    b"M4A ": "an M4A sound",
    b"M4B ": "an M4A sound",
}

_SIGNATURES = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"BM", "a BMP picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"8BPS", "a Photoshop document"),
    (b"fLaC", "a FLAC sound"),
    (b"OggS", "an Ogg sound or video"),
    (b"ID3", "an MP3 sound"),
    (b"\xff\xfb", "an MP3 sound"),
    (b"\xff\xf3", "an MP3 sound"),
    (b"\xff\xf2", "an MP3 sound"),
    (b"\xff\xf1", "an AAC sound"),
    (b"\xff\xf9", "an AAC sound"),
    (b"FORM", "an AIFF sound"),
    (b"\x1a\x45\xdf\xa3", "a WebM or Matroska recording"),
    (b"PK\x03\x04", "a zip archive or office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a program"),
)


def describe(content: bytes) -> str:
    """Say in words what a file's first bytes look like ("a PDF document"); "" when that cannot be told."""
    head = content[:2048]
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "a video")
    if head[:4] == b"RIFF":
        return {b"WEBP": "a WebP picture", b"WAVE": "a WAV sound", b"AVI ": "a video"}.get(head[8:12], "")
    for signature, words in _SIGNATURES:
        if head.startswith(signature):
            return words
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text:
        return "an SVG drawing"
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "a web page (HTML)"
    return "a text file" if _is_text(text) else ""


def _is_text(head: bytes) -> bool:
    if not head or any(byte < 32 and byte not in b"\t\r\n\f" for byte in head):
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start > 0 and error.start >= len(head) - 3  # the last character may be cut in two
    return True


def read_limited(source: Path | str | bytes, kind: str) -> bytes:
    """Read a whole file, or pass bytes on, within :data:`~mmdemo.media.limits.MAX_FILE_BYTES`.

    Args:
        source: A path, or the file's content.
        kind: What it should be, for the message: "picture" or "sound".

    Raises:
        MmdemoError: No such file, a folder, an address, not readable, empty, too big.
    """
    if isinstance(source, bytes):
        content = source
    else:
        content = _read_path(source, kind)
    if not content:
        raise MmdemoError(f"This {kind} cannot be opened", "the file is empty (0 bytes)", f"Choose another {kind}")
    if len(content) > MAX_FILE_BYTES:
        raise _too_big(kind, len(content))
    return content


def _read_path(source: Path | str, kind: str) -> bytes:
    text = str(source)
    if text.lower().startswith(("http://", "https://", "ftp://", "data:")):
        raise MmdemoError(
            f"This {kind} cannot be opened",
            "it is a web address, and nothing is fetched from the network",
            "Save the file and give its path",
        )
    try:
        path = Path(source)
        if path.is_dir():
            raise MmdemoError(f"This {kind} cannot be opened", f"{path.name or text} is a folder", "Give a file in it")
        if path.exists() and not path.is_file():
            # a pipe or a device could block for ever
            raise MmdemoError(f"This {kind} cannot be opened", f"{path.name} is not an ordinary file")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise _too_big(kind, size)
        return path.read_bytes()
    except FileNotFoundError:
        name = Path(text).name or text
        raise MmdemoError(f"This {kind} cannot be opened", f"there is no file {name}", "Check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise MmdemoError(f"This {kind} cannot be opened", reason.lower(), "Check the path and its rights") from None


def base_name(source: object, name: str | None) -> str:
    """The base name for results: ``name`` if given, else that of a path, else "".  Both kinds of slashes count."""
    text = name if name is not None else str(source) if isinstance(source, Path | str) else ""
    return text.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def _too_big(kind: str, size: int) -> MmdemoError:
    limit = MAX_FILE_BYTES // 1_000_000
    return MmdemoError(
        f"This {kind} is too big",
        f"it has {size / 1e6:.0f} MB and the limit is {limit} MB",
        "Save a smaller or shorter copy of it",
    )
