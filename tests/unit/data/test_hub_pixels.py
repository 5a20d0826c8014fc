"""What processors make of pictures, kept: whole rows, whatever came between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmdemo.core.types import Picture
from mmdemo.data.features import Store
from mmdemo.data.hub_pixels import pixels
from mmdemo.models.families.adapter import AdapterBase
from mmdemo.models.families.detect import Layout
from mmdemo.models.families.zero_shot import ZeroShotModel
from tests.small_bases import draw

COUNT = 18  # more than are looked at together


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))
    found = [tmp_path / f"{i}.png" for i in range(COUNT)]
    for i, file in enumerate(found):
        draw("red", "dog", i).resize((20 + i, 24)).save(file)
    return found


def look(pictures: Sequence[Picture]) -> Mapping[str, Tensor]:
    """As a processor that keeps the shapes of pictures: what each is, where it ends, and its sides."""
    sides = torch.tensor([picture.pixels.shape[:2] for picture in pictures])
    return {"pixel_values": sides.float(), "pixel_attention_mask": sides > 0, "spatial_shapes": sides}


def base(folder: Path) -> AdapterBase:
    layout = Layout(architecture="Siglip2Model", model_class=ZeroShotModel)
    return AdapterBase(id="tiny", revision="", folder=folder, layout=layout, hash="")


@pytest.mark.parametrize("at", [1, 2, 4])
def test_an_interruption_between_two_tensors_costs_their_rows_alone(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    append, calls = Store.append, [0]

    def stopped(self: Store, *args: Any) -> None:
        calls[0] += 1
        if calls[0] == at + 1:
            raise KeyboardInterrupt
        append(self, *args)

    monkeypatch.setattr(Store, "append", stopped)
    with pytest.raises(KeyboardInterrupt):
        pixels(files, look, base(tmp_path))
    monkeypatch.setattr(Store, "append", append)
    for _ in range(2):
        rows = pixels(files, look, base(tmp_path))
        assert list(rows) == files
        for i, file in enumerate(files):
            assert set(rows[file]) == {"pixel_values", "pixel_attention_mask", "spatial_shapes"}
            np.testing.assert_array_equal(rows[file]["spatial_shapes"], [24, 20 + i])
            np.testing.assert_array_equal(rows[file]["pixel_values"], [24, 20 + i])


def test_what_is_kept_is_looked_at_once(files: list[Path], tmp_path: Path) -> None:
    pixels(files[:5], look, base(tmp_path))
    looked: list[int] = []

    def counted(pictures: Sequence[Picture]) -> Mapping[str, Tensor]:
        looked.append(len(pictures))
        return look(pictures)

    pixels(files, counted, base(tmp_path))
    pixels(files, counted, base(tmp_path))
    assert sum(looked) == COUNT - 5
