"""Every task trained from made data to a checkpoint that loads, proves itself and can be built upon."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from safetensors.torch import load_file, save_file

from mmdemo.core.errors import MmdemoError
from mmdemo.models import checkpoint, list_models, load, probe
from mmdemo.nets.speech import SpeechEncoder
from mmdemo.train import run
from mmdemo.train.settings import read_config
from tests.small_bases import write_pictures, write_text, write_vision
from tests.sounds import speech_like

NETS = {
    "ask": "width = 16\nlayers = 1\nheads = 2\ndropout = 0.0",
    "caption": "width = 16\nlayers = 1\nheads = 2\ndropout = 0.0",
    "classify": "hidden = 16\ndropout = 0.0",
    "sentiment": "width = 16\nheads = 2\nlayers = 1\ninner = 32\nmel_bins = 20\npooling = 4\ndropout = 0.0",
    "vision": "",
}
DATA = {"ask": "least = 1", "caption": "least = 1", "vision": "words = 20"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bases, pictures with captions and questions, voices of four speakers in two folds, a shared feature cache."""
    root = tmp_path_factory.mktemp("made")
    write_vision(root / "bases" / "vision-base")
    write_text(root / "bases" / "text-base")
    write_pictures(root / "pictures")

    torch.manual_seed(5)
    encoder = SpeechEncoder(width=16, heads=2, layers=2, inner=32, mel_bins=20)
    whisper = root / "bases" / "whisper-tiny.en-encoder"
    whisper.mkdir()
    settings = {
        "encoder_layers": 2,
        "d_model": 16,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "num_mel_bins": 20,
    }
    (whisper / "config.json").write_text(json.dumps(settings))
    save_file(dict(encoder.state_dict()), whisper / "model.safetensors")

    voices = root / "voices"
    voices.mkdir()
    rows = []
    for speaker in range(4):
        for i in range(4 if speaker else 20):  # labels with fewer than ten clips are not measured
            label = ("happy", "sad")[i % 2]
            name = f"s{speaker}_{i}.wav"
            voice = speech_like(0.8, rate=16_000, seed=10 * speaker + i)
            sf.write(voices / name, voice if label == "happy" else np.repeat(voice, 2)[: len(voice)], 16_000)
            gender = ("female", "male")[speaker % 2]
            rows.append({"file_name": name, "label": label, "speaker": f"s{speaker}", "gender": gender})
    (voices / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "folds.json").write_text(json.dumps({"made": [["s0"], ["s1"], ["s2"], ["s3"]]}))
    return root


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where checkpoints go; features are shared by all tests."""
    monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(tmp_path))
    monkeypatch.setenv("MMDEMO_CACHE", str(made / "cache"))
    for name in ("vision-base", "text-base"):
        (tmp_path / name).symlink_to(made / "bases" / name)
    return tmp_path


def configured(place: Path, task: str, *, train: str = "") -> Path:
    file = place / f"{task}.toml"
    settings = 'epochs = 8\nbatch_size = 4\nlearning_rate = 1e-2\nprecision = "fp32"\nsave_steps = 1000\n'
    file.write_text(
        f"[data]\n{DATA.get(task, '')}\n[net]\n{NETS[task]}\n[train]\n{settings}{train}\n"
        '[card]\nsummary = "Made for a test."\nlicence = "cc0-1.0"\nlimits = ["Knows next to nothing."]\n'
    )
    return file


def trained(made: Path, place: Path, task: str, out: str = "mine", overrides: Sequence[str] = ()) -> Path:
    """The command ``train``, on the made data."""
    sounds = task == "sentiment"
    done = run.main(
        task=task,
        data=[made / ("voices" if sounds else "pictures")],
        out=out,
        config=configured(place, task),
        base=str(made / "bases"),
        overrides=overrides,
        folds=made / "folds.json" if sounds else None,
        fold=0 if sounds else None,
        device="cpu",
    )
    assert done == 0
    return place / out


def events(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "trainer" / "events.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("task", ["ask", "caption", "classify", "sentiment"])
def test_from_data_to_a_model_that_is_listed_and_answers(made: Path, place: Path, task: str) -> None:
    folder = trained(made, place, task)
    model = load(task, "mine", device="cpu")  # repeats the probe
    assert len(model.predict(probe.requests(task))) == 2
    assert [card.id for card in list_models(task)] == ["mine"]
    card = list_models(task)[0]
    assert card.source == "trained here"
    assert card.summary == "Made for a test."
    assert "Knows next to nothing." in card.text
    told = json.loads((folder / "metrics.json").read_text())
    assert told["command"].startswith(f"python -m mmdemo train {task} --data")
    assert str(made) not in json.dumps(told)
    assert all(np.isfinite(metric["value"]) for metric in told["metrics"])

    seen = events(folder)
    losses = [event["loss"] for event in seen if "loss" in event]
    metric = {"ask": "accuracy", "caption": "minus_loss", "classify": "r10", "sentiment": "ua"}[task]
    figures = [event[metric] for event in seen if metric in event]
    assert len(figures) == 8
    assert max(figures) >= figures[0]
    assert np.isfinite(losses).all()
    assert len(losses) == (16 if task != "sentiment" else 8)
    if task != "sentiment":  # its head is fitted before the first step
        assert np.mean(losses[-4:]) < np.mean(losses[:4])
    plan = json.loads((folder / "trainer" / "plan.json").read_text())
    assert plan["settings"]["epochs"] == 8
    assert (folder / "trainer" / "config.toml").exists()


def test_a_trunk_is_tuned_and_shipped_without_its_heads(made: Path, place: Path) -> None:
    folder = trained(made, place, "vision", "vision-mine", ["train.epochs=2"])
    config = checkpoint.read_config(folder)
    assert config.task == "vision"
    assert config.net["side"] == 64
    before = load_file(made / "bases" / "vision-base" / checkpoint.WEIGHTS)
    after = load_file(folder / checkpoint.WEIGHTS)
    assert before.keys() == after.keys()
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert moved
    # the last stage and what follows it; the published classifier and everything below stay
    assert all(name.startswith(("net.blocks.6.", "net.conv_head.", "net.bn2.")) for name in moved)
    assert not any("running_" in name for name in moved)


def test_a_second_training_starts_from_the_first(made: Path, place: Path) -> None:
    first = trained(made, place, "ask", "ask-base", ["train.epochs=1"])
    labels = checkpoint.read_config(first).labels
    more = made / "more"
    if not more.exists():
        write_pictures(more, train=4, validation=2)
        table = more / "train" / "questions.jsonl"
        rows = [{**json.loads(line), "answer": "zebra"} for line in table.read_text().splitlines()[:2]]
        table.write_text(table.read_text() + "".join(json.dumps(row) + "\n" for row in rows))
    run.main(
        task="ask",
        data=[more],
        out="second",
        config=configured(place, "ask"),
        overrides=["train.epochs=1", "train.learning_rate=1e-9", "train.weight_decay=0.0"],
        device="cpu",
    )
    second = checkpoint.read_config(place / "second")
    assert second.labels[: len(labels)] == labels
    assert second.labels[len(labels) :] == ("zebra",)
    one, other = (load_file(folder / checkpoint.WEIGHTS) for folder in (first, place / "second"))
    for name, tensor in one.items():  # at a rate of next to nothing only the new row differs
        torch.testing.assert_close(other[name][: len(tensor)], tensor, atol=1e-3, rtol=1e-2)
    assert len(other["answer.3.bias"]) == len(labels) + 1
    assert load("ask", "second", device="cpu")

    with pytest.raises(MmdemoError, match=r"ask-base cannot be the base of this network: tensor \S+ has shape"):
        run.main(
            task="ask",
            data=[more],
            out="third",
            config=configured(place, "ask"),
            overrides=["train.epochs=1", "net.width=32"],
            device="cpu",
        )


def test_data_without_a_validation_part_keeps_the_last_weights(made: Path, place: Path) -> None:
    run.main(
        task="ask",
        data=[made / "pictures" / "train"],
        out="alone",
        config=configured(place, "ask"),
        base=str(made / "bases"),
        overrides=["train.epochs=1"],
        device="cpu",
    )
    assert load("ask", "alone", device="cpu")
    assert not any("accuracy" in event for event in events(place / "alone"))


class Stopped(Exception):
    """What stops a run in the middle."""


def planned(made: Path, place: Path, out: str, *, resume: bool = False) -> run.Plan:
    file = configured(place, "ask", train="average = 0.9\n")
    overrides = ["train.save_steps=7", "train.epochs=20"]  # two steps an epoch: states lie inside epochs too
    return run.Plan(
        task="ask",
        data=(made / "pictures",),
        out=place / out,
        config=read_config(file, overrides),
        config_file=file,
        base=made / "bases",
        resume=resume,
    )


def test_a_stopped_run_goes_on_and_ends(made: Path, place: Path) -> None:
    def stop(text: str) -> None:
        if text.startswith("step 20/"):
            raise Stopped

    with pytest.raises(Stopped):
        run.train(planned(made, place, "stopped"), say=stop)
    assert not (place / "stopped" / checkpoint.WEIGHTS).exists()
    assert [card.id for card in list_models("ask")] == []
    states = [folder.name for folder in (place / "stopped" / "trainer" / "state").iterdir()]
    assert states == ["checkpoint-14"]
    (place / "stopped" / "trainer" / "state" / "checkpoint-99").mkdir()  # as a kill while saving leaves it

    said: list[str] = []
    run.train(planned(made, place, "stopped", resume=True), say=said.append)
    assert "going on from step 14" in said
    steps = [event["step"] for event in events(place / "stopped") if "loss" in event]
    assert steps == [*range(1, 21), *range(15, 41)]  # what came after the state was lost
    assert load("ask", "stopped", device="cpu")
    figures = [event["accuracy"] for event in events(place / "stopped") if "accuracy" in event]
    assert len(figures) >= 20
    assert np.isfinite(figures).all()
    tensors = load_file(place / "stopped" / checkpoint.WEIGHTS)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())


def test_a_run_that_starts_anew_forgets_the_one_before(made: Path, place: Path) -> None:
    (place / "again" / "trainer" / "state" / "checkpoint-500").mkdir(parents=True)
    (place / "again" / "trainer" / "events.jsonl").write_text('{"step": 500, "accuracy": 1.0}\n')
    trained(made, place, "ask", "again", ["train.epochs=1"])
    assert not (place / "again" / "trainer" / "state" / "checkpoint-500").exists()
    assert max(event["step"] for event in events(place / "again")) < 10


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.epoch=3", "Did you mean train.epochs"),
        ("net.layer=3", "Did you mean net.layers"),
        ("net.heads=3", "16 is not a multiple of 3 heads"),
        ("data.leest=3", "Did you mean data.least"),
        ("data.least=100", "No answers could be learned"),
    ],
)
def test_a_mistake_is_one_sentence(made: Path, place: Path, override: str, words: str) -> None:
    with pytest.raises(MmdemoError, match=words):
        trained(made, place, "ask", "wrong", [override])
    assert list_models("ask") == ()


def test_a_task_that_does_not_exist(made: Path, place: Path) -> None:
    with pytest.raises(MmdemoError, match=r"no task 'caption5'.*Did you mean caption"):
        run.main(task="caption5", data=[made / "pictures"], out="x", device="cpu")


def test_folds_are_pooled(made: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run.main(
        task="sentiment",
        data=[made / "voices"],
        out="folds",
        config=configured(place, "sentiment"),
        base=str(made / "bases"),
        overrides=["train.epochs=1"],
        folds=made / "folds.json",
        cross_validate=True,
        device="cpu",
        json_out=True,
    )
    assert done == 0
    report = json.loads(capsys.readouterr().out)
    assert report["n"] == 32
    assert {"ua", "wa", "macro_f1", "ece"} <= report["metrics"].keys()
    assert (place / "folds" / "trainer" / "cross_validation.json").exists()
