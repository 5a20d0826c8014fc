"""What a run learned from and what it kept aside, found again from the notes in its ``trainer`` folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import object_or_empty
from mmdemo.core.types import TASKS
from mmdemo.data.examples import Dataset
from mmdemo.data.features import file_hashes
from mmdemo.data.readable import Say
from mmdemo.data.splits import Splits, make_splits
from mmdemo.train.folder import PLAN, read_learned
from mmdemo.train.plan import hash_of_data
from mmdemo.train.request import read_request as stored_request

REQUEST = "request.json"
"""What a training was asked for, with paths of this machine; written beside its plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    """What a run was asked to learn from."""

    task: str
    data: tuple[Path, ...]
    folds: Path | None = None
    fold: int | None = None
    seed: int = 0
    data_hash: str = ""


def read_request(folder: Path) -> RecordedRequest:
    """What a run was asked for.

    Raises:
        MmdemoError: The folder holds no run that says so, or its data are gone.
    """
    asked, plan = _read(folder / "trainer" / REQUEST), _read(folder / "trainer" / PLAN)
    places = tuple(Path(str(place)) for place in _listed(asked.get("data")))
    task = str(asked.get("task", ""))
    if not places or task not in TASKS:
        raise MmdemoError(f"It is not known what {folder.name} learned from", "its run left no note of that")
    gone = [place for place in places if not place.exists()]
    if gone:
        raise MmdemoError(
            f"What {folder.name} learned from is not there any more", f"there is no {gone[0]}", "Choose other data"
        )
    request = stored_request(asked)
    seed = plan.get("seed")
    return RecordedRequest(
        task=task,
        data=places,
        folds=request.folds if request else None,
        fold=request.fold if request else None,
        seed=seed if isinstance(seed, int) else 0,
        data_hash=str(plan.get("data_hash", "")),
    )


def parts_of(folder: Path, *, say: Say | None = None) -> Splits:
    """The parts that a run's data were in: the same data and the same seed give the same parts.

    Raises:
        MmdemoError: See :func:`read_request`, or the data cannot be read any more.
    """
    asked = read_request(folder)
    return make_splits(
        asked.task, asked.data, folds=asked.folds, fold=asked.fold, seed=asked.seed, allow_leaks=True, say=say
    )


def held_out(folder: Path, *, say: Say | None = None) -> Dataset:
    """What a run kept aside: its test part, else the part that its best epoch was chosen by, which a note says.

    Raises:
        MmdemoError: It kept nothing aside, or it is not known what it learned from.
    """
    parts = parts_of(folder, say=say)
    dataset, notes = parts.test, []
    if changed := hash_of_data(parts.train, parts.validation) != read_request(folder).data_hash:
        dataset, left = _kept_then(folder, parts)
        notes.append(f"the data of {folder.name} have changed since it learned from them: {left}")
    elif not dataset.examples:
        dataset = parts.validation
    if not dataset.examples:
        why = "nothing of it is there any more" if changed else "its data were too small for that"
        raise MmdemoError(f"{folder.name} kept nothing aside", why, "Choose data it has not seen")
    if dataset.split == "validation":
        notes.append(f"{folder.name} kept nothing for measuring: this is the part that its best epoch was chosen by")
    name = dataset.name if "held out" in dataset.name else f"{dataset.name}, {len(dataset.examples)} examples held out"
    return replace(dataset, name=name, notes=tuple(dict.fromkeys((*dataset.notes, *notes))))


def _kept_then(folder: Path, parts: Splits) -> tuple[Dataset, str]:
    """What a run kept aside, out of data that would be parted otherwise today; and how much of it is left, in words.

    Raises:
        MmdemoError: It left no note of which files those were.
    """
    then = read_learned(folder)
    if not then:
        raise MmdemoError(
            f"What {folder.name} kept aside cannot be found again",
            "its data have changed since it learned from them",
            "Choose data it has not seen",
        )
    split = "test" if then["test"] else "validation"
    examples = [example for part in parts.by_name().values() for example in part.examples]
    contents = file_hashes(example.file for example in examples if example.file is not None)
    wanted = then[split] - then["train"]
    kept = [one for one in examples if one.file is not None and contents[one.file] in wanted]
    still = len({contents[one.file] for one in kept if one.file is not None})
    dataset = replace(parts.train, notes=()).with_examples(kept, split=split)  # how they are parted today says nothing
    return dataset, f"{still} of the {len(wanted)} files that it kept aside are still there"


def learned_note(name: str, folder: Path, dataset: Dataset) -> str:
    """A sentence where a run learned from some of the data; "" where it did not, or left no note of what it learned.

    Files are the same where their content is, whatever they are called.

    Args:
        name: What to call the model ("B").
        folder: Its folder.
    """
    then = read_learned(folder)
    if not then:
        return _same_name(name, folder, dataset)
    known = then["train"] | then.get("before", frozenset())
    contents = file_hashes(example.file for example in dataset.examples if example.file is not None)
    count = sum(example.file is not None and contents[example.file] in known for example in dataset.examples)
    total = len(dataset.examples)
    return f"{name} learned from {count} of these {total} examples: its figures are too good" if count else ""


def _same_name(name: str, folder: Path, dataset: Dataset) -> str:
    """Of runs that left only the names of their data: a question where a name is the same."""
    if dataset.split in {"test", "validation"}:
        return ""
    learned = {str(one) for one in _listed(_read(folder / "trainer" / PLAN).get("data"))}
    same = sorted(learned & {place.name for place in dataset.folders})
    return f"{name} learned from data called {same[0]}: it may know some of these examples" if same else ""


def _read(file: Path) -> Mapping[str, object]:
    return object_or_empty(file)


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []
