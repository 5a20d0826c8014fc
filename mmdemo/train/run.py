"""One training run from data folders to a checkpoint folder: read, prepare, fit, calibrate, write, measure."""

from __future__ import annotations

import dataclasses
import json
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from mmdemo.core.config import CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.core.memory import keep_freed_memory
from mmdemo.core.types import TASKS as SERVED
from mmdemo.core.words import nearest_name
from mmdemo.data.folders import resolve_split
from mmdemo.data.prepare import PREPARE, Bases, Prepared, Sources
from mmdemo.data.read import read_examples
from mmdemo.data.split import fold_split
from mmdemo.models.loading import pick_device
from mmdemo.tasks import TASKS
from mmdemo.tasks.tune import Tune, freeze
from mmdemo.train import processes
from mmdemo.train.bases import load_bases, start
from mmdemo.train.curves import draw
from mmdemo.train.measure import measure, run_folds
from mmdemo.train.plan import (
    Plan,
    check_resumed,
    command_line,
    default_config,
    find_base,
    out_folder,
    write_plan,
)
from mmdemo.train.precision import pick_precision
from mmdemo.train.publish import calibrated, write
from mmdemo.train.record import Record, Say, Watch
from mmdemo.train.settings import read_config
from mmdemo.train.trainer import Interrupted, check_batches, fit

FAILED = 1
"""The exit code of a training that came to nothing."""


def split(plan: Plan) -> Sources:
    """Examples for training and validation, from splits or from a fold of speakers."""
    if plan.folds is not None and plan.fold is not None:
        everything = read_examples(plan.task, plan.data, split="train")
        train, validation, _ = fold_split(everything, plan.folds, plan.fold)
    else:
        train = read_examples(plan.task, plan.data, split="train")
        try:
            resolve_split(plan.data, "validation")
        except MmdemoError:  # none of the data has one; whatever else is wrong with it is said below
            validation = train.with_examples((), split="validation")
        else:
            validation = read_examples(plan.task, plan.data, split="validation")
    return Sources(
        train=train,
        validation=validation,
        seed=plan.config.train.seed,
        options=plan.config.data,
        tune=Tune.parse(plan.config.train.tune),
    )


def train(plan: Plan, *, watch: Watch) -> Path:
    """Run a plan to its end and return the checkpoint's folder.

    What it does meanwhile lies in ``trainer/`` below that folder (see train.record) from the first moment.

    Raises:
        Interrupted: A signal came; the same plan with ``resume`` goes on.
        MmdemoError: Whatever people can do something about.
    """
    record = Record(plan.out / "trainer", watch)
    try:
        with _told(record):
            _train(plan, record)
    finally:
        draw(record)
        record.close()
    return plan.out


def _train(plan: Plan, record: Record) -> None:
    task, settings = TASKS[plan.task], plan.config.train
    started = time.monotonic()
    if not plan.resume:
        record.set_aside()
    record.status("preparing")
    check_batches(task, settings)
    precision = pick_precision(settings.precision, plan.device)
    torch.manual_seed(settings.seed)
    bases = load_bases(plan)
    sources = split(plan)
    for note in dict.fromkeys((*sources.train.notes, *sources.validation.notes)):
        record.say(note)
    data_hash = f"{sources.train.fingerprint}:{sources.validation.fingerprint}"
    if plan.resume:
        for change in check_resumed(plan, record.folder, data_hash=data_hash):
            record.say(change)
    if processes.is_main():
        write_plan(plan, record.folder, data_hash=data_hash, precision=precision)
    prepared = PREPARE[plan.task](sources, bases, plan.config.net, _steps(record.say))
    prepared = dataclasses.replace(prepared, data=sources.train.name)
    if not prepared.train:
        raise MmdemoError("There is nothing to learn from", f"{sources.train.name} gave no usable rows")
    record.say(f"{len(prepared.train)} rows to learn from, {len(prepared.validation)} to choose by")
    net = _network(plan, prepared, bases)
    task.warm_up(net, prepared.train)
    freeze(task, net, sources.tune)
    net.to(plan.device)
    fit(
        task,
        net,
        prepared.train,
        prepared.validation,
        settings=settings,
        record=record,
        device=plan.device,
        resume=plan.resume,
    )
    if not processes.is_main():
        return
    record.status("finishing")
    config = calibrated(plan, prepared, net)
    write(plan, config, net, bases)
    record.say(f"{plan.out} written after {(time.monotonic() - started) / 60:.1f} min")


def _network(plan: Plan, prepared: Prepared, bases: Bases) -> nn.Module:
    """The network that the configuration describes, filled from its base."""
    config: CheckpointConfig = prepared.config
    try:
        net: nn.Module = TASKS[plan.task].build(config)
    except ValueError as error:
        raise MmdemoError("The settings of [net] do not fit together", str(error)) from None
    try:
        start(plan, net, config, bases)
    except (RuntimeError, KeyError) as error:
        first = str(error).strip().splitlines()[-1].strip().rstrip(".")
        raise MmdemoError(
            f"The base does not fit the network that {plan.config_file.name} describes",
            first,
            "For Sentiment, distil a speech encoder first: train speech" if plan.task == "sentiment" else "",
        ) from None
    for name, values in prepared.constants.items():
        net.get_buffer(name).copy_(torch.from_numpy(values))
    return net


@contextmanager
def _told(record: Record) -> Iterator[None]:
    """Whatever way a run ends, its status says so."""
    try:
        yield
    except Interrupted as error:
        record.status("stopped", step=error.step)
        raise
    except KeyboardInterrupt:
        record.status("stopped", step=0)
        raise
    except BaseException as error:
        record.say(f"failed: {error}")
        record.status("failed", error=str(error))
        raise
    else:
        record.status("done")


def _steps(say: Say) -> Callable[[str, int, int], None]:
    """Progress of preparation, at most every five seconds."""
    last = [0.0]

    def step(what: str, done: int, count: int) -> None:
        now = time.monotonic()
        if now - last[0] > 5:
            last[0] = now
            say(f"{what}: {done}/{count}")

    return step


def main(
    *,
    task: str,
    data: Sequence[Path],
    out: str,
    config: Path | None = None,
    base: str | None = None,
    teacher: str | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    folds: Path | None = None,
    fold: int | None = None,
    cross_validate: bool = False,
    allow_leaks: bool = False,
    device: str = "auto",
    json_out: bool = False,
    watch: Watch | None = None,
) -> int:
    """The command ``train``; returns the exit code."""
    if task not in TASKS:
        near = nearest_name(task, sorted(TASKS))
        raise MmdemoError(
            f"There is no task {task!r}", f"there are {', '.join(TASKS)}", f"Did you mean {near}" if near else ""
        )
    keep_freed_memory()
    watch = watch or Watch()
    file = config or default_config(task)
    plan = Plan(
        task=task,
        data=tuple(data),
        out=out_folder(out),
        config=read_config(file, overrides),
        config_file=file,
        base=find_base(base) if base else None,
        teacher=teacher,
        resume=resume,
        device=pick_device(device),
        folds=folds,
        fold=fold,
        allow_leaks=allow_leaks,
        command=command_line(
            task,
            data,
            out,
            config=config,
            base=base,
            teacher=teacher,
            overrides=overrides,
            folds=folds,
            fold=fold,
            cross_validate=cross_validate,
            allow_leaks=allow_leaks,
            device=device,
        ),
    )
    try:
        return _cross_validated(plan, watch, json_out) if cross_validate else _trained(plan, watch, json_out)
    except Interrupted as error:
        watch.say(f"Stopped after step {error.step}. The same command with --resume goes on from there.")
        return 128 + error.signal
    except KeyboardInterrupt:
        watch.say("Stopped. The same command with --resume goes on from the last saved state.")
        return 128 + signal.SIGINT
    finally:
        processes.part()


def _trained(plan: Plan, watch: Watch, json_out: bool) -> int:
    train(plan, watch=watch)
    if not processes.is_main():
        return 0
    reports = measure(plan, say=watch.say) if plan.task in SERVED else []
    if json_out:
        found = [report.to_json() for report in reports]
        print(json.dumps({"task": plan.task, "model": str(plan.out), "reports": found}))  # noqa: T201 - the output
    return 0


def _cross_validated(plan: Plan, watch: Watch, json_out: bool) -> int:
    def one(fold: Plan) -> None:
        train(fold, watch=watch)

    report = run_folds(plan, one, say=watch.say)
    figures = "\n".join(f"{m.name} {m.value:.3f} ({m.low:.3f} to {m.high:.3f})" for m in report.to_metrics())
    print(json.dumps(report.to_json()) if json_out else f"{report.data}, n = {report.n}\n{figures}")  # noqa: T201
    return 0
