"""Read data in a few plain conventions: class folders, ``captions``, ``questions`` and ``metadata`` tables.

Conventions, each one folder or several given together:

- class folders: one sub-folder per label, files in it;
- ``captions.jsonl``: rows ``file_name, captions``;
- ``questions.jsonl``: rows ``file_name, question, answer``, optionally ``answers`` (ten human answers) or
  ``answer_scores``, and ``folder`` (where the file lies, relative to the table);
- ``metadata.jsonl`` or ``metadata.csv``: rows ``file_name, label``, optionally ``speaker`` or ``group``.

A folder whose sub-folders are ``train``, ``validation`` and ``test`` is a data set with splits. A table may also be
named itself. Files are looked for beside their table, then in the other folders given.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.core.words import word_set
from mmdemo.data.folders import TABLES, dataset_name, resolve_split, split_of, subfolders
from mmdemo.data.tables import Row, read_rows

PICTURE_SUFFIXES = word_set(".png .jpg .jpeg .webp .bmp .gif .tif .tiff .avif")
SOUND_SUFFIXES = word_set(".wav .flac .ogg .oga .opus .mp3 .m4a .aac .aif .aiff .au .webm")
_GROUP_KEYS = ("speaker", "group")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One thing to learn from or to be measured on.

    Attributes:
        file: Picture or clip, known to exist; None for text alone.
        question, answer: For Ask; ``answers`` are the ten human answers where given, ``answer_scores`` the share of
            agreement in [0, 1] by answer.
        captions: All captions of the picture.
        label: Class or emotion.
        group: Speaker, or whatever must not be in two splits at once.
        columns: Every other plain column of the row as text.
    """

    file: Path | None
    question: str = ""
    answer: str | None = None
    answers: tuple[str, ...] = ()
    answer_scores: Mapping[str, float] | None = None
    captions: tuple[str, ...] = ()
    label: str | None = None
    group: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Examples with where they come from.

    Attributes:
        task: What they were read for.
        folders: The folders in which they were found, splits resolved.
        split: "train", "validation", "test", or None for data taken whole.
        name: Short name for cards ("coco/test + flickr8k/test").
        fingerprint: Hex SHA-1 of rows, file names and file sizes; equal data have equal fingerprints wherever they lie.
        notes: What people should know of how it was read, one sentence each.
    """

    task: str
    examples: tuple[Example, ...]
    folders: tuple[Path, ...]
    split: str | None
    name: str
    fingerprint: str
    notes: tuple[str, ...] = ()

    def with_examples(self, examples: Iterable[Example], *, split: str | None) -> Dataset:
        """The same data set with other examples, fingerprint included."""
        chosen = tuple(examples)
        return replace(self, examples=chosen, split=split, fingerprint=fingerprint(chosen))


def read_examples(task: str, folders: Sequence[Path | str], *, split: str | None = None) -> Dataset:
    """Read all examples for a task from one or several folders or tables.

    Args:
        task: "ask", "classify", "caption", "sentiment", "speech" or "vision" (captions and questions together).
        folders: Data sets with splits, plain folders (taken whole) or tables.
        split: Which split; of data without splits "train" takes all and the others nothing. None is for measuring:
            the test split where there are splits, everything elsewhere.

    Raises:
        MmdemoError: Nothing there, unknown convention, bad rows, or files that are missing.
    """
    readers: Mapping[str, Callable[[Sequence[Path]], tuple[Example, ...]]] = {
        "ask": read_questions,
        "caption": read_captions,
        "vision": _read_captions_and_questions,
        "classify": _read_labels_or_captions,
        "sentiment": read_sounds,
        "speech": read_sounds,
    }
    if task not in readers:
        raise MmdemoError(f"Unknown task {task!r}", f"known are {', '.join(readers)}")
    if not folders:
        raise MmdemoError("No data was given", "", "Name a folder with --data")
    places, notes = resolve_split([Path(folder) for folder in folders], split)
    examples = readers[task](places)
    splits = {split_of(place) for place in places}
    return Dataset(
        task=task,
        examples=examples,
        folders=tuple(places),
        split=split if split is not None else splits.pop() if len(splits) == 1 else None,
        name=" + ".join(dict.fromkeys(dataset_name(place) for place in places)),
        fingerprint=fingerprint(examples),
        notes=tuple(notes),
    )


def read_captions(folders: Sequence[Path]) -> tuple[Example, ...]:
    """Pictures with all their captions, from ``captions.jsonl``."""
    return _read_tables(folders, "captions.jsonl", _caption_example)


def read_questions(folders: Sequence[Path]) -> tuple[Example, ...]:
    """Questions with their answers, from ``questions.jsonl``."""
    return _read_tables(folders, "questions.jsonl", _question_example)


def read_sounds(folders: Sequence[Path]) -> tuple[Example, ...]:
    """Clips with labels, from ``metadata.jsonl``, ``metadata.csv`` or class folders."""
    return _read_labelled(folders, SOUND_SUFFIXES)


def read_classes(folders: Sequence[Path], suffixes: frozenset[str] = PICTURE_SUFFIXES) -> tuple[Example, ...]:
    """Files in class folders; the folder's name is the label.

    Raises:
        MmdemoError: A folder holds fewer than two classes with files of these kinds.
    """
    examples: list[Example] = []
    for folder in folders:
        found: list[Example] = []
        for place in subfolders(folder):
            found += [
                Example(file=file, label=place.name)
                for file in sorted(place.iterdir())
                if file.suffix.lower() in suffixes and not file.name.startswith(".")
            ]
        if len({example.label for example in found}) < 2:
            raise _unknown_convention(folder, "two or more class folders with files in them")
        examples += found
    return tuple(examples)


def fingerprint(examples: Iterable[Example]) -> str:
    """Hex SHA-1 of texts, file names and file sizes, in order."""
    digest = hashlib.sha1(usedforsecurity=False)
    for example in examples:
        file = (example.file.name, example.file.stat().st_size) if example.file is not None else None
        scores = sorted(example.answer_scores.items()) if example.answer_scores is not None else None
        row = (file, example.question, example.answer, example.answers, scores, example.captions, example.label)
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()


# ---------------------------------------------------------------- tables


class _Files:
    """Finds named files beside their table, then in the other folders; reads each folder's listing once."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._others = list(dict.fromkeys(place if place.is_dir() else place.parent for place in folders))
        self._listings: dict[Path, frozenset[str]] = {}
        self.missing: list[str] = []

    def find(self, row: Row) -> Path | None:
        name = row.need("file_name")
        beside = row.table.parent
        folder = row.text("folder")
        places = ([beside / folder] if folder else []) + [beside, *self._others]
        for place in places:
            if self._holds(place, name):
                return Path(os.path.normpath(place / name))
        self.missing.append(name)
        return None

    def _holds(self, place: Path, name: str) -> bool:
        if "/" in name or "\\" in name:
            return (place / name).is_file()
        if place not in self._listings:
            self._listings[place] = frozenset(_names(place))
        return name in self._listings[place]


def _names(place: Path) -> Iterator[str]:
    if place.is_dir():
        yield from (file.name for file in os.scandir(place))


def _read_tables(
    folders: Sequence[Path], table_name: str, make: Callable[[Row, Path], Example], *, may_be_none: bool = False
) -> tuple[Example, ...]:
    examples: list[Example] = []
    for folder in folders:
        tables = _tables(folder, (table_name,))
        if not tables and not may_be_none and len(folders) == 1:
            raise _unknown_convention(folder, table_name)
        for table in tables:
            examples += _read_table(table, folders, make)
    if not examples and not may_be_none:
        listed = ", ".join(str(folder) for folder in folders)
        raise MmdemoError(f"No rows were found in {listed}", f"there is no {table_name} or it is empty")
    return tuple(examples)


def _read_table(table: Path, folders: Sequence[Path], make: Callable[[Row, Path], Example]) -> Iterator[Example]:
    files = _Files(folders)
    for row in read_rows(table):
        file = files.find(row)
        if file is not None:
            yield make(row, file)
    if files.missing:
        names = list(dict.fromkeys(files.missing))
        raise MmdemoError(
            f"{len(names)} files named in {table} are missing",
            f"for example {', '.join(names[:3])}",
            "Put them beside the table, or name their folder with another --data",
        )


def _tables(folder: Path, names: Sequence[str]) -> list[Path]:
    """The named tables of a folder, or of its sub-folders where the folder is a collection of data sets."""
    if folder.is_file():
        return [folder] if folder.name in names or folder.name not in TABLES else []
    here = [folder / name for name in names if (folder / name).is_file()][:1]
    if here:
        return here
    return [table for place in subfolders(folder) for table in [place / name for name in names] if table.is_file()]


def _caption_example(row: Row, file: Path) -> Example:
    captions = row.texts("captions") or row.texts("caption")
    if not captions:
        raise row.problem("'captions' is missing or empty", "Give a list of one or more captions")
    return Example(file=file, captions=captions, columns=row.rest(frozenset({"file_name", "caption", "captions"})))


def _question_example(row: Row, file: Path) -> Example:
    answers = row.texts("answers")
    answer = row.text("answer")
    if answer is None and not answers:
        raise row.problem("'answer' is missing or empty")
    if answer is None:
        answer = max(dict.fromkeys(answers), key=answers.count)
    used = frozenset({"file_name", "folder", "question", "answer", "answers", "answer_scores"})
    return Example(
        file=file,
        question=row.need("question"),
        answer=answer,
        answers=answers,
        answer_scores=row.numbers("answer_scores"),
        columns=row.rest(used),
    )


def _label_example(row: Row, file: Path) -> Example:
    group = next((value for key in _GROUP_KEYS if (value := row.text(key)) is not None), None)
    columns = row.rest(frozenset({"file_name", "label"}))
    return Example(file=file, label=row.need("label"), group=group, columns=columns)


def _read_captions_and_questions(folders: Sequence[Path]) -> tuple[Example, ...]:
    captions = _read_tables(folders, "captions.jsonl", _caption_example, may_be_none=True)
    questions = _read_tables(folders, "questions.jsonl", _question_example, may_be_none=True)
    if not captions and not questions:
        raise _unknown_convention(folders[0], "captions.jsonl or questions.jsonl")
    return captions + questions


def _read_labels_or_captions(folders: Sequence[Path]) -> tuple[Example, ...]:
    captioned = [folder for folder in folders if _tables(folder, ("captions.jsonl",))]
    if not captioned:
        return _read_labelled(folders, PICTURE_SUFFIXES)
    plain = [folder for folder in folders if folder not in captioned]
    if any(_tables(folder, ("metadata.jsonl", "metadata.csv")) for folder in plain):
        raise MmdemoError(
            "Labels and captions cannot be mixed",
            f"{captioned[0]} has captions and {plain[0]} has labels",
            "Measure them one after the other",
        )
    return read_captions(folders)


def _read_labelled(folders: Sequence[Path], suffixes: frozenset[str]) -> tuple[Example, ...]:
    examples: list[Example] = []
    for folder in folders:
        tables = _tables(folder, ("metadata.jsonl", "metadata.csv"))
        for table in tables:
            examples += _read_table(table, folders, _label_example)
        if not tables:
            examples += read_classes([folder], suffixes) if folder.is_dir() else _wrong_table(folder)
    if not examples:
        raise MmdemoError(f"No rows were found in {folders[0]}", "the table is empty")
    return tuple(examples)


def _wrong_table(table: Path) -> tuple[Example, ...]:
    raise MmdemoError(f"{table} cannot be used here", "it is not a table of labels", "Rows need file_name and label")


def _unknown_convention(folder: Path, wanted: str) -> MmdemoError:
    if folder.is_file():
        return MmdemoError(f"{folder} cannot be used here", f"needed is {wanted}")
    names = sorted(place.name + ("/" if place.is_dir() else "") for place in folder.iterdir())
    found = f"it holds {', '.join(names[:5])}{' and more' if len(names) > 5 else ''}" if names else "it is empty"
    return MmdemoError(
        f"The data in {folder} cannot be used here",
        f"{found}; needed is {wanted}",
        "Supported are class folders, captions.jsonl, questions.jsonl, metadata.jsonl and metadata.csv",
    )
