"""The engine: one load however many ask at once, batches, cached answers, swaps, and who may choose what."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import (
    AskRequest,
    AskResult,
    CaptionRequest,
    CaptionResult,
    ClassifyRequest,
    ClassifyResult,
    Picture,
    SentimentRequest,
)
from mmdemo.media.audio import load_sound
from mmdemo.media.image import load_picture
from mmdemo.serving.engine import Engine


def plain(colour: str | tuple[int, int, int], side: int = 20, name: str = "") -> Picture:
    return load_picture(Image.new("RGB", (side, side), colour), name=name)


def asking(colour: str | tuple[int, int, int] = "red", question: str = "What colour is it?", **how: Any) -> AskRequest:
    return AskRequest(picture=plain(colour, **how), question=question)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.001)


def test_the_four_jobs(engine: Engine) -> None:
    red = plain("red", name="red.png")
    answer = engine.predict("ask", asking(name="red.png"))
    assert isinstance(answer, AskResult)
    assert (answer.answer, answer.file, answer.model) == ("red", "red.png", "ask-base")
    label = engine.predict("classify", ClassifyRequest(picture=red, labels=("blue", "red")))
    assert isinstance(label, ClassifyResult)
    assert label.labels[0].label == "red"
    caption = engine.predict("caption", CaptionRequest(picture=red, n=2))
    assert isinstance(caption, CaptionResult)
    assert (caption.caption, len(caption.alternatives)) == ("a very red picture", 1)
    sound = load_sound((16_000, np.full(16_000, 0.2, dtype=np.float32)), name="a.wav")
    assert engine.predict("sentiment", SentimentRequest(sound=sound)).file == "a.wav"
    assert len(engine.loaded) == 4
    assert engine.memory() > 1_000_000


def test_a_request_for_another_job_is_a_mistake_in_the_program(engine: Engine) -> None:
    with pytest.raises(TypeError, match="caption takes CaptionRequest, not AskRequest"):
        engine.predict("caption", asking())


class TestSeconds:
    def test_waiting_and_loading_count(self, engine: Engine, shelf: Any) -> None:
        shelf.door.clear()
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(engine.predict, "ask", asking())
            assert shelf.entered.wait(10)
            time.sleep(0.05)
            shelf.door.set()
            assert answer.result(10).seconds >= 0.05

    def test_each_caller_gets_its_own(self, engine: Engine, shelf: Any) -> None:
        engine.predict("ask", asking())
        model = shelf.models[0]
        model.entered.clear()
        model.door.clear()
        with ThreadPoolExecutor(2) as pool:
            early = pool.submit(engine.predict, "ask", asking("blue"))
            assert model.entered.wait(10)
            time.sleep(0.05)
            late = pool.submit(engine.predict, "ask", asking("green"))
            wait_until(lambda: late.running())
            model.door.set()
            assert early.result(10).seconds > late.result(10).seconds


class TestLoading:
    def test_requests_at_the_same_time_load_once(self, engine: Engine, shelf: Any) -> None:
        shelf.door.clear()
        with ThreadPoolExecutor(6) as pool:
            answers = [pool.submit(engine.predict, "ask", asking((index, 0, 0))) for index in range(6)]
            assert shelf.entered.wait(10)
            shelf.door.set()
            assert [answer.result(10).answer for answer in answers] == ["black"] * 6
        assert shelf.loads == ["ask-base"]

    def test_loading_one_does_not_stop_another(self, engine: Engine, shelf: Any) -> None:
        engine.predict("ask", asking())
        shelf.door.clear()
        shelf.entered.clear()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(engine.predict, "caption", CaptionRequest(picture=plain("red")))
            assert shelf.entered.wait(10)
            assert engine.predict("ask", asking("blue")).answer == "blue"
            assert not waiting.done()
            shelf.door.set()
            waiting.result(10)

    def test_a_checkpoint_that_does_not_load_says_why_each_time(self, shelf: Any) -> None:
        shelf.ids = ("ask-base", "ask-broken")
        with Engine(loader=shelf.load, lister=shelf.list, default=shelf.default) as engine:
            for _ in range(2):
                with pytest.raises(MmdemoError, match="a tensor is missing"):
                    engine.predict("ask", asking(), "ask-broken")
            assert engine.predict("ask", asking()).model == "ask-base"

    def test_the_longest_unused_goes_when_there_are_too_many(self, shelf: Any) -> None:
        with Engine(loader=shelf.load, lister=shelf.list, default=shelf.default, max_models=2) as engine:
            engine.predict("ask", asking())
            engine.predict("caption", CaptionRequest(picture=plain("red")))
            engine.predict("ask", asking("blue"))
            engine.predict("classify", ClassifyRequest(picture=plain("red"), labels=("red",)))
            assert engine.loaded == (("ask", "ask-base"), ("classify", "classify-base"))
            assert [model.released for model in shelf.models] == [False, True, False]

    def test_what_is_answering_is_not_released_under_it(self, shelf: Any) -> None:
        with Engine(loader=shelf.load, lister=shelf.list, default=shelf.default, max_models=1) as engine:
            steps = engine.stream("caption", CaptionRequest(picture=plain("red")))
            next(steps)
            engine.predict("ask", asking())
            assert not shelf.models[0].released
            assert list(steps)[-1].caption == "a very red picture"
            assert shelf.models[0].released

    def test_unload_and_load_again(self, engine: Engine, shelf: Any) -> None:
        engine.predict("ask", asking())
        engine.unload("ask")
        engine.unload("ask")
        assert engine.loaded == ()
        assert shelf.models[0].released
        engine.predict("ask", asking("blue"))
        assert len(shelf.loads) == 2

    def test_a_checkpoint_written_anew_is_swapped(
        self, shelf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(tmp_path))
        (tmp_path / "ask-base").mkdir()
        config = tmp_path / "ask-base" / "config.json"
        config.write_text("{}")
        with Engine(loader=shelf.load, lister=shelf.list, default=shelf.default) as engine:
            for _ in range(2):
                engine.predict("ask", asking())
            assert (len(shelf.loads), shelf.models[0].batches) == (1, [1])
            config.write_text('{"trained": "anew"}')
            engine.prepare("ask")
            engine.predict("ask", asking())  # the same request: the old answer is not given for the new model
            assert (len(shelf.loads), shelf.models[0].released, shelf.models[1].batches) == (2, True, [1])


class TestBatches:
    def test_what_arrives_together_is_answered_together(self, engine: Engine, shelf: Any) -> None:
        engine.predict("ask", asking())
        model = shelf.models[0]
        model.door.clear()
        model.entered.clear()
        with ThreadPoolExecutor(8) as pool:
            first = pool.submit(engine.predict, "ask", asking("blue"))
            assert model.entered.wait(10)
            rest = [pool.submit(engine.predict, "ask", asking((0, 0, index))) for index in range(7)]
            wait_until(lambda: engine._pool._served["ask", "ask-base"].batcher._queue.qsize() == 7)
            model.door.set()
            assert first.result(10).answer == "blue"
            assert [answer.result(10).answer for answer in rest] == ["black"] * 7
        assert model.batches == [1, 1, 7]

    def test_one_bad_picture_among_good_ones(self, engine: Engine, shelf: Any) -> None:
        engine.predict("ask", asking())
        model = shelf.models[0]
        model.door.clear()
        model.entered.clear()
        with ThreadPoolExecutor(4) as pool:
            first = pool.submit(engine.predict, "ask", asking("blue"))
            assert model.entered.wait(10)
            sides = (20, 13, 30)
            rest = [pool.submit(engine.predict, "ask", asking("green", side=side)) for side in sides]
            wait_until(lambda: engine._pool._served["ask", "ask-base"].batcher._queue.qsize() == 3)
            model.door.set()
            first.result(10)
            assert (rest[0].result(10).answer, rest[2].result(10).answer) == ("green", "green")
            with pytest.raises(MmdemoError, match="unlucky"):
                rest[1].result(10)


class TestFailures:
    def test_any_exception_becomes_a_sentence(self, engine: Engine) -> None:
        for act in (
            lambda: engine.predict("ask", asking(side=7)),
            lambda: list(engine.stream("ask", asking(side=7))),
        ):
            with pytest.raises(MmdemoError, match="ask-base could not answer: ZeroDivisionError: seven") as caught:
                act()
            assert "Traceback" not in str(caught.value)
        assert engine.predict("ask", asking()).answer == "red"

    def test_after_closing(self, engine: Engine, shelf: Any) -> None:
        engine.predict("ask", asking())
        engine.close()
        engine.close()
        assert shelf.models[0].released
        with pytest.raises(MmdemoError, match="shutting down"):
            engine.predict("ask", asking())

    def test_closing_while_a_model_loads(self, shelf: Any) -> None:
        engine = Engine(loader=shelf.load, lister=shelf.list, default=shelf.default)
        shelf.door.clear()
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(engine.predict, "ask", asking())
            assert shelf.entered.wait(10)
            engine.close()
            shelf.door.set()
            with pytest.raises(MmdemoError, match="shutting down"):
                answer.result(10)
        assert shelf.models[0].released


class TestCachedAnswers:
    def test_the_same_again_is_not_computed_but_named_anew(self, engine: Engine, shelf: Any) -> None:
        first = engine.predict("ask", asking(name="one.png"))
        second = engine.predict("ask", asking(name="two.png"))
        assert shelf.models[0].batches == [1]
        assert (first.file, second.file) == ("one.png", "two.png")
        assert (first.answer, first.score) == (second.answer, second.score)
        assert second.seconds > 0

    def test_anything_that_differs_is_computed(self, engine: Engine, shelf: Any) -> None:
        red = plain("red")
        different = [
            ClassifyRequest(picture=red, labels=("red", "blue")),
            ClassifyRequest(picture=red, labels=("blue", "red")),
            ClassifyRequest(picture=red, labels=("red, blue",)),
            ClassifyRequest(picture=red, labels=("red", "blue"), template="a {}"),
            ClassifyRequest(picture=plain("blue"), labels=("red", "blue")),
        ]
        for request in different:
            engine.predict("classify", request)
        assert len(shelf.models[0].batches) == 5
        for words in (10, 20):
            engine.predict("caption", CaptionRequest(picture=red, max_words=words))
        assert len(shelf.models[1].batches) == 2

    def test_a_finished_stream_is_an_answer(self, engine: Engine, shelf: Any) -> None:
        request = CaptionRequest(picture=plain("red"))
        assert len(list(engine.stream("caption", request))) == 4
        assert engine.predict("caption", request).caption == "a very red picture"
        assert shelf.models[0].batches == []
        assert len(list(engine.stream("caption", request))) == 1


class TestStreaming:
    def test_grows_to_the_whole(self, engine: Engine) -> None:
        steps = list(engine.stream("caption", CaptionRequest(picture=plain("red", name="r.png"))))
        assert [step.caption for step in steps] == ["a", "a very", "a very red", "a very red picture"]
        assert {step.file for step in steps} == {"r.png"}
        assert [step.seconds for step in steps] == sorted(step.seconds for step in steps)

    def test_a_slow_reader_stops_nobody(self, engine: Engine) -> None:
        steps = engine.stream("caption", CaptionRequest(picture=plain("red")))
        next(steps)
        assert engine.predict("caption", CaptionRequest(picture=plain("blue"))).caption == "a very blue picture"
        steps.close()  # type: ignore[attr-defined]

    def test_given_up_half_way_leaves_nothing_behind(self, engine: Engine, shelf: Any) -> None:
        request = CaptionRequest(picture=plain("red"))
        steps = engine.stream("caption", request)
        next(steps)
        steps.close()  # type: ignore[attr-defined]
        assert engine.predict("caption", request).caption == "a very red picture"
        engine.unload("caption")
        assert shelf.models[0].released


def test_explaining_asks_the_model_that_answered(shelf: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with Engine(loader=shelf.load, lister=shelf.list, default=shelf.default) as engine:
        answer = engine.predict("ask", asking(), str(tmp_path / "mine"))
        assert answer.model == "mine"
        maps = engine.explain("ask", asking(), answer)
        assert maps[0].label == "mine"
        assert maps[0].cells.shape == (2, 2)
        assert shelf.loads == [str(tmp_path / "mine")]


class TestChoosing:
    def test_unknown_models_are_named_with_the_nearest(self, engine: Engine) -> None:
        with pytest.raises(MmdemoError, match=r"no model “ask-bsae” for ask\. Did you mean ask-base\?"):
            engine.predict("ask", asking(), "ask-bsae")
        with pytest.raises(MmdemoError, match=r"it is a model for caption\. There are: ask-base"):
            engine.predict("ask", asking(), "caption-base")
        with pytest.raises(MmdemoError, match=r"There is no job “sing”\. There are: ask, classify"):
            engine.cards("sing")

    def test_nothing_on_disk(self, shelf: Any) -> None:
        engine = Engine(loader=shelf.load, lister=lambda _: (), default=shelf.default)
        with pytest.raises(MmdemoError, match=r"no model for it is on disk\. Train one"):
            engine.predict("ask", asking())

    def test_in_public_only_what_is_listed(self, shelf: Any, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir()
        with Engine(
            public=True, allow_download=True, loader=shelf.load, lister=shelf.list, default=shelf.default
        ) as engine:
            assert engine.predict("ask", asking(), "ask-base").answer == "red"
            for other in (str(tmp_path / "mine"), "someone/model", "../ask-base", "checkpoints/ask-base", "x" * 9_000):
                for act in (
                    lambda other=other: engine.predict("ask", asking(), other),
                    lambda other=other: list(engine.stream("ask", asking(), other)),
                    lambda other=other: engine.card("ask", other),
                    lambda other=other: engine.explain("ask", asking(), engine.predict("ask", asking()), other),
                ):
                    with pytest.raises(MmdemoError, match="There is no model") as caught:
                        act()
                    assert len(str(caught.value)) < 300
        assert shelf.loads == ["ask-base"]

    def test_elsewhere_paths_and_hub_ids_go_to_the_loader(self, shelf: Any, tmp_path: Path) -> None:
        given: list[tuple[str | None, str, bool]] = []

        def load(task: str, model: str | None = None, *, device: str = "auto", allow_download: bool = False) -> Any:
            given.append((model, device, allow_download))
            return shelf.load(task, model)

        with Engine(device="cpu", allow_download=True, loader=load, lister=shelf.list, default=shelf.default) as engine:
            engine.predict("ask", asking(), "someone/model")
        assert given == [("someone/model", "cpu", True)]

    def test_cards(self, engine: Engine, shelf: Any) -> None:
        assert [card.id for card in engine.cards("ask")] == ["ask-base"]
        assert engine.card("ask").id == engine.card("ask", "ask-base").id == "ask-base"
        assert shelf.loads == []  # known without loading
        assert engine.card("ask", "someone/model").id == "model"
        assert shelf.loads == ["someone/model"]

    def test_at_least_one_model_must_fit(self, shelf: Any) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            Engine(max_models=0, loader=shelf.load, lister=shelf.list, default=shelf.default)


def test_many_threads_and_models_at_once(shelf: Any) -> None:
    """Loads, evictions and answers race; every answer is right and nothing is used after its release."""
    shelf.ids = tuple(f"ask-{index}" for index in range(4))
    with Engine(loader=shelf.load, lister=shelf.list, default=shelf.default, max_models=2) as engine:

        def work(seed: int) -> None:
            for step in range(15):
                colour = ("red", "blue", "green")[(seed + step) % 3]
                assert (
                    engine.predict("ask", asking(colour, side=20 + step), f"ask-{(seed * step) % 4}").answer == colour
                )

        with ThreadPoolExecutor(6) as pool:
            for done in [pool.submit(work, seed) for seed in range(6)]:
                done.result(60)
        assert len(engine.loaded) <= 2
    assert all(model.released for model in shelf.models)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ask:")]
