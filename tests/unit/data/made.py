"""Pictures, clips and tables made for the tests of reading and parting."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile as sf
from PIL import Image


def write_picture(file: Path, seed: int) -> Path:
    """A small picture of its own."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    return file


def write_clip(file: Path, seed: int, *, seconds: float = 0.6, level: float = 0.3) -> Path:
    """A short noisy clip at 16 kHz."""
    file.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).standard_normal(int(seconds * 16_000)) * level / 4
    sf.write(file, samples.astype(np.float32), 16_000, subtype="PCM_16")
    return file


def write_csv(file: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """A table with the first row's keys as columns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def write_parquet(file: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """The same as parquet."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), file)
    return file


def write_classes(folder: Path, labels: Sequence[str], each: int) -> Path:
    """Class folders with pictures, all different."""
    for number, label in enumerate(labels):
        for one in range(each):
            write_picture(folder / label / f"{one}.png", 1000 * number + one)
    return folder
