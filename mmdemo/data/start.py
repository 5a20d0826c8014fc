"""What a run builds on: encoders, or a checkpoint of its own task that it goes on from."""

from __future__ import annotations

from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import checkpoints_root
from mmdemo.data.prepare.bases import Bases
from mmdemo.data.teacher import speech_teacher
from mmdemo.models import checkpoint, parts, registry
from mmdemo.nets.speech import load_whisper_encoder


def load_bases(
    task: str,
    base: Path | None,
    same: Path | None,
    *,
    teacher: str | None = None,
    folded: bool = False,
    device: str = "cpu",
) -> Bases:
    """What a run builds on.

    Args:
        base: What ``--base`` names: a checkpoint of the same task (the network starts from it, its labels stay), a
            folder of encoders in their hubs' layouts (tf_efficientnet_lite2, all-MiniLM-L6-v2,
            whisper-tiny.en-encoder), or a folder with vision-base and text-base. None takes what is shipped.
        same: The checkpoint of the same task that the run starts from, named or shipped.
        teacher: What ``--teacher`` names.
        folded: Whether speakers are held out.

    Raises:
        MmdemoError: Something that is needed is not there, or ``base`` is of no use for the task.
    """
    if task == "speech" and teacher is not None:
        return Bases(speech=speech_teacher(teacher))
    if task in {"sentiment", "speech"}:
        shipped = checkpoints_root() / "sentiment-base"
        if task == "sentiment" and folded and base is None and shipped.is_dir():
            # its head has heard the speakers of other folds; its encoder was made without labels and may be shared
            return Bases(speech=parts.load_emotion_encoder(shipped))
        if same is not None and task == "sentiment":
            return Bases(same=checkpoint.read_config(same), emotion=parts.load_emotion(same))
        ours = _encoder(base, "speech-base")
        if ours is not None:
            return Bases(speech=parts.load_speech(ours))
        folder = _encoder(base, "whisper-tiny.en-encoder")
        if folder is None:
            raise MmdemoError(
                f"{task.capitalize()} needs something to start from",
                "there is no sentiment-base and no speech encoder",
                "Name a checkpoint or a folder with whisper-tiny.en-encoder with --base",
            )
        return Bases(speech=load_whisper_encoder(folder))
    if same is not None and task != "vision":
        config = checkpoint.read_config(same)
        places = {role: registry.part_folder(same, part.name) for role, part in config.parts.items()}
        return Bases(
            vision=parts.load_vision(places["vision"], device=device, over=same),
            text=parts.load_text(places["text"], device=device) if "text" in places else None,
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
    return Bases(vision=parts.load_vision(vision, device=device), text=parts.load_text(text, device=device))


def _encoder(base: Path | None, *names: str) -> Path | None:
    if base is None:
        return None
    if base.name in names:
        return base
    return next((base / name for name in names if (base / name).is_dir()), None)
