"""Public models tuned on made data: what is learned is all that is written; it stands on its base, or joins it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile as sf
import torch
from safetensors.torch import load_file, save_file

from mmdemo.cli import main
from mmdemo.core.config import CLASSES, FAMILY
from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import ClassifyResult
from mmdemo.models import checkpoint, load, probe
from mmdemo.models.families import adapter, merge, precision
from mmdemo.models.families.blip import BlipAskModel
from mmdemo.models.families.factory import open_hub_model
from mmdemo.studio import import_model
from mmdemo.train import run
from mmdemo.train.hub import CONFIG
from mmdemo.train.record import RunObserver, TrainProgress, read_events
from mmdemo.train.settings import read_config
from mmdemo.train.trainer import Interrupted
from tests.small_bases import THINGS, draw, write_pictures
from tests.sounds import speech_like
from tests.tiny_models.audio import make_speech, make_whisper_classifier
from tests.tiny_models.blip import make_blip_ask, make_blip_caption
from tests.tiny_models.chat import make_qwen
from tests.tiny_models.coca import make_coca
from tests.tiny_models.florence import make_florence
from tests.tiny_models.open_clip_ import make_clip
from tests.tiny_models.vilt import make_vilt
from tests.tiny_models.zero_shot import make_siglip
from tests.training import train

MAKE: dict[str, Any] = {
    "clip": make_clip,
    "siglip": make_siglip,
    "blip": make_blip_ask,
    "blip-caption": make_blip_caption,
    "coca": make_coca,
    "florence": make_florence,
    "vilt": make_vilt,
    "qwen": make_qwen,
    "wav2vec2": make_speech,
    "wavlm": lambda folder: make_speech(folder, "wavlm", norm="group"),
}
TASKS = {
    "clip": ("classify", "things"),
    "siglip": ("classify", "pictures"),
    "blip": ("ask", "pictures"),
    "blip-caption": ("caption", "pictures"),
    "coca": ("caption", "pictures"),
    "florence": ("caption", "pictures"),
    "vilt": ("ask", "pictures"),
    "qwen": ("ask", "pictures"),
    "wav2vec2": ("sentiment", "voices"),
    "wavlm": ("sentiment", "voices"),
}
ABOVE_EARS = ("encoder.", "feature_projection.", "masked_spec_embed")


class _Usage(NamedTuple):
    free: int


class Stops(RunObserver):
    """Asks to stop after a step."""

    def __init__(self, at: int) -> None:
        self.at = at

    def step(self, progress: TrainProgress) -> None:
        if progress.step == self.at:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of three kinds, and a base of each kind as soon as it is asked for (see :func:`base`)."""
    root = tmp_path_factory.mktemp("public")
    write_pictures(root / "pictures", train=8, validation=4)
    for split, count in (("train", 6), ("validation", 3)):
        for thing in THINGS:
            (root / "things" / split / thing).mkdir(parents=True)
            for i in range(count):
                draw("red", thing, 10 * count + i).save(root / "things" / split / thing / f"{i}.png")
    for split, count in (("train", 6), ("validation", 4)):
        folder = root / "voices" / split
        folder.mkdir(parents=True)
        rows = []
        for i in range(count):
            label, name = ("happy", "calm")[i % 2], f"{split}{i}.wav"
            voice = speech_like(0.8 + 0.05 * i, rate=16_000, seed=i if split == "train" else 50 + i)
            sf.write(folder / name, voice if i % 2 else np.repeat(voice, 2)[: len(voice)], 16_000)
            rows.append({"file_name": name, "label": label, "speaker": f"{split}{i}"})
        (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


def base(made: Path, kind: str) -> Path:
    folder = made / "bases" / f"tiny-{kind}"
    if not folder.exists():
        MAKE[kind](folder)
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(tmp_path))
    monkeypatch.setenv("MMDEMO_CACHE", str(made / "cache"))
    return tmp_path


def tuned(
    made: Path, place: Path, kind: str, out: str = "mine", overrides: Sequence[str] = (), start: str | None = None
) -> Path:
    task, data = TASKS[kind]
    quick = ["train.epochs=4", "train.batch_size=4", "train.learning_rate=5e-3", "train.lora_rank=2"]
    done = train(
        task=task,
        data=[made / data],
        out=out,
        base=start or str(base(made, kind)),
        overrides=[*quick, 'train.precision="fp32"', "train.patience=0", *overrides],
        device="cpu",
    )
    assert done == 0
    return place / out


def answers(model: Any) -> list[dict[str, float]]:
    return probe.answers(model.predict(probe.requests(model.card.task, tuple(getattr(model, "classes", ())))))


@pytest.mark.parametrize("kind", list(MAKE))
def test_what_is_learned_stands_on_its_base_and_becomes_one_with_it(made: Path, place: Path, kind: str) -> None:
    task = TASKS[kind][0]
    folder = tuned(made, place, kind)
    losses = [event["loss"] for event in read_events(folder / "trainer") if "loss" in event]
    steps = len(losses) // 4
    assert np.mean(losses[-steps:]) < np.mean(losses[:steps])

    config = checkpoint.read_config(folder)
    files = adapter.read_base(base(made, kind), name="x")
    assert config.net[FAMILY] == files.layout.family
    assert config.settings[adapter.HASH] == files.hash
    assert config.settings[adapter.RANK] == 2
    assert files.hash in (folder / "README.md").read_text()
    learned = load_file(folder / checkpoint.WEIGHTS)
    assert any(name.endswith(".lora_a") for name in learned)
    assert all(bool(t.any()) for name, t in learned.items() if name.endswith(".lora_b"))
    weights = load_file(next(file for file in base(made, kind).glob("*.safetensors")))
    there = learned.keys() & weights.keys()
    assert not [name for name in there if torch.equal(learned[name], weights[name].to(learned[name].dtype))]
    assert sum(t.numel() for t in learned.values()) < sum(t.numel() for t in weights.values()) / 2

    model = load(task, "mine", device="cpu")  # repeats the probe
    plain = open_hub_model(task, base(made, kind), name=str(base(made, kind)), device="cpu")
    assert answers(model) != answers(plain)

    whole = merge.merge(folder, place / "merged")
    again = merge.remember(open_hub_model(task, whole, name=str(whole), device="cpu"), whole)
    for mine, theirs in zip(answers(model), answers(again), strict=True):
        assert mine.keys() == theirs.keys()
        assert max(abs(mine[label] - theirs[label]) for label in mine) <= 1e-5
    assert again.config.calibration == config.calibration


def test_the_library_alone_reads_what_was_merged(made: Path, place: Path) -> None:
    import open_clip
    from transformers import AutoModelForAudioClassification, BlipForQuestionAnswering

    kinds = {"blip": BlipForQuestionAnswering, "wav2vec2": AutoModelForAudioClassification}
    for kind, library in kinds.items():
        whole = merge.merge(tuned(made, place, kind, kind), place / f"{kind}-merged")
        theirs = library.from_pretrained(whole).state_dict()
        ours: Any = load(TASKS[kind][0], kind, device="cpu")
        for name, tensor in ours.net.state_dict().items():
            torch.testing.assert_close(theirs[name], tensor, atol=1e-6, rtol=0)
        assert ours.config.labels == () or list(theirs["classifier.bias"].shape) == [len(ours.config.labels)]
    whole = merge.merge(tuned(made, place, "clip", "clip"), place / "clip-merged")
    net, _, _ = open_clip.create_model_and_transforms(f"local-dir:{whole}")
    ours = load("classify", "clip", device="cpu")
    for name, tensor in ours.net.state_dict().items():
        torch.testing.assert_close(net.state_dict()[name], tensor, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["blip", "wav2vec2"])
def test_a_run_goes_on_where_it_was_stopped(made: Path, place: Path, kind: str) -> None:
    task, data = TASKS[kind]

    def plan(out: str, *, resume: bool = False) -> run.RunPlan:
        overrides = ["train.epochs=3", "train.batch_size=4", "train.save_steps=3", "train.ema_decay=0.9"]
        return run.RunPlan(
            task=task,
            data=(made / data,),
            out=place / out,
            config=read_config(CONFIG, overrides),
            config_file=CONFIG,
            base=base(made, kind),
            base_name=str(base(made, kind)),
            resume=resume,
        )

    with pytest.raises(Interrupted):
        run.train(plan("stopped"), watch=Stops(4))
    states = place / "stopped" / "trainer" / "state"
    kept = load_file(next(states.glob("step-*")) / "weights.safetensors")
    assert kept
    heads = ("net.classifier.", "net.projector.") if kind == "wav2vec2" else ()
    assert all(".lora_" in name or name.startswith(heads) for name in kept)  # nothing else of the base
    run.train(plan("stopped", resume=True), watch=RunObserver())
    run.train(plan("whole"), watch=RunObserver())
    one, other = (load_file(place / name / checkpoint.WEIGHTS) for name in ("stopped", "whole"))
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_another_base_is_refused(made: Path, place: Path) -> None:
    own = shutil.copytree(base(made, "vilt"), place / "elsewhere" / "tiny-vilt")
    folder = tuned(made, place, "vilt", start=str(own))
    weights = own / "model.safetensors"
    tensors = load_file(weights)
    save_file({**tensors, "classifier.0.bias": tensors["classifier.0.bias"] + 1e-3}, weights, metadata={"format": "pt"})
    with pytest.raises(MmdemoError, match=r"mine cannot be loaded: the weights of its base tiny-vilt .* SHA-256"):
        load("ask", "mine", device="cpu")
    shutil.rmtree(own)
    with pytest.raises(MmdemoError, match=r"stands on the folder tiny-vilt of a public model, which is not on this"):
        load("ask", "mine", device="cpu")
    shutil.copytree(base(made, "vilt"), place / "tiny-vilt")  # beside it, it is found
    assert load("ask", "mine", device="cpu")
    (folder / checkpoint.LOCAL).unlink()
    assert load("ask", "mine", device="cpu")


def test_it_is_handed_on_without_its_base(made: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tuned(made, place, "wav2vec2")
    packed = import_model.export("mine", place / "mine.zip")
    assert packed.stat().st_size < (base(made, "wav2vec2") / "model.safetensors").stat().st_size
    other = place / "other"
    other.mkdir()
    monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(other))
    with pytest.raises(MmdemoError, match="stands on the folder tiny-wav2vec2 of a public model"):
        import_model.receive(packed)
    shutil.copytree(base(made, "wav2vec2"), other / "tiny-wav2vec2")
    card = import_model.receive(packed)
    assert not (other / card.id / checkpoint.LOCAL).exists()
    model: Any = load("sentiment", card.id, device="cpu")
    assert model.config.labels == ("neutral", "happy", "angry", "sad", "calm")
    monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(place))
    assert answers(model) == answers(load("sentiment", folder.name, device="cpu"))


def test_a_run_goes_on_from_a_tuned_model(made: Path, place: Path) -> None:
    first = tuned(made, place, "blip", "first")
    words = ["train", "ask", "--data", str(made / "pictures"), "--base", "first", "--set", "train.epochs=2"]
    assert main([*words, "--out", "second", "--device", "cpu"]) == 0
    one, other = (checkpoint.read_config(place / name).settings for name in ("first", "second"))
    assert all(one[key] == other[key] for key in (adapter.HASH, adapter.TUNE, adapter.RANK, adapter.ALPHA))
    before, after = (load_file(place / name / checkpoint.WEIGHTS) for name in ("first", "second"))
    assert before.keys() == after.keys()
    losses = [[e["loss"] for e in read_events(place / n / "trainer") if "loss" in e] for n in ("first", "second")]
    assert losses[1][-1] < losses[0][0]
    assert load("ask", "second", device="cpu")
    with pytest.raises(MmdemoError, match=r"cannot go on from first: train\.tune is head and was lora there"):
        tuned(made, place, "blip", "third", ["train.tune=head"], start=str(first))


@pytest.mark.parametrize(
    ("kind", "tune", "only"),
    [
        ("blip", "head", ("text_decoder.cls.predictions.transform",)),
        ("qwen", "head", ("model.visual.merger.",)),
        ("clip", "last:1", ("visual.proj", "visual.transformer.resblocks.1.", "visual.ln_post")),
        ("wav2vec2", "last:1", ("classifier", "projector", "wav2vec2.encoder.layer")),
        (
            "florence",
            "last:1",
            (
                *("model.language_model.encoder.layers.0.", "model.language_model.decoder.layers.0."),
                *("model.vision_tower.blocks.1.", "model.vision_tower.convs.1.", "model.multi_modal_projector."),
            ),
        ),
        # the library leaves the convolutions below (feature_extractor) as they are in all tuning
        ("wav2vec2", "all", ("classifier", "projector", *(f"wav2vec2.{part}" for part in ABOVE_EARS))),
    ],
)
def test_head_and_last_blocks(made: Path, place: Path, kind: str, tune: str, only: tuple[str, ...]) -> None:
    folder = tuned(made, place, kind, overrides=[f"train.tune={tune}", "train.epochs=1"])
    learned = load_file(folder / checkpoint.WEIGHTS)
    assert learned
    assert all(name.startswith(only) for name in learned)
    assert load(TASKS[kind][0], "mine", device="cpu")


def test_processors_of_libraries_work_in_full_numbers(made: Path, place: Path) -> None:
    folder = make_whisper_classifier(made / "bases" / "tiny-whisper")
    train(
        task="sentiment",
        data=[made / "voices"],
        out="mine",
        base=str(folder),
        overrides=["train.epochs=1", 'train.precision="bf16"'],
        device="cpu",
    )
    assert "ua" in read_events(place / "mine" / "trainer")[-1]
    assert load("sentiment", "mine", device="cpu")


def test_classes_of_folders_are_offered(made: Path, place: Path) -> None:
    folder = tuned(made, place, "clip", overrides=["train.epochs=10", "train.learning_rate=2e-2"])
    assert checkpoint.read_config(folder).settings[CLASSES] == tuple(sorted(THINGS))
    figures = [event for event in read_events(folder / "trainer") if "top1" in event]
    assert figures[-1]["minus_loss"] > figures[0]["minus_loss"]
    model = load("classify", "mine", device="cpu")
    (result,) = model.predict(probe.requests("classify")[:1])
    assert isinstance(result, ClassifyResult)
    assert [item.label for item in result.labels]


def test_what_cannot_be_is_said_at_once(made: Path, place: Path) -> None:
    with pytest.raises(MmdemoError, match="cannot be the base of caption: it serves ask"):
        train(
            task="caption", data=[made / "pictures"], out="x", base=str(base(made, "blip")), device="cpu", overrides=[]
        )
    with pytest.raises(MmdemoError, match=r"net\.width cannot be set here: the network is that of tiny-blip"):
        tuned(made, place, "blip", "x", ["net.width=16"])
    with pytest.raises(MmdemoError, match="A public model cannot be taught by --teacher"):
        train(
            task="ask",
            data=[made / "pictures"],
            out="x",
            base=str(base(made, "blip")),
            teacher="ask-base",
            device="cpu",
        )
    with pytest.raises(MmdemoError, match=r"train\.tune is last:3: the encoder of ask has 2 blocks"):
        tuned(made, place, "blip", "x", ["train.tune=last:3"])
    assert not (place / "x" / "config.json").exists()


def test_what_does_not_fit_is_said_before_the_work(made: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tuned(made, place, "blip", "first", ["train.epochs=1"])
    with monkeypatch.context() as small:
        small.setattr(precision, "free_memory", lambda device: 100 << 20)
        with pytest.raises(MmdemoError, match=r"tiny-blip is too large to be tuned on this computer: it takes 0\.3 GB"):
            tuned(made, place, "blip", "x")
        with pytest.raises(MmdemoError, match="first does not fit into the memory of the computer"):
            merge.merge(place / "first", place / "merged")
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda place: _Usage(free=1000))
        with pytest.raises(MmdemoError, match=r"merged cannot be written: it takes 0\.0 GB, and 0\.0 GB are free"):
            merge.merge(place / "first", place / "merged")
    assert not (place / "merged").exists()
    assert not (place / "x" / "config.json").exists()
    with pytest.raises(
        MmdemoError, match=r"too little memory to tune big like that: train\.tune=all trains 2000\.0 mill"
    ):
        precision.check_steps("big", "all", 2_000_000_000, device="cpu", free=20 << 30)


def test_what_was_trained_is_not_refused_when_it_is_done(
    made: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory that is free may have become less while it was trained; what was asked of servers is theirs."""
    monkeypatch.setenv("MMDEMO_PRECISION", "int4")  # for GPUs
    assert tuned(made, place, "blip", overrides=["train.epochs=1"]).is_dir()
    monkeypatch.setenv("MMDEMO_PRECISION", "int8")
    seen: list[Any] = []
    whole = BlipAskModel.open.__func__  # type: ignore[attr-defined]

    def noted(cls: Any, folder: Path, card: Any, *, how: Any) -> Any:
        seen.append(how)
        return whole(cls, folder, card, how=how)

    monkeypatch.setattr(BlipAskModel, "open", classmethod(noted))
    model: Any = load("ask", "mine", device="cpu")
    assert model.how.precision == "int8"
    assert [how.stored for how in seen] == [torch.bfloat16]  # never 32 bits of each weight at once


def test_what_was_merged_is_tuned_further(made: Path, place: Path) -> None:
    folder = made / "own voices" / "train"
    if not folder.exists():
        shutil.copytree(made / "voices" / "train", folder)
        rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
        for row in rows:
            row["label"] = {"happy": "boredom", "calm": "happy"}[row["label"]]
        (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    quick = ["train.epochs=1", "train.batch_size=4", "train.lora_rank=2", 'train.precision="fp32"']
    data = [made / "own voices"]
    train(task="sentiment", data=data, out="first", base=str(base(made, "wav2vec2")), overrides=quick, device="cpu")
    first = checkpoint.read_config(place / "first")
    assert "boredom" in first.labels
    whole = merge.merge(place / "first", place / "merged")
    again = merge.remember(open_hub_model("sentiment", whole, name=str(whole), device="cpu"), whole)
    assert again.config.labels == first.labels
    for mine, theirs in zip(answers(again), answers(load("sentiment", "first", device="cpu")), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-5)
    train(task="sentiment", data=data, out="second", base=str(whole), overrides=quick, device="cpu")
    second = checkpoint.read_config(place / "second")
    assert second.labels == first.labels
    assert second.card.licence == first.card.licence
    assert second.card.bases[0] == first.card.bases[0]
    assert "merged" in second.card.bases[1]

    tuned(made, place, "clip", "things", ["train.epochs=1"])
    things = merge.merge(place / "things", place / "merged-things")
    some = made / "other things"
    if not some.exists():
        for thing in ("boat", "star"):
            shutil.copytree(made / "things" / "train" / THINGS[0], some / "train" / thing)
    train(task="classify", data=[some], out="more", base=str(things), overrides=quick, device="cpu")
    assert checkpoint.read_config(place / "more").settings[CLASSES] == (*sorted(THINGS), "boat", "star")


def test_merge_on_the_command_line(made: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tuned(made, place, "blip-caption", overrides=["train.epochs=1"])
    assert main(["merge", "mine", "--out", str(place / "whole"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["folder"] == str(place / "whole")
    assert main(["merge", "mine", "--out", str(place / "whole")]) == 2
    assert "something is there" in capsys.readouterr().err
