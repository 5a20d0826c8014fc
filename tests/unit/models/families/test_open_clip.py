"""open_clip's models for Classify: as the library's documentation uses them, number by number; scores; refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmdemo.core.config import CLASSES, Calibration
from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import NONE_OF_THESE, Card, ClassifyRequest, ClassifyResult
from mmdemo.models.families import prompts
from mmdemo.models.families.base import RuntimeConfig
from mmdemo.models.families.open_clip import OpenClipModel
from mmdemo.models.families.patch_maps import Framing
from mmdemo.models.ready import cam
from tests.tiny_models.open_clip_ import WEIGHTS, make_clip, make_sigmoid, make_timm
from tests.tiny_models.pictures import coloured

CARD = Card(id="tiny/clip", task="classify", summary="", licence="")
LABELS = ("dog", "red car", "a boat in blue water")
TEMPLATE = "a photo of a {}."
PICTURES = (coloured(0), coloured(1, height=70, width=40))
MAKERS: Mapping[str, Callable[[Path], Path]] = {
    "clip": make_clip,
    "sigmoid": make_sigmoid,
    "token": lambda folder: make_timm(folder, trunk="test_vit"),
    "map": lambda folder: make_timm(folder, trunk="test_vit3"),
    "convolutions": lambda folder: make_timm(folder, trunk="test_convnext"),
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("open_clip")
    return {name: make(root / name) for name, make in MAKERS.items()}


@pytest.fixture(scope="session")
def models(folders: dict[str, Path]) -> dict[str, OpenClipModel]:
    """Not to be changed."""
    return {name: opened(folder) for name, folder in folders.items()}


@pytest.fixture(params=MAKERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def opened(folder: Path, *, how: RuntimeConfig | None = None, calibration: Calibration | None = None) -> OpenClipModel:
    model = OpenClipModel.open(folder, CARD, how=how or RuntimeConfig())
    if calibration:
        model.config = replace(model.config, calibration=calibration)
    return model


def asked(number: int = 0, labels: tuple[str, ...] = LABELS, template: str | None = None) -> ClassifyRequest:
    return ClassifyRequest(picture=PICTURES[number], labels=labels, template=template)


def answered(model: OpenClipModel, *requests: ClassifyRequest) -> list[dict[str, float]]:
    results = model.predict(list(requests))
    assert all(isinstance(result, ClassifyResult) for result in results)
    return [{item.label: item.score for item in result.labels} for result in results]  # type: ignore[union-attr]


def documented(folder: Path, texts: list[str], number: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """What open_clip's README does: vectors of the picture and of the texts, and the probabilities."""
    net, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    net.eval()
    with torch.no_grad():
        picture = net.encode_image(preprocess(Image.fromarray(PICTURES[number].pixels)).unsqueeze(0))
        read = net.encode_text(tokenizer(texts))
        picture = picture / picture.norm(dim=-1, keepdim=True)
        read = read / read.norm(dim=-1, keepdim=True)
        scores = net.logit_scale.exp() * picture @ read.T
        if net.logit_bias is not None:
            return picture, read, torch.sigmoid(scores + net.logit_bias)[0]
        return picture, read, scores.softmax(dim=-1)[0]


# ---------------------------------------------------------------- as the library does it


@pytest.mark.parametrize("number", [0, 1])
def test_scores_are_those_of_the_documented_usage(
    folders: dict[str, Path], models: dict[str, OpenClipModel], kind: str, number: int
) -> None:
    texts = [TEMPLATE.replace("{}", label) for label in LABELS]
    picture, read, wanted = documented(folders[kind], texts, number)
    model = models[kind]
    found = model.raw_scores(PICTURES[number], LABELS, TEMPLATE)
    assert found.shape == (3,)
    assert float((found - wanted).abs().max()) <= 1e-5
    assert float(wanted.max() - wanted.min()) > 1e-3, "scores that are all alike would prove nothing"
    assert np.abs(model.encode_pictures([PICTURES[number]]) - picture.numpy()).max() <= 1e-5
    assert np.abs(model.encode_texts(texts) - read.numpy()).max() <= 1e-5


def test_an_ensemble_is_that_of_the_library(folders: dict[str, Path], models: dict[str, OpenClipModel]) -> None:
    net = open_clip.create_model(f"local-dir:{folders['clip']}").eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folders['clip']}")
    wanted = open_clip.build_zero_shot_classifier(net, tokenizer, LABELS, open_clip.OPENAI_IMAGENET_TEMPLATES)
    assert float((models["clip"].label_vectors(LABELS) - wanted.T).abs().max()) <= 1e-5
    wanted = open_clip.build_zero_shot_classifier(net, tokenizer, LABELS, open_clip.SIMPLE_IMAGENET_TEMPLATES)
    model = opened(folders["clip"])
    model.prompts = prompts.english(prompts.LONG / 30)  # room for 30 sentences, and 300 in the short set
    assert float((model.label_vectors(LABELS) - wanted.T).abs().max()) <= 1e-5


def test_a_long_text_is_cut_where_the_library_cuts_it(
    folders: dict[str, Path], models: dict[str, OpenClipModel]
) -> None:
    text = "a very long story of " + "many dogs and cats " * 60
    _, read, _ = documented(folders["clip"], [text])
    assert np.abs(models["clip"].encode_texts([text]) - read.numpy()).max() <= 1e-5


def test_vectors_are_of_length_one(models: dict[str, OpenClipModel], kind: str) -> None:
    model = models[kind]
    for vectors in (model.encode_pictures(PICTURES), model.encode_texts(LABELS)):
        assert vectors.dtype == np.float32
        assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5
    assert model.encode_pictures(PICTURES).shape == (2, model.encode_texts(LABELS).shape[1])


# ---------------------------------------------------------------- answers


def test_scores_sum_to_one_and_hold_none_of_these(models: dict[str, OpenClipModel], kind: str) -> None:
    for scores in answered(models[kind], asked(), asked(1, ("cat",)), asked(0, LABELS, "a sketch of {}")):
        assert NONE_OF_THESE in scores
        assert sum(scores.values()) == pytest.approx(1, abs=1e-6)
        assert list(scores.values()) == sorted(scores.values(), reverse=True)


def test_many_at_once_are_each_alone(folders: dict[str, Path], models: dict[str, OpenClipModel], kind: str) -> None:
    requests = [asked(0), asked(1), asked(0, ("cat", "snow")), asked(1, LABELS, "a drawing of {}")]
    together = answered(opened(folders[kind]), *requests)
    for request, scores in zip(requests, together, strict=True):
        alone = answered(models[kind], request)[0]
        assert alone.keys() == scores.keys()
        assert max(abs(alone[label] - scores[label]) for label in alone) < 1e-5


def test_with_a_softmax_none_of_these_is_a_neutral_text(
    folders: dict[str, Path], models: dict[str, OpenClipModel]
) -> None:
    model = models["clip"]
    _, read, _ = documented(folders["clip"], list(prompts.NEUTRAL))
    neutral = read.mean(dim=0) / read.mean(dim=0).norm()
    picture = torch.from_numpy(model.encode_pictures([PICTURES[0]]))[0]
    logits = model.scale * torch.cat((model.label_vectors(LABELS), neutral[None])) @ picture
    wanted = dict(zip((*LABELS, NONE_OF_THESE), logits.softmax(dim=0).tolist(), strict=True))
    assert answered(model, asked())[0] == pytest.approx(wanted, abs=1e-5)


def test_with_a_template_of_ones_own_none_of_these_is_in_that_template(models: dict[str, OpenClipModel]) -> None:
    model = models["clip"]
    scores = answered(model, asked(0, LABELS, "a satellite photo of {}"))[0]
    words = [f"a satellite photo of {word}" for word in prompts.ANYTHING]
    read = torch.from_numpy(model.encode_texts(words)).mean(dim=0)
    picture = torch.from_numpy(model.encode_pictures([PICTURES[0]]))[0]
    labels = torch.from_numpy(model.encode_texts([f"a satellite photo of {label}" for label in LABELS]))
    logits = model.scale * torch.cat((labels, (read / read.norm())[None])) @ picture
    assert scores[NONE_OF_THESE] == pytest.approx(float(logits.softmax(dim=0)[-1]), abs=1e-5)


def test_with_a_sigmoid_one_label_keeps_its_probability(models: dict[str, OpenClipModel]) -> None:
    model = models["sigmoid"]
    assert model.sigmoid
    alone = float(model.raw_scores(PICTURES[0], ("red car",))[0])
    scores = answered(model, asked(0, ("red car",)))[0]
    assert scores["red car"] == pytest.approx(alone, abs=1e-6)
    assert scores[NONE_OF_THESE] == pytest.approx(1 - alone, abs=1e-6)


def test_with_a_sigmoid_odds_of_labels_stay_as_they_are(models: dict[str, OpenClipModel]) -> None:
    model = models["sigmoid"]
    raw = model.raw_scores(PICTURES[0], LABELS)
    odds = dict(zip(LABELS, (raw / (1 - raw)).tolist(), strict=True))
    scores = answered(model, asked())[0]
    for label in LABELS:
        assert scores[label] / scores[NONE_OF_THESE] == pytest.approx(odds[label], rel=1e-4)


@pytest.mark.parametrize("kind", ["clip", "sigmoid"], indirect=True)
def test_calibration_moves_the_scores_as_it_says(
    folders: dict[str, Path], models: dict[str, OpenClipModel], kind: str
) -> None:
    plain = answered(models[kind], asked())[0]
    raised = answered(opened(folders[kind], calibration=Calibration(height=1.5)), asked())[0]
    cooled = answered(opened(folders[kind], calibration=Calibration(temperature=2.0)), asked())[0]
    for label in LABELS:
        lead = np.log(plain[label] / plain[NONE_OF_THESE])
        assert np.log(raised[label] / raised[NONE_OF_THESE]) == pytest.approx(lead - 1.5, abs=1e-4)
        assert np.log(cooled[label] / cooled[NONE_OF_THESE]) == pytest.approx(lead / 2, abs=1e-4)


def test_sure_is_what_is_above_the_threshold_and_something(folders: dict[str, Path]) -> None:
    model = opened(folders["clip"])
    for threshold, height, sure in ((0.05, -50.0, True), (0.999999, -50.0, False), (0.05, 50.0, False)):
        model.config = replace(model.config, calibration=Calibration(threshold=threshold, height=height))
        (result,) = model.predict([asked()])
        assert isinstance(result, ClassifyResult)
        assert result.sure is sure
        assert result.model == CARD.id
        assert result.file == PICTURES[0].name


def test_classes_are_those_that_it_was_tuned_on(folders: dict[str, Path]) -> None:
    model = opened(folders["clip"])
    assert model.classes == ()
    model.config = replace(model.config, settings={CLASSES: ("oak", "elm")})
    assert model.classes == ("oak", "elm")


# ---------------------------------------------------------------- what is computed


class Counted:
    """Counts what goes through the towers of a model."""

    def __init__(self, model: OpenClipModel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pictures, self.texts = 0, 0
        see, read = model.picture_features, model.text_features

        def seeing(inputs: Mapping[str, Tensor]) -> Tensor:
            self.pictures += len(inputs["image"])
            return see(inputs)

        def reading(inputs: Mapping[str, Tensor]) -> Tensor:
            self.texts += len(inputs["text"])
            return read(inputs)

        monkeypatch.setattr(model, "picture_features", seeing)
        monkeypatch.setattr(model, "text_features", reading)


def test_nothing_is_encoded_twice(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    model = opened(folders["clip"])
    counted = Counted(model, monkeypatch)
    model.predict([asked(0), asked(1), asked(0)])
    assert (counted.pictures, counted.texts) == (2, 3 * 80 + len(prompts.NEUTRAL))
    model.predict([asked(0, (*LABELS, "cat")), asked(1, ("cat", "dog"))])
    assert (counted.pictures, counted.texts) == (2, 4 * 80 + len(prompts.NEUTRAL)), "one label more costs one label"


def test_a_network_put_in_place_of_another_is_asked_anew(folders: dict[str, Path]) -> None:
    model, other = opened(folders["clip"]), opened(folders["clip"])
    before = model.encode_pictures([PICTURES[0]])
    with torch.no_grad():
        other.net.visual.proj.mul_(torch.linspace(-1, 1, 16))  # type: ignore[union-attr, operator]
    model.net = other.net
    assert np.array_equal(model.encode_pictures([PICTURES[0]]), other.encode_pictures([PICTURES[0]]))
    assert not np.allclose(before, model.encode_pictures([PICTURES[0]]), atol=1e-3)


def test_few_labels_get_all_sentences_and_very_many_one() -> None:
    def counts(work: float) -> list[int]:
        return [len(prompts.english(work).chosen(labels)) for labels in (1, 5, 6, 53, 54, 600, 700)]

    clip, siglip = 37.8e6 * prompts.PLACES, 85e6 * 64  # multiplications for a sentence, at ViT-B's size
    assert counts(clip) == [80, 80, 7, 7, 7, 7, 1]
    assert counts(siglip) == [7, 7, 7, 1, 1, 1, 1]
    every = [*prompts.english(1).ensembles, *prompts.chinese(1).ensembles]
    assert [len(templates) for _, templates in every] == [80, 7, 5]
    plain = (prompts.PLAIN, prompts.CHINESE_PLAIN)
    assert all(template.count("{}") == 1 for template in (*plain, *(t for _, some in every for t in some)))
    assert not any("{}" in text for text in (*prompts.NEUTRAL, *prompts.CHINESE_NEUTRAL))


def test_a_tower_that_reads_to_the_end_of_its_places_is_given_fewer_sentences(models: dict[str, OpenClipModel]) -> None:
    most = {name: models[name].prompts.ensembles[0][0] for name in ("clip", "sigmoid", "map")}
    blocks = {name: _numbers(models[name]) for name in most}
    assert most["clip"] == int(prompts.LONG / (blocks["clip"] * prompts.PLACES) / 80)
    assert most["sigmoid"] == int(prompts.LONG / (blocks["sigmoid"] * 24) / 80)
    assert most["map"] == int(prompts.LONG / (blocks["map"] * prompts.PLACES) / 80)


def _numbers(model: OpenClipModel) -> int:
    tower: Any = getattr(model.net, "text", model.net)
    return sum(parameter.numel() for parameter in tower.transformer.parameters())


def test_pictures_of_more_than_one_batch_keep_their_order(
    folders: dict[str, Path], models: dict[str, OpenClipModel]
) -> None:
    model = opened(folders["clip"])
    pictures = [coloured(seed) for seed in range(19)]
    together = model.encode_pictures([*pictures, pictures[3]])
    alone = np.concatenate([models["clip"].encode_pictures([picture]) for picture in pictures[::6]])
    assert np.abs(together[:19:6] - alone).max() < 1e-5
    assert np.array_equal(together[19], together[3])


def test_in_bf16_scores_are_nearly_the_same(
    folders: dict[str, Path], models: dict[str, OpenClipModel], kind: str
) -> None:
    model, wanted = (
        opened(folders[kind], how=RuntimeConfig(precision="bf16")),
        models[kind].raw_scores(PICTURES[0], LABELS),
    )
    kinds = {name: tensor.dtype for name, tensor in model.net.state_dict().items()}
    assert kinds.pop("logit_scale") == kinds.pop("logit_bias", torch.float32) == torch.float32
    assert set(kinds.values()) == {torch.bfloat16}
    assert model.scale == pytest.approx(models[kind].scale, rel=1e-6)
    assert model.encode_pictures(PICTURES).dtype == np.float32
    assert float((model.raw_scores(PICTURES[0], LABELS) - wanted).abs().max()) < 0.1


def test_in_int8_scores_are_nearly_the_same(folders: dict[str, Path], models: dict[str, OpenClipModel]) -> None:
    wanted, model = models["clip"], opened(folders["clip"], how=RuntimeConfig(precision="int8"))
    found = model.raw_scores(PICTURES[0], LABELS)
    assert float((found - wanted.raw_scores(PICTURES[0], LABELS)).abs().max()) < 0.1
    assert not torch.equal(found, wanted.raw_scores(PICTURES[0], LABELS)), "nothing was rounded"
    (result,) = model.predict([asked()])
    assert model.explain(asked(), result) == ()


def test_batch_norms_stay_in_full_precision(tmp_path: Path) -> None:
    model = opened(make_timm(tmp_path / "resnet", trunk="test_resnet"), how=RuntimeConfig(precision="bf16"))
    kinds = {name: tensor.dtype for name, tensor in model.net.state_dict().items() if tensor.is_floating_point()}
    assert {kind for name, kind in kinds.items() if "running_" in name} == {torch.float32}
    assert kinds["visual.trunk.conv1.0.weight"] == torch.bfloat16
    assert np.isfinite(model.encode_pictures(PICTURES)).all()


def test_released_it_refuses_and_holds_nothing(folders: dict[str, Path]) -> None:
    model = opened(folders["clip"])
    model.predict([asked()])
    assert sum(model.held().values()) > 1_000_000
    model.release()
    assert not model.held()
    for use in (lambda: model.predict([asked()]), lambda: model.encode_texts(["dog"])):
        with pytest.raises(MmdemoError, match="unloaded"):
            use()


# ---------------------------------------------------------------- maps


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("clip", (7, 4)),  # the middle square of 70 x 40 pixels in 4 x 4 patches, and 1.5 above and below
        ("sigmoid", (4, 4)),  # squashed
        ("token", (10, 6)),  # with a border beside it, which is cut off
        ("map", (10, 6)),
        ("convolutions", (5, 3)),
    ],
    indirect=["kind"],
)
def test_leading_labels_get_a_map_of_the_whole_picture(
    models: dict[str, OpenClipModel], kind: str, shape: tuple[int, int]
) -> None:
    model = models[kind]
    labels = (*LABELS, "cat", "snow")
    (result,) = model.predict([asked(1, labels)])
    assert isinstance(result, ClassifyResult)
    maps = model.explain(asked(1, labels), result)
    leading = [item.label for item in result.labels if item.label != NONE_OF_THESE]
    assert [one.label for one in maps] == leading[:3]
    for one in maps:
        assert one.cells.shape == shape
        assert one.cells.dtype == np.float32
        assert 0 <= one.cells.min() <= one.cells.max() <= 1
    assert max(one.cells.max() for one in maps) > 0
    assert not np.array_equal(maps[0].cells, maps[1].cells)


def test_a_map_is_how_the_score_changes_with_each_patch(models: dict[str, OpenClipModel], kind: str) -> None:
    model = models[kind]
    cut = model._cut(model.processor([PICTURES[0]]))
    assert cut is not None
    text = torch.from_numpy(model.encode_texts(["a photo of a dog."]))

    def score(x: Tensor) -> Tensor:
        return torch.nn.functional.cosine_similarity(cut.rest(x).double(), text.double())

    (found,) = cam(cut.grid, score)
    top = int(found.argmax())
    slopes = {}
    with torch.no_grad():
        whole = torch.from_numpy(model.encode_pictures([PICTURES[0]]))
        assert torch.allclose(torch.nn.functional.normalize(cut.rest(cut.grid[None])), whole, atol=1e-5)
        for cell in {top, *range(0, found.size, 7)}:
            row, column = divmod(cell, found.shape[1])
            more, less = cut.grid[None].clone(), cut.grid[None].clone()
            more[..., row, column] *= 1.01
            less[..., row, column] *= 0.99
            slopes[cell] = float(score(more) - score(less)) / 0.02
    assert slopes[top] > 1e-4, "the score does not depend on the patches there"
    for cell, slope in slopes.items():
        assert float(found.flat[cell]) == pytest.approx(max(slope, 0) / slopes[top], abs=0.05)


@given(
    height=st.integers(1, 3000),
    width=st.integers(1, 3000),
    side=st.integers(1, 24),
    zoom=st.floats(1, 1.5),
    mode=st.sampled_from(["crop", "fit", "squash"]),
)
def test_a_map_is_placed_in_the_middle_and_keeps_its_values(
    height: int, width: int, side: int, zoom: float, mode: Any
) -> None:
    cells = np.arange(1, side * side + 1, dtype=np.float32).reshape(side, side)
    placed = Framing(mode=mode, zoom=zoom).placed(cells, height, width)
    if mode == "crop":
        assert placed.sum() == cells.sum()
        assert min(placed.shape) >= side
        assert placed.shape[0] / placed.shape[1] == pytest.approx(height / width, rel=1.0 / side + 1e-6)
        top, left = (n // 2 for n in np.subtract(placed.shape, cells.shape))
        assert np.array_equal(placed[top : top + side, left : left + side], cells)
    else:
        assert set(placed.flat) <= set(cells.flat)
        assert max(placed.shape) == side


# ---------------------------------------------------------------- refusals


@pytest.fixture
def spoilt(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A copy to be spoilt, of one with a tokenizer of its own."""
    return Path(shutil.copytree(folders["sigmoid"], tmp_path / "spoilt"))


def change(folder: Path, section: str, **values: object) -> None:
    file = folder / "open_clip_config.json"
    config = json.loads(file.read_text())
    config["model_cfg"][section].update(values)
    file.write_text(json.dumps(config))


def refused(folder: Path, why: str) -> None:
    with pytest.raises(MmdemoError, match=why) as caught:
        opened(folder)
    assert str(caught.value).startswith("tiny/clip cannot be loaded: ")
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_the_networks_are_refused(spoilt: Path) -> None:
    state = load_file(spoilt / WEIGHTS)
    save_file({**state, "visual.extra": torch.zeros(2)}, spoilt / WEIGHTS)
    refused(spoilt, "its weights hold unknown visual.extra")
    save_file({k: v for k, v in state.items() if not k.startswith("visual.p")}, spoilt / WEIGHTS)
    refused(spoilt, "its weights lack visual.positional_embedding and 1 more tensors")
    save_file({k: v for k, v in state.items() if k != "logit_bias"}, spoilt / WEIGHTS)
    refused(spoilt, "its weights lack logit_bias")


def test_weights_for_another_size_are_refused_and_not_stretched(spoilt: Path) -> None:
    save_file({name: tensor.float() for name, tensor in load_file(spoilt / WEIGHTS).items()}, spoilt / WEIGHTS)
    change(spoilt, "vision_cfg", image_size=64)
    net = open_clip.create_model(f"local-dir:{spoilt}")
    assert net.visual.positional_embedding.shape[0] == 65, "the library itself stretches them"
    refused(spoilt, r"visual.positional_embedding has the shape \(17, 24\), its open_clip_config.json says \(65, 24\)")


def test_damaged_weights_are_refused(spoilt: Path) -> None:
    data = (spoilt / WEIGHTS).read_bytes()
    (spoilt / WEIGHTS).write_bytes(data[: len(data) // 2])
    refused(spoilt, f"{WEIGHTS} is damaged")


def test_a_pickle_is_never_read(spoilt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a pickle was read"))
    torch.save(dict(load_file(spoilt / WEIGHTS)), spoilt / "open_clip_pytorch_model.bin")
    opened(spoilt)
    (spoilt / WEIGHTS).rename(spoilt / "model.safetensors")  # the library would take the pickle now
    refused(spoilt, "holds no open_clip_model.safetensors")


def test_a_configuration_that_asks_for_something_elsewhere_is_refused(spoilt: Path) -> None:
    change(spoilt, "vision_cfg", timm_model_name="hf-hub:somebody/network")
    refused(spoilt, "'hf-hub:somebody/network' would have to be fetched")
    change(spoilt, "vision_cfg", timm_model_name=None)
    change(spoilt, "text_cfg", hf_model_name="roberta-base")
    refused(spoilt, "its text tower is a roberta-base")


def test_a_folders_own_code_is_never_asked_for(spoilt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    given: dict[str, Any] = {}
    load = transformers.AutoTokenizer.from_pretrained

    def watched(*args: Any, **options: Any) -> Any:
        given.update(options)
        return load(*args, **options)

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", watched)
    change(spoilt, "text_cfg", tokenizer_kwargs={"trust_remote_code": True, "clean": "canonicalize"})
    opened(spoilt)
    assert given["trust_remote_code"] is False
    assert given["local_files_only"] is True


def test_a_missing_or_damaged_tokenizer_is_refused(spoilt: Path) -> None:
    (spoilt / "tokenizer.json").write_text("{}")
    refused(spoilt, "its tokenizer cannot be read")
    (spoilt / "tokenizer.json").unlink()
    (spoilt / "tokenizer_config.json").unlink()
    refused(spoilt, "its tokenizer.json is missing")


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ("{", "its open_clip_config.json is not valid"),
        ("[]", "holds a list, not an object"),
        ('{"model_cfg": {"embed_dim": 8}}', "does not describe a picture and a text tower"),
        ('{"model_cfg": {"embed_dim": 8, "vision_cfg": {}, "text_cfg": {}, "surprise": 1}}', "'surprise'"),
    ],
)
def test_a_configuration_that_describes_no_network_is_refused(spoilt: Path, config: str, why: str) -> None:
    (spoilt / "open_clip_config.json").write_text(config)
    refused(spoilt, why)


def test_an_unknown_way_to_frame_pictures_is_refused(spoilt: Path) -> None:
    config = json.loads((spoilt / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["resize_mode"] = "magic"
    (spoilt / "open_clip_config.json").write_text(json.dumps(config))
    refused(spoilt, "magic")
