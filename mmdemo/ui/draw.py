"""Pictures that explain: heat maps over photos as JPEG data, sounds as inline SVG that follows light and dark.

Nothing here touches a disk or a plotting library: what is drawn goes straight into the page.

Shapes: ``H`` height, ``W`` width in pixels or cells, ``S`` audio samples, ``N`` bars.
"""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmdemo.core.types import NO_SPEECH, SILENCE, HeatMap, Picture, Segment, Sound

HEAT_COLOURS = np.array(
    [
        (68, 1, 84),
        (71, 44, 122),
        (59, 81, 139),
        (44, 113, 142),
        (33, 144, 141),
        (39, 173, 129),
        (92, 200, 99),
        (170, 220, 50),
        (253, 231, 37),
    ],
    dtype=np.float32,
)
"""Viridis in nine steps: brightness rises evenly, so it reads the same with any colour vision and in grey."""

EMOTION_COLOURS = {
    "neutral": "#8c8c8c",
    "calm": "#56b4e9",
    "happy": "#e69f00",
    "sad": "#0072b2",
    "angry": "#d55e00",
    "fearful": "#cc79a7",
    "disgust": "#009e73",
    "surprised": "#d9c700",
}
"""Okabe and Ito's palette, told apart with any colour vision; the name always stands beside the colour."""

_OTHER_COLOURS = tuple(EMOTION_COLOURS.values())
_WIDTH = 1000  # units of an SVG's width; stretched to the room there is
_COLUMNS = ("left", "middle", "right")
_ROWS = ("top", "middle", "bottom")


def emotion_colour(label: str) -> str:
    """CSS colour of an emotion; labels of other models get one of the same colours by name."""
    if label in (SILENCE, NO_SPEECH):
        return "transparent"
    return EMOTION_COLOURS.get(label) or _OTHER_COLOURS[sum(map(ord, label)) % len(_OTHER_COLOURS)]


def heat_colour(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values in [0, 1], shape (H, W), to RGB in [0, 255], shape (H, W, 3)."""
    place = np.clip(values, 0.0, 1.0) * (len(HEAT_COLOURS) - 1)
    low = np.minimum(place.astype(np.int64), len(HEAT_COLOURS) - 2)
    share = (place - low)[..., None]  # (H, W, 1)
    colour: NDArray[np.float32] = HEAT_COLOURS[low] * (1 - share) + HEAT_COLOURS[low + 1] * share  # (H, W, 3)
    return colour


def heat_gradient() -> str:
    """The colour scale as a CSS gradient, for a legend."""
    stops = ", ".join(f"rgb({r:.0f} {g:.0f} {b:.0f})" for r, g, b in HEAT_COLOURS)
    return f"linear-gradient(90deg, {stops})"


def overlay(picture: Picture, heat: HeatMap, *, side: int = 560) -> Image.Image:
    """The picture, paled, with the heat map over it.

    Args:
        picture: What was looked at.
        heat: Cells of shape (H, W), stretched over the whole picture.
        side: Longest side of the result in pixels.
    """
    photo = Image.fromarray(picture.pixels)
    photo.thumbnail((side, side), Image.Resampling.LANCZOS)
    cells = np.nan_to_num(np.asarray(heat.cells, dtype=np.float32))
    peak = float(cells.max(initial=0.0))
    if peak > 0:
        cells = cells / peak  # the brightest cell is the one looked at most, however flat the map
    stretched = Image.fromarray(cells).resize(photo.size, Image.Resampling.BICUBIC)
    warmth = np.clip(np.asarray(stretched, dtype=np.float32), 0.0, 1.0)  # (H, W)
    colours = np.asarray(photo, dtype=np.float32)  # (H, W, 3)
    grey = colours.mean(axis=2, keepdims=True)  # (H, W, 1)
    strength = (0.12 + 0.5 * warmth)[..., None]  # (H, W, 1)
    mixed = (0.4 * colours + 0.6 * grey) * (1 - strength) + heat_colour(warmth) * strength
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


def as_data(image: Image.Image) -> str:
    """A ``data:`` address of the image as JPEG, so that no file is left behind on the server."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def place_of(cells: NDArray[np.float32]) -> str:
    """Where the weight of a heat map lies, as one of nine words such as ``top left``."""
    weight = np.clip(np.nan_to_num(np.asarray(cells, dtype=np.float64)), 0.0, None) ** 4  # the peaks decide
    total = float(weight.sum())
    if total <= 0:
        return "middle"
    rows, columns = weight.shape
    down = float((weight.sum(axis=1) * (np.arange(rows) + 0.5)).sum()) / total / rows
    right = float((weight.sum(axis=0) * (np.arange(columns) + 0.5)).sum()) / total / columns
    row, column = _ROWS[min(int(down * 3), 2)], _COLUMNS[min(int(right * 3), 2)]
    if row == "middle":
        return column
    return row if column == "middle" else f"{row} {column}"


def clock(seconds: float) -> str:
    """``0:07`` or ``12:34``."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def envelope(samples: NDArray[np.float32], *, bars: int = 250) -> NDArray[np.float32]:
    """Loudest sample of each of ``bars`` equal parts, scaled so that the loudest is 1; shape (N,), N <= bars."""
    bars = max(1, min(bars, len(samples)))
    if len(samples) == 0:
        return np.zeros(1, dtype=np.float32)
    edges = np.linspace(0, len(samples), bars + 1).astype(np.int64)[:-1]
    peaks: NDArray[np.float32] = np.maximum.reduceat(np.abs(samples), edges).astype(np.float32)
    top = float(peaks.max())
    return peaks / top if top > 0 else peaks


def _wave(samples: NDArray[np.float32], *, middle: float, height: float, bars: int = 250) -> str:
    """The waveform as one closed path around ``middle``."""
    peaks = envelope(samples, bars=bars)
    across = (np.arange(len(peaks)) + 0.5) * (_WIDTH / len(peaks))
    reach = np.maximum(peaks * height / 2, 0.6)
    upper = [f"{x:.1f},{middle - y:.1f}" for x, y in zip(across, reach, strict=True)]
    lower = [f"{x:.1f},{middle + y:.1f}" for x, y in zip(across[::-1], reach[::-1], strict=True)]
    return f'<polygon points="{" ".join(upper + lower)}" fill="currentColor" fill-opacity="0.85"/>'


def cell_edges(segments: Sequence[Segment], seconds: float) -> list[tuple[float, float]]:
    """Windows overlap; each gets the time that is nearer to its middle than to another's, in seconds."""
    middles = [(segment.start + segment.end) / 2 for segment in segments]
    between = [(left + right) / 2 for left, right in itertools.pairwise(middles)]
    edges = [0.0, *between, seconds]
    return list(itertools.pairwise(edges))


def runs(segments: Sequence[Segment], seconds: float) -> list[tuple[float, float, str]]:
    """Neighbouring windows with the same emotion as one stretch: start and end in seconds, label."""
    found: list[tuple[float, float, str]] = []
    for segment, (start, end) in zip(segments, cell_edges(segments, seconds), strict=True):
        if found and found[-1][2] == segment.emotion:
            found[-1] = (found[-1][0], end, segment.emotion)
        else:
            found.append((start, end, segment.emotion))
    return found


def timeline(sound: Sound, segments: Sequence[Segment], *, alt: str) -> str:
    """Waveform over bands in the emotions' colours, paler where the model is unsure; uncertainty as an area below."""
    seconds = max(sound.seconds, 1e-6)
    scale = _WIDTH / seconds
    bands, line = [], []
    for segment, (start, end) in zip(segments, cell_edges(segments, seconds), strict=True):
        opacity = 0.18 + 0.62 * (1.0 - min(max(segment.uncertainty, 0.0), 1.0))
        bands.append(
            f'<rect x="{start * scale:.1f}" y="0" width="{max(end - start, 0.0) * scale:.1f}" height="120" '
            f'fill="{emotion_colour(segment.emotion)}" fill-opacity="{opacity:.2f}">'
            f"<title>{clock(start)} {escape(segment.emotion)}</title></rect>"
        )
        height = 160 - 34 * min(max(segment.uncertainty, 0.0), 1.0)
        line += [f"{start * scale:.1f},{height:.1f}", f"{end * scale:.1f},{height:.1f}"]
    area = f'<polygon points="0,160 {" ".join(line)} {_WIDTH},160" fill="currentColor" fill-opacity="0.4"/>'
    return (
        f'<svg viewBox="0 0 {_WIDTH} 160" preserveAspectRatio="none" style="height:160px" role="img" '
        f'aria-label="{escape(alt)}">{"".join(bands)}{_wave(sound.samples, middle=60, height=104)}{area}</svg>'
    )


def attention(sound: Sound, heat: HeatMap, *, alt: str) -> str:
    """Waveform with a bar for each moment, tall where it counted."""
    cells = np.clip(np.nan_to_num(np.asarray(heat.cells, dtype=np.float32)).reshape(-1), 0.0, None)  # (W,)
    top = float(cells.max(initial=0.0))
    cells = cells / top if top > 0 else cells
    width = _WIDTH / max(len(cells), 1)
    bars = "".join(
        f'<rect x="{index * width:.1f}" y="{120 - 116 * float(value):.1f}" width="{width:.1f}" '
        f'height="{116 * float(value):.1f}" style="fill:var(--color-accent)" fill-opacity="0.55"/>'
        for index, value in enumerate(cells)
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} 120" preserveAspectRatio="none" style="height:120px" role="img" '
        f'aria-label="{escape(alt)}">{bars}{_wave(sound.samples, middle=60, height=96)}</svg>'
    )
