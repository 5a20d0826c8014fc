"""How fast the four jobs are on this machine: p50, p95 and peak memory, with fresh inputs so that no cache flatters."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import ASK, CAPTION, CLASSIFY, SENTIMENT
from mmdemo.core.types import SAMPLE_RATE, Json
from mmdemo.media.audio import load_sound
from mmdemo.media.image import load_picture
from mmdemo.models import default_model
from mmdemo.serving import jobs
from mmdemo.serving.engine import Engine
from mmdemo.serving.memory import peak_bytes, reset_peak

EXAMPLES = Path(__file__).resolve().parents[1] / "ui" / "examples"
"""Where the page's example pictures and clips lie; without them synthetic ones are used."""

LABELS = ("cat", "dog", "car", "bicycle", "tree", "house", "person", "cup of coffee", "rocket", "temple")
QUESTIONS = (
    "Is there a person?",
    "What is in the picture?",
    "What colour is it?",
    "How many people are there?",
    "Where is this?",
    "Is there a cup?",
    "Is it day or night?",
    "What is he doing?",
)

_MANY_LABELS = 5_000
_MANY_LABELS_REPEATS = 3  # tens of seconds each on a small machine
_PROCESS_REPEATS = 5
_SPEECH_SECONDS = 5.0

Progress = Callable[[str, int, int], None]
"""Called with the job's name, how many repetitions are done and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """One measured job.

    Attributes:
        job: What was done.
        n: How often.
        p50, p95: Seconds.
        peak: Most bytes of resident memory that the process held during it, all four models loaded
            (a new process: that process's).
    """

    job: str
    n: int
    p50: float
    p95: float
    peak: int

    def to_json(self) -> Json:
        return {"job": self.job, "n": self.n, "p50": round(self.p50, 5), "p95": round(self.p95, 5), "peak": self.peak}


def run(
    *,
    n: int = 20,
    task: str | None = None,
    model: str | None = None,
    device: str = "auto",
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> tuple[Latency, ...]:
    """Measure all jobs with the default models, or one with a model of its own.

    Args:
        n: Repetitions of each job, 1 or more; very long jobs get fewer.
        task: Only this job.
        model: What answers it, as ``--model`` takes it; the default model where it is left out.
        device: For the engine that is made when none is given.
        engine: Measure this one; it stays open.
        progress: Told after every repetition.

    Raises:
        MmdemoError: A default model is missing.
    """
    if n < 1:
        raise MmdemoError("Nothing can be measured", f"n is {n}", "Give 1 or more")
    if model is not None and task is None:
        raise MmdemoError("A model is timed at one job", "none is named", "Say which with --task")
    own = Engine(device=device, default=lambda job: model if model and job == task else default_model(job))
    bench = _ServingBench(engine or own, n=n, progress=progress)
    try:
        return tuple(bench.rows() if task is None else bench.rows_of(task))
    finally:
        if engine is None:
            bench.engine.close()


class _ServingBench:
    def __init__(self, engine: Engine, *, n: int, progress: Progress | None) -> None:
        self.engine = engine
        self._n = n
        self._progress = progress
        self._pictures = _pictures()
        self._clip = _speech()
        self._serial = 0

    def rows(self) -> Iterator[Latency]:
        yield self._load_all()
        yield self._row("classify, 10 known labels", self._classify)
        yield self._row(ASK, self._ask)
        yield self._row("ask again, same picture", self._ask_again())
        yield self._row("caption, 3 beams", self._caption)
        yield self._row("caption, first word", self._first_word)
        yield self._row(f"sentiment, {_SPEECH_SECONDS:g} s of speech", self._sentiment)
        yield self._row("classify, 5,000 new labels", self._many_labels, most=_MANY_LABELS_REPEATS, warm=False)
        yield self._process("import mmdemo", "import mmdemo")
        # as a person starts it, with the interpreter's own start
        yield self._process("python -m mmdemo --help", "", "-m", "mmdemo", "--help")

    def rows_of(self, task: str) -> Iterator[Latency]:
        """Of one job: its first answer, loading included, and those that follow."""
        first = {ASK: self._ask, CLASSIFY: self._classify, CAPTION: self._caption, SENTIMENT: self._sentiment}
        reset_peak()
        yield _as_row(f"{task}, loaded and first answer", [_timed(first[task])], peak_bytes())
        yield self._row(task, first[task])
        if task == ASK:
            yield self._row("ask again, same picture", self._ask_again())
        if task == CAPTION:
            yield self._row("caption, first word", self._first_word)

    # ------------------------------------------------------------ timing

    def _row(self, job: str, act: Callable[[], float | None], *, most: int | None = None, warm: bool = True) -> Latency:
        """Time ``act`` itself, or take the seconds that it returns."""
        if warm:
            for _ in range(2):
                act()
        count = min(self._n, most or self._n)
        reset_peak()
        taken = []
        for done in range(count):
            started = time.perf_counter()
            own = act()
            taken.append(time.perf_counter() - started if own is None else own)
            if self._progress:
                self._progress(job, done + 1, count)
        return _as_row(job, taken, peak_bytes())

    def _load_all(self) -> Latency:
        reset_peak()
        started = time.perf_counter()
        self._classify()
        self._ask()
        self._caption()
        self._sentiment()
        seconds = time.perf_counter() - started
        if self._progress:
            self._progress("all four loaded, first answers", 1, 1)
        return _as_row("all four loaded, first answers", [seconds], peak_bytes())

    def _process(self, job: str, statement: str, *arguments: str) -> Latency:
        """Seconds of a new Python process; for a statement only what it takes beyond the interpreter's start."""
        count = min(self._n, _PROCESS_REPEATS)
        taken, peak = [], 0
        for done in range(count):
            if statement:
                code = (
                    f"import time; t = time.perf_counter(); {statement}; t = time.perf_counter() - t\n"
                    "from mmdemo.serving.memory import peak_bytes; print(t, peak_bytes())"
                )
                seconds, held = _new_process("-c", code).split()[-2:]
                taken.append(float(seconds))
                peak = max(peak, int(held))
            else:
                started = time.perf_counter()
                _new_process(*arguments)
                taken.append(time.perf_counter() - started)
            if self._progress:
                self._progress(job, done + 1, count)
        if not statement:
            code = (
                "import runpy, sys\n"
                f"sys.argv = {['mmdemo', *arguments[2:]]!r}\n"
                f"try: runpy.run_module({arguments[1]!r}, run_name='__main__')\n"
                "except SystemExit: pass\n"
                "from mmdemo.serving.memory import peak_bytes; print(peak_bytes())"
            )
            peak = int(_new_process("-c", code).split()[-1])
        return _as_row(job, taken, peak)

    # ------------------------------------------------------------ the jobs, file to answer

    def _fresh_picture(self) -> bytes:
        """A JPEG that no cache has seen: an example cut a little differently each time."""
        self._serial += 1
        picture = self._pictures[self._serial % len(self._pictures)]  # (H, W, 3)
        shift = self._serial % 61
        return _jpeg(picture[shift : len(picture) - 61 + shift, : -1 - self._serial % 53])

    def _classify(self) -> float:
        return _timed(partial(jobs.classify, self._fresh_picture(), LABELS, engine=self.engine))

    def _many_labels(self) -> float:
        self._serial += 1
        labels = _new_labels(_MANY_LABELS, self._serial)
        return _timed(partial(jobs.classify, self._fresh_picture(), labels, engine=self.engine))

    def _ask(self) -> float:
        return _timed(partial(jobs.ask, self._fresh_picture(), QUESTIONS[0], engine=self.engine))

    def _ask_again(self) -> Callable[[], float]:
        picture = self._fresh_picture()
        jobs.ask(picture, "What is this?", engine=self.engine)
        asked = iter(_endless_questions())
        return lambda: _timed(partial(jobs.ask, picture, next(asked), engine=self.engine))

    def _caption(self) -> float:
        return _timed(partial(jobs.caption, self._fresh_picture(), engine=self.engine))

    def _first_word(self) -> float:
        picture = self._fresh_picture()
        started = time.perf_counter()
        steps = jobs.stream_caption(picture, engine=self.engine)
        next(steps)
        seconds = time.perf_counter() - started
        for _ in steps:  # the rest is not timed, but the model has to come to an end
            pass
        return seconds

    def _sentiment(self) -> float:
        self._serial += 1
        rng = np.random.default_rng(self._serial)
        clip = self._clip + rng.normal(0.0, 1e-4, len(self._clip)).astype(np.float32)  # (S,)
        whole = np.round(np.clip(clip, -1.0, 1.0) * 32767.0).astype(np.int16)
        return _timed(partial(jobs.sentiment, (SAMPLE_RATE, whole), engine=self.engine))


def _timed(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _as_row(job: str, taken: Sequence[float], peak: int) -> Latency:
    p50, p95 = np.percentile(taken, [50, 95])
    return Latency(job=job, n=len(taken), p50=float(p50), p95=float(p95), peak=peak)


def _new_process(*arguments: str) -> str:
    # our own program, nothing that anybody typed
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise MmdemoError("A new process could not be measured", lines[-1].rstrip("."))
    return done.stdout


# ---------------------------------------------------------------- inputs


def _pictures() -> list[NDArray[np.uint8]]:
    """Arrays (H, W, 3), the page's examples or smooth noise of 640 x 480."""
    files = sorted(path for path in EXAMPLES.glob("*") if path.suffix in (".jpg", ".png"))
    if files:
        return [load_picture(path).pixels for path in files]
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (4, 12, 16, 3), dtype=np.uint8)
    return [np.asarray(Image.fromarray(item).resize((640, 480), Image.Resampling.BICUBIC)) for item in coarse]


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _speech() -> NDArray[np.float32]:
    """Five seconds (S,): an example clip repeated, or a buzzing voice that changes its vowel."""
    length = int(_SPEECH_SECONDS * SAMPLE_RATE)
    files = sorted(path for path in EXAMPLES.glob("*") if path.suffix in (".wav", ".flac"))
    if files:
        return np.resize(load_sound(files[0]).samples, length)
    time_ = np.arange(length) / SAMPLE_RATE  # (S,)
    phase = 2.0 * np.pi * (140.0 * time_ + 10.0 * np.sin(2.0 * np.pi * time_))
    vowel = 2.0 + 1.5 * np.sin(2.0 * np.pi * 3.0 * time_)
    voice = sum(np.sin(k * phase) * np.exp(-((k - 4.0 * vowel) ** 2) / 20.0) for k in range(1, 30))
    return np.asarray(0.05 * voice * (1.0 + np.sin(2.0 * np.pi * 4.0 * time_)), dtype=np.float32)


def _endless_questions() -> Iterable[str]:
    number = 0
    while True:
        number += 1
        yield f"{QUESTIONS[number % len(QUESTIONS)][:-1]} in part {number}?"


def _new_labels(count: int, seed: int) -> tuple[str, ...]:
    """Labels of two made-up words that no earlier call gave."""
    rng = np.random.default_rng(seed)
    starts, ends = "bdfgklmnprstvwz", ("al", "an", "ar", "el", "en", "er", "il", "in", "or", "un")
    syllables = [start + end for start in starts for end in ends]  # 150
    words = [
        f"{syllables[a]}{syllables[b]} {syllables[c]}{seed}"
        for a, b, c in rng.integers(0, len(syllables), (2 * count, 3))
    ]
    return tuple(dict.fromkeys(words))[:count]
