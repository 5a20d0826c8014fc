"""What a person asked a training for, where its things lie, and what its figures depend on."""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import accelerate
import torch
import transformers

import mmdemo
from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import Unreadable, object_or_empty, parse_json, read_object
from mmdemo.core.renamed import current_names
from mmdemo.core.settings import ROOT, checkpoints_root, data_root, typed_path
from mmdemo.core.words import nearest_name
from mmdemo.core.writing import json_text
from mmdemo.data.examples import Dataset
from mmdemo.data.features import file_hashes
from mmdemo.data.prepare import Encoders
from mmdemo.models import checkpoint, fetch, registry
from mmdemo.models.hub import HUB_ID
from mmdemo.models.loading import pick_device
from mmdemo.train import hub
from mmdemo.train.folder import CONFIG, LEARNED, PLAN, read_learned, write_json
from mmdemo.train.request import FLAG, PATH, TrainRequest, absolute_path, out_folder
from mmdemo.train.settings import RunConfig, read_config, write_config


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What a person asked for; see ``python -m mmdemo train --help``.

    Attributes:
        base_name: The base as it was named: a hub id says more than the folder in which its files lie.
        command: The command for cards and reports: it names nobody's folders.
        request: What all of this was made from; None where no run is to be gone on with.
    """

    task: str
    data: tuple[Path, ...]
    out: Path
    config: RunConfig
    config_file: Path
    base: Path | None = None
    base_name: str = ""
    resume: bool = False
    device: str = "cpu"
    folds: Path | None = None
    fold: int | None = None
    teacher: str | None = None
    allow_leaks: bool = False
    command: str = ""
    request: TrainRequest | None = None


def default_config(task: str) -> Path:
    """The configuration that the shipped checkpoint of a task was made with."""
    return ROOT / "configs" / f"{task}.toml"


def base_here(name: str) -> Path | None:
    """The folder of a base on this machine: a checkpoint under checkpoints/, a folder, or a hub id; nobody is asked."""
    from mmdemo.models.hub import download

    for place in (checkpoints_root() / name, typed_path(name)):  # in the order in which --model looks
        if place.is_dir():
            return place
    return download.on_disk(name)


def config_of(task: str, base: Path | None) -> Path:
    """The configuration of a run that is given none: what it builds on decides."""
    return hub.default_config(task) if hub.is_hub_base(base) else default_config(task)


def find_base(name: str) -> Path:
    """The folder that ``--base`` names: a folder, a checkpoint under checkpoints/, a zip or a hub id.

    Raises:
        MmdemoError: It is none of these.
    """
    found = base_here(name) or fetch.fetch(name)
    if found is None:
        near = nearest_name(name, [card.id for card in registry.list_models()])
        raise MmdemoError(f"There is no base {name!r}", "", f"Did you mean {near}" if near else "")
    return found


def check_out(out: Path, data: Sequence[Path]) -> None:
    """Refuse to write where something else lies.

    Raises:
        MmdemoError: ``out`` is a file, a folder with other things in it, or one that the data lie in or around.
    """
    if out.exists() and not out.is_dir():
        raise MmdemoError(f"{out} cannot be the place of a model", "it is a file", "Name another --out")
    for place in data:
        one, other = out.resolve(), place.resolve()
        if one == other or one.is_relative_to(other) or (other.exists() and other.is_relative_to(one)):
            raise MmdemoError(
                f"{out} cannot be the place of a model", f"it holds or lies in {place}", "Name another --out"
            )
    known = (out / "config.json").exists() or (out / "trainer").is_dir()
    if out.is_dir() and not known and any(out.iterdir()):
        raise MmdemoError(
            f"{out} cannot be the place of a model", "it is not empty and holds no model", "Name another --out"
        )


def same_task(plan: RunPlan) -> Path | None:
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


def make_plan(request: TrainRequest, *, resume: bool = False) -> RunPlan:
    """Find what a request names.

    Raises:
        MmdemoError: There is no such base, or its configuration cannot be read.
    """
    given = read_config(request.config, request.overrides) if request.config else None
    base = request.base or (given.base if given else "") or None
    place = find_base(base) if base else None
    file = request.config or config_of(request.task, place)
    plan = RunPlan(
        task=request.task,
        data=request.data,
        out=out_folder(request.out),
        config=given or read_config(file, request.overrides),
        config_file=file,
        base=place,
        base_name=base or "",
        teacher=request.teacher,
        resume=resume,
        device=pick_device(request.device),
        folds=request.folds,
        fold=request.fold,
        allow_leaks=request.allow_leaks,
        request=None if request.cross_validate else request,  # its folds are gone through as a whole
        command=command_line(request),
    )
    return plan if given else _as_base(plan, request.overrides)


def _as_base(plan: RunPlan, overrides: Sequence[str]) -> RunPlan:
    """The plan with a network as its base has it, but for what ``overrides`` (``net.key=value``) say.

    The default configuration describes the shipped checkpoint, and somebody's own may be of another shape.
    """
    same = same_task(plan)
    if same is None:
        return plan
    said = {override.partition("=")[0].strip() for override in overrides}
    net = {name: value for name, value in plan.config.net.items() if f"net.{name}" in said}
    config = hub.as_before(replace(plan.config, net=net), same, said)
    return replace(plan, config=config)


# ---------------------------------------------------------------- notes of the run

MAY_CHANGE = frozenset({"learning_rate", "epochs", "save_steps", "save_total_limit", "patience"})
"""Settings of ``[train]`` that a resumed run may have otherwise; all others belong to its state."""


def write_plan(plan: RunPlan, folder: Path, *, data_hash: str, base_hash: str, precision: str) -> None:
    """What the figures depend on: the effective configuration, command, seed, data, code, libraries."""
    (folder / CONFIG).write_text(
        write_config(replace(plan.config, base=absolute_path(plan.base_name) if plan.base_name else "")),
        encoding="utf-8",
    )
    write_json(
        {
            "task": plan.task,
            "command": plan.command,
            "seed": plan.config.train.seed,
            "base": _base_name(plan),
            "teacher": plan.teacher,
            "replaces": _replaces(plan, folder),
            "data": [path.name for path in plan.data],
            "data_hash": data_hash,
            "base_hash": base_hash,
            "settings": settings_of(plan.config),
            "precision": precision,
            "code": code_version(),
            "versions": versions(),
            "cpu_threads": torch.get_num_threads(),
        },
        folder / PLAN,
    )


def _base_name(plan: RunPlan) -> str | None:
    """The base without anybody's folders: a hub id, or the name of a folder."""
    if plan.base is None:
        return None
    on_hub = HUB_ID.match(plan.base_name) and not Path(plan.base_name).exists()
    return plan.base_name if on_hub else plan.base.name


def learned_by(*models: Path | None) -> list[str]:
    """What checkpoints learned from, and what they were started from did, by content; as far as their runs say."""
    seen = frozenset[str]()
    for learned in (read_learned(model) for model in models if model is not None):
        seen |= learned.get("train", frozenset()) | learned.get("before", frozenset())
    return sorted(seen)


def write_learned(
    folder: Path, *, train: Dataset, validation: Dataset, test: Dataset, before: Sequence[str] = ()
) -> None:
    """Which files were in which part, as hex SHA-1 of what they hold.

    Data that people go on adding to are parted otherwise the next time; without this nobody could tell then what a
    model has seen.

    Args:
        before: What the model that this one is started from learned from, see :func:`learned_by`.
    """
    parts = {"train": contents_of(train), "validation": contents_of(validation)}
    parts |= {"test": [] if test is validation else contents_of(test), "before": list(before)}
    write_json(parts, folder / LEARNED)


def contents_of(dataset: Dataset) -> list[str]:
    """Hex SHA-1 of the files of some data, each once."""
    files = [example.file for example in dataset.examples if example.file is not None]
    return list(dict.fromkeys(file_hashes(files).values()))


def _replaces(plan: RunPlan, folder: Path) -> str | None:
    """Hash of the checkpoint that lay there when the run was started."""
    if plan.resume:
        return read_replaced(folder)
    return checkpoint.weights_hash(plan.out) if (plan.out / checkpoint.WEIGHTS).exists() else None


def read_replaced(folder: Path) -> str | None:
    """The same, as the run's plan has it."""
    found = object_or_empty(folder / PLAN).get("replaces")
    return found if isinstance(found, str) else None


def check_resumed(plan: RunPlan, folder: Path, *, data_hash: str, base_hash: str, precision: str) -> list[str]:
    """What has changed since the run was started, in words, where that does no harm.

    Raises:
        MmdemoError: Data or settings have changed, so that the state does not fit.
    """
    try:
        before = read_object(folder / PLAN)
        settings, data = before["settings"], before["data_hash"]
    except (Unreadable, KeyError):
        return []
    if data != data_hash:
        raise MmdemoError(
            f"{plan.out.name} cannot be resumed",
            "the data has changed since it was started",
            "Start anew without --resume, or with another --out",
        )
    if before.get("base_hash") != base_hash:
        raise MmdemoError(
            f"{plan.out.name} cannot be resumed",
            "what it builds on is not what it was",
            "Name the same --base, or start anew without --resume",
        )
    if before.get("teacher") != plan.teacher:
        raise MmdemoError(
            f"{plan.out.name} cannot be resumed",
            f"its teacher was {before.get('teacher')} and is {plan.teacher} now",
            "Name the same, or start anew without --resume",
        )
    said = []
    now = parse_json(json_text(settings_of(plan.config)), name=PLAN)  # as JSON has it
    for section, values in now.items():
        was = current_names(section, settings.get(section, {}))
        for key in sorted(values.keys() | was.keys()):
            if values.get(key) == was.get(key):
                continue
            change = f"{section}.{key} was {was.get(key)} and is {values.get(key)} now"
            if section != "train" or key not in MAY_CHANGE:
                raise MmdemoError(
                    f"{plan.out.name} cannot be resumed", change, "Set it as it was, or start anew without --resume"
                )
            said.append(change)
    if before.get("code") != code_version():
        said.append("the code has changed since the run was started")
    if before.get("precision") != precision:
        said.append(f"it computed in {before.get('precision')} and goes on in {precision}")
    was = before.get("versions", {})
    said += [f"{name} was {was.get(name)} and is {now} now" for name, now in versions().items() if was.get(name) != now]
    return said


def hash_of_bases(bases: Encoders, same: Path | None) -> str:
    """Hex SHA-1 of all weights and labels that a run builds on."""
    digest = hashlib.sha1(usedforsecurity=False)
    for part in (bases.vision, bases.text):
        digest.update((part.hash if part is not None else "").encode())
    if bases.hub is not None:
        digest.update(bases.hub.base.hash.encode())
    for net in (bases.speech, bases.emotion):
        for name, tensor in sorted(net.state_dict().items()) if net is not None else ():
            digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    if same is not None:
        digest.update(checkpoint.weights_hash(same).encode() + (same / "config.json").read_bytes())
    return digest.hexdigest()


def hash_of_data(*parts: Dataset) -> str:
    """Hex SHA-1 of rows and groups, and of what every file holds, wherever it lies."""
    digest = hashlib.sha1(usedforsecurity=False)
    for part in parts:
        digest.update(part.fingerprint.encode())
        files = [example.file for example in part.examples if example.file is not None]
        contents = file_hashes(files)
        for example in part.examples:
            digest.update(json.dumps([example.group, contents.get(example.file or Path())]).encode())
    return digest.hexdigest()


def settings_of(config: RunConfig) -> dict[str, dict[str, object]]:
    """The sections that a training depends on."""
    return {"net": dict(config.net), "data": dict(config.data), "train": asdict(config.train)}


def versions() -> dict[str, str]:
    """Of Python and of the libraries that figures depend on."""
    return {
        "python": platform.python_version(),
        "mmdemo": mmdemo.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "accelerate": accelerate.__version__,
    }


@cache
def code_version() -> str:
    """Version of the package, and SHA-1 over its sources: two runs with the same one ran the same code."""
    digest = hashlib.sha1(usedforsecurity=False)
    root = Path(mmdemo.__file__).parent
    for file in sorted(root.rglob("*.py")):
        digest.update(file.relative_to(root).as_posix().encode() + file.read_bytes())
    return f"{mmdemo.__version__}+{digest.hexdigest()[:12]}"


def command_line(request: TrainRequest) -> str:
    """The command that repeats a run; data below the data root is named by ``$MMDEMO_DATA``."""

    def place(value: str) -> str:
        path = Path(value)
        if path.resolve().is_relative_to(data_root().resolve()):
            # double quotes: the shell must still see the variable
            rest = path.resolve().relative_to(data_root().resolve()).as_posix()
            return f'"$MMDEMO_DATA/{rest}"' if shlex.quote(rest) != rest else f"$MMDEMO_DATA/{rest}"
        if path.resolve().is_relative_to(ROOT.resolve()):
            return shlex.quote(path.resolve().relative_to(ROOT.resolve()).as_posix())
        if not path.exists() and HUB_ID.match(value):
            return shlex.quote(value)
        return shlex.quote(path.name)  # a person's own folders are nobody else's business

    words = ["python -m mmdemo train", request.task]
    for option, value, kind in replace(request, out=Path(request.out).name).options():
        words += [option] if kind == FLAG else [option, place(value) if kind == PATH else shlex.quote(value)]
    return " ".join(words)
