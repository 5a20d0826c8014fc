"""What a training run learns from, is chosen by and is measured on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mmdemo.core.config import Scalar
from mmdemo.data.examples import Dataset
from mmdemo.data.prepare.inputs import DatasetSplits
from mmdemo.data.readable import Say
from mmdemo.data.splits import make_splits
from mmdemo.tasks.tune import Tune


def make_dataset_splits(
    task: str,
    data: Sequence[Path],
    *,
    options: Mapping[str, Scalar | tuple[str, ...]],
    tune: Tune,
    folds: Path | None = None,
    fold: int | None = None,
    seed: int = 0,
    allow_leaks: bool = False,
    known_labels: Collection[str] = (),
    say: Say | None = None,
) -> tuple[DatasetSplits, Dataset]:
    """Read and part the data of a run, see :func:`~mmdemo.data.splits.make_splits`.

    Returns:
        What the run learns from and is chosen by, and what it is measured on: the test part, else a validation part
        that was given. Either may be empty. What people should know is in their ``notes``.

    Raises:
        MmdemoError: Nothing can be read, most files cannot, a label is never seen in training, or something is in two
            parts at once and ``allow_leaks`` is not set.
    """
    parts = make_splits(
        task,
        data,
        folds=folds,
        fold=fold,
        seed=seed,
        allow_leaks=allow_leaks,
        known_labels=known_labels,
        say=say,
    )
    for refusal in parts.refusals:
        raise refusal
    sources = DatasetSplits(train=parts.train, validation=parts.validation, seed=seed, options=options, tune=tune)
    if options.get("cross_fit"):  # nobody is set aside to choose by, whoever set it aside
        everyone = (*parts.train.examples, *parts.validation.examples)
        sources = replace(
            sources,
            train=replace(parts.train, examples=everyone),
            validation=replace(parts.validation, examples=()),
        )
        return sources, parts.test
    # a part that was taken from the same data to choose by says too little to be reported
    given = parts.validation if "validation" not in parts.made else parts.test
    return sources, parts.test if parts.test.examples else given
