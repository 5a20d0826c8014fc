"""Sentence vectors and token states of texts, through the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mmdemo.data.features import Store, chunks, text_key
from mmdemo.data.pictures import Say
from mmdemo.models.encoders import LoadedTextEncoder

TEXTS = 1024
"""Texts per call of the encoder, which sorts them by length: large batches with little padding."""


VIEW = "plain"
"""Texts have one view only."""


def vectors(
    texts: Iterable[str], text: LoadedTextEncoder, *, exact: bool = False, say: Say | None = None
) -> Mapping[str, NDArray[np.float32]]:
    """Text → unit sentence vector (E,).

    Args:
        exact: In full precision, for what becomes part of a network; bf16 is good enough to learn from.
    """

    def encode(some: Sequence[str]) -> Sequence[NDArray[np.float32]]:
        # the part keeps none of it, because what it keeps is served
        with torch.autocast(text.device, dtype=torch.bfloat16, enabled=not exact):
            return list(text.encoded(list(some)))

    store = Store("exact_vectors" if exact else "vectors", _made_by(text))
    return _kept(store, texts, encode, "sentence vectors", say)


def states(
    texts: Iterable[str], text: LoadedTextEncoder, *, say: Say | None = None
) -> Mapping[str, NDArray[np.float16]]:
    """Text → token states (T, E), fp16, without padding."""

    def encode(some: Sequence[str]) -> Sequence[NDArray[np.float16]]:
        with torch.autocast(text.device, dtype=torch.bfloat16):
            found, mask = text.states(list(some))  # (B, T, E)
        block, lengths = found.half().cpu().numpy(), mask.sum(dim=1).tolist()
        return [row[:length] for row, length in zip(block, lengths, strict=True)]

    return _kept(Store("states", _made_by(text), ragged=True), texts, encode, "questions", say)


def _kept(
    store: Store,
    texts: Iterable[str],
    encode: Callable[[Sequence[str]], Sequence[NDArray[np.generic]]],
    what: str,
    say: Say | None,
) -> Mapping[str, NDArray]:  # type: ignore[type-arg]  # of whatever ``encode`` makes
    keys = {text: text_key(text) for text in dict.fromkeys(texts)}
    there = store.index(VIEW)
    if any(key not in there for key in keys.values()):
        with store.lock():
            there = store.index(VIEW)  # another run may have made them meanwhile
            missing = sorted((text for text, key in keys.items() if key not in there), key=len)
            done = 0
            for some in chunks(missing, TEXTS):
                store.append(VIEW, [keys[text] for text in some], encode(some))
                done += len(some)
                if say is not None:
                    say(what, done, len(missing))
    rows = store.rows(VIEW, keys.values())
    return {text: rows[key] for text, key in keys.items()}


def _made_by(text: LoadedTextEncoder) -> str:
    return f"{text.hash}|{text.encoder.config.max_tokens}"
