"""What a run builds on: encoders, or a checkpoint of its own task that it goes on from."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from mmdemo.core.config import CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import checkpoints_root
from mmdemo.data.prepare import Bases
from mmdemo.models import checkpoint, parts, registry
from mmdemo.nets.speech import load_whisper_encoder
from mmdemo.tasks import TASKS
from mmdemo.train.plan import Plan, same_task


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
