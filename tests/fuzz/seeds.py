"""Valid inputs that cases are made from; what takes time to make is made once."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from functools import cache as once
from pathlib import Path
from typing import Any

import numpy as np

from mmdemo.core.settings import ROOT

README = """---
license: mit
tags:
- a
language: en
---

# A card

![here](a.png) [there](https://x.invalid/y) <b>bold</b>

| figure | value |
|---|---|
| accuracy | 0.5 |
"""
ROWS: list[dict[str, Any]] = [
    {"file_name": "a.png", "label": "cat", "speaker": "s1", "split": "train"},
    {"file_name": "b.png", "captions": ["a cat", "the cat"], "scores": {"cat": 0.5, "dog": 0.5}},
    {"file_name": "a.png", "question": "what?", "answer": "cat", "answers": [{"answer": "cat"}]},
]
CSV = 'file_name,label,scores\na.png,cat,"{""cat"": 1}"\nb.png,"dog, big","[1, 2]"\n'
METRICS = {
    "command": "train",
    "metrics": [{"name": "accuracy", "value": 0.5, "low": 0.4, "high": 0.6, "n": 10, "data": "mine"}],
    "notes": ["a note"],
}
HUB_CONFIG: dict[str, Any] = {"model_type": "clip", "architectures": ["CLIPModel"], "vision_config": {"image_size": 8}}
HUB: dict[str, Any] = {
    "config.json": HUB_CONFIG,
    "open_clip_config.json": {
        "model_cfg": {"embed_dim": 8, "vision_cfg": {"image_size": 8}, "text_cfg": {"width": 8}},
        "preprocess_cfg": {"mean": [0.5, 0.5, 0.5]},
    },
    "model.safetensors.index.json": {"metadata": {}, "weight_map": {"a": "model.safetensors"}},
}
DATASET = {"format": 1, "task": "classify", "classes": ["cat", "dog"]}
TAUGHT: list[dict[str, Any]] = [
    {"file_name": "files/a.png", "label": "cat", "id": "1", "added": 1.7e9},
    {"file_name": "files/a.png", "label": "dog", "speaker": "x", "id": "2", "added": 5},
]
EVENTS: list[dict[str, Any]] = [
    {"time": 1.7e9, "step": 1, "epoch": 0.5, "loss": 2.0},
    {"time": 1.7e9, "step": 2, "epoch": 1.0, "accuracy": 0.5},
]
RUN: dict[str, Any] = {
    "status.json": {
        "state": "stopped",
        "pid": 1,
        "born": "x",
        "time": 1.7e9,
        "seconds": 5.0,
        "metric": "accuracy",
        "step": 2,
        "steps": 4,
        "epoch": 1.0,
        "loss": 2.0,
        "figures": {"accuracy": 0.5},
        "speed": 1.0,
        "seconds_left": 3.0,
    },
    "request.json": {
        "task": "ask",
        "request": {"task": "ask", "data": ["x"]},
        "arguments": ["ask", "--data", "x"],
        "data": ["x"],
        "device": "cpu",
        "created": 1.7e9,
    },
    "plan.json": {
        "task": "ask",
        "settings": {"train": {"epochs": 2.0, "metric": "accuracy"}},
        "data": ["x"],
        "command": "c",
    },
    "exit.json": {"code": 1, "signal": None, "time": 1.7e9},
    "supervisor.json": {"pid": 1, "born": "x", "child": 2, "child_born": "y"},
    "learned.json": {"train": ["a"], "validation": ["b"]},
    "config.toml": b"[train]\nepochs = 2.0\n",
    "events.jsonl": "\n".join(map(json.dumps, EVENTS)).encode(),
    "stop": b"stop",
    "output.txt": b"words\n",
}


@once
def pictures() -> list[bytes]:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    found = [
        _saved(image, kind) for kind in ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "ICO", "PPM", "TGA", "JPEG2000")
    ]
    frames = io.BytesIO()
    image.save(frames, "GIF", save_all=True, append_images=[image.rotate(90)], duration=100)
    deep = Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 256)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = io.BytesIO()
    image.save(turned, "JPEG", exif=exif)
    return [*found, frames.getvalue(), _saved(deep, "PNG"), turned.getvalue(), _saved(image.convert("P"), "PNG")]


def _saved(image: Any, kind: str) -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


@once
def sounds() -> list[bytes]:
    import soundfile

    samples = (np.sin(np.arange(4000) * 0.2) * 0.3).astype(np.float32)
    found = []
    for kind, subtype in (
        *(("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "PCM_24"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")),
        *(("MP3", None), ("AIFF", "PCM_16"), ("WAV", "ULAW")),
    ):
        out = io.BytesIO()
        soundfile.write(
            out, np.stack([samples, samples], 1) if subtype == "FLOAT" else samples, 16_000, subtype, format=kind
        )
        found.append(out.getvalue())
    return found


@once
def parquet() -> bytes:
    import pyarrow
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pyarrow.table({"file_name": ["a.png", "b.png"], "label": ["cat", "dog"], "scores": [[1], [2]]}), out)
    return out.getvalue()


@once
def tensors() -> bytes:
    from safetensors.numpy import save

    return save({"a": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float16)})


@once
def tokenizer() -> Any:
    from tests.small_bases import tokenizer_json

    return json.loads(tokenizer_json())


@once
def config(task: str) -> str:
    return (ROOT / "configs" / f"{task}.toml").read_text(encoding="utf-8")


# ---------------------------------------------------------------- checkpoints


@once
def _written() -> Path:
    """Two small checkpoints that work, with the part of one, for the life of the process."""
    import torch

    from mmdemo.core.config import CheckpointConfig, EncoderRef
    from mmdemo.models import checkpoint, probe
    from mmdemo.models.loading import read
    from mmdemo.nets.decoder import CaptionConfig, CaptionDecoder
    from mmdemo.nets.speech import EmotionNet, SpeechConfig
    from tests.small_bases import write_vision

    root = Path(tempfile.mkdtemp(prefix="fuzz-checkpoints-"))
    os.environ["MMDEMO_CHECKPOINTS"] = str(root)
    vision = write_vision(root / "vision-base")
    shape = {"width": 16, "heads": 2, "layers": 1, "inner": 32, "mel_bins": 20, "labels": 3, "pooling": 4}
    caption = {"words": 6, "width": 16, "layers": 1, "heads": 2, "positions": 12, "channels": 1280, "grid": 2}
    parts = {"vision": EncoderRef(name="vision-base", hash=checkpoint.weights_hash(vision))}
    names = ("<start>", "<end>", "<unknown>", "<pad>", "a", "dog")
    torch.manual_seed(0)
    for config, net in (
        (CheckpointConfig(task="sentiment", net=shape, labels=("a", "b", "c")), EmotionNet(SpeechConfig(**shape))),
        (
            CheckpointConfig(task="caption", net=caption, labels=names, parts=parts),
            CaptionDecoder(CaptionConfig(**caption)),
        ),
    ):
        folder = root / f"{config.task}-base"
        checkpoint.write(folder, config, checkpoint.pack(net.state_dict()), extra={"metrics.json": json.dumps(METRICS)})
        (folder / probe.FILE).write_text(probe.record(read(folder, device="cpu")), encoding="utf-8")
    return root


def checkpoints(folder: Path, *, empty: bool = False) -> Path:
    """The folder of checkpoints of a case: links to those that work, or nothing."""
    known = dict(os.environ)
    written = None if empty else _written()
    os.environ.update(known)
    root = folder / "checkpoints"
    root.mkdir()
    os.environ["MMDEMO_CHECKPOINTS"] = str(root)
    cache(folder)
    for place in written.iterdir() if written is not None else ():
        (root / place.name).symlink_to(place)
    return root


def link(source: Path, place: Path) -> None:
    """A copy whose large file is a link until the case writes another one."""
    place.mkdir()
    for file in source.iterdir():
        shutil.copyfile(file, place / file.name)


def cache(folder: Path) -> None:
    os.environ["MMDEMO_CACHE"] = str(folder / "cache")
    os.environ["HF_HOME"] = str(folder / "hf")


def datasets(folder: Path) -> Path:
    os.environ["MMDEMO_DATASETS"] = str(folder / "datasets")
    checkpoints(folder, empty=True)
    return folder / "datasets"


@once
def model_entries() -> dict[str, bytes]:
    place = _written() / "sentiment-base"
    return {f"sound/{file.name}": file.read_bytes() for file in place.iterdir()}


@once
def data_entries() -> dict[str, bytes]:
    rows = "".join(json.dumps({"file_name": f"{i}.png", "label": "cat"}) + "\n" for i in range(2))
    return {
        "set/metadata.jsonl": rows.encode(),
        "set/0.png": pictures()[0],
        "set/1.png": pictures()[0],
        "set/a.md": b"#",
    }


@once
def stored() -> dict[str, bytes]:
    """Files of a feature store with three rows."""
    from mmdemo.data.features import Store, text_key

    before = os.environ.get("MMDEMO_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MMDEMO_CACHE"] = folder
        store = Store("words", "x")
        with store.lock():
            store.append("a", [text_key(str(i)) for i in range(3)], np.ones((3, 4), np.float32))
        found = {name: (store.folder / name).read_bytes() for name in ("a.json", "a.keys", "a.rows")}
    os.environ["MMDEMO_CACHE"] = before or ""
    return found
