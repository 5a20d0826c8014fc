"""Data that people bring: a zip, checked before anything of it is unpacked, or a folder on this machine."""

from __future__ import annotations

import os
import shutil
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.data.folders import split_folders, subfolders, tables_in
from mmdemo.data.rows import column
from mmdemo.data.tables import SUFFIXES, columns, read_rows
from mmdemo.studio.datasets import words
from mmdemo.studio.datasets.disk import locked, root, sweep_root
from mmdemo.studio.zip_entries import check_entries

SPARE = 200 << 20
"""Bytes that must stay free on the disk."""

_COPY = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedData:
    """Data that were unpacked.

    Attributes:
        name: Of the dataset below the root.
        data: What ``train --data`` takes: the folder, or the one table in it that holds everything.
        files: How many files were unpacked.
        notes: What was left out, one sentence each.
    """

    name: str
    data: Path
    files: int
    notes: tuple[str, ...]


def unpack(file: Path, *, name: str | None = None) -> Path:
    """Unpack somebody's dataset zip below the root; see :func:`receive`.

    Returns:
        What ``train --data`` takes.
    """
    return receive(file, name=name).data


def receive(file: Path, *, name: str | None = None) -> ImportedData:
    """Unpack somebody's dataset zip below the root, after everything in it has been checked.

    One folder that holds all the others is seen through. What training cannot read is left out, with a note.

    Args:
        name: What to call it; default the zip's own name. Where that is taken, a number is added.

    Raises:
        MmdemoError: It is no zip, damaged or encrypted; an entry points outside its folder; it unpacks to too much; it
            holds nothing that training reads; the disk is full.
    """
    wanted = words.clean_name(name) if name else _named_after(file)
    try:
        with zipfile.ZipFile(file) as archive:
            entries, notes = check_entries(archive, file)
            root().mkdir(parents=True, exist_ok=True)
            _need_space(root(), sum(entry.file_size for entry in entries.values()), file.name)
            part = root() / f".unpacking-{uuid.uuid4().hex[:8]}"
            part.mkdir()
            try:
                for target, entry in entries.items():
                    _extract(archive, entry, part / target)
                _refuse_outside(part, file.name)
                folder = _publish(part, wanted)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError) as error:
        # RuntimeError: encrypted; its NotImplementedError: a compression that Python lacks
        why = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise MmdemoError(f"{file.name} cannot be unpacked", why) from None
    sweep_root()
    return ImportedData(name=folder.name, data=entrance(folder), files=len(entries), notes=tuple(notes))


def usable_folder(typed: str) -> Path:
    """A folder or table on this machine that a person has typed.

    Returns:
        Its absolute path, ``~`` resolved.

    Raises:
        MmdemoError: Nothing typed, nothing there, or it is neither a folder nor a table.
    """
    text = typed.strip().strip("\"'").strip()
    if not text:
        raise MmdemoError("No folder was given", "", "Type the path of a folder on this machine")
    if "://" in text and not text.startswith("file://"):
        raise MmdemoError("This is an address", "nothing is fetched from the network", "Save the data and give a path")
    try:
        if not text.isprintable():
            raise ValueError("the path holds control characters")
        path = Path(os.path.normpath(Path(text.removeprefix("file://")).expanduser().absolute()))
        if not path.exists():
            near = next((folder for folder in path.parents if folder.is_dir()), None)
            there = f"{near} is there, {path.relative_to(near).parts[0]} is not in it" if near else "there is none"
            raise MmdemoError(f"There is no folder {text}", there, "Check the path")
        if path.is_dir():
            any(path.iterdir())  # may not be allowed
            return entrance(path)
    except (OSError, ValueError, RuntimeError) as error:  # a NUL byte; a home that is nobody's
        why = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise MmdemoError(f"{text} cannot be opened", why.lower(), "Check the path and its rights") from None
    if path.suffix.lower() == ".zip":
        raise MmdemoError(f"{path.name} is a zip, not a folder", "", "Drop it onto the page, or unpack it first")
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        raise MmdemoError(f"{path.name} is not a folder", f"nor a table ({', '.join(SUFFIXES)})", "Give its folder")
    return path


def entrance(folder: Path) -> Path:
    """What ``train --data`` takes of a folder: itself, the one folder in it, or a table whose name says nothing."""
    if tables_in(folder) or split_folders(folder):
        return folder
    inner = subfolders(folder)
    if len(inner) == 1 and (subfolders(inner[0]) or tables_in(inner[0])):
        return entrance(inner[0])
    tables = [place for place in sorted(folder.iterdir()) if place.suffix.lower() in SUFFIXES and place.is_file()]
    if len(tables) == 1 and column("file_name", columns(tables[0])) is not None:
        return tables[0]
    return folder


# ---------------------------------------------------------------- checks


def _refuse_outside(folder: Path, name: str) -> None:
    """A table must not name files that lie elsewhere on this machine: they would be shown and learned from."""
    for table in sorted(folder.rglob("*")):
        if table.suffix.lower() not in {*SUFFIXES, ".arrow"}:
            continue
        with suppress(MmdemoError, OSError, ValueError):  # what cannot be read is said by the preview, line and all
            outside = next((file for file in _named(table) if not file.is_relative_to(folder) and file.is_file()), None)
            if outside is not None:
                break
    else:
        return
    why = f"its {table.name} names {outside}, which is on this machine and not in it"
    raise MmdemoError(f"{name} is refused", why, "Pack the files into it and name them by their place")


def _named(table: Path) -> Iterator[Path]:
    """The files that a table names, wherever they are said to be."""
    if table.suffix.lower() == ".parquet":
        names = ((name, "") for name in _named_in_parquet(table))
    elif table.suffix.lower() == ".arrow":
        names = ((name, "") for name in _named_in_arrow(table))
    else:
        names = ((row.text("file_name") or "", row.text("folder") or "") for row in read_rows(table))
    for name, inner in names:
        yield Path(os.path.normpath(table.parent / inner / name))


def _named_in_parquet(table: Path) -> Iterator[str]:
    """Only the paths are read: pictures may lie beside them in the same column."""
    import pyarrow  # slow to import, and needed here only
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(table) as file:
            schema = file.schema_arrow
            name = column("file_name", schema.names)
            if name is None:
                return
            kind = schema.field(name).type
            inner = pyarrow.types.is_struct(kind)
            if inner and kind.get_field_index("path") < 0:
                return
            for batch in file.iter_batches(columns=[f"{name}.path" if inner else name]):
                for cell in batch.column(0).to_pylist():
                    value = cell.get("path") if isinstance(cell, dict) else cell
                    if isinstance(value, str) and value:
                        yield value
    except pyarrow.ArrowException as error:
        raise MmdemoError(f"{table.name} cannot be read", str(error)) from None


def _named_in_arrow(table: Path) -> Iterator[str]:
    """The same of a dataset that was saved with the library datasets."""
    import pyarrow

    try:
        with pyarrow.memory_map(str(table)) as source, pyarrow.ipc.open_stream(source) as batches:
            name = column("file_name", batches.schema.names)
            for batch in batches if name is not None else ():
                cells = batch.column(name)
                inner = pyarrow.types.is_struct(cells.type)
                if inner and cells.type.get_field_index("path") < 0:
                    return
                for value in (cells.field("path") if inner else cells).to_pylist():
                    if isinstance(value, str) and value:
                        yield value
    except pyarrow.ArrowException as error:
        raise MmdemoError(f"{table.name} cannot be read", str(error)) from None


def _need_space(root: Path, size: int, name: str) -> None:
    free = shutil.disk_usage(root).free
    if free < size + SPARE:
        why = f"it unpacks to {size / 1e6:.0f} MB and {max(0, free - SPARE) / 1e6:.0f} MB are left on the disk"
        raise MmdemoError(f"{name} cannot be unpacked", why, "Delete what is not needed")


# ---------------------------------------------------------------- unpacking


def _named_after(file: Path) -> str:
    try:
        return words.clean_name(file.stem)
    except MmdemoError:  # "(1).zip" has a digit, "().zip" nothing
        return "dataset"


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    """Write one entry; never over another one, and never more than it says it holds."""
    target.parent.mkdir(parents=True, exist_ok=True)
    left = entry.file_size
    with archive.open(entry) as source, target.open("xb") as out:
        while block := source.read(_COPY):
            left -= len(block)
            if left < 0:
                raise zipfile.BadZipFile(f"{entry.filename!r} is larger than it says")
            out.write(block)


def _publish(part: Path, wanted: str) -> Path:
    """Give the unpacked folder its name, with a number where that is taken."""
    with locked(wanted):
        taken = {place.name.casefold() for place in root().iterdir()}
        number, name = 1, wanted
        while name.casefold() in taken:
            number += 1
            name = f"{wanted[: words.MAX_NAME_CHARS - 6]}-{number}"
        folder = root() / name
        part.rename(folder)
    return folder


__all__ = ["ImportedData", "entrance", "receive", "unpack", "usable_folder"]
