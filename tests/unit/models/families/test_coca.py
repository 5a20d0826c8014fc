"""CoCa's captions: token by token as the library's network has it, and the search for the best of them."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import transformers
from open_clip import coca_model
from PIL import Image
from torch import Tensor

from mmdemo.core.config import Calibration
from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import CaptionRequest, CaptionResult, Card
from mmdemo.models.families.base import RuntimeConfig
from mmdemo.models.families.coca import CocaModel, detokenize, sentence
from mmdemo.models.families.coca_decoding import LEAST_TOKENS, Decoding, search
from mmdemo.nets.decoder import Hypothesis
from tests.tiny_models.coca import make_coca
from tests.tiny_models.pictures import coloured

CARD = Card(id="tiny/coca", task="caption", summary="", licence="")
PICTURES = (coloured(0), coloured(1, height=70, width=40), coloured(2))
START, END = 49406, 49407


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_coca(tmp_path_factory.mktemp("coca") / "coca")


@pytest.fixture(scope="session")
def model(folder: Path) -> CocaModel:
    """Not to be changed."""
    return opened(folder)


@pytest.fixture(scope="session")
def net(folder: Path) -> Any:
    """The library's own."""
    return open_clip.create_model(f"local-dir:{folder}").eval()


def opened(folder: Path, *, how: RuntimeConfig | None = None) -> CocaModel:
    return CocaModel.open(folder, CARD, how=how or RuntimeConfig())


def asked(number: int = 0, *, n: int = 3, max_words: int = 8) -> CaptionRequest:
    return CaptionRequest(picture=PICTURES[number], n=n, max_words=max_words)


def answered(model: CocaModel, *requests: CaptionRequest) -> list[CaptionResult]:
    results = model.predict(list(requests))
    assert all(isinstance(result, CaptionResult) for result in results)
    return results  # type: ignore[return-value]


def pixels(folder: Path, number: int) -> Tensor:
    preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")[2]
    image: Tensor = preprocess(Image.fromarray(PICTURES[number].pixels)).unsqueeze(0)
    return image


def best(model: CocaModel, number: int, *, beams: int, longest: int) -> Hypothesis:
    with torch.inference_mode():
        picture = model._pictures([PICTURES[number]])
        *_, found = search(
            Decoding(model.net, picture).step,
            start=START,
            end=END,
            beams=beams,
            longest=longest,
            full=lambda _: False,
        )
    return found[0]


# ---------------------------------------------------------------- as the library does it


@pytest.mark.parametrize("number", [0, 1])
def test_every_step_is_the_networks_forward_pass(folder: Path, model: CocaModel, net: Any, number: int) -> None:
    tokens = torch.tensor([[START, 5, 0, 7, 0, 0, 900, 33], [START, 0, 17, 7, 9, 12, 900, END]])  # 0 is hidden there
    image = pixels(folder, number)
    with torch.inference_mode():
        decoding = Decoding(model.net, model._pictures([PICTURES[number]]))
        for length in range(1, tokens.shape[1] + 1):
            so_far = tokens[:, :length]
            wanted = net(image.expand(2, -1, -1, -1), so_far, output_labels=False)["logits"][:, -1]
            found = decoding.step(so_far)
            assert float((found.softmax(dim=1) - wanted.softmax(dim=1)).abs().max()) <= 1e-5
            assert float((found - wanted).abs().max()) <= 1e-6 * float(wanted.abs().max()) * 10


def test_captions_go_on_from_the_rows_that_were_chosen(model: CocaModel) -> None:
    with torch.inference_mode():
        picture = model._pictures([PICTURES[0]])
        decoding = Decoding(model.net, picture)
        decoding.step(torch.tensor([[START]]))
        decoding.step(torch.tensor([[START, 5], [START, 6]]), torch.tensor([0, 0]))
        found = decoding.step(torch.tensor([[START, 6, 7], [START, 5, 8], [START, 6, 9]]), torch.tensor([1, 0, 1]))
        for row, tokens in enumerate(([START, 6, 7], [START, 5, 8], [START, 6, 9])):
            alone = Decoding(model.net, picture)
            for length in range(1, 4):
                wanted = alone.step(torch.tensor([tokens[:length]]))
            assert torch.allclose(found[row], wanted[0], atol=1e-4)


@pytest.mark.parametrize("number", range(len(PICTURES)))
def test_one_caption_at_a_time_is_the_librarys_generate(
    folder: Path, model: CocaModel, net: Any, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its greedy way still works, once the names are there that it gave up importing for want of BeamSearchScorer."""
    assert not coca_model._has_transformers, "generate works again: its beam search can be held against ours"
    monkeypatch.setattr(coca_model, "_has_transformers", True)
    for name in (
        *("LogitsProcessorList", "MinLengthLogitsProcessor", "RepetitionPenaltyLogitsProcessor"),
        *("MaxLengthCriteria", "StoppingCriteriaList"),
    ):
        monkeypatch.setattr(coca_model, name, getattr(transformers, name), raising=False)
    monkeypatch.setitem(coca_model.GENERATION_TYPES, "top_k", transformers.TopKLogitsWarper)
    written = net.generate(pixels(folder, number), generation_type="top_k", top_k=1, seq_len=20)[0].tolist()
    assert (written[0], written[-1]) == (START, END)
    assert list(best(model, number, beams=1, longest=18).words) == written[1:-1]


def test_the_score_is_what_the_network_says_of_the_caption(folder: Path, model: CocaModel, net: Any) -> None:
    found = best(model, 0, beams=3, longest=6)
    tokens = torch.tensor([[START, *found.words, END]])
    with torch.inference_mode():
        log_p = net(pixels(folder, 0), tokens[:, :-1], output_labels=False)["logits"].log_softmax(dim=2)
    wanted = log_p[0].gather(1, tokens[0, 1:, None]).mean()
    assert found.score == pytest.approx(float(wanted), abs=1e-5)


# ---------------------------------------------------------------- the search


def made_up(seed: int, words: int) -> Any:
    """A network of few words: what comes next depends on all words so far."""

    def step(tokens: Tensor, _: Tensor | None) -> Tensor:
        rows = [np.random.default_rng([seed, *row]).normal(size=words) * 2 for row in tokens.tolist()]
        return torch.tensor(np.stack(rows))

    return step


@pytest.mark.parametrize("seed", range(5))
def test_with_room_for_all_the_search_finds_the_best_there_is(seed: int) -> None:
    words, longest = 4, 5  # 0 begins, 1 ends, 2 and 3 are words
    step = made_up(seed, words)
    every: list[Hypothesis] = []
    for length in range(LEAST_TOKENS, longest + 1):
        for said in itertools.product((2, 3), repeat=length):
            tokens = torch.tensor([[0, *said]])
            log_p = [step(tokens[:, : t + 1], None).log_softmax(dim=1)[0] for t in range(length + 1)]
            total = sum(float(p[word]) for p, word in zip(log_p, (*said, 1), strict=True))
            every.append(Hypothesis(said, total, True))
    every.sort(key=lambda h: h.score, reverse=True)
    *_, found = search(step, start=0, end=1, beams=64, longest=longest, full=lambda _: False)
    assert [h.words for h in found[:10]] == [h.words for h in every[:10]]
    assert [h.score for h in found[:10]] == pytest.approx([h.score for h in every[:10]], abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_captions_end_before_they_are_too_long(seed: int) -> None:
    for most in (1, 3, 6):
        *_, found = search(
            made_up(seed, 30), start=0, end=1, beams=3, longest=40, full=lambda words, most=most: len(words) > most
        )
        assert 1 <= len(found) <= 3
        assert all(0 < len(h.words) <= most and h.ended for h in found)
        assert len({h.words for h in found}) == len(found)


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize("n", [1, 3, 5])
def test_as_many_captions_as_asked_for_the_best_first(model: CocaModel, n: int) -> None:
    (result,) = answered(model, asked(n=n))
    captions = [result.caption, *(item.label for item in result.alternatives)]
    scores = [result.score, *(item.score for item in result.alternatives)]
    assert len(captions) == n
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)
    assert result.file == PICTURES[0].name
    assert result.model == CARD.id


@pytest.mark.parametrize("most", [1, 2, 5, 20])
def test_no_caption_has_more_words_than_asked_for(model: CocaModel, most: int) -> None:
    for result in answered(model, asked(0, max_words=most), asked(1, max_words=most)):
        for caption in (result.caption, *(item.label for item in result.alternatives)):
            assert 1 <= len(caption.split()) <= most


def test_many_at_once_are_each_alone(model: CocaModel) -> None:
    requests = [asked(0), asked(1, n=1), asked(2, max_words=4)]
    for request, together in zip(requests, answered(model, *requests), strict=True):
        (alone,) = answered(model, request)
        assert together.caption == alone.caption
        assert together.score == pytest.approx(alone.score, abs=1e-5)


def test_a_caption_grows_as_it_is_written(model: CocaModel) -> None:
    grown = list(model.stream(asked()))
    assert all(isinstance(result, CaptionResult) for result in grown)
    (full,) = answered(model, asked())
    assert grown[-1].caption == full.caption  # type: ignore[union-attr]
    assert grown[-1].alternatives == full.alternatives  # type: ignore[union-attr]
    lengths = [len(result.caption) for result in grown]  # type: ignore[union-attr]
    assert len(grown) >= LEAST_TOKENS
    assert lengths[0] < lengths[-1]
    assert not any(result.caption.endswith(".") for result in grown[:-1])  # type: ignore[union-attr]


def test_a_threshold_and_a_temperature_are_heeded(folder: Path) -> None:
    model = opened(folder)
    (plain,) = answered(model, asked())
    for threshold, sure in ((0.0, True), (0.999, False)):
        model.config = replace(model.config, calibration=Calibration(threshold=threshold))
        assert answered(model, asked())[0].sure is sure
    model.config = replace(model.config, calibration=Calibration(temperature=3.0))
    assert answered(model, asked())[0].score < plain.score


def test_each_word_gets_a_map_of_the_whole_picture(model: CocaModel) -> None:
    (result,) = answered(model, asked(1))
    maps = model.explain(asked(1), result)
    said = [word.strip(".,!?'\"").lower() for word in result.caption.split()]
    assert [one.label for one in maps] == [word for word in said if any(c.isalnum() for c in word)]
    for one in maps:
        assert one.cells.shape == (7, 4)  # the middle square of 70 x 40 pixels, and what is above and below
        assert 0 <= one.cells.min() <= one.cells.max() <= 1
    assert max(one.cells.max() for one in maps) == 1
    assert len({one.cells.tobytes() for one in maps}) > 1


def test_captions_are_written_as_people_write() -> None:
    assert detokenize("a dog , on the grass .  ") == "a dog, on the grass."
    assert sentence("a dog 's ball , on the grass . ") == "A dog's ball, on the grass."
    assert sentence("what is it ? ") == "What is it?"
    assert sentence(" . ") == ""


def test_in_bf16_and_int8_it_still_speaks(folder: Path, model: CocaModel) -> None:
    for precision in ("bf16", "int8"):
        lower = opened(folder, how=RuntimeConfig(precision=precision))  # type: ignore[arg-type]
        (result,) = answered(lower, asked())
        assert result.caption
        assert math.isfinite(result.score)
        assert len(lower.explain(asked(), result)) == (0 if precision == "int8" else len(result.caption.split()))


def test_released_it_refuses_and_holds_nothing(folder: Path) -> None:
    model = opened(folder)
    assert model.held()
    model.release()
    assert not model.held()
    with pytest.raises(MmdemoError, match="unloaded"):
        model.predict([asked()])
    with pytest.raises(MmdemoError, match="unloaded"):
        list(model.stream(asked()))


@pytest.mark.parametrize(
    ("section", "change", "why"),
    [
        ("text_cfg", {"hf_tokenizer_name": "somebody/words"}, "words of another tokenizer"),
        ("vision_cfg", {"output_tokens": False}, "nothing for the decoder to look at"),
        ("text_cfg", {"output_tokens": False}, "not of the plain kind"),
        ("multimodal_cfg", {"layers": 3}, "its weights lack text_decoder"),
        ("multimodal_cfg", {"surprise": 1}, "'surprise'"),
    ],
)
def test_what_cannot_caption_is_refused(
    folder: Path, tmp_path: Path, section: str, change: dict[str, object], why: str
) -> None:
    spoilt = Path(shutil.copytree(folder, tmp_path / "spoilt"))
    config = json.loads((spoilt / "open_clip_config.json").read_text())
    config["model_cfg"][section].update(change)
    (spoilt / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(MmdemoError, match=why):
        opened(spoilt)
