"""What happens between steps: events, validation, the best weights kept, stopping early and on request."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Sequence
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from mmdemo.core.errors import MmdemoError
from mmdemo.core.words import nearest_name
from mmdemo.train import processes
from mmdemo.train.loop import StepTrainer
from mmdemo.train.precision import run_outputs
from mmdemo.train.record import NOT_FIGURES, Event, Progress, Record, best_epochs
from mmdemo.train.state import chance

SAID = 20
"""Steps between two lines for people; their loss is the mean since the last one."""


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
        self.epochs: list[Event] = [event for event in record.events() if "loss" not in event]

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        self.started, self.first_step = time.monotonic(), state.global_step
        step = state.global_step
        if step and self._ends_epoch(state) and all(event["step"] != step for event in self.epochs):
            self.epoch_ends(state, control)  # it was interrupted between the step and the validation after it

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
        self.record.event(step=step, epoch=epoch, loss=loss, rate=logs["learning_rate"], grad=logs.get("grad_norm", 0))
        self.losses.append(loss)
        if len(self.losses) == SAID and not any(math.isfinite(value) for value in self.losses):
            raise MmdemoError(
                f"The training has diverged at step {step}",
                f"its loss has not been a number for {SAID} steps",
                "Lower train.learning_rate; the best epoch so far is kept in the run's folder",
            )
        pace = (time.monotonic() - self.started) / max(step - self.first_step, 1)
        left = pace * (state.max_steps - step)
        figures = {k: v for k, v in self.epochs[-1].items() if k not in NOT_FIGURES} if self.epochs else {}
        self.record.progress(
            Progress(step=step, steps=state.max_steps, epoch=epoch, loss=loss, figures=figures, seconds_left=left)
        )
        if step % SAID and step != state.max_steps:
            return
        loss = sum(self.losses) / len(self.losses)
        self.losses.clear()
        self.record.say(f"step {step}/{state.max_steps}  loss {loss:.4f}  {in_words(left)} left")

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        if not self._asked(control):  # else the run that goes on begins with this epoch's end
            self.epoch_ends(state, control)

    def _asked(self, control: TrainerControl) -> bool:
        """Whether the run is to stop; then its state is saved."""
        if not processes.any_of(bool(self.asked)):
            return False
        self.asked[:] = self.asked or [signal.SIGTERM]
        control.should_save = control.should_training_stop = True
        return True

    def _ends_epoch(self, state: TrainerState) -> bool:
        return state.global_step % self.trainer.batches.steps == 0 or state.global_step >= state.max_steps

    def epoch_ends(self, state: TrainerState, control: TrainerControl) -> None:
        """Validate, keep the weights if they are among the best, and stop early if nothing has got better."""
        step = state.global_step
        if processes.is_main():
            if self.trainer.average is not None:
                self.trainer.average.swap(self.net)
            figures = self.figures()
            event: Event = {"step": step, "epoch": round(state.epoch or 0, 4), **figures}
            wanted = self._wanted([*self.epochs, event])
            if step in wanted:
                self.record.keep(step, self.net.state_dict())
            # after the weights: a figure that is written down has its weights beside it
            self.record.event(**event)
            self.epochs.append(event)
            self.record.keep_only(wanted)
            if self.trainer.average is not None:
                self.trainer.average.swap(self.net)
            best = self.settings.keep_best and bool(self.validation) and best_epochs(self.epochs, self.metric)[:1]
            text = "  ".join(f"{name} {figure:.4f}" for name, figure in figures.items()) or "done"
            mark = "  (best so far)" if best and best[0][1] == step else ""
            self.record.say(f"epoch {state.epoch or 0:.0f}: {text}{mark}")
        if processes.any_of(self.no_better()):
            control.should_training_stop = control.should_save = True
            if step < state.max_steps:
                self.record.say(f"stopping early: no better {self.metric} for {self.settings.patience} epochs")

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
        found = self.task.score(self.net, outputs, self.validation)
        if self.metric not in found:
            near = nearest_name(self.metric, sorted(found))
            raise MmdemoError(
                f"There is no figure {self.metric!r} to choose by",
                f"{self.task.name} gives {', '.join(sorted(found))}",
                f"Did you mean {near}" if near else "",
            )
        return found

    def _wanted(self, epochs: list[Event]) -> set[int]:
        """Steps whose weights are kept: the best, or the last where there is nothing to choose by."""
        if self.settings.keep_best and self.validation:
            return {step for _, step in best_epochs(epochs, self.metric)[: self.settings.keep]}
        return {epochs[-1]["step"]}

    def no_better(self) -> bool:
        """Whether the figure has not risen for as many epochs as a person has patience."""
        if not (self.settings.patience and self.validation and self.epochs and processes.is_main()):
            return False
        found = best_epochs(self.epochs, self.metric)
        since = [event for event in self.epochs if not found or event["step"] > found[0][1]]
        return len(since) >= self.settings.patience


def in_words(seconds: float) -> str:
    """As in "about 40 s", "about 3 min", "about 2.5 h"."""
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
