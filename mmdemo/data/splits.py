"""The parts of some data: for training, for choosing and for measuring; as given, by fold, or taken from training.

What cannot be read is left out and counted. What would make a training worthless is found here: parts that share a
file or a speaker, labels that training never sees, data of which most cannot be read.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import CLASSIFY, TASK_SPECS
from mmdemo.core.types import TASKS as SERVED
from mmdemo.core.words import nearest_name
from mmdemo.data.examples import Dataset, Example
from mmdemo.data.folders import resolve_split
from mmdemo.data.grouping import fold_split, leaks, split_by_group, tied
from mmdemo.data.problems import Problem, ReadResult, left_out
from mmdemo.data.read import read_examples
from mmdemo.data.readable import Facts, Say, facts, readable
from mmdemo.media.text import parse_labels, plain

SHARE = 0.1
"""Of the examples, for each part that is made."""

FEWEST = 10
"""Examples without which no part is set aside; twice as many before one for measuring is."""

FEWEST_GROUPS = 3
"""Groups (speakers, or different files) without which no part is set aside; 5 before one for measuring is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """Data in parts that have nothing in common, or the reasons why that is not so.

    Attributes:
        validation, test: Empty where there are none.
        problems: Files that are not there or cannot be read, of all parts.
        bad_rows: Rows of tables that cannot be used, one sentence each; the first is among the refusals.
        refusals: Why training should not go on, the gravest first.
        leaks: What is in two parts at once, one sentence each; refused unless that was allowed.
        made: Names of the parts that were not given, but taken from training here.
        facts: What every file turned out to be.
    """

    train: Dataset
    validation: Dataset
    test: Dataset
    problems: tuple[Problem, ...] = ()
    bad_rows: tuple[str, ...] = ()
    refusals: tuple[MmdemoError, ...] = ()
    leaks: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    facts: Mapping[Path, Facts]

    def by_name(self) -> dict[str, Dataset]:
        """Each part by its name: "train", "validation" and "test"."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def make_splits(
    task: str,
    data: Sequence[Path],
    *,
    folds: Path | None = None,
    fold: int | None = None,
    seed: int = 0,
    allow_leaks: bool = False,
    known_labels: Collection[str] = (),
    say: Say | None = None,
) -> Splits:
    """Read data for training and part it.

    Given splits stay as they are. Without a validation split a tenth of the training examples becomes one, and without
    any split another tenth is kept for measuring: by speaker or group where the data name them, else by file content,
    labels level, the same for the same seed. Small data are not parted, with a note that says so.

    Args:
        folds, fold: Folds of speakers and the number of the one that is for measuring, see :func:`fold_split`.
        known_labels: Labels that need not be in training, because what is trained knows them already.

    Raises:
        MmdemoError: The data cannot be read or parted at all.
    """
    reader = _Reader(task, data, say)
    notes: list[str] = []
    made: dict[str, Dataset] = {}
    train = reader.read("train")
    if folds is not None and fold is not None:
        train, validation, test = fold_split(train, folds, fold)
        test = replace(test, name=f"fold {fold} of {test.name.split(' + ')[0]}")
    else:
        given = [split for split in ("validation", "test") if _has(data, split)]
        validation, test = (
            reader.read(split) if split in given else train.with_examples((), split=split)
            for split in ("validation", "test")
        )
        wanted = [] if "validation" in given else ["validation"]
        if not given and task in SERVED:
            wanted.append("test")
        if wanted and train.examples:
            made, notes = _divide(train, wanted, seed, reader.contents())
            train = made["train"]
            validation, test = made.get("validation", validation), made.get("test", test)
    parts = {"train": train.examples, "validation": validation.examples, "test": test.examples}
    found = leaks(parts, reader.contents())
    if found and allow_leaks:
        allowed = [f"{sentence}: allowed by --allow-leaks" for sentence in found]
        notes += allowed
        test = replace(test, notes=(*test.notes, *allowed))  # figures must not hide it
    refusals = [*reader.refusals, *_unseen_labels(task, parts, known_labels), *_unusable_classes(task, parts)]
    if not train.examples and not reader.bad_rows:
        why = reader.refusals[0].why if reader.refusals else f"{train.name} has no example for training"
        refusals.insert(0, MmdemoError("There is nothing to learn from", why))
    if found and not allow_leaks:
        refusals.append(
            MmdemoError(
                "The data leak between their parts",
                "; ".join(found),
                "Take them out of one part, or give --allow-leaks to train all the same",
            )
        )
    return Splits(
        train=replace(train, notes=tuple(dict.fromkeys((*train.notes, *notes)))),
        validation=validation,
        test=test,
        problems=tuple(dict.fromkeys(reader.problems)),
        bad_rows=tuple(map(str, reader.bad_rows)),
        refusals=tuple(refusals),
        leaks=found,
        made=tuple(name for name in made if name != "train"),
        facts=reader.facts,
    )


# ---------------------------------------------------------------- reading


class _Reader:
    """Reads splits, leaves out what cannot be read, and keeps what was found of every file."""

    def __init__(self, task: str, data: Sequence[Path], say: Say | None) -> None:
        self._task, self._data, self._say = task, data, say
        self.facts: dict[Path, Facts] = {}
        self.problems: list[Problem] = []
        self.bad_rows: list[MmdemoError] = []
        self.refusals: list[MmdemoError] = []

    def read(self, split: str) -> Dataset:
        found = ReadResult()
        dataset = read_examples(self._task, self._data, split=split, found=found)
        self.bad_rows += found.bad_rows
        self.refusals += found.bad_rows[:1]
        self.facts |= facts((e.file for e in dataset.examples if e.file is not None), self._task, say=self._say)
        kept, problems = readable(dataset.examples, self._task, known=self.facts)
        bad = [*found.missing, *problems]
        self.problems += bad
        if not bad:
            return dataset
        good, wrong = len({e.file for e in kept}), len({problem.file for problem in bad})
        if wrong > good:
            self.refusals.append(
                MmdemoError(
                    f"Most files of {dataset.name} cannot be read",
                    f"{wrong} of {good + wrong}, {'' if wrong == 1 else 'first '}{bad[0]}",
                    "Name their folder with another --data" if found.missing else "",
                )
            )
        notes = (*dataset.notes, f"{dataset.name}: {left_out(bad)}")
        return replace(dataset.with_examples(kept, split=dataset.split), notes=notes)

    def contents(self) -> dict[Path, str]:
        return {file: one.content for file, one in self.facts.items() if one.content}


def _has(data: Sequence[Path], split: str) -> bool:
    try:
        resolve_split(data, split)
    except MmdemoError:  # none of the data has it; whatever else is wrong was said when training was read
        return False
    return True


# ---------------------------------------------------------------- parting


def _divide(
    dataset: Dataset, wanted: Sequence[str], seed: int, contents: Mapping[Path, str]
) -> tuple[dict[str, Dataset], list[str]]:
    """Take parts from training; fewer than wanted, or none, of data that are too small for it."""
    examples = dataset.examples
    groups = tied(examples, contents)
    by_group = any(example.group is not None for example in examples)
    size = f"{len(examples)} examples of {len(groups)} {'speakers or groups' if by_group else 'different files'}"
    if len(examples) < FEWEST or len(groups) < FEWEST_GROUPS:
        note = (
            f"{dataset.name} is too small to set anything aside ({size}): nothing is measured on what was not learned"
        )
        return {"train": dataset}, [note]
    notes = []
    if len(wanted) > 1 and (len(examples) < 2 * FEWEST or len(groups) < FEWEST_GROUPS + 2):
        notes.append(f"{dataset.name} is too small for a test part of its own ({size})")
        wanted = wanted[:1]
    shares = (1 - SHARE * len(wanted), *[SHARE] * len(wanted))
    rows = split_by_group(examples, shares, seed=seed, contents=contents)
    names = ("train", *wanted)
    placed = {id(example): part for part, some in zip(names, rows, strict=True) for example in some}
    units = [[examples[row] for row in group] for group in groups]
    where = _level(units, [placed[id(unit[0])] for unit in units], wanted)
    chosen = {id(example): part for unit, part in zip(units, where, strict=True) for example in unit}
    made = {part: dataset.with_examples((e for e in examples if chosen[id(e)] == part), split=part) for part in names}
    how = "by speaker or group" if by_group else "by content of the files"
    taken = " and ".join(f"{len(made[part].examples)} for {part}" for part in wanted)
    notes.append(f"{dataset.name}: of {len(examples)} examples {taken} were set aside, {how}, with seed {seed}")
    if "test" in made:
        if not _measurable(made["test"]):
            notes = [f"{dataset.name} is too small for a test part of its own ({size})"]
            alone, more = _divide(dataset, wanted[:1], seed, contents)
            return alone, [*notes, *more]
        name = f"{dataset.name}, {len(made['test'].examples)} examples held out"
        made["test"] = replace(made["test"], name=name, notes=(*dataset.notes, notes[-1]))
    return made, notes


def _measurable(test: Dataset) -> bool:
    """Whether figures on a test part would say something."""
    counts = Counter(example.label for example in test.examples)
    if set(counts) <= {None}:
        return True
    least = TASK_SPECS[test.task].min_of_label if test.task in TASK_SPECS else 1
    return sum(count >= least for count in counts.values()) > 1


def _level(units: Sequence[Sequence[Example]], where: list[str], wanted: Sequence[str]) -> list[str]:
    """Move units so that training sees every label, and the other parts do where a label has enough.

    Args:
        units: Examples that stay together.
        where: The part of each.
    """
    labels = [Counter(example.label for example in unit if example.label is not None) for unit in units]
    in_train = Counter(label for at, part in zip(labels, where, strict=True) if part == "train" for label in at)
    for number, part in enumerate(where):
        if part != "train" and any(not in_train[label] for label in labels[number]):
            where[number] = "train"
            in_train.update(labels[number].keys())
    most = math.ceil(2 * SHARE * sum(map(len, units)))
    for part in wanted:
        there = [number for number, place in enumerate(where) if place == part]
        size = sum(len(units[number]) for number in there)
        seen = {label for number in there for label in labels[number]}
        for label in sorted(in_train.keys() - seen, key=str):
            free = [
                number
                for number, place in enumerate(where)
                if place == "train"
                and label in labels[number]
                and size + len(units[number]) <= most
                and all(in_train[other] > len(wanted) for other in labels[number])
            ]
            if label not in seen and free:
                number = min(free, key=lambda one: len(units[one]))
                where[number] = part
                size += len(units[number])
                seen |= labels[number].keys()
                in_train.subtract(labels[number].keys())
    return where


def _unseen_labels(task: str, parts: Mapping[str, Sequence[Example]], known: Collection[str]) -> list[MmdemoError]:
    if task not in TASK_SPECS or not TASK_SPECS[task].labelled:
        return []
    learned = {example.label for example in parts["train"]} | set(known)
    found = []
    for part in ("validation", "test"):
        unseen = sorted({example.label for example in parts[part] if example.label is not None} - learned, key=str)
        if unseen:
            label = str(unseen[0])
            more = f" and {len(unseen) - 1} more" if len(unseen) > 1 else ""
            near = nearest_name(label, [str(one) for one in learned if one])
            found.append(
                MmdemoError(
                    f"The label {label!r}{more} is in {part} only",
                    "nothing could be learned of it",
                    f"Did you mean {near!r}" if near else f"Add examples of it to train, or take it out of {part}",
                )
            )
    return found


def _unusable_classes(task: str, parts: Mapping[str, Sequence[Example]]) -> list[MmdemoError]:
    """Classes that a finished model could not be asked for: it would learn them and then refuse every question."""
    labels = sorted({e.label for part in parts.values() for e in part if e.label is not None})
    if task != CLASSIFY or not labels:
        return []
    spelled: dict[str, str] = {}
    for label in labels:
        other = spelled.setdefault(plain(label).casefold(), label)
        if other != label:
            return [
                MmdemoError(
                    f"The classes {other!r} and {label!r} cannot be told apart",
                    "they differ in upper and lower case or in blanks only",
                    "Make them one class, or call one of them something else",
                )
            ]
    try:
        parse_labels(labels)
    except MmdemoError as error:
        return [MmdemoError("Its classes cannot be learned", error.why, "Call that class something else")]
    return []
