"""From a trained network to a checkpoint folder with probe, figures and card."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmdemo.core.config import CLASSES, Calibration, CardText, CheckpointConfig
from mmdemo.core.memory import trim
from mmdemo.core.types import TASKS as SERVED
from mmdemo.core.types import Metric
from mmdemo.core.writing import json_text
from mmdemo.data.prepare import Encoders, TrainingData
from mmdemo.data.teacher import credit
from mmdemo.evaluate.card import Built, render_card
from mmdemo.models import checkpoint, encoders, probe, registry
from mmdemo.models.families.adapter import is_adapter, local_note, open_adapter, with_base
from mmdemo.models.families.base import HubModel, RuntimeConfig
from mmdemo.models.families.precision import default_precision
from mmdemo.models.loading import read
from mmdemo.models.ready import ReadyModel
from mmdemo.tasks.base import Task
from mmdemo.train.plan import RunPlan, default_config, read_replaced, same_task
from mmdemo.train.precision import eval_mode, run_outputs
from mmdemo.train.record import Record

FEWEST = 30
"""Validation rows below which a run that started from a calibrated checkpoint keeps that calibration."""


def card_text(plan: RunPlan, prepared: TrainingData) -> CardText:
    """What the card says: the configuration's words for a shipped checkpoint, plain facts for anybody's own."""
    card = _own_card(plan, prepared)
    if plan.teacher is None or not plan.config.train.teacher_share:
        return card
    return dataclasses.replace(card, bases=(*card.bases, credit(plan.teacher, plan.task)))


def _own_card(plan: RunPlan, prepared: TrainingData) -> CardText:
    own = plan.config_file.resolve().parent != default_config(plan.task).parent.resolve()
    own = own and plan.config.card != CardText()  # settings that were saved in the page say nothing of the model
    if own and prepared.task is not None:  # whoever writes a card of one's own need not know the base's hash
        made, given = prepared.config.card, plan.config.card
        licence = made.licence if given.licence == CardText().licence else given.licence
        return dataclasses.replace(given, licence=licence, bases=tuple(dict.fromkeys((*given.bases, *made.bases))))
    if own or plan.out.name == f"{plan.task}-base":
        return plan.config.card
    if prepared.task is not None:
        return prepared.config.card
    same = same_task(plan)
    card = checkpoint.read_config(same).card if same is not None else plan.config.card
    name = same.name if same is not None else "encoders named with --base"
    return CardText(
        summary=f"Trained with mmdemo for {plan.task} on {prepared.data}, starting from {name}.",
        licence=f"starts from weights under {card.licence}; the data's own terms come on top",
        language=card.language,
        data=(prepared.data,),
        bases=(f"{name} ({card.licence})",),
        limits=card.limits,
    )


def calibrated(plan: RunPlan, task: Task[Any, Any], prepared: TrainingData, net: nn.Module) -> CheckpointConfig:
    """The checkpoint's configuration with card text, and calibration from the validation rows.

    Where they say nothing of it, or are fewer than :data:`FEWEST`, the calibration of the checkpoint that the run
    started from stays: a temperature of a dozen rows is chance, and makes a network far too sure of itself.
    """
    same = same_task(plan)
    before = checkpoint.read_config(same).calibration if same is not None else prepared.config.calibration
    if same is not None and not before.data:
        before = dataclasses.replace(before, data=f"other data, for {same.name}, which this run started from")
    config = dataclasses.replace(prepared.config, card=card_text(plan, prepared), calibration=before)
    few = len(prepared.train if prepared.crossed else prepared.validation)
    if not few or (same is not None and few < FEWEST):
        return config
    outputs = run_outputs(
        task,
        net,
        prepared.validation,
        batch_size=plan.config.train.batch_size,
        device=torch.device(plan.device),
    )
    with eval_mode(net):
        found = task.calibrate(net, outputs, prepared.validation)
    return config if found == Calibration() else dataclasses.replace(config, calibration=found)


def write(
    plan: RunPlan,
    task: Task[Any, Any],
    config: CheckpointConfig,
    net: nn.Module,
    *,
    prepared: TrainingData,
    bases: Encoders,
    aside: Path | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write the checkpoint, and beside it the parts that it brings along where they are not there yet.

    Args:
        aside: Where an older checkpoint's files go (see :func:`replaced`).
        notes: Sentences for its card.
    """
    tensors = task.shipped(net)
    for name, (text, card) in prepared.beside.items():
        beside = plan.out.with_name(name)
        if not beside.exists():
            encoders.save_text(text, beside, card, int8=True)
            finish(beside, (), "", ())
    if prepared.ships is not None:
        config = dataclasses.replace(prepared.ships, card=config.card)
    if bases.vision is not None and "vision" in config.parts:
        tensors = bases.vision.shipped(tensors)
    extra: dict[str, str] = {}
    if bases.hub is not None:
        extra = local_note(bases.hub.base)
        net.to("meta")  # its memory is needed: the checkpoint is read, and put into its base

    def complete(folder: Path) -> None:
        if plan.task in SERVED:
            ready = ready_again(folder, plan.device)
            exact = not isinstance(ready, HubModel) or ready.how.precision == "fp32"
            text = probe.record(ready, tolerance=probe.TOLERANCE if exact else probe.ROUNDED)
            (folder / probe.FILE).write_text(text, encoding="utf-8")
        finish(folder, (), plan.command, notes, name=plan.out.name)

    checkpoint.write(plan.out, config, checkpoint.pack(tensors), extra=extra, complete=complete, aside=aside)


def ready_again(folder: Path, device: str) -> ReadyModel:
    """A checkpoint that was trained here just now, not yet probed: it is not refused for being large.

    Nor does what people ask of servers (``MMDEMO_PRECISION``) count.
    """
    config = checkpoint.read_config(folder)
    if not is_adapter(config):
        return read(folder, device=device)
    trim()  # the trained network's memory, of which it needs as much again
    card = with_base(registry.read_card(folder), folder, config)
    how = RuntimeConfig(device=device, precision=default_precision(device, card.parameters))
    return open_adapter(folder, registry.read_card(folder), config, device=device, how=how)


def replaced(plan: RunPlan, record: Record) -> Path | None:
    """Where the checkpoint goes that lay in the run's folder when it was started; None where there was none."""
    if (plan.out / checkpoint.WEIGHTS).exists() and checkpoint.weights_hash(plan.out) == read_replaced(record.folder):
        return next(iter(reversed(record.earlier())), None)
    return None


def _answers(config: CheckpointConfig) -> tuple[str, ...]:
    """What the card says that it answers with: classes of one's own where there are any."""
    classes = config.settings.get(CLASSES)
    return classes if isinstance(classes, tuple) and classes else config.labels


def finish(folder: Path, metrics: Sequence[Metric], command: str, notes: Sequence[str], *, name: str = "") -> None:
    """Write metrics.json and the card, which calls the checkpoint ``name``, or as its folder is called."""
    config, card = checkpoint.read_config(folder), registry.read_card(folder)
    if is_adapter(config):
        card = with_base(card, folder, config)
    rows = [asdict(metric) for metric in metrics]
    text = json_text({"command": command, "metrics": rows, "notes": list(notes)}, indent=1)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
    readme = render_card(
        name or folder.name,
        config.task,
        config.card,
        metrics,
        command=command,
        built=Built(
            calibration=config.calibration if config.task in SERVED and config.calibration.right else None,
            parameters=card.parameters,
            size=card.size,
            labels=_answers(config),
        ),
        notes=[*config.card.notes, *notes],
    )
    (folder / "README.md").write_text(readme, encoding="utf-8")
