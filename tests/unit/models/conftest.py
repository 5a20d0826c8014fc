"""A folder of small checkpoints, written once and copied for each test."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmdemo.core.config import CheckpointConfig, EncoderRef
from mmdemo.models import checkpoint, probe
from mmdemo.models.loading import read
from mmdemo.nets.decoder import CaptionConfig, CaptionDecoder
from mmdemo.nets.fusion import AskConfig, CrossAttentionFusion
from mmdemo.nets.shared_space import ClassifyConfig, TextSpace
from mmdemo.nets.speech import EmotionNet, SpeechConfig
from tests.small_bases import WORDS, write_text, write_vision

SENTIMENT = CheckpointConfig(
    task="sentiment",
    net={"width": 16, "heads": 2, "layers": 1, "inner": 32, "mel_bins": 20, "labels": 3, "pooling": 4},
    labels=("neutral", "happy", "sad"),
)
CAPTION_NET = {"words": 10, "width": 16, "layers": 1, "heads": 2, "positions": 12, "channels": 1280, "grid": 2}
ASK_NET = {"answers": 6, "width": 16, "layers": 1, "heads": 2, "text_width": 32, "channels": 1280, "grid": 2}
CLASSIFY_NET = {"channels": 1280, "hidden": 16, "text_width": 32}


def _finish(root: Path, name: str, config: CheckpointConfig, net: torch.nn.Module) -> None:
    folder = root / name
    with torch.no_grad():  # layers that start at 0 would make every wrong weight look right
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    checkpoint.write(folder, config, checkpoint.pack(net.state_dict()))
    (folder / probe.FILE).write_text(probe.record(read(folder, device="cpu")), encoding="utf-8")
    (folder / "README.md").write_text(f"# {name}\n", encoding="utf-8")


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shipped checkpoint of every task with its parts; not to be changed."""
    root = tmp_path_factory.mktemp("checkpoints")
    vision, text = write_vision(root / "vision-base"), write_text(root / "text-base")
    parts = {
        "vision": EncoderRef(name="vision-base", hash=checkpoint.weights_hash(vision)),
        "text": EncoderRef(name="text-base", hash=checkpoint.weights_hash(text)),
    }
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMDEMO_CHECKPOINTS", str(root))
        _finish(root, "sentiment-base", SENTIMENT, EmotionNet(SpeechConfig(**SENTIMENT.net)))
        names = ("<start>", "<end>", "<unknown>", "<pad>", "a", "red", "dog", "on", "the", "grass")
        config = CheckpointConfig(task="caption", net=CAPTION_NET, labels=names, parts={"vision": parts["vision"]})
        _finish(root, "caption-base", config, CaptionDecoder(CaptionConfig(**CAPTION_NET)))
        answers = ("dog", "cat", "red", "blue", "yes", "no")
        config = CheckpointConfig(task="ask", net=ASK_NET, labels=answers, parts=parts)
        _finish(root, "ask-base", config, CrossAttentionFusion(AskConfig(**ASK_NET)))
        settings = {"templates": ("a photo of a {}", "{}"), "bank": tuple(WORDS), "known_weight": 0.5}
        config = CheckpointConfig(
            task="classify",
            net=CLASSIFY_NET,
            labels=tuple(WORDS[i % len(WORDS)] for i in range(1000)),
            settings=settings,
            parts=parts,
        )
        _finish(root, "classify-base", config, TextSpace(ClassifyConfig(**CLASSIFY_NET)))
    return root


@pytest.fixture
def root(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of them as the folder of checkpoints, with a cache beside it."""
    place = tmp_path / "checkpoints"
    shutil.copytree(written, place)
    monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(place))
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))
    return place


def change_config(folder: Path, **changes: object) -> None:
    """Write a checkpoint's configuration anew with other fields."""
    config = replace(checkpoint.read_config(folder), **changes)  # type: ignore[arg-type]
    (folder / "config.json").write_text(config.to_json(), encoding="utf-8")
