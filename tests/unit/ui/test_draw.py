"""Heat maps and sounds as pictures."""

from __future__ import annotations

import base64
import io
import itertools

import numpy as np
import pytest
from PIL import Image

from mmdemo.core.types import EMOTIONS, SAMPLE_RATE, HeatMap, Picture, Segment, Sound
from mmdemo.ui import draw


def a_segment(start: float, end: float, emotion: str = "happy") -> Segment:
    return Segment(start=start, end=end, emotion=emotion, scores=(), uncertainty=0.3)


def test_brightness_rises_with_heat_so_that_it_reads_without_colour() -> None:
    ramp = np.linspace(0, 1, 64, dtype=np.float32)[None, :]

    brightness = draw.heat_colour(ramp)[0] @ np.array([0.2126, 0.7152, 0.0722])

    assert draw.heat_colour(ramp).shape == (1, 64, 3)
    assert (np.diff(brightness) > 0).all()


def test_overlay_keeps_proportions_and_warms_where_it_looked() -> None:
    picture = Picture(pixels=np.full((100, 200, 3), 100, dtype=np.uint8), key="k")
    cells = np.zeros((2, 4), dtype=np.float32)
    cells[0, 0] = 0.02  # flat maps are stretched to full strength

    drawn = np.asarray(draw.overlay(picture, HeatMap(cells=cells, label="x"), side=80)).astype(int)

    assert drawn.shape == (40, 80, 3)
    assert drawn[5, 5, 1] > drawn[35, 75, 1] + 40


@pytest.mark.parametrize("cells", [np.zeros((3, 3)), np.full((3, 3), np.nan), np.ones((1, 1))])
def test_overlay_bears_maps_that_say_nothing(cells: np.ndarray) -> None:
    picture = Picture(pixels=np.zeros((9, 7, 3), dtype=np.uint8), key="k")

    assert draw.overlay(picture, HeatMap(cells=cells.astype(np.float32), label="x")).size == (7, 9)


def test_as_data_is_a_jpeg_of_the_same_size() -> None:
    address = draw.as_data(Image.new("RGB", (12, 8)))

    head, _, content = address.partition(",")
    assert head == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(content))).size == (12, 8)


@pytest.mark.parametrize(
    ("row", "column", "words"),
    [(0, 0, "top left"), (0, 4, "top"), (4, 8, "right"), (4, 4, "middle"), (8, 8, "bottom right"), (8, 4, "bottom")],
)
def test_place_in_words(row: int, column: int, words: str) -> None:
    cells = np.zeros((9, 9), dtype=np.float32)
    cells[row, column] = 1

    assert draw.place_of(cells) == words


def test_place_of_nothing_is_the_middle() -> None:
    assert draw.place_of(np.zeros((3, 3), dtype=np.float32)) == "middle"


@pytest.mark.parametrize("length", [0, 1, 100, 100_000])
def test_envelope_is_short_and_reaches_one(length: int) -> None:
    samples = np.sin(np.arange(length) + 1).astype(np.float32) * 0.1

    peaks = draw.envelope(samples)

    assert 1 <= len(peaks) <= 250
    assert peaks.max() == pytest.approx(1 if length else 0)


def test_windows_share_the_time_without_gaps() -> None:
    segments = [a_segment(0, 3), a_segment(1.5, 4.5), a_segment(3, 6)]

    edges = draw.cell_edges(segments, 6.2)

    assert edges[0][0] == 0
    assert edges[-1][1] == 6.2
    assert all(left[1] == right[0] for left, right in itertools.pairwise(edges))


def test_neighbours_with_one_emotion_are_one_run() -> None:
    segments = [a_segment(0, 3), a_segment(1.5, 4.5), a_segment(3, 6, "sad")]

    assert [label for _, _, label in draw.runs(segments, 6)] == ["happy", "sad"]


def test_drawings_of_sound_are_escaped_svg() -> None:
    sound = Sound(samples=np.ones(SAMPLE_RATE, dtype=np.float32), key="k")
    heat = HeatMap(cells=np.array([[0, 1, np.nan]], dtype=np.float32), label="x")

    line = draw.timeline(sound, [a_segment(0, 1, '"><script>')], alt='"><script>')
    bars = draw.attention(sound, heat, alt="<b>")

    assert "<script>" not in line
    assert "<b>" not in bars
    assert line.startswith("<svg")
    assert "nan" not in bars


def test_every_emotion_has_a_colour_of_its_own() -> None:
    assert len({draw.emotion_colour(emotion) for emotion in EMOTIONS}) == len(EMOTIONS)
    assert draw.emotion_colour("silence") == "transparent"
    assert draw.emotion_colour("bored").startswith("#")


def test_clock() -> None:
    assert draw.clock(7.4) == "0:07"
    assert draw.clock(754) == "12:34"
