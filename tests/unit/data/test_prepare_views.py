"""From examples to rows: what they hold of pictures and clips, by what is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from mmdemo.core.errors import MmdemoError
from mmdemo.data.prepare import PREPARE, DatasetSplits, Encoders, TrainingData
from mmdemo.data.read import read_examples
from mmdemo.models.encoders import load_text, load_vision
from mmdemo.nets.speech import EmotionNet, SpeechConfig, SpeechEncoder
from mmdemo.tasks.tune import Tune
from tests.small_bases import THINGS, draw, write_pictures, write_text, write_vision
from tests.sounds import speech_like


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Encoders:
    root = tmp_path_factory.mktemp("bases")
    return Encoders(vision=load_vision(write_vision(root / "vision")), text=load_text(write_text(root / "text")))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))


NETS = {
    "ask": {"width": 16, "layers": 1, "heads": 2},
    "caption": {"width": 16, "layers": 1, "heads": 2},
    "classify": {"hidden": 16},
    "vision": {},
}


def prepared(task: str, data: Path, bases: Encoders, *, tune: str = "head", **options: int | bool) -> TrainingData:
    train, held = (read_examples(task, [data], split=split) for split in ("train", "validation"))
    least = {"ask": {"least": 1}, "caption": {"least": 1}}.get(task, {})
    sources = DatasetSplits(train=train, validation=held, options={**least, **options}, tune=Tune.parse(tune))
    return PREPARE[task](sources, bases, NETS[task], None)


@pytest.mark.parametrize("task", ["ask", "caption", "classify", "vision"])
@pytest.mark.parametrize(("tune", "shape"), [("head", (1280, 2, 2)), ("last:2", (120, 4, 4)), ("lora", (64, 64, 3))])
def test_rows_hold_what_lies_below_all_that_is_trained(
    task: str, tune: str, shape: tuple[int, ...], tmp_path: Path, bases: Encoders
) -> None:
    data = write_pictures(tmp_path / "data", train=6, validation=2)
    found = prepared(task, data, bases, tune=tune, crops=1)
    wanted = shape[:1] if task == "classify" and tune == "head" else shape
    assert found.train
    for row in found.train:
        assert len(row.views) == 3
        assert all(view.shape == wanted and isinstance(view, np.memmap) for view in row.views)
    assert {len(row.views) for row in found.validation} == {1}
    if task == "classify":
        assert all((row.imagenet is not None) is (tune != "head") for row in found.train)
        assert {row.group for row in found.train} == {-1}


def test_questions_of_left_and_right_are_not_asked_of_the_mirror_image(tmp_path: Path, bases: Encoders) -> None:
    data = write_pictures(tmp_path / "data", train=4, validation=2)
    table = data / "train" / "questions.jsonl"
    table.write_text(table.read_text().replace("what color is it", "is it on the left", 1))
    found = prepared("ask", data, bases, crops=1)
    assert sorted(len(row.views) for row in found.train) == [2, 3, 3, 3, 3]
    assert {len(row.views) for row in prepared("ask", data, bases, mirror=False, crops=2).train} == {3}


@pytest.mark.parametrize(("task", "option"), [("caption", "crops"), ("sentiment", "views")])
def test_there_are_no_fewer_than_no_views(task: str, option: str, tmp_path: Path, bases: Encoders) -> None:
    data = read_examples("caption", [write_pictures(tmp_path / "data", train=4, validation=2)], split="train")
    with pytest.raises(MmdemoError, match=rf"data\.{option} must not be below 0: it is -1"):
        PREPARE[task](DatasetSplits(train=data, validation=data, options={option: -1}), bases, NETS.get(task, {}), None)


def test_pictures_of_one_class_are_one_group(tmp_path: Path, bases: Encoders) -> None:
    for split in ("train", "validation"):
        for thing in THINGS:
            (tmp_path / split / thing).mkdir(parents=True)
            for i in range(3):
                draw("red", thing, i + 10 * (split == "train")).save(tmp_path / split / thing / f"{i}.png")
    found = prepared("classify", tmp_path, bases)
    groups = [row.group for row in found.train]
    assert sorted(groups) == [0, 0, 0, 1, 1, 1]
    assert {row.group for row in found.validation} == {0, 1}


def test_speech_rows_bring_features_where_the_encoder_stays(tmp_path: Path) -> None:
    lines = []
    for i in range(6):
        voice = speech_like(0.5, rate=16_000, seed=i)
        sf.write(tmp_path / f"{i}.wav", voice, 16_000)
        lines.append(f'{{"file_name": "{i}.wav", "label": "{("happy", "sad")[i % 2]}", "speaker": "s{i}"}}\n')
    (tmp_path / "metadata.jsonl").write_text("".join(lines))
    data = read_examples("sentiment", [tmp_path], split="train")
    torch.manual_seed(0)
    shape = {"width": 16, "heads": 2, "layers": 1, "inner": 32, "mel_bins": 20, "pooling": 4}
    speech = SpeechEncoder(width=16, heads=2, layers=2, inner=32, mel_bins=20)

    def rows(tune: str, bases: Encoders, net: dict[str, int] = shape, **more: bool) -> TrainingData:
        options = {"views": 2, **more}
        sources = DatasetSplits(train=data, validation=data, options=options, tune=Tune.parse(tune))
        return PREPARE["sentiment"](sources, bases, net, None)

    head = rows("head", Encoders(speech=speech))
    assert {(len(row.features), row.learning) for row in head.train} == {(3, True)}
    assert {(len(row.features), row.learning) for row in head.validation} == {(1, False)}
    assert all(isinstance(row.features[0], np.memmap) and isinstance(row.samples, np.memmap) for row in head.train)
    assert {row.features for row in rows("last:1", Encoders(speech=speech)).train} == {()}
    assert {row.features for row in rows("head", Encoders()).train} == {()}

    emotion = EmotionNet(SpeechConfig(**shape, labels=2)).eval()
    with torch.no_grad():
        emotion.pooling.score.weight.add_(0.5)
    own = rows("head", Encoders(same=None, emotion=emotion))
    assert not np.array_equal(own.train[0].features[0], head.train[0].features[0])
    with pytest.raises(MmdemoError, match=r"base does not fit the network.*distil a speech encoder first"):
        rows("head", Encoders(speech=speech), {**shape, "width": 32})

    crossed = rows("head", Encoders(speech=speech), cross_fit=True)
    assert (crossed.crossed, list(crossed.validation)) == (True, [])
    assert [row.group for row in crossed.train] == [0, 1, 2, 3, 4, 5]
    assert {row.group for row in head.train} == {-1}
    data = replace(data, examples=data.examples[:5])
    with pytest.raises(MmdemoError, match=r"the data name 5 and 6 are needed"):
        rows("head", Encoders(speech=speech), cross_fit=True)
    data = replace(data, examples=(replace(data.examples[0], group=None), *data.examples[1:]))
    with pytest.raises(MmdemoError, match=r"of 1 clips no speaker is named"):
        rows("head", Encoders(speech=speech), cross_fit=True)


def test_what_is_named_first_counts_more_often(tmp_path: Path) -> None:
    for corpus, clips in (("mine", 2), ("theirs", 4)):  # the first is not the largest
        for i in range(clips):
            (tmp_path / corpus / ("happy", "sad")[i % 2]).mkdir(parents=True, exist_ok=True)
            voice = speech_like(0.5, rate=16_000, seed=i + 10 * (corpus == "mine"))
            sf.write(tmp_path / corpus / ("happy", "sad")[i % 2] / f"{i}.wav", voice, 16_000)
    data = read_examples("sentiment", [tmp_path / "mine", tmp_path / "theirs"], split="train")
    shape = {"width": 16, "heads": 2, "layers": 1, "inner": 32, "mel_bins": 20, "pooling": 4}

    def count(times: int) -> int:
        sources = DatasetSplits(train=data, validation=data, options={"repeat_first": times})
        return len(PREPARE["sentiment"](sources, Encoders(), shape, None).train)

    assert (count(1), count(3)) == (6, 10)
    with pytest.raises(MmdemoError, match=r"data\.repeat_first must not be below 1: it is 0"):
        count(0)
