"""Look at data before training: counts, splits, balance, and everything that is wrong with them."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import Json
from mmdemo.core.words import question_kind
from mmdemo.data.examples import Dataset, Example
from mmdemo.data.folders import dataset_name
from mmdemo.data.problems import Problem
from mmdemo.data.readable import Facts, Say
from mmdemo.data.splits import Splits, make_splits
from mmdemo.data.tables import read_rows

SHORT_SECONDS = 0.5
"""A clip shorter than this holds a word at best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartReport:
    """One part: how many examples, different files and groups, and examples by label.

    Of Ask the labels are kinds of question (yes/no, number, open); of pictures with captions there are none.
    """

    examples: int
    files: int
    groups: int
    labels: Mapping[str, int]

    def to_json(self) -> Json:
        return {"examples": self.examples, "files": self.files, "groups": self.groups, "labels": dict(self.labels)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Same:
    """Files of equal content in one part, or examples of equal content that are said to be different things."""

    part: str
    files: tuple[str, ...]
    said: tuple[str, ...] = ()

    def to_json(self) -> Json:
        return {"part": self.part, "files": list(self.files), "said": list(self.said)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What :func:`check_data` found.

    Attributes:
        parts: "train", "validation" and "test".
        bad_rows: Rows that cannot be used, one sentence each.
        problems: Files that are not there or cannot be read, with the line that names them.
        duplicates: Different files of one part with the same content.
        conflicts: The same content with different labels, or with different answers to one question.
        leaks: What is in two parts at once, one sentence each.
        short, silent: Clips under :data:`SHORT_SECONDS`, and clips in which nothing is to be heard.
        empty_captions: Lines with captions that hold nothing; those captions are passed over.
        notes: How the data were read and parted, one sentence each.
        refusals: Why training would not start; empty where it would.
        seconds: How long the check took.
    """

    task: str
    data: str
    parts: Mapping[str, PartReport] = field(default_factory=dict)
    bad_rows: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    duplicates: tuple[Same, ...] = ()
    conflicts: tuple[Same, ...] = ()
    leaks: tuple[str, ...] = ()
    short: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    empty_captions: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether training would start."""
        return not self.refusals

    def to_json(self) -> Json:
        return {
            "task": self.task,
            "data": self.data,
            "good": self.good,
            "parts": {name: part.to_json() for name, part in self.parts.items()},
            "bad_rows": list(self.bad_rows),
            "problems": [problem.to_json() for problem in self.problems],
            "duplicates": [same.to_json() for same in self.duplicates],
            "conflicts": [same.to_json() for same in self.conflicts],
            "leaks": list(self.leaks),
            "short": list(self.short),
            "silent": list(self.silent),
            "empty_captions": [problem.to_json() for problem in self.empty_captions],
            "notes": list(self.notes),
            "refusals": list(self.refusals),
            "seconds": round(self.seconds, 3),
        }


def check_data(
    task: str,
    data: Sequence[Path],
    *,
    folds: Path | None = None,
    fold: int | None = None,
    seed: int = 0,
    allow_leaks: bool = False,
    say: Say | None = None,
) -> CheckReport:
    """Read and part data exactly as training would, and report what was found instead of refusing it.

    Args:
        say: Called with progress while files are decoded for the first time.
    """
    started = time.monotonic()
    name = " + ".join(dict.fromkeys(dataset_name(place) for place in data))
    try:
        parts = make_splits(task, data, folds=folds, fold=fold, seed=seed, allow_leaks=allow_leaks, say=say)
    except MmdemoError as error:  # nothing can be parted, so there is nothing more to look at
        return CheckReport(task=task, data=name, refusals=(str(error),), seconds=time.monotonic() - started)
    return report(parts, name=name, seconds=time.monotonic() - started)


def report(parts: Splits, *, name: str, seconds: float = 0.0) -> CheckReport:
    """What is to be said of data that have been read and parted.

    Args:
        name: What the data are called.
        seconds: How long reading took.
    """
    started = time.monotonic()
    named = parts.by_name()
    examples = [example for dataset in named.values() for example in dataset.examples]
    clips = {example.file: example for example in examples if example.file is not None}
    short = [e for file, e in clips.items() if 0 < parts.facts[file].seconds < SHORT_SECONDS]
    silent = [e for file, e in clips.items() if parts.facts[file].silent]
    return CheckReport(
        task=parts.train.task,
        data=name,
        parts={name: _part(dataset) for name, dataset in named.items()},
        bad_rows=parts.bad_rows,
        problems=parts.problems,
        duplicates=tuple(
            same for name, dataset in named.items() for same in _duplicates(name, dataset.examples, parts.facts)
        ),
        conflicts=_conflicts(parts),
        leaks=parts.leaks,
        short=tuple(map(_shown, short)),
        silent=tuple(map(_shown, silent)),
        empty_captions=_empty_captions(examples),
        notes=tuple(dict.fromkeys(note for dataset in named.values() for note in dataset.notes)),
        refusals=tuple(map(str, parts.refusals)),
        seconds=seconds + time.monotonic() - started,
    )


# ----------------------------------------------------------------


def _part(dataset: Dataset) -> PartReport:
    labels = Counter(_label(example) for example in dataset.examples)
    labels.pop("", None)
    return PartReport(
        examples=len(dataset.examples),
        files=len({example.file for example in dataset.examples}),
        groups=len({example.group for example in dataset.examples if example.group is not None}),
        labels=dict(sorted(labels.items(), key=lambda item: (-item[1], item[0]))),
    )


def _label(example: Example) -> str:
    if example.label is not None:
        return example.label
    return question_kind(example.question, example.answer) if example.question else ""


def _duplicates(part: str, examples: Iterable[Example], facts: Mapping[Path, Facts]) -> list[Same]:
    found: dict[str, dict[Path, Example]] = defaultdict(dict)
    for example in examples:
        if example.file is not None:
            found[facts[example.file].content].setdefault(example.file, example)
    return [Same(part=part, files=tuple(map(_shown, some.values()))) for some in found.values() if len(some) > 1]


def _conflicts(parts: Splits) -> tuple[Same, ...]:
    """Equal content with different labels, or with different answers to the same question, over all parts."""
    found: dict[tuple[str, str], dict[str, tuple[str, Example]]] = defaultdict(dict)
    for part, dataset in parts.by_name().items():
        for example in dataset.examples:
            said = example.label if example.label is not None else example.answer
            if example.file is not None and said is not None:
                key = (parts.facts[example.file].content, example.question.casefold())
                found[key].setdefault(said.casefold(), (part, example))
    return tuple(
        Same(
            part=" and ".join(dict.fromkeys(part for part, _ in some.values())),
            files=tuple(dict.fromkeys(_shown(example) for _, example in some.values())),
            said=tuple(example.label or example.answer or "" for _, example in some.values()),
        )
        for some in found.values()
        if len(some) > 1
    )


def _empty_captions(examples: Iterable[Example]) -> tuple[Problem, ...]:
    tables = dict.fromkeys(example.table for example in examples if example.captions and example.table is not None)
    return tuple(
        Problem(file=row.text("file_name") or "", why=f"{blanks} of its captions are empty", table=table, line=row.line)
        for table in tables
        for row in read_rows(table)
        if (blanks := row.blanks("captions"))
    )


def _shown(example: Example) -> str:
    """A file as people find it: with its line where a table names it, else with its folder."""
    if example.file is None:
        return ""
    if example.table is not None:
        return f"{example.file.name} ({example.table.name}, {example.line})"
    return f"{example.file.parent.name}/{example.file.name}"
