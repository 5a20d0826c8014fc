"""What others made, as the base of a training: offered where it can be taught, with settings and cost of its own."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import ROOT
from mmdemo.models.families.classes import FAMILIES
from mmdemo.models.families.detect import read_layout
from mmdemo.models.families.factory import register_installed
from mmdemo.models.hub import installed
from mmdemo.runs.reading import ACTIVE, list_runs
from mmdemo.serving.engine import Engine
from mmdemo.studio import hub_bases, settings
from mmdemo.studio.estimate import estimate
from mmdemo.studio.settings import Choice
from mmdemo.train import hub_cost
from mmdemo.train.folder import born
from mmdemo.train.hub import check_settings
from mmdemo.train.hub_cost import check_memory, cost_of
from mmdemo.train.settings import RunConfig, TrainSettings, read_config
from mmdemo.ui.teach import settings as page
from tests.tiny_models.audio import make_speech, make_whisper
from tests.tiny_models.blip import make_blip_ask
from tests.tiny_models.chat import make_qwen
from tests.tiny_models.open_clip_ import make_clip
from tests.tiny_models.vilt import make_vilt
from tests.unit.studio.test_settings import preview_of

MAKE: dict[str, Any] = {
    "tiny-clip": make_clip,
    "tiny-blip": make_blip_ask,
    "tiny-qwen": make_qwen,
    "tiny-vilt": make_vilt,
    "tiny-speech": make_speech,
    "tiny-writer": make_whisper,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders of the hub's layout, all of them on the shelf."""
    root = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMDEMO_CACHE", str(root / "cache"))
        patch.setenv("MMDEMO_CHECKPOINTS", str(root / "checkpoints"))
        (root / "checkpoints").mkdir()
        for name, make in MAKE.items():
            make(root / name)
            register_installed(root / name, name=str(root / name))
        yield root


def offered(task: str) -> list[str]:
    return [Path(one.id).name for one in hub_bases.hub_starting_points(task)]


def test_they_are_offered_for_what_they_can_be_taught(models: Path) -> None:
    assert all(family.trainable for family in FAMILIES), "one that could not is not offered, and the docs say why"
    assert offered("classify") == ["tiny-clip"]
    assert offered("ask") == ["tiny-blip", "tiny-qwen", "tiny-vilt"]
    assert offered("caption") == ["tiny-qwen"]
    assert offered("sentiment") == ["tiny-speech"]  # what writes down speech teaches nothing


def test_one_that_is_gone_or_damaged_is_not_offered(models: Path, tmp_path: Path) -> None:
    for name in ("gone", "damaged"):
        register_installed(shutil.copytree(models / "tiny-clip", tmp_path / name), name=str(tmp_path / name))
    assert offered("classify") == ["tiny-clip", "gone", "damaged"]
    shutil.rmtree(tmp_path / "gone")
    (tmp_path / "damaged" / "open_clip_config.json").write_text("{")
    assert offered("classify") == ["tiny-clip"]
    with pytest.raises(MmdemoError, match=r"There is no model .*gone any more"):
        hub_bases.check(chosen(str(tmp_path / "gone")))
    installed.forget(str(tmp_path / "damaged"))


def test_the_list_of_the_page_calls_them_by_name_and_is_as_before_without_them(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(ROOT / "checkpoints"))
    found = page.starting_points(Engine(device="cpu"), "classify", "en")
    assert found[0] == ("classify-base", "classify-base")
    assert found[-1] == ("tiny-clip (by others, a folder)", str(models / "tiny-clip"))
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path))
    without = page.starting_points(Engine(device="cpu"), "classify", "en")
    assert without == found[:-1]
    assert page.base_note("classify", "classify-base", "en") == ""


@pytest.mark.parametrize(
    ("task", "name", "file"),
    [
        ("ask", "tiny-blip", "hub.toml"),
        ("classify", "tiny-clip", "hub.toml"),
        ("sentiment", "tiny-speech", "hub_sentiment.toml"),
    ],
)
def test_their_settings_are_those_of_the_command_line(models: Path, task: str, name: str, file: str) -> None:
    base = str(models / name)
    assert settings.settings_of(task, base=base) == read_config(ROOT / "configs" / file)
    assert settings.settings_of(task, base=f"{task}-base") == read_config(ROOT / "configs" / f"{task}.toml")
    shown = page.fitting(task, None, "mine", base)
    assert (shown["tune"], shown["lora_rank"], shown["batch_size"]) == ("lora", 16, 8)
    values = {"base": base, "leaks": False, **shown}
    choice = page.chosen(task, [models], [values[one] for one in page.names()], device="auto", language="en")
    assert dict(choice.overrides) == {}
    assert settings.request_of(choice).to_argv() == (task, "--data", str(models), "--out", "mine", "--base", base)
    assert [kind for _, kind in page.tune_update("lora", public=True, language="en").choices] == [
        "head",
        "last",
        "lora",
    ]


def chosen(base: str, task: str = "classify", **overrides: settings.Value) -> Choice:
    return Choice(
        task=task, data=(ROOT,), out="x", base=base, overrides={f"train.{k}": v for k, v in overrides.items()}
    )


@pytest.mark.parametrize(
    ("task", "name", "key", "value", "words"),
    [
        ("classify", "tiny-clip", "net.hidden", 8, r"net\.hidden cannot be set here"),
        ("classify", "tiny-clip", "data.mirror", True, r"data\.mirror"),
        ("ask", "tiny-blip", "data.least", 2, r"data\.least"),
        ("ask", "tiny-blip", "train.self_critical", 0.5, r"self_critical is of no use"),
    ],
)
def test_what_makes_no_sense_for_them_is_refused_at_once(
    models: Path, task: str, name: str, key: str, value: settings.Value, words: str
) -> None:
    with pytest.raises(MmdemoError, match=words):
        settings.settings_of(task, {key: value}, str(models / name))


def test_answers_that_are_new_to_a_list_can_be_bounded(models: Path) -> None:
    assert settings.settings_of("ask", {"data.least": 2}, str(models / "tiny-vilt")).data == {"least": 2}


def test_few_rows_get_more_steps_and_are_not_chosen_by_chance(models: Path) -> None:
    base = str(models / "tiny-clip")
    few = settings.suggest("classify", preview_of("classify", 24, 6, labels=2), base)
    assert few == {"train.epochs": 20, "train.save_steps": 15, "train.keep_best": False, "train.patience": 0}
    many = settings.suggest("classify", preview_of("classify", 4_000, 500, labels=2), base)
    assert many == {}
    assert settings.settings_of("classify", few, base).train.epochs == 20


def test_a_file_of_settings_says_what_it_starts_from(models: Path, tmp_path: Path) -> None:
    choice = chosen(str(models / "tiny-clip"), epochs=2.0, tune="last:1")
    file = tmp_path / "classify.toml"
    file.write_text(settings.to_toml(choice), encoding="utf-8")
    assert read_config(file).base == choice.base
    assert settings.from_toml("classify", file.read_text()) == (dict(choice.overrides), choice.base)
    assert "--base" in shlex.split(settings.command(choice))

    ours = Choice(task="classify", data=(ROOT,), out="x", base="classify-base")
    assert "base" not in settings.to_toml(ours).splitlines()[0]
    elsewhere = file.read_text().replace("tiny-clip", "not-here")
    with pytest.raises(MmdemoError, match=r"they start from .*not-here, which is not on this machine"):
        settings.from_toml("classify", elsewhere)
    with pytest.raises(MmdemoError, match="base must be of type str"):
        settings.from_toml("classify", "base = 3")


# ---------------------------------------------------------------- time and memory


@pytest.mark.parametrize(
    ("task", "name"), [("classify", "tiny-clip"), ("ask", "tiny-qwen"), ("sentiment", "tiny-speech")]
)
def test_more_of_anything_takes_longer(models: Path, task: str, name: str) -> None:
    base = str(models / name)

    def seconds(rows: int, **overrides: settings.Value) -> float:
        return estimate(chosen(base, task, **overrides), preview_of(task, rows, rows // 8)).seconds

    few = seconds(1_000, epochs=2.0)
    assert few < seconds(100_000, epochs=2.0)
    assert few < seconds(1_000, epochs=200.0)
    many = {tune: seconds(100_000, epochs=2.0, tune=tune) for tune in ("head", "last:1", "lora", "all")}
    assert many["head"] < many["last:1"] < many["all"]
    assert many["head"] < many["lora"] < many["all"]


def test_memory_is_told_and_what_does_not_fit_is_refused_with_what_would(models: Path) -> None:
    folder = models / "tiny-clip"
    cost = cost_of(folder, read_layout(folder), "classify")
    train = TrainSettings(tune="lora", batch_size=4096)
    wanted = check_memory("tiny-clip", cost, train, device="cpu", free=1 << 40)
    assert wanted > check_memory(
        "tiny-clip", cost, TrainSettings(tune="lora", batch_size=8), device="cpu", free=1 << 40
    )
    assert estimate(chosen(str(folder)), preview_of("classify", 100, 20)).memory > 1_000_000_000
    assert estimate(chosen("classify-base"), preview_of("classify", 100, 20)).memory == 0
    with pytest.raises(MmdemoError, match=r"tiny-clip cannot be tuned .* takes about .*train\.batch_size=32 it would"):
        check_memory("tiny-clip", cost, train, device="cpu", free=wanted - 100_000_000)
    with pytest.raises(MmdemoError, match="start from a smaller model"):
        check_memory("tiny-clip", cost, train, device="cpu", free=10_000_000)


def test_a_run_that_would_wait_is_not_refused_for_the_memory_of_now(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_cost, "free_memory", lambda device: 100_000_000)
    with pytest.raises(MmdemoError, match="cannot be tuned in the memory of the computer"):
        hub_bases.check(chosen(str(models / "tiny-clip")))
    folder = models / "checkpoints" / "busy" / "trainer"
    folder.mkdir(parents=True)
    try:
        going = {"state": "training", "step": 1, "steps": 9, "pid": os.getpid(), "born": born(os.getpid())}
        (folder / "status.json").write_text(json.dumps(going))
        (folder / "plan.json").write_text(json.dumps({"task": "ask"}))
        assert [hub_bases.device_of(run) for run in list_runs() if run.state in ACTIVE] == ["cpu"]
        assert hub_bases.check(chosen(str(models / "tiny-clip"))) > 1_000_000_000
    finally:
        shutil.rmtree(folder.parent)


def test_what_is_damaged_or_gone_is_said_by_name(models: Path, tmp_path: Path) -> None:
    """A commit of the hub's cache is no name, and a wrong setting no matter where the files are wrong."""
    commit = shutil.copytree(models / "tiny-vilt", tmp_path / ("0123456789" * 4))
    with pytest.raises(MmdemoError, match="the network is that of some/vilt"):
        check_settings(RunConfig(net={"width": 8}), commit, name="some/vilt")
    (commit / "config.json").write_text(json.dumps({"model_type": "vilt", "architectures": ["ViltModel"]}))
    with pytest.raises(MmdemoError, match=r"some/vilt .*ViltModel"):
        check_settings(RunConfig(net={"width": 8}), commit, name="some/vilt")
    own = models / "gone"
    shutil.copytree(models / "tiny-vilt", own)
    register_installed(own, name=str(own))
    assert "gone" in offered("ask")
    (own / "model.safetensors").unlink()
    assert "gone" not in offered("ask")
    shutil.rmtree(own)


def test_a_file_without_a_base_starts_from_the_shipped_model() -> None:
    _, base = settings.from_toml("ask", "[train]\nepochs = 2\n")
    assert base == "ask-base"


def test_what_a_file_says_stays_when_the_data_are_looked_at_again() -> None:
    held = dict.fromkeys(page.names(), 6)
    updates = page.untouched(list(held.values()), dict.fromkeys(page.names(), 20), page.all_touched())
    kept = dict(zip(page.names(), updates, strict=False))
    assert "value" not in kept["epochs"]
    assert "value" not in kept["more"]
