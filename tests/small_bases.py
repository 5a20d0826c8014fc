"""Small checkpoints and data made for tests: real code and real architectures, weights drawn at random."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from mmdemo.core.config import CheckpointConfig
from mmdemo.models import checkpoint
from mmdemo.nets.text import TextConfig, TextEncoder
from mmdemo.nets.vision import PictureTrunk, VisionConfig

SIDE = 64
WORDS = [
    "a",
    "the",
    "is",
    "it",
    "in",
    "on",
    "what",
    "which",
    "color",
    "many",
    "how",
    "there",
    "photo",
    "picture",
    "of",
    "red",
    "green",
    "blue",
    "yellow",
    "white",
    "black",
    "dog",
    "cat",
    "car",
    "boat",
    "grass",
    "water",
    "street",
    "snow",
    "sits",
    "drives",
    "swims",
    "yes",
    "no",
    "two",
    "one",
]


def write_vision(folder: Path) -> Path:
    """A picture trunk of 64 pixels with random weights, its normalisation fitted to noise so that pictures differ."""
    torch.manual_seed(11)
    config = VisionConfig(side=SIDE)
    trunk = PictureTrunk(config)
    for module in trunk.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        trunk.train()(torch.randn(8, 3, SIDE, SIDE))
    checkpoint.write(
        folder, CheckpointConfig(task="vision", net=asdict(config)), checkpoint.pack(trunk.eval().state_dict())
    )
    return folder


def tokenizer_json() -> str:
    """One token per word, [CLS] in front and [SEP] behind."""
    vocabulary = {word: i for i, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    return str(tokenizer.to_str())


def write_text(folder: Path) -> Path:
    """A text encoder of one layer."""
    torch.manual_seed(12)
    config = TextConfig(vocabulary=len(WORDS) + 4, width=32, layers=1, heads=2, hidden=64, positions=32, max_tokens=16)
    encoder = TextEncoder(config)
    packed = checkpoint.pack(encoder.state_dict())
    checkpoint.write(
        folder,
        CheckpointConfig(task="text", net=asdict(config)),
        packed,
        extra={"tokenizer.json": tokenizer_json()},
    )
    return folder


COLORS = {"red": (210, 30, 30), "blue": (30, 40, 210), "green": (30, 190, 40), "white": (240, 240, 240)}
THINGS = ("dog", "car")


def draw(color: str, thing: str, seed: int) -> Image.Image:
    """A disc (dog) or a bar (car) of a colour on a noisy ground."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    shape = (x - 32) ** 2 + (y - 32) ** 2 < 400 if thing == "dog" else abs(y - 32) < 9
    pixels[shape] = COLORS[color]
    return Image.fromarray(pixels)


def _rows(file: Path, rows: Sequence[dict[str, object]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_pictures(folder: Path, *, train: int = 10, validation: int = 4) -> Path:
    """A data set with splits: drawings with captions, and questions about their thing and colour."""
    for split, count in (("train", train), ("validation", validation)):
        place = folder / split
        place.mkdir(parents=True)
        captions: list[dict[str, object]] = []
        questions: list[dict[str, object]] = []
        for i in range(count):
            thing, color = THINGS[i % 2], list(COLORS)[i // 2 % len(COLORS)]
            name = f"{i}.png"
            draw(color, thing, i if split == "train" else 100 + i).save(place / name)
            captions.append(
                {"file_name": name, "captions": [f"a {color} {thing} on the grass", f"there is a {color} {thing}"]}
            )
            questions.append({"file_name": name, "question": "what is it in the picture", "answer": thing})
            questions.append({"file_name": name, "question": "what color is it", "answer": color})
        _rows(place / "captions.jsonl", captions)
        _rows(place / "questions.jsonl", questions)
    return folder
