"""A tuned public model as a whole one again: in its library's own layout, for whoever has that library alone."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from mmdemo.core.config import CLASSES, Calibration, CheckpointConfig, from_mapping
from mmdemo.core.errors import MmdemoError
from mmdemo.models import checkpoint, registry
from mmdemo.models.public.adapter import Base, find_base, is_adapter, open_adapter
from mmdemo.models.public.base import How, PublicModel
from mmdemo.models.public.pretrained import _no_bars

TUNED = "mmdemo.json"
"""Beside the library's own files: what a library has no place for, calibration and classes."""

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".index.json")
"""Ends of the names of what is not taken over from the base."""


def merge(folder: Path, out: Path) -> Path:
    """Write a tuned model with all of its weights, in fp32, as its library saves it.

    Args:
        folder: Of the tuned checkpoint.
        out: A folder that is made.

    Returns:
        ``out``.

    Raises:
        MmdemoError: The checkpoint stands on no public model, its base is not there, or ``out`` is in the way.
    """
    config = checkpoint.read_config(folder)
    if not is_adapter(config):
        raise MmdemoError(f"{folder.name} cannot be merged", "it is a whole model, and stands on no other")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise MmdemoError(f"{out} cannot be the place of the merged model", "something is there", "Name another --out")
    base = find_base(folder, config)
    model = open_adapter(folder, registry.read_card(folder), config, device="cpu", how=How())
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        _take_over(base, part)
        if base.layout.library == "open_clip":
            save_file(_own(model.net.state_dict()), part / "open_clip_model.safetensors", metadata={"format": "pt"})
        else:
            with _no_bars():
                model.net.save_pretrained(part, max_shard_size="1TB")  # type: ignore[operator]
        (part / TUNED).write_text(_tuned(config, base), encoding="utf-8")
        (part / "README.md").write_text(_card(folder, config, base), encoding="utf-8")
        if out.is_dir():
            out.rmdir()
        part.rename(out)
    except OSError as error:
        raise MmdemoError(f"{out} cannot be written", error.strerror or str(error), "Free some space") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
        model.release()
    return out


def remember(model: PublicModel, folder: Path) -> PublicModel:
    """Give a model that was merged its calibration and its classes again; any other stays as it is.

    Raises:
        MmdemoError: What lies there cannot be understood.
    """
    file = folder / TUNED
    if not file.is_file():
        return model
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        calibration, classes = from_mapping(Calibration, found["calibration"]), tuple(map(str, found["classes"]))
        task = str(found["task"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MmdemoError(f"{model.card.id} cannot be loaded", f"its {TUNED} is not valid ({error})") from None
    if task == model.card.task:
        config = model.config
        model.config = CheckpointConfig(
            task=config.task,
            labels=config.labels,
            settings={CLASSES: classes} if classes else {},
            calibration=calibration,
        )
    return model


def _take_over(base: Base, to: Path) -> None:
    """Configuration, processor and words of the base."""
    for file in sorted(base.folder.iterdir()):
        if file.is_file() and not file.name.endswith(WEIGHTS) and file.suffix in {".json", ".txt", ".model", ".jinja"}:
            shutil.copyfile(file, to / file.name)


def _own(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """With memory of its own for each tensor, as safetensors wants it."""
    return {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}


def _tuned(config: CheckpointConfig, base: Base) -> str:
    classes = config.settings.get(CLASSES, ())
    found = {"task": config.task, "calibration": asdict(config.calibration), "classes": classes, **base.settings()}
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def _card(folder: Path, config: CheckpointConfig, base: Base) -> str:
    """The checkpoint's own card, for another library."""
    library = "open_clip" if base.layout.library == "open_clip" else "transformers"
    file = folder / "README.md"
    text = file.read_text(encoding="utf-8") if file.is_file() else config.card.summary
    return text.replace("library_name: mmdemo", f"library_name: {library}")
