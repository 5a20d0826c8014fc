"""The shared encoders and the space between them: shapes, agreement with their libraries, padding."""

from __future__ import annotations

import pytest
import torch

from mmdemo.nets.shared_space import ClassifyConfig, TextSpace, heights, known_vector
from mmdemo.nets.text import TextConfig, TextEncoder, pad_tokens
from mmdemo.nets.vision import PictureTrunk, VisionConfig, VisionTuner, pool


@pytest.fixture(scope="module")
def trunk() -> PictureTrunk:
    torch.manual_seed(0)
    return PictureTrunk(VisionConfig(side=64)).eval().requires_grad_(False)


def test_stem_and_grid_are_the_library_cut_in_two(trunk: PictureTrunk) -> None:
    pixels = torch.randn(2, 3, 64, 64)
    stem = trunk.stem(pixels)
    assert stem.shape == (2, trunk.config.stem_channels, 4, 4)
    grid = trunk.grid(stem)
    assert grid.shape == (2, trunk.config.channels, trunk.config.grid, trunk.config.grid)
    assert 0 <= float(grid.min()) <= float(grid.max()) <= 6
    torch.testing.assert_close(grid, trunk.net.forward_features(pixels))
    torch.testing.assert_close(trunk.logits(pool(grid)), trunk.net(pixels), atol=1e-5, rtol=1e-4)


def test_words_are_found_in_some_cell(trunk: PictureTrunk) -> None:
    tuner = VisionTuner(trunk, text_width=8, words=3, hidden=16).eval()
    grid = trunk(torch.randn(2, 3, 64, 64))
    out = tuner(grid)
    assert out.text.shape == (2, 8)
    assert out.imagenet.shape == (2, 1000)
    torch.testing.assert_close(out.text.norm(dim=1), torch.ones(2))
    in_cell = tuner.words(grid).flatten(2).sigmoid()  # (B, V, G * G)
    torch.testing.assert_close(out.words.sigmoid(), 1 - (1 - in_cell).prod(dim=2), atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("side", [0, 32, 100])
def test_a_side_that_cannot_be_is_refused(side: int) -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        VisionConfig(side=side)


@pytest.mark.parametrize("name", ["hf-hub:someone/model", "hf_hub:someone/model", "local-dir:/tmp/model", "a/b"])
def test_an_architecture_from_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="plain name"):
        VisionConfig(architecture=name)


def test_text_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    config = TextConfig(vocabulary=20, width=16, layers=2, heads=2, hidden=32, positions=16, max_tokens=8)
    encoder = TextEncoder(config).eval().requires_grad_(False)
    short, long = [2, 5, 3], [2, 7, 8, 9, 10, 3]
    tokens, mask = pad_tokens([short, long])
    assert tokens.shape == mask.shape == (2, 6)
    assert mask.sum(dim=1).tolist() == [3, 6]
    assert encoder(tokens, mask).shape == (2, 6, 16)
    together = encoder.pooled(tokens, mask)
    alone = encoder.pooled(*pad_tokens([short]))
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(2))


def test_too_many_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="between 1 and 8"):
        TextConfig(positions=8, max_tokens=9)


def test_space_gives_unit_vectors() -> None:
    space = TextSpace(ClassifyConfig(channels=6, hidden=8, text_width=5)).eval()
    out = space(torch.randn(3, 6))
    assert out.shape == (3, 5)
    torch.testing.assert_close(out.norm(dim=1), torch.ones(3))


def test_heights_are_deviations_over_the_bank() -> None:
    vectors = torch.tensor([[1.0, 0.0]])
    bank = torch.tensor([[0.1, 0.9], [0.3, 0.5], [0.5, 0.1]])  # cosines 0.1, 0.3, 0.5: mean 0.3, deviation 0.2
    labels = torch.tensor([[0.7, 0.0], [0.3, 0.3]])
    torch.testing.assert_close(heights(vectors, labels, bank), torch.tensor([[2.0, 0.0]]))


def test_what_is_certain_is_known_by_its_name() -> None:
    names = torch.eye(3)
    torch.testing.assert_close(known_vector(torch.tensor([[0.0, 1.0, 0.0]]), names), names[1:2])
    even = known_vector(torch.tensor([[0.5, 0.5, 0.0]]), names)
    torch.testing.assert_close(even, torch.tensor([[0.5**0.5, 0.5**0.5, 0.0]]))
