"""What a training run learns from, is chosen by and is measured on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mmdemo.core.config import Scalar
from mmdemo.data.examples import Dataset
from mmdemo.data.prepare.inputs import DatasetSplits
from mmdemo.data.splits import Splits
from mmdemo.tasks.tune import Tune


def make_dataset_splits(
    parts: Splits, *, options: Mapping[str, Scalar | tuple[str, ...]], tune: Tune, seed: int = 0
) -> tuple[DatasetSplits, Dataset]:
    """Turn the parts of a run's data, see :func:`~mmdemo.data.splits.make_splits`, into what the run works with.

    Returns:
        What the run learns from and is chosen by, and what it is measured on: the test part, else a validation part
        that was given. Either may be empty. What people should know is in their ``notes``.

    Raises:
        MmdemoError: What the parts refuse: most files cannot be read, a label is never seen in training, or something
            is in two parts at once.
    """
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
