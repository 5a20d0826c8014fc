"""A tuned hub model as a whole one again: in its library's own layout, for whoever has that library alone."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from mmdemo.core.config import CLASSES, Calibration, CheckpointConfig, from_mapping
from mmdemo.core.errors import MmdemoError, after_failed_write
from mmdemo.core.reading import Unreadable, read_card_text, read_object
from mmdemo.core.writing import json_text
from mmdemo.models import checkpoint, registry
from mmdemo.models.families.adapter import AdapterBase, find_base, is_adapter, open_adapter, with_base
from mmdemo.models.families.base import TUNED, HubModel, RuntimeConfig
from mmdemo.models.families.precision import check_fit
from mmdemo.models.families.pretrained import no_bars

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".index.json")
"""Ends of the names of what is not taken over from the base."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedModel:
    """What a merged model says of its tuning.

    Attributes:
        classes: A person's own, of Classify; () of other tasks.
        labels: As they were called in the tuned checkpoint; () where its network has no unit for each.
        licence: Of the tuned checkpoint.
        bases: What that was tuned from, in the words of its card.
    """

    task: str
    calibration: Calibration
    classes: tuple[str, ...]
    labels: tuple[str, ...]
    licence: str
    bases: tuple[str, ...]


def merge(folder: Path, out: Path) -> Path:
    """Write a tuned model with all of its weights, in fp32, as its library saves it.

    Args:
        folder: Of the tuned checkpoint.
        out: A folder that is made.

    Returns:
        ``out``.

    Raises:
        MmdemoError: The checkpoint stands on no hub model, its base is not there, or ``out`` is in the way.
    """
    config = checkpoint.read_config(folder)
    if not is_adapter(config):
        raise MmdemoError(f"{folder.name} cannot be merged", "it is a whole model, and stands on no other")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise MmdemoError(f"{out} cannot be the place of the merged model", "something is there", "Name another --out")
    base = find_base(folder, config)
    card = with_base(registry.read_card(folder), folder, config)
    check_fit(folder.name, card.parameters, RuntimeConfig())
    _check_disk(out, 4 * card.parameters)
    model = open_adapter(folder, registry.read_card(folder), config, device="cpu", how=RuntimeConfig())
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        _take_over(base, part)
        if base.layout.library == "open_clip":
            save_file(_own(model.net.state_dict()), part / "open_clip_model.safetensors", metadata={"format": "pt"})
        else:
            with no_bars():
                model.net.save_pretrained(part, max_shard_size="1TB")
        (part / TUNED).write_text(_tuned(config, base), encoding="utf-8")
        (part / "README.md").write_text(_card(folder, config, base), encoding="utf-8")
        if out.is_dir():
            out.rmdir()
        part.rename(out)
    except (OSError, SafetensorError) as error:  # the library says a full disk in words of its own
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise MmdemoError(f"{out} cannot be written", why, after_failed_write(error)) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
        model.release()
    return out


def remember(model: HubModel, folder: Path) -> HubModel:
    """Give a model that was merged its calibration, classes and names of labels again; any other stays as it is.

    Raises:
        MmdemoError: What lies there cannot be understood.
    """
    found = read_tuned(folder, name=model.card.id)
    if found is not None and found.task == model.card.task:
        config = model.config
        model.config = CheckpointConfig(
            task=config.task,
            # the library has a place for the names, and a person's own are read as emotions from there
            labels=found.labels if len(found.labels) == len(config.labels) else config.labels,
            settings={CLASSES: found.classes} if found.classes else {},
            calibration=found.calibration,
        )
    return model


def read_tuned(folder: Path, *, name: str) -> MergedModel | None:
    """What is known of the tuning of a merged model; None where nothing was merged.

    Raises:
        MmdemoError: What lies there cannot be understood.
    """
    file = folder / TUNED
    if not file.is_file():
        return None
    try:
        found = read_object(file)
        return MergedModel(
            task=str(found["task"]),
            calibration=from_mapping(Calibration, found["calibration"]),
            classes=tuple(map(str, found["classes"])),
            labels=tuple(map(str, found.get("labels", ()))),
            licence=str(found.get("licence", "")),
            bases=tuple(map(str, found.get("bases", ()))),
        )
    except (Unreadable, ValueError, KeyError, TypeError) as error:
        raise MmdemoError(f"{name} cannot be loaded", f"its {TUNED} is not valid ({error})") from None


def _check_disk(out: Path, size: int) -> None:
    place = next(parent for parent in out.absolute().parents if parent.is_dir())
    free = shutil.disk_usage(place).free
    if free < size:
        raise MmdemoError(
            f"{out} cannot be written", f"it takes {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free", "Free some"
        )


def _take_over(base: AdapterBase, to: Path) -> None:
    """Configuration, processor and words of the base."""
    for file in sorted(base.folder.iterdir()):
        if file.is_file() and not file.name.endswith(WEIGHTS) and file.suffix in {".json", ".txt", ".model", ".jinja"}:
            shutil.copyfile(file, to / file.name)


def _own(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """With memory of its own for each tensor, as safetensors wants it."""
    return {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}


def _tuned(config: CheckpointConfig, base: AdapterBase) -> str:
    classes = config.settings.get(CLASSES, ())
    found = {
        "task": config.task,
        "calibration": asdict(config.calibration),
        "classes": classes,
        "labels": config.labels,
        "licence": config.card.licence,
        "bases": config.card.bases,
        **base.settings(),
    }
    return json_text(found, indent=1) + "\n"


def _card(folder: Path, config: CheckpointConfig, base: AdapterBase) -> str:
    """The checkpoint's own card, for another library."""
    library = "open_clip" if base.layout.library == "open_clip" else "transformers"
    file = folder / "README.md"
    text = read_card_text(file) or config.card.summary
    return text.replace("library_name: mmdemo", f"library_name: {library}")
