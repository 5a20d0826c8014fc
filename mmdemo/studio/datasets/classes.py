"""Classes and emotions of a dataset made by hand: some may have no example yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import spec_of
from mmdemo.studio.datasets import words
from mmdemo.studio.datasets.store import HandmadeDataset, changing, save

"""Tasks whose datasets have classes."""

MAX_CLASSES = 1_000


def add_class(name: str, label: str) -> HandmadeDataset:
    """Make a class without items; one that is there already, apart from upper and lower case, stays as it is."""
    with changing(name) as dataset:
        _need_classes(dataset)
        label = as_known(dataset, words.clean_label(label))
        dataset = replace(dataset, classes=each_once((*dataset.classes, label)))
        save(dataset)
    return dataset


def rename_class(name: str, label: str, new: str) -> HandmadeDataset:
    """Call a class something else, in all its items.

    Raises:
        MmdemoError: There is no such class, or one is called that already.
    """
    with changing(name) as dataset:
        _need_class(dataset, label)
        new = words.clean_label(new)
        others = {one.casefold() for one in dataset.classes if one != label}
        if new.casefold() in others:
            raise MmdemoError(f"There is already a class {new!r}", "", "Choose another name, or move the items there")
        dataset = replace(
            dataset,
            classes=tuple(new if one == label else one for one in dataset.classes),
            items=tuple(replace(item, label=new) if item.label == label else item for item in dataset.items),
        )
        save(dataset)
    return dataset


def remove_class(name: str, label: str) -> HandmadeDataset:
    """Remove a class with all its items."""
    with changing(name) as before:
        _need_class(before, label)
        after = replace(
            before,
            classes=tuple(one for one in before.classes if one != label),
            items=tuple(item for item in before.items if item.label != label),
        )
        save(after, before=before)
    return after


def each_once(labels: Iterable[str]) -> tuple[str, ...]:
    """Each label once, upper and lower case being the same.

    Raises:
        MmdemoError: More than :data:`MAX_CLASSES`.
    """
    found: dict[str, str] = {}
    for label in labels:
        found.setdefault(label.casefold(), label)
    if len(found) > MAX_CLASSES:
        raise MmdemoError("There are too many classes", f"the limit is {MAX_CLASSES}", "Make a second dataset")
    return tuple(found.values())


def as_known(dataset: HandmadeDataset, label: str) -> str:
    """A label as the dataset writes it already, if it is one of its classes."""
    return {one.casefold(): one for one in dataset.classes}.get(label.casefold(), label)


def _need_classes(dataset: HandmadeDataset) -> None:
    if not spec_of(dataset.task).labelled:
        raise MmdemoError(f"{dataset.name} has no classes", f"it is a dataset for {dataset.task}")


def _need_class(dataset: HandmadeDataset, label: str) -> None:
    _need_classes(dataset)
    if label not in dataset.classes:
        raise MmdemoError(f"There is no class {label!r} in {dataset.name}", "it may just have been renamed")
