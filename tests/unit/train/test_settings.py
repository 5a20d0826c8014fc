"""A training's configuration: defaults, overrides, and mistakes named with what was probably meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import ROOT
from mmdemo.data.prepare.inputs import chosen_options, net_settings
from mmdemo.nets.decoder import CaptionConfig
from mmdemo.nets.fusion import AskConfig
from mmdemo.nets.shared_space import ClassifyConfig
from mmdemo.nets.speech import SpeechConfig
from mmdemo.nets.vision import VisionConfig
from mmdemo.train.settings import Measure, TrainSettings, read_config

TEXT = """
[data]
least = 3
words = ["a", "b"]

[net]
width = 320

[train]
epochs = 2
learning_rate = 1e-3
schedule = "linear"

[card]
summary = "Says it."
limits = ["one"]

[[evaluate]]
data = ["coco/test"]
name = "COCO"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "mine.toml").write_text(TEXT, encoding="utf-8")
    return tmp_path / "mine.toml"


def test_a_file_with_defaults_for_the_rest(file: Path) -> None:
    config = read_config(file)
    assert config.train == TrainSettings(epochs=2.0, learning_rate=1e-3, schedule="linear")
    assert isinstance(config.train.epochs, float)
    assert dict(config.net) == {"width": 320}
    assert dict(config.data) == {"least": 3, "words": ("a", "b")}
    assert config.card.limits == ("one",)
    assert config.evaluate == (Measure(data=("coco/test",), name="COCO"),)


def test_overrides(file: Path) -> None:
    given = [
        "train.learning_rate=3e-5",
        "train.schedule=constant",
        "train.keep_best=false",
        "net.layers=1",
        "data.new=x",
    ]
    config = read_config(file, given)
    assert config.train.learning_rate == 3e-5
    assert config.train.schedule == "constant"
    assert config.train.keep_best is False
    assert dict(config.net) == {"width": 320, "layers": 1}
    assert config.data["new"] == "x"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.learning_rat=1", r"Unknown setting: train.learning_rat: .*Did you mean train.learning_rate"),
        ("trian.epochs=1", r"unknown section: trian: .*Did you mean train"),
        ("card.licens=mit", r"Did you mean card.licence"),
        ("train.epochs=many", r"train.epochs must be of type float: it is 'many'"),
        ("train.seed=1.5", r"train.seed must be of type int"),
        ("train.seed=true", r"train.seed must be of type int"),
        ("train.keep_best=1", r"train.keep_best must be of type bool"),
        ("card.limits=[1, 2]", r"card.limits must be a list of texts"),
        ("train.epochs=-1", r"train.epochs must not be below 0"),
        ("train.schedule=wavy", r"must be one of cosine, linear, constant"),
        ("train.ema_decay=1", r"train.ema_decay must be"),
        ("epochs=3", r"must read section.key=value"),
        ("train.=3", r"must read section.key=value"),
        ("evaluate.data=3", r"evaluate is no section"),
    ],
)
def test_a_wrong_override_is_named(file: Path, override: str, words: str) -> None:
    with pytest.raises(MmdemoError, match=words):
        read_config(file, [override])


@pytest.mark.parametrize(
    "text", ["train = 3", "net = []", "evaluate = 3", "[evaluate]\nx = 1", "evaluate = [3]", "= 3"]
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "odd.toml"
    file.write_text(text)
    with pytest.raises(MmdemoError, match=r"odd\.toml"):
        read_config(file)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(MmdemoError, match="cannot be read"):
        read_config(tmp_path / "gone.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MmdemoError, match="not valid TOML"):
        read_config(tmp_path / "bytes.toml")


def test_network_settings_are_checked_by_name_and_type() -> None:
    assert net_settings(AskConfig, {"answers": 3, "dropout": 0}) == AskConfig(answers=3, dropout=0)
    with pytest.raises(MmdemoError, match=r"net\.layer.*Did you mean net\.layers"):
        net_settings(AskConfig, {"answers": 3, "layer": 2})
    with pytest.raises(MmdemoError, match=r"net\.width must be of type int: it is '320'"):
        net_settings(AskConfig, {"answers": 3, "width": "320"})
    with pytest.raises(MmdemoError, match="side must be a multiple of 32"):
        net_settings(VisionConfig, {"side": 100})


def test_data_options_are_checked_by_name_and_type() -> None:
    assert chosen_options({"known_weight": 1}, mirror=True, known_weight=0.5) == {"mirror": True, "known_weight": 1.0}
    with pytest.raises(MmdemoError, match=r"data\.miror: .*Did you mean data\.mirror"):
        chosen_options({"miror": True}, mirror=True)
    with pytest.raises(MmdemoError, match=r"data\.least must be of type int: it is 'few'"):
        chosen_options({"least": "few"}, least=3)


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("ask", AskConfig),
        ("caption", CaptionConfig),
        ("classify", ClassifyConfig),
        ("sentiment", SpeechConfig),
        ("vision", VisionConfig),
    ],
)
def test_the_shipped_configurations_are_understood(task: str, kind: type) -> None:
    config = read_config(ROOT / "configs" / f"{task}.toml")
    needed = {"ask": {"answers": 1}, "caption": {"words": 5}}.get(task, {})
    assert net_settings(kind, {**config.net, **needed})
    assert config.card.summary
    assert config.card.limits


def test_an_entry_that_lacks_what_it_needs_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("[[evaluate]]\n")
    with pytest.raises(MmdemoError, match=r"A setting of evaluate is missing: 'data'"):
        read_config(tmp_path / "run.toml")


def test_numbers_and_nesting_out_of_bounds_are_refused(tmp_path: Path) -> None:
    for text in (
        "[train]\nlearning_rate = nan\n",
        "[train]\nlearning_rate = inf\n",
        "x = " + "[" * 5000,
        "x = " + "9" * 5000,
    ):
        (tmp_path / "run.toml").write_text(text)
        with pytest.raises(MmdemoError, match="is not valid TOML"):
            read_config(tmp_path / "run.toml")
