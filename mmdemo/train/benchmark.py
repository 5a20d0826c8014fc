"""How fast training is on this machine, and what the feature cache is worth: measured on data that it makes itself."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from PIL import Image

from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import ASK, CAPTION, CLASSIFY, SENTIMENT
from mmdemo.core.types import SAMPLE_RATE, Json
from mmdemo.data import pictures
from mmdemo.data.prepare import TrainingData
from mmdemo.media.audio import load_sound
from mmdemo.media.image import load_picture
from mmdemo.models.encoders import VisionEncoder
from mmdemo.nets.vision import pool
from mmdemo.tasks.base import Batch, Task, to_bytes
from mmdemo.tasks.pictures import normalized, square
from mmdemo.train.plan import RunPlan, default_config
from mmdemo.train.record import EVENTS, Record, RunObserver, read_events
from mmdemo.train.run import prepare
from mmdemo.train.settings import TrainSettings, read_config
from mmdemo.train.trainer import fit

EXAMPLES = Path(__file__).resolve().parents[1] / "ui" / "examples"
"""The page's example pictures and clips, of which the data are cut."""

SIZE = (480, 360)
"""Width and height of the made pictures."""

CLIP_SECONDS = 3.0
CLASSES = 10
BATCH = 64
EPOCHS = 4
"""Of a training from the cache; without it there are half as many."""

Progress = Callable[[str, int, int], None]
"""Called with what is measured, how many repetitions are done and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSpeed:
    """One measured figure.

    Attributes:
        what: What was measured, with its amount.
        n: How often.
        value: Median over the repetitions, in ``unit``; "x" is times as long.
        low, high: The least and the largest.
        wanted: What is aimed at, in words; "" where nothing is.
    """

    what: str
    n: int
    value: float
    low: float
    high: float
    unit: str
    wanted: str = ""

    def to_json(self) -> Json:
        return {**dataclasses.asdict(self), "value": round(self.value, 4), "low": round(self.low, 4)} | {
            "high": round(self.high, 4)
        }


def run(
    *, n: int = 3, count: int = 1000, device: str = "cpu", progress: Progress | None = None
) -> tuple[TrainingSpeed, ...]:
    """Measure everything in a temporary folder; nothing of one's own is touched.

    Args:
        n: Repetitions, in pairs where two things are compared.
        count: Pictures that are cached; the trainings take a fifth of them.

    Raises:
        MmdemoError: The shipped models are not there, or a training fails.
    """
    if n < 1 or count < 20:
        raise MmdemoError(
            "Nothing can be measured", f"n is {n} and there are {count} pictures", "Give 1 and 20 or more"
        )
    with tempfile.TemporaryDirectory(prefix="mmdemo-") as folder:
        bench = _TrainingBench(Path(folder), n=n, count=count, device=device, progress=progress)
        before = os.environ.get("MMDEMO_CACHE")
        os.environ["MMDEMO_CACHE"] = str(Path(folder) / "cache")
        try:
            return tuple(bench.rows())
        finally:
            if before is None:
                del os.environ["MMDEMO_CACHE"]
            else:
                os.environ["MMDEMO_CACHE"] = before


class _TrainingBench:
    def __init__(self, folder: Path, *, n: int, count: int, device: str, progress: Progress | None) -> None:
        self.folder, self.n, self.count, self.device, self._progress = folder, n, count, device, progress

    def rows(self) -> Iterator[TrainingSpeed]:
        many, some = self.folder / "many", self.folder / "some"
        files = make_pictures(many, self.count, seed=0)
        make_pictures(some, max(self.count // 5, 20), seed=1)
        make_voices(self.folder / "voices", max(self.count // 5, 20), seed=2)
        vision = self._vision(some)
        yield self._caching(files, vision)
        for task in (CLASSIFY, SENTIMENT, ASK, CAPTION):
            yield from self._epochs(task, self.folder / "voices" if task == SENTIMENT else some, vision)
        yield self._memory(files, vision)
        yield self._start(some)

    def _told(self, what: str, done: int) -> None:
        if self._progress is not None:
            self._progress(what, done, self.n)

    def _vision(self, data: Path) -> VisionEncoder:
        return prepare(self._plan(CLASSIFY, data), say=lambda text: None).bases.need_vision()

    def _plan(self, task: str, data: Path, *, out: str = "run", overrides: Sequence[str] = ()) -> RunPlan:
        file = default_config(task)
        return RunPlan(
            task=task,
            data=(data,),
            out=self.folder / out,
            config=read_config(file, overrides),
            config_file=file,
            device=self.device,
        )

    # ------------------------------------------------------------ the cache itself

    def _caching(self, files: Sequence[Path], vision: VisionEncoder) -> TrainingSpeed:
        """Seconds of filling the cache over those of a plain loop, in turns."""
        what = f"cache {len(files):,} pictures, against a plain loop"
        encode(files[:BATCH], vision)  # the first batch pays for the libraries' start
        ratios = []
        for turn in range(self.n):
            started = time.perf_counter()
            for first in range(0, len(files), BATCH):
                encode(files[first : first + BATCH], vision)
            loop = time.perf_counter() - started
            os.environ["MMDEMO_CACHE"] = str(self.folder / f"cache-{turn}")
            started = time.perf_counter()
            pictures.grids(files, vision)
            ratios.append((time.perf_counter() - started) / loop)
            self._told(what, turn + 1)
        os.environ["MMDEMO_CACHE"] = str(self.folder / f"cache-{self.n - 1}")  # the last one serves what follows
        return _row(what, ratios, "x", "at most 1.2")

    # ------------------------------------------------------------ epochs

    def _epochs(self, task: str, data: Path, vision: VisionEncoder) -> Iterator[TrainingSpeed]:
        """Epochs a minute from the cache, and how many times those of the same training without it."""
        plan = self._plan(task, data, overrides=["data.mirror=false"] if task != SENTIMENT else [])
        settings = TrainSettings(epochs=EPOCHS, batch_size=BATCH, learning_rate=1e-4, save_steps=10**6)
        plan = dataclasses.replace(plan, config=dataclasses.replace(plan.config, train=settings))
        ready = prepare(plan, say=lambda text: None)
        task_, net, prepared = ready.task, ready.net, ready.prepared
        files = sorted(file for file in data.iterdir() if file.suffix == ".jpg")
        fast, ratios = [], []
        what = f"{task}, {len(prepared.train)} rows"
        for turn in range(self.n):
            cached = self._pace(task_, net, prepared.train, settings)
            fresh, rows = _without_cache(task_, prepared, files, vision)
            slow = self._pace(fresh, net, rows, dataclasses.replace(settings, epochs=EPOCHS // 2))
            fast.append(60 / cached)
            ratios.append(slow / cached)
            self._told(what, turn + 1)
        wanted = "at least 20" if task in {CLASSIFY, SENTIMENT} else ""
        yield _row(f"{what}: epochs, cached", fast, "/min")
        yield _row(f"{what}: without the cache", ratios, "x", wanted)

    def _pace(self, task: Task[Any, Any], net: torch.nn.Module, rows: Sequence[Any], settings: TrainSettings) -> float:
        """Seconds of an epoch, the first step aside."""
        place = self.folder / "pace" / "trainer"
        record = Record(place, RunObserver())
        try:
            (place / EVENTS).unlink(missing_ok=True)
            fit(task, net, rows, (), settings=settings, record=record, device=self.device, resume=False)
        finally:
            record.close()
        times = [event["time"] for event in read_events(place) if "loss" in event]
        steps = len(times) / settings.epochs
        return float((times[-1] - times[0]) / (len(times) - 1) * steps) if len(times) > 1 else float("nan")

    # ------------------------------------------------------------ memory and start

    def _memory(self, files: Sequence[Path], vision: VisionEncoder) -> TrainingSpeed:
        """Memory that reading every cached grid once adds, beside the file's pages, which can always be dropped."""
        what = f"memory for {len(files):,} cached pictures"
        pictures.grids(files, vision)
        found = []
        for turn in range(self.n):
            before = anonymous_bytes()
            total = 0
            for views in pictures.grids(files, vision).values():
                total += int(views[0].sum())
            found.append((anonymous_bytes() - before) / 1e6)
            self._told(what, turn + 1)
        size = len(files) * int(np.prod(next(iter(pictures.grids(files[:1], vision).values()))[0].shape)) / 1e6
        return _row(f"{what} ({size:.0f} MB on disk)", found, "MB", "little")

    def _start(self, data: Path) -> TrainingSpeed:
        """Seconds from the command to its first step, features cached."""
        what = "start to first step"
        prepare(self._plan(CLASSIFY, data), say=lambda text: None)
        taken = []
        for turn in range(self.n):
            out = self.folder / f"start-{turn}"
            words = ["train", CLASSIFY, "--data", str(data), "--out", str(out), "--set", "train.epochs=1"]
            started = time.time()
            # our own program, nothing that anybody typed
            done = subprocess.run(  # noqa: S603
                [sys.executable, "-m", "mmdemo", *words, "--device", self.device],
                capture_output=True,
                text=True,
                check=False,
            )
            events = read_events(out / "trainer")
            if not events:
                raise MmdemoError("A training could not be measured", (done.stderr.strip().splitlines() or ["?"])[-1])
            taken.append(events[0]["time"] - started)
            self._told(what, turn + 1)
        return _row(what, taken, "s", "under 10")


def _row(what: str, values: Sequence[float], unit: str, wanted: str = "") -> TrainingSpeed:
    return TrainingSpeed(
        what=what,
        n=len(values),
        value=float(np.median(values)),
        low=min(values),
        high=max(values),
        unit=unit,
        wanted=wanted,
    )


def anonymous_bytes() -> int:
    """Memory of the process that is no file's; what is mapped from a cache can be dropped at any time.

    Raises:
        MmdemoError: The system does not tell (only Linux does).
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))
    except (OSError, StopIteration):
        raise MmdemoError("Memory cannot be measured", "this system does not tell files from the rest") from None


# ---------------------------------------------------------------- the same without the cache


def encode(files: Sequence[Path], vision: VisionEncoder) -> torch.Tensor:
    """The grids (B, D, G, G) of pictures, in one batch."""
    side = vision.trunk.config.side
    pixels = normalized([square(load_picture(file).pixels, side) for file in files], flip=False).to(vision.device)
    with torch.inference_mode(), torch.autocast(vision.device, dtype=torch.bfloat16):
        grid: torch.Tensor = vision.trunk(pixels).float()
    return grid


class _Encoding:
    """A task whose rows bring files, encoded anew in every batch."""

    def __init__(self, task: Task[Any, Any], vision: VisionEncoder) -> None:
        self._task, self._vision = task, vision

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def collate(self, rows: Sequence[tuple[Any, Path]]) -> Batch:
        """Encode, then batch as the task does."""
        grids = encode([file for _, file in rows], self._vision)
        pooled = self._task.name == CLASSIFY
        views = [pool(grid[None])[0].numpy().astype(np.float16) if pooled else to_bytes(grid) for grid in grids.cpu()]
        fresh = [dataclasses.replace(row, views=(view,)) for (row, _), view in zip(rows, views, strict=True)]
        return self._task.collate(fresh)


def _without_cache(
    task: Task[Any, Any], prepared: TrainingData, files: Sequence[Path], vision: VisionEncoder
) -> tuple[Any, list[Any]]:
    """The task and its rows so that nothing is kept of what a frozen encoder makes."""
    if task.name == SENTIMENT:
        return task, [dataclasses.replace(row, features=(), learning=False) for row in prepared.train]
    # which picture stands for which row makes no difference to the time
    return _Encoding(task, vision), [(row, files[i % len(files)]) for i, row in enumerate(prepared.train)]


# ---------------------------------------------------------------- made data


def make_pictures(folder: Path, count: int, *, seed: int) -> list[Path]:
    """JPEG files cut from the page's examples, with a caption and a question each."""
    folder.mkdir(parents=True)
    sources = [load_picture(file).pixels for file in sorted(EXAMPLES.glob("*.jpg"))]
    random = np.random.default_rng(seed)
    files, captions, questions = [], [], []
    things = ("cat", "rocket", "cup", "temple", "face", "table", "tree", "sky", "stone", "plate")
    for number in range(count):
        pixels = sources[number % len(sources)]
        height, width = (int(side * random.uniform(0.5, 0.95)) for side in pixels.shape[:2])
        top, left = int(random.integers(len(pixels) - height)), int(random.integers(pixels.shape[1] - width))
        file = folder / f"{number:05}.jpg"
        Image.fromarray(pixels[top : top + height, left : left + width]).resize(SIZE).save(file, quality=90)
        thing = things[number % CLASSES]
        files.append(file)
        captions.append({"file_name": file.name, "captions": [f"a {thing} in a picture"]})
        questions.append({"file_name": file.name, "question": f"What is in picture {number % 7}?", "answer": thing})
    for name, rows in (("captions", captions), ("questions", questions)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return files


def make_voices(folder: Path, count: int, *, seed: int) -> None:
    """Clips of three seconds made of the page's examples with some noise, two emotions, ten speakers."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    sources: Mapping[str, NDArray[np.float32]] = {
        label: load_sound(EXAMPLES / f"{label}.flac").samples for label in ("angry", "sad")
    }
    rows = []
    for number in range(count):
        label = ("angry", "sad")[number % 2]
        voice = np.resize(sources[label], int(CLIP_SECONDS * SAMPLE_RATE))
        clip = np.roll(voice, int(random.integers(len(voice)))) + random.normal(0, 1e-3, len(voice))
        name = f"{number:05}.wav"
        soundfile.write(folder / name, clip, SAMPLE_RATE)
        rows.append({"file_name": name, "label": label, "speaker": f"s{number % 10}"})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
