"""Swaps: the old model serves until the new one is ready, refusals are remembered, limits hold, nothing is stale."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import AskRequest, CaptionRequest, ClassifyRequest, Picture
from mmdemo.media.image import load_picture
from mmdemo.serving import jobs
from mmdemo.serving.engine import Engine
from mmdemo.serving.versions import is_gone, version_of


def plain(colour: str | tuple[int, int, int]) -> Picture:
    return load_picture(Image.new("RGB", (20, 20), colour))


def asking(colour: str | tuple[int, int, int] = "red") -> AskRequest:
    return AskRequest(picture=plain(colour), question="What colour is it?")


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.001)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(tmp_path))
    return tmp_path


@pytest.fixture
def mine(root: Path, shelf: Any) -> Path:
    """A folder for the model ask-mine, which is listed beside ask-base."""
    shelf.ids = ("ask-base", "ask-mine", "caption-base", "classify-base")
    write(root / "ask-mine", "first")
    return root / "ask-mine"


@pytest.fixture
def engine(shelf: Any) -> Iterator[Engine]:
    with Engine(loader=shelf.load, lister=shelf.list, default=shelf.default) as made:
        yield made


def write(folder: Path, what: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(what)
    (folder / "model.safetensors").write_text(what)


class TestTrainedAnew:
    def test_the_old_one_answers_until_the_new_one_is_there(self, engine: Engine, shelf: Any, mine: Path) -> None:
        engine.predict("ask", asking(), "ask-mine")
        write(mine, "second one")
        shelf.door.clear()
        shelf.entered.clear()
        for colour in ("blue", "green", "white"):  # each sees that there is a newer one, and none waits for it
            assert engine.predict("ask", asking(colour), "ask-mine").answer == colour
        assert shelf.entered.wait(10)
        assert [model.batches for model in shelf.models] == [[1, 1, 1, 1]]
        shelf.door.set()
        wait_until(lambda: shelf.models[0].released)
        wait_until(lambda: engine.swapped("ask", "ask-mine") is not None)
        assert engine.predict("ask", asking("black"), "ask-mine").answer == "black"
        assert shelf.models[1].batches == [1]
        assert shelf.loads == ["ask-mine", "ask-mine"]
        done = engine.swapped("ask", "ask-mine")
        assert done is not None
        assert done.evicted == (("ask", "ask-mine"),)

    def test_an_answer_under_way_keeps_its_model(self, engine: Engine, shelf: Any, mine: Path) -> None:
        steps = engine.stream("ask", asking(), "ask-mine")
        next(steps)
        write(mine, "second one")
        engine.prepare("ask", "ask-mine")
        assert not shelf.models[0].released
        assert list(steps) == []
        assert shelf.models[0].released

    def test_a_refused_one_is_told_once_and_the_old_one_stays(self, engine: Engine, shelf: Any, mine: Path) -> None:
        engine.predict("ask", asking(), "ask-mine")
        write(mine, "second one")
        shelf.broken = True
        assert engine.predict("ask", asking("blue"), "ask-mine").answer == "blue"
        wait_until(lambda: engine.trouble("ask", "ask-mine") != "")
        assert engine.trouble("ask", "ask-mine") == "This checkpoint cannot be loaded: a tensor is missing."
        for colour in ("green", "white"):
            engine.predict("ask", asking(colour), "ask-mine")
            engine.renew("ask", "ask-mine")
        assert shelf.loads == ["ask-mine", "ask-mine"]  # not tried again with each request
        with pytest.raises(MmdemoError, match="a tensor is missing"):
            engine.prepare("ask", "ask-mine")  # whoever asks for it is told anew
        assert not shelf.models[0].released
        shelf.broken = False
        write(mine, "the third one")
        assert engine.trouble("ask", "ask-mine") == ""  # what was refused is no longer there
        engine.renew("ask", "ask-mine")
        wait_until(lambda: shelf.models[0].released)
        assert len(shelf.models) == 2

    def test_nothing_happens_while_nothing_changes(self, engine: Engine, shelf: Any, mine: Path) -> None:
        engine.prepare("ask", "ask-mine")
        shelf_before = engine.models_state
        engine.renew("ask", "ask-mine")
        engine.renew("ask", "ask-base")  # not loaded: nothing to renew
        assert engine.prepare("ask", "ask-mine").seconds == 0
        assert (shelf.loads, engine.models_state) == (["ask-mine"], shelf_before)
        write(mine, "second one")
        assert engine.models_state != shelf_before

    def test_closing_waits_for_what_is_loaded_in_the_background(self, shelf: Any, mine: Path) -> None:
        engine = Engine(loader=shelf.load, lister=shelf.list, default=shelf.default)
        engine.prepare("ask", "ask-mine")
        write(mine, "second one")
        shelf.door.clear()
        engine.renew("ask", "ask-mine")
        threading.Timer(0.1, shelf.door.set).start()
        engine.close()
        assert [model.released for model in shelf.models] == [True, True]
        assert not [thread for thread in threading.enumerate() if thread.name.startswith(("ask:", "load "))]


class TestChoosing:
    def test_another_one_is_loaded_at_once(self, engine: Engine, shelf: Any, mine: Path) -> None:
        engine.predict("ask", asking())
        done = engine.prepare("ask", "ask-mine")
        assert (done.model, done.evicted) == ("ask-mine", ())
        assert done.seconds > 0
        assert min(done.before, done.after) > 1_000_000
        assert shelf.loads == ["ask-base", "ask-mine"]

    def test_a_refused_one_changes_nothing(self, engine: Engine, shelf: Any, mine: Path) -> None:
        engine.predict("ask", asking())
        shelf.broken = True
        with pytest.raises(MmdemoError, match="a tensor is missing"):
            engine.prepare("ask", "ask-mine")
        assert engine.loaded == (("ask", "ask-base"),)
        assert engine.predict("ask", asking("blue")).model == "ask-base"

    def test_a_deleted_one_says_so_and_is_let_go(self, engine: Engine, shelf: Any, mine: Path) -> None:
        engine.predict("ask", asking(), "ask-mine")
        shutil.rmtree(mine)
        shelf.ids = ("ask-base",)
        with pytest.raises(MmdemoError, match="ask-mine is gone: its folder was deleted or renamed"):
            engine.predict("ask", asking(), "ask-mine")
        assert shelf.models[0].released
        with pytest.raises(MmdemoError, match="There is no model “ask-mine”"):
            engine.predict("ask", asking(), "ask-mine")

    def test_several_who_choose_it_at_once_load_it_once(self, engine: Engine, shelf: Any, mine: Path) -> None:
        shelf.door.clear()
        with ThreadPoolExecutor(4) as pool:
            waiting = [pool.submit(engine.prepare, "ask", "ask-mine") for _ in range(4)]
            assert shelf.entered.wait(10)
            shelf.door.set()
            assert {done.result(10).model for done in waiting} == {"ask-mine"}
        assert shelf.loads == ["ask-mine"]


class TestVersions:
    def test_a_rewrite_of_the_same_size_and_time_is_another_version(self, mine: Path) -> None:
        before, weights = version_of("ask-mine"), mine / "model.safetensors"
        times = weights.stat()
        fresh = mine / "fresh"
        fresh.write_text("FIRST")
        os.utime(fresh, ns=(times.st_atime_ns, times.st_mtime_ns))
        fresh.replace(weights)
        assert (weights.stat().st_size, weights.stat().st_mtime_ns) == (times.st_size, times.st_mtime_ns)
        assert version_of("ask-mine") != before

    def test_gone_is_what_is_not_being_replaced(self, mine: Path) -> None:
        assert not is_gone("ask-mine")
        mine.rename(mine.with_name("ask-mine.1.old"))
        assert is_gone("ask-mine")
        write(mine.with_name("ask-mine.part"), "second")  # as models.checkpoint leaves it between its two renames
        assert not is_gone("ask-mine")
        mine.with_name("ask-mine.part").rename(mine)
        assert not is_gone("ask-mine")

    def test_a_hub_id_has_none(self, root: Path) -> None:
        assert version_of("someone/model") == ""


class TestLimits:
    def test_bytes_count_what_is_shared_once(self, shelf: Any, mine: Path) -> None:
        # every model of the shelf holds 500 bytes of its own, and 1,000 that all share
        with Engine(loader=shelf.load, lister=shelf.list, default=shelf.default, max_bytes=2_000) as engine:
            engine.prepare("ask", "ask-base")
            engine.prepare("ask", "ask-mine")
            assert engine.held == 2_000
            done = engine.prepare("caption")
            assert done.evicted == (("ask", "ask-base"),)
            assert engine.loaded == (("ask", "ask-mine"), ("caption", "caption-base"))
            assert [model.released for model in shelf.models] == [True, False, False]

    def test_the_one_in_use_stays_even_where_it_alone_is_too_much(self, shelf: Any, mine: Path) -> None:
        with Engine(loader=shelf.load, lister=shelf.list, default=shelf.default, max_bytes=1) as engine:
            steps = engine.stream("caption", CaptionRequest(picture=plain("red")))
            next(steps)
            assert engine.predict("ask", asking()).answer == "red"
            assert engine.loaded == (("ask", "ask-base"),)
            assert not shelf.models[0].released  # it is answering
            assert list(steps)[-1].caption == "a very red picture"
            assert shelf.models[0].released

    def test_it_must_be_a_number_of_bytes(self, shelf: Any) -> None:
        with pytest.raises(ValueError, match="max_bytes"):
            Engine(loader=shelf.load, max_bytes=0)


class TestExplaining:
    def test_only_the_version_that_answered_explains(self, engine: Engine, shelf: Any, mine: Path) -> None:
        answer = engine.predict("ask", asking(), "ask-mine")
        assert engine.explain("ask", asking(), answer)[0].label == "ask-mine"
        write(mine, "second one")
        engine.prepare("ask", "ask-mine")
        with pytest.raises(MmdemoError, match="ask-mine has been trained anew since it gave it"):
            engine.explain("ask", asking(), answer)
        again = engine.predict("ask", asking(), "ask-mine")
        assert engine.explain("ask", asking(), again)

    def test_another_model_does_not_explain_it(self, engine: Engine, mine: Path) -> None:
        answer = engine.predict("ask", asking(), "ask-mine")
        engine.prepare("ask", "ask-base")
        engine.unload("ask", "ask-mine")
        assert engine.explain("ask", asking(), answer)[0].label == "ask-mine"  # it is loaded again for this


class TestOwnClasses:
    def test_no_labels_mean_the_classes_of_the_model(self, shelf: Any, root: Path) -> None:
        shelf.ids = ("classify-base", "classify-tuned")
        with Engine(loader=shelf.load, lister=shelf.list, default=shelf.default) as engine:
            found = jobs.classify(plain("red"), " ", model="classify-tuned", engine=engine)
            assert {item.label for item in found.labels} == {"red", "blue", "none of these"}
            assert jobs.labels_or_classes("green", "classify-tuned", engine=engine) == ("green",)
            with pytest.raises(MmdemoError, match="There are no labels"):
                jobs.classify(plain("red"), "", engine=engine)


def test_many_swaps_under_load(shelf: Any, mine: Path) -> None:
    """Answers go on, right and from a live model, while the checkpoint under them is written again and again."""
    with Engine(loader=shelf.load, lister=shelf.list, default=shelf.default) as engine:
        engine.prepare("ask", "ask-mine")
        ending = threading.Event()

        def work(seed: int) -> int:
            done = 0
            while not ending.is_set():
                colour = ("red", "blue", "green")[(seed + done) % 3]
                request = ClassifyRequest(picture=plain(colour), labels=("red", "blue", "green"))
                assert engine.predict("ask", asking(colour), "ask-mine").answer == colour
                assert engine.predict("classify", request).labels[0].label == colour
                done += 1
            return done

        with ThreadPoolExecutor(3) as pool:
            workers = [pool.submit(work, seed) for seed in range(3)]
            for number in range(20):
                write(mine, f"version {number}")
                engine.prepare("ask", "ask-mine")
            ending.set()
            assert all(worker.result(30) > 0 for worker in workers)
    assert all(model.released for model in shelf.models)
