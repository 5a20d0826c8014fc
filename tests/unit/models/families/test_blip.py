"""BLIP both ways: as the library's documentation uses it, alone and together, word by word."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, BlipForConditionalGeneration, BlipForQuestionAnswering

from mmdemo.core.types import AskRequest, AskResult, CaptionRequest, CaptionResult, Card, Result
from mmdemo.models.families.base import RuntimeConfig
from mmdemo.models.families.blip import BlipAskModel, BlipCaptionModel
from mmdemo.models.families.generation import GeneratedSequence, TokenStreamer
from tests.tiny_models.blip import make_blip_ask, make_blip_caption
from tests.tiny_models.ending import said_unless_ended
from tests.tiny_models.pictures import coloured

QUESTIONS = ("what is it?", "what color is the big red dog in the grass?", "how many?", "is there a cat?")
ASKED = [
    AskRequest(picture=coloured(i, height=40 + 20 * i, width=60 - 10 * i), question=question)
    for i, question in enumerate(QUESTIONS)
]
DESCRIBED = [CaptionRequest(picture=asked.picture, n=3, max_words=20) for asked in ASKED]


@pytest.fixture(scope="session")
def caption_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_blip_caption(tmp_path_factory.mktemp("tiny") / "blip_caption")


@pytest.fixture(scope="session")
def ask_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_blip_ask(tmp_path_factory.mktemp("tiny") / "blip_ask")


def captioner(folder: Path, *, how: RuntimeConfig | None = None) -> BlipCaptionModel:
    return BlipCaptionModel.open(
        folder, Card(id="tiny/blip", task="caption", summary="", licence=""), how=how or RuntimeConfig()
    )


def asker(folder: Path) -> BlipAskModel:
    return BlipAskModel.open(folder, Card(id="tiny/blip", task="ask", summary="", licence=""), how=RuntimeConfig())


def without_time(result: Result) -> dict[str, object]:
    return {**result.to_json(), "seconds": 0}


def compared(found: list[GeneratedSequence], net: Any, theirs: Any) -> None:
    """Tokens and their probabilities against the library's own account of them."""
    scores = net.compute_transition_scores(
        theirs.sequences, theirs.scores, getattr(theirs, "beam_indices", None), normalize_logits=True
    )
    assert len(found) == len(theirs.sequences)
    for said, sequence, row in zip(found, theirs.sequences.tolist(), scores.tolist(), strict=True):
        length = len(said.tokens)
        assert said.tokens == tuple(sequence[1 : 1 + length])
        assert said.chances == pytest.approx(row[:length], abs=1e-5)
        assert not any(row[length:])


def test_captions_are_those_of_the_documented_use(caption_folder: Path) -> None:
    processor = AutoProcessor.from_pretrained(caption_folder, local_files_only=True)
    net = BlipForConditionalGeneration.from_pretrained(caption_folder, local_files_only=True)
    model = captioner(caption_folder)
    assert model.family == "blip_caption"
    for request, result in zip(DESCRIBED, model.predict(DESCRIBED), strict=True):
        inputs = processor(images=Image.fromarray(request.picture.pixels), return_tensors="pt")
        options = {"num_beams": 3, "num_return_sequences": 3, "max_new_tokens": 34}
        theirs = net.generate(**inputs, **options, return_dict_in_generate=True, output_scores=True)
        found = model._say([request], model._manner(request), TokenStreamer())[0]
        compared(found, net.text_decoder, theirs)

        texts = [processor.decode(sequence, skip_special_tokens=True) for sequence in theirs.sequences]
        assert isinstance(result, CaptionResult)
        assert found[0].ended
        assert [result.caption, *(other.label for other in result.alternatives)] == texts
        heard = [
            chance
            for token, chance in zip(found[0].tokens, found[0].chances, strict=True)
            if token not in processor.tokenizer.all_special_ids
        ]
        assert result.score == pytest.approx(float(torch.tensor(heard).mean().exp()), abs=1e-5)
        assert result.file == request.picture.name


def test_one_caption_is_still_the_best_of_three(caption_folder: Path) -> None:
    model = captioner(caption_folder)
    several = model.predict([DESCRIBED[0]])[0]
    one = model.predict([CaptionRequest(picture=DESCRIBED[0].picture, n=1, max_words=20)])[0]
    assert isinstance(one, CaptionResult)
    assert isinstance(several, CaptionResult)
    assert (one.caption, one.score, one.alternatives) == (several.caption, several.score, ())
    assert several.alternatives


def test_answers_are_those_of_the_documented_use(ask_folder: Path) -> None:
    processor = AutoProcessor.from_pretrained(ask_folder, local_files_only=True)
    net = BlipForQuestionAnswering.from_pretrained(ask_folder, local_files_only=True)
    model = asker(ask_folder)
    for request, result in zip(ASKED, model.predict(ASKED), strict=True):
        inputs = processor(images=Image.fromarray(request.picture.pixels), text=request.question, return_tensors="pt")
        options = {"num_beams": 5, "num_return_sequences": 5, "max_new_tokens": 10}
        theirs = net.generate(**inputs, **options, return_dict_in_generate=True, output_scores=True)
        found = model._say([request], model._manner(request), TokenStreamer())[0]
        compared(found, net.text_decoder, theirs)

        assert isinstance(result, AskResult)
        ours = [result.answer, *(other.label for other in result.alternatives)]
        texts = [processor.decode(sequence, skip_special_tokens=True) for sequence in theirs.sequences]
        for text, said in zip(texts, found, strict=True):
            assert not (said.ended and text) or text.removesuffix(" .") in [own.removesuffix(" .") for own in ours]
        assert 1 < len(set(ours)) == len(ours) <= 5
        assert all(0 < other.score < 1 for other in result.alternatives)
        assert result.question == request.question


def test_an_answer_is_never_empty(caption_folder: Path, ask_folder: Path) -> None:
    for model, request, beams in (
        (captioner(caption_folder), DESCRIBED[0], 3),
        (asker(ask_folder), ASKED[0], 5),
    ):
        ours, theirs = said_unless_ended(model, request, beams=beams, least=1)
        assert all(said.tokens[0] not in model.ends for said in ours)
        assert [said.tokens for said in ours] == theirs
        assert ours[0].score(model.special) < 0.01


def test_the_network_is_the_one_on_disk(caption_folder: Path, ask_folder: Path) -> None:
    picture = Image.fromarray(ASKED[0].picture.pixels)
    for model, kind in (
        (captioner(caption_folder), BlipForConditionalGeneration),
        (asker(ask_folder), BlipForQuestionAnswering),
    ):
        net: Any = kind.from_pretrained(model_folder := (caption_folder, ask_folder)[kind is BlipForQuestionAnswering])
        processor = AutoProcessor.from_pretrained(model_folder, local_files_only=True)
        inputs = processor(images=picture, text=QUESTIONS[1], return_tensors="pt")
        with torch.no_grad():
            if kind is BlipForQuestionAnswering:
                seen = [n.vision_model(inputs["pixel_values"])[0] for n in (net, model.net)]
                read = [
                    n.text_encoder(inputs["input_ids"], encoder_hidden_states=s)[0]
                    for n, s in zip((net, model.net), seen, strict=True)
                ]
                theirs, ours = (
                    n.text_decoder(inputs["input_ids"], encoder_hidden_states=r).logits
                    for n, r in zip((net, model.net), read, strict=True)
                )
            else:
                theirs, ours = (n(**inputs).logits for n in (net, model.net))
        assert float((theirs - ours).abs().max()) <= 1e-5


def test_together_is_as_one_by_one(caption_folder: Path, ask_folder: Path) -> None:
    for model, requests in ((captioner(caption_folder), DESCRIBED), (asker(ask_folder), [*ASKED, ASKED[0]])):
        for request, together in zip(requests, model.predict(requests), strict=True):
            assert without_time(together) == without_time(model.predict([request])[0])


def test_streaming_ends_with_what_predict_says(caption_folder: Path, ask_folder: Path) -> None:
    for model, request in ((captioner(caption_folder), DESCRIBED[1]), (asker(ask_folder), ASKED[1])):
        steps = [without_time(step) for step in model.stream(request)]
        assert steps[-1] == without_time(model.predict([request])[0])
        assert len(steps) > 2
        assert all(0 < float(str(step["score"])) < 1 for step in steps)
        assert steps[0]["alternatives"] == []
        assert not any(thread.name.startswith("stream:") for thread in threading.enumerate())


def test_too_few_words_end_with_a_mark(caption_folder: Path) -> None:
    model = captioner(caption_folder)
    whole, short = (
        model.predict([CaptionRequest(picture=DESCRIBED[0].picture, n=1, max_words=words)])[0] for words in (20, 1)
    )
    assert isinstance(whole, CaptionResult)
    assert isinstance(short, CaptionResult)
    assert len(whole.caption.split()) > 1
    assert short.caption == whole.caption.split()[0] + "…"


def test_a_question_of_any_length_is_answered(ask_folder: Path) -> None:
    request = AskRequest(picture=coloured(0), question="what color is the big red dog " * 40)
    (result,) = asker(ask_folder).predict([request])
    assert isinstance(result, AskResult)
    assert result.answer


def test_bfloat16(caption_folder: Path) -> None:
    model = captioner(caption_folder, how=RuntimeConfig(precision="bf16"))
    (result,) = model.predict(DESCRIBED[:1])
    assert isinstance(result, CaptionResult)
    assert result.caption
    assert {parameter.dtype for parameter in model.net.parameters()} == {torch.bfloat16}


def test_eight_bits(caption_folder: Path, ask_folder: Path) -> None:
    """The rounded network still says every answer whole."""
    for kind, folder, request in (
        (BlipCaptionModel, caption_folder, DESCRIBED[0]),
        (BlipAskModel, ask_folder, ASKED[1]),
    ):
        task = "caption" if kind is BlipCaptionModel else "ask"
        model = kind.open(
            folder, Card(id="tiny/blip", task=task, summary="", licence=""), how=RuntimeConfig(precision="int8")
        )
        (result,) = model.predict([request])
        *_, last = model.stream(request)
        assert without_time(last) == without_time(result)
        assert result.to_json()["caption" if task == "caption" else "answer"]
