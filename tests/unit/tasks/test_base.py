"""Calibration from validation outputs, and grids in bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmdemo.tasks.base import fit_temperature, fit_threshold, grids, to_bytes


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    random = np.random.default_rng(0)
    honest = random.normal(size=(4000, 5)) * 2  # softmax(honest) are the true probabilities
    gumbel = random.gumbel(size=honest.shape)
    target = np.eye(5, dtype=np.float32)[(honest + gumbel).argmax(axis=1)]
    found = fit_temperature((honest * temperature).astype(np.float32), target)
    assert found == pytest.approx(temperature, rel=0.1)


def test_temperature_understands_shared_targets() -> None:
    logits = np.log(np.array([[0.6, 0.3, 0.1]] * 50)).astype(np.float32) * 2
    assert fit_temperature(logits, np.array([[0.6, 0.3, 0.1]] * 50, dtype=np.float32)) == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("wanted", [0.6, 0.8, 0.95])
def test_answers_above_the_threshold_are_as_right_as_wanted(wanted: float) -> None:
    random = np.random.default_rng(1)
    confidence = random.random(2000).astype(np.float32)
    right = (random.random(2000) < confidence).astype(np.float32)
    found = fit_threshold(confidence, right, wanted=wanted)
    kept = confidence >= found.threshold
    assert right[kept].mean() >= wanted
    assert found.right == pytest.approx(float(right[kept].mean()))
    assert found.kept == pytest.approx(float(kept.mean()))
    # and no lower threshold would do
    for lower in np.sort(confidence[~kept])[-200::20]:
        assert right[confidence >= lower].mean() < wanted


def test_where_nothing_is_right_enough_the_surest_tenth_is_kept() -> None:
    confidence = np.linspace(0, 1, 100, dtype=np.float32)
    found = fit_threshold(confidence, np.zeros(100, dtype=np.float32))
    assert found.kept == pytest.approx(0.1)
    assert found.right == 0
    assert found.threshold == pytest.approx(float(confidence[90]))


def test_a_few_lucky_answers_are_no_evidence() -> None:
    confidence = np.linspace(1, 0, 100, dtype=np.float32)
    right = np.zeros(100, dtype=np.float32)
    right[:3] = 1
    assert fit_threshold(confidence, right).kept > 0.03


def test_grids_survive_eight_bits() -> None:
    grid = torch.rand(3, 4, 2, 2, generator=torch.Generator().manual_seed(0)) * 6
    packed = to_bytes(grid)
    assert packed.dtype == np.uint8
    assert packed.shape == (3, 4, 2, 2)
    assert float((grids(list(packed)) - grid).abs().max()) <= 0.012
    edges = torch.tensor([0.0, 6.0]).view(2, 1, 1)
    assert torch.equal(grids([to_bytes(edges)])[0], edges)
