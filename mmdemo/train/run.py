"""One training run from data folders to a checkpoint folder: read, prepare, fit, calibrate, write, measure."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import platform
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import transformers
from torch import nn

from mmdemo.core.config import Calibration, CardText, CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.core.memory import keep_freed_memory
from mmdemo.core.settings import ROOT, checkpoints_root, data_root
from mmdemo.core.types import TASKS as SERVED
from mmdemo.core.types import Metric
from mmdemo.core.words import nearest_name
from mmdemo.data.folders import resolve_split
from mmdemo.data.prepare import PREPARE, Bases, Prepared, Sources
from mmdemo.data.read import Dataset, read_examples
from mmdemo.data.split import fold_split, folds_for
from mmdemo.evaluate.card import render_card
from mmdemo.evaluate.report import Report
from mmdemo.evaluate.run import evaluate_folds, evaluate_model
from mmdemo.models import checkpoint, hub, parts, probe, registry
from mmdemo.models.folder import read_metrics
from mmdemo.models.loading import pick_device, read
from mmdemo.nets.speech import load_whisper_encoder
from mmdemo.tasks import TASKS
from mmdemo.tasks.tune import Tune, freeze
from mmdemo.train.settings import Measure, RunConfig, read_config
from mmdemo.train.trainer import fit, run_outputs

Say = Callable[[str], None]

TEXT_CARD = CardText(
    summary="Text encoder (all-MiniLM-L6-v2) in int8; shared by Ask and Classify, not served by itself.",
    licence="apache-2.0",
    bases=("sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), weights as published, rounded to int8 by row",),
    limits=("English only.",),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a person asked for; see ``python -m mmdemo train --help``."""

    task: str
    data: tuple[Path, ...]
    out: Path
    config: RunConfig
    config_file: Path
    base: Path | None = None
    resume: bool = False
    device: str = "cpu"
    folds: Path | None = None
    fold: int | None = None
    command: str = ""


# ---------------------------------------------------------------- where things are


def out_folder(name: str) -> Path:
    """A bare name goes under checkpoints/; a path is taken as it is."""
    path = Path(name).expanduser()
    return path if len(path.parts) > 1 or path.is_absolute() else checkpoints_root() / name


def default_config(task: str) -> Path:
    """The configuration that the shipped checkpoint of a task was made with."""
    return ROOT / "configs" / f"{task}.toml"


def find_base(name: str) -> Path:
    """The folder that ``--base`` names: a folder, a checkpoint under checkpoints/, a zip or a hub id.

    Raises:
        MmdemoError: It is none of these.
    """
    for place in (Path(name).expanduser(), checkpoints_root() / name):
        if place.is_dir():
            return place
    found = hub.fetch(name, allow_download=True)
    if found is None:
        near = nearest_name(name, [card.id for card in registry.list_models()])
        raise MmdemoError(f"There is no base {name!r}", "", f"Did you mean {near}" if near else "")
    return found


def same_task(plan: Plan) -> Path | None:
    """The checkpoint of the same task that a run starts from, if it starts from one."""
    place = plan.base
    if place is None:
        shipped = checkpoints_root() / f"{plan.task}-base"
        place = shipped if shipped.resolve() != plan.out.resolve() and (shipped / "config.json").exists() else None
    if place is None or not (place / "config.json").exists():
        return None
    try:
        task = checkpoint.read_config(place).task
    except MmdemoError:
        return None  # a hub's layout of an encoder
    return place if task == plan.task else None


def load_bases(plan: Plan) -> Bases:
    """What the run builds on.

    ``--base`` may name a checkpoint of the same task (the network starts from it, its labels stay), a folder of
    encoders in their hubs' layouts (tf_efficientnet_lite2, all-MiniLM-L6-v2, whisper-tiny.en-encoder), or a folder
    with vision-base and text-base. Without it the shipped checkpoint of the task is the base.
    """
    same = same_task(plan)
    if plan.task in {"sentiment", "speech"}:
        shipped = checkpoints_root() / "sentiment-base"
        if plan.task == "sentiment" and plan.folds is not None and plan.base is None and shipped.is_dir():
            # its head has heard the speakers of other folds; its encoder was made without labels and may be shared
            return Bases(speech=parts.load_emotion_encoder(shipped))
        if same is not None and plan.task == "sentiment":
            return Bases(same=checkpoint.read_config(same))
        ours = _encoder(plan.base, "speech-base")
        if ours is not None:
            return Bases(speech=parts.load_speech(ours))
        folder = _encoder(plan.base, "whisper-tiny.en-encoder")
        if folder is None:
            raise MmdemoError(
                f"{plan.task.capitalize()} needs something to start from",
                "there is no sentiment-base and no speech encoder",
                "Name a checkpoint or a folder with whisper-tiny.en-encoder with --base",
            )
        return Bases(speech=load_whisper_encoder(folder))
    if same is not None and plan.task != "vision":
        config = checkpoint.read_config(same)
        places = {role: registry.part_folder(same, part.name) for role, part in config.parts.items()}
        return Bases(
            vision=parts.load_vision(places["vision"], device=plan.device),
            text=parts.load_text(places["text"], device=plan.device) if "text" in places else None,
            same=config,
        )
    root = checkpoints_root()
    vision = _encoder(plan.base, "vision-base", "tf_efficientnet_lite2") or same or root / "vision-base"
    text = _encoder(plan.base, "text-base", "all-MiniLM-L6-v2") or root / "text-base"
    if (
        plan.base is not None
        and vision.parent == root
        and text.parent == root
        and plan.base.resolve() != root.resolve()
    ):
        raise MmdemoError(
            f"{plan.base.name} cannot be the base of {plan.task}",
            "it is no checkpoint of that task and holds no encoder",
        )
    for place in (vision, text):
        if not place.is_dir():
            raise MmdemoError(
                f"The base {place.name} is not there", f"{place} does not exist", "Name a folder of bases with --base"
            )
    return Bases(vision=parts.load_vision(vision, device=plan.device), text=parts.load_text(text, device=plan.device))


def _encoder(base: Path | None, *names: str) -> Path | None:
    if base is None:
        return None
    if base.name in names:
        return base
    return next((base / name for name in names if (base / name).is_dir()), None)


def start(plan: Plan, net: nn.Module, config: CheckpointConfig, bases: Bases) -> None:
    """Fill the network from what it builds on.

    Raises:
        MmdemoError: Naming a tensor of the base that does not fit.
    """
    task, place = TASKS[plan.task], same_task(plan)
    if bases.same is None or place is None:
        task.start(net, bases.modules())
        return
    source = task.build(bases.same)
    checkpoint.load_weights(source, place)
    have, rows = net.state_dict(), {label: i for i, label in enumerate(bases.same.labels)}
    for name, tensor in source.state_dict().items():
        if name in task.label_rows:
            for i, label in enumerate(config.labels):
                if label in rows:
                    have[name][i] = tensor[rows[label]]
        elif name in have and have[name].shape == tensor.shape:
            have[name] = tensor
        else:
            raise MmdemoError(
                f"{place.name} cannot be the base of this network",
                f"tensor {name} has shape {tuple(tensor.shape)} there and not here",
                "Leave the settings of [net] as the base has them",
            )
    net.load_state_dict(have, strict=True)


# ---------------------------------------------------------------- the run


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


def train(plan: Plan, *, say: Say) -> Path:
    """Run a plan to its end and return the checkpoint's folder."""
    task, settings = TASKS[plan.task], plan.config.train
    torch.manual_seed(settings.seed)
    started = time.monotonic()
    folder = plan.out / "trainer"
    folder.mkdir(parents=True, exist_ok=True)
    write_plan(plan, folder)
    bases = load_bases(plan)
    sources = split(plan)
    for note in dict.fromkeys((*sources.train.notes, *sources.validation.notes)):
        say(note)
    prepared = PREPARE[plan.task](sources, bases, plan.config.net, _steps(say))
    prepared = dataclasses.replace(prepared, data=sources.train.name)
    if not prepared.train:
        raise MmdemoError("There is nothing to learn from", f"{sources.train.name} gave no usable rows")
    say(f"{len(prepared.train)} rows to learn from, {len(prepared.validation)} to choose by")
    try:
        net: nn.Module = task.build(prepared.config)
    except ValueError as error:
        raise MmdemoError("The settings of [net] do not fit together", str(error)) from None
    try:
        start(plan, net, prepared.config, bases)
    except (RuntimeError, KeyError) as error:
        first = str(error).strip().splitlines()[-1].strip().rstrip(".")
        raise MmdemoError(
            f"The base does not fit the network that {plan.config_file.name} describes",
            first,
            "For Sentiment, distil a speech encoder first: train speech" if plan.task == "sentiment" else "",
        ) from None
    for name, values in prepared.constants.items():
        net.get_buffer(name).copy_(torch.from_numpy(values))
    task.warm_up(net, prepared.train)
    freeze(task, net, sources.tune)
    net.to(plan.device)
    fit(
        task,
        net,
        prepared.train,
        prepared.validation,
        settings=settings,
        folder=folder,
        device=plan.device,
        resume=plan.resume,
        say=say,
    )
    config = calibrated(plan, prepared, net)
    write(plan, config, net, bases)
    say(f"{plan.out} written after {(time.monotonic() - started) / 60:.1f} min")
    return plan.out


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
        bf16=False,
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


def measure(plan: Plan, *, say: Say) -> list[Report]:
    """Measure a finished checkpoint on what it has not learned from, and write the figures into its card.

    That is the fold that was held out, else the test part of the data, else the validation part. A checkpoint with the
    name of a shipped one is measured on all that its configuration names instead.
    """
    ready = read(plan.out, device=plan.device)
    if plan.out.name == f"{plan.task}-base":
        held = [dataset for entry in plan.config.evaluate if (dataset := _entry(plan, entry)) is not None]
    else:
        held = [_held_out(plan)]
    reports = []
    for dataset in held:
        if dataset.examples:
            reports.append(evaluate_model(plan.task, ready, dataset))
            figures = ", ".join(f"{name} {value:.3f}" for name, value in reports[-1].metrics.items())
            say(f"{reports[-1].data}: {figures}")
    metrics = [metric for report in reports for metric in report.to_metrics()]
    notes = list(dict.fromkeys(note for report in reports for note in report.notes))
    finish(plan.out, metrics, plan.command, notes)
    return reports


def _entry(plan: Plan, entry: Measure) -> Dataset | None:
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


def _held_out(plan: Plan) -> Dataset:
    everything = read_examples(plan.task, plan.data, split="train")
    if plan.folds is not None and plan.fold is not None:
        test = fold_split(everything, plan.folds, plan.fold)[2]
        return dataclasses.replace(test, name=f"fold {plan.fold} of {test.name.split(' + ')[0]}")
    for part in ("test", "validation"):
        with contextlib.suppress(MmdemoError):
            return read_examples(plan.task, plan.data, split=part)
    return everything.with_examples((), split=None)


def run_folds(plan: Plan, *, say: Say) -> Report:
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
        train(one, say=say)

    report = evaluate_folds(
        (
            (read(one.out, device=plan.device), fold_split(everything, one.folds, k)[2])
            for k, one in enumerate(plans)
            if one.folds is not None
        ),
        name=plan.out.name,
    )
    text = json.dumps(report.to_json(), indent=1) + "\n"
    (plan.out / "trainer" / "cross_validation.json").write_text(text, encoding="utf-8")
    if (plan.out / probe.FILE).exists():
        recipe = report.to_metrics(f"recipe: {report.data}")
        own = [metric for metric in read_metrics(plan.out) if not metric.data.startswith("recipe: ")]
        notes = json.loads((plan.out / "metrics.json").read_text(encoding="utf-8"))
        finish(plan.out, [*own, *recipe], notes["command"], list(dict.fromkeys([*notes["notes"], *report.notes])))
    return report


# ---------------------------------------------------------------- notes of the run


def write_plan(plan: Plan, folder: Path) -> None:
    """What the figures depend on: configuration, command, versions."""
    (folder / "config.toml").write_text(plan.config_file.read_text(encoding="utf-8"), encoding="utf-8")
    note = {"command": plan.command, "settings": asdict(plan.config.train), "versions": versions()}
    (folder / "plan.json").write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Of Python and of the libraries that figures depend on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def _steps(say: Say) -> Callable[[str, int, int], None]:
    """Progress of preparation, at most every five seconds."""
    last = [0.0]

    def step(what: str, done: int, count: int) -> None:
        now = time.monotonic()
        if now - last[0] > 5:
            last[0] = now
            say(f"{what}: {done}/{count}")

    return step


def command_line(
    task: str,
    data: Sequence[Path],
    out: str,
    config: Path | None,
    base: str | None,
    overrides: Sequence[str],
    folds: Path | None,
    fold: int | None,
) -> str:
    """The command that repeats a run; data below the data root is named by ``$MMDEMO_DATA``."""

    def place(path: Path | str) -> str:
        path = Path(path)
        for root, name in ((data_root(), "$MMDEMO_DATA"), (ROOT, ".")):
            if path.resolve().is_relative_to(root.resolve()):
                return f"{name}/{path.resolve().relative_to(root.resolve()).as_posix()}".removeprefix("./")
        return path.name  # a person's own folders are nobody else's business

    words = [f"python -m mmdemo train {task}"]
    words += [f"--data {place(folder)}" for folder in data]
    words.append(f"--out {shlex.quote(Path(out).name)}")
    words += [f"--config {place(config)}"] if config else []
    words += [f"--base {place(base)}"] if base else []
    words += [f"--set {shlex.quote(override)}" for override in overrides]
    words += [f"--folds {place(folds)} --fold {fold}"] if folds is not None and fold is not None else []
    return " ".join(words)


def main(
    *,
    task: str,
    data: Sequence[Path],
    out: str,
    config: Path | None = None,
    base: str | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    folds: Path | None = None,
    fold: int | None = None,
    cross_validate: bool = False,
    device: str = "auto",
    json_out: bool = False,
) -> int:
    """The command ``train``; returns the exit code."""
    if task not in TASKS:
        near = nearest_name(task, sorted(TASKS))
        raise MmdemoError(
            f"There is no task {task!r}", f"there are {', '.join(TASKS)}", f"Did you mean {near}" if near else ""
        )
    keep_freed_memory()
    file = config or default_config(task)
    plan = Plan(
        task=task,
        data=tuple(data),
        out=out_folder(out),
        config=read_config(file, overrides),
        config_file=file,
        base=find_base(base) if base else None,
        resume=resume,
        device=pick_device(device),
        folds=folds,
        fold=fold,
        command=command_line(task, data, out, config, base, overrides, folds, fold),
    )

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - the command's own door

    if cross_validate:
        report = run_folds(plan, say=say)
        figures = "\n".join(f"{m.name} {m.value:.3f} ({m.low:.3f} to {m.high:.3f})" for m in report.to_metrics())
        print(json.dumps(report.to_json()) if json_out else f"{report.data}, n = {report.n}\n{figures}")  # noqa: T201
        return 0
    train(plan, say=say)
    reports = measure(plan, say=say) if task in SERVED else []
    if json_out:
        found = [report.to_json() for report in reports]
        print(json.dumps({"task": task, "model": str(plan.out), "reports": found}))  # noqa: T201
    return 0
