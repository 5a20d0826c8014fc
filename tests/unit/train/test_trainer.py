"""The glue around transformers.Trainer: gradients, averages, groups of parameters, states to resume from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mmdemo.core.errors import MmdemoError
from mmdemo.tasks import TASKS
from mmdemo.train.batches import Batches
from mmdemo.train.ema import ExponentialMovingAverage
from mmdemo.train.loop import StepTrainer, parameter_groups
from mmdemo.train.precision import pick_precision, run_outputs
from mmdemo.train.record import BEST, RunObserver, best_epochs, read_events
from mmdemo.train.settings import TrainSettings
from tests.unit.tasks.made import CONFIGS, ROWS
from tests.unit.train.lessons import LIVELY, PLAIN, fitted, lively_rows


class Says(RunObserver):
    def __init__(self) -> None:
        self.said: list[str] = []

    def log(self, text: str) -> None:
        self.said.append(text)


def gradient(folder: Path, task: str, settings: TrainSettings) -> dict[str, Tensor]:
    """What had been summed up before the only step."""
    torch.manual_seed(0)
    net = TASKS[task].build(CONFIGS[task])
    found: dict[str, Tensor] = {}
    for name, parameter in net.named_parameters():

        def keep(parameter: Tensor, name: str = name) -> None:
            assert parameter.grad is not None
            found[name] = parameter.grad.clone()

        parameter.register_post_accumulate_grad_hook(keep)
    TASKS[task].fit_init(net, ROWS[task]())
    fitted(folder, replace(settings, max_grad_norm=1e9), task=task, net=net)
    return found


@pytest.mark.parametrize("task", ["ask", "caption", "sentiment"])
@pytest.mark.parametrize(("size", "times"), [(4, 2), (3, 3), (1, 8)])
def test_eight_at_once_and_in_parts_give_the_same_gradient(tmp_path: Path, task: str, size: int, times: int) -> None:
    whole = gradient(tmp_path / "a", task, PLAIN)
    parts = gradient(tmp_path / "b", task, replace(PLAIN, batch_size=size, grad_accum_steps=times))
    assert whole.keys() == parts.keys()
    assert any(float(values.abs().max()) > 1e-3 for values in whole.values())
    for name, values in whole.items():
        torch.testing.assert_close(parts[name], values, atol=1e-5, rtol=1e-3, msg=name)


@pytest.mark.parametrize("task", ["classify", "vision"])
def test_what_compares_rows_cannot_be_taken_in_parts(tmp_path: Path, task: str) -> None:
    with pytest.raises(MmdemoError, match="cannot be trained in parts: its loss compares every row"):
        fitted(tmp_path, replace(PLAIN, batch_size=4, grad_accum_steps=2), task=task)


def test_a_batch_that_does_not_fit_is_halved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second step finds a memory that holds two rows at a time."""
    step = StepTrainer.compute_loss
    met: list[tuple[int, int]] = []

    def small(self: StepTrainer, model: nn.Module, inputs: dict[str, Tensor], **rest: object) -> Tensor:
        rows = len(inputs["grid"])
        met.append((self.state.global_step, rows))
        if self.state.global_step >= 1 and rows > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return step(self, model, inputs, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(StepTrainer, "compute_loss", small)
    settings, says = replace(PLAIN, epochs=3, ema_decay=0.5), Says()
    halved = fitted(tmp_path / "small", settings, watch=says)
    monkeypatch.undo()
    assert met == [(0, 8), (1, 8), (1, 4), *[(1, 2)] * 4, *[(2, 2)] * 4]
    out = [text for text in says.said if text.startswith("out of memory")]
    assert out == [
        "out of memory after step 1: going on with 4 rows at a time instead of 8, 2 times a step",
        "out of memory after step 1: going on with 2 rows at a time instead of 4, 4 times a step",
    ]
    at_once = fitted(tmp_path / "large", settings)
    assert [e["step"] for e in read_events(tmp_path / "small") if "loss" in e] == [1, 2, 3]
    for (name, tensor), other in zip(halved.state_dict().items(), at_once.state_dict().values(), strict=True):
        torch.testing.assert_close(tensor, other, atol=2e-4, rtol=1e-2, msg=name)


def test_a_row_that_does_not_fit_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> Tensor:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(StepTrainer, "compute_loss", never)
    with pytest.raises(MmdemoError, match="memory does not hold a step: 1 rows at once are too many"):
        fitted(tmp_path, PLAIN)
    with pytest.raises(MmdemoError, match="this task's batches cannot be taken in parts"):
        fitted(tmp_path, PLAIN, task="classify")


def test_other_failures_are_not_taken_for_want_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(StepTrainer, "compute_loss", broken)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        fitted(tmp_path, PLAIN)


def test_every_row_comes_once_an_epoch_whoever_computes_it() -> None:
    alone = Batches(23, 6, seed=5)
    steps = [sorted(place.row for place in part) for part in alone]
    assert len(steps) == len(alone) == alone.steps == 4
    assert sorted(row for step in steps for row in step) == list(range(23))
    assert {len(step) for step in steps} == {5, 6}
    shared: list[list[int]] = [[], [], [], []]
    for rank in (0, 1):
        one = Batches(23, 6, parts=2, processes=2, rank=rank, seed=5)
        parts = list(one)
        assert len(parts) == len(one) == 8
        for number, part in enumerate(parts):
            shared[number // 2] += [place.row for place in part]
    assert [sorted(step) for step in shared] == steps
    alone.epoch = 1
    assert [sorted(place.row for place in part) for part in alone] != steps
    assert [len(part) for part in Batches(5, 8, parts=2)] == [3, 2]
    assert [len(part) for part in Batches(2, 8, parts=4)] == [1, 1]


def test_training_stops_where_nothing_gets_better(tmp_path: Path) -> None:
    says = Says()
    worse = replace(PLAIN, epochs=9, learning_rate=0.5, patience=2)
    fitted(tmp_path, worse, watch=says)
    told = [event["minus_loss"] for event in read_events(tmp_path) if "minus_loss" in event]
    best = told.index(max(told))
    assert len(told) == best + 3 < 9
    assert says.said[-1] == "stopping early: no better minus_loss for 2 epochs"
    fitted(tmp_path, worse, watch=says, resume=True)  # does not go on
    assert len([event for event in read_events(tmp_path) if "minus_loss" in event]) == len(told)


def test_no_more_than_asked_are_kept(tmp_path: Path) -> None:
    fitted(tmp_path, replace(LIVELY, save_total_limit=2), rows=lively_rows("caption"))
    told = {e["step"]: e["minus_loss"] for e in read_events(tmp_path) if "minus_loss" in e}
    assert len(told) == 4
    wanted = sorted(told, key=lambda step: -told[step])[:2]
    assert {file.stem for file in (tmp_path / BEST).iterdir()} == {f"step-{step}" for step in wanted}


def test_a_figure_to_choose_by_is_named(tmp_path: Path) -> None:
    with pytest.raises(MmdemoError, match=r"no figure 'minus_los' to choose by: .*Did you mean minus_loss"):
        fitted(tmp_path, replace(PLAIN, metric="minus_los"))


def test_smoothing_raises_the_least_loss(tmp_path: Path) -> None:
    losses = {}
    for share in (0.0, 0.3):
        fitted(tmp_path / str(share), replace(PLAIN, epochs=60, label_smoothing=share))
        losses[share] = read_events(tmp_path / str(share))[-2]["loss"]
    assert losses[0.0] < 0.3 < losses[0.3]


def test_precision_is_what_the_device_is_good_at() -> None:
    assert pick_precision("auto", "cpu") in {"fp32", "bf16"}
    assert pick_precision("bf16", "cpu") == "bf16"
    assert pick_precision("auto", "mps") == "fp32"
    with pytest.raises(MmdemoError, match="fp16 needs a GPU"):
        pick_precision("fp16", "cpu")


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    settings = replace(PLAIN, batch_size=4)
    one, other = fitted(tmp_path / "a", settings), fitted(tmp_path / "b", settings)
    for (name, tensor), again in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(tensor, again), name


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    net = fitted(tmp_path, replace(PLAIN, epochs=3, learning_rate=0.5))  # far too high: later epochs are worse
    task, rows = TASKS["caption"], ROWS["caption"]()
    have = task.score(net, run_outputs(task, net, rows, batch_size=8, device=torch.device("cpu")), rows)
    told = read_events(tmp_path)
    figures = [event["minus_loss"] for event in told if "minus_loss" in event]
    assert len(figures) == 3
    assert have["minus_loss"] == pytest.approx(max(figures), abs=1e-4)
    assert max(figures) > min(figures)


def test_of_equal_epochs_the_one_with_the_lower_loss_is_the_best() -> None:
    figures = [(0.5, -1.0), (0.6, -2.0), (0.6, -1.5), (0.6, None), (0.6, -1.5), (float("nan"), 0.0)]
    events = [
        {"step": i, "ua": ua} | ({} if loss is None else {"minus_loss": loss}) for i, (ua, loss) in enumerate(figures)
    ]
    assert best_epochs(events, "ua") == [(0.6, 2), (0.6, 4), (0.6, 1), (0.6, 3), (0.5, 0)]
    assert best_epochs(events, "minus_loss")[0] == (0.0, 5)


def test_a_figure_that_is_no_number_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(TASKS["caption"]), "score", lambda *_: {"minus_loss": float("nan")})
    with pytest.raises(MmdemoError, match="came to nothing: its minus_loss was never a number"):
        fitted(tmp_path, PLAIN)
    assert not (tmp_path / BEST).exists()


def test_parameters_are_grouped_by_rate_and_decay() -> None:
    settings = TrainSettings(learning_rate=1e-3, weight_decay=0.1, encoder_lr_scale=0.5, layer_decay=0.5)
    net = TASKS["sentiment"].build(CONFIGS["sentiment"])
    groups = parameter_groups(TASKS["sentiment"], net, settings)
    assert sum(len(group["params"]) for group in groups) == len(list(net.parameters()))
    for group in groups:
        assert group["weight_decay"] == (0.1 if group["params"][0].ndim >= 2 else 0.0)
        assert len({parameter.ndim >= 2 for parameter in group["params"]}) == 1
    assert {group["lr"] for group in groups} == {1e-3, 5e-4, 2.5e-4}
    frozen = TASKS["vision"].build(CONFIGS["vision"])
    grouped = {id(p) for group in parameter_groups(TASKS["vision"], frozen, settings) for p in group["params"]}
    assert grouped == {id(p) for p in frozen.parameters() if p.requires_grad}


def test_average_follows_and_swaps() -> None:
    net = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        net.weight.fill_(0.0)
    average = ExponentialMovingAverage(net, 0.9)
    with torch.no_grad():
        net.weight.fill_(1.0)
    average.update(net)  # early steps count more: decay (1 + 1) / (10 + 1)
    assert float(average.shadow["weight"]) == pytest.approx(1 - 2 / 11)
    average.swap(net)
    assert float(net.weight.detach()) == pytest.approx(1 - 2 / 11)
    average.swap(net)
    assert float(net.weight.detach()) == 1.0

    other = ExponentialMovingAverage(net, 0.9)
    other.load(average.state())
    assert other.steps == 1
    assert torch.equal(other.shadow["weight"], average.shadow["weight"])
