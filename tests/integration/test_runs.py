"""Runs of the page: killed, stopped, resumed and queued, nothing is lost and the weights are the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mmdemo import runs
from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import ROOT
from mmdemo.models import checkpoint, list_models, load
from mmdemo.runs import Run, State, queue
from mmdemo.train import run as training
from mmdemo.train import state
from mmdemo.train.folder import STOP, TRAINER, read_json
from mmdemo.train.record import TrainProgress
from mmdemo.train.request import TrainRequest
from mmdemo.train.trainer import Interrupted
from tests.integration.test_training import Stops, configured, made, place, planned, trained

__all__ = ["made", "place"]


@pytest.fixture(autouse=True)
def alone(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Devices of the test's own: other tests train as well. What still runs afterwards is ended."""
    monkeypatch.setattr(queue, "PAUSE", 0.05)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    yield
    for run in runs.list_runs():
        if run.active:
            runs.stop(run.name)
            if runs.read_run(run.name).active:
                runs.stop(run.name)


def wanted(made: Path, place: Path, *more: str) -> list[str]:
    words = ["ask", "--data", str(made / "pictures"), "--device", "cpu", "--base", str(made / "bases")]
    return [*words, "--config", str(configured(place, "ask", train="average = 0.9\n")), *more]


LONG = ("--set", "train.epochs=100", "--set", "train.save_steps=20")
"""Three steps an epoch: long enough to be interrupted at some step, and seconds in all."""


def until(name: str, true: Callable[[Run], object]) -> Run:
    end = time.monotonic() + 120
    while not true(run := runs.read_run(name)):
        assert time.monotonic() < end, f"{run}\n{runs.log_end(name)}"
        time.sleep(0.02)
    return run


def same_weights(one: Path, other: Path) -> bool:
    first, second = (load_file(folder / checkpoint.WEIGHTS) for folder in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_outlives_its_starter_and_its_own_death_and_ends_where_it_would_have(made: Path, place: Path) -> None:
    code = (
        "import sys, time; from mmdemo import runs; from mmdemo.train.request import TrainRequest\n"
        "runs.start(TrainRequest.from_argv(sys.argv[1:]), name='run'); time.sleep(300)"
    )
    words = wanted(made, place, *LONG)
    app = subprocess.Popen([sys.executable, "-c", code, *words], cwd=ROOT, start_new_session=True)
    end = time.monotonic() + 60
    while not (place / "run" / TRAINER / "supervisor.json").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    whole = runs.start(TrainRequest.from_argv(words), name="whole")  # never interrupted, and not before it is its turn
    assert whole.state is State.QUEUED
    assert (whole.place, whole.ahead) == (2, ("run",))
    os.killpg(app.pid, signal.SIGKILL)
    app.wait()
    run = until("run", lambda run: run.step > 50)
    assert run.state is State.TRAINING
    assert run.memory > 50_000_000
    assert run.speed > 0
    assert runs.read_run("whole").state is State.QUEUED
    assert not runs.read_events("whole")

    os.kill(read_json(run.folder / TRAINER / "status.json")["pid"], signal.SIGKILL)
    run = until("run", lambda run: run.exit_code is not None)
    assert run.state is State.FAILED
    assert "killed by signal 9" in run.reason
    assert run.resumable
    assert not run.model
    assert run.step > 50
    before = run.seconds

    until("whole", lambda run: run.state is not State.QUEUED)
    run = runs.resume("run")
    assert run.state is State.QUEUED
    assert run.ahead == ("whole",)
    run = until("run", lambda run: run.state is State.TRAINING and run.step > 100)
    assert runs.read_run("whole").state is State.DONE
    runs.stop("run")
    run = until("run", lambda run: not run.active)
    assert run.state is State.STOPPED
    assert run.model
    assert run.seconds > before
    assert not (run.folder / TRAINER / STOP).exists()
    assert {card.id for card in list_models("ask")} == {"run", "whole"}
    assert load("ask", "run", device="cpu")  # repeats its probe
    assert f"stopped after step {run.step}" in (run.folder / "README.md").read_text()
    stopped = checkpoint.weights_hash(run.folder)

    runs.resume("run")
    assert runs.read_run("run").active
    assert checkpoint.weights_hash(run.folder) == stopped  # it goes on serving
    run = until("run", lambda run: not run.active)
    assert run.state is State.DONE, runs.log_end("run")
    assert not run.resumable
    assert run.step == run.steps == 300
    assert not (run.folder / TRAINER / "earlier-1").exists(), "what it published as it stopped was its own"
    assert "stopped after step" not in (run.folder / "README.md").read_text()
    steps = [event["step"] for event in runs.read_events("run") if "loss" in event]
    assert steps == list(range(1, 301))
    drawn = runs.curve("run")
    assert len(drawn["loss"]) == 300
    assert len(drawn["metric"]) == 100

    assert same_weights(run.folder, place / "whole")


class Asks(Stops):
    """Puts the stop file there after a step."""

    def __init__(self, at: int, folder: Path) -> None:
        super().__init__()
        self.when, self.folder = at, folder

    def step(self, progress: TrainProgress) -> None:
        if progress.step == self.when:
            (self.folder / TRAINER / STOP).write_text("stop\n")


def test_what_is_stopped_before_the_end_of_an_epoch_publishes_nothing(made: Path, place: Path) -> None:
    watch = Asks(1, place / "early")
    with pytest.raises(Interrupted, match="stopped at step 2"):
        training.train(planned(made, place, "early"), watch=watch)
    assert "nothing is published: no epoch was finished" in watch.said
    run = runs.read_run("early")
    assert run.state is State.STOPPED
    assert run.step == 2  # the step that followed
    assert not run.model
    training.train(planned(made, place, "early", resume=True), watch=Stops())
    training.train(planned(made, place, "whole"), watch=Stops())
    assert same_weights(place / "early", place / "whole")


def test_a_stopped_run_loses_neither_the_model_before_nor_itself_to_the_next(made: Path, place: Path) -> None:
    folder = trained(made, place, "ask", "mine", ["train.epochs=1"])
    first = checkpoint.weights_hash(folder)
    with pytest.raises(Interrupted):
        training.train(planned(made, place, "mine"), watch=Asks(9, folder))
    second = checkpoint.weights_hash(folder)
    assert second != first
    assert checkpoint.weights_hash(folder / TRAINER / "earlier-1") == first
    assert runs.read_run("mine").state is State.STOPPED
    training.train(planned(made, place, "mine", overrides=["train.seed=7"]), watch=Stops())  # anew, not resumed
    third = checkpoint.weights_hash(folder)
    assert third not in {first, second}
    aside = folder / TRAINER / "earlier-2"
    assert checkpoint.weights_hash(aside) == second
    assert [place.name for place in (aside / "state").iterdir()] == ["step-9"]
    assert checkpoint.weights_hash(folder / TRAINER / "earlier-1") == first


def test_what_a_run_builds_on_is_not_replaced_while_it_can_be_gone_on_with(made: Path, place: Path) -> None:
    folder = trained(made, place, "ask", "mine", ["train.epochs=1"])
    first = checkpoint.weights_hash(folder)

    def plan(*, resume: bool) -> training.RunPlan:
        return replace(planned(made, place, "mine", resume=resume), base=folder)

    watch = Asks(9, folder)
    with pytest.raises(Interrupted):
        training.train(plan(resume=False), watch=watch)
    assert "nothing is published: mine is what this run builds on" in watch.said
    assert checkpoint.weights_hash(folder) == first
    training.train(plan(resume=True), watch=Stops())
    assert checkpoint.weights_hash(folder) != first


def test_a_full_disk_is_told_and_the_model_before_is_whole(
    made: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = trained(made, place, "ask", "mine", ["train.epochs=1"])
    before = checkpoint.weights_hash(folder)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(state, "write_tensors", full)
        patch.setattr("mmdemo.train.loop.state.write_tensors", full)
        with pytest.raises(MmdemoError, match="No space left"):
            training.train(planned(made, place, "mine"), watch=Stops())
    run = runs.read_run("mine")
    assert run.state is State.FAILED
    assert "The state of the training cannot be saved" in run.reason
    assert "No space left" in run.reason
    assert run.model
    assert checkpoint.weights_hash(folder) == before
    assert load("ask", "mine", device="cpu")

    def full_too(*_: object) -> None:  # not even the status can be written any more
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("mmdemo.train.record.write_json", full_too)
        with pytest.raises(MmdemoError, match="Nothing can be written in"):
            training.train(planned(made, place, "mine"), watch=Stops())
    assert [run.name for run in runs.list_runs()] == ["mine"]
    assert checkpoint.weights_hash(folder) == before


def test_the_command_says_who_trains_and_waits_where_it_is_asked_to(made: Path, place: Path) -> None:
    said = {}
    with queue.turn("cpu", place / "other", wait=False, say=print):
        for name, more in (("beside", []), ("waits", ["--queue"])):
            process = subprocess.Popen(
                [sys.executable, "-m", "mmdemo", "train", *wanted(made, place, *more), "--out", name],
                cwd=ROOT,
                stderr=subprocess.PIPE,
                text=True,
            )
            if more:
                run = _waiting("waits")
                assert (run.place, run.ahead, run.source) == (1, ("other",), "command")
                process.send_signal(signal.SIGINT)
            _, said[name] = process.communicate(timeout=120)
    assert said["beside"].startswith("other is being trained on cpu too; --queue would wait for it\n")
    run = runs.read_run("beside")
    assert run.state is State.DONE
    assert run.source == "command"
    request = read_json(run.folder / TRAINER / "request.json")
    assert request["request"]["data"] == request["data"] == [str(made / "pictures")]
    assert request["out"] == str(place / "beside")
    assert "Traceback" not in said["waits"]
    assert runs.read_run("waits").state is State.STOPPED
    listed = subprocess.run(
        [sys.executable, "-m", "mmdemo", "runs", "--json"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {(entry["name"], entry["state"]) for entry in json.loads(listed.stdout)} == {
        ("beside", "done"),
        ("waits", "stopped"),
    }


def _waiting(name: str) -> Run:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for run in runs.list_runs():
            if run.name == name and run.place:
                return run
        time.sleep(0.02)
    raise AssertionError(f"{name} never waited")
