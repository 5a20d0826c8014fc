"""Settings under the names that an earlier version had."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmdemo.core.config import CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.core.renamed import SECTIONS, current_name, current_names
from mmdemo.core.settings import checkpoints_root
from mmdemo.studio.settings import from_toml, parse_line
from mmdemo.train.settings import read_config, write_config

EARLIER = """[train]
clip = 0.5
average = 0.9
base_rate = 0.3
accumulate = 4
keep = 2
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = tmp_path / "earlier.toml"
    place.write_text(EARLIER, encoding="utf-8")
    return place


def test_a_configuration_of_before_is_read(file: Path) -> None:
    train = read_config(file).train

    assert (train.max_grad_norm, train.ema_decay, train.encoder_lr_scale) == (0.5, 0.9, 0.3)
    assert (train.grad_accum_steps, train.save_total_limit) == (4, 2)
    assert not set(SECTIONS["train"]) & {line.split(" = ")[0] for line in write_config(read_config(file)).splitlines()}


@pytest.mark.parametrize("name", ["train.clip", "train.max_grad_norm"])
def test_an_override_wins_under_either_name(file: Path, name: str) -> None:
    assert read_config(file, [f"{name}=0.25"]).train.max_grad_norm == 0.25
    assert read_config(file, ["train.clip=0.75", f"{name}=0.25"]).train.max_grad_norm == 0.25


def test_both_names_in_one_file_are_refused(file: Path) -> None:
    file.write_text(EARLIER + "max_grad_norm = 1.0\n", encoding="utf-8")

    with pytest.raises(MmdemoError, match=r"train.max_grad_norm is given twice: train.clip is its earlier name"):
        read_config(file)


def test_the_page_takes_both_names() -> None:
    assert parse_line("train.keep = 3") == ("train.save_total_limit", 3)
    assert from_toml("ask", EARLIER)[0]["train.grad_accum_steps"] == 4


def test_other_names_stay() -> None:
    assert current_name("data.keep") == "data.keep"
    assert current_names("data", {"clip": 1}) == {"clip": 1}


def test_a_checkpoint_of_before_is_read() -> None:
    raw = json.loads((checkpoints_root() / "ask-base" / "config.json").read_text(encoding="utf-8"))
    raw["net"] = {**raw["net"], "blind": True}
    raw["net"].pop("ablate_image", None)

    assert CheckpointConfig.from_json(json.dumps(raw), "ask-base").net["ablate_image"] is True
