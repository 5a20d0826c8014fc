"""What hub models call the emotions, in our words: by name, never by place, for every corpus has its own order.

The names are those of the common corpora (RAVDESS, IEMOCAP, EmoDB, TESS, CREMA-D, SAVEE, MSP-Podcast, Dusha) and of
models trained on them. A name that stands nowhere here stays as it is, and counts as neither negative nor positive.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import EMOTIONS, VALENCE

OURS: Mapping[str, tuple[str, ...]] = {
    "neutral": ("neu", "neutrality", "neutral state", "neutre", "neutro", "нейтрально", "中性", "中立"),
    "calm": ("calmness", "calme", "calma", "ruhig", "平静"),
    "happy": (
        *("hap", "happiness", "joy", "joyful", "joie", "freude", "felicidad", "alegria", "alegría", "gioia"),
        *("радость", "高兴", "开心", "快乐"),
    ),
    "sad": ("sadness", "tristesse", "trauer", "traurig", "tristeza", "tristezza", "грусть", "悲伤", "难过", "伤心"),
    "angry": ("ang", "anger", "colère", "colere", "wut", "ärger", "ira", "enojo", "rabbia", "злость", "生气", "愤怒"),
    "fearful": (
        "fea",
        "fear",
        "feared",
        "scared",
        "afraid",
        "peur",
        "angst",
        "miedo",
        "paura",
        "страх",
        "害怕",
        "恐惧",
    ),
    "disgust": ("dis", "disgusted", "dégoût", "degout", "ekel", "asco", "disgusto", "отвращение", "厌恶"),
    "surprised": (
        *("sur", "surprise", "pleasant surprise", "pleasant surprised", "ps", "überraschung", "sorpresa"),
        *("удивление", "惊讶", "吃惊", "惊喜"),
    ),
}
"""Our labels, and what else they are called; each is called by its own name too."""

OTHERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "positive": ("positive", ("pos", "позитив")),
    "negative": ("negative", ("neg", "негатив")),
    "excited": ("positive", ("exc", "excitement", "enthusiasm", "enthusiastic", "энтузиазм")),
    "amused": ("positive", ("amu", "amusement")),
    "frustrated": ("negative", ("fru", "frustration")),
    "contempt": ("negative", ("con", "contemptuous")),
    "bored": ("negative", ("boredom", "langeweile")),
    "anxious": ("negative", ("anxiety", "worried")),
    "disappointed": ("negative", ("disappointment",)),
}
"""Feelings that we have no label for: what they are called here, how they feel, and what else they are called."""

_FEELS: Mapping[str, str] = {**VALENCE, **{label: sense for label, (sense, _) in OTHERS.items()}}

_KNOWN: Mapping[str, str] = {
    **{label: label for label in (*EMOTIONS, *OTHERS)},
    **{name: label for label, names in OURS.items() for name in names},
    **{name: label for label, (_, names) in OTHERS.items() for name in names},
}

_SPEAKER = re.compile(r"^(?:male|female|man|woman) ")
"""Some models tell men's from women's voices in the same label ("female_angry")."""

_NO_NAME = re.compile(r"(?:label[ _-]?)?\d+", re.IGNORECASE)
"""What a configuration holds where nobody gave the labels names."""

FEWEST = 2


def to_canonical_label(name: str) -> str:
    """A label in our words; one that is not known stays as it is."""
    plain = re.sub(r"[\s_-]+", " ", name).strip().casefold()
    return _KNOWN.get(_SPEAKER.sub("", plain)) or name.strip()


def feels(label: str) -> str | None:
    """Whether negative, neutral or positive; None of what is not known, which counts as neutral."""
    return _FEELS.get(to_canonical_label(label))


def labels_of(names: Mapping[int, str], *, model: str) -> tuple[str, ...]:
    """The labels that a network answers with, in the order of their first output unit; names of one label are merged.

    Args:
        names: Output unit to name, a configuration's ``id2label``.
        model: What the model is called in errors.

    Raises:
        MmdemoError: The names say nothing, or are not those of feelings.
    """
    given = [str(names[unit]) for unit in sorted(names)]
    if all(_NO_NAME.fullmatch(name.strip()) for name in given):
        raise MmdemoError(
            f"{model} cannot be used for sentiment",
            f"its config.json gives its {len(given)} labels no names ({given[0]} …): nobody can tell which emotion is "
            "which",
            "Ask its makers for the names, and write them into id2label",
        )
    labels = tuple(dict.fromkeys(to_canonical_label(name) for name in given))
    if sum(feels(label) is not None for label in labels) < FEWEST:
        some = ", ".join(given[:5]) + (" …" if len(given) > 5 else "")
        raise MmdemoError(f"{model} cannot be used for sentiment", f"its labels are no emotions: {some}")
    return labels
