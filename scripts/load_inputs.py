"""Requests for the load test and the soak: pictures and clips made from a seed, each different from every other."""

from __future__ import annotations

import io
import random
import wave
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from PIL import Image, ImageDraw

MIX = {"ask": 35, "classify": 30, "caption": 20, "sentiment": 15}
"""How often each job is asked for, of 100 requests."""

QUESTIONS = (
    "Is there a person?",
    "What is in the picture?",
    "What colour is it?",
    "How many people are there?",
    "Where is this?",
    "Is there a cup?",
    "Is it day or night?",
)
LABELS = (
    *("cat", "dog", "car", "bicycle", "tree", "house", "person", "cup of coffee", "rocket", "temple", "circle"),
    *("square", "rainbow", "night sky", "poster", "flag", "ball", "window", "painting", "chessboard", "kite", "river"),
)
RATE = 16_000
"""Samples per second of the clips."""


@dataclass(frozen=True)
class Request:
    """One request: the job, the number that makes its picture or clip, and what is asked about it."""

    job: str
    number: int
    question: str = ""
    labels: tuple[str, ...] = field(default=())
    captions: int = 3

    @property
    def name(self) -> str:
        """Name of the uploaded file; it comes back with the answer, and no other request has it."""
        return f"{self.job}-{self.number}." + ("wav" if self.job == "sentiment" else "jpg")

    @cached_property
    def file(self) -> bytes:
        """Content of the uploaded file."""
        return clip(self.number) if self.job == "sentiment" else picture(self.number)

    def body(self, path: str) -> dict[str, object]:
        """JSON of the call, for a file that lies at ``path`` in the program's upload folder."""
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        data: dict[str, list[object]] = {
            "ask": [file, self.question, None],
            "classify": [file, ", ".join(self.labels), None, None],
            "caption": [file, self.captions, None],
            "sentiment": [file, None],
        }
        return {"data": data[self.job]}


def requests(count: int, seed: int = 0) -> list[Request]:
    """``count`` requests in the :data:`MIX`, the same ones for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - the same requests every time
    found = []
    for number in range(count):
        job = chance.choices(list(MIX), weights=list(MIX.values()))[0]
        own = f"thing number {number}"  # a label that no other request has: an answer shows whose it is
        labels = (*chance.sample(LABELS, chance.randint(3, 12)), own) if job == "classify" else ()
        question = chance.choice(QUESTIONS) if job == "ask" else ""
        found.append(Request(job, seed * 1_000_000 + number, question, labels))
    return found


def many_labels(number: int, count: int) -> Request:
    """Classify with labels that nothing has seen before: the text encoder reads every one."""
    return Request("classify", number, labels=tuple(f"odd object {number} {i}" for i in range(count)))


def picture(number: int) -> bytes:
    """Shapes before a gradient, 480 x 360, as JPEG."""
    chance = random.Random(number)  # noqa: S311 - the same picture every time
    corner = np.array([chance.randrange(256) for _ in range(9)], dtype=np.float32).reshape(3, 3)
    down, across = np.mgrid[0:360, 0:480].astype(np.float32) / 480
    pixels = corner[0] + down[..., None] * (corner[1] - corner[0]) + across[..., None] * (corner[2] - corner[0])
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(chance.randint(2, 8)):
        x, y, size = chance.randrange(480), chance.randrange(360), chance.randrange(20, 160)
        colour = tuple(chance.randrange(256) for _ in range(3))
        if chance.random() < 0.5:
            draw.ellipse((x - size, y - size, x + size, y + size), fill=colour)
        else:
            draw.rectangle((x, y, x + size, y + size), fill=colour, outline="black", width=3)
    out = io.BytesIO()
    image.save(out, "jpeg", quality=88)
    return out.getvalue()


def clip(number: int, seconds: float = 0.0) -> bytes:
    """Something like a voice, 2 to 5 s where no length is given, as 16-bit WAV."""
    chance = np.random.default_rng(number)
    length = seconds or float(chance.uniform(2, 5))
    time = np.arange(int(length * RATE)) / RATE
    pitch = chance.uniform(90, 220) * (1 + 0.2 * np.sin(2 * np.pi * chance.uniform(0.3, 1) * time))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formant = 600 + 300 * np.sin(2 * np.pi * chance.uniform(0.8, 1.5) * time)
    voice = sum(np.exp(-(((k * pitch - formant) / 400) ** 2)) * np.sin(k * phase) for k in range(1, 16))
    syllables = np.clip(np.sin(2 * np.pi * 2.1 * time) + 0.35, 0, 1)
    samples = 0.25 * voice / np.abs(voice).max() * syllables + chance.standard_normal(len(time)) * 0.003
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return out.getvalue()
