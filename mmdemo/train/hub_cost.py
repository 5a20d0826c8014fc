"""What tuning a hub model takes in work and memory, told from the headers of its files before it is read.

A layer of ``n x m`` weights makes ``n * m`` products for each place that runs through it (a patch of a picture, a word,
a fiftieth of a second), and backward as many again, twice where the layer itself is trained. For the way back it keeps
what goes in and what comes out. How many places there are is told by the configuration.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import object_or_empty
from mmdemo.core.tasks import spec_of
from mmdemo.core.types import SAMPLE_RATE
from mmdemo.models.families.detect import OPEN_CLIP_CONFIG, Layout, weights_in
from mmdemo.models.families.precision import free_memory
from mmdemo.models.folder import shapes_in
from mmdemo.tasks.hub.base import stacks
from mmdemo.tasks.tune import Tune
from mmdemo.train.settings import TrainSettings

SHOWN = 256
"""Places of a picture where the configuration names no size: models that chat cut large pictures into more."""

HEARD = 4.0
"""Seconds of a clip; what works on windows of 30 seconds takes that much of any."""

PROGRAM = 1_200_000_000
"""Bytes of a run on a model of next to nothing: Python, torch, transformers, peft."""

COPIES = 2.5
"""Of its weights in fp32 at the end, when the finished model is loaded to take its probe: with what it is read from,
and what the system has not taken back of the trained one. Measured: BLIP of 362 million weights, a batch of 1 small
picture, 3.4 GB in all, 0.9 of it files mapped; CLIP of 151 million, 8 pictures, 3.3 and 0.6."""

KEPT = 4.5
"""Bytes that the way back keeps for each number that goes into a layer or comes out of it: fp32, and what lies between
the layers. Measured at the highest (CPU, LoRA, fp32): BLIP of 361 million weights and 4 questions a batch 5.8 GB, CLIP
of 151 million and 8 pictures 3.1 GB, wav2vec 2.0 of 95 million and 8 clips of 4 seconds 5.0 GB, a model of next to
nothing 1.2 GB."""

GENTLE = 1 << 30
"""Bytes that a GPU needs beside: its kernels and workspaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningCost:
    """Of a hub model, for a row.

    Attributes:
        parameters: Of the whole network.
        size: Bytes of its files.
        products: Multiplications, forward.
        ears: The same in what is never trained: the layers that make a fiftieth of a second of a sound.
        numbers: What goes into its layers and comes out of them.
        heard: The same of its ears, whatever is trained.
        blocks: Of its deepest stack.
    """

    parameters: int
    size: int
    products: float
    ears: float
    numbers: float
    heard: float
    blocks: int

    def work(self, tune: Tune) -> float:
        """Operations (products and sums) of a row that is learned from."""
        trained = 1.0
        if tune.kind == "head":
            back = 0.0
        elif tune.kind == "last":
            trained = min(1.0, tune.blocks / max(self.blocks, 1))
            back = 2.0 * trained
        else:
            back = 2.0 if tune.kind == "all" else 1.2  # LoRA's own matrices are small
        return 2 * (self.products * (1 + back) + self.ears)

    @property
    def look(self) -> float:
        """Operations of a row that is only looked at."""
        return 2 * (self.products + self.ears)

    def memory(self, settings: TrainSettings) -> int:
        """Bytes at the highest, the program itself left out: in the steps, or at the end of them."""
        tune = Tune.parse(settings.tune)
        share = {"head": 0.0, "last": min(1.0, tune.blocks / max(self.blocks, 1))}.get(tune.kind, 1.0)
        trained = self.parameters * (share if tune.kind in {"last", "all"} else 0.02)
        weights = 4.0 * self.parameters
        optimizer = 4.0 * trained * (3 + bool(settings.ema_decay))  # gradient and two moments, and a running average
        way_back = KEPT * (self.numbers * max(share, 0.1) + self.heard) * settings.batch_size
        return int(optimizer + max(weights + way_back, COPIES * weights))


def cost_of(folder: Path, layout: Layout, task: str, *, texts: bool = True) -> TuningCost:
    """Look at the files of a hub model.

    Args:
        texts: Whether rows have texts that run through it: classes of folders are read once.
    """
    files = weights_in(folder, layout.library)
    marks = tuple((str(file), file.stat().st_mtime_ns) for file in files if file.exists())
    return _cost(marks, folder, layout, task, texts)


@lru_cache(maxsize=64)
def _cost(files: tuple[tuple[str, int], ...], folder: Path, layout: Layout, task: str, texts: bool) -> TuningCost:
    shapes: dict[str, tuple[int, ...]] = {}
    for file, _ in files:
        shapes |= shapes_in(Path(file))
    repeated = stacks(shapes)
    seen, read = _places(folder, layout), spec_of(task).text_tokens if texts else 0
    products = numbers = 0.0
    for name, shape in shapes.items():
        if len(shape) < 2 or not _in_stack(name, repeated):
            continue
        rows, columns = shape[0], math.prod(shape[1:])
        places = seen if _sees(name, layout) else read
        if layout.model_class.joint_sequence and not _sees(name, layout):
            places = seen + spec_of(task).text_tokens  # its words stand behind the picture in one row
        products += float(rows * columns * places)
        numbers += float((rows + min(columns, shape[1])) * places)
    ears, heard = _ears(folder, shapes)
    return TuningCost(
        parameters=sum(math.prod(shape) for shape in shapes.values()),
        size=sum(Path(file).stat().st_size for file, _ in files),
        products=products,
        ears=ears,
        numbers=numbers,
        heard=heard,
        blocks=max(repeated.values(), default=0),
    )


def _ears(folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> tuple[float, float]:
    """Products and numbers of the convolutions that hear raw sound, each at a rate below that of the one before."""
    strides = _json(folder / "config.json").get("conv_stride")
    products = numbers = 0.0
    for name, shape in shapes.items():
        found = re.search(r"conv_layers\.(\d+)\.conv\.weight$", name)
        if found and len(shape) == 3 and isinstance(strides, list):
            places = SAMPLE_RATE * HEARD / math.prod(strides[: int(found[1]) + 1])
            products += math.prod(shape) * places
            numbers += 6.0 * shape[0] * places  # in and out of the layer, of its norm, and of what bends it
    return products, numbers


def _in_stack(name: str, repeated: dict[str, int]) -> bool:
    return any(name.startswith(f"{place}.") for place in repeated)


def _sees(name: str, layout: Layout) -> bool:
    """Whether a layer runs over pictures or sound, and not over words."""
    return spec_of(layout.tasks[0]).has_sound or "vis" in name or "image" in name or "cross" in name


def _places(folder: Path, layout: Layout) -> float:
    """Of a picture or a clip."""
    if layout.library == "open_clip":
        shape = _json(folder / OPEN_CLIP_CONFIG).get("model_cfg")
        tower = shape.get("vision_cfg") if isinstance(shape, dict) else None
        return _patches(tower if isinstance(tower, dict) else {})
    config = _json(folder / "config.json")
    if spec_of(layout.tasks[0]).has_sound:
        windows = config.get("max_source_positions")
        return float(windows) if isinstance(windows, int) else 50 * HEARD
    tower = config.get("vision_config")
    return _patches(tower if isinstance(tower, dict) else config)


def _patches(tower: dict[str, object]) -> float:
    side, patch = _number(tower.get("image_size")), _number(tower.get("patch_size"))
    return (side / patch) ** 2 if side and patch else SHOWN


def _number(value: object) -> float:
    value = value[0] if isinstance(value, list) and value else value
    return float(value) if isinstance(value, int | float) else 0.0


def _json(file: Path) -> dict[str, object]:
    return object_or_empty(file)


def check_memory(name: str, cost: TuningCost, settings: TrainSettings, *, device: str, free: int | None = None) -> int:
    """Bytes that a run will take on its device, the program itself included.

    Args:
        name: Of the base, for errors.
        device: "cpu", "cuda" or "mps".
        free: Bytes; default what is free now.

    Raises:
        MmdemoError: They are not there; says by how much, and what would help.
    """
    there = free_memory(device) if free is None else free
    beside = PROGRAM if device == "cpu" else GENTLE

    def takes(batch: int, tune: str = settings.tune) -> int:
        return cost.memory(replace(settings, batch_size=batch, tune=tune)) + beside

    wanted = takes(settings.batch_size)
    if wanted <= there:
        return wanted
    smaller = [size for size in (32, 16, 8, 4, 2, 1) if size < settings.batch_size and takes(size) <= there]
    if smaller:
        advice = f"With train.batch_size={smaller[0]} it would be possible"
    elif takes(1, "head") <= there:
        advice = "With train.tune=head and train.batch_size=1 it would be possible"
    else:
        advice = "Free some memory, or start from a smaller model"
    raise _too_large(name, wanted, there, device, advice)


def _too_large(name: str, wanted: int, there: int, device: str, advice: str) -> MmdemoError:
    return MmdemoError(
        f"{name} cannot be tuned in the memory of the {'computer' if device == 'cpu' else 'GPU'}",
        f"it takes about {math.ceil(wanted / 1e8) / 10:.1f} GB, and {math.floor(there / 1e8) / 10:.1f} GB are free",
        advice,
    )
