"""Make a checkpoint smaller by rounding its weights to eight bits, and say what that cost.

A matrix becomes int8 rows, each with a scale of its own (see models.checkpoint.pack). They are taken back to fp32 when
the model is loaded: what is saved is disk and download, not time.
"""

from __future__ import annotations

import dataclasses
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mmdemo.core.config import FAMILY, CheckpointConfig
from mmdemo.core.errors import MmdemoError, after_failed_write
from mmdemo.core.memory import keep_freed_memory
from mmdemo.core.reading import Unreadable
from mmdemo.core.settings import ROOT, data_root
from mmdemo.core.types import TASKS as SERVED
from mmdemo.core.types import Json
from mmdemo.core.writing import json_text
from mmdemo.data.grouping import fold_split
from mmdemo.data.read import Dataset, read_examples
from mmdemo.evaluate.compare import Comparison, compare
from mmdemo.models import checkpoint, fetch, probe, registry
from mmdemo.models.families.detect import is_hub_model
from mmdemo.models.folder import read_header
from mmdemo.models.loading import load, pick_device, read
from mmdemo.models.weights import read_tensors, verify
from mmdemo.train.cost import WeightCost, cost_of
from mmdemo.train.plan import default_config
from mmdemo.train.publish import finish
from mmdemo.train.request import out_folder
from mmdemo.train.settings import read_config

Say = Callable[[str], None]

MADE_FROM = "made_from"
"""Setting of a checkpoint that was made from another one: its name."""

OWN_FILES = frozenset({"config.json", checkpoint.WEIGHTS, probe.FILE, "metrics.json", "README.md"})
"""What is made anew; other files (a tokenizer) are taken over as they are."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """What came of it.

    Attributes:
        source, folder: The checkpoint that it was made from, and the new one.
        cost: Bytes, time and answers to made inputs, before and after.
        measured: A comparison for each data set.
    """

    source: str
    folder: Path
    task: str
    cost: WeightCost
    measured: tuple[Comparison, ...]

    def to_json(self) -> Json:
        return {
            "task": self.task,
            "source": self.source,
            "model": str(self.folder),
            **self.cost.to_json(),
            "measured": [comparison.to_json() for comparison in self.measured],
        }


def quantize(
    source: Path,
    out: Path,
    *,
    data: Sequence[Path] = (),
    limit: int | None = None,
    device: str = "cpu",
    command: str = "",
    say: Say,
) -> Quantized:
    """Write ``source`` in int8 as ``out``, measured.

    Args:
        data: What both are measured on, as ``evaluate`` takes it. Without any, a shipped checkpoint is measured on what
            its configuration names, where that is on this machine.
        limit: Measure only so many examples of each, spread evenly over the data.

    Raises:
        MmdemoError: The source is in int8 already or cannot be loaded, the target is something else, or the disk is
            full. Nothing but the target is ever changed, and that only when all is done.
    """
    if is_hub_model(source):
        raise _made_by_others(source)
    config = checkpoint.read_config(source)
    refuse(source, out, config, data)
    if config.task in SERVED:
        load(config.task, str(source), device=device)  # a damaged source would be compared with its own damage
    datasets = _datasets(config.task, source, data)
    fresh = out.with_name(out.name + ".part")  # passed over by every list of models
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        _write(source, fresh, smaller(source.name, config))
        say(f"{source.name} rounded to int8; measuring what that cost")
        if config.task in SERVED:
            ready = read(fresh, device=device)
            (fresh / probe.FILE).write_text(probe.record(ready), encoding="utf-8")
        cost = cost_of(source, fresh, device=device)
        measured = _measured(config.task, source, fresh, datasets, limit=limit, device=device, say=say)
        _settle(source, fresh, out, cost=cost, measured=measured, command=command)
    except OSError as error:
        raise MmdemoError(f"{out.name} cannot be saved", str(error), after_failed_write(error)) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return Quantized(source=source.name, folder=out, task=config.task, cost=cost, measured=measured)


def _made_by_others(source: Path) -> MmdemoError:
    return MmdemoError(
        f"{source.name} cannot be made smaller here",
        "it is, or stands on, a model that others made",
        "MMDEMO_PRECISION=int8 computes it in 8 bits",
    )


def refuse(source: Path, out: Path, config: CheckpointConfig, data: Sequence[Path]) -> None:
    """Say no before anything is written.

    Raises:
        MmdemoError: See :func:`quantize`.
    """
    if FAMILY in config.net:
        raise _made_by_others(source)
    try:
        names, _ = read_header(source / checkpoint.WEIGHTS)
    except Unreadable as error:
        raise MmdemoError(f"{source.name} cannot be loaded", f"{checkpoint.WEIGHTS} {error.trouble}") from None
    if any(name.endswith(checkpoint.SCALE) for name in names):
        raise MmdemoError(f"{source.name} is in int8 already", "its rows have scales beside them")
    if data and config.task not in SERVED:
        raise MmdemoError(
            f"{source.name} cannot be measured on data",
            f'it is a "{config.task}" checkpoint and serves nobody by itself',
            "Leave --data out",
        )
    if not out.exists():
        return
    if out.resolve() == source.resolve():
        raise MmdemoError(f"{out.name} is the model itself", "it is never overwritten", "Give another name with --out")
    try:
        earlier = checkpoint.read_config(out).settings.get(MADE_FROM)
    except MmdemoError:
        earlier = None
    if earlier != source.name:
        raise MmdemoError(
            f"{out.name} is there already", f"and was not made from {source.name}", "Give another name with --out"
        )


def smaller(name: str, config: CheckpointConfig) -> CheckpointConfig:
    """The configuration of the int8 copy of ``name``: nothing in it claims a figure that the source had."""
    card = config.card
    summary = card.summary.rstrip(".") or f"A model for the task {config.task}"
    return dataclasses.replace(
        config,
        settings={**config.settings, MADE_FROM: name},
        calibration=dataclasses.replace(config.calibration, kept=1.0, right=0.0),
        card=dataclasses.replace(
            card,
            summary=f"{summary}. In int8, made from {name}.",
            bases=(*card.bases, f"{name} ({card.licence}), its matrices rounded to int8 by row"),
            notes=(),
        ),
    )


# ---------------------------------------------------------------- files


def _write(source: Path, fresh: Path, config: CheckpointConfig) -> None:
    """Write the rounded checkpoint and what else the source brings along."""
    verify(source, checkpoint.read_config(source))
    packed = checkpoint.pack(read_tensors(source / checkpoint.WEIGHTS, name=source.name), int8=True)
    if not any(name.endswith(checkpoint.SCALE) for name in packed):
        raise MmdemoError(f"{source.name} cannot be made smaller", "none of its matrices is large enough")
    extra = {
        file.name: file.read_text(encoding="utf-8")
        for file in source.iterdir()
        if file.is_file() and file.suffix in {".json", ".txt"} and file.name not in OWN_FILES
    }
    try:
        checkpoint.write(fresh, config, packed, extra=extra)
    except MmdemoError as error:
        raise MmdemoError(f"{fresh.stem} cannot be saved", error.why, error.try_this) from None
    for part in config.parts.values():
        here, there = registry.part_folder(fresh, part.name), registry.part_folder(source, part.name)
        # a source from elsewhere brings its parts; one of ours finds them where it did before
        if there.is_dir() and not (here.is_dir() and checkpoint.weights_hash(here) == part.hash):
            shutil.copytree(there, fresh / "parts" / part.name, ignore=shutil.ignore_patterns("trainer"))


def _settle(
    source: Path, fresh: Path, out: Path, *, cost: WeightCost, measured: Sequence[Comparison], command: str
) -> None:
    """Put the finished folder in its place, and its card into it."""
    earlier = out.with_name(out.name + ".old")
    shutil.rmtree(earlier, ignore_errors=True)
    if out.exists():
        out.rename(earlier)
    try:
        fresh.rename(out)
        metrics = [metric for comparison in measured for metric in comparison.after.to_metrics()]
        finish(out, metrics, command, notes(source.name, checkpoint.read_config(out), cost, measured))
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        if earlier.exists():
            earlier.rename(out)
        raise
    shutil.rmtree(earlier, ignore_errors=True)


# ---------------------------------------------------------------- measuring


def _datasets(task: str, source: Path, data: Sequence[Path]) -> list[Dataset]:
    if data:
        return [read_examples(task, [place]) for place in data]
    if task not in SERVED or source.name != f"{task}-base":
        return []  # of anybody's own model nobody knows what it has not learned from
    found = []
    for entry in read_config(default_config(task)).evaluate:
        places = [data_root() / name for name in entry.data]
        if all(place.exists() for place in places):
            dataset = read_examples(task, places)
            if entry.folds:
                dataset = fold_split(dataset, data_root() / entry.folds, entry.fold)[2]
            found.append(dataclasses.replace(dataset, name=entry.name or dataset.name))
    return found


def _measured(
    task: str,
    source: Path,
    fresh: Path,
    datasets: Sequence[Dataset],
    *,
    limit: int | None,
    device: str,
    say: Say,
) -> tuple[Comparison, ...]:
    if not datasets:
        return ()
    before, after = read(source, device=device), read(fresh, device=device)
    found = []
    for dataset in datasets:
        say(f"measuring both on {dataset.name}, {min(limit or len(dataset.examples), len(dataset.examples))} examples")
        found.append(compare(task, before, after, dataset, limit=limit))
        say(compared(source.name, found[-1], headline_only=True))
    return tuple(found)


def notes(name: str, config: CheckpointConfig, cost: WeightCost, measured: Sequence[Comparison]) -> list[str]:
    """What the card says of the cost, one sentence each."""
    said = [*cost.sentences(name, config.task)]
    said += [compared(name, comparison) for comparison in measured]
    if config.task not in SERVED:
        said.append("Not measured on data: it serves nobody by itself.")
    elif not measured:
        said.append("Not measured on data: none was given.")
    if config.task in SERVED:
        said.append(f"Temperature and threshold of 'not sure' are those of {name}.")
    said += [note for comparison in measured for note in comparison.after.notes]
    return list(dict.fromkeys(said))


def compared(name: str, comparison: Comparison, *, headline_only: bool = False) -> str:
    """A comparison as one sentence."""
    figures = []
    for metric, after in comparison.after.metrics.items():
        change = comparison.differences[metric]
        figures.append(
            f"{metric} {comparison.before.metrics[metric]:.4f} there, {after:.4f} here "
            f"(difference {change.value:+.4f}, 95 % interval {change.low:+.4f} to {change.high:+.4f}, paired)"
        )
    same = "" if comparison.agreement is None else f"; the same answer to {comparison.agreement:.1%}"
    told = figures[:1] if headline_only else figures
    return f"Against {name} on {comparison.after.data} (n = {comparison.after.n:,}): {', '.join(told)}{same}."


# ---------------------------------------------------------------- the command


def command_line(model: str, to: str, out: str | None, data: Sequence[Path], limit: int | None) -> str:
    """The command that repeats it; data below the data root is named by ``$MMDEMO_DATA``."""

    def place(path: Path) -> str:
        for root, name in ((data_root(), "$MMDEMO_DATA/"), (ROOT, "")):
            if path.resolve().is_relative_to(root.resolve()):
                rest = path.resolve().relative_to(root.resolve()).as_posix()
                # double quotes: the shell must still see the variable
                return name + rest if shlex.quote(rest) == rest else f'"{name}{rest}"'
        return shlex.quote(path.name)  # a person's own folders are nobody else's business

    words = [f"python -m mmdemo quantize {shlex.quote(Path(model).name)} --to {to}"]
    words += [f"--out {shlex.quote(Path(out).name)}"] if out else []
    words += [f"--data {place(folder)}" for folder in data]
    words += [f"--limit {limit}"] if limit is not None else []
    return " ".join(words)


def main(
    *,
    model: str,
    to: str,
    out: str | None,
    data: Sequence[Path],
    limit: int | None = None,
    device: str = "auto",
    json_out: bool = False,
) -> int:
    """The command ``quantize``; returns the exit code."""
    keep_freed_memory()
    fetched = fetch.fetch(model)
    source = registry.find_any(str(fetched) if fetched else model)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - the command's own door

    done = quantize(
        source,
        out_folder(out or f"{source.name}-{to}"),
        data=data,
        limit=limit,
        device=pick_device(device),
        command=command_line(model, to, out, data, limit),
        say=say,
    )
    if json_out:
        print(json_text(done.to_json()))  # noqa: T201
        return 0
    for sentence in done.cost.sentences(done.source, done.task):
        say(sentence)
    say(f"{done.folder} written")
    return 0
