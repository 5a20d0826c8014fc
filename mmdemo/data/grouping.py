"""Split data so that nothing is in two parts at once: by fold of speakers, by group, and a check that it worked."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from random import Random

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import Unreadable, read_json
from mmdemo.data.read import Dataset, Example

GENDER_COLUMNS = ("gender", "sex")


def read_folds(file: Path) -> dict[str, list[list[str]]]:
    """Folds by corpus: ``{"ravdess": [["ravdess_01", ...], ...], ...}``.

    Raises:
        MmdemoError: It cannot be read or has another form.
    """
    try:
        folds = read_json(file)
    except Unreadable as error:
        raise MmdemoError(f"The folds in {file} cannot be read", error.why) from error
    plain = isinstance(folds, dict) and all(
        isinstance(lists, list)
        and all(isinstance(fold, list) and all(isinstance(speaker, str) for speaker in fold) for fold in lists)
        for lists in folds.values()
    )
    if not plain:
        raise MmdemoError(f"The folds in {file} cannot be used", "needed is an object of corpus to lists of speakers")
    return dict(folds)


def folds_for(dataset: Dataset, file: Path) -> list[list[str]]:
    """The folds of the corpus whose speakers the data has; of several corpora the one with the most clips.

    Raises:
        MmdemoError: The data has no speakers, or none of those in the file.
    """
    clips = Counter(example.group for example in dataset.examples if example.group is not None)
    if not clips:
        raise MmdemoError("Folds need speakers", f"{dataset.name} names none", "Add a column speaker to metadata.jsonl")
    corpora = read_folds(file)
    found = {name: sum(clips[speaker] for fold in folds for speaker in fold) for name, folds in corpora.items()}
    if not any(found.values()):
        raise MmdemoError(f"The folds in {file} do not fit", f"none of their speakers is in {dataset.name}")
    first = {name: -number for number, name in enumerate(corpora)}  # of equals, the one that the file names first
    return corpora[max(found, key=lambda name: (found[name], first[name]))]


def fold_split(dataset: Dataset, file: Path, fold: int) -> tuple[Dataset, Dataset, Dataset]:
    """Make one fold's speakers the test split.

    The corpus is that of :func:`folds_for`. One speaker of each gender from the rest of that corpus is the validation
    split: the first by name of the next fold, so that over all folds everyone's turn is alike. Everything else,
    other corpora in the data included, is for training.

    Returns:
        Training, validation and test data; no speaker is in two of them.

    Raises:
        MmdemoError: No such fold, or the data lacks its speakers.
    """
    folds = folds_for(dataset, file)
    if not 0 <= fold < len(folds):
        raise MmdemoError(f"There is no fold {fold}", f"there are {len(folds)}, counted from 0")
    held = frozenset(folds[fold])
    present = {example.group for example in dataset.examples}
    if not held & present:
        raise MmdemoError(f"Fold {fold} is empty", "the data has none of its speakers")
    later = [speaker for step in range(1, len(folds)) for speaker in sorted(folds[(fold + step) % len(folds)])]
    gender = _genders(dataset.examples)
    chosen: dict[str, str] = {}
    for speaker in later:
        if speaker in present:
            chosen.setdefault(gender.get(speaker, ""), speaker)
    validating = frozenset(chosen.values())
    if len(validating) >= len(present - held):
        raise MmdemoError("Too few speakers", "after the test fold and validation none would be left for training")
    parts: dict[str, list[Example]] = {"train": [], "validation": [], "test": []}
    for example in dataset.examples:
        part = "test" if example.group in held else "validation" if example.group in validating else "train"
        parts[part].append(example)
    train, validation, test = (dataset.with_examples(parts[name], split=name) for name in parts)
    return train, validation, test


def split_by_group(
    examples: Sequence[Example],
    fractions: Sequence[float],
    *,
    seed: int = 0,
    contents: Mapping[Path, str] | None = None,
) -> tuple[tuple[Example, ...], ...]:
    """Split into parts of about the given shares; examples of one group or one file content stay together.

    Labels are kept about level: groups are dealt, largest label first, to the part that lacks most of that label.

    Args:
        fractions: Shares of the parts, positive, summing to 1.
        seed: The same examples and seed give the same parts.
        contents: :func:`content_key` by file, where that is known already.

    Raises:
        MmdemoError: There are fewer groups than parts.
    """
    if any(share <= 0 for share in fractions) or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError("fractions must be positive and sum to 1")
    groups = tied(examples, contents)
    if len(groups) < len(fractions):
        raise MmdemoError("The data cannot be split", f"it has {len(groups)} groups for {len(fractions)} parts")
    total = Counter(example.label for example in examples)
    order = list(range(len(groups)))
    Random(seed).shuffle(order)  # noqa: S311 - no secret
    common = [Counter(examples[row].label for row in groups[number]).most_common(1)[0] for number in range(len(groups))]
    order.sort(key=lambda number: (total[common[number][0]], -common[number][1]))
    held = [Counter[str | None]() for _ in fractions]
    parts: list[list[int]] = [[] for _ in fractions]
    for number in order:
        label, _ = common[number]
        lack = [share * total[label] - held[part][label] for part, share in enumerate(fractions)]
        room = [share * len(examples) - len(parts[part]) for part, share in enumerate(fractions)]
        part = max(range(len(fractions)), key=lambda place: (lack[place], room[place]))
        held[part].update(examples[row].label for row in groups[number])
        parts[part] += groups[number]
    for part, rows in enumerate(parts):
        if not rows:  # a small share of few groups: take a group from the part that has most
            donor = max(range(len(parts)), key=lambda place: len(parts[place]))
            moved = next(rows for rows in groups if rows[0] in parts[donor])
            parts[donor] = [row for row in parts[donor] if row not in moved]
            parts[part] = list(moved)
    return tuple(tuple(examples[row] for row in sorted(rows)) for rows in parts)


def leaks(parts: Mapping[str, Iterable[Example]], contents: Mapping[Path, str] | None = None) -> tuple[str, ...]:
    """Say what is in two parts at once, by group and by content of the files; empty where nothing is.

    Args:
        contents: :func:`content_key` by file, where that is known already.

    Returns:
        One sentence per pair of parts and kind of leak.
    """
    groups: dict[str, set[str]] = {}
    by_content: dict[str, dict[str, str]] = {}
    key = _keys(contents)
    for name, examples in parts.items():
        rows = list(examples)
        groups[name] = {example.group for example in rows if example.group is not None}
        files = dict.fromkeys(example.file for example in rows if example.file is not None)
        by_content[name] = {key(file): file.name for file in files}
    found = []
    names = list(groups)
    for number, one in enumerate(names):
        for other in names[number + 1 :]:
            if shared := sorted(groups[one] & groups[other]):
                found.append(
                    f"{_are(len(shared), 'speaker or group')} in both {one} and {other}, for example {shared[0]}"
                )
            if same := sorted(by_content[one].keys() & by_content[other].keys()):
                example = by_content[other][same[0]]
                found.append(f"{_are(len(same), 'file')} in both {one} and {other}, for example {example}")
    return tuple(found)


def _are(count: int, what: str) -> str:
    several = what.replace(" or ", "s or ") + "s"
    return f"1 {what} is" if count == 1 else f"{count} {several} are"


def content_key(file: Path) -> str:
    """Hex SHA-1 of a file's bytes."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()


def _genders(examples: Iterable[Example]) -> dict[str, str]:
    genders: dict[str, str] = {}
    for example in examples:
        value = next((example.columns[key] for key in GENDER_COLUMNS if key in example.columns), "")
        if example.group is not None:
            genders.setdefault(example.group, value.lower())
    return genders


def tied(examples: Sequence[Example], contents: Mapping[Path, str] | None = None) -> list[list[int]]:
    """Rows that must stay together, by number: same group, same file, same content."""
    key = _keys(contents)
    parent = list(range(len(examples)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first: dict[str, int] = {}
    for row, example in enumerate(examples):
        marks = [] if example.group is None else [f"group {example.group}"]
        if example.file is not None:
            marks.append(f"file {key(example.file)}")
        for mark in marks:
            parent[root(row)] = root(first.setdefault(mark, row))
    together: dict[int, list[int]] = {}
    for row in range(len(examples)):
        together.setdefault(root(row), []).append(row)
    return list(together.values())


def _keys(contents: Mapping[Path, str] | None) -> Callable[[Path], str]:
    """Content by file, each file hashed at most once."""
    known = dict(contents or {})

    def key(file: Path) -> str:
        if file not in known:
            known[file] = content_key(file)
        return known[file]

    return key
