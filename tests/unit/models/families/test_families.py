"""The list of families: what is recognised as what, and that one class and its place in the list make a family."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import AskRequest, AskResult, Card, Result
from mmdemo.data.examples import Dataset, Example, fingerprint
from mmdemo.data.prepare import DatasetSplits, Encoders, prepare_hub
from mmdemo.data.start import load_hub_base
from mmdemo.media.image import load_picture
from mmdemo.models.families import classes
from mmdemo.models.families.base import HubModel, RuntimeConfig
from mmdemo.models.families.detect import HubConfig, infer_family
from mmdemo.models.families.factory import open_hub_model
from mmdemo.tasks.base import Batch
from mmdemo.tasks.hub.base import Look, TrainableParts
from mmdemo.tasks.hub.generative import SILENT, GenerativeRow, GenerativeTask, targets

WORDS = ("<end>", "yes", "no", "dog")


@pytest.mark.parametrize(
    ("open_clip", "model_type", "architecture", "family"),
    [
        ({"text_cfg": {}}, "", "", "open_clip"),
        ({}, "", "", "open_clip"),  # a damaged one, which says so when it is loaded
        ({"text_cfg": {}, "multimodal_cfg": {}}, "", "", "coca"),
        (None, "blip", "BlipForConditionalGeneration", "blip_caption"),
        (None, "blip", "BlipForQuestionAnswering", "blip_ask"),
        (None, "vilt", "ViltForQuestionAnswering", "vilt"),
        (None, "florence2", "Florence2ForConditionalGeneration", "florence"),
        (None, "siglip", "SiglipModel", "zero_shot"),
        (None, "clip", "", "zero_shot"),
        (None, "wav2vec2", "Wav2Vec2ForSequenceClassification", "audio"),
        (None, "llava", "LlavaForConditionalGeneration", "chat"),
    ],
)
def test_a_configuration_is_recognised(
    open_clip: dict[str, object] | None, model_type: str, architecture: str, family: str
) -> None:
    config = {"model_type": model_type, "architectures": [architecture] if architecture else []}
    found = infer_family({"model_cfg": open_clip} if open_clip is not None else {}, config, name="x")
    assert found.family == family
    assert found.model_class is classes.class_of(family)
    assert found.architecture == (architecture or model_type or {"open_clip": "CLIP", "coca": "CoCa"}[family])


def test_what_nobody_recognises_is_refused() -> None:
    with pytest.raises(MmdemoError, match=r"x cannot be used here: it holds a BertModel\. Supported are"):
        infer_family({}, {"model_type": "bert", "architectures": ["BertModel"]}, name="x")
    with pytest.raises(MmdemoError, match="No family of hub models is called 'bert'"):
        classes.class_of("bert")


# ---------------------------------------------------------------- a family of its own


class ToyModel(HubModel):
    """Says a word by the length of the question."""

    family: ClassVar[str] = "toy"
    tasks: ClassVar[tuple[str, ...]] = ("ask",)
    trainable: ClassVar[bool] = True

    @classmethod
    def recognises(cls, config: HubConfig) -> bool:
        return config.architecture == "ToyForQuestionAnswering"

    @classmethod
    def open(cls, folder: Path, card: Card, *, how: RuntimeConfig) -> Self:
        net = nn.Embedding(4, len(WORDS))
        net.load_state_dict(load_file(folder / "model.safetensors"))
        return cls(card, net, None, how=how)

    def _answer(self, requests: Sequence[AskRequest]) -> list[Result]:
        scores = self.net(torch.tensor([len(r.question) % 4 for r in requests])).softmax(dim=1)
        return [
            AskResult(
                file=request.picture.name,
                question=request.question,
                answer=WORDS[int(row.argmax())],
                score=float(row.max()),
                sure=True,
                alternatives=(),
                model=self.card.id,
                seconds=0.0,
            )
            for request, row in zip(requests, scores, strict=True)
        ]

    def formatter(self, tune: str) -> ToyFormatter:
        return ToyFormatter()


class ToyFormatter:
    """The length of the question, and the numbers of the answer's words."""

    heads: tuple[str, ...] = ("weight",)
    only: tuple[str, ...] = ()
    look: Look | None = None

    def inputs(self, rows: Sequence[GenerativeRow], texts: Sequence[str]) -> Batch:
        _, target = targets([[WORDS.index(word) for word in text.split()] for text in texts], end=0)
        return {"read": torch.tensor([len(row.question) % 4 for row in rows]), "target": target}

    def logits(self, net: Any, batch: Batch) -> Tensor:
        found: Tensor = net(batch["read"])[:, None].expand(-1, batch["target"].shape[1], -1)
        return found


def data(examples: Mapping[str, str], file: Path) -> Dataset:
    found = tuple(Example(file=file, question=question, answer=answer) for question, answer in examples.items())
    return Dataset(
        task="ask", examples=found, folders=(file.parent,), split=None, name="mine", fingerprint=fingerprint(found)
    )


def test_a_family_is_a_class_and_its_place_in_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classes, "FAMILIES", (ToyModel, *classes.FAMILIES))
    folder, picture = tmp_path / "toy", tmp_path / "dog.png"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"architectures": ["ToyForQuestionAnswering"]}))
    save_file({"weight": torch.eye(4)}, folder / "model.safetensors")
    Image.new("RGB", (32, 32)).save(picture)

    served = open_hub_model("ask", folder, name="toy", device="cpu")
    (result,) = served.predict([AskRequest(picture=load_picture(picture), question="is it")])
    assert isinstance(result, AskResult)
    assert (result.answer, result.model) == ("yes", "toy")

    hub = load_hub_base("ask", folder, name="toy", device="cpu")
    sources = DatasetSplits(train=data({"what": "dog", "is it": "no dog"}, picture), validation=data({}, picture))
    made = prepare_hub(sources, Encoders(hub=hub), {}, None)
    assert made.config.net == {"family": "toy"}
    assert isinstance(made.task, GenerativeTask)
    batch = made.task.collate(made.train)
    assert batch["read"].tolist() == [0, 1]
    assert batch["target"].tolist() == [[3, 0, SILENT], [2, 3, 0]]
    net = TrainableParts(hub.model.net)
    made.task.open_up(net)
    made.task.loss(net, batch).backward()
    assert net.net.weight.grad is not None
