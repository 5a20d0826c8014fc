"""Interrupted is not lost: killed at any moment, a run that goes on ends at the weights of one that was not."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from multiprocessing.context import ForkServerContext
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mmdemo.core.errors import MmdemoError
from mmdemo.tasks import TASKS
from mmdemo.train import state
from mmdemo.train.loop import StepTrainer
from mmdemo.train.precision import run_outputs
from mmdemo.train.record import BEST, EVENTS, STATES, Record, RunObserver, TrainProgress, read_events
from mmdemo.train.state import TRAINER, WEIGHTS, chance, newest_state, set_chance
from mmdemo.train.trainer import ENDING_SIGNALS, Interrupted
from tests.unit.tasks.made import CONFIGS
from tests.unit.train.lessons import FINAL, LIVELY, PLAIN, fitted, lively, lively_config, lively_rows

STEPS = 32
"""Of a lively training: 24 rows, 3 a step, 4 epochs."""


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Processes that start at once: one that has imported everything waits to be copied."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.unit.train.lessons"])
    return context


@pytest.fixture(scope="module")
def whole(processes: ForkServerContext, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Uninterrupted runs."""
    found = {}
    for task in ("caption", "sentiment"):
        found[task] = tmp_path_factory.mktemp(f"whole-{task}")
        _run(processes, found[task], task)
    return found


def _run(processes: ForkServerContext, folder: Path, task: str, *, resume: bool = False) -> None:
    process = processes.Process(target=lively, args=(folder, task), kwargs={"resume": resume})
    process.start()
    process.join()
    assert process.exitcode == 0


def _steps(folder: Path) -> list[int]:
    return [event["step"] for event in read_events(folder) if "loss" in event]


def _killed(processes: ForkServerContext, folder: Path, task: str, *, after: int, wait: float, resume: bool) -> bool:
    """Start a run and kill it some time after a step; False where it was done before."""
    process = processes.Process(target=lively, args=(folder, task), kwargs={"resume": resume})
    process.start()
    while process.is_alive() and max(_steps(folder), default=0) < after:
        time.sleep(0.001)
    time.sleep(wait)
    if process.pid is not None and process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return process.exitcode != 0


@pytest.mark.parametrize("task", ["caption", "sentiment"])
def test_killed_at_random_steps_it_ends_where_it_would_have_ended(
    processes: ForkServerContext, whole: dict[str, Path], tmp_path: Path, task: str
) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    drawn = Random(seed)
    print(f"seed {seed}")
    points = sorted(drawn.sample(range(2, STEPS), 3))
    kills = 0
    for number, point in enumerate(points):
        kills += _killed(processes, tmp_path, task, after=point, wait=drawn.uniform(0, 0.02), resume=number > 0)
    assert kills
    _run(processes, tmp_path, task, resume=True)
    one, other = load_file(whole[task] / FINAL), load_file(tmp_path / FINAL)
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), f"{name} differs after kills at {points}, seed {seed}"
    assert _steps(tmp_path) == list(range(1, STEPS + 1))
    losses = [[e["loss"] for e in read_events(folder) if "loss" in e] for folder in (whole[task], tmp_path)]
    assert losses[0] == losses[1]


class Stops(RunObserver):
    """Asks this process to stop after a step, as Ctrl-C does."""

    def __init__(self, step: int, number: signal.Signals) -> None:
        self.at, self.number = step, number
        self.said: list[str] = []

    def log(self, text: str) -> None:
        self.said.append(text)

    def step(self, progress: TrainProgress) -> None:
        if progress.step == self.at:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", ENDING_SIGNALS)
@pytest.mark.parametrize("step", [4, 8, STEPS])  # within an epoch, at its end, at the very end
def test_asked_to_stop_it_keeps_the_last_step(
    tmp_path: Path, whole: dict[str, Path], step: int, number: signal.Signals
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows, config = lively_rows("caption"), lively_config("caption")
        with pytest.raises(Interrupted) as caught:
            fitted(tmp_path, LIVELY, rows=rows, config=config, watch=Stops(step, number))
        assert caught.value.signal == number
        assert step <= caught.value.step <= min(step + 1, STEPS)
        state = newest_state(tmp_path / STATES)
        assert state is not None
        assert state.name == f"step-{caught.value.step}"
        net = fitted(tmp_path, LIVELY, rows=rows, config=config, resume=True)
    finally:
        torch.set_num_threads(before)
    for name, tensor in load_file(whole["caption"] / FINAL).items():
        assert torch.equal(tensor, net.state_dict()[name]), name


def test_a_state_holds_no_pickle(tmp_path: Path) -> None:
    fitted(tmp_path, replace(LIVELY, epochs=1), rows=lively_rows("caption"))
    state = newest_state(tmp_path / STATES)
    assert state is not None
    assert {file.suffix for file in state.iterdir()} == {".safetensors", ".json"}
    assert {WEIGHTS, TRAINER, "average.safetensors", "optimizer.json", "chance-0.safetensors"} <= {
        file.name for file in state.iterdir()
    }


def test_half_written_states_are_passed_over(tmp_path: Path) -> None:
    assert newest_state(tmp_path) is None
    for name in ("step-9", "step-100", "step-200.part", "step-x"):
        (tmp_path / name).mkdir()
    found = newest_state(tmp_path)
    assert found is not None
    assert found.name == "step-100"


def test_a_rate_changed_on_resume_is_used(tmp_path: Path) -> None:
    rows = lively_rows("caption")
    settings = replace(LIVELY, schedule="constant", warmup=0.0)
    with pytest.raises(Interrupted):
        fitted(tmp_path, settings, rows=rows, watch=Stops(6, signal.SIGTERM))
    fitted(tmp_path, replace(settings, learning_rate=1e-4), rows=rows, resume=True)
    rates = [event["rate"] for event in read_events(tmp_path) if "loss" in event]
    assert rates[0] == settings.learning_rate
    assert rates[-1] == 1e-4
    assert len(set(rates)) == 2


def test_more_epochs_can_be_asked_for_on_resume(tmp_path: Path) -> None:
    fitted(tmp_path, replace(PLAIN, epochs=2))
    fitted(tmp_path, replace(PLAIN, epochs=3), resume=True)
    assert _steps(tmp_path) == [1, 2, 3]


class Killed(Stops):
    """Dies after a step, as if by kill -9: nothing is written any more."""

    def step(self, progress: TrainProgress) -> None:
        if progress.step == self.at:
            raise KeyboardInterrupt


def test_the_best_epoch_of_a_state_outlives_what_came_after_it(tmp_path: Path) -> None:
    """A later epoch was better, its state was never written, and the run goes on in another way."""
    rows, settings = lively_rows("caption"), replace(LIVELY, save_total_limit=1, save_steps=10**6, epochs=6)
    with pytest.raises(Interrupted):
        fitted(tmp_path, settings, rows=rows, watch=Stops(14, signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, settings, rows=rows, watch=Killed(22, signal.SIGINT), resume=True)
    figures = {event["step"]: event["minus_loss"] for event in read_events(tmp_path) if "minus_loss" in event}
    assert figures[16] > figures[8]
    assert {file.stem for file in (tmp_path / BEST).iterdir()} == {"step-8", "step-16"}
    fitted(tmp_path, replace(settings, learning_rate=20.0, epochs=3), rows=rows, resume=True)  # all else is worse
    assert {file.stem for file in (tmp_path / BEST).iterdir()} == {"step-8"}


def test_a_run_without_a_state_begins_anew_with_nothing_of_before(tmp_path: Path) -> None:
    settings = replace(LIVELY, save_steps=10**6, patience=3)
    rows = lively_rows("caption")
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, settings, rows=rows, watch=Killed(20, signal.SIGINT))
    assert newest_state(tmp_path / STATES) is None
    again = fitted(tmp_path, settings, rows=rows, resume=True)
    whole = fitted(tmp_path / "whole", settings, rows=rows)
    assert _steps(tmp_path) == _steps(tmp_path / "whole")
    for (name, tensor), other in zip(again.state_dict().items(), whole.state_dict().values(), strict=True):
        assert torch.equal(tensor, other), name


@pytest.mark.parametrize("epochs", [1.5, 2])
def test_a_training_that_has_ended_makes_no_further_step(tmp_path: Path, epochs: float) -> None:
    rows, settings = lively_rows("caption"), replace(LIVELY, epochs=epochs)
    one = fitted(tmp_path, settings, rows=rows)
    before = read_events(tmp_path)
    stops = Stops(0, signal.SIGTERM)
    other = fitted(tmp_path, settings, rows=rows, resume=True, watch=stops)
    assert read_events(tmp_path) == before
    assert "its training has ended already" in stops.said
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())


def test_an_epochs_end_that_was_left_out_is_made_up_for(tmp_path: Path) -> None:
    """Killed after the last step's state and before its validation, by which the training would have stopped early."""
    rows, settings = lively_rows("caption"), replace(LIVELY, learning_rate=1.0, patience=1, epochs=9, ema_decay=0.0)
    whole = fitted(tmp_path, settings, rows=rows)
    events = read_events(tmp_path)
    last = max(event["step"] for event in events)
    assert last < 72
    lines = (tmp_path / EVENTS).read_text().splitlines(keepends=True)
    (tmp_path / EVENTS).write_text("".join(lines[:-1]))  # without the last validation
    again = fitted(tmp_path, settings, rows=rows, resume=True)
    assert [{k: v for k, v in e.items() if k != "time"} for e in read_events(tmp_path)] == [
        {k: v for k, v in e.items() if k != "time"} for e in events
    ]
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in whole.state_dict().items())


def test_what_is_no_number_is_no_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compute = StepTrainer.compute_loss

    def broken(self: StepTrainer, *given: object, **rest: object) -> torch.Tensor:
        loss = compute(self, *given, **rest)  # type: ignore[arg-type]
        return loss * float("nan") if self.state.global_step >= 5 else loss

    monkeypatch.setattr(StepTrainer, "compute_loss", broken)
    with pytest.raises(MmdemoError, match="has diverged at step 8"):  # the first epoch's end
        fitted(tmp_path, LIVELY, rows=lively_rows("caption"))
    state = newest_state(tmp_path / STATES)
    assert state is not None
    assert state.name == "step-3"
    monkeypatch.undo()
    net = fitted(tmp_path, replace(LIVELY, learning_rate=1e-3), rows=lively_rows("caption"), resume=True)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in net.state_dict().values())


def test_the_random_generators_go_on_where_they_were() -> None:
    stored = chance()
    drawn = [torch.rand(3).tolist(), np.random.rand(3).tolist(), random.gauss(0, 1), random.random()]
    set_chance(stored)
    again = [torch.rand(3).tolist(), np.random.rand(3).tolist(), random.gauss(0, 1), random.random()]
    assert drawn == again


def test_a_full_disk_is_one_sentence_and_the_last_state_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = state.write_tensors

    def full(tensors: dict[str, torch.Tensor], file: Path) -> None:
        if "step-6" in str(file):
            raise OSError(28, "No space left on device")
        write(tensors, file)

    monkeypatch.setattr(state, "write_tensors", full)
    with pytest.raises(MmdemoError, match=r"cannot be saved: .*No space left.*the state of step 3 is whole"):
        fitted(tmp_path, LIVELY, rows=lively_rows("caption"))
    assert [place.name for place in (tmp_path / STATES).iterdir()] == ["step-3"]
    monkeypatch.undo()
    fitted(tmp_path, LIVELY, rows=lively_rows("caption"), resume=True)
    assert _steps(tmp_path) == list(range(1, STEPS + 1))


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    first = Record(tmp_path / "run" / "trainer", RunObserver())
    try:
        with pytest.raises(MmdemoError, match=rf"run is being trained: process {os.getpid()} holds"):
            Record(tmp_path / "run" / "trainer", RunObserver())
    finally:
        first.close()
    Record(tmp_path / "run" / "trainer", RunObserver()).close()


def test_a_forgotten_resume_loses_nothing(tmp_path: Path) -> None:
    rows = lively_rows("caption")
    stops = Stops(6, signal.SIGTERM)
    with pytest.raises(Interrupted):
        fitted(tmp_path, LIVELY, rows=rows, watch=stops)
    record = Record(tmp_path, stops)
    record.set_aside()
    record.close()
    assert not (tmp_path / STATES).exists()
    kept = newest_state(tmp_path / "earlier-1" / STATES)
    assert kept is not None
    assert "--resume would have gone on with it" in stops.said[-1]
    assert not json.loads((kept / TRAINER).read_text())["log_history"]


def test_validation_leaves_chance_as_it_was() -> None:
    net = TASKS["caption"].build(CONFIGS["caption"])
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    run_outputs(TASKS["caption"], net, lively_rows("caption"), batch_size=4, device=torch.device("cpu"))
    assert torch.equal(torch.rand(2), expected)
