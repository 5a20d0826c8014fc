"""Models that chat about pictures, of three architectures: as the library's documentation uses them, word by word."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, StaticCache

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import AskRequest, AskResult, CaptionRequest, CaptionResult, Card, Result
from mmdemo.models.families.base import RuntimeConfig
from mmdemo.models.families.chat import BRIEFLY, DESCRIBE, ChatModel
from mmdemo.models.families.generation import TokenStreamer
from tests.tiny_models.chat import make_llava, make_qwen, make_smolvlm
from tests.tiny_models.ending import said_unless_ended
from tests.tiny_models.pictures import coloured

MAKERS = {"qwen": make_qwen, "llava": make_llava, "smolvlm": make_smolvlm}
QUESTIONS = ("what is it?", "what color is the big red dog in the grass?", "how many?")
ASKED = [
    AskRequest(picture=coloured(i, height=40 + 20 * i, width=60 - 10 * i), question=question)
    for i, question in enumerate(QUESTIONS)
]
DESCRIBED = [CaptionRequest(picture=asked.picture, n=3, max_words=20) for asked in ASKED]


@pytest.fixture(scope="session", params=MAKERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MAKERS[request.param](tmp_path_factory.mktemp("tiny") / request.param)


@pytest.fixture(scope="session")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_qwen(tmp_path_factory.mktemp("tiny") / "qwen")


def opened(folder: Path, task: str = "ask", *, how: RuntimeConfig | None = None) -> ChatModel:
    return ChatModel.open(folder, Card(id="tiny/chat", task=task, summary="", licence=""), how=how or RuntimeConfig())


def without_time(result: Result) -> dict[str, object]:
    return {**result.to_json(), "seconds": 0}


def documented(folder: Path, picture: Any, text: str, **options: Any) -> tuple[Any, Any, list[str]]:
    """The network, what ``generate`` returns, and its sequences in letters: docs/transformers/tasks/image_text_to_text.

    The padding of sequences that ended early is left out.
    """
    processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
    net = AutoModelForImageTextToText.from_pretrained(folder, local_files_only=True)
    content = [{"type": "image", "image": Image.fromarray(picture.pixels)}, {"type": "text", "text": text}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    said = net.generate(**inputs, do_sample=False, return_dict_in_generate=True, output_scores=True, **options)
    prompt = inputs["input_ids"].shape[1]
    return net, said, processor.batch_decode(said.sequences[:, prompt:], skip_special_tokens=True)


def compared(ours: str, theirs: str) -> None:
    """The same words; where the library was cut off in the midst of a word, ours ends before it."""
    whole = " ".join(theirs.replace("\ufffd", "").split())
    if ours.endswith("…"):
        assert whole.startswith(ours[:-1])
        assert len(ours) > 1
    else:
        assert ours.rstrip(".") == whole.rstrip(".")


def test_answers_are_those_of_the_documented_use(folder: Path) -> None:
    model = opened(folder)
    ended = 0
    for request, result in zip(ASKED, model.predict(ASKED), strict=True):
        assert isinstance(result, AskResult)
        (said,) = model._say([request], model._manner(request), TokenStreamer())[0]
        net, theirs, (text,) = documented(folder, request.picture, f"{request.question} {BRIEFLY}", max_new_tokens=32)
        compared(result.answer, text)
        ended += said.ended

        scores = net.compute_transition_scores(theirs.sequences, theirs.scores, normalize_logits=True)[0]
        assert said.tokens == tuple(theirs.sequences[0, -len(scores) :].tolist())
        assert said.chances == pytest.approx(scores.tolist(), abs=1e-5)
        words = [score for token, score in zip(said.tokens, scores.tolist(), strict=True) if token not in model.special]
        assert result.score == pytest.approx(float(torch.tensor(words).mean().exp()), abs=1e-5)
        assert result.alternatives == ()
        assert result.sure == (result.score >= 0.5)
    assert ended  # else nothing was seen of what comes after an end


def test_captions_are_the_beams_of_the_documented_use(folder: Path) -> None:
    model = opened(folder, "caption")
    for request in DESCRIBED:
        found = model._say([request], model._manner(request), TokenStreamer())[0]
        net, theirs, texts = documented(
            folder, request.picture, DESCRIBE, num_beams=3, num_return_sequences=3, max_new_tokens=34
        )
        scores = net.compute_transition_scores(
            theirs.sequences, theirs.scores, theirs.beam_indices, normalize_logits=True
        )
        for said, row in zip(found, scores.tolist(), strict=True):
            assert said.chances == pytest.approx(row[: len(said.chances)], abs=1e-5)
            assert not any(row[len(said.chances) :])
        (result,) = model.predict([request])
        assert isinstance(result, CaptionResult)
        compared(result.caption, texts[0])
        for other in result.alternatives:
            assert other.label != result.caption
            assert 0 < other.score < 1


def test_an_answer_is_never_empty(folder: Path) -> None:
    for task, request, beams in (("ask", ASKED[0], 1), ("caption", DESCRIBED[0], 3)):
        model = opened(folder, task)
        plain, theirs = said_unless_ended(model, request, beams=beams, least=1)
        assert all(said.tokens[0] not in model.ends for said in plain)
        assert [said.tokens for said in plain] == theirs
        assert plain[0].score(model.special) < 0.01  # it would rather have said nothing


def test_together_is_as_one_by_one(folder: Path) -> None:
    for task, requests in (("ask", ASKED), ("caption", DESCRIBED)):
        model = opened(folder, task)
        for request, together in zip(requests, model.predict(requests), strict=True):
            (alone,) = model.predict([request])
            assert without_time(together) == without_time(alone)


def test_captions_of_other_lengths_and_numbers_in_one_batch(qwen: Path) -> None:
    model = opened(qwen, "caption")
    short = CaptionRequest(picture=DESCRIBED[0].picture, n=1, max_words=2)
    for request, together in zip((short, *DESCRIBED), model.predict([short, *DESCRIBED]), strict=True):
        assert isinstance(together, CaptionResult)
        assert without_time(together) == without_time(model.predict([request])[0])
        assert len(together.alternatives) < request.n
        assert len(together.caption.split()) <= request.max_words


def test_streaming_ends_with_what_predict_says(folder: Path) -> None:
    for task, request in (("ask", ASKED[1]), ("caption", DESCRIBED[1])):
        model = opened(folder, task)
        steps = [without_time(step) for step in model.stream(request)]
        assert steps[-1] == without_time(model.predict([request])[0])
        assert len(steps) > 2
        assert no_threads()
    said = [str(step["answer"]) for step in map(without_time, opened(folder).stream(ASKED[1]))]
    for earlier, later in pairwise(said[:-1]):
        assert later.startswith(earlier)


def test_a_reader_who_leaves_ends_the_generation(qwen: Path) -> None:
    model = opened(qwen)
    calls = slowed(model)
    everything = model._manner(ASKED[1]).tokens
    reader: Iterator[Result] = model.stream(ASKED[1])
    next(reader)
    next(reader)
    assert not no_threads()
    reader.close()  # type: ignore[attr-defined]
    assert no_threads()
    assert 2 <= len(calls) < everything // 2

    assert without_time(model.predict([ASKED[1]])[0]) == without_time(opened(qwen).predict([ASKED[1]])[0])


def test_who_asks_meanwhile_waits_for_the_stream(qwen: Path) -> None:
    """Architectures may keep what belongs to the batch at hand in themselves (this one its offsets of positions)."""
    expected = [without_time(result) for result in opened(qwen).predict(ASKED)]
    model = opened(qwen)
    steps: list[str] = []
    model.net.register_forward_hook(lambda *_: steps.append(threading.current_thread().name))
    slowed(model, seconds=0.002)
    reader = model.stream(ASKED[0])
    next(reader)
    assert [without_time(result) for result in model.predict(ASKED)] == expected
    *_, last = reader
    assert without_time(last) == expected[0]
    assert [name for name, _ in groupby(steps)] == ["stream:tiny/chat", threading.current_thread().name]


def test_the_makers_settings_for_sampling_are_passed_over_without_a_word(
    qwen: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = opened(qwen)
    assert model.net.generation_config.top_k == 20  # type: ignore[union-attr]
    library = logging.getLogger("transformers")
    library.addHandler(caplog.handler)
    try:
        first, second = (without_time(model.predict(ASKED[:1])[0]) for _ in range(2))
    finally:
        library.removeHandler(caplog.handler)
    assert first == second
    assert not caplog.records


def test_what_goes_wrong_in_the_thread_comes_to_the_reader(qwen: Path) -> None:
    model = opened(qwen)

    def broken(*_: object) -> None:
        raise RuntimeError("no memory")

    model.net.register_forward_hook(broken)
    with pytest.raises(RuntimeError, match="no memory"):
        list(model.stream(ASKED[0]))
    assert no_threads()
    with pytest.raises(TypeError, match="AskRequest"):
        list(model.stream(DESCRIBED[0]))


def test_marks_in_a_question_are_words_at_most(folder: Path) -> None:
    model = opened(folder)
    marks = [token.content for token in model.processor.tokenizer.added_tokens_decoder.values()]
    question = f"what {model.processor.image_token} is {' '.join(marks)} it?"
    plain, marked = (
        model.predict([AskRequest(picture=coloured(0), question=asked)])[0] for asked in ("what is it?", question)
    )
    assert isinstance(plain, AskResult)
    assert isinstance(marked, AskResult)
    assert (marked.answer, marked.score) == (plain.answer, plain.score)
    assert model.without_marks(question) == "what is it?"
    assert model.without_marks("a\nb  c") == "a\nb  c"


def test_a_cache_of_fixed_size_says_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is for GPUs; what it says can be seen on a CPU."""
    expected = {}
    for task, requests in (("ask", ASKED), ("caption", DESCRIBED)):
        expected[task] = [without_time(result) for result in opened(folder, task).predict(requests)]
    assert not opened(folder)._fixed_cache()
    monkeypatch.setattr(ChatModel, "_fixed_cache", lambda self: True)
    for task, requests in (("ask", ASKED), ("caption", DESCRIBED)):
        model, kinds = opened(folder, task), set()

        def look(_: object, given: object, named: dict[str, Any], kinds: set[type] = kinds) -> None:
            kinds.add(type(named.get("cache", named.get("past_key_values"))))  # the name before transformers 5.24

        model.net.register_forward_pre_hook(look, with_kwargs=True)
        assert [without_time(result) for result in model.predict(requests)] == expected[task]
        assert kinds == {StaticCache}


def test_what_is_opened(qwen: Path) -> None:
    model = opened(qwen)
    assert model.net.config._attn_implementation == "sdpa"  # type: ignore[union-attr]
    assert model.processor.tokenizer.padding_side == "left"
    assert not any(parameter.requires_grad for parameter in model.net.parameters())
    assert sum(model.held().values()) >= sum(parameter.nbytes for parameter in model.net.parameters())
    (in_bf16,) = opened(qwen, how=RuntimeConfig(precision="bf16")).predict(ASKED[:1])
    assert isinstance(in_bf16, AskResult)
    assert in_bf16.answer
    model.release()
    with pytest.raises(MmdemoError, match="has been unloaded"):
        model.predict(ASKED)


def test_a_template_of_the_tokenizer_alone_will_do(qwen: Path, tmp_path: Path) -> None:
    """Where it stood before processors had one."""
    processor = AutoProcessor.from_pretrained(qwen, local_files_only=True)
    AutoModelForImageTextToText.from_pretrained(qwen, local_files_only=True).save_pretrained(tmp_path)
    template, processor.chat_template = processor.chat_template, None
    processor.save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").unlink(missing_ok=True)
    with pytest.raises(MmdemoError, match="its makers published no chat template"):
        opened(tmp_path)
    processor.tokenizer.chat_template = template
    processor.tokenizer.save_pretrained(tmp_path, save_jinja_files=False)
    assert without_time(opened(tmp_path).predict(ASKED[:1])[0]) == without_time(opened(qwen).predict(ASKED[:1])[0])


def test_models_that_can_think_aloud_are_told_to_answer(qwen: Path) -> None:
    model = opened(qwen)
    before = model.predict(ASKED[:1])[0]
    ending = "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
    model.processor.chat_template += ending
    after = model.predict(ASKED[:1])[0]
    assert without_time(after) != without_time(before)
    model.processor.chat_template = model.processor.chat_template.replace(ending, "<think></think>")
    assert without_time(model.predict(ASKED[:1])[0]) == without_time(after)


def slowed(model: ChatModel, *, seconds: float = 0.03) -> list[float]:
    """Every step takes so long; the list grows by one with each."""
    calls: list[float] = []

    def wait(*_: object) -> None:
        time.sleep(seconds)
        calls.append(time.monotonic())

    model.net.register_forward_hook(wait)
    return calls


def no_threads() -> bool:
    return not any(thread.name.startswith("stream:") for thread in threading.enumerate())


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 300), (300, 3)])
def test_pictures_of_any_shape(folder: Path, height: int, width: int) -> None:
    (result,) = opened(folder).predict(
        [AskRequest(picture=coloured(0, height=height, width=width), question=QUESTIONS[0])]
    )
    assert isinstance(result, AskResult)
    assert (0 < result.score < 1) == bool(result.answer)  # a network may end at once, and say nothing
