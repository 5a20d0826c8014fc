"""Drawings of the tab Compare as inline SVG and tables that follow light and dark: whiskers, heat, dots, two lines.

What is stretched to the room there is holds no text; words and numbers stand beside it, in the page's own size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from mmdemo.ui.runs.plot import nice_ticks, number

_WIDTH, _HEIGHT = 600, 200
SHOWN_CLASSES = 12
"""Classes of one confusion matrix; of more those with most mistakes are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whisker:
    """One figure with its interval; ``said`` is what stands beside it, ``alt`` the whole in words."""

    name: str
    value: float
    low: float
    high: float
    said: str
    alt: str


def whiskers(rows: Sequence[Whisker], *, side: Sequence[str]) -> str:
    """A dot with its interval for each row, over one scale that holds them all.

    Args:
        side: "a" or "b" of each row, for its colour.
    """
    ticks = nice_ticks(min(row.low for row in rows), max(row.high for row in rows))
    low, wide = ticks[0], ticks[-1] - ticks[0]

    def at(value: float) -> float:
        return (min(max(value, low), low + wide) - low) / wide * _WIDTH

    drawn = []
    for row, name in zip(rows, side, strict=True):
        x, left, right = at(row.value), at(row.low), at(row.high)
        ends = "".join(f'<path d="M{end:.1f} 6v16" class="mm-whisker mm-side-{name}"/>' for end in (left, right))
        drawn.append(
            f'<div class="mm-whisk"><span class="mm-name">{escape(row.name)}</span>'
            f'<svg viewBox="0 0 {_WIDTH} 28" preserveAspectRatio="none" role="img" aria-label="{escape(row.alt)}">'
            f"{''.join(_grid_line((tick - low) / wide * _WIDTH) for tick in ticks)}"
            f'<path d="M{left:.1f} 14H{right:.1f}" class="mm-whisker mm-side-{name}"/>{ends}'
            f'<path d="M{x:.1f} 14h0.01" class="mm-point mm-side-{name}"/></svg>'
            f"<b>{escape(row.said)}</b></div>"
        )
    axis = "".join(f"<span>{number(tick)}</span>" for tick in ticks)
    return (
        f'<div class="mm-whisks">{"".join(drawn)}<div class="mm-whisk" aria-hidden="true"><span></span>'
        f'<div class="mm-axis">{axis}</div><b></b></div></div>'
    )


def _grid_line(x: float) -> str:
    return f'<path d="M{x:.1f} 0v28" class="mm-grid"/>'


# ---------------------------------------------------------------- confusion


def worst_classes(matrices: Sequence[NDArray[np.float64]], *, most: int = SHOWN_CLASSES) -> list[int]:
    """Places of the classes with most mistakes in any of the matrices (K, K + 1), in their own order."""
    mistakes = sum(matrix.sum(axis=1) - np.diagonal(matrix) for matrix in matrices)
    order = np.argsort(-np.asarray(mistakes), kind="stable")[:most]
    return sorted(int(place) for place in order)


def heat_table(
    matrix: NDArray[np.float64], names: Sequence[str], *, shown: Sequence[int], caption: str, other: str
) -> str:
    """A confusion matrix (K, K + 1) as a table: rows are the truth, the last column is whatever is not shown.

    Args:
        shown: The classes that get a row and a column.
        other: Heading of the last column.
    """
    rest = [column for column in range(matrix.shape[1]) if column not in shown]
    part = np.column_stack([matrix[np.ix_(shown, shown)], matrix[np.ix_(shown, rest)].sum(axis=1)])  # (S, S + 1)
    keep_rest = bool(part[:, -1].any())
    totals = np.maximum(matrix[list(shown)].sum(axis=1), 1)
    heads = "".join(
        f'<th scope="col" title="{escape(names[place])}"><span>{escape(names[place])}</span></th>' for place in shown
    )
    heads += f'<th scope="col"><span>{escape(other)}</span></th>' if keep_rest else ""
    lines = []
    for row, place in enumerate(shown):
        cells = []
        for column in range(part.shape[1] - (not keep_rest)):
            count, share = int(part[row, column]), float(part[row, column] / totals[row])
            kind = "mm-hit" if column == row else "mm-miss"
            cells.append(f'<td class="{kind}" style="--share:{100 * share:.0f}%">{count or "·"}</td>')
        lines.append(f'<tr><th scope="row">{escape(names[place])}</th>{"".join(cells)}</tr>')
    return (
        f'<div class="mm-wide"><table class="mm-heat"><caption>{escape(caption)}</caption>'
        f"<thead><tr><td></td>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


# ---------------------------------------------------------------- reliability


def reliability(
    points: Sequence[tuple[float, float, int]], *, side: str, name: str, alt: str, across: str, up: str
) -> str:
    """Dots of (how sure, how often right, how many) in the unit square, with the diagonal.

    Args:
        side: "a" or "b", for the colour.
        name: Heading.
    """
    most = max((count for *_, count in points), default=1)
    dots = "".join(
        f'<circle cx="{20 + 260 * x:.1f}" cy="{280 - 260 * y:.1f}" r="{3 + 9 * math.sqrt(count / most):.1f}" '
        f'class="mm-ball mm-side-{side}"/>'
        for x, y, count in points
    )
    lines = "".join(
        f'<path d="M20 {280 - 260 * t:.0f}h260M{20 + 260 * t:.0f} 20v260" class="mm-grid"/>' for t in (0, 0.5, 1)
    )
    return (
        f'<figure class="mm-square"><figcaption>{escape(name)}</figcaption>'
        f'<div class="mm-up" aria-hidden="true"><span>100 %</span><span>{escape(up)}</span><span>0 %</span></div>'
        f'<svg viewBox="20 20 260 260" role="img" aria-label="{escape(alt)}">{lines}'
        f'<path d="M20 280L280 20" class="mm-diagonal"/>{dots}</svg>'
        f'<div class="mm-axis mm-across" aria-hidden="true"><span>0 %</span><span>{escape(across)}</span>'
        f"<span>100 %</span></div></figure>"
    )


# ---------------------------------------------------------------- the line from A to B


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One curve: values with intervals at the shares of B; ``alt`` is it in words."""

    name: str
    values: Sequence[tuple[float, float, float, float]]
    alt: str


def lines(first: Line, second: Line, *, mark: float, ends: tuple[str, str]) -> str:
    """Two curves with their intervals over the share of B, and a marker at one share.

    Args:
        first, second: Values as (share, value, low, high), shares rising from 0 to 1.
        mark: Where the marker stands.
        ends: What stands below the left and the right end.
    """
    every = [value for line in (first, second) for row in line.values for value in row[2:]]
    ticks = nice_ticks(min(every), max(every))
    low, wide = ticks[0], ticks[-1] - ticks[0]

    def place(share: float, value: float) -> tuple[float, float]:
        return share * _WIDTH, _HEIGHT - (value - low) / wide * _HEIGHT

    grid = "".join(f'<path d="M0 {place(0, tick)[1]:.1f}H{_WIDTH}" class="mm-grid"/>' for tick in ticks)
    drawn: list[str] = []
    keys: list[str] = []
    for line, side in ((second, "a"), (first, "b")):
        band = [place(row[0], row[2]) for row in line.values] + [place(row[0], row[3]) for row in reversed(line.values)]
        path = [place(row[0], row[1]) for row in line.values]
        here = min(line.values, key=lambda row: abs(row[0] - mark))
        x, y = place(here[0], here[1])
        drawn.append(
            f'<g role="img" aria-label="{escape(line.alt)}">'
            f'<polygon points="{_points(band)}" class="mm-band mm-side-{side}"/>'
            f'<polyline points="{_points(path)}" class="mm-path mm-side-{side}"/>'
            f'<path d="M{x:.1f} {y:.1f}h0.01" class="mm-point mm-side-{side}"/></g>'
        )
        keys.insert(0, f'<li><i class="mm-key mm-side-{side}"></i>{escape(line.name)}</li>')
    x = mark * _WIDTH
    left = "".join(f"<span>{tick:.0%}</span>" for tick in reversed(ticks))
    return (
        f'<figure class="mm-curve mm-line-ab"><figcaption><ul class="mm-legend">{"".join(keys)}</ul></figcaption>'
        f'<div class="mm-up" aria-hidden="true">{left}</div>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none">{grid}'
        f'<path d="M{x:.1f} 0V{_HEIGHT}" class="mm-marker"/>{"".join(drawn)}</svg>'
        f'<div class="mm-axis mm-across" aria-hidden="true"><span>{escape(ends[0])}</span>'
        f"<span>{escape(ends[1])}</span></div></figure>"
    )


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
