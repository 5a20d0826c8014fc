"""Tasks over networks that others made: what is trained of them, and that the losses are their makers' own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from open_clip.loss import CoCaLoss, SigLipLoss
from PIL import Image
from torch import nn
from transformers import GitConfig, GitForCausalLM

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import AskRequest, Card
from mmdemo.media.image import load_picture
from mmdemo.models.families.base import RuntimeConfig
from mmdemo.models.families.classes import class_of
from mmdemo.tasks.base import HEAD
from mmdemo.tasks.hub.base import HubTask, TrainableParts
from mmdemo.tasks.hub.contrastive import ClassesTask, ContrastiveRow, sigmoid_loss
from mmdemo.tasks.hub.generative import SILENT, GenerativeRow, GenerativeTask, targets
from mmdemo.tasks.hub.speech import SpeechClassifierTask, SpeechRow
from mmdemo.tasks.tune import Tune, freeze
from mmdemo.train.lora import add_lora
from tests.small_bases import draw
from tests.sounds import speech_like
from tests.tiny_models.audio import make_speech
from tests.tiny_models.blip import make_blip_ask
from tests.tiny_models.chat import LAYERS, make_llava, make_qwen
from tests.tiny_models.coca import make_coca
from tests.tiny_models.florence import make_florence
from tests.tiny_models.open_clip_ import make_clip
from tests.tiny_models.vilt import make_vilt
from tests.tiny_models.zero_shot import make_siglip

MAKE: dict[str, tuple[str, Any]] = {
    "blip": ("blip_ask", make_blip_ask),
    "clip": ("open_clip", make_clip),
    "coca": ("coca", make_coca),
    "florence": ("florence", make_florence),
    "llava": ("chat", make_llava),
    "qwen": ("chat", make_qwen),
    "siglip": ("zero_shot", make_siglip),
    "vilt": ("vilt", make_vilt),
}

COCA_LOSS = ("image_features", "text_features", "logits", "labels", "logit_scale")
"""What the library's loss takes of what its network gives."""


class Bare(HubTask):
    """Nothing but what is trained."""

    collate = loss = outputs = score = calibrate = None  # type: ignore[assignment]


Bare.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]


def named(*names: str) -> nn.Module:
    """A network whose parameters are called so."""
    net = nn.Module()
    for name in names:
        *path, last = name.split(".")
        at = net
        for part in path:
            if not hasattr(at, part):
                at.add_module(part, nn.Module())
            at = getattr(at, part)
        at.register_parameter(last, nn.Parameter(torch.zeros(2, 2)))
    return net


def opened(family: str, task: str, folder: Path) -> Any:
    return class_of(family).open(folder, Card(id="tiny", task=task, summary="", licence=""), how=RuntimeConfig())


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny")
    make_blip_ask(root / "blip")
    make_qwen(root / "qwen")
    make_llava(root / "llava")
    make_speech(root / "wavlm", "wavlm", norm="group")
    make_speech(root / "wav2vec2")
    for i, thing in enumerate(("dog", "car")):
        draw("red", thing, i).save(root / f"{thing}.png")
    return root


# ---------------------------------------------------------------- what is trained


def test_depth_is_counted_from_the_top_of_each_stack() -> None:
    names = {
        "visual.trunk.stages.0.blocks.1.conv1.weight": 3,
        "visual.trunk.stages.2.blocks.0.norm.weight": 1,
        "visual.trunk.stem.0.weight": 4,
        "visual.head.proj.weight": HEAD,
        "text.transformer.resblocks.0.attn.in_proj_weight": 2,
        "text.transformer.resblocks.1.attn.in_proj_weight": 1,
        "text.token_embedding.weight": 4,
        "text.ln_final.weight": 1,
        "encoder.conv_layers.0.conv.weight": 4,
        "encoder.layers.0.attention.rel_attn_embed.weight": 2,
        "encoder.layers.1.fc.weight": 1,
        "lm_head.weight": 4,
    }
    net = TrainableParts(named(*names))
    task = Bare("classify", net.net, heads=("visual.head",))
    assert {name: task.depth(net, f"net.{name}") for name in names} == names
    assert task.depth(net, "net.encoder.layers.0.fc.lora_A.default.weight") == HEAD


@pytest.mark.parametrize("kind", ["blip", "clip", "coca", "florence", "git", "llava", "qwen", "siglip", "vilt"])
def test_last_blocks_never_come_with_the_matrix_over_all_words(tmp_path: Path, kind: str) -> None:
    if kind == "git":
        settings = {**LAYERS, "vocab_size": 90}
        bare: nn.Module = GitForCausalLM(GitConfig(**settings, vision_config={**LAYERS, "image_size": 16}))
    else:
        family, make = MAKE[kind]
        bare = opened(family, class_of(family).tasks[0], make(tmp_path / kind)).net
    task, net = Bare("x", bare, heads=()), TrainableParts(bare)
    task.open_up(net)
    freeze(task, net, Tune(kind="last", blocks=1))
    trained = {name: p for name, p in net.named_parameters() if p.requires_grad}
    assert any(".1." in name or ".0." in name for name in trained)  # the last blocks are
    tables = {name: m for name, m in bare.named_modules() if isinstance(m, nn.Embedding)}
    words = max(m.num_embeddings for name, m in tables.items() if "position" not in name)
    assert not [name for name, p in trained.items() if p.ndim == 2 and words in p.shape]


def test_a_rank_that_no_layer_has_is_named(folders: Path) -> None:
    model = opened("blip_ask", "ask", folders / "blip")
    net = TrainableParts(model.net)
    task = Bare("ask", model.net, heads=())
    task.open_up(net)
    with pytest.raises(
        MmdemoError, match=r"train\.lora_rank is 4096: the widest layer of ask takes 31\. Choose a lower"
    ):
        add_lora(task, net, rank=4096, alpha=2)
    with pytest.raises(
        MmdemoError, match=r"LoRA has no place in ask: the network has no layers for it\. Use train\.tune=a"
    ):
        add_lora(Bare("ask", model.net, heads=("",)), net, rank=2, alpha=2)
    add_lora(task, net, rank=31, alpha=2)


def test_there_are_no_more_blocks_than_a_stack_has(folders: Path) -> None:
    model = opened("blip_ask", "ask", folders / "blip")
    task, net = Bare("ask", model.net, heads=()), TrainableParts(model.net)
    task.open_up(net)
    freeze(task, net, Tune(kind="last", blocks=2))
    assert not [name for name, p in net.named_parameters() if p.requires_grad and "embed" in name]
    with pytest.raises(MmdemoError, match=r"train\.tune is last:3: the encoder of ask has 2 blocks"):
        freeze(task, net, Tune(kind="last", blocks=3))


def test_the_state_is_what_is_trained_and_batch_norms_rest() -> None:
    net = TrainableParts(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2)))
    net.net[0].requires_grad_(False)
    net.net[1].requires_grad_(False)
    assert set(net.state_dict()) == {"net.2.weight", "net.2.bias"}
    mean = net.net[1].running_mean.clone()
    net.train().net(torch.randn(8, 2))
    assert torch.equal(net.net[1].running_mean, mean)
    assert net.net[2].training
    net.load_state_dict({"net.2.weight": torch.ones(2, 2), "net.2.bias": torch.ones(2)})
    assert bool((net.net[2].weight == 1).all())
    with pytest.raises(RuntimeError, match=r"net\.2\.bias"):
        net.load_state_dict({"net.2.weight": torch.ones(2, 2)})


def test_layers_that_are_never_called_get_no_matrices(folders: Path) -> None:
    model = opened("audio", "sentiment", folders / "wavlm")
    task, net = SpeechClassifierTask(model), TrainableParts(model.net)
    task.open_up(net)
    task.watch(net, task.collate(clips(0.5, 0.6)))
    add_lora(task, net, rank=2, alpha=2)
    freeze(task, net, Tune(kind="lora"))
    task.loss(net, task.collate(clips(0.5, 0.6))).backward()
    # of two matrices the first one starts at random, and the second at 0: that has a gradient from the first step on
    matrices = {name: p for name, p in net.named_parameters() if ".lora_B." in name}
    # WavLM's attention reads the weights of its layers and never calls them
    layers = {name.split(".lora_B")[0].rpartition(".")[2] for name in matrices}
    assert layers == {"intermediate_dense", "output_dense", "gru_rel_pos_linear"}
    assert all(p.grad is not None and bool(p.grad.any()) for p in matrices.values())


# ---------------------------------------------------------------- losses


def test_the_sigmoid_loss_is_that_of_open_clip() -> None:
    torch.manual_seed(0)
    pictures, texts = (nn.functional.normalize(torch.randn(5, 8), dim=1) for _ in range(2))
    theirs = SigLipLoss()(pictures, texts, torch.tensor(7.0), torch.tensor(-3.0))
    ours = sigmoid_loss(pictures, texts, scale=7.0, bias=-3.0, group=torch.arange(5))
    torch.testing.assert_close(ours, theirs)
    grouped = sigmoid_loss(pictures, texts, scale=7.0, bias=-3.0, group=torch.tensor([0, 0, 1, 2, 3]))
    logits = 7.0 * pictures @ texts.T - 3.0
    left_out = -(nn.functional.logsigmoid(-logits[0, 1]) + nn.functional.logsigmoid(-logits[1, 0])) / 5
    torch.testing.assert_close(grouped, theirs - left_out)


class Towers:
    """Pictures that are vectors already."""

    net, scale, bias, sigmoid = named("visual.proj"), 10.0, 0.0, False

    def picture_features(self, inputs: Any) -> torch.Tensor:
        return inputs["x"]

    text_features, tokenizer = None, None


def test_none_of_these_is_fitted_to_what_is_shown() -> None:
    random = np.random.default_rng(0)
    classes = torch.eye(4)[:3]
    rows, outputs = [], []
    task = ClassesTask(Towers(), classes=classes, neutral=torch.eye(4)[3:])  # type: ignore[arg-type]
    for i in range(60):
        vector = np.eye(4)[i % 3] + random.normal(0, 0.2, 4)
        rows.append(ContrastiveRow(pixels={"x": vector.astype(np.float32)}, texts=("",), own=i % 3))
    net: Any = TrainableParts(nn.Linear(1, 1))
    outputs = task.outputs(net, task.collate(rows))
    assert task.score(net, outputs, rows)["top1"] > 0.9
    found = task.calibrate(net, outputs, rows)
    table = np.stack(outputs)
    none = table[:, 3] + found.height
    assert np.mean(table[:, :3].max(axis=1) > none) > 0.9  # with its class it wins
    rest = np.stack([np.delete(out[:3], row.own) for out, row in zip(table, rows, strict=True)])
    assert np.mean(none > rest.max(axis=1)) > 0.9  # without it, none does
    assert task.calibrate(net, outputs[:10], rows[:10]).temperature == 1.0  # too few to say


def test_targets_end_and_are_silent_behind_it() -> None:
    read, said = targets([[5, 6, 7], [8]], end=2)
    assert read.tolist() == [[5, 6, 7, 2], [8, 2, 2, 2]]
    assert said.tolist() == [[5, 6, 7, 2], [8, 2, SILENT, SILENT]]


def asked(folders: Path, model: Any) -> list[GenerativeRow]:
    rows = []
    for thing, question, answer in (("dog", "what is it", "a big dog"), ("car", "is there a red ball in it", "no")):
        file = folders / f"{thing}.png"
        images = [Image.open(file).convert("RGB")]
        pixels = model.processor.image_processor(images=images, return_tensors="pt")["pixel_values"][0]
        kept = {"pixel_values": pixels.numpy()}
        rows.append(GenerativeRow(file=file, question=question, answers={answer: 1.0}, right={}, pixels=kept))
    return rows


def test_blip_is_taught_as_its_library_does_but_from_its_own_first_token(folders: Path) -> None:
    model = opened("blip_ask", "ask", folders / "blip")
    rows, net = asked(folders, model), TrainableParts(model.net)
    task = GenerativeTask(model, model.formatter("all"))
    words = model.processor.tokenizer
    model.net.text_decoder.label_smoothing = 0.0
    for row in rows:
        batch = task.collate([row])
        answer = words(next(iter(row.answers)), return_tensors="pt").input_ids
        answer[:, 0] = words.bos_token_id  # the library's example leaves [CLS] there, generation begins with [DEC]
        question = words(row.question, return_tensors="pt")
        theirs = model.net(**question, pixel_values=batch["pixel_values"], labels=answer).loss
        torch.testing.assert_close(task.loss(net, batch), theirs)
    together = task.outputs(net, task.collate(rows))
    alone = [task.outputs(net, task.collate([row]))[0] for row in rows]
    np.testing.assert_allclose(np.stack(together), np.stack(alone), rtol=1e-5)  # padding says nothing


def captioned(folders: Path) -> list[GenerativeRow]:
    texts = {"dog": "a big red dog", "car": "a car"}
    return [GenerativeRow(file=folders / f"{thing}.png", answers={text: 1.0}) for thing, text in texts.items()]


def test_coca_is_taught_as_its_library_does(tmp_path: Path, folders: Path) -> None:
    model = opened("coca", "caption", make_coca(tmp_path / "coca"))
    plain = captioned(folders)
    pixels = model.processor([load_picture(row.file) for row in plain])["image"]
    rows = [replace(row, pixels={"image": one.numpy()}) for row, one in zip(plain, pixels, strict=True)]
    task, net = GenerativeTask(model, model.formatter("all")), TrainableParts(model.net)
    texts = model.words([next(iter(row.answers)) for row in rows])  # (B, T), 0 behind the end
    found = model.net(pixels, texts)
    theirs = CoCaLoss(caption_loss_weight=1, clip_loss_weight=0)(**{n: found[n] for n in COCA_LOSS})[1]
    torch.testing.assert_close(task.loss(net, task.collate(rows)), theirs, atol=1e-5, rtol=1e-5)


def test_florence_is_taught_as_its_library_does(tmp_path: Path, folders: Path) -> None:
    model = opened("florence", "caption", make_florence(tmp_path / "florence"))
    task, net = GenerativeTask(model, model.formatter("all")), TrainableParts(model.net)
    rows, words = captioned(folders), model.processor.tokenizer
    for row in rows:
        # a tokenizer of BART's puts its marks around a text, which the tiny one's does not
        labels = words(f"<s>{next(iter(row.answers))}</s>", add_special_tokens=False, return_tensors="pt").input_ids
        inputs = model.processor(images=Image.open(row.file).convert("RGB"), text="<CAPTION>", return_tensors="pt")
        theirs = model.net(**inputs, labels=labels).loss
        torch.testing.assert_close(task.loss(net, task.collate([row])), theirs, atol=1e-5, rtol=1e-5)
    together = task.outputs(net, task.collate(rows))
    alone = [task.outputs(net, task.collate([row]))[0] for row in rows]
    np.testing.assert_allclose(np.stack(together), np.stack(alone), rtol=1e-5)  # padding says nothing


@pytest.mark.parametrize(("kind", "mark"), [("qwen", "<|image_pad|>"), ("llava", "<image>"), ("qwen", "<|im_end|>")])
def test_marks_in_answers_are_not_learned(folders: Path, kind: str, mark: str) -> None:
    model = opened("chat", "ask", folders / kind)
    task = GenerativeTask(model, model.formatter("all"))
    (row, *_), net = asked(folders, model), TrainableParts(model.net)
    marked = task.collate([replace(row, answers={f"a {mark} big{mark} dog": 1.0})])
    plain = task.collate([row])
    assert torch.equal(marked["target"], plain["target"])
    assert torch.equal(task.loss(net, marked), task.loss(net, plain))


@pytest.mark.parametrize("kind", ["qwen", "llava"])
def test_a_chat_model_learns_its_answer_alone_behind_the_prompt_that_is_served(folders: Path, kind: str) -> None:
    model = opened("chat", "ask", folders / kind)
    rows, net = asked(folders, model), TrainableParts(model.net)
    ends = sorted(model.ends)
    formatter = model.formatter("all")
    task = GenerativeTask(model, formatter)
    batch = task.collate(rows)
    words = model.processor.tokenizer
    heard: list[str] = []
    for tokens, target in zip(batch["input_ids"], batch["target"], strict=True):
        learned = target[target != SILENT]
        assert learned[-1] in ends
        heard.append(words.decode(learned[:-1]))
        at = len(tokens) - len(target)
        assert torch.equal(tokens[at : at + len(learned)], learned)
    assert heard == ["a big dog", "no"]

    prompts: list[torch.Tensor] = []

    def note(*_: Any, **inputs: Any) -> Any:
        prompts.append(inputs["input_ids"])
        raise StopIteration

    model.net.generate = note
    pictures = [load_picture(row.file) for row in rows]
    for picture, row, tokens in zip(pictures, rows, batch["input_ids"], strict=True):
        with pytest.raises(StopIteration):
            model._answer([AskRequest(picture=picture, question=row.question)])
        served = prompts.pop()[0]
        before = tokens[: len(tokens) - batch["target"].shape[1]]
        assert torch.equal(before[-len(served) :], served)

    whole = model.net(**{n: t for n, t in batch.items() if n != "target"}).logits
    count = batch["target"].shape[1]
    torch.testing.assert_close(formatter.logits(model.net, batch), whole[:, -count - 1 : -1], atol=1e-5, rtol=1e-5)
    alone = [task.outputs(net, task.collate([row]))[0] for row in rows]
    np.testing.assert_allclose(np.stack(task.outputs(net, batch)), np.stack(alone), rtol=1e-4)


# ---------------------------------------------------------------- speech


def clips(*seconds: float) -> list[SpeechRow]:
    return [
        SpeechRow(samples=speech_like(s, rate=16_000, seed=i), label=i % 2, learning=False)
        for i, s in enumerate(seconds)
    ]


@pytest.mark.parametrize("kind", ["wavlm", "wav2vec2"])
def test_clips_of_a_batch_are_heard_as_each_alone_is_served(folders: Path, kind: str) -> None:
    model = opened("audio", "sentiment", folders / kind)
    task, net = SpeechClassifierTask(model), TrainableParts(model.net).eval()
    rows = clips(0.5, 0.9, 0.7)
    together = torch.from_numpy(np.stack(task.outputs(net, task.collate(rows)))).softmax(dim=1).numpy()
    np.testing.assert_allclose(together, model.probabilities([row.samples for row in rows]), atol=1e-5)
