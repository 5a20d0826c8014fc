"""The settings of the tab Teach: all of them there, defaults that give way to what was typed, and the way back."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import TASKS
from mmdemo.studio import settings
from mmdemo.train.settings import PRECISIONS, SCHEDULES, TrainSettings
from mmdemo.ui.strings import TEXTS
from mmdemo.ui.teach import settings as page

ELSEWHERE = {"tune", "self_critical", "teacher_share", "teacher_temperature"}
"""What has a control of its own, and what only says something with --teacher."""


def held(task: str, **more: Any) -> list[Any]:
    """What the controls hold when nothing was touched."""
    values = {"base": f"{task}-base", "leaks": False, **page.fitting(task, None, "mine"), **more}
    return [values[name] for name in page.names()]


def test_every_setting_has_a_control_and_words() -> None:
    names = {one.name for one in dataclasses.fields(TrainSettings)}

    assert {field.name for field in page.FIELDS} == names - ELSEWHERE
    assert all(f"teach_set_{field.name}" in TEXTS and f"teach_set_{field.name}_info" in TEXTS for field in page.FIELDS)
    choices = {field.name: field.choices for field in page.FIELDS if field.choices}
    assert choices == {"schedule": SCHEDULES, "precision": PRECISIONS}


@pytest.mark.parametrize("task", TASKS)
def test_untouched_controls_say_the_tasks_own_configuration(task: str) -> None:
    choice = page.chosen(task, [Path("/data")], held(task), device="auto", language="en")

    assert dict(choice.overrides) == {}
    assert settings.request_of(choice).to_argv() == (task, "--data", "/data", "--out", "mine")


def test_a_text_field_that_nobody_has_touched_is_empty() -> None:
    choice = page.chosen("ask", [Path("/data")], held("ask", metric=None), device="auto", language="en")

    assert dict(choice.overrides) == {}


def test_what_was_typed_goes_into_the_command() -> None:
    values = held("classify", tune="last", blocks=3, epochs=7, more="data.mirror = false\n# a remark\n", leaks=True)

    choice = page.chosen("classify", [Path("/data")], values, device="cpu", language="en")

    assert dict(choice.overrides) == {"train.tune": "last:3", "train.epochs": 7, "data.mirror": False}
    line = settings.command(choice)
    assert "train.epochs=7 " in line
    assert "--allow-leaks --device cpu" in line


@pytest.mark.parametrize(
    ("more", "words"),
    [({"epochs": None}, "Epochs"), ({"more": "nonsense"}, "nonsense"), ({"max_grad_norm": -1}, "train.max_grad_norm")],
)
def test_what_cannot_be_is_one_sentence(more: dict[str, Any], words: str) -> None:
    with pytest.raises(MmdemoError, match=words):
        page.chosen("classify", [Path("/data")], held("classify", **more), device="auto", language="en")


def test_a_suggestion_changes_what_nobody_touched() -> None:
    before = page.fitting("classify", None, "one")
    values = held("classify", **before)
    names = page.names()
    values[names.index("epochs")] = 99

    updates = page.untouched(values, {**before, "epochs": 20, "batch_size": 7, "out": "two"}, before)

    by_name = dict(zip(names, updates, strict=False))
    assert "value" not in by_name["epochs"]
    assert by_name["batch_size"]["value"] == 7
    assert by_name["out"]["value"] == "two"
    assert "value" not in by_name["seed"]
    always = dict(zip(names, page.untouched(values, {**before, "epochs": 20}, before, always=True), strict=False))
    assert always["epochs"]["value"] == 20


def test_a_configuration_goes_out_and_comes_back() -> None:
    values = held("classify", tune="last", blocks=2, epochs=3, more="data.known_weight = 0.25")
    choice = page.chosen("classify", [Path("/data")], values, device="auto", language="en")

    overrides, base = settings.from_toml("classify", settings.to_toml(choice))
    shown = page.shown_values("classify", overrides, base)

    assert (shown["tune"], shown["blocks"], shown["epochs"]) == ("last", 2, 3)
    assert shown["more"] == "data.known_weight = 0.25"


def test_a_free_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(tmp_path))
    (tmp_path / "my-mugs-model").mkdir()

    assert page.free_name("my mugs") == "my-mugs-model-2"
    assert page.free_name("../..") == "my-model"
