"""Two models by name, compared on data: found, checked, loaded, asked side by side, released."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import TASKS, Model
from mmdemo.core.writing import harmless_cell
from mmdemo.data.grouping import fold_split
from mmdemo.data.read import Dataset, read_examples
from mmdemo.evaluate.compare import compare
from mmdemo.evaluate.run import Progress
from mmdemo.evaluate.verdict import Verdict, judge
from mmdemo.models import checkpoint, fetch, load, registry
from mmdemo.models.families.detect import is_hub_model, read_layout
from mmdemo.models.loading import hub_folder
from mmdemo.studio.run_data import learned_note

COLUMNS = ("file", "question", "truth", "a", "a_score", "a_credit", "b", "b_score", "b_credit", "right")
"""Columns of :func:`write_csv`."""


def folder_of(model: str) -> Path:
    """The folder of a model by name, folder, zip or hub id on disk.

    Raises:
        MmdemoError: There is no such model.
    """
    fetched = fetch.fetch(model)
    hub = hub_folder(model, fetched)
    if hub is not None:
        return hub
    return registry.find_any(str(fetched) if fetched else model)


def task_of(a: str, b: str, wanted: str | None = None) -> str:
    """The task of two models.

    Args:
        wanted: Of models that both serve several the one that is meant; default the first.

    Raises:
        MmdemoError: They are for different tasks, or for none that is served, or not both for the wanted one.
    """
    one, other = _tasks(a), _tasks(b)
    both = [task for task in one if task in other]
    if not both:
        raise MmdemoError(
            f"{a} and {b} cannot be compared",
            f"one was made for {' and '.join(one)}, the other for {' and '.join(other)}",
        )
    if wanted is not None:
        if wanted not in both:
            raise MmdemoError(f"{a} and {b} cannot be compared at {wanted}", f"both serve {' and '.join(both)}")
        return wanted
    if both[0] not in TASKS:
        raise MmdemoError(f"{a} cannot be compared", f'it is a "{both[0]}" checkpoint and serves nobody by itself')
    return both[0]


def _tasks(model: str) -> tuple[str, ...]:
    """What a model was made for; some that others published serve two tasks."""
    folder = folder_of(model)
    return read_layout(folder, name=model).tasks if is_hub_model(folder) else (checkpoint.read_config(folder).task,)


def read_data(task: str, data: Sequence[Path | str], *, folds: Path | None = None, fold: int | None = None) -> Dataset:
    """What both are measured on, as ``evaluate`` takes it: of data with splits the test split.

    Raises:
        MmdemoError: Bad data, or a fold without its file.
    """
    if (folds is None) != (fold is None):
        raise MmdemoError("A fold needs both its file and its number", "", "Give --folds FILE and --fold K")
    dataset = read_examples(task, data)
    return dataset if folds is None or fold is None else fold_split(dataset, folds, fold)[2]


def run(
    a: str,
    b: str,
    dataset: Dataset,
    *,
    device: str = "auto",
    limit: int | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Compare two models on data.

    Raises:
        MmdemoError: They are for different tasks, one cannot be loaded, or nothing can be measured.
    """
    task = task_of(a, b)
    if dataset.task in _tasks(a) and dataset.task in _tasks(b):
        task = dataset.task  # of models that serve several
    if dataset.task != task:
        raise MmdemoError("The models cannot be measured on this data", f"it was read for {dataset.task}, not {task}")
    notes = [learned_note(side, folder_of(model), dataset) for side, model in (("A", a), ("B", b))]
    with loaded(task, a, b, device=device) as (one, other):
        found = compare(task, one, other, dataset, limit=limit, progress=progress)
    return judge(found, notes=[note for note in notes if note])


@contextmanager
def loaded(task: str, a: str, b: str, *, device: str = "auto") -> Iterator[tuple[Model, Model]]:
    """Both models, apart from those that the page serves; their memory is given back at the end."""
    one = load(task, a, device=device)
    try:
        other = load(task, b, device=device)
        try:
            yield one, other
        finally:
            other.release()
    finally:
        one.release()


def write_csv(verdict: Verdict, file: Path) -> None:
    """All examples with both answers, those that differ most first; no cell is taken for a formula.

    Raises:
        MmdemoError: The file cannot be written.
    """
    try:
        with file.open("w", newline="", encoding="utf-8-sig") as stream:  # the mark makes Excel read UTF-8
            writer = csv.writer(stream)
            writer.writerow(COLUMNS)
            for row in verdict.rows:
                sides = [(harmless_cell(s.answer), f"{s.score:.6f}", f"{s.credit:.6f}") for s in (row.a, row.b)]
                head = [harmless_cell(row.file), harmless_cell(row.question), harmless_cell(row.truth)]
                writer.writerow([*head, *sides[0], *sides[1], row.right])
    except OSError as error:
        raise MmdemoError(f"{file} cannot be written", (error.strerror or str(error)).lower()) from None
