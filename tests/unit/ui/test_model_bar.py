"""The line under the model lists, and what a page learns when it looks at the folder of checkpoints again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from mmdemo.serving.engine import Engine
from mmdemo.serving.pool import Swap
from mmdemo.ui import model_bar
from mmdemo.ui.wiring import learned_classes
from tests.unit.models.conftest import change_config, root, written

__all__ = ["root", "written"]


@pytest.fixture
def engine(root: Path) -> Iterator[Engine]:
    with Engine(device="cpu") as made:
        yield made


def copy(root: Path, name: str, task: str = "sentiment") -> Path:
    """A checkpoint written into its place whole, as training does it."""
    part = root / f"{name}.part"
    shutil.copytree(root / f"{task}-base", part)
    if (root / name).exists():
        shutil.rmtree(root / name)
    return part.rename(root / name)


def spoil(folder: Path) -> None:
    change_config(folder, labels=("neutral", "happy"))


def changed(update: Any) -> Any:
    """What an update of a component sets; None where it leaves everything as it is."""
    return None if update == gr.skip() else update


def test_words_after_a_swap() -> None:
    done = Swap(model="mine", before=412_000_000, after=431_400_000, seconds=1.23, evicted=(("ask", "old"),))
    assert (
        model_bar.swap_words(done, before="base", language="en")
        == "mine answers now. Memory: base 412 MB → mine 431 MB, 1.2 s. Let go: old."
    )
    anew = Swap(model="mine", before=1, after=2_000_000, seconds=0.2, evicted=(("ask", "mine"),))
    words = model_bar.swap_words(anew, before="mine", language="en")
    assert "trained anew" in words
    assert "Let go" not in words
    there = Swap(model="mine", before=5_000_000, after=5_000_000, seconds=0.0, evicted=())
    assert "it was in memory" in model_bar.swap_words(there, before="base", language="en")
    assert "用时" in model_bar.swap_words(done, before="base", language="zh")


def test_the_default_is_the_shipped_one() -> None:
    assert model_bar._default(["a", "ask-base"], "ask") == "ask-base"
    assert model_bar._default(["a", "b"], "ask") == "a"
    assert model_bar._default([], "ask") is None


class TestLooking:
    def look(self, engine: Engine, model: str | None, before: str | None = "") -> tuple[Any, Any, Any, str]:
        (choice, serving, note, _), told = model_bar._look(engine, "sentiment", model, before, "en")
        return choice, changed(serving), changed(note), told

    def test_a_new_one_is_offered_and_nothing_is_said(self, engine: Engine, root: Path) -> None:
        copy(root, "mine")
        choice, serving, note, _ = self.look(engine, "sentiment-base", None)
        assert [name for name, _ in choice.choices] == ["sentiment-base", "mine"]
        assert (serving, note) == (None, None)
        assert engine.loaded == ()  # looking loads nothing

    def test_the_one_in_use_is_deleted(self, engine: Engine, root: Path) -> None:
        copy(root, "<b>mine")
        engine.prepare("sentiment", "<b>mine")
        shutil.rmtree(root / "<b>mine")
        choice, serving, note, _ = self.look(engine, "<b>mine")
        assert (choice.value, serving) == ("sentiment-base", "sentiment-base")
        assert "&lt;b&gt;mine is gone" in note

    def test_the_one_in_use_was_trained_anew(self, engine: Engine, root: Path) -> None:
        copy(root, "mine")
        engine.prepare("sentiment", "mine")
        *_, told = self.look(engine, "mine", None)
        copy(root, "mine")
        engine.prepare("sentiment", "mine")
        _, serving, note, again = self.look(engine, "mine", told)
        assert serving is None
        assert "mine was trained anew" in note
        assert self.look(engine, "mine", again)[2] is None  # told once

    def test_what_was_written_anew_is_refused(self, engine: Engine, root: Path) -> None:
        copy(root, "mine")
        engine.prepare("sentiment", "mine")
        *_, told = self.look(engine, "mine", None)
        spoil(copy(root, "mine"))
        engine.renew("sentiment", "mine")
        for thread in list(engine._pool._behind):
            thread.join(20)
        _, _, note, again = self.look(engine, "mine", told)
        assert 'role="alert"' in note
        assert "it has 2 labels and 3 output units" in note
        assert "The one from before goes on answering" in note
        assert self.look(engine, "mine", again)[2] is None

    def test_no_model_at_all_and_then_one(self, engine: Engine, root: Path) -> None:
        aside = (root / "sentiment-base").rename(root.parent / "aside")
        assert self.look(engine, None)[1] is None
        aside.rename(root / "sentiment-base")
        choice, serving, note, _ = self.look(engine, None)
        assert (choice.value, serving, note) == ("sentiment-base", "sentiment-base", "")


def test_classes_of_a_models_own(engine: Engine, root: Path) -> None:
    folder = copy(root, "tuned", "classify")
    settings = {"templates": ("{}",), "bank": ("a",), "known_weight": 0.5, "classes": ("cat, black", "dog")}
    change_config(folder, settings=settings)
    assert learned_classes(engine, "tuned") == ("cat, black", "dog")
    assert learned_classes(engine, "classify-base") == ()
    assert learned_classes(engine, "../tuned") == ()
    assert learned_classes(engine, None) == ()
    assert engine.loaded == ()
