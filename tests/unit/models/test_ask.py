"""Ask, served with every fusion: written, loaded, shares shown, heat maps where there is a picture to look at."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mmdemo.core.config import CheckpointConfig, EncoderRef
from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import AskRequest, AskResult
from mmdemo.models import checkpoint, load, probe
from mmdemo.models.ask import AskModel
from mmdemo.models.loading import read
from mmdemo.nets.fusion import FUSION_NAMES
from mmdemo.tasks import TASKS
from tests.unit.models.conftest import ASK_NET, change_config

ANSWERS = ("dog", "cat", "red", "blue", "yes", "no")
WORDS = ("what", "is", "color", "it")


def written(root: Path, **net: object) -> Path:
    """A checkpoint of its own beside the shipped ones, its weights drawn at random."""
    lstm = net.get("question") == "lstm"
    parts = {
        role: EncoderRef(name=f"{role}-base", hash=checkpoint.weights_hash(root / f"{role}-base"))
        for role in (("vision",) if lstm else ("vision", "text"))
    }
    config = CheckpointConfig(
        task="ask",
        net={**ASK_NET, **net, **({"question_words": len(WORDS)} if lstm else {})},  # type: ignore[arg-type]
        labels=ANSWERS,
        settings={"question_words": WORDS} if lstm else {},
        parts=parts,
    )
    torch.manual_seed(3)
    built = TASKS["ask"].build(config)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    checkpoint.write(root / "mine", config, checkpoint.pack(built.state_dict()))
    (root / "mine" / probe.FILE).write_text(probe.record(read(root / "mine", device="cpu")), encoding="utf-8")
    (root / "mine" / "README.md").write_text("# mine\n", encoding="utf-8")
    return root / "mine"


@pytest.mark.parametrize("question", ["minilm", "lstm"])
@pytest.mark.parametrize("fusion", FUSION_NAMES)
def test_every_fusion_is_written_loaded_and_explained(root: Path, fusion: str, question: str) -> None:
    folder = written(root, fusion=fusion, question=question)
    if question == "lstm":  # it reads words itself
        shutil.rmtree(root / "text-base")
    model = load("ask", "mine", device="cpu")  # repeats the probe
    assert isinstance(model, AskModel)
    stored = load_file(folder / checkpoint.WEIGHTS)
    assert all(torch.equal(tensor, stored[name].float()) for name, tensor in model.net.state_dict().items())

    asked = probe.requests("ask")
    results = model.predict(asked)
    for request, result in zip(asked, results, strict=True):
        assert isinstance(result, AskResult)
        assert result.answer in ANSWERS
        assert (result.weights is not None) is (fusion in {"weighted", "late", "hybrid"})
        if result.weights is not None:
            assert list(result.weights) == ["image", "question"]
            assert sum(result.weights.values()) == pytest.approx(1)
            assert result.to_json()["weights"] == pytest.approx(dict(result.weights), abs=1e-6)
        (shown,) = model.explain(request, result)
        assert shown.cells.shape == (2, 2)
        assert shown.label == result.answer
        assert float(shown.cells.max()) == 1


@pytest.mark.parametrize("fusion", FUSION_NAMES)
def test_a_hidden_picture_is_not_explained(root: Path, fusion: str) -> None:
    written(root, fusion=fusion, ablate_image=True)
    model = load("ask", "mine", device="cpu")
    question = "what is it"
    one, other = (
        model.predict([AskRequest(picture=probe.made_picture(seed), question=question)])[0] for seed in (0, 1)
    )
    assert probe.answers([one]) == probe.answers([other])
    assert model.explain(AskRequest(picture=probe.made_picture(0), question=question), one) == ()


def test_a_hidden_question_changes_nothing(root: Path) -> None:
    written(root, fusion="weighted", ablate_question=True)
    model = load("ask", "mine", device="cpu")
    asked = [AskRequest(picture=probe.made_picture(0), question=q) for q in ("what is it", "what color is the dog")]
    one, other = (model.predict([request])[0] for request in asked)
    assert probe.answers([one]) == probe.answers([other])
    assert isinstance(one, AskResult)
    assert one.weights == {"image": 1.0, "question": 0.0}
    assert len(model.explain(asked[0], one)) == 1


def test_words_and_network_must_belong_together(root: Path) -> None:
    folder = written(root, fusion="early", question="lstm")
    change_config(folder, settings={"question_words": WORDS[:2]})
    with pytest.raises(MmdemoError, match=r"its network reads 4 words, and its settings list others"):
        load("ask", "mine", device="cpu")
    change_config(folder, settings={})
    with pytest.raises(MmdemoError, match=r"its network reads 4 words"):
        load("ask", "mine", device="cpu")
    net = {**ASK_NET, "question": "lstm", "question_words": len(WORDS), "fusion": "erly"}
    change_config(folder, settings={"question_words": WORDS}, net=net)
    with pytest.raises(MmdemoError, match=r"its network settings are wrong .*of which early is the nearest"):
        load("ask", "mine", device="cpu")
