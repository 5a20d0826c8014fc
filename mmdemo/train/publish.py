"""From a trained network to a checkpoint folder with probe, figures and card."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from mmdemo.core.config import Calibration, CardText, CheckpointConfig
from mmdemo.core.types import TASKS as SERVED
from mmdemo.core.types import Metric
from mmdemo.data.prepare import Bases, Prepared
from mmdemo.evaluate.card import render_card
from mmdemo.models import checkpoint, parts, probe, registry
from mmdemo.models.loading import read
from mmdemo.tasks import TASKS
from mmdemo.train.plan import Plan, default_config, same_task
from mmdemo.train.precision import run_outputs

TEXT_CARD = CardText(
    summary="Text encoder (all-MiniLM-L6-v2) in int8; shared by Ask and Classify, not served by itself.",
    licence="apache-2.0",
    bases=("sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), weights as published, rounded to int8 by row",),
    limits=("English only.",),
)


def card_text(plan: Plan, prepared: Prepared) -> CardText:
    """What the card says: the configuration's words for a shipped checkpoint, plain facts for anybody's own."""
    own = plan.config_file.resolve().parent != default_config(plan.task).parent.resolve()
    if own or plan.out.name in {f"{plan.task}-base", "speech-base"}:
        return plan.config.card
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


def calibrated(plan: Plan, prepared: Prepared, net: nn.Module) -> CheckpointConfig:
    """The checkpoint's configuration with card text, and calibration from the validation rows.

    Where they say nothing of it, the calibration of the checkpoint that the run started from stays.
    """
    same = same_task(plan)
    before = checkpoint.read_config(same).calibration if same is not None else Calibration()
    config = dataclasses.replace(prepared.config, card=card_text(plan, prepared), calibration=before)
    if not prepared.validation:
        return config
    task = TASKS[plan.task]
    outputs = run_outputs(
        task,
        net,
        prepared.validation,
        batch_size=plan.config.train.batch_size,
        device=torch.device(plan.device),
    )
    found = task.calibrate(net, outputs, prepared.validation)
    return config if found == Calibration() else dataclasses.replace(config, calibration=found)


def write(plan: Plan, config: CheckpointConfig, net: nn.Module, bases: Bases) -> None:
    """Write the checkpoint; a trunk brings the text encoder along, in int8, where there is none beside it yet."""
    task = TASKS[plan.task]
    if plan.task == "vision":
        beside = plan.out.with_name("text-base")
        text = bases.need_text()
        if not beside.exists():
            parts.save_text(text, beside, TEXT_CARD, int8=True)
            finish(beside, (), "", ())
        config = dataclasses.replace(
            config,
            labels=(),
            settings={},
            parts={},
            net={name: value for name, value in config.net.items() if name in asdict(bases.need_vision().trunk.config)},
        )
    checkpoint.write(plan.out, config, checkpoint.pack(task.shipped(net)))
    if plan.task in SERVED:
        ready = read(plan.out, device=plan.device)
        (plan.out / probe.FILE).write_text(probe.record(ready), encoding="utf-8")
    finish(plan.out, (), plan.command, ())


def finish(folder: Path, metrics: Sequence[Metric], command: str, notes: Sequence[str]) -> None:
    """Write metrics.json and the card."""
    config, card = checkpoint.read_config(folder), registry.read_card(folder)
    rows = [asdict(metric) for metric in metrics]
    text = json.dumps({"command": command, "metrics": rows, "notes": list(notes)}, indent=1, ensure_ascii=False)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
    readme = render_card(
        folder.name,
        config.task,
        config.card,
        metrics,
        command=command,
        calibration=config.calibration if config.task in SERVED and config.calibration.right else None,
        parameters=card.parameters,
        size=card.size,
        labels=config.labels,
        notes=[*config.card.notes, *notes],
    )
    (folder / "README.md").write_text(readme, encoding="utf-8")
