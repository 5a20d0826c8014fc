"""Measure a ready model on data: read, ask it in batches exactly as people would, score, compare with a baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import ASK, CAPTION, CLASSIFY, SENTIMENT
from mmdemo.core.types import (
    TASKS,
    AskRequest,
    AskResult,
    CaptionRequest,
    CaptionResult,
    ClassifyRequest,
    ClassifyResult,
    Model,
    Picture,
    Request,
    Result,
    SentimentRequest,
    SentimentResult,
)
from mmdemo.core.words import nearest_name
from mmdemo.data.folders import dataset_name
from mmdemo.data.grouping import fold_split
from mmdemo.data.read import Dataset, Example, read_examples
from mmdemo.evaluate import scores
from mmdemo.evaluate.report import Report, make_report
from mmdemo.media.audio import load_sound
from mmdemo.media.image import load_picture

Progress = Callable[[int, int], None]
BATCH = 32
R = TypeVar("R", bound=Result)
T = TypeVar("T")
CAPTION_WORDS = 20


def evaluate(
    task: str,
    data: Sequence[Path | str],
    *,
    model: str | None = None,
    by: str | None = None,
    fold: tuple[Path, int] | None = None,
    device: str = "auto",
    limit: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Measure a model on folders or tables.

    Args:
        task: One of :data:`~mmdemo.core.types.TASKS`.
        data: Folders or tables in the conventions of :mod:`mmdemo.data.read`; of data with splits the test split.
        model: What ``--model`` takes; None is the task's shipped one.
        by: A column of the data, or "data" for the folder; adds figures for each of its values.
        fold: A file with folds of speakers and the number of the one that is measured.
        limit: Measure only so many examples, spread evenly over the data.
        progress: Called with examples done and in all.

    Raises:
        MmdemoError: Unknown task, bad data, unknown column, or no file that can be used.
    """
    if task not in TASKS:
        raise MmdemoError(f"Unknown task {task!r}", f"known are {', '.join(TASKS)}")
    dataset = read_examples(task, data)
    if fold is not None:
        _, _, dataset = fold_split(dataset, *fold)
    column_of(dataset.examples, by)  # refuse an unknown column before anything is computed
    from mmdemo.models import load

    ready = load(task, model, device=device)
    return evaluate_model(task, ready, dataset, by=by, limit=limit, progress=progress)


def evaluate_model(
    task: str,
    model: Model,
    dataset: Dataset,
    *,
    by: str | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """The same with a model and data at hand, which training and tests have."""
    measured = measure(task, model, dataset, limit=limit, progress=progress)
    return make_report(
        measured.outcome,
        task=task,
        model=model.card.id,
        data=dataset.name,
        by=column_of(measured.scored, by),
        notes=measured.notes,
        fingerprint=dataset.fingerprint,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What a model did on data: its outcome, the example of each of the outcome's rows, and what was left out."""

    outcome: scores.Outcome
    scored: Sequence[Example]
    notes: tuple[str, ...]


def measure(
    task: str, model: Model, dataset: Dataset, *, limit: int | None = None, progress: Progress | None = None
) -> Measurement:
    """Ask a model about all examples.

    Raises:
        MmdemoError: No example can be measured.
    """
    measures = {ASK: _ask, CLASSIFY: _classify, CAPTION: _caption, SENTIMENT: _sentiment}
    examples, notes = dataset.examples, list(dataset.notes)
    if task == SENTIMENT:
        examples, left_out = scores.scored_labels(examples)
        notes += left_out
    if limit is not None and limit < len(examples):
        examples = tuple(examples[place * len(examples) // limit] for place in range(limit))
        notes.append(f"{limit} examples spread evenly over the data")
    if not examples:
        raise MmdemoError(f"Nothing in {dataset.name} can be measured", "; ".join(notes))
    run = _Run(model=model, progress=progress, total=len(examples))
    outcome, scored = measures[task](run, examples)
    return Measurement(outcome=outcome, scored=scored, notes=(*notes, *run.notes()))


def column_of(examples: Sequence[Example], by: str | None) -> list[str] | None:
    """The value of a column for each example; None without a column.

    "label" and "data" (the folder's name) are columns too; an example without a value gets "(none)".

    Raises:
        MmdemoError: No example has the column.
    """
    if by is None:
        return None
    if by == "data":
        return [dataset_name(example.file.parent) if example.file is not None else "(none)" for example in examples]
    if by == "label":
        return [example.label or "(none)" for example in examples]
    names = sorted({name for example in examples for name in example.columns})
    if by not in names:
        close = nearest_name(by, [*names, "data", "label"])
        raise MmdemoError(
            f"The data has no column {by!r}",
            f"it has {', '.join([*names, 'data'])}",
            f"Did you mean {close!r}" if close is not None else "",
        )
    return [example.columns.get(by, "(none)") for example in examples]


# ---------------------------------------------------------------- asking the model


class _Run:
    """Feeds examples to a model in batches; counts files that cannot be used instead of failing on them."""

    def __init__(self, *, model: Model, progress: Progress | None, total: int) -> None:
        self.model = model
        self._progress = progress
        self._total = total
        self._done = 0
        self._unusable: dict[str, str] = {}

    def results(
        self, examples: Iterable[Example], request: Callable[[Example], Request], kind: type[R]
    ) -> Iterator[tuple[Example, R]]:
        """Yield each usable example with its result, in order.

        Raises:
            MmdemoError: No file could be used, or the model answers for another task.
        """
        batch: list[tuple[Example, Request]] = []
        answered = 0
        for example in examples:
            made = self.usable(example, request)
            if made is not None:
                batch.append((example, made))
            if len(batch) == BATCH:
                yield from self._answers(batch, kind)
                answered += len(batch)
                batch = []
        if batch:
            yield from self._answers(batch, kind)
            answered += len(batch)
        self.check(answered)

    def usable(self, example: Example, make: Callable[[Example], T]) -> T | None:
        """Make something of an example's file, or note why that is not possible."""
        try:
            return make(example)
        except MmdemoError as error:
            self._unusable[str(example.file.name if example.file is not None else "?")] = str(error)
            self.step(1)
            return None

    def check(self, answered: int) -> None:
        if answered == 0:
            first = next(iter(self._unusable.values()), "")
            raise MmdemoError("None of the files can be used", first.rstrip("."))

    def step(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)

    def _answers(self, batch: Sequence[tuple[Example, Request]], kind: type[R]) -> Iterator[tuple[Example, R]]:
        results = self.model.predict([request for _, request in batch])
        self.step(len(batch))
        for (example, _), result in zip(batch, results, strict=True):
            if not isinstance(result, kind):
                raise MmdemoError(
                    f"{self.model.card.id} is no model for this task", f"it is for {self.model.card.task}"
                )
            yield example, result

    def notes(self) -> list[str]:
        if not self._unusable:
            return []
        names = list(self._unusable)
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return [f"{len(names)} files could not be used: {', '.join(names[:3])}{more}"]


class _Pictures:
    """Loads pictures, keeping the last one: questions about the same picture follow each other."""

    def __init__(self) -> None:
        self._last: tuple[Path, Picture] | None = None

    def __call__(self, example: Example) -> Picture:
        if example.file is None:
            raise MmdemoError("There is no picture")
        if self._last is None or self._last[0] != example.file:
            self._last = (example.file, load_picture(example.file))
        return self._last[1]


Measured = tuple[scores.Outcome, list[Example]]


def _ask(run: _Run, examples: Sequence[Example]) -> Measured:
    picture = _Pictures()
    asked = list(
        run.results(
            examples, lambda example: AskRequest(picture=picture(example), question=example.question), AskResult
        )
    )
    scored = [example for example, _ in asked]
    return (
        scores.ask_outcome([result.answer for _, result in asked], scored, [result.score for _, result in asked]),
        scored,
    )


def _classify(run: _Run, examples: Sequence[Example]) -> Measured:
    if examples[0].captions:
        return _retrieve(run, examples)
    names = sorted({example.label or "" for example in examples})
    if len(names) < 2:
        raise MmdemoError("The data has a single label", f"only {names[0]!r}", "Measure with two or more")
    picture = _Pictures()
    labels = tuple(names)
    shown = list(
        run.results(examples, lambda example: ClassifyRequest(picture=picture(example), labels=labels), ClassifyResult)
    )
    scored = [example for example, _ in shown]
    table = np.zeros((len(shown), len(names)))
    for row, (_, result) in enumerate(shown):
        by_label = {item.label: item.score for item in result.labels}
        table[row] = [by_label.get(name, 0.0) for name in names]
    tops = [result.labels[0] for _, result in shown]
    outcome = scores.class_outcome(
        table,
        [example.label or "" for example in scored],
        names,
        served=([top.label for top in tops], [top.score for top in tops]),
    )
    return outcome, scored


def _retrieve(run: _Run, examples: Sequence[Example]) -> Measured:
    encode_pictures = getattr(run.model, "encode_pictures", None)
    encode_texts = getattr(run.model, "encode_texts", None)
    if encode_pictures is None or encode_texts is None:
        raise MmdemoError(f"{run.model.card.id} cannot search by text", "", "Measure it on class folders")
    picture = _Pictures()
    vectors: list[NDArray[np.float32]] = []
    kept: list[Example] = []
    for start in range(0, len(examples), BATCH):
        part = [
            (example, made) for example in examples[start : start + BATCH] if (made := run.usable(example, picture))
        ]
        if part:
            vectors.append(encode_pictures([made for _, made in part]))
            kept += [example for example, _ in part]
            run.step(len(part))
    run.check(len(kept))
    texts = [text for example in kept for text in example.captions]
    owner = [number for number, example in enumerate(kept) for _ in example.captions]
    encoded = np.concatenate(
        [encode_texts(texts[start : start + 8 * BATCH]) for start in range(0, len(texts), 8 * BATCH)]
    )
    similarity = encoded.astype(np.float64) @ np.concatenate(vectors).astype(np.float64).T
    return scores.retrieval_outcome(similarity, owner), [kept[number] for number in owner]


def _caption(run: _Run, examples: Sequence[Example]) -> Measured:
    picture = _Pictures()
    said = list(
        run.results(
            examples,
            lambda example: CaptionRequest(picture=picture(example), n=1, max_words=CAPTION_WORDS),
            CaptionResult,
        )
    )
    scored = [example for example, _ in said]
    return (
        scores.caption_outcome([result.caption for _, result in said], scored, [result.score for _, result in said]),
        scored,
    )


Table = tuple[NDArray[np.float64], list[str], list[Example]]


def _heard(run: _Run, examples: Sequence[Example]) -> Table:
    """Probabilities (N, K), the K labels by name, the examples of the rows; zeros where no speech was heard."""

    def request(example: Example) -> Request:
        if example.file is None:
            raise MmdemoError("There is no clip")
        return SentimentRequest(sound=load_sound(example.file))

    heard = list(run.results(examples, request, SentimentResult))
    names = sorted({item.label for _, result in heard for item in result.scores})
    if not names:
        raise MmdemoError("No speech was heard in any clip")
    table = np.zeros((len(heard), len(names)))
    for row, (_, result) in enumerate(heard):
        by_label = {item.label: item.score for item in result.scores}
        table[row] = [by_label.get(name, 0.0) for name in names]
    return table, names, [example for example, _ in heard]


def _sentiment(run: _Run, examples: Sequence[Example]) -> Measured:
    table, names, scored = _heard(run, examples)
    return scores.sentiment_outcome(table, names, [example.label or "" for example in scored]), scored


def evaluate_folds(folds: Iterable[tuple[Model, Dataset]], *, name: str) -> Report:
    """Pool what each fold's own model says of that fold's clips, and measure it as one; ``by`` has a row per fold.

    Args:
        folds: A model and the data that it has not learned from, per fold; consumed one by one.
        name: The recipe's name, where a report has the model's.
    """
    tables: list[Table] = []
    of_fold: list[str] = []
    datasets: list[Dataset] = []
    for number, (model, dataset) in enumerate(folds):
        table = _heard(_Run(model=model, progress=None, total=len(dataset.examples)), dataset.examples)
        tables.append(table)
        of_fold += [str(number)] * len(table[2])
        datasets.append(dataset)
    names = sorted({label for _, labels, _ in tables for label in labels})
    wide = []
    for rows, labels, _ in tables:
        block = np.zeros((len(rows), len(names)))
        block[:, [names.index(label) for label in labels]] = rows
        wide.append(block)
    examples = [example for _, _, some in tables for example in some]
    outcome = scores.sentiment_outcome(np.concatenate(wide), names, [example.label or "" for example in examples])
    return make_report(
        outcome,
        task=SENTIMENT,
        model=name,
        data=f"{datasets[0].name.split(' + ')[0]}, {len(datasets)} folds of speakers",
        by=of_fold,
        notes=["each fold is judged by a model that learned from no label of its speakers; predictions are pooled"],
        fingerprint=datasets[0].fingerprint,
    )
