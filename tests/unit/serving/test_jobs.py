"""The four jobs from raw input to result: what is accepted, what is refused, what is measured."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import NONE_OF_THESE
from mmdemo.media.audio import load_sound
from mmdemo.media.image import load_picture
from mmdemo.serving import jobs
from mmdemo.serving.engine import Engine

RED = Image.new("RGB", (30, 20), "red")


def png() -> bytes:
    buffer = io.BytesIO()
    RED.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def red_file(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    path.write_bytes(png())
    return path


def test_every_way_to_give_a_picture_gives_the_same(engine: Engine, red_file: Path) -> None:
    sources: list[tuple[Any, str]] = [
        (red_file, "red.png"),
        (str(red_file), "red.png"),
        (png(), ""),
        (RED, ""),
        (np.asarray(RED), ""),
        (load_picture(red_file, name="named.png"), "named.png"),
    ]
    for source, name in sources:
        result = jobs.ask(source, "  What colour\nis it? ", engine=engine)
        assert (result.answer, result.question, result.file) == ("red", "What colour is it?", name)
        assert result.seconds > 0


def test_every_way_to_give_a_sound_gives_the_same(engine: Engine, tmp_path: Path) -> None:
    clip = np.full(16_000, 8_000, dtype=np.int16)
    path = tmp_path / "clip.wav"
    soundfile.write(path, clip, 16_000)
    for source in (path, str(path), path.read_bytes(), (16_000, clip), load_sound(path)):
        result = jobs.sentiment(source, engine=engine)
        assert result.emotion == "angry"
        assert sum(result.sentiment.values()) == pytest.approx(1)


def test_labels_as_text_or_sequence(engine: Engine, red_file: Path) -> None:
    text = jobs.classify(red_file, "blue, red\ngreen,", engine=engine)
    listed = jobs.classify(red_file, ["blue", "red", "green"], template=" a {} thing ", engine=engine)
    assert [item.label for item in text.labels] == [item.label for item in listed.labels]
    assert text.labels[0].label == "red"
    assert NONE_OF_THESE in [item.label for item in text.labels]
    assert sum(item.score for item in text.labels) == pytest.approx(1)


def test_five_thousand_labels_and_one_with_html(engine: Engine) -> None:
    labels = [f"thing {index}" for index in range(4_999)] + ["<img src=x onerror=alert(1)>"]
    result = jobs.classify(RED, labels, engine=engine)
    assert len(result.labels) == 5_001
    assert "<img src=x onerror=alert(1)>" in {item.label for item in result.labels}


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (lambda engine: jobs.ask(RED, " ", engine=engine), "question"),
        (lambda engine: jobs.ask(None, "Is it red?", engine=engine), "There is no picture"),
        (lambda engine: jobs.ask(b"junk", "Is it red?", engine=engine), "cannot be opened"),
        (lambda engine: jobs.ask(RED, "Is it red?", model="nope", engine=engine), "no model “nope”"),
        (lambda engine: jobs.classify(RED, "", engine=engine), "no labels"),
        (lambda engine: jobs.classify(RED, "a,A", engine=engine), "more than once"),
        (lambda engine: jobs.classify(RED, "a", template="photo", engine=engine), "template"),
        (lambda engine: jobs.caption(RED, n=0, engine=engine), "1 to 10"),
        (lambda engine: jobs.caption(RED, n=11, engine=engine), "1 to 10"),
        (lambda engine: jobs.caption(RED, max_words=1, engine=engine), "3 to 40"),
        (lambda engine: jobs.stream_caption(RED, n=0, engine=engine), "1 to 10"),
        (lambda engine: jobs.stream_caption(b"", engine=engine), "0 bytes"),
        (lambda engine: jobs.sentiment(None, engine=engine), "There is no sound"),
        (lambda engine: jobs.sentiment((16_000, np.zeros(1)), engine=engine), "too short"),
    ],
)
def test_bad_input_gives_one_sentence_before_any_model_is_loaded(
    engine: Engine, shelf: Any, act: Any, why: str
) -> None:
    with pytest.raises(MmdemoError, match=why) as caught:
        act(engine)
    assert "\n" not in str(caught.value)
    assert shelf.loads == []


def test_a_caption_streams_word_by_word(engine: Engine) -> None:
    steps = jobs.stream_caption(RED, n=2, engine=engine)
    assert isinstance(steps, Iterator)
    assert [step.caption for step in steps][::3] == ["a", "a very red picture"]
    whole = jobs.caption(RED, n=2, engine=engine)
    assert (whole.caption, len(whole.alternatives)) == ("a very red picture", 1)


def test_every_result_can_be_explained(engine: Engine, red_file: Path) -> None:
    for result in (
        jobs.ask(red_file, "What is it?", engine=engine),
        jobs.classify(red_file, "red, blue", engine=engine),
        jobs.caption(red_file, engine=engine),
    ):
        (found,) = jobs.explain(red_file, result, engine=engine)
        assert found.cells.shape == (2, 2)
    clip = (16_000, np.full(16_000, 0.2, dtype=np.float32))
    assert jobs.explain(clip, jobs.sentiment(clip, engine=engine), engine=engine) == ()


def test_the_default_engine_is_one() -> None:
    assert jobs.default_engine() is jobs.default_engine()
