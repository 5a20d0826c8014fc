"""What some data hold, before anything is trained on them: counts, samples, and warnings in plain words."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import Json
from mmdemo.core.words import question_kind
from mmdemo.data.check import CheckReport, PartReport, report
from mmdemo.data.examples import Example
from mmdemo.data.folders import dataset_name
from mmdemo.data.readable import Say
from mmdemo.data.splits import make_splits
from mmdemo.studio.preview.cautions import warn
from mmdemo.studio.preview.kinds import guess_task

__all__ = ["SAMPLES", "Preview", "Sample", "guess_task", "look"]

SAMPLES = 6
"""Files shown of a label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One example to show: its file, and what is said of it (a label, a caption, a question with its answer)."""

    file: Path
    said: str

    def to_json(self) -> Json:
        return {"file": str(self.file), "said": self.said}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What :func:`look` found.

    Attributes:
        parts: "train", "validation" and "test", as training would part the data; empty where they cannot be read.
        labels: Examples by label over all parts, the most frequent first; of Ask by kind of question, none of captions.
        samples: Up to :data:`SAMPLES` files by label; of captions under "".
        shown: The same samples with what is said of each.
        examples: In all parts.
        warnings: What may make the model worse, one sentence each.
        refusals: Why training would not start; empty where it would.
        notes: How the data were read and parted, one sentence each.
        seconds: How long it took.
    """

    task: str
    data: tuple[Path, ...]
    parts: Mapping[str, PartReport]
    labels: Mapping[str, int]
    samples: Mapping[str, tuple[Path, ...]]
    shown: Mapping[str, tuple[Sample, ...]]
    examples: int
    warnings: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether training would start."""
        return not self.refusals

    def to_json(self) -> Json:
        return {
            "task": self.task,
            "data": [str(folder) for folder in self.data],
            "good": self.good,
            "examples": self.examples,
            "parts": {name: part.to_json() for name, part in self.parts.items()},
            "labels": dict(self.labels),
            "samples": {label: [sample.to_json() for sample in some] for label, some in self.shown.items()},
            "warnings": list(self.warnings),
            "refusals": list(self.refusals),
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
        }


def look(task: str, data: Sequence[Path], *, allow_leaks: bool = False, say: Say | None = None) -> Preview:
    """Read and part data exactly as training would, and say what is in them.

    Files are decoded once; looking again at what has not changed is quick.

    Args:
        allow_leaks: Whether what is in two parts at once is a warning instead of a refusal.
        say: Called with what is done, how much of it and out of how much, while files are decoded.
    """
    started = time.monotonic()
    folders = tuple(data)
    try:
        parts = make_splits(task, folders, allow_leaks=allow_leaks, say=say)
    except MmdemoError as error:  # nothing can be read, so there is nothing to show
        return Preview(
            task=task,
            data=folders,
            parts={},
            labels={},
            samples={},
            shown={},
            examples=0,
            refusals=(str(error),),
            seconds=time.monotonic() - started,
        )
    found = report(parts, name=" + ".join(dict.fromkeys(map(dataset_name, folders))))
    examples = [example for dataset in parts.by_name().values() for example in dataset.examples]
    labels = _labels(found)
    shown = _samples(examples)
    return Preview(
        task=task,
        data=folders,
        parts=found.parts,
        labels=labels,
        samples={label: tuple(sample.file for sample in some) for label, some in shown.items()},
        shown=shown,
        examples=len(examples),
        warnings=warn(found, folders, labels=labels, leaks_allowed=allow_leaks),
        refusals=found.refusals,
        notes=found.notes,
        seconds=time.monotonic() - started,
    )


def _labels(found: CheckReport) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in found.parts.values():
        total.update(part.labels)
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _samples(examples: Iterable[Example]) -> dict[str, tuple[Sample, ...]]:
    """Different files of each label, spread over all that it has: neighbours in a folder are often alike."""
    by_label: dict[str, dict[Path, str]] = defaultdict(dict)
    for example in examples:
        if example.file is not None:
            by_label[_label(example)].setdefault(example.file, _said(example))
    found = {}
    for label, files in sorted(by_label.items(), key=lambda item: (-len(item[1]), item[0])):
        listed = list(files.items())
        step = max(1, len(listed) // SAMPLES)
        found[label] = tuple(Sample(file=file, said=said) for file, said in listed[::step][:SAMPLES])
    return found


def _label(example: Example) -> str:
    if example.label is not None:
        return example.label
    return question_kind(example.question, example.answer) if example.question else ""


def _said(example: Example) -> str:
    if example.question:
        return f"{example.question} – {example.answer}"
    return example.label or next(iter(example.captions), "")
