"""What the tab Compare shows of a comparison, as accessible HTML: the sentence first, then everything behind it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmdemo.core import metrics
from mmdemo.core.types import (
    AskResult,
    CaptionResult,
    ClassifyResult,
    Result,
    SentimentResult,
)
from mmdemo.ui import thumbs
from mmdemo.ui.answers import percent
from mmdemo.ui.cards import short_name
from mmdemo.ui.compare import draw
from mmdemo.ui.strings import Language, label_text, metric_text, text

if TYPE_CHECKING:
    from mmdemo.evaluate.forgetting import Curve
    from mmdemo.evaluate.scores import Rows
    from mmdemo.evaluate.verdict import ComparedExample, Prediction, Verdict

SHOWN = 40
"""Flipped examples on the page; the file for spreadsheets has all."""

_LARGE = 360  # pixels of an opened example's picture


def busy(done: int, total: int, language: Language) -> str:
    """How far a comparison has come."""
    if not total:
        return f'<div class="mm mm-panel" role="status">{escape(text("compare_reading", language))}</div>'
    share = 100 * done / total
    said = escape(text("compare_progress", language, done=done, total=total))
    return (
        f'<div class="mm mm-panel" role="status"><div class="mm-bar mm-thick" role="progressbar" aria-valuemin="0" '
        f'aria-valuemax="{total}" aria-valuenow="{done}"><span style="width:{share:.1f}%"></span></div>{said}</div>'
    )


def verdict(found: Verdict, *, served: Path, sound: bool, language: Language) -> str:
    """The whole result.

    Args:
        served: A folder that the page serves files from, for clips.
        sound: Whether examples are clips.
    """
    first, second = (outcome.rows for outcome in found.comparison.outcomes or ())
    parts = [
        f'<p class="mm-sentence" id="compare-sentence">{escape(sentence(found, language))}</p>',
        f'<p class="mm-sub">{escape(_test(found, language))}</p>',
    ]
    parts += [f'<p class="mm-notes">{escape(note)}</p>' for note in found.notes]
    parts += [
        _title("compare_with_interval", language, metric=metric_text(found.metric, language)),
        _whiskers(found, language),
    ]
    if first is not None and second is not None:
        if second.names:
            parts += [_title("compare_by_class", language), _recalls(first, second, language)]
            parts += [_title("compare_confusion", language), _confusions(found, first, second, language)]
        if first.sure is not None and second.sure is not None:
            parts += [_title("compare_reliability", language), _reliability(found, first, second, language)]
    parts += [_flipped(found, served=served, sound=sound, language=language)]
    parts += [_folded("compare_all_figures", _figures(found, language), language)]
    if notes := (*found.a.notes, *found.b.notes):
        items = "".join(f"<li>{escape(note)}</li>" for note in dict.fromkeys(notes))
        parts.append(_folded("compare_notes", f"<ul>{items}</ul>", language))
    return f'<div class="mm mm-panel">{"".join(parts)}</div>'


def sentence(found: Verdict, language: Language) -> str:
    """The one sentence that says it all."""
    value, low, high = (f"{number:.1f}" for number in found.points)
    if found.outcome == "alike":
        said = text("compare_alike", language, n=found.n)
    else:
        key = "compare_better" if found.outcome == "better" else "compare_unclear"
        key = key if found.difference.value else "compare_level"
        said = text(key, language, who=found.winner, value=value, low=low, high=high, n=found.n)
    end = "。" if language == "zh" else "."
    few = text("compare_few", language, n=found.n) if found.few else ""
    return f"{said}{end}{'' if language == 'zh' or not few else ' '}{few}"


def _test(found: Verdict, language: Language) -> str:
    p = "< 0.01" if found.difference.p < 0.01 else f"= {found.difference.p:.2f}"
    same = found.comparison.agreement
    if same is None:
        return text("compare_test_only", language, data=found.b.data, p=p)
    said = text("compare_test", language, data=found.b.data, p=p, agreement=f"{same:.0%}")
    if any(report.metrics.get("none_share") for report in (found.a, found.b)):
        said += ("" if language == "zh" else " ") + text("compare_none", language)
    return said


def _title(key: str, language: Language, **values: object) -> str:
    return f"<h3>{escape(text(key, language, **values))}</h3>"


def _folded(key: str, inner: str, language: Language) -> str:
    return f'<details class="mm-fold"><summary>{escape(text(key, language))}</summary>{inner}</details>'


# ---------------------------------------------------------------- figures


def _shown(metric: str, value: float) -> str:
    return f"{value:.3f}" if metric in {"cider", "bleu4"} else f"{100 * value:.1f} %"


def _whiskers(found: Verdict, language: Language) -> str:
    rows = []
    for side, report in (("A", found.a), ("B", found.b)):
        value = report.metrics[found.metric]
        low, high = report.interval.get(found.metric, (value, value))
        alt = text(
            "compare_interval_alt",
            language,
            metric=metric_text(found.metric, language),
            name=side,
            value=_shown(found.metric, value),
            low=_shown(found.metric, low),
            high=_shown(found.metric, high),
        )
        scale = 1 if found.metric in {"cider", "bleu4"} else 100
        rows.append(
            draw.Whisker(
                name=f"{side} · {short_name(report.model)}",
                value=scale * value,
                low=scale * low,
                high=scale * high,
                said=_shown(found.metric, value),
                alt=alt,
            )
        )
    return draw.whiskers(rows, side=("a", "b"))


def _figures(found: Verdict, language: Language) -> str:
    heads = [text("compare_figure", language), "A", "B", text("compare_difference", language)]
    heads += [text("compare_interval", language), "p"]
    lines = []
    for name, difference in found.comparison.differences.items():
        a, b = (_shown(name, report.metrics[name]) for report in (found.a, found.b))
        scale = 1 if name in {"cider", "bleu4"} else 100
        value, low, high = (
            f"{scale * x:+.{3 if scale == 1 else 1}f}" for x in (difference.value, difference.low, difference.high)
        )
        p = "< 0.01" if difference.p < 0.01 else f"{difference.p:.2f}"
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in (a, b, value, f"{low} … {high}", p))
        lines.append(f'<tr><th scope="row">{escape(metric_text(name, language))}</th>{cells}</tr>')
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in heads)
    return (
        f'<div class="mm-wide"><table class="mm-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


# ---------------------------------------------------------------- classes


def _matrix(rows: Rows) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    none = np.zeros(0, dtype=np.int64)
    predicted = rows.predicted if rows.predicted is not None else none
    target = rows.target if rows.target is not None else none
    matrix: np.ndarray[tuple[int, int], np.dtype[np.float64]] = metrics.confusion(predicted, target, len(rows.names))
    return matrix


def _recalls(first: Rows, second: Rows, language: Language) -> str:
    before, after = (metrics.class_recalls(_matrix(rows)) for rows in (first, second))
    changes = [
        (name, float(a), float(b)) for name, a, b in zip(second.names, before, after, strict=True) if not np.isnan(a)
    ]
    changes.sort(key=lambda change: -abs(change[2] - change[1]))
    return change_bars(changes, language)


def change_bars(changes: Sequence[tuple[str, float, float]], language: Language) -> str:
    """Bars from the share of A to that of B for each label, with the change in words.

    Args:
        changes: Label, share with A and with B.
    """
    rows = []
    for name, a, b in changes:
        low, high, side = min(a, b), max(a, b), "b" if b >= a else "a"
        points = text("compare_points", language, value=f"{round(100 * (b - a)):+d}") if round(100 * (b - a)) else "±0"
        said = text("compare_recall", language, a=f"{a:.0%}", b=f"{b:.0%}")
        rows.append(
            f'<li><div class="mm-bar-text"><span>{escape(label_text(name, language))}</span>'
            f'<span><span class="mm-sub">{escape(said)}</span> <b>{escape(points)}</b></span></div>'
            f'<div class="mm-bar mm-change" aria-hidden="true"><span style="width:{100 * low:.1f}%"></span>'
            f'<span class="mm-side-{side}" style="width:{100 * (high - low):.1f}%"></span></div></li>'
        )
    return f'<ul class="mm-bars mm-two-columns">{"".join(rows)}</ul>'


def _confusions(found: Verdict, first: Rows, second: Rows, language: Language) -> str:
    matrices = [_matrix(rows) for rows in (first, second)]
    shown = draw.worst_classes(matrices)
    names = [label_text(name, language) for name in second.names]
    tables = [
        draw.heat_table(
            matrix,
            names,
            shown=shown,
            caption=text("compare_confusion_of", language, side=side, model=short_name(report.model)),
            other=text("compare_other", language),
        )
        for matrix, side, report in zip(matrices, "AB", (found.a, found.b), strict=True)
    ]
    said = ""
    if len(shown) < len(names):
        words = text("compare_confusion_part", language, shown=len(shown), all=len(names))
        said = f'<p class="mm-sub">{escape(words)}</p>'
    return f'<div class="mm-pair">{"".join(tables)}</div>{said}'


def _reliability(found: Verdict, first: Rows, second: Rows, language: Language) -> str:
    figures = []
    for side, report, rows in (("A", found.a, first), ("B", found.b, second)):
        if rows.sure is None or rows.right is None:
            continue
        sure, right, count = metrics.reliability(rows.sure, rows.right, bins=10)
        points = [(float(x), float(y), int(n)) for x, y, n in zip(sure, right, count, strict=True) if n]
        words = "; ".join(
            text("compare_reliability_point", language, sure=f"{x:.0%}", right=f"{y:.0%}", count=n)
            for x, y, n in points
        )
        figures.append(
            draw.reliability(
                points,
                side=side.lower(),
                name=f"{side} · {short_name(report.model)}",
                alt=text("compare_reliability_alt", language, side=side, points=words),
                across=text("compare_sure", language),
                up=text("compare_right", language),
            )
        )
    info = f'<p class="mm-sub">{escape(text("compare_reliability_info", language))}</p>'
    return f'{info}<div class="mm-squares">{"".join(figures)}</div>'


# ---------------------------------------------------------------- examples


def _flipped(found: Verdict, *, served: Path, sound: bool, language: Language) -> str:
    captions = found.metric == "cider"
    rows = found.flipped
    if not rows:
        return f'<p class="mm-sub">{escape(text("compare_flipped_none", language))}</p>'
    key = "compare_flipped_captions" if captions else "compare_flipped"
    parts = [_title(key, language, n=len(rows)), '<ul class="mm-flips" id="compare-flipped">']
    for row in rows[:SHOWN]:
        parts.append(f"<li>{_flip(row, served=served, sound=sound, captions=captions, language=language)}</li>")
    parts.append("</ul>")
    if len(rows) > SHOWN:
        parts.append(f'<p class="mm-sub">{escape(text("compare_flipped_more", language, shown=SHOWN))}</p>')
    return "".join(parts)


def _flip(row: ComparedExample, *, served: Path, sound: bool, captions: bool, language: Language) -> str:
    """One example: a line that opens to the picture or player with both answers."""
    truth = label_text(row.truth, language)
    right = text("compare_closer_is" if captions else "compare_right_is", language, side=row.right.upper())
    head = f"<b>{escape(row.question or truth)}</b>" if not captions else f"<b>{escape(row.file)}</b>"
    small = media = ""
    if row.path is not None and sound:
        media = thumbs.player(row.path, served=served, label=row.file)
    elif row.path is not None:
        small = _image(thumbs.small_picture(row.path, side=64), row.file)
        media = _image(thumbs.small_picture(row.path, side=_LARGE), row.file)
    answers = "".join(
        f'<dt class="mm-side-{name}">{name.upper()}</dt><dd>{_said(said, captions=captions, language=language)}</dd>'
        for name, said in (("a", row.a), ("b", row.b))
    )
    return (
        f'<details><summary>{small}<span class="mm-flip">{head}<span class="mm-sub">'
        f"A {escape(label_text(row.a.answer, language))} · B {escape(label_text(row.b.answer, language))}</span></span>"
        f'<span class="mm-badge mm-side-{row.right}">{escape(right)}</span></summary>'
        f'<div class="mm-flip-open">{media}<dl><dt>{escape(text("compare_truth", language))}</dt>'
        f"<dd>{escape(truth)}</dd>{answers}</dl><p class='mm-sub'>{escape(row.file)}</p></div></details>"
    )


def _image(address: str, alt: str) -> str:
    return f'<img src="{address}" alt="{escape(alt)}">' if address else ""


def _said(said: Prediction, *, captions: bool, language: Language) -> str:
    worth = f" · CIDEr {said.credit:.2f}" if captions else ""
    return f"{escape(label_text(said.answer, language))} <span class='mm-sub'>{percent(said.score)}{worth}</span>"


# ---------------------------------------------------------------- one input


def both_answers(a: Result, b: Result, names: tuple[str, str], language: Language) -> str:
    """Both answers beside each other, and what became of each label."""
    sides, shares = [], []
    for side, result, name in (("A", a, names[0]), ("B", b, names[1])):
        answer, score, labels = _parts(result)
        shares.append(labels)
        sides.append(
            f'<div class="mm-one-side"><p class="mm-question"><i class="mm-key mm-side-{side.lower()}"></i>'
            f"{side} · {escape(short_name(name))}</p><p class='mm-sentence'>{escape(label_text(answer, language))}</p>"
            f'<p class="mm-sub">{percent(score)}</p></div>'
        )
    same = _parts(a)[0] == _parts(b)[0]
    parts = [
        f'<p class="mm-sub">{escape(text("compare_same_answer" if same else "compare_other_answer", language))}</p>',
        f'<div class="mm-pair">{"".join(sides)}</div>',
    ]
    order = sorted(shares[0].keys() | shares[1].keys(), key=lambda x: -max(shares[0].get(x, 0), shares[1].get(x, 0)))
    changes = [(x, shares[0].get(x, 0.0), shares[1].get(x, 0.0)) for x in order][:12]
    if len(changes) > 1:
        parts += [_title("compare_change", language), change_bars(changes, language)]
    return f'<div class="mm mm-panel">{"".join(parts)}</div>'


def _parts(result: Result) -> tuple[str, float, dict[str, float]]:
    """The answer, its probability, and the probability of every label."""
    match result:
        case AskResult():
            others = {item.label: item.score for item in result.alternatives}
            return result.answer, result.score, {**others, result.answer: result.score}
        case ClassifyResult():
            best = result.labels[0]
            return best.label, best.score, {item.label: item.score for item in result.labels}
        case CaptionResult():
            return result.caption, result.score, {}
        case SentimentResult():
            score = result.scores[0].score if result.scores else 0.0
            return result.emotion, score, {item.label: item.score for item in result.scores}


# ---------------------------------------------------------------- forgetting


def line(found: Curve, share: float, language: Language) -> str:
    """Both curves with the marker at a share of B, and the figures there."""
    first, last, best = found.points[0], found.points[-1], found.best()
    said = text(
        "compare_line_said",
        language,
        new=f"{100 * (last.new.value - first.new.value):+.1f}",
        old=f"{100 * (last.old.value - first.old.value):+.1f}",
    )
    most = text(
        "compare_line_best",
        language,
        share=f"{best.alpha:.0%}",
        new=f"{best.new.value:.0%}",
        old=f"{best.old.value:.0%}",
    )
    curves = []
    for key, data, n in (("new", found.new_data, found.new_n), ("old", found.old_data, found.old_n)):
        name = text(f"compare_{key}", language, data=data, n=n)
        each = [(point.alpha, point.new if key == "new" else point.old) for point in found.points]
        words = ", ".join(f"{alpha:.0%} {one.value:.0%}" for alpha, one in each)
        curves.append(
            draw.Line(
                name=name,
                values=[(alpha, one.value, one.low, one.high) for alpha, one in each],
                alt=text("compare_line_alt", language, name=name, points=words),
            )
        )
    here = min(found.points, key=lambda point: abs(point.alpha - share))
    figures = {
        f"{key}{end}": f"{getattr(one, value):.0%}"
        for key, one in (("new", here.new), ("old", here.old))
        for end, value in (("", "value"), ("_low", "low"), ("_high", "high"))
    }
    at = text("compare_here", language, share=f"{here.alpha:.0%}", **figures)
    ends = text("compare_all_a", language), text("compare_all_b", language)
    notes = "".join(f'<p class="mm-sub">{escape(note)}</p>' for note in found.notes)
    return (
        f'<div class="mm mm-panel"><p class="mm-sentence">{escape(said)}</p><p class="mm-sub">{escape(most)}</p>'
        f"{draw.lines(curves[0], curves[1], mark=here.alpha, ends=ends)}"
        f'<p id="compare-here" aria-live="polite"><b>{escape(at)}</b></p>{notes}</div>'
    )
