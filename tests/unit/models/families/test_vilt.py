"""ViLT: as the library's documentation uses it, pictures of any shape, alone and together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import ViltForQuestionAnswering, ViltProcessor

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import AskRequest, AskResult, Card
from mmdemo.models.families.base import RuntimeConfig
from mmdemo.models.families.vilt import ViltModel
from tests.tiny_models.pictures import coloured
from tests.tiny_models.vilt import ANSWERS, make_vilt

QUESTIONS = ("what is it?", "what color is the big red dog in the grass?", "how many?", "is there a cat?")
ASKED = [
    AskRequest(picture=coloured(i, height=40 + 30 * i, width=100 - 10 * i), question=question)
    for i, question in enumerate(QUESTIONS)
]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_vilt(tmp_path_factory.mktemp("tiny") / "vilt")


def opened(folder: Path) -> ViltModel:
    return ViltModel.open(folder, Card(id="tiny/vilt", task="ask", summary="", licence=""), how=RuntimeConfig())


def test_answers_are_those_of_the_documented_use(folder: Path) -> None:
    processor = ViltProcessor.from_pretrained(folder, local_files_only=True)
    net = ViltForQuestionAnswering.from_pretrained(folder, local_files_only=True)
    model = opened(folder)
    said = set()
    for request, result in zip(ASKED, model.predict(ASKED), strict=True):
        encoding = processor(Image.fromarray(request.picture.pixels), request.question, return_tensors="pt")
        with torch.no_grad():
            logits = net(**encoding).logits
        assert isinstance(result, AskResult)
        assert result.answer == net.config.id2label[logits.argmax(-1).item()]
        chances = dict(zip(ANSWERS, logits.softmax(dim=-1)[0].tolist(), strict=True))
        found = {result.answer: result.score, **{other.label: other.score for other in result.alternatives}}
        assert len(found) == 5
        assert found == pytest.approx({name: chances[name] for name in found}, abs=1e-5)
        assert list(found) == sorted(chances, key=lambda name: -chances[name])[:5]
        said.add(round(result.score, 4))
    assert len(said) == len(ASKED)  # pictures and questions make a difference


def test_together_is_as_one_by_one(folder: Path) -> None:
    """Though the library draws the padding's places at random."""
    model = opened(folder)
    for request, together in zip(ASKED, model.predict(ASKED), strict=True):
        (alone,) = model.predict([request])
        assert isinstance(alone, AskResult)
        assert isinstance(together, AskResult)
        assert together.answer == alone.answer
        assert together.score == pytest.approx(alone.score, abs=1e-6)
        assert [o.label for o in together.alternatives] == [o.label for o in alone.alternatives]


@pytest.mark.parametrize(("height", "width"), [(2, 400), (400, 2), (1, 1), (30, 360)])
def test_pictures_of_any_shape(folder: Path, height: int, width: int) -> None:
    (result,) = opened(folder).predict([AskRequest(picture=coloured(0, height=height, width=width), question="what?")])
    assert isinstance(result, AskResult)
    assert result.answer in ANSWERS


def test_a_question_of_any_length_is_answered(folder: Path) -> None:
    request = AskRequest(picture=coloured(0), question="what color is the big red dog " * 40)
    (result,) = opened(folder).predict([request])
    assert isinstance(result, AskResult)
    assert result.answer in ANSWERS


def test_a_model_whose_answers_have_no_names_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "vilt")
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {i: f"LABEL_{i}" for i in range(len(ANSWERS))}
    config["label2id"] = {f"LABEL_{i}": i for i in range(len(ANSWERS))}
    (tmp_path / "vilt" / "config.json").write_text(json.dumps(config))
    with pytest.raises(MmdemoError, match=r"config\.json does not name its answers"):
        opened(tmp_path / "vilt")


def test_streams_once_and_explains_nothing(folder: Path) -> None:
    model = opened(folder)
    (result,) = model.stream(ASKED[0])
    assert isinstance(result, AskResult)
    assert model.explain(ASKED[0], result) == ()
