"""Rows for task "ask": questions as token states or as learned words, and what a base allows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from mmdemo.core.config import CheckpointConfig, Scalar
from mmdemo.core.errors import MmdemoError
from mmdemo.data.prepare import DatasetSplits, Encoders, TrainingData
from mmdemo.data.prepare.ask import prepare_ask
from mmdemo.data.read import read_examples
from mmdemo.models.encoders import load_text, load_vision
from mmdemo.tasks import TASKS
from tests.small_bases import write_pictures, write_text, write_vision

SMALL: Mapping[str, Scalar] = {"width": 16, "layers": 1, "heads": 2}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ask")
    write_vision(root / "vision-base")
    write_text(root / "text-base")
    write_pictures(root / "pictures", train=6, validation=2)
    return root


@pytest.fixture
def prepare(place: Path, monkeypatch: pytest.MonkeyPatch):
    """Calls the preparation with settings of the network, the base's configuration, and the part that may lack."""
    monkeypatch.setenv("MMDEMO_CACHE", str(place / "cache"))

    def call(net: Mapping[str, Scalar], same: CheckpointConfig | None = None, *, text: bool = True) -> TrainingData:
        sources = DatasetSplits(
            train=read_examples("ask", [place / "pictures"], split="train"),
            validation=read_examples("ask", [place / "pictures"], split="validation"),
            options={"least": 1},
        )
        part = load_text(place / "text-base") if text else None
        bases = Encoders(vision=load_vision(place / "vision-base"), text=part, same=same)
        return prepare_ask(sources, bases, {**SMALL, **net}, None)

    return call


def test_a_text_encoder_reads_unless_told_otherwise(prepare) -> None:
    prepared = prepare({})
    assert set(prepared.config.parts) == {"vision", "text"}
    assert prepared.config.settings == {}
    assert prepared.config.net["text_width"] == 32
    asked = prepared.train[0].questions[0]
    assert asked.tokens.dtype == np.float16
    assert asked.tokens.shape[1] == 32


def test_an_lstm_learns_its_words_and_needs_no_text_encoder(prepare) -> None:
    prepared = prepare({"question": "lstm", "fusion": "co-attention"}, text=False)
    config = prepared.config
    assert set(config.parts) == {"vision"}
    words = config.settings["question_words"]
    assert set(words) == {"what", "is", "it", "in", "the", "picture", "color"}
    assert config.net["question_words"] == len(words)
    assert "text_width" not in config.net
    asked = [question.tokens for question in prepared.train[0].questions]
    assert [[words[i - 1] for i in tokens] for tokens in asked] == [
        ["what", "is", "it", "in", "the", "picture"],
        ["what", "color", "is", "it"],
    ]
    net = TASKS["ask"].build(config)
    assert TASKS["ask"].outputs(net.eval().requires_grad_(False), TASKS["ask"].collate(prepared.validation))


def test_a_base_keeps_its_words(prepare) -> None:
    same = prepare({"question": "lstm"}).config
    same = CheckpointConfig(task="ask", net=same.net, labels=same.labels, settings={"question_words": ("what", "it")})
    prepared = prepare({}, same, text=False)
    assert prepared.config.settings["question_words"] == ("what", "it")
    assert prepared.config.net["question_words"] == 2
    assert prepared.train[0].questions[0].tokens.tolist() == [1, 0, 2, 0, 0, 0]


def test_another_fusion_than_the_bases_starts_from_the_encoders(prepare) -> None:
    same = prepare({}).config
    assert prepare({"fusion": "cross-attention", "ablate_image": True}, same).config.net["ablate_image"] is True
    for changed, words in (
        ({"fusion": "early"}, r"net.fusion is early, and the base of this run was made with cross-attention"),
        ({"question": "lstm"}, r"net.question is lstm, .* made with minilm"),
        ({"ablate_question": True}, r"net.ablate_question is True, .* made with False.*--base checkpoints"),
    ):
        with pytest.raises(MmdemoError, match=words):
            prepare(changed, same)


def test_settings_that_cannot_be_are_refused_before_any_feature_is_made(prepare) -> None:
    with pytest.raises(MmdemoError, match=r"fusion is 'lait'.*of which late is the nearest"):
        prepare({"fusion": "lait"})
    with pytest.raises(MmdemoError, match=r"question must be one|question is 'bert'"):
        prepare({"question": "bert"})
    with pytest.raises(MmdemoError, match=r"leave nothing to answer from"):
        prepare({"ablate_image": True, "ablate_question": True})
