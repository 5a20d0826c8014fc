"""One training run from data folders to a checkpoint folder: read, prepare, fit, calibrate, write, measure."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from mmdemo.core.config import CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.core.memory import keep_freed_memory
from mmdemo.core.tasks import SENTIMENT
from mmdemo.core.types import TASKS as SERVED
from mmdemo.core.words import nearest_name
from mmdemo.core.writing import json_text
from mmdemo.data.examples import Dataset
from mmdemo.data.prepare import PREPARE, DatasetSplits, Encoders, TrainingData, prepare_hub
from mmdemo.data.sources import make_dataset_splits
from mmdemo.data.splits import make_splits
from mmdemo.data.start import load_encoders
from mmdemo.data.teacher import teacher_outputs
from mmdemo.evaluate.report import Report
from mmdemo.models import checkpoint, registry
from mmdemo.tasks import TASKS
from mmdemo.tasks.base import Task
from mmdemo.tasks.hub.base import TrainableParts
from mmdemo.tasks.tune import Tune, freeze
from mmdemo.tasks.tuned_trunk import with_trunk
from mmdemo.train import hub, processes
from mmdemo.train.curves import draw
from mmdemo.train.folder import STOP
from mmdemo.train.lora import add_lora, merge_lora
from mmdemo.train.measure import measure, run_folds
from mmdemo.train.plan import (
    RunPlan,
    check_out,
    check_resumed,
    hash_of_bases,
    hash_of_data,
    learned_by,
    make_plan,
    same_task,
    write_learned,
    write_plan,
)
from mmdemo.train.precision import pick_precision
from mmdemo.train.publish import calibrated, replaced, write
from mmdemo.train.record import Record, RunObserver, Say
from mmdemo.train.request import TrainRequest, write_request
from mmdemo.train.trainer import Interrupted, check_batches, fit, take_best

FAILED = 1
"""The exit code of a training that came to nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """All that a training needs, its features made.

    Attributes:
        net: Filled from what it builds on, frozen where it is not to be trained.
        held: What the finished checkpoint may be measured on.
    """

    task: Task[Any, Any]
    net: nn.Module
    prepared: TrainingData
    bases: Encoders
    sources: DatasetSplits
    held: Dataset


def train(plan: RunPlan, *, watch: RunObserver, then: Callable[[Dataset, Say], None] | None = None) -> Dataset:
    """Run a plan to its end; returns what its checkpoint may be measured on.

    What it does meanwhile lies in ``trainer/`` below that folder (see train.record) from the first moment.

    Args:
        then: What is still to be done with the finished checkpoint before the run counts as done.

    Raises:
        Interrupted: A signal or a stop file came; the same plan with ``resume`` goes on. After a stop file the best
            epoch so far has been published.
        MmdemoError: Whatever people can do something about.
    """
    if not hub.is_hub_base(plan.base):  # its task is known once its kind is
        check_batches(TASKS[plan.task], plan.config.train)
    check_out(plan.out, plan.data)
    if processes.is_main():
        checkpoint.recover(plan.out)
    record = Record(plan.out / "trainer", watch)
    try:
        with _told(record):
            try:
                held = _train(plan, record)
                if then is not None and processes.is_main():
                    then(held, record.log)
            finally:
                draw(record)
        return held
    finally:
        record.close()


def _train(plan: RunPlan, record: Record) -> Dataset:
    started = time.monotonic()
    record.status("preparing")
    ready = prepare(plan, record=record, say=record.log)
    learn, choose = len(ready.prepared.train), len(ready.prepared.validation)
    kind = "clips" if plan.task in {SENTIMENT, "speech"} else "pictures"
    kind = kind if ready.bases.hub is None else "rows"
    record.log(f"{learn} {kind} to learn from, {choose} to choose by")
    try:
        fit(
            ready.task,
            ready.net,
            ready.prepared.train,
            ready.prepared.validation,
            settings=plan.config.train,
            record=record,
            device=plan.device,
            resume=plan.resume,
        )
    except Interrupted as error:
        if not error.signal and processes.is_main():
            _publish_best(plan, ready, record, stopped=error.step)
        raise
    if processes.is_main():
        _publish(plan, ready, record)
        record.log(f"{plan.out} written after {(time.monotonic() - started) / 60:.1f} min")
    return ready.held


def _publish(plan: RunPlan, ready: Ready, record: Record, notes: Sequence[str] = ()) -> None:
    record.status("finishing")
    if not isinstance(ready.net, TrainableParts):  # whose matrices are shipped as they are
        merge_lora(ready.net)
    ready.task.finalize(ready.net, ready.prepared.train)
    config = calibrated(plan, ready.task, ready.prepared, ready.net)
    aside = replaced(plan, record)
    write(plan, ready.task, config, ready.net, prepared=ready.prepared, bases=ready.bases, aside=aside, notes=notes)


def _publish_best(plan: RunPlan, ready: Ready, record: Record, *, stopped: int) -> None:
    """What a run has learned until somebody stopped it, as a checkpoint; its state stays, to go on from."""
    same = same_task(plan)
    if same is not None and same.resolve() == plan.out.resolve():
        # the run could not go on once it had replaced what it builds on
        record.log(f"nothing is published: {plan.out.name} is what this run builds on")
        return
    try:
        best = take_best(ready.task, ready.net, ready.prepared.validation, settings=plan.config.train, record=record)
    except MmdemoError as error:
        record.log(f"nothing is published: {error.why}")
        return
    _publish(plan, ready, record, [f"stopped after step {stopped}; this is the best epoch until then (step {best})"])
    record.log(f"{plan.out} holds the best epoch so far (step {best}); --resume goes on from step {stopped}")


def prepare(plan: RunPlan, *, say: Say, record: Record | None = None) -> Ready:
    """Read the data, make its features and build the network.

    Args:
        record: Of the run that this is for: what it depends on is written there, and a run that is resumed is refused
            where that has changed.
    """
    task, settings = TASKS[plan.task], plan.config.train
    precision = pick_precision(settings.precision, plan.device)
    if plan.config.data.get("cross_fit") and settings.epochs:
        raise MmdemoError(
            "data.cross_fit is for a head that is fitted at once",
            f"train.epochs is {settings.epochs:g}, and no speaker would be left to choose an epoch by",
            "Set train.epochs to 0, or data.cross_fit to false",
        )
    torch.manual_seed(settings.seed)
    bases = load_encoders(
        plan.task,
        plan.base,
        same_task(plan),
        teacher=plan.teacher,
        folded=plan.folds is not None,
        device=plan.device,
        name=plan.base_name,
    )
    if bases.hub is not None:
        _check_hub(plan)
    steps = _steps(say)
    parts = make_splits(
        plan.task,
        plan.data,
        folds=plan.folds,
        fold=plan.fold,
        seed=settings.seed,
        allow_leaks=plan.allow_leaks,
        known_labels=_known_labels(plan, bases),
        say=steps,
    )
    tune = Tune.parse(settings.tune)
    sources, held = make_dataset_splits(parts, options=plan.config.data, tune=tune, seed=settings.seed)
    if record is not None:
        known = {
            "data_hash": hash_of_data(sources.train, sources.validation),
            "base_hash": hash_of_bases(bases, same_task(plan)),
            "precision": precision,
        }
        before = learned_by(same_task(plan))  # while it is there: a run may replace what it is started from
        changes = check_resumed(plan, record.folder, **known) if plan.resume else []
        if not plan.resume:
            record.set_aside()  # not before the data and the base were found good
        if processes.is_main():
            if plan.request is not None:
                write_request(plan.request, record.folder, device=plan.device, resume=plan.resume)
            write_plan(plan, record.folder, **known)
            learned = {"train": sources.train, "validation": sources.validation}
            write_learned(record.folder, **learned, test=held, before=before)
        for change in changes:
            say(change)
    for note in dict.fromkeys((*sources.train.notes, *sources.validation.notes)):
        say(note)
    make_rows = PREPARE[plan.task] if bases.hub is None else prepare_hub
    prepared = make_rows(sources, bases, plan.config.net, steps)
    prepared = replace(prepared, data=sources.train.name)
    if not prepared.train:
        raise MmdemoError("There is nothing to learn from", f"{sources.train.name} gave no usable rows")
    _check_parts(plan, prepared)
    if plan.teacher is not None:
        prepared = teacher_outputs(
            plan.task,
            prepared,
            plan.teacher,
            share=settings.teacher_share,
            epochs=settings.epochs,
            options=plan.config.data,
            device=plan.device,
            say=steps,
        )
    torch.manual_seed(settings.seed)  # what was drawn until here depends on which parts were loaded already
    if bases.hub is not None:
        prepared = hub.described(prepared, settings)
        task, tuned = hub.network(prepared, bases, settings)
        check_batches(task, settings, rows=len(prepared.train))
        return Ready(task=task, net=tuned, prepared=prepared, bases=bases, sources=sources, held=held)
    net = _network(plan, prepared, bases)
    task.fit_init(net, prepared.train)
    task, net = with_trunk(task, net, sources.tune, None if bases.vision is None else bases.vision.trunk)
    if sources.tune.kind == "lora":
        add_lora(task, net, rank=settings.lora_rank, alpha=settings.lora_alpha)
    freeze(task, net, sources.tune)
    net.to(plan.device)
    return Ready(task=task, net=net, prepared=prepared, bases=bases, sources=sources, held=held)


def _known_labels(plan: RunPlan, bases: Encoders) -> Sequence[str]:
    """Labels that need not be in the training part."""
    if bases.hub is not None:
        return bases.hub.model.config.labels
    return bases.same.labels if bases.same is not None and TASKS[plan.task].label_rows else ()


def _check_hub(plan: RunPlan) -> None:
    """Raises MmdemoError for what hub models cannot be taught by."""
    if plan.teacher is not None:
        raise MmdemoError("A public model cannot be taught by --teacher", "teachers speak to networks of ours alone")
    hub.check_rewards(plan.config)


def _check_parts(plan: RunPlan, prepared: TrainingData) -> None:
    """Raises MmdemoError where the finished checkpoint would not find what it refers to: now, and not after hours."""
    for part in () if prepared.ships is not None else prepared.config.parts.values():
        place = registry.part_folder(plan.out, part.name)
        if not place.is_dir() or checkpoint.weights_hash(place) != part.hash:
            raise MmdemoError(
                f"{plan.out.name} would not find its {part.name}",
                f"the base has another {part.name} than {place.parent}",
                "Give --out a path beside the base's",
            )


def _network(plan: RunPlan, prepared: TrainingData, bases: Encoders) -> nn.Module:
    """The network that the configuration describes, filled from its base."""
    config: CheckpointConfig = prepared.config
    try:
        net: nn.Module = TASKS[plan.task].build(config)
    except ValueError as error:
        raise MmdemoError("The settings of [net] do not fit together", str(error)) from None
    try:
        _start(plan, net, config, bases)
    except (RuntimeError, KeyError) as error:
        first = str(error).strip().splitlines()[-1].strip().rstrip(".")
        raise MmdemoError(
            f"The base does not fit the network that {plan.config_file.name} describes",
            first,
            "Leave the settings of [net] as the base has them, or name another --base",
        ) from None
    for name, values in prepared.constants.items():
        net.get_buffer(name).copy_(torch.from_numpy(values))
    return net


def _start(plan: RunPlan, net: nn.Module, config: CheckpointConfig, bases: Encoders) -> None:
    """Fill the network from what it builds on.

    Raises:
        MmdemoError: Naming a tensor of the base that does not fit.
    """
    task, place = TASKS[plan.task], same_task(plan)
    if bases.same is None or place is None:
        task.start(net, bases.modules())
        return
    source = task.build(bases.same)
    checkpoint.load_weights(source, place, trunk_apart="vision" in bases.same.parts)
    have, rows = net.state_dict(), {label: i for i, label in enumerate(bases.same.labels)}
    for name, tensor in source.state_dict().items():
        if name in task.label_rows:
            for i, label in enumerate(config.labels):
                if label in rows:
                    have[name][i] = tensor[rows[label]]
        elif name in have and have[name].shape == tensor.shape:
            have[name] = tensor
        elif name in have and name in task.grown_rows:
            have[name][: len(tensor)] = tensor
        else:
            raise MmdemoError(
                f"{place.name} cannot be the base of this network",
                f"tensor {name} has shape {tuple(tensor.shape)} there and not here",
                "Leave the settings of [net] as the base has them",
            )
    net.load_state_dict(have, strict=True)


@contextmanager
def _told(record: Record) -> Iterator[None]:
    """Whatever way a run ends, its status says so."""
    try:
        yield
    except Interrupted as error:
        (record.folder / STOP).unlink(missing_ok=True)
        record.status("stopped", step=error.step)
        raise
    except KeyboardInterrupt:
        record.status("stopped")
        raise
    except BaseException as error:
        with suppress(MmdemoError):  # a full disk is no reason to hide what happened
            text = str(error).strip() or type(error).__name__
            record.note(f"failed: {text}")
            record.status("failed", error=text if isinstance(error, MmdemoError) else _one_line(error, text))
        raise
    else:
        record.status("done")


def _one_line(error: BaseException, text: str) -> str:
    return f"{type(error).__name__}: {text.splitlines()[-1].strip()}"


def _steps(say: Say) -> Callable[[str, int, int], None]:
    """Progress of preparation, at most every five seconds."""
    last, told = [time.monotonic() - 4], set[str]()

    def step(what: str, done: int, count: int) -> None:
        now = time.monotonic()
        if now - last[0] > 5 or (done == count and what in told):
            last[0] = now
            told.add(what)
            say(f"{what}: {done}/{count}")

    return step


def main(
    request: TrainRequest, *, resume: bool = False, json_out: bool = False, watch: RunObserver | None = None
) -> int:
    """The command ``train``; returns the exit code."""
    if request.task not in TASKS:
        near = nearest_name(request.task, sorted(TASKS))
        raise MmdemoError(
            f"There is no task {request.task!r}",
            f"there are {', '.join(TASKS)}",
            f"Did you mean {near}" if near else "",
        )
    keep_freed_memory()
    processes.set_device()
    watch = watch or RunObserver()
    plan = make_plan(request, resume=resume)
    if request.cross_validate and request.teacher is not None:
        raise MmdemoError("--teacher and --cross-validate exclude each other", "the teacher may have heard every fold")
    if request.cross_validate and processes.world_size() > 1:
        raise MmdemoError("Folds are trained in one process", f"there are {processes.world_size()}")
    try:
        return _cross_validated(plan, watch, json_out) if request.cross_validate else _trained(plan, watch, json_out)
    except Interrupted as error:
        watch.log(f"Stopped after step {error.step}. The same command with --resume goes on from there.")
        return 128 + error.signal if error.signal else 0
    except KeyboardInterrupt:
        watch.log("Stopped. The same command with --resume goes on from the last saved state.")
        return 128 + signal.SIGINT
    finally:
        processes.destroy_group()


def _trained(plan: RunPlan, watch: RunObserver, json_out: bool) -> int:
    reports: list[Report] = []

    def then(held: Dataset, say: Say) -> None:
        if plan.task in SERVED:
            reports.extend(measure(plan, held, say=say))

    train(plan, watch=watch, then=then)
    if json_out and processes.is_main():
        found = [report.to_json() for report in reports]
        print(json_text({"task": plan.task, "model": str(plan.out), "reports": found}))  # noqa: T201 - the output
    return 0


def _cross_validated(plan: RunPlan, watch: RunObserver, json_out: bool) -> int:
    def one(fold: RunPlan) -> None:
        train(fold, watch=watch)

    report = run_folds(plan, one, say=watch.log)
    figures = "\n".join(f"{m.name} {m.value:.3f} ({m.low:.3f} to {m.high:.3f})" for m in report.to_metrics())
    print(json_text(report.to_json()) if json_out else f"{report.data}, n = {report.n}\n{figures}")  # noqa: T201
    return 0
