"""Examples and data sets: the records that reading makes and everything after it works with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One thing to learn from or to be measured on.

    Attributes:
        file: Picture or clip, known to exist when it was read; None for text alone.
        question, answer: For Ask; ``answers`` are the ten human answers where given, ``answer_scores`` the share of
            agreement in [0, 1] by answer.
        captions: All captions of the picture.
        label: Class or emotion.
        group: Speaker, or whatever must not be in two splits at once.
        columns: Every other plain column of the row as text.
        table, line: Where the example is named; None and 0 in class folders. No part of the fingerprint.
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
    table: Path | None = None
    line: int = 0


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


def fingerprint(examples: Iterable[Example]) -> str:
    """Hex SHA-1 of texts, file names and file sizes, in order."""
    digest = hashlib.sha1(usedforsecurity=False)
    sizes: dict[Path, int] = {}
    for example in examples:
        if example.file is not None and example.file not in sizes:
            sizes[example.file] = _size(example.file)
        file = (example.file.name, sizes[example.file]) if example.file is not None else None
        scores = sorted(example.answer_scores.items()) if example.answer_scores is not None else None
        row = (file, example.question, example.answer, example.answers, scores, example.captions, example.label)
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def _size(file: Path) -> int:
    """Bytes of a file; -1 where there is nothing behind its name, such as a link to a deleted file."""
    try:
        return file.stat().st_size
    except OSError:
        return -1
