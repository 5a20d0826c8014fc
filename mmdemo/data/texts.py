"""Sentence vectors and token states of texts, through the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from mmdemo.data.features import Progress, cached
from mmdemo.data.pictures import Say
from mmdemo.models.parts import TextPart

TEXTS = 1024
"""Texts per call of the encoder, which sorts them by length: large batches with little padding."""


def vectors(texts: Iterable[str], text: TextPart, *, say: Say | None = None) -> Mapping[str, NDArray[np.float32]]:
    """Text → unit sentence vector (E,)."""
    unique = sorted(set(texts))
    if not unique:
        return {}

    def encode(start: int, stop: int) -> NDArray[np.float32]:
        some = sorted(unique[start:stop], key=len)
        # bf16 is good enough to learn from; the part keeps none of it, because what it keeps is served
        with torch.autocast(text.device, dtype=torch.bfloat16):
            found = dict(zip(some, text.encoded(some), strict=True))
        return np.stack([found[t] for t in unique[start:stop]])

    rows = cached(
        _key("vectors", unique, text), len(unique), encode, progress=_progress(say, "sentence vectors"), chunk=TEXTS
    )
    return dict(zip(unique, np.asarray(rows, dtype=np.float32), strict=True))


def states(texts: Iterable[str], text: TextPart, *, say: Say | None = None) -> Mapping[str, NDArray[np.float16]]:
    """Text → token states (T, E), fp16, without padding."""
    unique = sorted(set(texts))
    if not unique:
        return {}
    longest = text.encoder.config.max_tokens
    lengths = [len(ids) for ids in text.tokens(unique)]

    def encode(start: int, stop: int) -> NDArray[np.float16]:
        with torch.autocast(text.device, dtype=torch.bfloat16):
            found, _ = text.states(unique[start:stop])  # (B, T, E)
        block = np.zeros((stop - start, longest, found.shape[2]), np.float16)
        block[:, : found.shape[1]] = found.half().cpu().numpy()
        return block

    rows = cached(_key("states", unique, text), len(unique), encode, progress=_progress(say, "questions"), chunk=TEXTS)
    return {t: rows[i, : lengths[i]] for i, t in enumerate(unique)}


def _key(kind: str, unique: list[str], text: TextPart) -> str:
    content = "\n".join((kind, text.hash, str(text.encoder.config.max_tokens), *unique))
    return hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest()


def _progress(say: Say | None, what: str) -> Progress | None:
    return None if say is None else (lambda done, count: say(what, done, count))
