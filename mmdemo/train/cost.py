"""What a change of the weights alone costs and saves: bytes, time, and answers to made inputs."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import numpy as np
import torch
from numpy.typing import NDArray

from mmdemo.core.tasks import spec_of
from mmdemo.core.types import TASKS as SERVED
from mmdemo.core.types import AskRequest, CaptionRequest, ClassifyRequest, Json, Model, Request, SentimentRequest
from mmdemo.evaluate.compare import agreement, answer
from mmdemo.models import checkpoint, encoders, probe, registry
from mmdemo.models.loading import read
from mmdemo.nets.speech import LogMel, level
from mmdemo.tasks.pictures import normalized, square

INPUTS = 16
"""Made inputs that both answer."""

VOICES = 8
"""Made voices; higher ones are no longer heard as speech. Sounds are not cached, so they may come again."""

Ask = Callable[[int], object]
"""Answers a made input by its number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointPair:
    """A number before and after."""

    before: float
    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightCost:
    """Before and after.

    Attributes:
        own: Bytes of the weight file.
        whole: Bytes of the folder and of everything that it refers to.
        milliseconds: Median time of one request, inputs in turn.
        agreement: For what is served, the share of :data:`INPUTS` made inputs with the same answer.
        cosine: For an encoder, the mean cosine between its outputs before and after.
        machine: Where the time was taken.
    """

    own: CheckpointPair
    whole: CheckpointPair
    milliseconds: CheckpointPair
    agreement: float | None
    cosine: float | None
    machine: str

    def to_json(self) -> Json:
        return {
            "bytes": {"before": int(self.own.before), "after": int(self.own.after)},
            "bytes_with_parts": {"before": int(self.whole.before), "after": int(self.whole.after)},
            "milliseconds": {"before": round(self.milliseconds.before, 3), "after": round(self.milliseconds.after, 3)},
            "machine": self.machine,
            "agreement_on_made_inputs": self.agreement,
            "cosine_on_made_inputs": self.cosine,
        }

    def sentences(self, name: str, task: str) -> list[str]:
        """As the card says it."""
        own, whole, times = self.own, self.whole, self.milliseconds
        sizes = f"Weights: {own.before / 1e6:.2f} MB in {name}, {own.after / 1e6:.2f} MB here"
        with_parts = f"with everything they refer to {whole.before / 1e6:.1f} MB and {whole.after / 1e6:.1f} MB"
        said = [
            f"{sizes}; {with_parts}.",
            f"Time for one request ({self.machine}): {times.before:.1f} ms there, {times.after:.1f} ms here, medians; "
            "loading takes the weights back to fp32, so the time should stay what it was.",
        ]
        if self.agreement is not None:
            said.append(f"The same answer to {self.agreement:.0%} of {INPUTS} made inputs.")
        if self.cosine is not None:
            said.append(f"Cosine between the features of both, mean over {INPUTS} made inputs: {self.cosine:.5f}.")
        return said


def cost_of(source: Path, small: Path, *, device: str) -> WeightCost:
    """Load both and compare them on made inputs."""
    task = checkpoint.read_config(source).task
    same: float | None = None
    cosine: float | None = None
    if task in SERVED:
        before, after = (read(folder, device=device) for folder in (source, small))
        made = [request(task, i) for i in range(INPUTS)]
        said = [[answer(result) for result in model.predict(made)] for model in (before, after)]
        same = agreement(*said)
        asks: Sequence[Ask] = [asking(before), asking(after)]
    else:
        encoders = [encoder(task, folder, device) for folder in (source, small)]
        features = [[encode(i) for i in range(INPUTS)] for encode in encoders]
        cosine = float(np.mean([_cosine(a, b) for a, b in zip(*features, strict=True)]))
        asks = encoders
    return WeightCost(
        own=CheckpointPair(before=_bytes(source), after=_bytes(small)),
        whole=CheckpointPair(before=registry.read_card(source).size, after=registry.read_card(small).size),
        milliseconds=timed(*asks),
        agreement=same,
        cosine=cosine,
        machine=f"{device}, {platform.machine()}, threads: {torch.get_num_threads()}",
    )


def request(task: str, number: int) -> Request:
    """A made request; other numbers give other inputs."""
    match spec_of(task).name:
        case "ask":
            question = probe.QUESTIONS[number % len(probe.QUESTIONS)]
            return AskRequest(picture=probe.made_picture(number), question=question)
        case "classify":
            return ClassifyRequest(picture=probe.made_picture(number), labels=probe.LABELS)
        case "caption":
            return CaptionRequest(picture=probe.made_picture(number), n=1)
        case "sentiment":
            return SentimentRequest(sound=probe.made_sound(number % VOICES))
        case unknown:
            assert_never(unknown)


def asking(model: Model) -> Ask:
    """Ask a model for one made request."""
    return lambda number: model.predict([request(model.card.task, number)])


def timed(before: Ask, after: Ask) -> CheckpointPair:
    """Median milliseconds of both, taken in turn, each with inputs that nobody has seen: nothing comes from a cache."""
    times: tuple[list[float], list[float]] = ([], [])
    for i in range(INPUTS + 1):
        for j, ask in enumerate((before, after)):
            started = time.perf_counter()
            ask(1000 + 2 * i + j)
            times[j].append(time.perf_counter() - started)
    return CheckpointPair(  # the first of each warms up
        before=1000 * statistics.median(times[0][1:]), after=1000 * statistics.median(times[1][1:])
    )


def encoder(task: str, folder: Path, device: str) -> Callable[[int], NDArray[np.float32]]:
    """From the number of a made input to the features of an encoder that is not served by itself, flat."""
    if task == "vision":
        vision = encoders.load_vision(folder, device=device)

        def see(number: int) -> NDArray[np.float32]:
            pixels = normalized([square(probe.made_picture(number).pixels, vision.trunk.config.side)]).to(device)
            with torch.inference_mode():
                return _flat(vision.trunk(pixels))

        return see
    if task == "text":
        text = encoders.load_text(folder, device=device)
        words = [*probe.QUESTIONS, *probe.LABELS]

        def understand(number: int) -> NDArray[np.float32]:
            return _flat(torch.from_numpy(text.encoded([f"{words[number % len(words)]} {number}"])))

        return understand
    speech = encoders.load_speech(folder).eval().to(device)
    mel = LogMel(bins=speech.conv1.in_channels).to(device)

    def hear(number: int) -> NDArray[np.float32]:
        samples = torch.from_numpy(probe.made_sound(number % VOICES).samples)[None].to(device)
        lengths = torch.tensor([samples.shape[1]], device=device)
        with torch.inference_mode():
            states, _ = speech(*mel(level(samples, lengths), lengths))
            return _flat(states[-1])

    return hear


def _flat(features: torch.Tensor) -> NDArray[np.float32]:
    flat: NDArray[np.float32] = features.float().cpu().numpy().ravel()
    return flat


def _cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(one @ other / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-12))


def _bytes(folder: Path) -> int:
    return (folder / checkpoint.WEIGHTS).stat().st_size
