"""Models of transformers for Classify: their scores are those of the library's pipeline, for each architecture."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import pipeline

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import NONE_OF_THESE, Card, ClassifyRequest, ClassifyResult
from mmdemo.models.families import prompts
from mmdemo.models.families.base import RuntimeConfig
from mmdemo.models.families.patch_maps import Framing
from mmdemo.models.families.zero_shot import ZeroShotModel
from tests.tiny_models import zero_shot as tiny
from tests.tiny_models.pictures import coloured

CARD = Card(id="tiny/zero-shot", task="classify", summary="", licence="")
LABELS = ("dog", "red car", "a boat in blue water")
TEMPLATE = "a photo of a {}."
PICTURES = (coloured(0), coloured(1, height=70, width=40), coloured(2, height=32, width=96))
MAKERS: Mapping[str, Callable[[Path], Path]] = {
    "clip": tiny.make_clip,
    "siglip": tiny.make_siglip,
    "siglip2": tiny.make_siglip2,
    "chinese_clip": tiny.make_chinese_clip,
    "altclip": tiny.make_altclip,
    "align": tiny.make_align,
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("zero_shot")
    return {name: make(root / name) for name, make in MAKERS.items()}


@pytest.fixture(scope="session")
def models(folders: dict[str, Path]) -> dict[str, ZeroShotModel]:
    """Not to be changed."""
    return {name: opened(folder) for name, folder in folders.items()}


@pytest.fixture(params=MAKERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def opened(folder: Path, *, how: RuntimeConfig | None = None) -> ZeroShotModel:
    return ZeroShotModel.open(folder, CARD, how=how or RuntimeConfig())


def asked(number: int = 0, labels: tuple[str, ...] = LABELS, template: str | None = None) -> ClassifyRequest:
    return ClassifyRequest(picture=PICTURES[number], labels=labels, template=template)


def answered(model: ZeroShotModel, *requests: ClassifyRequest) -> list[dict[str, float]]:
    results = model.predict(list(requests))
    assert all(isinstance(result, ClassifyResult) for result in results)
    return [{item.label: item.score for item in result.labels} for result in results]  # type: ignore[union-attr]


def documented(folder: Path, number: int, template: str = TEMPLATE) -> list[float]:
    """The library's own pipeline."""
    classify = pipeline("zero-shot-image-classification", model=str(folder))
    found = classify(
        Image.fromarray(PICTURES[number].pixels), candidate_labels=list(LABELS), hypothesis_template=template
    )
    scores = {item["label"]: item["score"] for item in found}
    return [scores[label] for label in LABELS]


@pytest.mark.parametrize("number", range(len(PICTURES)))
def test_scores_are_those_of_the_pipeline(
    folders: dict[str, Path], models: dict[str, ZeroShotModel], kind: str, number: int
) -> None:
    wanted = documented(folders[kind], number)
    found = models[kind].raw_scores(PICTURES[number], LABELS, TEMPLATE)
    assert float((found - torch.tensor(wanted)).abs().max()) <= 1e-5
    assert max(wanted) - min(wanted) > 1e-4, "scores that are all alike would prove nothing"


def test_siglip_counts_every_label_for_itself(models: dict[str, ZeroShotModel], kind: str) -> None:
    model = models[kind]
    assert model.sigmoid == kind.startswith("siglip")
    if model.sigmoid:
        alone = float(model.raw_scores(PICTURES[0], ("red car",))[0])
        assert alone == pytest.approx(float(model.raw_scores(PICTURES[0], LABELS)[1]), abs=1e-6)
        scores = answered(model, asked(0, ("red car",)))[0]
        assert scores == pytest.approx({"red car": alone, NONE_OF_THESE: 1 - alone}, abs=1e-6)
    else:
        assert float(model.raw_scores(PICTURES[0], LABELS).sum()) == pytest.approx(1, abs=1e-6)


def test_many_at_once_are_each_alone(folders: dict[str, Path], models: dict[str, ZeroShotModel], kind: str) -> None:
    requests = [asked(0), asked(1), asked(2, ("cat", "snow")), asked(1, LABELS, "a drawing of {}")]
    together = answered(opened(folders[kind]), *requests)
    for request, scores in zip(requests, together, strict=True):
        assert sum(scores.values()) == pytest.approx(1, abs=1e-6)
        alone = answered(models[kind], request)[0]
        assert alone.keys() == scores.keys() == {*request.labels, NONE_OF_THESE}
        assert max(abs(alone[label] - scores[label]) for label in alone) < 1e-5


def test_vectors_are_of_length_one(models: dict[str, ZeroShotModel], kind: str) -> None:
    pictures, texts = models[kind].encode_pictures(PICTURES), models[kind].encode_texts(LABELS)
    assert pictures.shape == texts.shape == (3, 16)
    for vectors in (pictures, texts):
        assert vectors.dtype == np.float32
        assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5


def test_a_text_that_is_too_long_is_cut(models: dict[str, ZeroShotModel], kind: str) -> None:
    long = "a very long story of " + "many dogs and cats in the blue water " * 60
    assert np.isfinite(models[kind].encode_texts([long])).all()
    (result,) = models[kind].predict([asked(0, (long, "dog"))])
    assert isinstance(result, ClassifyResult)


def test_a_model_that_reads_chinese_only_gets_chinese_sentences(models: dict[str, ZeroShotModel]) -> None:
    model = models["chinese_clip"]
    read = torch.from_numpy(model.encode_texts([t.replace("{}", "狗") for t in prompts.CHINESE])).mean(dim=0)
    assert torch.allclose(model.label_vectors(("狗",))[0], read / read.norm(), atol=1e-5)
    assert models["altclip"].prompts.neutral == prompts.NEUTRAL


def test_what_is_seen_of_a_picture_is_known(models: dict[str, ZeroShotModel]) -> None:
    assert models["clip"].framing == Framing(mode="crop")
    assert {models[name].framing for name in ("siglip", "siglip2", "align")} == {Framing(mode="squash")}


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("clip", (7, 4)), ("siglip", (4, 4)), ("siglip2", (6, 3)), ("chinese_clip", (4, 4)), ("altclip", (7, 4))],
    indirect=["kind"],
)
def test_leading_labels_get_a_map_of_the_whole_picture(
    models: dict[str, ZeroShotModel], kind: str, shape: tuple[int, int]
) -> None:
    (result,) = models[kind].predict([asked(1)])
    assert isinstance(result, ClassifyResult)
    maps = models[kind].explain(asked(1), result)
    assert [one.label for one in maps] == [item.label for item in result.labels if item.label != NONE_OF_THESE]
    for one in maps:
        assert one.cells.shape == shape
        assert 0 <= one.cells.min() <= one.cells.max() <= 1
    assert max(one.cells.max() for one in maps) == 1
    assert not np.array_equal(maps[0].cells, maps[1].cells)


def test_a_network_that_keeps_no_patches_has_no_maps(models: dict[str, ZeroShotModel]) -> None:
    (result,) = models["align"].predict([asked()])
    assert models["align"].explain(asked(), result) == ()


def test_in_bf16_scores_are_nearly_the_same(
    folders: dict[str, Path], models: dict[str, ZeroShotModel], kind: str
) -> None:
    model = opened(folders[kind], how=RuntimeConfig(precision="bf16"))
    assert next(model.net.parameters()).dtype == torch.bfloat16
    assert (model.scale, model.bias) == (models[kind].scale, models[kind].bias), "they stay in full precision"
    found, wanted = (m.raw_scores(PICTURES[0], LABELS) for m in (model, models[kind]))
    assert float((found - wanted).abs().max()) < 0.1
    (result,) = model.predict([asked()])
    assert all(np.isfinite(one.cells).all() for one in model.explain(asked(), result))


def test_the_scale_is_that_of_the_weights(folders: dict[str, Path], models: dict[str, ZeroShotModel]) -> None:
    state = load_file(folders["clip"] / "model.safetensors")
    assert models["clip"].scale == pytest.approx(math.exp(float(state["logit_scale"])))
    assert models["clip"].bias == 0
    state = load_file(folders["siglip"] / "model.safetensors")
    assert models["siglip"].bias == pytest.approx(float(state["logit_bias"]))
    state = load_file(folders["align"] / "model.safetensors")
    assert models["align"].scale == pytest.approx(1 / float(state["temperature"]))


def test_released_it_refuses_and_holds_nothing(folders: dict[str, Path]) -> None:
    model = opened(folders["clip"])
    assert model.held()
    model.release()
    assert not model.held()
    with pytest.raises(MmdemoError, match="unloaded"):
        model.predict([asked()])


# ---------------------------------------------------------------- refusals


@pytest.fixture
def spoilt(folders: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders["siglip"], tmp_path / "spoilt"))


def refused(folder: Path, why: str) -> None:
    with pytest.raises(MmdemoError, match=why) as caught:
        opened(folder)
    assert str(caught.value).startswith("tiny/zero-shot cannot be loaded: ")
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_the_networks_are_refused(spoilt: Path) -> None:
    file = spoilt / "model.safetensors"
    state = load_file(file)
    save_file({**state, "extra": torch.zeros(2)}, file, metadata={"format": "pt"})
    refused(spoilt, "unknown extra")
    save_file({k: v for k, v in state.items() if k != "logit_bias"}, file, metadata={"format": "pt"})
    refused(spoilt, "lack logit_bias")
    name = "text_model.embeddings.token_embedding.weight"
    save_file({**state, name: state[name][:10].clone()}, file, metadata={"format": "pt"})
    refused(spoilt, f"{name} has the shape")
    file.write_bytes(file.read_bytes()[:500])
    refused(spoilt, "header")


def test_a_folder_without_words_or_a_processor_is_refused(spoilt: Path) -> None:
    (spoilt / "tokenizer.json").rename(spoilt / "away")
    refused(spoilt, "tokenizer")
    (spoilt / "tokenizer_config.json").unlink()
    refused(spoilt, "its tokenizer.json is missing")
    (spoilt / "preprocessor_config.json").unlink()
    refused(spoilt, "its preprocessor_config.json is missing")


def test_a_pickle_is_never_read(spoilt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a pickle was read"))
    torch.save(load_file(spoilt / "model.safetensors"), spoilt / "pytorch_model.bin")
    (spoilt / "model.safetensors").unlink()
    refused(spoilt, "model.safetensors")


def test_code_that_lies_in_the_folder_is_never_run(spoilt: Path) -> None:
    config = json.loads((spoilt / "config.json").read_text())
    config["model_type"] = "somebodys"
    config["auto_map"] = {
        "AutoConfig": "evil.Config",
        "AutoModelForZeroShotImageClassification": "evil.Model",
    }
    (spoilt / "config.json").write_text(json.dumps(config))
    (spoilt / "evil.py").write_text("raise SystemExit('it ran')\n")
    refused(spoilt, "custom code")


def test_an_architecture_without_vectors_is_refused(spoilt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import SiglipModel

    monkeypatch.delattr(SiglipModel, "get_text_features")  # as of BLIP-2, which the library's table lists as well
    refused(spoilt, "a SiglipModel has no vectors for pictures and texts apart")
