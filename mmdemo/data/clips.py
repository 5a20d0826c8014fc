"""Clips and their speech features, through the cache: trimmed and levelled waveforms, and what a frozen encoder hears.

Legend: ``S`` samples at 16 kHz, ``F`` pooled features of nets.speech.EmotionNet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmdemo.core.errors import MmdemoError
from mmdemo.data.features import CHUNK, Store, by_file, chunks, file_hashes
from mmdemo.data.pictures import Say
from mmdemo.media.audio import load_sound
from mmdemo.media.speech import prepare_speech
from mmdemo.nets.speech import EmotionNet
from mmdemo.nets.speech_augment import SpeechAugment, add_noise, at_speed
from mmdemo.tasks.sentiment import features_of, middle

PLAIN = "plain"

SPEEDS = (0.9, 1.1)
"""The first two views; the third has noise, and those that follow are drawn."""

BATCH = 16
"""Clips per pass of the encoder, alike in length."""


def clips(files: Iterable[Path], *, say: Say | None = None) -> dict[Path, NDArray[np.float16]]:
    """File → prepared speech (media.speech), fp16 (S,); clips without any speech, and those that cannot be decoded,
    are left out."""
    keys, store = file_hashes(files), Store("clips", "prepared speech", ragged=True)
    if set(keys.values()) - store.index(PLAIN).keys():
        with store.lock():
            there = store.index(PLAIN)
            todo = {key: file for file, key in keys.items() if key not in there}
            done = 0
            for some, decoded in _ahead(list(todo), todo):
                whole = {key: clip for key, clip in zip(some, decoded, strict=True) if clip is not None}
                store.append(PLAIN, list(whole), list(whole.values()))
                done += len(some)
                if say is not None:
                    say("clips", done, len(todo))
    return {file: row for file, (row,) in by_file(keys, [store.rows(PLAIN, keys.values())]).items() if len(row)}


def _ahead(
    keys: Sequence[str], files: Mapping[str, Path]
) -> Iterator[tuple[Sequence[str], list[NDArray[np.float16] | None]]]:
    def decode(key: str) -> NDArray[np.float16] | None:
        try:
            return prepare_speech(load_sound(files[key])).astype(np.float16)
        except MmdemoError:
            return None

    with ThreadPoolExecutor(max_workers=2) as pool:
        for some in chunks(keys):
            futures: list[Future[NDArray[np.float16] | None]] = [pool.submit(decode, key) for key in some]
            yield some, [future.result() for future in futures]


# ---------------------------------------------------------------- features


def features(
    found: Mapping[Path, NDArray[np.float16]], net: EmotionNet, *, views: int = 0, say: Say | None = None
) -> dict[Path, tuple[NDArray[np.float32], ...]]:
    """File → pooled features fp32 (F,) of the plain clip and of its ``views``.

    Args:
        found: As from :func:`clips`.
        net: Its encoder and pooling make the features; its head does not matter.
        views: 1 is nine tenths of the speed, 2 eleven tenths as well, 3 noise as well; more are drawn, both at once.
    """
    keys, store = file_hashes(found), Store("speech", _made_by(net))
    names = (PLAIN, *(f"view{number}" for number in range(1, views + 1)))
    if any(set(keys.values()) - store.index(view).keys() for view in names):
        with store.lock():
            for number, view in enumerate(names):
                there = store.index(view)
                todo = {key: found[file] for file, key in keys.items() if key not in there}
                order = sorted(todo, key=lambda key: len(todo[key]))
                done = 0
                for some in chunks(order, CHUNK):
                    changed = [changed_view(_tensor(todo[key]), key, number) for key in some]
                    store.append(view, some, _encoded(net, changed))
                    done += len(some)
                    if say is not None:
                        say(f"speech features, {view}", done, len(order))
    return by_file(keys, [store.rows(view, keys.values()) for view in names])


def changed_view(samples: Tensor, key: str, number: int) -> Tensor:
    """View ``number`` of a clip (S,), the same every time: drawn from its content hash and the number; 0 is plain."""
    if number == 0:
        return samples
    chance = torch.Generator().manual_seed(int(key[:12], 16) + number)
    if number <= len(SPEEDS):
        return at_speed(samples, SPEEDS[number - 1])
    if number > len(SPEEDS) + 1:
        drawn = SpeechAugment().speed * (2 * float(torch.rand((), generator=chance)) - 1)
        samples = at_speed(samples, float(np.exp(drawn)))
    noisy = add_noise(samples[None], torch.tensor([len(samples)]), settings=SpeechAugment(noise=1.0), generator=chance)
    return noisy[0]


def _encoded(net: EmotionNet, clips: Sequence[Tensor]) -> NDArray[np.float32]:
    device = next(net.parameters()).device
    rows = [features_of(net, [middle(clip) for clip in some], device=device) for some in chunks(clips, BATCH)]
    found: NDArray[np.float32] = torch.cat(rows).float().cpu().numpy()
    return found


def _tensor(clip: NDArray[np.float16]) -> Tensor:
    return torch.from_numpy(clip.astype(np.float32))


def _made_by(net: EmotionNet) -> str:
    """Names what makes the features: encoder and pooling with their settings."""
    shape = net.config
    digest = hashlib.sha1(repr((shape.heads, shape.head_width)).encode(), usedforsecurity=False)
    state = {**net.encoder.state_dict(prefix="encoder."), **net.pooling.state_dict(prefix="pooling.")}
    if not bool(state["pooling.score.weight"].any()):  # a plain mean, whatever the scores would be made of
        state = {name: tensor for name, tensor in state.items() if not name.startswith("pooling.project")}
    for name, tensor in sorted(state.items()):
        digest.update(name.encode() + str(tuple(tensor.shape)).encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()
