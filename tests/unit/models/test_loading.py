"""From a name to a ready model: what is found, what answers, and what is refused by name."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mmdemo.core.config import EncoderRef
from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import AskRequest, CaptionRequest, CaptionResult, ClassifyRequest, SentimentRequest
from mmdemo.models import checkpoint, list_models, load, probe
from mmdemo.models.ask import AskModel
from mmdemo.models.caption import CaptionModel
from mmdemo.models.classify import ClassifyModel
from mmdemo.models.encoders import load_text, load_vision
from mmdemo.models.loading import pick_device
from mmdemo.models.pictures import KEPT_PICTURES, encoder_for
from mmdemo.models.sentiment import SentimentModel
from tests.sealed import seal
from tests.unit.models.conftest import change_config

TASKS = ("ask", "classify", "caption", "sentiment")


@pytest.mark.parametrize("task", TASKS)
def test_every_task_answers_and_shows_where_it_looked(root: Path, task: str) -> None:
    model = load(task, device="cpu")
    assert model.card.id == f"{task}-base"
    asked = probe.requests(task)
    together = model.predict(asked)
    alone = [model.predict([request])[0] for request in asked]
    for one, other in zip(probe.answers(together), probe.answers(alone), strict=True):
        assert one.keys() == other.keys()
        assert all(abs(one[label] - other[label]) < 1e-4 for label in one)
    *_, last = model.stream(asked[0])
    assert probe.answers([last])[0].keys() == probe.answers(together[:1])[0].keys()
    maps = model.explain(asked[0], together[0])
    assert maps
    for shown in maps:
        assert shown.cells.ndim == 2
        assert 0 <= float(shown.cells.min()) <= float(shown.cells.max()) <= 1
    assert model.predict([]) == []


def test_a_caption_grows_word_by_word(root: Path) -> None:
    model = load("caption", device="cpu")
    request = CaptionRequest(picture=probe.made_picture(0), n=2, max_words=6)
    seen = [result for result in model.stream(request) if isinstance(result, CaptionResult)]
    assert [len(result.caption.split()) for result in seen[:-1]] == list(range(1, len(seen)))
    (whole,) = model.predict([request])
    assert isinstance(whole, CaptionResult)
    assert seen[-1].caption == whole.caption
    assert seen[-1].alternatives == whole.alternatives
    assert len(whole.alternatives) == 1


def test_another_tasks_request_is_a_mistake_of_the_program(root: Path) -> None:
    model = load("caption", device="cpu")
    result = model.predict(probe.requests("caption"))[0]
    with pytest.raises(TypeError, match=r"CaptionRequest, not on SentimentRequest"):
        model.explain(SentimentRequest(sound=probe.made_sound(0)), result)


def test_released_models_are_gone(root: Path) -> None:
    models = [load("caption", device="cpu"), load("ask", device="cpu")]
    caption, ask = models
    assert isinstance(caption, CaptionModel)
    assert isinstance(ask, AskModel)
    assert caption.pictures is ask.pictures  # one trunk, one memory of pictures
    trunk, encoder = weakref.ref(caption.pictures.vision.trunk), weakref.ref(ask.text.encoder)
    caption.release()
    gc.collect()
    assert trunk() is not None
    ask.release()
    del caption, ask
    gc.collect()
    assert trunk() is None
    assert encoder() is None
    for model in models:
        with pytest.raises(MmdemoError, match=r"has been unloaded"):
            model.predict([])


# ---------------------------------------------------------------- pictures


def test_a_picture_is_encoded_once_whatever_is_asked(root: Path) -> None:
    caption, ask, classify = (load(task, device="cpu") for task in ("caption", "ask", "classify"))
    assert isinstance(ask, AskModel)
    ask.pictures._kept.clear()  # the probes' pictures
    seen: list[int] = []
    handle = ask.pictures.vision.trunk.register_forward_hook(lambda net, inputs, out: seen.append(len(inputs[0])))
    one, other = probe.made_picture(0), probe.made_picture(1)
    questions = [AskRequest(picture=p, question=q) for p in (one, other, one) for q in ("what is it", "what color")]
    ask.predict(questions)
    ask.predict(questions[:1])
    caption.predict([CaptionRequest(picture=one)])
    classify.predict([ClassifyRequest(picture=other, labels=("dog", "cat"))])
    ask.explain(questions[0], ask.predict(questions[:1])[0])
    handle.remove()
    assert seen == [2]


def test_only_so_many_pictures_are_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmdemo.models.pictures.KEPT_PICTURES", 2)
    assert KEPT_PICTURES > 2
    encoder = encoder_for(load_vision(root / "vision-base"))
    encoder._kept.clear()
    pictures = [probe.made_picture(seed) for seed in range(3)]
    found = encoder.encode(pictures)
    assert len(encoder._kept) == 2
    again = encoder.encode([pictures[0], pictures[0]])
    assert torch.allclose(again[0].grid, found[0].grid, atol=1e-5)
    assert torch.equal(again[0].grid, again[1].grid)
    encoder._kept.clear()


def test_texts_are_kept_apart_from_what_training_encodes(root: Path) -> None:
    text = load_text(root / "text-base")
    plain = text.vectors(["a red dog"])
    text._kept.clear()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = text.encoded(["a red dog"])
    assert not np.array_equal(rough, plain)
    np.testing.assert_array_equal(text.vectors(["a red dog"]), plain)
    assert text.vectors([]).shape == text.encoded([]).shape == (0, 32)


def test_load_stays_a_function_however_often_it_is_asked_for(root: Path) -> None:
    import mmdemo.models  # as the engine does, after other modules have imported all there is

    assert callable(mmdemo.models.load)
    assert mmdemo.models.load is load


# ---------------------------------------------------------------- refusals


def refused(task: str, name: str, words: str) -> None:
    with pytest.raises(MmdemoError, match=words):
        load(task, name, device="cpu")


def test_names_that_are_not_there(root: Path) -> None:
    refused("sentiment", "sentiment-bse", r"no model 'sentiment-bse' for sentiment: .*Did you mean sentiment-base")
    refused("caption", "sentiment-base", "cannot serve caption: it was trained for sentiment")
    refused("vision", "vision-base", "There is no task 'vision'")
    with pytest.raises(MmdemoError, match=r"no device 'tpu'"):
        pick_device("tpu")


@pytest.mark.parametrize("task", ["ask", "caption", "sentiment"])
def test_labels_must_match_the_network(root: Path, task: str) -> None:
    folder = root / f"{task}-base"
    labels = checkpoint.read_config(folder).labels
    change_config(folder, labels=labels[:-1])
    refused(
        task, f"{task}-base", rf"{task}-base cannot be loaded: it has {len(labels) - 1} .* and {len(labels)} output"
    )


def test_settings_that_cannot_be_are_refused(root: Path) -> None:
    folder = root / "sentiment-base"
    net = dict(checkpoint.read_config(folder).net)
    for wrong in ({**net, "depth": 3}, {**net, "heads": 5}, {**net, "width": "wide"}, {**net, "heads": 0}):
        change_config(folder, net=wrong)
        refused("sentiment", "sentiment-base", "its network settings are wrong")
    change_config(folder, net={**net, "width": 32})
    refused("sentiment", "sentiment-base", "has shape .*, the network needs")


def test_classify_needs_its_settings(root: Path) -> None:
    change_config(root / "classify-base", settings={"known_weight": 0.5})
    refused("classify", "classify-base", "its settings hold no templates")
    change_config(root / "classify-base", settings={"templates": ("{}",)})
    refused("classify", "classify-base", "its settings hold no number known_weight")


def test_parts_must_be_there_and_be_the_same(root: Path) -> None:
    folder = root / "caption-base"
    whole = (folder / "config.json").read_text(encoding="utf-8")
    parts = dict(checkpoint.read_config(folder).parts)
    change_config(folder, parts={})
    refused("caption", "caption-base", "names no vision part")
    change_config(folder, parts={"vision": EncoderRef(name="../vision-base", hash=parts["vision"].hash)})
    refused("caption", "caption-base", "has a path for a name")
    (folder / "config.json").write_text(whole, encoding="utf-8")
    change_config(folder, parts={"vision": EncoderRef(name="vision-lost", hash=parts["vision"].hash)})
    refused("caption", "caption-base", "it needs vision-lost, which is not there")
    change_config(folder, parts={"vision": EncoderRef(name="vision-base", hash="0" * 64)})
    refused("caption", "caption-base", "vision-base is not the one that it was trained with")
    change_config(
        folder, parts={"vision": EncoderRef(name="text-base", hash=checkpoint.weights_hash(root / "text-base"))}
    )
    refused("caption", "caption-base", 'text-base cannot serve here: it is a "text" checkpoint')


def test_damaged_parts_are_named(root: Path) -> None:
    (root / "text-base" / "tokenizer.json").write_text("{}")
    with pytest.raises(MmdemoError, match=r"text-base cannot be loaded: tokenizer.json is damaged"):
        _fresh_text(root)
    (root / "text-base" / "tokenizer.json").unlink()
    with pytest.raises(MmdemoError, match=r"text-base cannot be loaded: its tokenizer.json is missing"):
        _fresh_text(root)
    change_config(root / "vision-base", net={"architecture": "hf-hub:someone/else", "side": 64})
    _perturb(root / "vision-base", "net.bn1.bias")
    with pytest.raises(MmdemoError, match=r"vision-base cannot be loaded: architecture must be the plain name"):
        load_vision(root / "vision-base")


def _fresh_text(root: Path) -> None:
    _perturb(root / "text-base", "net.embeddings.LayerNorm.bias")  # other weights: not the one in memory
    load_text(root / "text-base")


def _perturb(folder: Path, name: str) -> None:
    file = folder / checkpoint.WEIGHTS
    tensors = load_file(file)
    tensors[name] = tensors[name] + 0.5
    save_file(tensors, file)
    seal(folder)


def test_other_weights_fail_the_probe(root: Path) -> None:
    file = root / "sentiment-base" / checkpoint.WEIGHTS
    tensors = load_file(file)
    tensors["classifier.bias"] = tensors["classifier.bias"] + torch.tensor([2.0, 0.0, 0.0], dtype=torch.float16)
    save_file(tensors, file)
    seal(file.parent)
    refused("sentiment", "sentiment-base", r"sentiment-base cannot be loaded: its probe differs: input 1")


@pytest.mark.parametrize("text", ["{", "[]", '{"tolerance": 0.1, "answers": [3]}', '{"tolerance": 0.1, "answers": []}'])
def test_a_damaged_probe_is_refused(root: Path, text: str) -> None:
    (root / "sentiment-base" / probe.FILE).write_text(text)
    refused("sentiment", "sentiment-base", "sentiment-base cannot be loaded: its probe.json")
    (root / "sentiment-base" / probe.FILE).unlink()
    refused("sentiment", "sentiment-base", "probe.json is missing")


# ---------------------------------------------------------------- lists


def test_shipped_models_stand_first_and_broken_folders_nowhere(root: Path) -> None:
    for name in ("a-own", "z-own", "no-figures", "no-config", "half.part"):
        shutil.copytree(root / "sentiment-base", root / name)
    (root / "no-figures" / "metrics.json").write_text("{")
    (root / "no-config" / "config.json").write_text("{")
    names = [card.id for card in list_models("sentiment")]
    assert names == ["sentiment-base", "a-own", "z-own"]
    assert [card.source for card in list_models("sentiment")] == ["shipped", "trained here", "trained here"]
    assert [card.task for card in list_models()] == [
        "ask",
        "classify",
        "caption",
        "sentiment",
        "sentiment",
        "sentiment",
    ]
    card = list_models("caption")[0]
    tensors = [*load_file(root / "caption-base" / checkpoint.WEIGHTS).values()]
    tensors += load_file(root / "vision-base" / checkpoint.WEIGHTS).values()
    assert card.parameters == sum(tensor.numel() for tensor in tensors)
    assert card.text.startswith("# caption-base")


def test_clips_of_any_length_stay_in_order(root: Path) -> None:
    model = load("sentiment", device="cpu")
    assert isinstance(model, SentimentModel)
    assert model.probabilities([]).shape == (0, 3)
    clips = [np.random.default_rng(i).normal(size=2000 * (i + 1)).astype(np.float32) for i in range(3)]
    rows = model.probabilities([clips[2], clips[0], clips[1]])
    np.testing.assert_allclose(rows.sum(axis=1), 1)
    np.testing.assert_allclose(rows[1:2], model.probabilities([clips[0]]), atol=1e-5)


def test_vectors_for_retrieval(root: Path) -> None:
    model = load("classify", device="cpu")
    assert isinstance(model, ClassifyModel)
    pictures, texts = model.encode_pictures([probe.made_picture(0)]), model.encode_texts(["dog", "cat"])
    assert pictures.shape == (1, 32)
    assert texts.shape == (2, 32)
    np.testing.assert_allclose(np.linalg.norm(np.concatenate((pictures, texts)), axis=1), 1, atol=1e-5)
    result = model.predict(probe.requests("classify"))[0].to_json()
    assert json.dumps(result)
