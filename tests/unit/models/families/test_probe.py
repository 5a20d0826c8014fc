"""The probe of models that say their answers: other numbers may turn a word, other weights turn what it rests on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import Card
from mmdemo.models import probe
from mmdemo.models.families.base import HubModel, RuntimeConfig
from mmdemo.models.families.classes import class_of
from mmdemo.models.families.precision import lower
from tests.tiny_models.blip import make_blip_caption
from tests.tiny_models.chat import make_qwen
from tests.tiny_models.coca import make_coca
from tests.tiny_models.florence import make_florence

KINDS = {
    "blip_caption": ("caption", make_blip_caption),
    "chat": ("ask", make_qwen),
    "florence": ("caption", make_florence),
    "coca": ("caption", make_coca),
}
WORDS = {
    "blip_caption": "text_decoder.cls.predictions.decoder.weight",
    "chat": "lm_head.weight",
    "florence": "model.language_model.shared.weight",
    "coca": "text_decoder.text_projection",
}
"""What words are told from."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("probe")

    def folder(family: str) -> Path:
        place = root / family
        return place if place.exists() else KINDS[family][1](place)

    return folder


def opened(family: str, folder: Path, precision: str, *, seed: int, noise: float = 0.0) -> HubModel:
    """A tiny model of other weights for each seed, whose words are far from equally likely."""
    how = RuntimeConfig(precision=precision)  # type: ignore[arg-type]
    card = Card(id="tiny", task=KINDS[family][0], summary="", licence="")
    model = class_of(family).open(folder, card, how=RuntimeConfig(precision="bf16" if precision == "bf16" else "fp32"))
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.net.parameters():
            if parameter.ndim > 1:
                drawn = torch.randn(parameter.shape, generator=chance).to(parameter.dtype)
                parameter += (0.03 if family == "coca" else 0.08) * drawn
        for _, parameter in sorted(model.net.named_parameters()):
            if noise and parameter.ndim > 1:
                parameter += noise * torch.randn(parameter.shape, generator=chance).to(parameter.dtype)
        words = dict(model.net.named_parameters(remove_duplicate=False))[WORDS[family]]
        words *= 2
    model.net = lower(model.net, how).eval()
    model.how = how
    return model


@pytest.mark.parametrize("family", list(KINDS))
def test_a_text_may_turn_in_other_numbers(family: str, folders: Callable[[str], Path], tmp_path: Path) -> None:
    texts_differ = 0
    for seed in range(2):
        text = probe.record(opened(family, folders(family), "fp32", seed=seed))
        (tmp_path / probe.FILE).write_text(text)
        for precision in ("bf16", "int8"):
            model = opened(family, folders(family), precision, seed=seed)
            probe.check(model, tmp_path, tolerance=probe.ROUNDED)
            said = probe.answers(model.predict(probe.requests(model.card.task)))
            texts_differ += [*map(set, said)] != [*map(set, json.loads(text)["answers"])]
    assert texts_differ or family != "chat"  # or this would show nothing


@pytest.mark.parametrize("family", list(KINDS))
def test_other_weights_are_refused_in_any_numbers(family: str, folders: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / probe.FILE).write_text(probe.record(opened(family, folders(family), "fp32", seed=0)))
    for precision in ("fp32", "bf16", "int8"):
        tolerance = None if precision == "fp32" else probe.ROUNDED
        other = opened(family, folders(family), precision, seed=0, noise=0.3)
        with pytest.raises(MmdemoError, match="its probe differs"):
            probe.check(other, tmp_path, tolerance=tolerance)
