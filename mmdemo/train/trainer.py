"""The glue between a task and ``transformers.Trainer``. Nothing here knows what is trained."""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from mmdemo.core.errors import MmdemoError
from mmdemo.tasks.base import HEAD, LossSettings, Task
from mmdemo.train.settings import TrainSettings

BEST = "best.safetensors"
EVENTS = "events.jsonl"
"""One line a step and one an epoch."""

SAID = 20
"""Steps between two lines for people; their loss is the mean since the last one."""

AVERAGE = "average.safetensors"
"""In a state to resume from: the running average of the weights, which transformers knows nothing of."""

Report = Callable[[str], None]


class Rows(Dataset[Any]):
    """A sequence as torch wants it."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        return self.rows[index]


def run_outputs(
    task: Task[Any, Any], net: nn.Module, rows: Sequence[Any], *, batch_size: int, device: torch.device, bf16: bool
) -> list[NDArray[np.float32]]:
    """The network's outputs for all rows, in order, in evaluation mode."""
    was = net.training
    net.eval()
    found: list[NDArray[np.float32]] = []
    with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
        for start in range(0, len(rows), batch_size):
            batch = task.collate(rows[start : start + batch_size])
            found += task.outputs(net, {name: tensor.to(device) for name, tensor in batch.items()})
    net.train(was)
    return found


class Average:
    """Running average of the weights: shadow ← decay · shadow + (1 - decay) · weights, bias-corrected at the start."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.shadow = {n: p.detach().clone().float() for n, p in net.named_parameters() if p.requires_grad}

    def update(self, net: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                if name in self.shadow:
                    self.shadow[name].lerp_(parameter.detach().float(), 1 - decay)

    def save(self, file: Path) -> None:
        """Write the average beside the state that it belongs to."""
        _save({"steps": torch.tensor(self.steps), **{f"shadow.{n}": t.cpu() for n, t in self.shadow.items()}}, file)

    def resume(self, net: nn.Module, file: Path) -> None:
        """Go on from ``file``; a state that brings no average starts one from its weights."""
        stored = load_file(file) if file.exists() else {}
        self.steps = int(stored["steps"]) if stored else 0
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                if name in self.shadow:
                    self.shadow[name].copy_(stored[f"shadow.{name}"] if stored else parameter)

    def swap(self, net: nn.Module) -> None:
        """Exchange the network's weights with the average; called twice, nothing has changed."""
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                if name in self.shadow:
                    mine = parameter.detach().clone()
                    parameter.copy_(self.shadow[name])
                    self.shadow[name].copy_(mine)


class _Lesson(nn.Module):
    """Network and loss as one module: batch in, loss out, so that mixed precision and data parallelism cover both."""

    def __init__(self, task: Task[Any, Any], net: nn.Module, how: LossSettings) -> None:
        super().__init__()
        self.task, self.net, self.how = task, net, how

    def forward(self, **batch: Tensor) -> Tensor:
        loss: Tensor = self.task.loss(self.net, batch, self.how)
        return loss


class _Trainer(transformers.Trainer):
    def __init__(self, *, lesson: _Lesson, settings: TrainSettings, **rest: Any) -> None:
        super().__init__(model=lesson, **rest)
        self.lesson, self.settings = lesson, settings

    def compute_loss(
        self, model: nn.Module, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        loss: Tensor = model(**inputs)
        # transformers leaves the division to us where the loss is our own
        return loss / self.args.gradient_accumulation_steps if num_items_in_batch is not None else loss

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            self.optimizer = torch.optim.AdamW(
                parameter_groups(self.lesson.task, self.lesson.net, self.settings), betas=(0.9, 0.98), eps=1e-6
            )
        return self.optimizer


def parameter_groups(task: Task[Any, Any], net: nn.Module, settings: TrainSettings) -> list[dict[str, Any]]:
    """One group per learning rate and decay: matrices decay, vectors (norms, biases) do not."""
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        depth = task.depth(net, name)
        scale = 1.0 if depth == HEAD else settings.base_rate * settings.layer_decay ** (depth - 1)
        if parameter.requires_grad:
            groups.setdefault((scale, parameter.ndim >= 2), []).append(parameter)
    return [
        {
            "params": members,
            "lr": settings.learning_rate * scale,
            "weight_decay": settings.weight_decay if matrix else 0.0,
        }
        for (scale, matrix), members in groups.items()
    ]


def _save(tensors: dict[str, Tensor], file: Path) -> None:
    """Whole or not at all: an interruption leaves the file of before."""
    part = file.with_name(file.name + ".part")
    save_file(tensors, part)
    part.replace(file)


def newest_state(folder: Path) -> Path | None:
    """The newest state to resume from below ``folder``, None where there is none; half-written ones are passed over."""
    # transformers writes trainer_state.json last
    states = [file.parent for file in (folder / "state").glob("checkpoint-*/trainer_state.json")]
    return max(states, key=lambda place: int(place.name.rpartition("-")[2]), default=None)


class _Recorder(TrainerCallback):
    """Writes events, validates after every epoch and keeps the best weights."""

    def __init__(
        self,
        task: Task[Any, Any],
        net: nn.Module,
        settings: TrainSettings,
        folder: Path,
        validation: Sequence[Any],
        say: Report,
        average: Average | None,
        resumed: Path | None,
    ) -> None:
        self.task, self.net, self.settings, self.folder, self.validation = task, net, settings, folder, validation
        self.say, self.average, self.resumed = say, average, resumed
        self.started = time.monotonic()
        self.losses: list[float] = []
        self.best = -math.inf
        events = folder / EVENTS
        if events.exists():
            lines = [json.loads(line) for line in events.read_text().splitlines() if line.strip()]
            self.best = max((e[task.metric] for e in lines if task.metric in e), default=-math.inf)

    def _event(self, **values: float | int | str) -> None:
        with (self.folder / EVENTS).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"time": round(time.time(), 3), **values}) + "\n")

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        if self.resumed is not None:
            self.say(f"going on from step {state.global_step}")
            if self.average is not None:
                self.average.resume(self.net, self.resumed / AVERAGE)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        if self.average is not None:
            self.average.save(Path(args.output_dir or ".") / f"checkpoint-{state.global_step}" / AVERAGE)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        if self.average is not None:
            self.average.update(self.net)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **rest: Any
    ) -> None:
        if not logs or "loss" not in logs:
            return
        self._event(
            step=state.global_step, epoch=round(state.epoch or 0, 4), loss=logs["loss"], rate=logs["learning_rate"]
        )
        self.losses.append(float(logs["loss"]))
        if state.global_step % SAID and state.global_step != state.max_steps:
            return
        loss = sum(self.losses) / len(self.losses)
        self.losses.clear()
        done = max(state.global_step, 1)
        left = (time.monotonic() - self.started) / done * (state.max_steps - done)
        self.say(f"step {done}/{state.max_steps}  loss {loss:.4f}  about {left / 60:.1f} min left")

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        net = self.net
        if self.average is not None:
            self.average.swap(net)
        figures: dict[str, float] = {}
        if self.validation:
            outputs = run_outputs(
                self.task,
                net,
                self.validation,
                batch_size=self.settings.batch_size,
                device=next(net.parameters()).device,
                bf16=True,
            )
            figures = self.task.score(net, outputs, self.validation)
        value = figures.get(self.task.metric, float(state.global_step))  # without validation the last is kept
        better = value > self.best or not self.settings.keep_best
        text = "  ".join(f"{name} {figure:.4f}" for name, figure in figures.items())
        self.say(
            f"epoch {state.epoch or 0:.0f}: {text}" + ("  (best so far)" if better and self.settings.keep_best else "")
        )
        if better:
            self.best = value
            _save({n: t.detach().cpu().contiguous() for n, t in net.state_dict().items()}, self.folder / BEST)
        # after the weights: a figure that is written down has its weights beside it
        self._event(step=state.global_step, epoch=round(state.epoch or 0, 4), **figures)
        if self.average is not None:
            self.average.swap(net)


def fit(
    task: Task[Any, Any],
    net: nn.Module,
    train: Sequence[Any],
    validation: Sequence[Any],
    *,
    settings: TrainSettings,
    folder: Path,
    device: str,
    resume: bool,
    say: Report,
) -> None:
    """Train ``net`` in place; it ends with the best weights of all epochs.

    Args:
        folder: ``trainer/`` of the run; events, best weights and the state to resume from are kept there.
        resume: Go on from the newest state in ``folder`` where there is one.
    """
    transformers.utils.logging.set_verbosity(logging.ERROR)
    folder.mkdir(parents=True, exist_ok=True)
    if not resume:
        for name in (EVENTS, BEST):
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder / "state", ignore_errors=True)  # a later --resume must not find an older run's
    if not settings.epochs:
        figures = {}
        if validation:
            outputs = run_outputs(
                task, net, validation, batch_size=settings.batch_size, device=torch.device(device), bf16=False
            )
            figures = task.score(net, outputs, validation)
        (folder / EVENTS).write_text(json.dumps({"step": 0, "epoch": 0, **figures}) + "\n", encoding="utf-8")
        say("no epochs asked for: " + (", ".join(f"{name} {value:.4f}" for name, value in figures.items()) or "done"))
        return
    resumed = newest_state(folder) if resume else None
    for state in (folder / "state").glob("checkpoint-*"):
        if state != resumed:  # half-written ones would be counted when old states are cleared away
            shutil.rmtree(state)
    steps = math.ceil(len(train) / settings.batch_size / settings.accumulate) * settings.epochs
    arguments = TrainingArguments(
        output_dir=str(folder / "state"),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulate,
        learning_rate=settings.learning_rate,
        lr_scheduler_type={"constant": "constant_with_warmup"}.get(settings.schedule, settings.schedule),
        warmup_steps=int(settings.warmup * steps),
        max_grad_norm=settings.clip,
        seed=settings.seed,
        bf16=True,
        use_cpu=device == "cpu",
        logging_steps=1,
        save_strategy="steps",
        save_steps=settings.save_steps,
        save_total_limit=1,
        eval_strategy="no",
        report_to=[],
        remove_unused_columns=False,
        label_names=[],
        dataloader_pin_memory=False,
        dataloader_drop_last=len(train) > settings.batch_size,
        disable_tqdm=True,
    )
    average = Average(net, settings.average) if settings.average else None
    trainer = _Trainer(
        lesson=_Lesson(task, net, settings.how()),
        settings=settings,
        args=arguments,
        train_dataset=Rows(train),
        data_collator=task.collate,
        callbacks=[_Recorder(task, net, settings, folder, validation, say, average, resumed)],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train(resume_from_checkpoint=str(resumed) if resumed is not None else None)
    if not (folder / BEST).exists():
        raise MmdemoError(
            "The training came to nothing",
            f"its {task.metric} was never a number",
            "Lower train.learning_rate and look at the data",
        )
    net.load_state_dict(load_file(folder / BEST), strict=True)
