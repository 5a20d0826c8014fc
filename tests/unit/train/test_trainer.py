"""The glue around transformers.Trainer: gradients, averages, groups of parameters, states to resume from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mmdemo.core.errors import MmdemoError
from mmdemo.tasks import TASKS
from mmdemo.train.settings import TrainSettings
from mmdemo.train.trainer import BEST, EVENTS, Average, fit, newest_state, parameter_groups, run_outputs
from tests.unit.tasks.made import CONFIGS, ROWS

SETTINGS = TrainSettings(
    epochs=1, batch_size=8, learning_rate=1e-2, warmup=0.0, schedule="constant", weight_decay=0.0, precision="fp32"
)


def fitted(
    folder: Path, settings: TrainSettings, *, task: str = "caption", gradients: dict[str, Tensor] | None = None
) -> nn.Module:
    """A network after :func:`fit`; ``gradients`` receives what had been summed up before the last step."""
    torch.manual_seed(0)
    net = TASKS[task].build(CONFIGS[task])
    for name, parameter in net.named_parameters() if gradients is not None else ():

        def keep(parameter: Tensor, name: str = name) -> None:
            if gradients is not None and parameter.grad is not None:
                gradients[name] = parameter.grad.clone()

        parameter.register_post_accumulate_grad_hook(keep)
    rows = ROWS[task]()
    fit(
        TASKS[task],
        net,
        rows,
        rows,
        settings=settings,
        folder=folder,
        device="cpu",
        resume=False,
        say=lambda text: None,
    )
    return net


def test_eight_at_once_and_twice_four_give_the_same_gradient(tmp_path: Path) -> None:
    whole: dict[str, Tensor] = {}
    halves: dict[str, Tensor] = {}
    fitted(tmp_path / "a", SETTINGS, task="ask", gradients=whole)
    fitted(tmp_path / "b", replace(SETTINGS, batch_size=4, accumulate=2), task="ask", gradients=halves)
    assert whole.keys() == halves.keys()
    assert any(float(gradient.abs().max()) > 1e-3 for gradient in whole.values())
    for name, gradient in whole.items():
        torch.testing.assert_close(halves[name], gradient, atol=1e-5, rtol=1e-3, msg=name)


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    settings = replace(SETTINGS, batch_size=4)
    one, other = fitted(tmp_path / "a", settings), fitted(tmp_path / "b", settings)
    for (name, tensor), again in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(tensor, again), name


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    net = fitted(tmp_path, replace(SETTINGS, epochs=3, learning_rate=0.5))  # far too high: later epochs are worse
    task, rows = TASKS["caption"], ROWS["caption"]()
    have = task.score(net, run_outputs(task, net, rows, batch_size=8, device=torch.device("cpu"), bf16=False), rows)
    told = [json.loads(line) for line in (tmp_path / EVENTS).read_text().splitlines()]
    figures = [event["minus_loss"] for event in told if "minus_loss" in event]
    assert len(figures) == 3
    assert have["minus_loss"] == pytest.approx(max(figures), abs=1e-4)
    assert max(figures) > min(figures)


def test_a_figure_that_is_no_number_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(TASKS["caption"]), "score", lambda *_: {"minus_loss": float("nan")})
    with pytest.raises(MmdemoError, match="came to nothing: its minus_loss was never a number"):
        fitted(tmp_path, SETTINGS)
    assert not (tmp_path / BEST).exists()


def test_parameters_are_grouped_by_rate_and_decay() -> None:
    settings = TrainSettings(learning_rate=1e-3, weight_decay=0.1, base_rate=0.5, layer_decay=0.5)
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


def test_average_follows_swaps_and_survives_a_file(tmp_path: Path) -> None:
    net = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        net.weight.fill_(0.0)
    average = Average(net, 0.9)
    with torch.no_grad():
        net.weight.fill_(1.0)
    average.update(net)  # early steps count more: decay (1 + 1) / (10 + 1)
    assert float(average.shadow["weight"]) == pytest.approx(1 - 2 / 11)
    average.swap(net)
    assert float(net.weight.detach()) == pytest.approx(1 - 2 / 11)
    average.swap(net)
    assert float(net.weight.detach()) == 1.0

    average.save(tmp_path / "average.safetensors")
    other = Average(net, 0.9)
    other.resume(net, tmp_path / "average.safetensors")
    assert other.steps == 1
    assert torch.equal(other.shadow["weight"], average.shadow["weight"])
    other.resume(net, tmp_path / "none.safetensors")
    assert other.steps == 0
    assert float(other.shadow["weight"]) == 1.0


def test_half_written_states_are_passed_over(tmp_path: Path) -> None:
    assert newest_state(tmp_path) is None
    for step, whole in ((9, True), (100, True), (200, False)):
        folder = tmp_path / "state" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        if whole:
            (folder / "trainer_state.json").write_text("{}")
    found = newest_state(tmp_path)
    assert found is not None
    assert found.name == "checkpoint-100"
