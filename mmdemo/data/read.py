"""Read data in a few plain conventions: class folders, tables, and datasets saved to disk.

Conventions, each one folder or several given together:

- class folders: one sub-folder per label, files in it;
- ``captions``: a table with rows ``file_name, captions``, or ``caption`` with a row for each;
- ``questions``: rows ``file_name, question, answer``, optionally ``answers`` (ten human answers) or
  ``answer_scores``, and ``folder`` (where the file lies, relative to the table);
- ``metadata``: rows ``file_name, label``, or what their columns say;
- a ``datasets.Dataset`` or ``DatasetDict`` saved to disk, whose pictures and clips may lie inside it.

A table is ``.jsonl``, ``.csv`` or ``.parquet``; it may also be named itself, and then its columns say what it holds.
Columns have the names of :data:`mmdemo.data.rows.COLUMNS`. ``speaker`` or ``group`` names what must not be in two
splits at once. Files are looked for beside their table, then in the other folders given; absolute paths are taken as
they are, and nothing is fetched.

A folder whose sub-folders are ``train``, ``validation`` and ``test`` is a data set with splits, and so is a table with
a column ``split``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import ASK, CAPTION, CLASSIFY, SENTIMENT
from mmdemo.core.words import word_set
from mmdemo.data import emotions
from mmdemo.data.examples import Dataset, Example, fingerprint
from mmdemo.data.folders import SplitFolder, dataset_name, resolve_split, split_of, subfolders, tables_in
from mmdemo.data.problems import ReadResult
from mmdemo.data.table_examples import CAPTIONS, LABELS, QUESTIONS, need_columns, read_table, tables_of
from mmdemo.data.tables import SUFFIXES

__all__ = ["PICTURE_SUFFIXES", "SOUND_SUFFIXES", "SOUND_TASKS", "Dataset", "Example", "fingerprint", "read_examples"]

PICTURE_SUFFIXES = word_set(".png .jpg .jpeg .webp .bmp .gif .tif .tiff .avif")
SOUND_SUFFIXES = word_set(".wav .flac .ogg .oga .opus .mp3 .m4a .aac .aif .aiff .au .webm")
"""What counts as a clip in class folders. libsndfile decodes neither .m4a nor .aac nor .webm: such clips are read,
refused by name and counted, which is better than not being seen at all."""

SOUND_TASKS = (SENTIMENT, "speech")


def read_examples(
    task: str, folders: Sequence[Path | str], *, split: str | None = None, found: ReadResult | None = None
) -> Dataset:
    """Read all examples for a task from one or several folders or tables.

    Args:
        task: A served task, "speech", or "vision" (captions and questions together).
        folders: Data sets with splits, plain folders (taken whole) or tables.
        split: Which split; of data without splits "train" takes all and the others nothing. None is for measuring:
            the test split where there are splits, everything elsewhere.
        found: Takes files that a table names and that are not there, and rows that cannot be used; without it the first
            of them is an error.

    Raises:
        MmdemoError: Nothing there, unknown convention, wrong columns, bad rows, or files that are missing.
    """
    readers: Mapping[str, Callable[[_Places], list[Example]]] = {
        ASK: lambda places: places.rows(QUESTIONS),
        CAPTION: lambda places: places.rows(CAPTIONS),
        "vision": _captions_and_questions,
        CLASSIFY: _labels_or_captions if split is None else _labels_and_captions,
        SENTIMENT: lambda places: places.labelled(SOUND_SUFFIXES),
        "speech": lambda places: places.labelled(SOUND_SUFFIXES),
    }
    if task not in readers:
        raise MmdemoError(f"Unknown task {task!r}", f"known are {', '.join(readers)}")
    if not folders:
        raise MmdemoError("No data was given", "", "Name a folder with --data")
    parts, notes = resolve_split([Path(folder) for folder in folders], split)
    places = _Places(parts, found)
    examples = readers[task](places)
    notes += places.notes
    if task in SOUND_TASKS:
        notes += [note] if (note := emotions.renamed(e.label or "" for e in examples)) else []
        examples = [replace(e, label=emotions.emotion(e.label)) if e.label else e for e in examples]
    splits = {part.rows or split_of(part.place) for part in parts}
    return Dataset(
        task=task,
        examples=tuple(examples),
        folders=tuple(part.place for part in parts),
        split=split if split is not None else splits.pop() if len(splits) == 1 else None,
        name=" + ".join(dict.fromkeys(dataset_name(part.place) for part in parts)),
        fingerprint=fingerprint(examples),
        notes=tuple(notes),
    )


# ----------------------------------------------------------------


class _Places:
    """What is read: folders and tables with the splits resolved; collects what was found and notes on the way."""

    def __init__(self, parts: Sequence[SplitFolder], found: ReadResult | None) -> None:
        self.parts = parts
        self.folders = [part.place for part in parts]
        self.found = found
        self.notes: list[str] = []

    def rows(self, kind: str, *, may_be_none: bool = False) -> list[Example]:
        """Examples of all tables of a kind."""
        examples: list[Example] = []
        for part in self.parts:
            tables = tables_of(part.place, kind)
            if not tables and not may_be_none and len(self.parts) == 1:
                raise self._unusable(part.place, kind, kind)
            for table in tables:
                examples += read_table(table, kind, part, self.folders, found=self.found)
        if not examples and not may_be_none and not self.found:
            listed = ", ".join(str(folder) for folder in self.folders)
            raise MmdemoError(f"No rows were found in {listed}", f"there is no table of {kind} or it is empty")
        return examples

    def labelled(self, suffixes: frozenset[str]) -> list[Example]:
        """Examples with labels, from tables or class folders."""
        examples: list[Example] = []
        for part in self.parts:
            tables = tables_of(part.place, LABELS)
            for table in tables:
                examples += read_table(table, LABELS, part, self.folders, found=self.found)
            if not tables:
                if part.place.is_file() or tables_in(part.place):
                    raise self._unusable(part.place, LABELS, "a table with file_name and label, or class folders")
                examples += self._classes(part.place, suffixes)
        if not examples and not self.found:
            raise MmdemoError(f"No rows were found in {self.folders[0]}", "the table is empty")
        return examples

    def _classes(self, folder: Path, suffixes: frozenset[str]) -> list[Example]:
        """Files in class folders; the folder's name is the label."""
        found: list[Example] = []
        others: Counter[str] = Counter()
        for place in subfolders(folder):
            for file in sorted(place.iterdir()):
                if file.name.startswith(".") or file.is_dir():
                    continue
                if file.suffix.lower() in suffixes:
                    found.append(Example(file=file, label=place.name))
                else:
                    others[file.suffix.lower() or "no ending"] += 1
        if len({example.label for example in found}) < 2:
            raise _unknown_convention(folder, "two or more class folders with files in them", others)
        if others:
            self.notes.append(f"{dataset_name(folder)}: not looked at, because of their endings: {_by_ending(others)}")
        return found

    def _unusable(self, place: Path, kind: str, wanted: str) -> MmdemoError:
        for table in tables_in(place)[:1]:
            try:
                need_columns(table, kind)
            except MmdemoError as error:
                return error
        return _unknown_convention(place, wanted if wanted != kind else f"{kind}.jsonl, .csv or .parquet")


def _captions_and_questions(places: _Places) -> list[Example]:
    captions = places.rows(CAPTIONS, may_be_none=True)
    questions = places.rows(QUESTIONS, may_be_none=True)
    if not captions and not questions and not places.found:
        raise _unknown_convention(places.folders[0], "a table of captions or questions")
    return captions + questions


def _labels_or_captions(places: _Places) -> list[Example]:
    """For measuring: labels are told apart, captions are searched by, and no figure is of both."""
    captioned, labelled = _by_convention(places)
    if captioned and labelled:
        raise MmdemoError(
            "Labels and captions cannot be mixed",
            f"{captioned[0].place} has captions and {labelled[0].place} has labels",
            "Use them one after the other",
        )
    return places.rows(CAPTIONS) if captioned else places.labelled(PICTURE_SUFFIXES)


def _labels_and_captions(places: _Places) -> list[Example]:
    """For training: a label is one more thing that may be said of a picture."""
    captioned, labelled = _by_convention(places)
    if not captioned or not labelled:
        return places.rows(CAPTIONS) if captioned else places.labelled(PICTURE_SUFFIXES)
    alone = _Places(labelled, places.found)
    examples = alone.labelled(PICTURE_SUFFIXES)
    places.notes += alone.notes
    return [*_Places([part for part in places.parts if part not in labelled], places.found).rows(CAPTIONS), *examples]


def _by_convention(places: _Places) -> tuple[list[SplitFolder], list[SplitFolder]]:
    """What has captions, and what has labels; folders of pictures alone, which a table may name, are neither."""
    captioned = [part for part in places.parts if _has_captions(part.place)]
    plain = [part for part in places.parts if part not in captioned]
    return captioned, [part for part in plain if tables_of(part.place, LABELS) or _has_classes(part.place)]


def _has_captions(folder: Path) -> bool:
    """Whether pictures are described by captions; a table that has labels too is one of labels."""
    captions = tables_of(folder, CAPTIONS)
    return bool(captions) and captions != tables_of(folder, LABELS)


def _has_classes(folder: Path) -> bool:
    """Whether there is no table, and pictures lie in two or more folders."""
    if folder.is_file() or tables_in(folder):
        return False
    shown = (any(file.suffix.lower() in PICTURE_SUFFIXES for file in place.iterdir()) for place in subfolders(folder))
    return sum(shown) > 1


def _by_ending(others: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {ending} file{'s' * (count > 1)}" for ending, count in sorted(others.items()))


def _unknown_convention(folder: Path, wanted: str, others: Mapping[str, int] | None = None) -> MmdemoError:
    if folder.is_file():
        return MmdemoError(f"{folder} cannot be used here", f"needed is {wanted}")
    tables = sorted(place.name for place in folder.iterdir() if place.suffix.lower() in SUFFIXES)
    names = sorted(place.name + ("/" if place.is_dir() else "") for place in folder.iterdir())
    found = f"it holds {', '.join(names[:5])}{' and more' if len(names) > 5 else ''}" if names else "it is empty"
    if others:
        found += f", and in them {_by_ending(others)}"
    return MmdemoError(
        f"The data in {folder} cannot be used here",
        f"{found}; needed is {wanted}",
        f"Name {folder / tables[0]} itself with --data"
        if tables
        else "Supported are class folders, tables of captions, questions or labels (.jsonl, .csv, .parquet) and "
        "datasets saved to disk",
    )
