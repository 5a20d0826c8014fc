"""One step after another: ``transformers.Trainer`` with our batches, our loss over several parts, our state on disk."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mmdemo.core.errors import MmdemoError
from mmdemo.tasks.base import HEAD, Batch, LossSettings, Task
from mmdemo.train import processes, state
from mmdemo.train.batches import Batches, loader
from mmdemo.train.ema import ExponentialMovingAverage
from mmdemo.train.precision import out_of_memory
from mmdemo.train.settings import TrainSettings

PARTS = "parts.json"
"""In every state: into how many parts a process cuts its steps; memory may have asked for more than the settings."""


def parameter_groups(task: Task[Any, Any], net: nn.Module, settings: TrainSettings) -> list[dict[str, Any]]:
    """One group per learning rate and decay: matrices decay, vectors (norms, biases) do not."""
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        depth = task.depth(net, name)
        scale = 1.0 if depth == HEAD else settings.encoder_lr_scale * settings.layer_decay ** (depth - 1)
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


class TooLarge(Exception):
    """A micro-batch did not fit into memory; no weight has changed since the last whole step."""


class LossModule(nn.Module):
    """Network and loss as one module: batch in, loss out, so that mixed precision and data parallelism cover both."""

    def __init__(self, task: Task[Any, Any], net: nn.Module, how: LossSettings) -> None:
        super().__init__()
        self.task, self.net, self.how = task, net, how

    def forward(self, **batch: Tensor) -> Tensor:
        loss: Tensor = self.task.loss(self.net, batch, self.how)
        return loss


class StepTrainer(transformers.Trainer):
    """Our batches, our loss over several parts, our state on disk; the loop is the library's."""

    def __init__(
        self,
        *,
        lesson: LossModule,
        rows: Sequence[Any],
        settings: TrainSettings,
        batches: Batches,
        average: ExponentialMovingAverage | None,
        **rest: Any,
    ) -> None:
        super().__init__(model=lesson, train_dataset=cast("Any", rows), **rest)
        self.lesson, self.rows, self.settings = lesson, rows, settings
        self.batches, self.average = batches, average
        self.chance = state.chance()
        self.sound = True  # whether the last loss and gradient were numbers: what is not is never saved

    def get_train_dataloader(self) -> DataLoader[Any]:
        # not through accelerate, which fetches a batch ahead: what is collated must be what comes next
        return loader(self.lesson.task, self.rows, self.batches)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            self.optimizer = torch.optim.AdamW(
                parameter_groups(self.lesson.task, self.lesson.net, self.settings), betas=(0.9, 0.98), eps=1e-6
            )
        return self.optimizer

    def _get_num_items_in_batch(self, batch_samples: list[Batch], device: torch.device) -> Tensor:
        counts = [self.lesson.task.items(self.lesson.net, batch) for batch in batch_samples]
        total = torch.stack(counts).sum().to(device)
        return cast("Tensor", self.accelerator.reduce(total)) if self.args.world_size > 1 else total

    def compute_loss(
        self, model: nn.Module, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        loss: Tensor = model(**inputs)
        if not self.lesson.task.additive:
            return loss
        share = self.lesson.task.items(self.lesson.net, inputs).to(loss.device) / num_items_in_batch.clamp(min=1e-12)
        scaled: Tensor = loss * share * self.args.world_size  # gradients are averaged over the processes afterwards
        return scaled

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        model.train()
        try:
            inputs = self._prepare_inputs(inputs)
            with self.compute_loss_context_manager():
                loss = self.compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
            self.accelerator.backward(loss)
        except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise TooLarge from None
        return loss.detach()

    # ------------------------------------------------------------ state

    def _save_checkpoint(self, model: nn.Module, trial: Any = None) -> None:
        if not processes.all_reduce_any(not self.sound):
            self.write_state(state.chance())

    def load_state(self, place: Path) -> None:
        """Weights, average and step as they were, before the library loads them with the rest."""
        self._load_from_checkpoint(str(place))
        if self.average is not None:
            self.average.load(state.read_tensors(place / state.AVERAGE))
        self.state = transformers.TrainerState.load_from_json(str(place / state.TRAINER))

    def write_state(self, chance: Mapping[str, Tensor]) -> None:
        """Write the state after the last step, whole or not at all."""
        step, states = self.state.global_step, Path(self.args.output_dir or "")
        place = state.folder_of(states, step)
        if place.exists():
            return  # the same step has the same state
        part = place.with_name(place.name + ".part")
        try:
            if self.args.should_save:
                shutil.rmtree(part, ignore_errors=True)
                part.mkdir(parents=True)
            processes.barrier()
            state.write_tensors(chance, part / f"chance-{processes.rank()}.safetensors")
            if self.args.should_save:
                self._write_main(part)
            processes.barrier()
            if self.args.should_save:
                state.publish(part, place)
                state.clear_older(states, place)
        except Exception as error:  # safetensors has an exception of its own for a full disk
            if isinstance(error, MmdemoError):
                raise
            shutil.rmtree(part, ignore_errors=True)
            before = state.newest_state(states)
            kept = f"the state of step {state.step_of(before)} is whole" if before else "nothing was lost but this run"
            raise MmdemoError(
                "The state of the training cannot be saved", str(error), f"Free some space and use --resume; {kept}"
            ) from None

    def _write_main(self, part: Path) -> None:
        state.write_tensors(self.lesson.net.state_dict(), part / state.WEIGHTS)
        if self.average is not None:
            state.write_tensors(self.average.state(), part / state.AVERAGE)
        scaler = self.accelerator.scaler
        assert self.optimizer is not None and self.lr_scheduler is not None  # noqa: S101, PT018 - made before any step
        schedule = {name: value for name, value in self.lr_scheduler.state_dict().items() if name != "lr_lambdas"}
        rest = {"schedule": schedule, "scaler": None if scaler is None else scaler.state_dict()}
        state.write_optimizer(self.optimizer, rest, part)
        state.write_json({"parts": self.batches.parts}, part / PARTS)
        self.state.save_to_json(str(part / state.TRAINER))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        self.lesson.net.load_state_dict(state.read_tensors(Path(resume_from_checkpoint) / state.WEIGHTS), strict=True)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        place = Path(checkpoint)
        rates = [group["lr"] for group in parameter_groups(self.lesson.task, self.lesson.net, self.settings)]
        assert self.optimizer is not None and self.lr_scheduler is not None  # noqa: S101, PT018 - made before this
        found = state.read_optimizer(self.optimizer, place)
        schedule = self.lr_scheduler
        schedule.load_state_dict({**found["schedule"], "base_lrs": rates, "lr_lambdas": [None] * len(rates)})
        for group, rate, factor in zip(self.optimizer.param_groups, rates, schedule.lr_lambdas, strict=True):
            group["initial_lr"], group["lr"] = rate, rate * factor(schedule.last_epoch)
        if self.average is not None:
            self.average.load(state.read_tensors(place / state.AVERAGE))
        if self.accelerator.scaler is not None and found["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(found["scaler"])

    def _load_scaler(self, checkpoint: str | None) -> None:
        """With the optimizer."""

    def _load_rng_state(self, checkpoint: str | None) -> None:
        file = Path(checkpoint or "") / f"chance-{processes.rank()}.safetensors"
        if file.exists():  # another number of processes has other generators
            state.set_chance(state.read_tensors(file))
