"""Emotions as other corpora call them, and the names that mmdemo has for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mmdemo.core.types import EMOTIONS

_USUAL = {
    "neutral": "neu neutrality",
    "calm": "calmness relaxed",
    "happy": "hap happiness joy joyful",
    "sad": "sadness",
    "angry": "ang anger",
    "fearful": "fea fear afraid scared",
    "disgust": "dis disgusted",
    "surprised": "sur surprise",
}
NAMES: Mapping[str, str] = {
    **{name: name for name in EMOTIONS},
    **{other: name for name, others in _USUAL.items() for other in others.split()},
    "pleasant surprise": "surprised",
    "pleasant surprised": "surprised",
}
"""Lower case, blanks for underscores and hyphens → one of :data:`~mmdemo.core.types.EMOTIONS`.

Nouns, the three-letter codes of CREMA-D (Cao et al. 2014) and TESS's "pleasant surprise".
"""


def emotion(label: str) -> str:
    """What mmdemo calls an emotion; a label that is none of :data:`NAMES` stays, without blanks around it."""
    plain = " ".join(label.casefold().replace("_", " ").replace("-", " ").split())
    return NAMES.get(plain, label.strip())


def renamed(labels: Iterable[str]) -> str:
    """Say "'anger' was read as 'angry'" for the labels that :func:`emotion` changes; "" where it changes none."""
    changed = {label: emotion(label) for label in dict.fromkeys(labels)}
    said = [f"{label!r} was read as {name!r}" for label, name in changed.items() if label != name]
    return f"Emotions by mmdemo's names: {', '.join(said)}" if said else ""
