"""Warnings before a training, in plain words: what is found in the data, and why it matters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mmdemo.core.tasks import ASK, SENTIMENT, TASK_SPECS, spec_of
from mmdemo.data.check import SHORT_SECONDS, CheckReport
from mmdemo.data.emotions import emotion
from mmdemo.data.folders import subfolders, tables_in
from mmdemo.studio.datasets.store import classes_of

FEW_OF_LABEL = 10
"""Examples of a class below which a warning is given."""

UNBALANCED = 5
"""Times as many examples of the largest class as of the smallest."""

NAMED = 3
"""Names given in a sentence."""


def warn(
    found: CheckReport, data: Sequence[Path], *, labels: Mapping[str, int], leaks_allowed: bool = False
) -> tuple[str, ...]:
    """What people should know before they train on data, the gravest first.

    Args:
        labels: Examples by label over all parts.
        leaks_allowed: Leaks are refused otherwise, and what is refused is no warning.
    """
    said = [
        _in_all(found),
        *(_classes(found, data, labels) if found.task in TASK_SPECS and spec_of(found.task).labelled else ()),
        _unreadable(found),
        _rows(found),
        _conflicts(found),
        _duplicates(found),
        *(found.leaks if leaks_allowed else ()),
        _clips(found.silent, "silent", "nothing is learned from silence"),
        _clips(found.short, f"shorter than {SHORT_SECONDS:g} seconds", "that is a word at best"),
        _empty_captions(found),
    ]
    return tuple(f"{sentence}." for sentence in said if sentence)


def _in_all(found: CheckReport) -> str:
    count = sum(part.examples for part in found.parts.values())
    spec = TASK_SPECS.get(found.task)
    things = spec.examples if spec else "examples"
    if count == 0:
        return ""
    unmeasured = not any(found.parts[name].examples for name in ("validation", "test") if name in found.parts)
    if unmeasured:
        return (
            f"There are only {count} {things}, too few to set some aside, so nothing will tell whether the model "
            "learned from them or only remembers them"
        )
    if spec and count < spec.min_examples:
        return f"There are only {count} {things}: with fewer than {spec.min_examples} the figures are mostly chance"
    return ""


def _classes(found: CheckReport, data: Sequence[Path], labels: Mapping[str, int]) -> list[str]:
    said = []
    if len(labels) == 1:
        said.append(f"There is only one class, {next(iter(labels))!r}: a model needs two to tell apart")
    # reading gives some emotions their usual names: "anger" is found as "angry"
    known = _all_classes(data)
    empty = [name for name in known if (emotion(name) if found.task == SENTIMENT else name) not in labels]
    if empty:
        said.append(f"{_names(empty)} {_has(empty)} no examples, so the model will not know {_them(empty)}")
    few = [f"{label!r} ({count})" for label, count in reversed(tuple(labels.items())) if count < FEW_OF_LABEL]
    if few:
        verb = "has" if len(few) == 1 else "have"
        said.append(
            f"{_listed(few)} {verb} fewer than {FEW_OF_LABEL} examples: "
            f"what differs between so few is learned along with what they have in common"
        )
    most, fewest = max(labels, key=labels.__getitem__, default=""), min(labels, key=labels.__getitem__, default="")
    if labels and labels[most] > UNBALANCED * labels[fewest]:
        said.append(
            f"The classes are unbalanced, {most!r} has {labels[most]} examples and {fewest!r} {labels[fewest]}: "
            "the model will lean towards the larger one"
        )
    return said


def _all_classes(data: Sequence[Path]) -> list[str]:
    """Classes that were made by hand, and class folders, whether anything is in them or not."""
    found: list[str] = []
    for folder in data:
        found += classes_of(folder)
        if folder.is_dir() and not tables_in(folder):
            found += [place.name for place in subfolders(folder) if not any(place.iterdir())]
    return list(dict.fromkeys(found))


def _unreadable(found: CheckReport) -> str:
    """Each file once, some by name with what is wrong."""
    files = {problem.file: problem for problem in reversed(found.problems)}
    if not files:
        return ""
    some = [str(problem) for problem in reversed(files.values())]
    return f"{_count(some, 'file')} cannot be read and {_are(some)} left out: {_listed(some, '; ')}"


def _rows(found: CheckReport) -> str:
    count = len(found.bad_rows)
    return f"{count} rows cannot be used, first: {found.bad_rows[0].rstrip('.')}" if count > 1 else ""


def _conflicts(found: CheckReport) -> str:
    some = found.conflicts
    if not some:
        return ""
    what = "answers to the same question" if found.task == ASK else "labels"
    files, words = some[0].files[:NAMED], map(repr, some[0].said[:NAMED])
    head = f"{_count(some, 'file')} {_has(some)} different {what}, {_example(some)}{_all(files)}"
    return f"{head} {_are(files)} said to be {_all(words)}: a model can learn one of them only"


def _duplicates(found: CheckReport) -> str:
    some = found.duplicates
    if not some:
        return ""
    head = f"{_count(some, 'file')} {_are(some)} there more than once, {_example(some)}{_all(some[0].files[:NAMED])}"
    return f"{head}: they count as often as they are there"


def _clips(clips: Sequence[str], what: str, why: str) -> str:
    return f"{_count(clips, 'clip')} {_are(clips)} {what} ({_listed(clips)}): {why}" if clips else ""


def _empty_captions(found: CheckReport) -> str:
    if not found.empty_captions:
        return ""
    return f"{_count(found.empty_captions, 'row')} {_has(found.empty_captions)} empty captions, which are passed over"


def _count(some: Sequence[object], what: str) -> str:
    return f"{len(some)} {what}{'' if len(some) == 1 else 's'}"


def _listed(some: Sequence[str], between: str = ", ") -> str:
    more = f" and {len(some) - NAMED} more" if len(some) > NAMED else ""
    return f"{between.join(some[:NAMED])}{more}"


def _names(some: Sequence[str]) -> str:
    return _listed([repr(name) for name in some])


def _all(some: Iterable[str]) -> str:
    return " and ".join(some)


def _example(some: Sequence[object]) -> str:
    return "" if len(some) == 1 else "for example "


def _has(some: Sequence[object]) -> str:
    return "has" if len(some) == 1 else "have"


def _are(some: Sequence[object]) -> str:
    return "is" if len(some) == 1 else "are"


def _them(some: Sequence[object]) -> str:
    return "it" if len(some) == 1 else "them"
