"""Curves of a training as inline SVG that follows light and dark: a line, its points, words and numbers at the axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

_WIDTH, _HEIGHT = 600, 200  # units of the SVG; stretched to the room there is

Points = Sequence[tuple[float, float]]


def line(points: Points, *, name: str, alt: str, across: str, mark: int | None = None) -> str:
    """One curve with its axes.

    Args:
        points: (step, value), steps rising; values that are no number are left out.
        name: What is drawn, as the heading.
        alt: The curve in words.
        across: What runs along the bottom.
        mark: Index of the point to point out, as the best one.
    """
    kept = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if not kept:
        return ""
    marked = kept.index(points[mark]) if mark is not None and points[mark] in kept else None
    ticks = nice_ticks(min(y for _, y in kept), max(y for _, y in kept))
    low, high = ticks[0], ticks[-1]
    first, last = kept[0][0], kept[-1][0]
    wide = (last - first) or 1.0
    placed = [((x - first) / wide * _WIDTH, _HEIGHT - (y - low) / (high - low) * _HEIGHT) for x, y in kept]
    if len(placed) == 1:
        placed = [(_WIDTH / 2, placed[0][1])]
    grid = "".join(
        f'<line x1="0" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" class="mm-grid"/>'
        for y in (_HEIGHT - (tick - low) / (high - low) * _HEIGHT for tick in ticks)
    )
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    dots = placed if len(placed) <= 40 else []
    # a line of no length with round ends is a dot that stretching leaves round
    drawn = "".join(f'<path d="M{x:.1f} {y:.1f}h0.01" class="mm-dot"/>' for x, y in dots)
    if marked is not None:
        x, y = placed[marked]
        drawn += f'<path d="M{x:.1f} {y:.1f}h0.01" class="mm-dot mm-best"/>'
    left = "".join(f"<span>{escape(number(tick))}</span>" for tick in reversed(ticks))
    below = f"<span>{number(first)}</span><span>{escape(across)}</span><span>{number(last)}</span>"
    return (
        f'<figure class="mm-curve"><figcaption>{escape(name)}</figcaption>'
        f'<div class="mm-up" aria-hidden="true">{left}</div>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{escape(alt)}">'
        f'{grid}<polyline points="{path}" class="mm-line"/>{drawn}</svg>'
        f'<div class="mm-axis mm-across" aria-hidden="true">{below}</div></figure>'
    )


def nice_ticks(low: float, high: float, *, wanted: int = 4) -> tuple[float, ...]:
    """Round numbers from at most ``low`` to at least ``high``, evenly spaced, about ``wanted`` of them."""
    if high - low < 1e-9 * max(abs(low), abs(high), 1.0):
        room = abs(low) * 0.1 if abs(low) > 1e-9 else 1.0
        full = (1.0, 100.0)  # no share is above the whole, nor above 100 %
        low, high = low - room, next((most for most in full if 0.9 * most < high <= most), high + room)
    rough = (high - low) / max(wanted - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(round(index * step, 12) for index in range(first, max(last, first + 1) + 1))


def number(value: float) -> str:
    """As short as it can be read: 0.25, 1.5, 12, 1,200, 3e-05."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) < 0.001:
        return f"{value:.0e}"
    return f"{value:.3g}"
