"""Every task trained from made data to a checkpoint that loads, proves itself and can be built upon."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mmdemo.cli import main
from mmdemo.core.errors import MmdemoError
from mmdemo.models import checkpoint, list_models, load, probe
from mmdemo.nets.speech import SpeechEncoder
from mmdemo.train import run
from mmdemo.train.record import RunObserver, TrainProgress, read_events, read_status
from mmdemo.train.settings import read_config
from mmdemo.train.trainer import Interrupted
from tests.sealed import seal
from tests.small_bases import write_pictures, write_text, write_vision
from tests.sounds import speech_like
from tests.training import train

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
            voice = speech_like(0.8, rate=16_000, seed=100 * speaker + i)
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
    done = train(
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
    assert len(losses) == (24 if task != "sentiment" else 8)
    if task != "sentiment":  # its head is fitted before the first step
        assert np.mean(losses[-4:]) < np.mean(losses[:4])
    plan = json.loads((folder / "trainer" / "plan.json").read_text())
    assert plan["settings"]["train"]["epochs"] == 8
    assert (folder / "trainer" / "config.toml").exists()


def test_a_trunk_is_tuned_and_shipped_without_its_heads(made: Path, place: Path) -> None:
    folder = trained(made, place, "vision", "vision-mine", ["train.epochs=2", "train.tune=last:1"])
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
    train(
        task="ask",
        data=[more],
        out="second",
        config=configured(place, "ask"),
        overrides=["train.epochs=1", "train.learning_rate=1e-9", "train.weight_decay=0.0"],
        device="cpu",
    )
    second = checkpoint.read_config(place / "second")
    assert second.labels[: len(labels)] == labels
    kept, before = second.calibration, checkpoint.read_config(first).calibration
    assert (kept.temperature, kept.threshold) == (before.temperature, before.threshold)  # two pictures say too little
    assert "for ask-base, which this run started from" in kept.data
    assert second.labels[len(labels) :] == ("zebra",)
    one, other = (load_file(folder / checkpoint.WEIGHTS) for folder in (first, place / "second"))
    for name, tensor in one.items():  # at a rate of next to nothing only the new row differs
        torch.testing.assert_close(other[name][: len(tensor)], tensor, atol=1e-3, rtol=1e-2)
    assert len(other["answer.3.bias"]) == len(labels) + 1
    assert load("ask", "second", device="cpu")

    with pytest.raises(MmdemoError, match=r"ask-base cannot be the base of this network: tensor \S+ has shape"):
        train(
            task="ask",
            data=[more],
            out="third",
            config=configured(place, "ask"),
            overrides=["train.epochs=1", "net.width=32"],
            device="cpu",
        )


@pytest.mark.parametrize(("pictures", "chosen_by"), [(10, True), (4, False)])
def test_data_without_parts_are_parted_unless_they_are_too_few(
    made: Path, place: Path, pictures: int, chosen_by: bool
) -> None:
    write_pictures(place / "plain", train=pictures, validation=0)
    watch = Stops()
    run.train(replace(planned(made, place, "alone"), data=(place / "plain" / "train",)), watch=watch)
    assert load("ask", "alone", device="cpu")
    assert any("accuracy" in event for event in events(place / "alone")) is chosen_by
    assert any("set aside" in text or "too small" in text for text in watch.said)


class Stops(RunObserver):
    """Asks to stop after a step, and hears what is said."""

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.said: list[str] = []

    def log(self, text: str) -> None:
        self.said.append(text)

    def step(self, progress: TrainProgress) -> None:
        if progress.step == self.at:
            os.kill(os.getpid(), signal.SIGTERM)


def planned(made: Path, place: Path, out: str, *, resume: bool = False, overrides: Sequence[str] = ()) -> run.RunPlan:
    file = configured(place, "ask", train="average = 0.9\n")
    states = ["train.save_steps=7", "train.epochs=20"]  # two steps an epoch: states lie inside epochs too
    return run.RunPlan(
        task="ask",
        data=(made / "pictures",),
        out=place / out,
        config=read_config(file, [*states, *overrides]),
        config_file=file,
        base=made / "bases",
        resume=resume,
    )


def test_the_default_settings_fit_a_base_of_another_shape(made: Path, place: Path) -> None:
    base = trained(made, place, "caption", "small", ["train.epochs=1"])
    words = ["train", "caption", "--data", str(made / "pictures"), "--base", str(base), "--set", "train.epochs=1"]
    assert main([*words, "--out", str(place / "again"), "--set", "net.dropout=0.3"]) == 0
    net = checkpoint.read_config(place / "again").net
    assert (net["width"], net["dropout"]) == (16, 0.3)


def test_a_stopped_run_goes_on_and_ends(made: Path, place: Path) -> None:
    with pytest.raises(Interrupted):
        run.train(planned(made, place, "stopped"), watch=Stops(20))
    folder = place / "stopped" / "trainer"
    assert not (place / "stopped" / checkpoint.WEIGHTS).exists()
    assert [card.id for card in list_models("ask")] == []
    assert [state.name for state in (folder / "state").iterdir()] == ["step-21"]
    assert read_status(folder)["state"] == "stopped"
    (folder / "state" / "step-99.part").mkdir()  # as a kill while saving leaves it

    watch = Stops()
    run.train(planned(made, place, "stopped", resume=True), watch=watch)
    assert "going on from step 21" in watch.said
    assert [event["step"] for event in events(place / "stopped") if "loss" in event] == list(range(1, 61))
    assert load("ask", "stopped", device="cpu")
    assert read_status(folder)["state"] == "done"
    assert "going on from step 21" in (folder / "log.txt").read_text()
    run.train(planned(made, place, "whole"), watch=Stops())
    one, other = (load_file(place / name / checkpoint.WEIGHTS) for name in ("stopped", "whole"))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_a_run_says_what_it_depended_on_and_draws_its_curve(made: Path, place: Path) -> None:
    folder = trained(made, place, "ask", "told", ["train.epochs=3"]) / "trainer"
    plan = json.loads((folder / "plan.json").read_text())
    assert plan["seed"] == 0
    assert plan["settings"]["train"]["epochs"] == 3
    assert plan["code"].startswith(f"{plan['versions']['mmdemo']}+")
    assert len(plan["data_hash"]) == len(plan["base_hash"]) == 40
    assert plan["precision"] == "fp32"
    again = read_config(folder / "config.toml")
    assert again.train.epochs == 3
    assert again == replace(read_config(place / "ask.toml", ["train.epochs=3"]), base=str(made / "bases"))
    with Image.open(folder / "curve.png") as curve:
        assert curve.size[0] > 400
        assert len(curve.convert("L").getcolors(256) or ()) > 20
    board = EventAccumulator(str(folder / "tensorboard")).Reload()
    seen = [(scalar.step, scalar.value) for scalar in board.Scalars("train/loss")]
    told = [(event["step"], event["loss"]) for event in events(folder.parent) if "loss" in event]
    assert [step for step, _ in seen] == [step for step, _ in told]
    np.testing.assert_allclose([loss for _, loss in seen], [loss for _, loss in told], rtol=1e-6)
    assert len(board.Scalars("validation/accuracy")) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"overrides": ["train.batch_size=2"]}, r"train.batch_size was 4 and is 2 now"),
        ({"overrides": ["net.width=32"]}, r"net.width was 16 and is 32 now"),
        ({"data": "more"}, "the data has changed since it was started"),
    ],
)
def test_what_does_not_fit_its_state_is_not_resumed(
    made: Path, place: Path, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(Interrupted):
        run.train(planned(made, place, "changed"), watch=Stops(3))
    plan = planned(made, place, "changed", resume=True, overrides=change.get("overrides", []))
    if "data" in change:
        write_pictures(place / "more", train=6, validation=2)
        plan = replace(plan, data=(place / "more",))
    with pytest.raises(MmdemoError, match=f"changed cannot be resumed: {words}"):
        run.train(plan, watch=Stops())
    watch = Stops()
    rate = ["train.learning_rate=0.001", "train.epochs=3"]
    run.train(planned(made, place, "changed", resume=True, overrides=rate), watch=watch)
    assert "train.learning_rate was 0.01 and is 0.001 now" in watch.said


def test_another_base_is_not_resumed_upon(made: Path, place: Path) -> None:
    shutil.copytree(made / "bases", place / "others")
    weights = place / "others" / "vision-base" / checkpoint.WEIGHTS
    save_file(
        {name: tensor * 1.01 if tensor.ndim > 1 else tensor for name, tensor in load_file(weights).items()}, weights
    )
    seal(weights.parent)
    with pytest.raises(Interrupted):
        run.train(planned(made, place, "moved"), watch=Stops(3))
    plan = replace(planned(made, place, "moved", resume=True), base=place / "others")
    with pytest.raises(MmdemoError, match="moved cannot be resumed: what it builds on is not what it was"):
        run.train(plan, watch=Stops())
    with pytest.raises(MmdemoError, match=r"fresh would not find its vision-base: .*Give --out a path beside"):
        run.train(replace(plan, out=place / "fresh", resume=False), watch=Stops())


def test_what_lies_at_out_is_not_lost(made: Path, place: Path) -> None:
    desk = place / "desk"
    desk.mkdir()
    (desk / "thesis.txt").write_text("years of work")
    with pytest.raises(MmdemoError, match="desk cannot be the place of a model: it is not empty and holds no model"):
        run.train(planned(made, place, "desk"), watch=Stops())
    with pytest.raises(MmdemoError, match="it is a file"):
        run.train(planned(made, place, "desk/thesis.txt"), watch=Stops())
    for out in (made / "pictures", made / "pictures" / "train" / "new", made):
        with pytest.raises(MmdemoError, match="it holds or lies in"):
            run.train(replace(planned(made, place, "x"), out=out), watch=Stops())
    assert (desk / "thesis.txt").read_text() == "years of work"
    assert sorted(entry.name for entry in desk.iterdir()) == ["thesis.txt"]


def test_a_finished_model_is_put_aside_by_the_next(made: Path, place: Path) -> None:
    folder = trained(made, place, "ask", "twice", ["train.epochs=1"])
    first = checkpoint.weights_hash(folder)
    (folder / "note.txt").write_text("mine")
    watch = Stops(7)
    with pytest.raises(Interrupted):
        run.train(planned(made, place, "twice"), watch=watch)
    assert checkpoint.weights_hash(folder) == first  # it goes on serving
    run.train(planned(made, place, "twice", resume=True), watch=Stops())
    assert checkpoint.weights_hash(folder) != first
    assert any("twice is there already" in text for text in watch.said)
    aside = folder / "trainer" / "earlier-1"
    assert checkpoint.weights_hash(aside) == first
    assert read_events(aside)
    assert (folder / "note.txt").read_text() == "mine"
    second = checkpoint.weights_hash(folder)
    run.train(planned(made, place, "twice", resume=True), watch=Stops())  # nothing more to do
    assert checkpoint.weights_hash(folder) == second
    assert [place.name for place in (folder / "trainer").glob("earlier-*")] == ["earlier-1"]


def test_what_diverges_is_not_published(made: Path, place: Path) -> None:
    with pytest.raises(MmdemoError, match=r"train.learning_rate must be .*: it is .?nan"):
        trained(made, place, "ask", "nan", ["train.learning_rate=nan"])
    with pytest.raises(MmdemoError, match="The training has diverged at step"):
        trained(
            made, place, "ask", "wild", ["train.learning_rate=1e30", "train.max_grad_norm=1e30", "train.warmup=0.0"]
        )
    assert list_models("ask") == ()


def test_a_failed_run_says_so_in_its_folder(made: Path, place: Path) -> None:
    with pytest.raises(MmdemoError, match="no figure 'nothing' to choose by"):
        trained(made, place, "ask", "failed", ["train.metric=nothing"])
    status = read_status(place / "failed" / "trainer")
    assert status["state"] == "failed"
    assert "no figure 'nothing' to choose by" in status["error"]
    assert status["pid"] == os.getpid()


def test_a_run_that_starts_anew_forgets_the_one_before(made: Path, place: Path) -> None:
    (place / "again" / "trainer" / "state" / "step-500").mkdir(parents=True)
    (place / "again" / "trainer" / "events.jsonl").write_text('{"step": 500, "accuracy": 1.0}\n')
    trained(made, place, "ask", "again", ["train.epochs=1"])
    assert not (place / "again" / "trainer" / "state" / "step-500").exists()
    assert (place / "again" / "trainer" / "earlier-1" / "state" / "step-500").exists()
    assert max(event["step"] for event in events(place / "again")) < 10


# ---------------------------------------------------------------- the command, as a process of its own


def command(made: Path, place: Path, out: str, *more: str, before: Sequence[str] = ()) -> subprocess.Popen[str]:
    words = ["mmdemo", "train", "ask", "--data", str(made / "pictures"), "--out", str(place / out), "--device", "cpu"]
    words += ["--config", str(configured(place, "ask")), "--base", str(made / "bases"), *more]
    return subprocess.Popen(
        [sys.executable, "-m", *before, *(["-m"] if before else []), *words],
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_stops_the_command_and_resume_goes_on(made: Path, place: Path) -> None:
    process = command(made, place, "stopped", "--set", "train.epochs=2000", "--set", "train.save_steps=5")
    folder = place / "stopped" / "trainer"
    while process.poll() is None and len(read_events(folder)) < 12:
        time.sleep(0.02)
    assert os.getpgid(process.pid) == process.pid  # a group of its own
    assert int((folder / "pid").read_text()) == process.pid
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "The same command with --resume goes on from there." in errors
    assert "Traceback" not in errors
    step = read_status(folder)["step"]
    again = command(made, place, "stopped", "--resume", "--set", f"train.epochs={step // 2 + 2}", "--json")
    out, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    assert f"going on from step {step}" in errors
    assert json.loads(out)["model"] == str(place / "stopped")


def test_two_processes_learn_as_one(made: Path, place: Path) -> None:
    pair = ["torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    same = ["--set", "data.mirror=false"]  # which part of a step a row is in decides what is drawn for it
    two = command(made, place, "two", *same, before=pair)
    _, errors = two.communicate(timeout=240)
    assert two.returncode == 0, errors
    assert errors.count("going") == 0
    assert errors.count(f"{place / 'two'} written after") == 1
    one = command(made, place, "one", *same)
    _, errors = one.communicate(timeout=240)
    assert one.returncode == 0, errors
    curves = [[e["loss"] for e in events(place / name) if "loss" in e] for name in ("one", "two")]
    assert len(curves[0]) == len(curves[1]) == 24
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-3, atol=1e-4)
    assert load("ask", "two", device="cpu")


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
        train(task="caption5", data=[made / "pictures"], out="x", device="cpu")


def test_folds_are_pooled(made: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = train(
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


def test_classes_of_ones_own_are_asked_for_by_themselves(
    made: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i, picture in enumerate(sorted((made / "pictures" / "train").glob("*.png"))):
        folder = place / "pets" / ("cat", "robin")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, folder)
    train(
        task="classify",
        data=[place / "pets"],
        out="pets-model",
        config=configured(place, "classify"),
        base=str(made / "bases"),
        overrides=["train.epochs=1"],
        device="cpu",
    )
    assert checkpoint.read_config(place / "pets-model").settings["classes"] == ("cat", "robin")
    assert "cat, robin." in (place / "pets-model" / "README.md").read_text()
    picture = str(made / "pictures" / "train" / "0.png")
    assert main(["classify", picture, "--model", "pets-model", "--device", "cpu", "--json"]) == 0
    labels = {entry["label"] for entry in json.loads(capsys.readouterr().out)["labels"]}
    assert labels == {"cat", "robin", "none of these"}
    # pictures of a class that is spelled otherwise are more of that class
    (place / "pets" / "cat").rename(place / "pets" / "Cat")
    train(
        task="classify",
        data=[place / "pets"],
        out="more",
        config=configured(place, "classify"),
        base="pets-model",
        overrides=["train.epochs=1"],
        device="cpu",
    )
    assert checkpoint.read_config(place / "more").settings["classes"] == ("cat", "robin")
    assert checkpoint.read_weights(place / "more")["moved"].shape[0] == 2
    # and the probe asks for them
    weights = load_file(place / "more" / "model.safetensors")
    save_file({**weights, "moved": -weights["moved"]}, place / "more" / "model.safetensors", metadata={"format": "pt"})
    seal(place / "more")
    with pytest.raises(MmdemoError, match=r"its probe differs: input 3, '(cat|robin|none of these)' was"):
        load("classify", "more", device="cpu")


def test_an_interrupted_run_is_no_model_yet(made: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Interrupted):
        run.train(planned(made, place, "half"), watch=Stops(3))
    picture = str(made / "pictures" / "train" / "0.png")
    assert main(["ask", picture, "What is it?", "--model", "half", "--device", "cpu"]) != 0
    assert "half is no model yet: its training has not ended. Go on with --resume." in capsys.readouterr().err
