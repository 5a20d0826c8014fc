"""Florence-2: as the library's documentation uses it, both lengths of caption, alone and together."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, Florence2ForConditionalGeneration

from mmdemo.core.config import FAMILY, CheckpointConfig
from mmdemo.core.types import CaptionRequest, CaptionResult, Card, Result
from mmdemo.models.families.base import TUNED, RuntimeConfig
from mmdemo.models.families.florence import FlorenceModel
from mmdemo.models.families.generation import TokenStreamer
from tests.tiny_models.ending import said_unless_ended
from tests.tiny_models.florence import make_florence
from tests.tiny_models.pictures import coloured

DESCRIBED = [
    CaptionRequest(picture=coloured(i, height=40 + 20 * i, width=60 - 10 * i), n=3, max_words=words)
    for i, words in enumerate((20, 20, 40, 40))
]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_florence(tmp_path_factory.mktemp("tiny") / "florence")


def opened(folder: Path) -> FlorenceModel:
    return FlorenceModel.open(
        folder, Card(id="tiny/florence", task="caption", summary="", licence=""), how=RuntimeConfig()
    )


def without_time(result: Result) -> dict[str, object]:
    return {**result.to_json(), "seconds": 0}


def test_captions_are_those_of_the_documented_use(folder: Path) -> None:
    processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
    net = Florence2ForConditionalGeneration.from_pretrained(folder, local_files_only=True)
    model = opened(folder)
    for request, result in zip(DESCRIBED, model.predict(DESCRIBED), strict=True):
        task = "<DETAILED_CAPTION>" if request.max_words == 40 else "<CAPTION>"
        picture = Image.fromarray(request.picture.pixels)
        inputs = processor(text=task, images=picture, return_tensors="pt")
        tokens = {20: 34, 40: 64}[request.max_words]
        theirs = net.generate(
            **inputs,
            max_new_tokens=tokens,
            num_beams=3,
            num_return_sequences=3,
            return_dict_in_generate=True,
            output_scores=True,
        )
        scores = net.compute_transition_scores(
            theirs.sequences, theirs.scores, theirs.beam_indices, normalize_logits=True
        )
        found = model._say([request], model._manner(request), TokenStreamer())[0]
        for said, sequence, row in zip(found, theirs.sequences.tolist(), scores.tolist(), strict=True):
            assert said.tokens == tuple(sequence[1 : 1 + len(said.tokens)])
            assert said.chances == pytest.approx(row[: len(said.tokens)], abs=1e-5)

        text = processor.batch_decode(theirs.sequences[:1], skip_special_tokens=False)[0].replace("<pad>", "")
        read = processor.post_process_generation(text, task=task, image_size=picture.size)[task]
        assert isinstance(result, CaptionResult)
        whole = " ".join(read.replace("\ufffd", "").split())
        assert whole == result.caption if found[0].ended else whole.startswith(result.caption.rstrip("…"))
        assert result.caption
        words = [c for t, c in zip(found[0].tokens, found[0].chances, strict=True) if t not in model.special]
        assert result.score == pytest.approx(float(torch.tensor(words).mean().exp()), abs=1e-5)


def test_a_caption_is_never_empty(folder: Path) -> None:
    model = opened(folder)
    ours, theirs = said_unless_ended(model, DESCRIBED[0], beams=3, least=2)
    assert all(set(said.tokens) - model.special for said in ours)
    assert [said.tokens for said in ours] == theirs
    assert ours[0].score(model.special) < 0.01


def test_the_task_depends_on_the_room_and_is_what_was_tuned(folder: Path, tmp_path: Path) -> None:
    model = opened(folder)
    assert [model.task_words(request) for request in DESCRIBED[1:3]] == ["<CAPTION>", "<DETAILED_CAPTION>"]
    plain = model.predict(DESCRIBED[1:3])
    model.config = CheckpointConfig(task="caption", net={FAMILY: "florence"})
    assert [model.task_words(request) for request in DESCRIBED[1:3]] == ["<CAPTION>", "<CAPTION>"]
    tuned = model.predict(DESCRIBED[1:3])
    assert tuned[0].to_json()["score"] == plain[0].to_json()["score"]
    assert tuned[1].to_json()["score"] != plain[1].to_json()["score"]
    shutil.copytree(folder, tmp_path / "merged")
    (tmp_path / "merged" / TUNED).write_text("{}")
    (merged,) = opened(tmp_path / "merged").predict(DESCRIBED[2:3])
    assert merged.to_json()["score"] == tuned[1].to_json()["score"]


def test_together_is_as_one_by_one(folder: Path) -> None:
    model = opened(folder)
    for request, together in zip(DESCRIBED, model.predict(DESCRIBED), strict=True):
        assert without_time(together) == without_time(model.predict([request])[0])


def test_streaming_ends_with_what_predict_says(folder: Path) -> None:
    model = opened(folder)
    steps = [without_time(step) for step in model.stream(DESCRIBED[2])]
    assert steps[-1] == without_time(model.predict([DESCRIBED[2]])[0])
    assert len(steps) > 2
    assert not any(thread.name.startswith("stream:") for thread in threading.enumerate())
