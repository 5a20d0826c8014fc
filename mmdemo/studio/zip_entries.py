"""Entries of a zip that somebody brings, checked before any of them is unpacked; nothing is written here."""

from __future__ import annotations

import re
import stat
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from mmdemo.core.errors import MmdemoError
from mmdemo.data.read import PICTURE_SUFFIXES, SOUND_SUFFIXES
from mmdemo.data.tables import SUFFIXES

TABLE_SUFFIXES = frozenset({*SUFFIXES, ".json", ".arrow"})
TEXT_SUFFIXES = frozenset({".txt", ".md"})
"""Readme and licence; training passes over them."""

MAX_ENTRIES = 200_000
MAX_UNPACKED = 50 << 30
"""Bytes that a zip may unpack to."""

MAX_RATIO = 200
"""Times its own size that a zip may unpack to; pictures and clips hardly shrink, tables to a tenth."""

FREE_RATIO = 100 << 20
"""Bytes for which the ratio is not asked: a small zip of long silent clips is no bomb."""

MAX_DEPTH = 12
"""Folders within each other."""

_JUNK = frozenset({"thumbs.db", "desktop.ini", ".ds_store"})
_UTF8 = 0x800
"""The flag of an entry that says that its name is UTF-8."""


def check_entries(archive: zipfile.ZipFile, file: Path) -> tuple[dict[PurePosixPath, zipfile.ZipInfo], list[str]]:
    """Find what a zip holds for training.

    Returns:
        Where each entry that is wanted goes, and what is left out, one sentence each.

    Raises:
        MmdemoError: An entry points outside, is a link, encrypted or there twice; there are too many, or they
            unpack to too much; there is nothing to learn from.
    """
    everything = archive.infolist()
    if len(everything) > MAX_ENTRIES:
        raise _refused(file, f"it has {len(everything)} entries and the limit is {MAX_ENTRIES}")
    _refuse_bombs(everything, file)
    wanted: dict[PurePosixPath, zipfile.ZipInfo] = {}
    others: Counter[str] = Counter()
    junk = 0
    for entry, name in zip(everything, _names(everything), strict=True):
        _refuse_name(entry, name, file)
        if entry.is_dir():
            continue
        path = PurePosixPath(name)
        if _is_junk(path):
            junk += 1
        elif path.suffix.lower() not in PICTURE_SUFFIXES | SOUND_SUFFIXES | TABLE_SUFFIXES | TEXT_SUFFIXES:
            others[path.suffix.lower() or "no ending"] += 1
        elif path in wanted:
            raise _refused(file, f"the entry {name!r} is in it twice")
        elif entry.flag_bits & 0x1:
            raise MmdemoError(f"{file.name} is refused", "it is encrypted", "Save it without a password")
        else:
            wanted[path] = entry
    if not any(path.suffix.lower() not in TEXT_SUFFIXES for path in wanted):
        why = f"only {_counted(others)}" if others else "it is empty"
        raise MmdemoError(
            f"{file.name} holds nothing to learn from", why, "Put pictures or clips into it, in folders or with a table"
        )
    notes = []
    if others:
        notes.append(f"Left out, because training cannot read them: {_counted(others)}")
    if junk:
        notes.append(f"Left out: {junk} file{'s' * (junk > 1)} of the system that packed it")
    return _seen_through(wanted), notes


def _refuse_bombs(entries: Sequence[zipfile.ZipInfo], file: Path) -> None:
    size = sum(entry.file_size for entry in entries)
    packed = max(1, file.stat().st_size)
    if size > MAX_UNPACKED:
        raise _refused(file, f"it unpacks to {size / 1e9:.0f} GB and the limit is {MAX_UNPACKED / 1e9:.0f} GB")
    if size > FREE_RATIO and size > MAX_RATIO * packed:
        raise _refused(file, f"it unpacks to {size / packed:.0f} times its size, which data never do")


def _refuse_name(entry: zipfile.ZipInfo, name: str, file: Path) -> None:
    path = PurePosixPath(name)
    mode = stat.S_IFMT(entry.external_attr >> 16)
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refused(file, f"the entry {name!r} is a link or a device")
    if path.is_absolute() or ".." in path.parts or "\\" in name or (len(name) > 1 and name[1] == ":"):
        raise _refused(file, f"the entry {name!r} points outside its folder")
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in name) or "\0" in entry.orig_filename:
        raise _refused(file, f"the entry {name!r} has a name with control characters")
    if len(path.parts) > MAX_DEPTH:
        raise _refused(file, f"the entry {name[:80]!r} lies in more than {MAX_DEPTH} folders")
    if not path.parts and not entry.is_dir():
        raise _refused(file, "an entry has no name")


def _refused(file: Path, why: str) -> MmdemoError:
    return MmdemoError(f"{file.name} is refused", why)


# ---------------------------------------------------------------- names


def _names(entries: Sequence[zipfile.ZipInfo]) -> list[str]:
    """The entries' names; where the zip does not say that they are UTF-8, as the system wrote them that packed it.

    Windows packs with the code page of its language, and Chinese names would come out as signs; UTF-8 without the flag
    is what macOS writes. One encoding for all names, since one system wrote them.
    """
    raw = [b"" if entry.flag_bits & _UTF8 else entry.filename.encode("cp437", "replace") for entry in entries]
    encoding = _encoding(b"\n".join(raw))
    pairs = zip(entries, raw, strict=True)
    return [entry.filename if entry.flag_bits & _UTF8 else name.decode(encoding) for entry, name in pairs]


def _encoding(names: bytes) -> str:
    """UTF-8, GB 2312 or DOS Latin. Pairs of bytes may be valid in the first two: then words decide."""
    found = {}
    for encoding in ("utf-8", "gb2312"):
        with suppress(UnicodeDecodeError):
            found[encoding] = names.decode(encoding)
    if len(found) < 2:
        return next(iter(found), "cp437")
    spoken = [word for word in re.findall(r"[^\W\d_]+", found["utf-8"]) if not word.isascii()]
    # a word has letters of one script: accents stand beside plain letters, other letters beside their like
    real = [word for word in spoken if any(map(str.isascii, word)) or (len(word) > 1 and _one_block(word))]
    return "utf-8" if 2 * len(real) >= len(spoken) else "gb2312"


def _one_block(word: str) -> bool:
    return len({ord(char) >> 8 for char in word}) == 1 or ord(min(word)) >= 0x2E80  # CJK fills many blocks


def _is_junk(path: PurePosixPath) -> bool:
    return "__MACOSX" in path.parts or path.name.lower() in _JUNK or any(part.startswith(".") for part in path.parts)


def _counted(others: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {ending} file{'s' * (count > 1)}" for ending, count in sorted(others.items()))


def _seen_through(wanted: Mapping[PurePosixPath, zipfile.ZipInfo]) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """Without the one folder that holds all data; a readme may lie beside it. A class folder is no such folder."""
    entries = dict(wanted)
    while True:
        data = [path for path in entries if path.suffix.lower() not in TEXT_SUFFIXES or len(path.parts) > 1]
        tops = {path.parts[0] for path in data}
        inner = any(len(path.parts) > 2 or path.suffix.lower() in TABLE_SUFFIXES for path in data)
        if len(tops) != 1 or any(len(path.parts) == 1 for path in data) or not inner:
            return entries
        moved = {PurePosixPath(*path.parts[1:]): entry for path, entry in entries.items() if len(path.parts) > 1}
        beside = {path: entry for path, entry in entries.items() if len(path.parts) == 1}
        entries = {**beside, **moved}
