"""Folders of data: which of them are data sets with splits, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmdemo.core.errors import MmdemoError

SPLITS = ("train", "validation", "test")
_SPLIT_ALIASES = {"val": "validation", "valid": "validation", "dev": "validation"}
TABLES = ("captions.jsonl", "questions.jsonl", "metadata.jsonl", "metadata.csv")


def resolve_split(folders: Sequence[Path], split: str | None) -> tuple[list[Path], list[str]]:
    """Turn data sets with splits into the wanted split's folder; others are taken as they are.

    Returns:
        Folders or tables to read, and notes in words.
    """
    if split is not None and split not in SPLITS:
        raise MmdemoError(f"Unknown split {split!r}", f"known are {', '.join(SPLITS)}")
    places: list[Path] = []
    notes: list[str] = []
    for folder in folders:
        if not folder.exists():
            raise MmdemoError(f"No data at {folder}", "there is no such folder or table", "Check the path")
        splits = split_folders(folder)
        wanted = split or ("test" if splits else None)
        if splits and wanted in splits:
            places.append(splits[wanted])
            if split is None:
                notes.append(f"{folder.name}: the test split is used")
            extra = [place.name for place in subfolders(folder) if place.name.startswith("train_")]
            extra = [name for name in extra if folder / name not in folders]
            if wanted == "train" and extra:
                notes.append(f"{folder.name}: {', '.join(extra)} is only read when named itself")
        elif splits:
            notes.append(f"{folder.name} has no {wanted} split")
        elif split in (None, split_of(folder) or "train"):
            places.append(folder)
        else:
            notes.append(f"{dataset_name(folder)} has no {split} split")
    if not places:
        raise MmdemoError(f"No {split or 'test'} data found", "; ".join(notes), "Name a folder that has it")
    return list(dict.fromkeys(places)), notes


def split_folders(folder: Path) -> dict[str, Path]:
    """Sub-folders by split, empty where the folder is no data set with splits.

    A class may be called "train", so every sub-folder must be a split's, and no table may lie beside them.
    """
    if not folder.is_dir() or any((folder / name).is_file() for name in TABLES):
        return {}
    places = subfolders(folder)
    known = {name: place for place in places if (name := _SPLIT_ALIASES.get(place.name, place.name)) in SPLITS}
    others = [place for place in places if place not in known.values() and not place.name.startswith("train_")]
    return known if not others else {}


def dataset_name(place: Path) -> str:
    """Short name: "coco/test" for a split, else the folder's name; a table is named after its folder."""
    folder = place if place.is_dir() else place.parent
    folder = folder.absolute()
    return f"{folder.parent.name}/{folder.name}" if split_of(folder) else folder.name


def split_of(place: Path) -> str | None:
    """The split that a folder, or the folder of a table, is named after; "train_extra" counts as train."""
    folder = (place if place.is_dir() else place.parent).absolute()
    name = _SPLIT_ALIASES.get(folder.name, folder.name)
    if name.startswith("train_"):
        name = "train"
    return name if name in SPLITS else None


def subfolders(folder: Path) -> list[Path]:
    """Visible sub-folders by name."""
    return sorted(place for place in folder.iterdir() if place.is_dir() and not place.name.startswith((".", "__")))
