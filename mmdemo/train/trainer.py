"""The glue between a task and ``transformers.Trainer``. Nothing here knows what is trained."""

from __future__ import annotations

import contextlib
import logging
import math
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers import TrainingArguments

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import object_or_empty
from mmdemo.core.tasks import CAPTION
from mmdemo.tasks.base import Task
from mmdemo.train import processes, state
from mmdemo.train.batches import Batches, steps_in
from mmdemo.train.callbacks import STOPPED, Recorder
from mmdemo.train.ema import ExponentialMovingAverage
from mmdemo.train.loop import PARTS, LossModule, StepTrainer, TooLarge
from mmdemo.train.precision import eval_mode, out_of_memory, pick_precision, run_outputs
from mmdemo.train.record import STATES, Record, best_epochs
from mmdemo.train.settings import TrainSettings

SPARE = 64 * 2**20
"""Bytes that a disk must have beyond what the next state needs."""


class Interrupted(Exception):
    """The run was asked to stop, and has: its state lies on disk.

    Attributes:
        step: The last step that was made.
        signal: What asked; 0 where it was the run's stop file, and not a signal.
    """

    def __init__(self, step: int, signal: int) -> None:
        super().__init__(f"stopped at step {step}")
        self.step, self.signal = step, signal


ENDING_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextlib.contextmanager
def _listening(asked: list[int]) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal end the training after the step; a second Ctrl-C ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}

    def hear(number: int, frame: object) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, hear)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ---------------------------------------------------------------- a whole training


def check_batches(task: Task[Any, Any], settings: TrainSettings, *, rows: int | None = None) -> None:
    """Refuse what cannot be computed exactly.

    Args:
        rows: To learn from, once that is known.

    Raises:
        MmdemoError: The batch of a task whose loss compares rows is to be taken in parts, or is smaller than the number
            of processes; or whole sentences are to be rewarded in a task that writes none.
    """
    if settings.self_critical and task.name != CAPTION:
        raise MmdemoError(f"train.self_critical is of no use to {task.name}", "it rewards captions", "Leave it at 0")
    several = processes.world_size()
    if not task.additive and (settings.grad_accum_steps > 1 or several > 1):
        raise MmdemoError(
            f"{task.name.capitalize()} cannot be trained in parts",
            "its loss compares every row of a batch with all others, so halves do not add up to the whole",
            "Use one process"
            if several > 1
            else "Set train.grad_accum_steps to 1 and choose train.batch_size as it fits",
        )
    step = settings.batch_size * settings.grad_accum_steps
    if step < several or (rows is not None and rows // math.ceil(rows / step) < several):
        raise MmdemoError(
            f"A step is too small for {several} processes",
            "each needs a row of its own",
            "Raise train.batch_size, or use fewer",
        )


def fit(
    task: Task[Any, Any],
    net: nn.Module,
    train: Sequence[Any],
    validation: Sequence[Any],
    *,
    settings: TrainSettings,
    record: Record,
    device: str,
    resume: bool,
) -> None:
    """Train ``net`` in place; it ends with the best weights of all epochs.

    Args:
        record: Of the run; events, best weights and the state to go on from are kept there.
        resume: Go on from the newest state where there is one.

    Raises:
        Interrupted: A signal came, or a stop file; the state was written.
        MmdemoError: The settings cannot be, the disk is full, memory does not even hold a row, or no figure was a
            number.
    """
    transformers.utils.logging.set_verbosity(logging.ERROR)
    check_batches(task, settings, rows=len(train))
    precision = pick_precision(settings.precision, device)
    metric = record.metric = settings.metric or task.metric
    states = record.folder / STATES
    if not settings.epochs:
        _without_steps(task, net, validation, settings=settings, record=record, device=device)
        return
    asked: list[int] = []
    parts = settings.grad_accum_steps
    resumed = state.newest_state(states) if resume else None
    if resume and resumed is None:
        aside = record.earlier()
        hint = f" (an interrupted run lies in {aside[-1]}; move what it holds back to go on with it)" if aside else ""
        record.log(f"there is no state to go on from: starting at the beginning{hint}")
        record.cut_events(0)
        record.keep_only(set())
    with _listening(asked):
        while True:
            _check_room(net, states)
            if resumed is not None:
                record.cut_events(state.step_of(resumed))
                parts = read_parts(resumed, parts)
                record.log(f"going on from step {state.step_of(resumed)}")
            trainer = _make(task, net, train, settings=settings, states=states, device=device, parts=parts)
            recorder = Recorder(trainer, validation, record, metric=metric, precision=precision, asked=asked)
            trainer.add_callback(recorder)
            if resumed is not None and _is_over(trainer, recorder, resumed):
                record.log("its training has ended already")
                break
            try:
                trainer.train(resume_from_checkpoint=str(resumed) if resumed is not None else None)
                break
            except TooLarge:
                parts = _smaller(task, trainer, record)
                resumed = state.newest_state(states)
            except (RuntimeError, MemoryError) as error:  # in the optimizer's step, whose size no batch changes
                if not out_of_memory(error):
                    raise
                raise MmdemoError(
                    "The memory does not hold the training", "its optimizer alone is too large", "Train less of it"
                ) from None
    if asked:
        saved = state.newest_state(states)
        step = state.step_of(saved) if saved is not None else 0
        raise Interrupted(step, 0 if asked[0] == STOPPED else asked[0])
    if processes.is_main():
        take_best(task, net, validation, settings=settings, record=record)


def take_best(
    task: Task[Any, Any], net: nn.Module, validation: Sequence[Any], *, settings: TrainSettings, record: Record
) -> int:
    """Fill ``net`` with the best weights of all epochs so far; returns their step.

    Raises:
        MmdemoError: No epoch was finished, or no figure was a number.
    """
    metric = settings.metric or task.metric
    step = _chosen(record, metric if settings.keep_best and validation else None)
    net.load_state_dict(state.read_tensors(record.kept(step)), strict=True)
    return step


def _is_over(trainer: StepTrainer, recorder: Recorder, resumed: Path) -> bool:
    """Whether a state is that of a training which has ended; an epoch's end that was left out is made up for."""
    trainer.load_state(resumed)
    trainer.state.max_steps = steps_in(trainer.batches, trainer.settings.epochs)
    return recorder.catch_up(trainer.state, transformers.TrainerControl())


def _chosen(record: Record, metric: str | None) -> int:
    """The step of the best epoch whose weights are there, or of the last one.

    Raises:
        MmdemoError: No figure was a number.
    """
    epochs = [event for event in record.events() if record.kept(event["step"]).exists()]
    if metric is None and epochs:
        return max(int(event["step"]) for event in epochs)
    best = best_epochs(epochs, metric) if metric is not None else []
    if not best:
        validated = any(metric in event for event in record.events())
        raise MmdemoError(
            "The training came to nothing",
            f"its {metric} was never a number" if validated else "no epoch was finished",
            "Lower train.learning_rate and look at the data",
        )
    return best[0][1]


def read_parts(place: Path, otherwise: int) -> int:
    """Into how many parts steps were cut when a state was written."""
    try:
        return int(object_or_empty(place / PARTS)["parts"])
    except (ValueError, KeyError, TypeError):
        return otherwise


def _smaller(task: Task[Any, Any], trainer: StepTrainer, record: Record) -> int:
    """Write the state after the last step, to go on from with parts of half the size; returns their number."""
    rows = math.ceil(math.ceil(trainer.batches.rows / trainer.batches.steps) / trainer.batches.parts)
    if rows <= 1 or not task.additive or processes.world_size() > 1:
        raise MmdemoError(
            "The memory does not hold a step",
            f"{rows} rows at once are too many" if task.additive else "this task's batches cannot be taken in parts",
            "Start anew with a smaller train.batch_size",
        )
    trainer.lesson.zero_grad(set_to_none=True)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    parts = trainer.batches.parts * 2
    trainer.write_state(trainer.chance)
    place = state.folder_of(Path(trainer.args.output_dir or ""), trainer.state.global_step)
    state.write_json({"parts": parts}, place / PARTS)
    record.log(
        f"out of memory after step {trainer.state.global_step}: going on with {math.ceil(rows / 2)} rows at a time "
        f"instead of {rows}, {parts} times a step"
    )
    return parts


def _check_room(net: nn.Module, states: Path) -> None:
    """Raises MmdemoError where the disk has no room for a state: better now than after the first hours."""
    states.mkdir(parents=True, exist_ok=True)
    need = 5 * sum(tensor.numel() * tensor.element_size() for tensor in net.state_dict().values())
    free = shutil.disk_usage(states).free
    if free < need + SPARE:
        raise MmdemoError(
            "The disk is too full to train",
            f"{(need + SPARE) / 2**20:.0f} MiB are needed and {free / 2**20:.0f} MiB are free",
            "Free some space or choose another --out",
        )


def _make(
    task: Task[Any, Any],
    net: nn.Module,
    rows: Sequence[Any],
    *,
    settings: TrainSettings,
    states: Path,
    device: str,
    parts: int,
) -> StepTrainer:
    precision = pick_precision(settings.precision, device)
    size = settings.batch_size * settings.grad_accum_steps
    batches = Batches(
        len(rows), size, parts=parts, processes=processes.world_size(), rank=processes.rank(), seed=settings.seed
    )
    arguments = TrainingArguments(
        output_dir=str(states),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=max(1, size // parts // processes.world_size()),
        gradient_accumulation_steps=batches.parts,
        learning_rate=settings.learning_rate,
        lr_scheduler_type={"constant": "constant_with_warmup"}.get(settings.schedule, settings.schedule),
        warmup_steps=int(settings.warmup * steps_in(batches, settings.epochs)),
        max_grad_norm=settings.max_grad_norm,
        seed=settings.seed,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=device == "cpu",
        ddp_find_unused_parameters=False,
        ddp_backend="gloo" if device == "cpu" and processes.world_size() > 1 else None,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=settings.save_steps,
        eval_strategy="no",
        report_to=[],
        remove_unused_columns=False,
        label_names=[],
        disable_tqdm=True,
    )
    arguments._n_gpu = min(1, arguments.n_gpu)
    trainer = StepTrainer(
        lesson=LossModule(task, net, settings.how()),
        rows=rows,
        settings=settings,
        batches=batches,
        average=ExponentialMovingAverage(net, settings.ema_decay) if settings.ema_decay else None,
        args=arguments,
    )
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def _without_steps(
    task: Task[Any, Any],
    net: nn.Module,
    validation: Sequence[Any],
    *,
    settings: TrainSettings,
    record: Record,
    device: str,
) -> None:
    """No epochs: what the task computes at once is all there is."""
    figures: dict[str, float] = {}
    if validation:
        outputs = run_outputs(task, net, validation, batch_size=settings.batch_size, device=torch.device(device))
        with eval_mode(net):
            figures = task.score(net, outputs, validation)
    record.event(step=0, epoch=0, **figures)
    record.log(
        "train.epochs is 0, so no setting of gradient descent counts: "
        + (", ".join(f"{k} {v:.4f}" for k, v in figures.items()) or "done")
    )
