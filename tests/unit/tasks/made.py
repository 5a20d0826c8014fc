"""Rows and small networks of every task, made by hand: eight examples each."""

from __future__ import annotations

import numpy as np

from mmdemo.core.config import CheckpointConfig
from mmdemo.nets.decoder import SPECIAL
from mmdemo.tasks.ask import AnswerTarget, AskRow
from mmdemo.tasks.caption import CaptionRow
from mmdemo.tasks.classify import ClassifyRow
from mmdemo.tasks.sentiment import SentimentRow
from mmdemo.tasks.vision import VisionRow

COUNT = 8


def _unit(random: np.random.Generator, *shape: int) -> np.ndarray:
    vectors = random.normal(size=shape)
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def ask_rows(*, words: bool = False) -> list[AskRow]:
    """Two questions of different length about each picture, as states or as words; the answer depends on both."""
    random = np.random.default_rng(0)
    grids = random.integers(0, 256, (COUNT, 6, 2, 2), dtype=np.uint8)
    questions = [random.normal(size=(length, 12)).astype(np.float16) for length in (3, 5)]
    if words:
        questions = [np.array(question, np.int64) for question in ((1, 2, 3), (4, 2, 0, 3, 5))]
    return [
        AskRow(
            views=(grids[i],),
            questions=tuple(
                AnswerTarget(tokens=states, target={(i + q) % 4: 1.0}, right={(i + q) % 4: 1.0})
                for q, states in enumerate(questions)
            ),
            learning=True,
        )
        for i in range(COUNT)
    ]


def caption_rows() -> list[CaptionRow]:
    """Captions of three to five words."""
    random = np.random.default_rng(1)
    grids = random.integers(0, 256, (COUNT, 6, 2, 2), dtype=np.uint8)
    return [
        CaptionRow(views=(grids[i],), captions=(tuple(random.integers(SPECIAL, 12, 3 + i % 3).tolist()),))
        for i in range(COUNT)
    ]


def classify_rows() -> list[ClassifyRow]:
    """One text for each picture."""
    random = np.random.default_rng(2)
    return [
        ClassifyRow(views=(random.random(6).astype(np.float32) * 6,), texts=_unit(random, 1, 5)) for _ in range(COUNT)
    ]


def sentiment_rows() -> list[SentimentRow]:
    """Tones whose pitch says the label; not changed at random."""
    random = np.random.default_rng(3)
    rows = []
    for i in range(COUNT):
        time = np.arange(4000 + 300 * i) / 16_000
        tone = 0.1 * np.sin(2 * np.pi * (200 + 400 * (i % 3)) * time) + 0.002 * random.normal(size=len(time))
        rows.append(SentimentRow(samples=tone.astype(np.float32), label=i % 3, learning=False))
    return rows


def vision_rows() -> list[VisionRow]:
    """Pictures below the cut; every other one with captions, the others with questions only."""
    random = np.random.default_rng(4)
    return [
        VisionRow(
            views=(random.normal(size=(120, 4, 4)).astype(np.float16),),
            texts=_unit(random, 1, 8),
            words=(i % 3,),
            complete=i % 2 == 0,
            teacher=random.normal(size=1000).astype(np.float16),
            asked=tuple((vector, (i + q) % 4) for q, vector in enumerate(_unit(random, i % 3, 8))),
        )
        for i in range(COUNT)
    ]


ROWS = {
    "ask": ask_rows,
    "caption": caption_rows,
    "classify": classify_rows,
    "sentiment": sentiment_rows,
    "vision": vision_rows,
}

CONFIGS = {
    "ask": CheckpointConfig(
        task="ask",
        net={
            "answers": 4,
            "width": 32,
            "layers": 1,
            "heads": 2,
            "dropout": 0.0,
            "text_width": 12,
            "channels": 6,
            "grid": 2,
        },
        labels=("dog", "cat", "yes", "no"),
    ),
    "caption": CheckpointConfig(
        task="caption",
        net={
            "words": 12,
            "width": 32,
            "layers": 1,
            "heads": 2,
            "dropout": 0.0,
            "positions": 16,
            "channels": 6,
            "grid": 2,
        },
        labels=("<start>", "<end>", "<unknown>", "<pad>", "a", "red", "dog", "cat", "on", "the", "grass", "car"),
    ),
    "classify": CheckpointConfig(
        task="classify", net={"channels": 6, "hidden": 32, "text_width": 5, "text_hidden": 8, "dropout": 0.0}
    ),
    "sentiment": CheckpointConfig(
        task="sentiment",
        net={
            "width": 16,
            "heads": 2,
            "layers": 1,
            "inner": 32,
            "mel_bins": 20,
            "labels": 3,
            "pooling": 4,
            "dropout": 0.0,
        },
        labels=("neutral", "happy", "sad"),
    ),
    "vision": CheckpointConfig(
        task="vision",
        net={"side": 64},
        labels=("dog", "car", "grass"),
        settings={"text_width": 8, "answers": 4},
    ),
}
