"""Answers as accessible HTML: whatever a person or a model wrote is escaped, beside every colour stands a word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from mmdemo.core.types import (
    NO_SPEECH,
    SILENCE,
    AskResult,
    CaptionResult,
    ClassifyResult,
    HeatMap,
    Picture,
    Scored,
    SentimentResult,
    Sound,
)
from mmdemo.ui import draw
from mmdemo.ui.strings import Language, label_text, text

SHOWN_BARS = 10
"""Bars of one answer; the rest is in the table, the command line and HTTP."""


def percent(score: float) -> str:
    """A probability as people read it; never 0 or 100 %, which no model can promise."""
    if score < 0.01:
        return "< 1 %"
    if score > 0.99:
        return "> 99 %"
    return f"{score * 100:.0f} %"


def duration(seconds: float, language: Language) -> str:
    """``83 ms``, ``1.4 s`` or ``2 min 5 s``."""
    if seconds < 0.95:
        return text("milliseconds", language, value=max(1, round(seconds * 1000)))
    if seconds < 120:
        return text("seconds", language, value=f"{seconds:.1f}")
    return text("minutes_seconds", language, minutes=int(seconds // 60), seconds=int(seconds % 60))


def empty(key: str, language: Language) -> str:
    """The dashed panel that says what will appear."""
    return _panel(escape(text(key, language)), "mm-empty")


def trouble(message: str, language: Language) -> str:
    """What went wrong, in place and announced to screen readers."""
    title = escape(text("trouble", language))
    return f'<div class="mm mm-panel mm-trouble" role="alert"><strong>{title}</strong>{escape(message)}</div>'


def ask(
    results: Sequence[AskResult], *, limit: str, notes: Sequence[str], language: Language, finished: bool = True
) -> str:
    """The newest answer, its runners-up, and the earlier questions about the same picture; or what it says so far."""
    result = results[-1]
    if not finished:
        question, answer = escape(result.question), escape(result.answer)
        return _panel(
            f'<p class="mm-question">{question}</p><p class="mm-big mm-cursor" aria-live="polite">{answer}</p>'
        )
    parts = [
        f'<p class="mm-question">{escape(result.question)}</p>',
        f'<p class="mm-big">{_said(result.answer, language)}</p>',
    ]
    if result.answer.strip():
        words = text("probability", language, score=percent(result.score))
        parts.append(f'<p class="mm-sub">{escape(words)}</p>')
        if not result.sure:
            parts.append(_unsure("not_sure_ask", language, score=percent(result.score)))
    others = [other for other in result.alternatives if other.label != result.answer]
    if others:
        best = Scored(label=result.answer, score=result.score)
        parts.append(f"<h3>{escape(text('other_answers', language))}</h3>")
        parts.append(_bars([best, *others[:4]], lambda label: label))
    parts.append(_meta(result.model, result.seconds, limit, notes, language, extra=_weights(result, language)))
    if len(results) > 1:
        earlier = "".join(
            f"<li><span>{escape(old.question)}</span><span><b>{_said(old.answer, language)}</b>"
            f"{' ' + percent(old.score) if old.answer.strip() else ''}"
            f"{'' if old.sure or not old.answer.strip() else ' · ' + escape(text('not_sure', language))}"
            f"{'' if old.model == result.model else ' · ' + escape(text('given_by', language, model=old.model))}"
            "</span></li>"
            for old in reversed(results[:-1])
        )
        parts.append(f"<h3>{escape(text('earlier', language))}</h3>")
        parts.append(f'<ul class="mm-earlier">{earlier}</ul>')
    return _panel("".join(parts))


def classify(result: ClassifyResult, *, limit: str, notes: Sequence[str], language: Language) -> str:
    """The best label, then bars for the leading ones."""
    best = result.labels[0]
    parts = [
        f'<p class="mm-big">{escape(label_text(best.label, language))}</p>',
        f'<p class="mm-sub">{escape(text("probability", language, score=percent(best.score)))}</p>',
    ]
    if not result.sure:
        parts.append(_unsure("not_sure_classify", language, score=percent(best.score)))
    parts.append(_bars(result.labels[:SHOWN_BARS], lambda label: label_text(label, language)))
    if len(result.labels) > SHOWN_BARS:
        parts.append(f'<p class="mm-sub">+ {len(result.labels) - SHOWN_BARS}</p>')
    parts.append(_meta(result.model, result.seconds, limit, notes, language))
    return _panel("".join(parts))


def caption(
    result: CaptionResult, *, limit: str, notes: Sequence[str], language: Language, finished: bool = True
) -> str:
    """The caption, while it is written and when it is done."""
    words = escape(result.caption[:1].upper() + result.caption[1:])
    if not finished:
        return _panel(f'<p class="mm-sentence mm-cursor" aria-live="polite">{words}</p>')
    parts = [f'<p class="mm-sentence">{words if words.strip() else _said("", language)}</p>']
    if words.strip():
        score = text("probability_words", language, score=percent(result.score))
        parts.append(f'<p class="mm-sub">{escape(score)}</p>')
        if not result.sure:
            parts.append(_unsure("not_sure_caption", language))
    if result.alternatives:
        parts.append(f"<h3>{escape(text('alternatives', language))}</h3>")
        others = "".join(
            f"<li><span>{escape(other.label)}</span><span>{percent(other.score)}</span></li>"
            for other in result.alternatives
        )
        parts.append(f'<ul class="mm-earlier">{others}</ul>')
    parts.append(_meta(result.model, result.seconds, limit, notes, language))
    return _panel("".join(parts))


def sentiment(result: SentimentResult, sound: Sound, *, limit: str, notes: Sequence[str], language: Language) -> str:
    """Emotion, words, valence, bars, and for anything longer than one window the emotion over time."""
    heard = result.emotion not in (SILENCE, NO_SPEECH)
    parts = [f'<p class="mm-big">{escape(label_text(result.emotion, language))}</p>']
    if not heard:
        key = "silence_text" if result.emotion == SILENCE else "no_speech_text"
        parts.append(f'<p class="mm-sub">{escape(text(key, language))}</p>')
    else:
        score = percent(result.scores[0].score)
        parts.append(f'<p class="mm-sub">{escape(text("probability", language, score=score))}</p>')
        if not result.sure:
            parts.append(_unsure("not_sure_sentiment", language))
        if result.words:
            parts.append(f"<h3>{escape(text('words_heard', language))}</h3>")
            parts.append(f'<p class="mm-said" dir="auto">{escape(result.words)}</p>')
        parts.append(f"<h3>{escape(text('valence', language))}</h3>")
        parts.append(_valence(result, language))
        parts.append(f"<h3>{escape(text('emotions', language))}</h3>")
        parts.append(_bars(result.scores, lambda label: label_text(label, language)))
    if len(result.segments) > 1:
        parts.append(f"<h3>{escape(text('over_time', language))}</h3>")
        parts.append(_over_time(result, sound, language))
    parts.append(_meta(result.model, result.seconds, limit, notes, language))
    return _panel("".join(parts))


def maps_over_picture(picture: Picture, maps: Sequence[HeatMap], *, language: Language) -> str:
    """Heat maps over the picture: one large, or several as a gallery."""
    if not maps:
        return trouble_free(text("cannot_explain", language))
    side = 560 if len(maps) == 1 else 260
    figures = []
    for heat in maps:
        place = text(draw.place_of(heat.cells), language)
        label = label_text(heat.label, language)
        alt = escape(text("heat_alt", language, label=label, place=place))
        words = escape(text("heat_caption", language, label=label, place=place))
        address = draw.as_data(draw.overlay(picture, heat, side=side))
        figures.append(f'<figure><img src="{address}" alt="{alt}"><figcaption>{words}</figcaption></figure>')
    legend = (
        f'<p class="mm-scale"><i style="background:{draw.heat_gradient()}"></i>'
        f"{escape(text('heat_legend', language))}</p>"
    )
    one = " mm-one" if len(maps) == 1 else ""
    return _panel(f'<div class="mm-maps{one}">{"".join(figures)}</div>{legend}')


def map_over_sound(sound: Sound, maps: Sequence[HeatMap], *, language: Language) -> str:
    """The moments that decided, as bars over the waveform."""
    if not maps:
        return trouble_free(text("cannot_explain", language))
    figures = []
    for heat in maps:
        cells = np.asarray(heat.cells).reshape(-1)
        peak = draw.clock((int(cells.argmax()) + 0.5) / max(len(cells), 1) * sound.seconds)
        label = label_text(heat.label, language)
        alt = text("sound_alt", language, duration=duration(sound.seconds, language), peak=peak)
        words = escape(text("sound_caption", language, label=label, peak=peak))
        figures.append(
            f'<figure class="mm-plot">{draw.attention(sound, heat, alt=alt)}{_axis(sound.seconds)}'
            f"<figcaption>{words}</figcaption></figure>"
        )
    return _panel("".join(figures))


def trouble_free(message: str) -> str:
    """A quiet remark, nothing wrong."""
    return _panel(escape(message), "mm-empty")


# ---------------------------------------------------------------- pieces


def _panel(inner: str, extra: str = "") -> str:
    return f'<div class="mm mm-panel {extra}">{inner}</div>'


def _said(words: str, language: Language) -> str:
    """What a model said, in the page's own words where that is nothing."""
    return escape(words) if words.strip() else escape(text("no_answer", language))


def _bars(items: Sequence[Scored], shown: Callable[[str], str]) -> str:
    rows = "".join(
        f'<li><div class="mm-bar-text"><span>{escape(shown(item.label))}</span><b>{percent(item.score)}</b></div>'
        f'<div class="mm-bar" aria-hidden="true"><span style="width:{_share(item.score)}%"></span></div></li>'
        for item in items
    )
    return f'<ul class="mm-bars">{rows}</ul>'


def _share(score: float) -> str:
    return f"{min(max(score, 0.0), 1.0) * 100:.1f}"


def _unsure(key: str, language: Language, **values: object) -> str:
    badge = escape(text("not_sure", language))
    return (
        f'<p class="mm-unsure"><span class="mm-badge">{badge}</span>'
        f"<span>{escape(text(key, language, **values))}</span></p>"
    )


def _meta(model: str, seconds: float, limit: str, notes: Sequence[str], language: Language, *, extra: str = "") -> str:
    took = text("took", language, seconds=duration(seconds, language))
    words = f"{took} · {text('given_by', language, model=model)}"
    if limit:
        words = f"{words} · {limit}"
    lines = [escape(words)]
    if extra:
        lines.append(escape(extra))
    if notes:
        lines.append(escape(text("done_to_input", language, notes="; ".join(notes))))
    return f'<p class="mm-meta">{"<br>".join(lines)}</p>'


def _weights(result: AskResult, language: Language) -> str:
    parts = [
        text(f"weight_{name}", language, share=percent(share))
        for name, share in (result.weights or {}).items()
        if name in ("image", "question")
    ]
    return text("weights", language, parts=", ".join(parts)) if parts else ""


def _valence(result: SentimentResult, language: Language) -> str:
    cells = []
    for name in ("negative", "neutral", "positive"):
        share = result.sentiment.get(name, 0.0)
        words = escape(text("neutral_valence" if name == "neutral" else name, language))
        cells.append(
            f'<div><b>{percent(share)}</b><span class="mm-name">{words}</span>'
            f'<div class="mm-bar" aria-hidden="true"><span style="width:{_share(share)}%"></span></div></div>'
        )
    return f'<div class="mm-three">{"".join(cells)}</div>'


def _axis(seconds: float) -> str:
    ticks = (draw.clock(0.0), draw.clock(seconds / 2), draw.clock(seconds))
    return '<div class="mm-axis" aria-hidden="true">' + "".join(f"<span>{tick}</span>" for tick in ticks) + "</div>"


def _over_time(result: SentimentResult, sound: Sound, language: Language) -> str:
    stretches = [
        (f"{draw.clock(start)}–{draw.clock(end)}", label)
        for start, end, label in draw.runs(result.segments, sound.seconds)
    ]
    words = ", ".join(f"{when} {label_text(label, language)}" for when, label in stretches)
    alt = text("timeline_alt", language, duration=duration(sound.seconds, language), runs=words)
    seen = dict.fromkeys(segment.emotion for segment in result.segments)
    legend = "".join(
        f'<li><i style="background:{draw.emotion_colour(label)};border:1px solid var(--border-color-primary)"></i>'
        f"{escape(label_text(label, language))}</li>"
        for label in seen
    )
    legend += '<li><i style="background:currentColor;opacity:.4"></i>' + f"{escape(text('uncertainty', language))}</li>"
    return (
        f'<div class="mm-plot">{draw.timeline(sound, result.segments, alt=alt)}{_axis(sound.seconds)}'
        f'<ul class="mm-legend">{legend}</ul><p class="mm-sub">{escape(words)}</p></div>'
    )
