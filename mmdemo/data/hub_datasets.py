"""Tables with a schema: parquet files and Hugging Face datasets saved to disk.

Pictures and clips that lie inside them are written to the cache once, under their content's hash; from then on they
are files like any others. Nothing is decoded by the libraries, fetched or unpickled: it is all Arrow and JSON.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import MOST_LISTED, Unreadable, parse_json, read_json, read_object
from mmdemo.core.settings import cache_root
from mmdemo.core.writing import json_text
from mmdemo.data.rows import COLUMNS, TableRow, column
from mmdemo.media.files import describe

BATCH = 256
"""Rows that are in memory at once."""

_SUFFIXES = {  # by the words of media.files.describe
    "a PNG picture": ".png",
    "a JPEG picture": ".jpg",
    "a GIF picture": ".gif",
    "a BMP picture": ".bmp",
    "a TIFF picture": ".tif",
    "a WebP picture": ".webp",
    "an AVIF picture": ".avif",
    "a WAV sound": ".wav",
    "a FLAC sound": ".flac",
    "an MP3 sound": ".mp3",
    "an Ogg sound or video": ".ogg",
    "an AIFF sound": ".aiff",
}

Batches = Callable[[Sequence[str]], Iterator[list[dict[str, Any]]]]
"""Reads some columns of a table, a batch of rows at a time."""


def schema_names(table: Path) -> tuple[str, ...]:
    """Names of the columns of a parquet file or a saved dataset, without reading rows.

    Raises:
        MmdemoError: It cannot be read.
    """
    if table.is_dir():
        return tuple(_info(table))
    import pyarrow.parquet as pq

    with _readable(table), pq.ParquetFile(table) as file:
        return tuple(file.schema_arrow.names)


def distinct(table: Path, name: str) -> list[object]:
    """The different values of one column, without reading the others.

    Raises:
        MmdemoError: It cannot be read.
    """
    import pyarrow.parquet as pq

    with _readable(table):
        if not table.is_dir():
            found: list[object] = pq.read_table(table, columns=[name])[name].unique().to_pylist()
            return found
        import datasets

        whole = datasets.load_from_disk(str(table)).select_columns([name])
        return list(whole.unique(name))


def parquet_rows(table: Path) -> Iterator[TableRow]:
    """Rows of a parquet file; line 1 is its first row.

    Raises:
        MmdemoError: It is damaged or no parquet file.
    """
    import pyarrow.parquet as pq

    def batches(some: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        with pq.ParquetFile(table) as file:
            for batch in file.iter_batches(batch_size=BATCH, columns=list(some)):
                yield batch.to_pylist()

    with _readable(table):
        schema = pq.read_schema(table)
    features: dict[str, Any] = {}
    with contextlib.suppress(Unreadable, KeyError, TypeError):  # what the library notes of its own columns
        features = parse_json((schema.metadata or {})[b"huggingface"], name=table.name)["info"]["features"]
    yield from _rows(table, tuple(schema.names), [table], batches, _class_names(features))


def saved_rows(folder: Path) -> Iterator[TableRow]:
    """Rows of a dataset saved with ``Dataset.save_to_disk``; class numbers become class names.

    Raises:
        MmdemoError: It is damaged.
    """
    import datasets

    with _readable(folder):
        whole = datasets.load_from_disk(str(folder))
        for key, feature in whole.features.items():
            if isinstance(feature, datasets.Image):
                whole = whole.cast_column(key, datasets.Image(decode=False))
            elif isinstance(feature, datasets.Audio):
                whole = whole.cast_column(key, datasets.Audio(decode=False))

    def batches(some: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        chosen = whole.select_columns(list(some)).with_format("arrow")
        for start in range(0, len(whole), BATCH):
            yield chosen[start : start + BATCH].to_pylist()

    files = sorted(place for place in folder.iterdir() if place.suffix in {".arrow", ".json"})
    yield from _rows(folder, tuple(whole.column_names), files, batches, _class_names(_info(folder)))


# ----------------------------------------------------------------


def _rows(
    table: Path, names: Sequence[str], files: Iterable[Path], batches: Batches, classes: Mapping[str, Sequence[str]]
) -> Iterator[TableRow]:
    """Rows with the file column as paths; contents are written where that has not been done before."""
    media = column("file_name", names)
    store = cache_root() / "datasets" / _fingerprint(files)
    known = _index(store)
    found: list[str | None] = []
    all_held = True
    other_media = {name for name in names if name != media and name.lower() in COLUMNS["file_name"]}
    wanted = [name for name in names if name not in other_media and (known is None or name != media)]
    number = 0
    with _readable(table):
        for batch in batches(wanted):
            for values in batch:
                for key, labels in classes.items():
                    values[key] = _class_name(values.get(key), labels)
                if media is not None:
                    cell = values.get(media)
                    held = known[number] if known is not None else _held(cell, store)
                    found.append(held)
                    all_held &= held is not None or cell is None
                    path = cell.get("path") if isinstance(cell, dict) else cell
                    values[media] = str(store / held) if held is not None else path
                number += 1
                yield TableRow(values=values, table=table, line=number)
    if known is None and all_held and any(found):
        part = store / f"index.{os.getpid()}.part"
        part.write_text(json_text(found), encoding="utf-8")
        part.replace(store / "index.json")


def _index(store: Path) -> list[str | None] | None:
    """Which file of the store belongs to which row; None where not all of them are there."""
    try:
        known: list[str | None] = read_json(store / "index.json", most=MOST_LISTED)
        return known if all((store / name).is_file() for name in set(known) if name) else None
    except (Unreadable, TypeError):  # damaged: it is written anew
        return None


def _held(cell: object, store: Path) -> str | None:
    """The name below ``store`` under which a cell's content lies, written if need be; None for a path."""
    if not isinstance(cell, dict) or not isinstance(content := cell.get("bytes"), bytes):
        return None
    suffix = _SUFFIXES.get(describe(content)) or PurePosixPath(str(cell.get("path") or "")).suffix.lower() or ".bin"
    name = hashlib.sha1(content, usedforsecurity=False).hexdigest() + suffix
    place = store / name
    if not place.is_file() or place.stat().st_size != len(content):
        store.mkdir(parents=True, exist_ok=True)
        part = store / f"{name}.{os.getpid()}.part"
        part.write_bytes(content)
        part.replace(place)
    return name


def _class_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    return {
        key: feature["names"]
        for key, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }


def _class_name(value: object, names: Sequence[str]) -> object:
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None  # -1: not labelled


def _fingerprint(files: Iterable[Path]) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    for file in files:
        known = file.stat()
        digest.update(os.fsencode(file.absolute()) + f"|{known.st_size}|{known.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _info(folder: Path) -> dict[str, Any]:
    """Columns of a saved dataset and their kinds, as its own JSON says."""
    try:
        features = read_object(folder / "dataset_info.json")["features"]
        return dict(features)
    except (Unreadable, ValueError, KeyError, TypeError) as error:
        why = f"its dataset_info.json does not say which columns it has ({type(error).__name__})"
        raise MmdemoError(f"The dataset in {folder} cannot be read", why, "Save it again") from error


@contextlib.contextmanager
def _readable(table: Path) -> Iterator[None]:
    """What pyarrow and datasets raise becomes one sentence."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, pyarrow.ArrowException):
            raise
        first = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise MmdemoError(f"{table} cannot be read", first, "Write it again, with the library that made it") from error
