"""What a run builds on: encoders, or a checkpoint of its own task that it goes on from."""

from __future__ import annotations

from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import checkpoints_root
from mmdemo.core.tasks import SENTIMENT
from mmdemo.data.prepare.inputs import Encoders, HubBase
from mmdemo.data.teacher import speech_teacher
from mmdemo.models import checkpoint, encoders, registry
from mmdemo.models.families import adapter
from mmdemo.models.families.base import RuntimeConfig
from mmdemo.models.families.detect import is_hub_model
from mmdemo.nets.speech import load_whisper_encoder


def load_encoders(
    task: str,
    base: Path | None,
    same: Path | None,
    *,
    teacher: str | None = None,
    folded: bool = False,
    device: str = "cpu",
    name: str = "",
) -> Encoders:
    """What a run builds on.

    Args:
        base: What ``--base`` names: a checkpoint of the same task (the network starts from it, its labels stay), a
            folder of encoders in their hubs' layouts (tf_efficientnet_lite2, all-MiniLM-L6-v2,
            whisper-tiny.en-encoder), a folder with vision-base and text-base, or a hub model of the task, tuned
            before or not. None takes what is shipped.
        same: The checkpoint of the same task that the run starts from, named or shipped.
        teacher: What ``--teacher`` names.
        folded: Whether speakers are held out.
        name: What ``--base`` says: of a hub model its hub id, if a hub knows it.

    Raises:
        MmdemoError: Something that is needed is not there, or ``base`` is of no use for the task.
    """
    if base is not None and builds_on_hub_model(base):
        return Encoders(hub=load_hub_base(task, base, name=name or str(base), device=device))
    if task == "speech" and teacher is not None:
        return Encoders(speech=speech_teacher(teacher))
    if task in {SENTIMENT, "speech"}:
        shipped = checkpoints_root() / "sentiment-base"
        if task == SENTIMENT and folded and base is None and shipped.is_dir():
            # its head has heard the speakers of other folds; its encoder was made without labels and may be shared
            return Encoders(speech=encoders.load_emotion_encoder(shipped))
        if same is not None and task == SENTIMENT:
            return Encoders(same=checkpoint.read_config(same), emotion=encoders.load_emotion(same))
        ours = _encoder(base, "speech-base")
        if ours is not None:
            return Encoders(speech=encoders.load_speech(ours))
        folder = _encoder(base, "whisper-tiny.en-encoder")
        if folder is None:
            raise MmdemoError(
                f"{task.capitalize()} needs something to start from",
                "there is no sentiment-base and no speech encoder",
                "Name a checkpoint or a folder with whisper-tiny.en-encoder with --base",
            )
        return Encoders(speech=load_whisper_encoder(folder))
    if same is not None and task != "vision":
        config = checkpoint.read_config(same)
        places = {role: registry.part_folder(same, part.name) for role, part in config.parts.items()}
        return Encoders(
            vision=encoders.load_vision(places["vision"], device=device, over=same),
            text=encoders.load_text(places["text"], device=device) if "text" in places else None,
            same=config,
        )
    root = checkpoints_root()
    vision = _encoder(base, "vision-base", "tf_efficientnet_lite2") or same or root / "vision-base"
    text = _encoder(base, "text-base", "all-MiniLM-L6-v2") or root / "text-base"
    if base is not None and vision.parent == root and text.parent == root and base.resolve() != root.resolve():
        raise MmdemoError(
            f"{base.name} cannot be the base of {task}",
            "it is no checkpoint of that task and holds no encoder",
        )
    for place in (vision, text):
        if not place.is_dir():
            raise MmdemoError(
                f"The base {place.name} is not there", f"{place} does not exist", "Name a folder of bases with --base"
            )
    return Encoders(vision=encoders.load_vision(vision, device=device), text=encoders.load_text(text, device=device))


def builds_on_hub_model(base: Path) -> bool:
    """Whether a base is a model that others made, or one that was tuned from such a model."""
    if is_hub_model(base):
        return True
    try:
        return adapter.is_adapter(checkpoint.read_config(base))
    except MmdemoError:
        return False  # a folder of encoders


def load_hub_base(task: str, base: Path, *, name: str, device: str) -> HubBase:
    """A hub model to be tuned, in fp32; of one that was tuned before, all but LoRA's matrices is put in place.

    Args:
        name: Hub id or path, as it was given.

    Raises:
        MmdemoError: It serves another task, its base is not there, or it cannot be loaded.
    """
    from mmdemo.models.families.factory import read_hub_card
    from mmdemo.models.families.merge import remember
    from mmdemo.models.families.precision import check_training

    before = None if is_hub_model(base) else checkpoint.read_config(base)
    found = adapter.read_base(base, name=name) if before is None else adapter.find_base(base, before)
    if task not in found.layout.tasks or (before is not None and before.task != task):
        served = " and ".join(found.layout.tasks) if before is None else before.task
        raise MmdemoError(f"{name} cannot be the base of {task}", f"it serves {served}")
    card = read_hub_card(found.folder, task, found.layout, name=found.id)
    check_training(found.id, card.parameters, device=device, task=task)
    model = found.layout.model_class.open(found.folder, card, how=RuntimeConfig(device=device))
    model = remember(model, found.folder)
    if before is not None:
        model.fit_labels(before.labels)
        adapter.apply(model.net, adapter.whole(checkpoint.read_weights(base)), scale=1.0, name=base.name)
        model.config = before
    return HubBase(base=found, model=model, before=before, folder=None if before is None else base)


def _encoder(base: Path | None, *names: str) -> Path | None:
    if base is None:
        return None
    if base.name in names:
        return base
    return next((base / name for name in names if (base / name).is_dir()), None)
