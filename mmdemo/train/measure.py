"""How good a run's checkpoint is, on what it has not learned from; and a recipe, over all folds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import read_object
from mmdemo.core.settings import data_root
from mmdemo.core.writing import json_text
from mmdemo.data.grouping import fold_split, folds_for
from mmdemo.data.read import Dataset, read_examples
from mmdemo.evaluate.report import Report
from mmdemo.evaluate.run import evaluate_folds, evaluate_model
from mmdemo.models import probe
from mmdemo.models.folder import read_metrics
from mmdemo.train.plan import RunPlan
from mmdemo.train.publish import finish, ready_again
from mmdemo.train.settings import Measure

Say = Callable[[str], None]


def measure(plan: RunPlan, held: Dataset, *, say: Say) -> list[Report]:
    """Measure a finished checkpoint on what it has not learned from, and write the figures into its card.

    That is ``held``; a checkpoint with the name of a shipped one is measured on all that its configuration names.
    """
    ready = ready_again(plan.out, plan.device)
    if plan.out.name == f"{plan.task}-base":
        given = [dataset for entry in plan.config.evaluate if (dataset := _entry(plan, entry)) is not None]
    else:
        given = [held]
    reports, notes = [], []
    for dataset in given:
        if dataset.examples:
            try:
                reports.append(evaluate_model(plan.task, ready, dataset))
            except MmdemoError as error:  # too little to say anything: the checkpoint is none the worse for it
                notes.append(f"not measured: {error}")
                say(notes[-1])
                continue
            figures = ", ".join(f"{name} {value:.3f}" for name, value in reports[-1].metrics.items())
            say(f"{reports[-1].data}: {figures}")
    if held.split == "validation" and given == [held] and reports:
        notes.append("measured on the validation part, by which the best epoch and the threshold were chosen")
    metrics = [metric for report in reports for metric in report.to_metrics()]
    notes = list(dict.fromkeys([*notes, *(note for report in reports for note in report.notes)]))
    finish(plan.out, metrics, plan.command, notes)
    return reports


def _entry(plan: RunPlan, entry: Measure) -> Dataset | None:
    """The data of an ``[[evaluate]]`` entry; None where it is not on this machine, or was learned from."""
    places = [data_root() / name for name in entry.data]
    if not all(place.exists() for place in places):
        return None
    dataset = read_examples(plan.task, places)
    if entry.folds:
        if plan.fold != entry.fold:
            return None
        dataset = fold_split(dataset, data_root() / entry.folds, entry.fold)[2]
    return dataclasses.replace(dataset, name=entry.name or dataset.name)


def run_folds(plan: RunPlan, train: Callable[[RunPlan], None], *, say: Say) -> Report:
    """Train and measure every fold; their checkpoints lie in the plan's ``trainer/`` folder.

    Where a checkpoint already lies in the plan's folder, the pooled figures go into its card as those of the recipe.
    """
    if plan.folds is None:
        raise MmdemoError("Cross-validation needs folds", "", "Name a file with --folds")
    everything = read_examples(plan.task, plan.data, split="train")
    count = len(folds_for(everything, plan.folds))
    plans = [dataclasses.replace(plan, out=plan.out / "trainer" / f"fold-{k}", fold=k) for k in range(count)]
    for one in plans:
        if plan.resume and (one.out / probe.FILE).exists():
            say(f"{one.out.name} is there")
            continue
        say(f"{one.out.name} of {count}")
        train(one)

    report = evaluate_folds(
        (
            (ready_again(one.out, plan.device), fold_split(everything, one.folds, k)[2])
            for k, one in enumerate(plans)
            if one.folds is not None
        ),
        name=plan.out.name,
    )
    text = json_text(report.to_json(), indent=1) + "\n"
    (plan.out / "trainer" / "cross_validation.json").write_text(text, encoding="utf-8")
    if (plan.out / probe.FILE).exists():
        recipe = report.to_metrics(f"recipe: {report.data}")
        own = [metric for metric in read_metrics(plan.out) if not metric.data.startswith("recipe: ")]
        notes = read_object(plan.out / "metrics.json")
        finish(plan.out, [*own, *recipe], notes["command"], list(dict.fromkeys([*notes["notes"], *report.notes])))
    return report
