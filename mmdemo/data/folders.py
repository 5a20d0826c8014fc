"""Folders of data: which of them are data sets with splits, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.data.tables import SUFFIXES, is_saved, row_splits

SPLITS = ("train", "validation", "test")
_SPLIT_ALIASES = {"val": "validation", "valid": "validation", "dev": "validation"}
KINDS = ("captions", "questions", "metadata")
TABLES = tuple(kind + suffix for kind in KINDS for suffix in SUFFIXES)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFolder:
    """A folder or table to read; ``rows`` names the split of its rows that are wanted, None takes all."""

    place: Path
    rows: str | None = None


def resolve_split(folders: Sequence[Path], split: str | None) -> tuple[list[SplitFolder], list[str]]:
    """Turn data sets with splits into the wanted split's folder or rows; others are taken as they are.

    Returns:
        What to read, and notes in words.
    """
    if split is not None and split not in SPLITS:
        raise MmdemoError(f"Unknown split {split!r}", f"known are {', '.join(SPLITS)}")
    parts: list[SplitFolder] = []
    notes: list[str] = []
    for folder in folders:
        if not folder.exists():
            raise MmdemoError(f"No data at {folder}", "there is no such folder or table", "Check the path")
        splits = split_folders(folder)
        wanted = split or ("test" if splits else None)
        if splits and wanted in splits:
            parts.append(SplitFolder(place=splits[wanted]))
            if split is None:
                notes.append(f"{folder.name}: the test split is used")
            extra = [place.name for place in subfolders(folder) if place.name.startswith("train_")]
            extra = [name for name in extra if folder / name not in folders]
            if wanted == "train" and extra:
                notes.append(f"{folder.name}: {', '.join(extra)} is only read when named itself")
        elif splits:
            notes.append(f"{folder.name} has no {wanted} split")
        elif split_of(folder) is None and (named := _named_splits(folder)):
            wanted = split or ("test" if "test" in named else None)
            if wanted is None or wanted in named:
                parts.append(SplitFolder(place=folder, rows=wanted))
                if split is None and wanted is not None:
                    notes.append(f"{dataset_name(folder)}: the test split is used")
            else:
                notes.append(f"{dataset_name(folder)} has no {wanted} split")
        elif split in (None, split_of(folder) or "train"):
            parts.append(SplitFolder(place=folder))
        else:
            notes.append(f"{dataset_name(folder)} has no {split} split")
    if not parts:
        raise MmdemoError(f"No {split or 'test'} data found", "; ".join(notes), "Name a folder that has it")
    return list(dict.fromkeys(parts)), notes


def split_folders(folder: Path) -> dict[str, Path]:
    """Sub-folders by split, empty where the folder is no data set with splits.

    A class may be called "train", so every sub-folder must be a split's, and no table may lie beside them. A saved
    ``datasets.DatasetDict`` says itself that its sub-folders are splits. Tables that are called after
    splits (``train.csv``, ``test.csv``) go before folders.
    """
    if not folder.is_dir() or is_saved(folder) or any((folder / name).is_file() for name in TABLES):
        return {}
    tables = [place for suffix in reversed(SUFFIXES) for place in sorted(folder.glob(f"*{suffix}"))]
    by_split = {name: place for place in tables if (name := _SPLIT_ALIASES.get(place.stem, place.stem)) in SPLITS}
    if by_split:
        return by_split
    places = subfolders(folder)
    known = {name: place for place in places if (name := _SPLIT_ALIASES.get(place.name, place.name)) in SPLITS}
    others = [place for place in places if place not in known.values() and not place.name.startswith("train_")]
    return known if not others or (folder / "dataset_dict.json").is_file() else {}


def tables_in(folder: Path) -> list[Path]:
    """The conventional tables and saved datasets of a folder, or of its sub-folders where it is a collection.

    A table or saved dataset stands for itself.
    """
    if folder.is_file() or is_saved(folder):
        return [folder]
    here = [folder / name for name in TABLES if (folder / name).is_file()]
    if here or not folder.is_dir():
        return here
    return [
        table
        for place in subfolders(folder)
        for table in ([place] if is_saved(place) else [place / name for name in TABLES])
        if table.exists()
    ]


def _named_splits(folder: Path) -> frozenset[str]:
    return frozenset[str]().union(*(row_splits(table) for table in tables_in(folder)))


def dataset_name(place: Path) -> str:
    """Short name: "coco/test" for a split, else the folder's name; a table is named after its folder."""
    if place.is_file() and split_name(place.stem):
        return f"{place.absolute().parent.name}/{place.stem}"
    folder = place if place.is_dir() else place.parent
    folder = folder.absolute()
    return f"{folder.parent.name}/{folder.name}" if split_of(folder) else folder.name


def split_of(place: Path) -> str | None:
    """The split that a folder, a table or the folder of a table is named after; "train_extra" counts as train."""
    own = split_name(place.stem) if place.is_file() else None
    return own or split_name((place if place.is_dir() else place.parent).absolute().name)


def split_name(name: str) -> str | None:
    """The split that a name stands for: "val" is validation, "train_extra" train, "birds_validation" validation.

    None for other names. "birds_test" is one of them: it may be all that somebody has.
    """
    if name.endswith("_validation"):
        return "validation"
    known = "train" if name.startswith("train_") else _SPLIT_ALIASES.get(name, name)
    return known if known in SPLITS else None


def subfolders(folder: Path) -> list[Path]:
    """Visible sub-folders by name."""
    return sorted(place for place in folder.iterdir() if place.is_dir() and not place.name.startswith((".", "__")))
