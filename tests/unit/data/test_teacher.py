"""What a teacher says of training rows: computed once, found by name, kept in the cache."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from safetensors.torch import load_file

from mmdemo.core.config import CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import cache_root
from mmdemo.data.prepare import PREPARE, DatasetSplits, Encoders, TrainingData
from mmdemo.data.read import read_examples
from mmdemo.data.teacher import speech_teacher, teacher_outputs
from mmdemo.media.image import load_picture
from mmdemo.models import checkpoint, encoders, load, probe
from mmdemo.models.ask import AskModel
from mmdemo.models.loading import read
from mmdemo.nets.speech import SpeechConfig, SpeechEncoder
from mmdemo.tasks import TASKS
from mmdemo.tasks.ask import AskRow
from mmdemo.tasks.speech import encoder
from tests.small_bases import write_pictures
from tests.sounds import speech_like
from tests.unit.models.conftest import change_config

NETS: dict[str, dict[str, float | int | str | bool]] = {
    "ask": {"width": 16, "layers": 1, "heads": 2},
    "classify": {"hidden": 8},
    "sentiment": {"width": 16, "heads": 2, "layers": 1, "inner": 32, "mel_bins": 20, "pooling": 4},
}


def prepared(task: str, root: Path, data: Path) -> TrainingData:
    """A student's rows."""
    train = read_examples(task, [data], split="train")
    options = {"ask": {"least": 1}, "vision": {"words": 5}}.get(task, {})
    bases = Encoders(vision=encoders.load_vision(root / "vision-base"), text=encoders.load_text(root / "text-base"))
    validation = train.with_examples((), split="validation")
    sources = DatasetSplits(train=train, validation=validation, options=options)
    return PREPARE[task](sources, Encoders() if task == "sentiment" else bases, NETS.get(task, {}), None)


def heard(task: str, rows: TrainingData, teacher: str, *, share: float = 0.5, epochs: float = 1) -> TrainingData:
    options = {"mirror": True}
    return teacher_outputs(task, rows, teacher, share=share, epochs=epochs, options=options, device="cpu", say=None)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "pictures", train=6, validation=2)


@pytest.fixture
def voices(tmp_path: Path) -> Path:
    place = tmp_path / "voices"
    place.mkdir()
    rows = []
    for i in range(6):
        sf.write(place / f"{i}.wav", speech_like(0.8, rate=16_000, seed=i), 16_000)
        rows.append({"file_name": f"{i}.wav", "label": ("sad", "happy", "angry")[i % 3], "speaker": f"s{i}"})
    (place / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return place


def said_of(rows: TrainingData) -> np.ndarray:
    return np.stack([q.soft.over_labels() for row in rows.train for q in row.questions])


def test_a_teacher_of_questions_is_asked_as_people_would_ask_it(root: Path, pictures: Path) -> None:
    student = prepared("ask", root, pictures)
    labels = student.config.labels
    told = heard("ask", student, "ask-base")
    assert told.config == student.config
    teacher = load("ask", "ask-base", device="cpu")
    assert isinstance(teacher, AskModel)
    theirs = teacher.config.labels
    shared = [label for label in labels if label in theirs]
    assert shared
    assert set(shared) != set(labels)
    assert set(shared) != set(theirs)
    said, wanted = [], []
    for row in told.train:
        assert isinstance(row, AskRow)
        assert row.file is not None
        grid = teacher.pictures.encode([load_picture(row.file)])[0].grid
        for question in row.questions:
            with torch.inference_mode():
                logits = teacher._fused(grid[None], [question.question]).logits[0].numpy()
            assert question.soft is not None
            for label, value in zip(labels, question.soft.over_labels().tolist(), strict=True):
                if label in theirs:
                    said.append(value)
                    wanted.append(float(logits[theirs.index(label)]))
                else:
                    assert value == -np.inf
    assert np.corrcoef(said, wanted)[0, 1] > 0.95  # features are cached in few bits
    batch = TASKS["ask"].collate(told.train)
    assert batch["soft"].shape == (len(batch["picture"]), len(labels))


def test_the_order_of_a_teachers_labels_means_nothing(root: Path, pictures: Path) -> None:
    source, other = root / "ask-base", root / "turned"
    shutil.copytree(source, other)
    config = checkpoint.read_config(source)
    order = [3, 0, 5, 1, 4, 2]
    raw = load_file(source / checkpoint.WEIGHTS)
    for name in TASKS["ask"].label_rows:
        if name in raw:
            raw[name] = raw[name][order].contiguous()
    checkpoint.write(other, replace(config, labels=tuple(config.labels[i] for i in order)), raw)
    (other / probe.FILE).write_text(probe.record(read(other, device="cpu")), encoding="utf-8")
    student = prepared("ask", root, pictures)
    one, two = (said_of(heard("ask", student, name)) for name in ("ask-base", "turned"))
    finite = np.isfinite(one)
    assert finite.any()
    assert (finite == np.isfinite(two)).all()
    np.testing.assert_allclose(one[finite], two[finite], atol=1e-3)
    assert one[finite].std() > 0.01


def test_the_teachers_word_is_kept(root: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    student = prepared("ask", root, pictures)
    first = said_of(heard("ask", student, "ask-base"))
    stores = list((cache_root() / "features").glob("teacher_ask-*"))
    assert len(stores) == 1
    row = heard("ask", student, "ask-base").train[0].questions[0].soft
    assert isinstance(row.logits.base, np.memmap) or isinstance(row.logits, np.memmap)
    monkeypatch.setattr("mmdemo.data.teacher._outputs", None)  # not asked again
    assert (said_of(heard("ask", student, "ask-base")) == first).all()


def test_a_teacher_of_pictures_and_texts(root: Path, pictures: Path) -> None:
    student = prepared("classify", root, pictures)
    told = heard("classify", student, "classify-base")
    teacher = load("classify", "classify-base", device="cpu")
    for row in told.train:
        vector = teacher.encode_pictures([load_picture(row.file)])[0]  # type: ignore[attr-defined]
        mine = row.soft.astype(np.float32)
        assert float(mine @ vector / np.linalg.norm(mine)) > 0.9  # features are cached in few bits
        assert np.linalg.norm(mine) > 2  # with the teacher's scale
    config = checkpoint.read_config(root / "classify-base")
    other = replace(config.parts["text"], hash="0" * 64)
    change_config(root / "classify-base", parts={**config.parts, "text": other})
    fitting = replace(
        student, config=replace(student.config, parts=checkpoint.read_config(root / "classify-base").parts)
    )
    with pytest.raises(MmdemoError, match="text-base is not the one"):
        heard("classify", fitting, "classify-base")
    change_config(root / "classify-base", parts=config.parts)
    with pytest.raises(MmdemoError, match="reads texts with another encoder"):
        heard("classify", fitting, "classify-base")


def test_a_teacher_of_emotions(root: Path, voices: Path) -> None:
    student = prepared("sentiment", root, voices)
    assert student.config.labels == ("happy", "sad", "angry")
    told = heard("sentiment", student, "sentiment-base")  # it knows neutral, happy and sad
    teacher = load("sentiment", "sentiment-base", device="cpu")
    for row in told.train:
        samples = torch.from_numpy(np.array(row.samples)).float()
        with torch.inference_mode():
            logits = teacher.net(samples[None], torch.tensor([len(samples)])).logits[0]  # type: ignore[attr-defined]
        said = row.soft.over_labels()
        assert said[:2] == pytest.approx([float(logits[1]), float(logits[2])], abs=0.02)
        assert said[2] == -np.inf
    change_config(root / "sentiment-base", labels=("calm", "bored", "tired"))
    changed = probe.record(read(root / "sentiment-base", device="cpu"))
    (root / "sentiment-base" / probe.FILE).write_text(changed, encoding="utf-8")
    with pytest.raises(MmdemoError, match="it knows none of its emotions"):
        heard("sentiment", student, "sentiment-base")


def test_a_trunk_teaches_a_trunk(root: Path, pictures: Path) -> None:
    told = heard("vision", prepared("vision", root, pictures), "vision-base")
    net = TASKS["vision"].build(told.config)
    assert net.project is not None  # type: ignore[union-attr]
    row = told.train[0]
    assert len(row.soft) == len(row.views) == 2  # upright and mirrored
    vision = encoders.load_vision(root / "vision-base")
    with torch.inference_mode():
        stem = torch.from_numpy(np.array(row.views[1])).float()[None]
        found = vision.trunk.grid(stem)[0] if row.views[1].dtype == np.float16 else None
    if found is not None:
        np.testing.assert_allclose(row.soft[1] * (6 / 255), found.numpy(), atol=0.1)
    shipped = TASKS["vision"].shipped(net)
    assert not any("project" in name for name in shipped)
    assert bool(torch.isfinite(TASKS["vision"].loss(net, TASKS["vision"].collate(told.train))))


def test_speech_encoders(root: Path) -> None:
    shape = SpeechConfig(width=16, heads=2, layers=1, inner=32, mel_bins=20)
    torch.manual_seed(2)
    made = encoder(shape)
    checkpoint.write(
        root / "hears", CheckpointConfig(task="speech", net=asdict(shape)), checkpoint.pack(made.state_dict())
    )
    config = CheckpointConfig(task="speech", net={**NETS["sentiment"], "labels": 1})
    student = TrainingData(train=[], validation=[], config=config)
    for name in ("hears", "sentiment-base"):
        found = speech_teacher(name)
        assert isinstance(found, SpeechEncoder)
        told = heard("speech", student, name)
        net = TASKS["speech"].build(told.config)
        TASKS["speech"].start(net, {"speech": found})
        for mine, theirs in zip(net.teacher.parameters(), found.parameters(), strict=True):  # type: ignore[union-attr]
            assert torch.equal(mine, theirs)
    deaf = replace(student, config=replace(config, net={**config.net, "mel_bins": 40}))
    with pytest.raises(MmdemoError, match="it hears 20 mel bins, the student 40"):
        heard("speech", deaf, "hears")
    with pytest.raises(MmdemoError, match="Did you mean hears"):
        speech_teacher("heers")
    with pytest.raises(MmdemoError, match='it is a "vision" checkpoint'):
        speech_teacher("vision-base")


def test_who_cannot_be_taught_is_told(root: Path, pictures: Path) -> None:
    student = prepared("ask", root, pictures)
    with pytest.raises(MmdemoError, match="--teacher is not for caption"):
        heard("caption", student, "caption-base")
    with pytest.raises(MmdemoError, match=r"no model 'ask-bsae' for ask.*Did you mean ask-base"):
        heard("ask", student, "ask-bsae")
    with pytest.raises(MmdemoError, match="caption-base cannot serve ask"):
        heard("ask", student, "caption-base")
    with pytest.raises(MmdemoError, match=r"A teacher cannot be heard: train.epochs is 0"):
        heard("ask", student, "ask-base", epochs=0)


def test_a_teacher_without_a_share_is_not_asked_and_none_draws_from_the_students_chance(
    root: Path, pictures: Path
) -> None:
    student = prepared("ask", root, pictures)
    assert heard("ask", student, "ask-base", share=0.0) is student
    torch.manual_seed(7)
    before = torch.get_rng_state()
    heard("ask", student, "ask-base")
    assert torch.equal(torch.get_rng_state(), before)
