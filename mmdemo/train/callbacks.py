"""What happens between steps: events, validation, the best weights kept, stopping early and on request."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from mmdemo.core.errors import MmdemoError
from mmdemo.core.words import nearest_name
from mmdemo.train import processes
from mmdemo.train.curves import draw
from mmdemo.train.loop import StepTrainer
from mmdemo.train.precision import eval_mode, run_outputs
from mmdemo.train.record import NOT_FIGURES, STATES, Event, Record, TrainProgress, best_epochs
from mmdemo.train.state import chance, newest_state, step_of

SAID = 20
"""Steps between two lines for people; their loss is the mean since the last one."""


DRAWN = 30
"""Seconds between two drawings of the curve."""

STOPPED = 1000
"""Stands among the signals that were heard for somebody's wish that the run stops and its best is published."""


class Recorder(TrainerCallback):
    """Writes events, validates after every epoch, keeps the best weights; stops where ``asked`` holds a signal."""

    def __init__(
        self,
        trainer: StepTrainer,
        validation: Sequence[Any],
        record: Record,
        *,
        metric: str,
        precision: str,
        asked: list[int],
    ) -> None:
        self.trainer, self.validation, self.record = trainer, validation, record
        self.task, self.net, self.settings = trainer.lesson.task, trainer.lesson.net, trainer.settings
        self.metric, self.precision, self.asked = metric, precision, asked
        self.started, self.first_step = time.monotonic(), 0
        self.losses: list[float] = []
        self.broken = 0
        self.drawn = time.monotonic()
        self.epochs: list[Event] = [event for event in record.events() if "loss" not in event]

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        self.started, self.first_step = time.monotonic(), state.global_step

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        self.trainer.batches.epoch = int(state.epoch or 0)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        if self.trainer.average is not None:
            self.trainer.average.update(self.net)
        self.trainer.chance = chance()
        self._asked(control)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **rest: Any
    ) -> None:
        if not logs or "loss" not in logs:
            return
        step, epoch, loss = state.global_step, round(state.epoch or 0, 4), float(logs["loss"])
        state.log_history.clear()  # it would be written with every state; events.jsonl has it
        grad = float(logs.get("grad_norm") or 0.0)
        self.record.event(step=step, epoch=epoch, loss=loss, rate=logs["learning_rate"], grad=grad)
        self.losses.append(loss)
        self.trainer.sound = math.isfinite(loss) and math.isfinite(grad)
        self.broken = 0 if math.isfinite(loss) else self.broken + 1
        if self.broken == SAID:
            raise diverged(step)
        pace = (time.monotonic() - self.started) / max(step - self.first_step, 1)
        left = pace * (state.max_steps - step)
        figures = {k: v for k, v in self.epochs[-1].items() if k not in NOT_FIGURES} if self.epochs else {}
        self.record.progress(
            TrainProgress(step=step, steps=state.max_steps, epoch=epoch, loss=loss, figures=figures, seconds_left=left)
        )
        if step % SAID and step != state.max_steps:
            return
        loss = sum(self.losses) / len(self.losses)
        self.losses.clear()
        self.record.log(f"step {step}/{state.max_steps}  loss {loss:.4f}  {in_words(left)} left")

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        if not self._asked(control):  # else the run that goes on begins with this epoch's end
            self.epoch_ends(state, control)

    def _asked(self, control: TrainerControl) -> bool:
        """Whether the run is to stop, by a signal or by its stop file; then its state is saved."""
        if not self.asked and self.record.to_stop():
            self.asked.append(STOPPED)
        heard = processes.all_reduce_max(self.asked[0] if self.asked else 0)
        if not heard:
            return False
        self.asked[:] = [heard]
        control.should_save = control.should_training_stop = True
        return True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        self._clear()

    def catch_up(self, state: TrainerState, control: TrainerControl) -> bool:
        """Make up for the end of an epoch that an interruption left out; returns whether the training is over."""
        step, ends = state.global_step, state.global_step >= state.max_steps
        ends_epoch = ends or step % self.trainer.batches.steps == 0
        if step and ends_epoch and all(event["step"] != step for event in self.epochs):
            self.epoch_ends(state, control)
        return processes.all_reduce_any(self.no_better()) or ends

    def epoch_ends(self, state: TrainerState, control: TrainerControl) -> None:
        """Validate, keep the weights if they are among the best, and stop early if nothing has got better."""
        step = state.global_step
        if processes.is_main():
            if self.trainer.average is not None:
                self.trainer.average.swap(self.net)
            if not all(bool(torch.isfinite(t).all()) for t in self.net.parameters()):
                raise diverged(step)
            figures = self.figures()
            event: Event = {"step": step, "epoch": round(state.epoch or 0, 4), **figures}
            wanted = self._wanted([*self.epochs, event])
            if step in wanted:
                self.record.keep(step, self.net.state_dict())
            # after the weights: a figure that is written down has its weights beside it
            self.record.event(**event)
            self.epochs.append(event)
            self._clear()
            if self.trainer.average is not None:
                self.trainer.average.swap(self.net)
            best = self.settings.keep_best and bool(self.validation) and best_epochs(self.epochs, self.metric)[:1]
            text = "  ".join(f"{name} {figure:.4f}" for name, figure in figures.items()) or "done"
            mark = "  (best so far)" if best and best[0][1] == step else ""
            self.record.log(f"epoch {state.epoch or 0:.0f}: {text}{mark}")
            if time.monotonic() - self.drawn > DRAWN:
                draw(self.record)
                self.drawn = time.monotonic()
        if processes.all_reduce_any(self.no_better()):
            control.should_training_stop = control.should_save = True
            if step < state.max_steps:
                self.record.log(f"stopping early: no better {self.metric} for {self.settings.patience} epochs")

    def figures(self) -> dict[str, float]:
        """Of the validation rows."""
        if not self.validation:
            return {}
        outputs = run_outputs(
            self.task,
            self.net,
            self.validation,
            batch_size=self.settings.batch_size,
            device=next(self.net.parameters()).device,
            precision=self.precision,
        )
        with eval_mode(self.net):
            found = self.task.score(self.net, outputs, self.validation)
        if self.metric not in found:
            near = nearest_name(self.metric, sorted(found))
            raise MmdemoError(
                f"There is no figure {self.metric!r} to choose by",
                f"{self.task.name} gives {', '.join(sorted(found))}",
                f"Did you mean {near}" if near else "",
            )
        return found

    def _clear(self) -> None:
        """Remove weights that nobody needs: neither the best so far, nor the best when the newest state was written."""
        saved = newest_state(self.record.folder / STATES)
        then = [event for event in self.epochs if saved is not None and event["step"] <= step_of(saved)]
        self.record.keep_only(self._wanted(self.epochs) | self._wanted(then))

    def _wanted(self, epochs: list[Event]) -> set[int]:
        """Steps whose weights are kept: the best, or the last where there is nothing to choose by."""
        if not epochs:
            return set()
        if self.settings.keep_best and self.validation:
            return {step for _, step in best_epochs(epochs, self.metric)[: self.settings.save_total_limit]}
        return {epochs[-1]["step"]}

    def no_better(self) -> bool:
        """Whether the figure has not risen for as many epochs as a person has patience."""
        if not (self.settings.patience and self.validation and self.epochs and processes.is_main()):
            return False
        found = best_epochs(self.epochs, self.metric)
        since = [event for event in self.epochs if not found or event["step"] > found[0][1]]
        return len(since) >= self.settings.patience


def diverged(step: int) -> MmdemoError:
    """What is said of a training whose weights or losses are no numbers any more."""
    return MmdemoError(
        f"The training has diverged at step {step}",
        "its loss or its weights are not numbers any more",
        "Lower train.learning_rate and use --resume: the last sound state and the best epoch so far are kept",
    )


def in_words(seconds: float) -> str:
    """As in "about 40 s", "about 3 min", "about 2.5 h"."""
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
