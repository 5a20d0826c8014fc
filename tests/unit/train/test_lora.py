"""LoRA: matrices beside the encoder's own, which learn in its place and vanish into it in the end."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from mmdemo.core.errors import MmdemoError
from mmdemo.tasks import TASKS
from mmdemo.tasks.base import HEAD
from mmdemo.tasks.tune import Tune, freeze
from mmdemo.train.lora import add_lora, merge_lora
from tests.unit.tasks.made import CONFIGS, ROWS


def sentiment(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    net: nn.Module = TASKS["sentiment"].build(CONFIGS["sentiment"])
    add_lora(TASKS["sentiment"], net, rank=2, alpha=6)
    return net


def stirred(net: nn.Module) -> nn.Module:
    """The same with matrices whose product is not 0."""
    torch.manual_seed(9)
    for name, parameter in net.named_parameters():
        if ".lora_" in name:
            nn.init.normal_(parameter, std=0.1)
    return net


def heard(net: nn.Module) -> torch.Tensor:
    batch = TASKS["sentiment"].collate(ROWS["sentiment"]())
    with torch.no_grad():
        features: Any = net.eval()
        return features.features(*features.mel(batch["samples"], batch["lengths"]))


def test_at_first_nothing_is_different_and_in_the_end_the_product_is_in_the_weights() -> None:
    torch.manual_seed(0)
    plain = TASKS["sentiment"].build(CONFIGS["sentiment"])
    net = copy.deepcopy(plain)
    add_lora(TASKS["sentiment"], net, rank=2, alpha=6)
    torch.testing.assert_close(heard(net), heard(plain), atol=0, rtol=0)
    layer: Any = stirred(net).encoder.layers[0].fc1
    product = layer.lora_B["default"].weight @ layer.lora_A["default"].weight * 6 / 2
    wanted = plain.encoder.layers[0].fc1.weight + product
    before = heard(net)
    assert float((before - heard(plain)).abs().max()) > 1e-3
    merge_lora(net)
    torch.testing.assert_close(heard(net), before, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(net.encoder.layers[0].fc1.weight, wanted)
    assert list(net.state_dict()) == list(plain.state_dict())
    assert [type(m) for m in net.modules()] == [type(m) for m in plain.modules()]
    assert vars(net).keys() == vars(plain).keys()
    merge_lora(net)  # there is nothing left to fold
    torch.testing.assert_close(heard(net), before, atol=1e-5, rtol=1e-5)


def test_head_and_matrices_are_all_that_is_trained() -> None:
    net, task = sentiment(), TASKS["sentiment"]
    freeze(task, net, Tune.parse("lora"))  # as every run does; it changes nothing here
    trained = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    assert {"classifier.weight", "pooling.mix"} <= trained
    lora = {name for name in trained if name.startswith("encoder.")}
    assert all(".lora_" in name for name in lora)
    # four projections and two layers of the feed-forward block, two matrices each; the convolutions have one dimension
    assert len(lora) == 12
    assert all(task.depth(net, name) == HEAD for name in lora)
    assert task.depth(net, "encoder.layers.0.fc1.base_layer.weight") == 1


def test_a_seed_decides_the_matrices_and_a_state_brings_them_back() -> None:
    one, same, other = (sentiment(seed).state_dict() for seed in (1, 1, 2))
    name = "encoder.layers.0.fc1.lora_A.default.weight"
    assert all(torch.equal(one[n], same[n]) for n in one)
    assert not torch.equal(one[name], other[name])
    learned = stirred(sentiment(1))
    resumed = sentiment(2)
    resumed.load_state_dict(learned.state_dict(), strict=True)
    torch.testing.assert_close(heard(resumed), heard(learned), atol=0, rtol=0)
    merge_lora(resumed)
    merge_lora(learned)
    torch.testing.assert_close(heard(resumed), heard(learned), atol=0, rtol=0)


def test_pictures_get_matrices_beside_all_but_depthwise_convolutions() -> None:
    torch.manual_seed(0)
    task, net = TASKS["vision"], TASKS["vision"].build(CONFIGS["vision"])
    add_lora(task, net, rank=2, alpha=4)
    beside = {name.partition(".lora_")[0] for name, _ in net.named_parameters() if ".lora_" in name}
    assert "trunk.net.conv_head" in beside
    assert "trunk.net.blocks.6.0.conv_pwl" in beside
    assert not [name for name in beside if "conv_dw" in name or "conv_stem" in name]
    stirred(net.eval())
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before = net.trunk(pixels)
        merge_lora(net)
        after = net.trunk(pixels)
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)


def test_a_network_without_an_encoder_has_no_place_for_it() -> None:
    net = TASKS["caption"].build(CONFIGS["caption"])
    with pytest.raises(MmdemoError, match="LoRA has no place in caption: its encoder stays outside"):
        add_lora(TASKS["caption"], net, rank=2, alpha=4)
