"""A public model taught as the page does it: chosen, started, stopped, gone on with, asked, compared; and by a file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mmdemo import runs
from mmdemo.cli import main
from mmdemo.core.errors import MmdemoError
from mmdemo.models import checkpoint, list_models, load, probe
from mmdemo.models.families.factory import register_installed
from mmdemo.runs import Run, State, queue
from mmdemo.studio import compare, hub_bases, preview, run_data, settings
from mmdemo.studio.estimate import estimate
from mmdemo.studio.settings import Choice
from tests.small_bases import write_pictures
from tests.tiny_models.blip import make_blip_ask


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(queue, "PAUSE", 0.05)
    (tmp_path / "checkpoints").mkdir()
    write_pictures(tmp_path / "pictures", train=8, validation=4)
    folder = make_blip_ask(tmp_path / "tiny-blip")
    register_installed(folder, name=str(folder))
    return tmp_path


def until(name: str, true: Callable[[Run], object]) -> Run:
    end = time.monotonic() + 200
    while not true(run := runs.read_run(name)):
        assert time.monotonic() < end, f"{run}\n{runs.log_end(name)}"
        time.sleep(0.02)
    return run


def test_from_the_list_to_a_model_that_is_compared(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (known,) = hub_bases.hub_starting_points("ask")
    found = preview.look("ask", (place / "pictures",))
    assert found.good
    wanted = {**settings.suggest("ask", found, known.id), "train.epochs": 20, "train.learning_rate": 5e-3}
    wanted |= {"train.save_steps": 7, "train.batch_size": 4, "train.lora_rank": 2, "train.precision": "fp32"}
    choice = Choice(task="ask", data=found.data, out="mine", base=known.id, overrides=wanted, device="cpu")
    before = estimate(choice, found)
    assert "size of the model" in before.how
    assert hub_bases.check(choice, found) == before.memory > 0

    # started, stopped in the middle, and gone on with
    run = runs.start(settings.request_of(choice), name=choice.out)
    assert (run.base, run.start) == ("tiny-blip", known.id)
    until("mine", lambda run: run.state is State.TRAINING and run.step > 10)
    runs.stop("mine")
    run = until("mine", lambda run: not run.active)
    assert (run.state, run.model, run.resumable) == (State.STOPPED, True, True), runs.log_end("mine")
    # what runs.resume starts as well, without the seconds that another process takes
    assert main(["train", *settings.request_of(choice).to_argv(), "--resume"]) == 0
    run = runs.read_run("mine")
    assert run.state is State.DONE, runs.log_end("mine")

    # it is in the list, answers otherwise than its base, and is compared with it on what it did not learn from
    assert {card.id for card in list_models("ask")} == {"mine", known.id}
    requests = probe.requests("ask")
    tuned, plain = (load("ask", name, device="cpu").predict(requests) for name in ("mine", known.id))
    assert probe.answers(tuned) != probe.answers(plain)
    verdict = compare.run(known.id, "mine", run_data.held_out(run.folder), device="cpu")
    assert verdict.n > 0

    # the next estimate rests on it, and a training that goes on from it is tuned as it was
    assert "1 earlier run" in estimate(choice, found).how
    ours = Choice(task="ask", data=found.data, out="ours", overrides={"train.tune": "lora"})
    assert "earlier run" not in estimate(ours, found).how  # which it says nothing of
    on = settings.settings_of("ask", base="mine").train
    assert (on.tune, on.lora_rank, on.batch_size) == ("lora", 2, 8)
    with pytest.raises(MmdemoError, match=r"cannot go on from mine: train\.lora_rank is 4 and was 2 there"):
        settings.settings_of("ask", {"train.lora_rank": 4}, "mine")

    away = known.folder + "-away"
    Path(known.folder).rename(away)
    with pytest.raises(MmdemoError, match="mine cannot be loaded: it stands on the folder tiny-blip of a public model"):
        hub_bases.check(replace(choice, base="mine", overrides={}))
    Path(away).rename(known.folder)

    # the file that the page saves says the same on the command line
    file = place / "ask.toml"
    file.write_text(settings.to_toml(choice), encoding="utf-8")
    words = ["train", "ask", "--data", str(place / "pictures"), "--config", str(file), "--out", "again"]
    assert main([*words, "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["task"] == "ask"
    one, other = (load_file(place / "checkpoints" / name / checkpoint.WEIGHTS) for name in ("mine", "again"))
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    assert "starting from tiny-blip" in (place / "checkpoints" / "again" / "README.md").read_text()
    assert runs.read_run("again").base == "tiny-blip"
