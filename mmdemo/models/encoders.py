"""Shared parts: the picture trunk and the text encoder, from our folders or from the hub layouts of their bases."""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import Tensor

from mmdemo.core.config import TUNED_TRUNK, CardText, CheckpointConfig, EncoderRef, from_mapping
from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import Unreadable, read_object, read_text
from mmdemo.core.tasks import SENTIMENT
from mmdemo.core.turns import pause
from mmdemo.models import checkpoint
from mmdemo.models.weights import read_tensors
from mmdemo.nets.speech import EmotionNet, SpeechConfig, SpeechEncoder
from mmdemo.nets.text import TextConfig, TextEncoder, pad_tokens
from mmdemo.nets.vision import STEM_BLOCKS, PictureTrunk, VisionConfig
from mmdemo.tasks.speech import encoder

TEXT_BATCH = 256
"""Texts per forward pass of the text encoder, where whole data sets are read."""

TEXT_PIECE = 16
"""Texts per forward pass while others may wait: some hundredths of a second on a CPU."""


class VisionEncoder:
    """The picture trunk with its identity.

    Attributes:
        stem_hash: Changes with the weights below the cut only; features cached there survive tuning above it.
        hash: SHA-256 of the weight file; where other tensors are laid over it, of these as well.
        tuned: The tensors laid over those of the weight file, by their names there: a checkpoint's own tuned trunk.
    """

    def __init__(
        self,
        trunk: PictureTrunk,
        *,
        name: str,
        hash: str,
        device: str = "cpu",
        tuned: Mapping[str, Tensor] | None = None,
        file: EncoderRef | None = None,
    ) -> None:
        self.trunk = trunk.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
        self.name, self.hash, self.device = name, hash, device
        self.tuned = dict(tuned or {})
        self._file = file or EncoderRef(name=name, hash=hash)

    @property
    def stem_hash(self) -> str:
        digest = hashlib.sha1(usedforsecurity=False)
        upper = tuple(f"blocks.{i}" for i in range(STEM_BLOCKS, len(self.trunk.net.blocks)))
        for name, tensor in sorted(self.trunk.net.state_dict().items()):
            if not name.startswith((*upper, "conv_head", "bn2", "classifier")):
                digest.update(name.encode() + tensor.cpu().numpy().tobytes())
        return digest.hexdigest()

    def reference(self) -> EncoderRef:
        """The checkpoint that holds the trunk, without what is laid over it."""
        return self._file

    def shipped(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a checkpoint that stands on this trunk: its own, and those laid over the part's."""
        return {**{TUNED_TRUNK + name: tensor for name, tensor in self.tuned.items()}, **tensors}


class LoadedTextEncoder:
    """The text encoder with its tokenizer; sentence vectors are kept, so that known labels cost nothing."""

    KEEP = 20_000

    def __init__(self, encoder: TextEncoder, tokenizer: str, *, name: str, hash: str, device: str = "cpu") -> None:
        self.encoder = encoder.eval().requires_grad_(False).to(device)
        self.name, self.hash, self.device = name, hash, device
        self.tokenizer_json = tokenizer
        self._tokenizer = Tokenizer.from_str(tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(encoder.config.max_tokens)
        self._kept: dict[str, NDArray[np.float32]] = {}
        self._lock = threading.Lock()

    def reference(self) -> EncoderRef:
        return EncoderRef(name=self.name, hash=self.hash)

    def tokens(self, texts: list[str]) -> list[list[int]]:
        """Token ids with the special tokens, cut to the encoder's ``max_tokens``."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(texts)]

    def states(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Token states (B, T, E) and their mask (B, T)."""
        tokens, mask = (t.to(self.device) for t in pad_tokens(self.tokens(texts)))
        with torch.inference_mode():
            return self.encoder(tokens, mask).float(), mask

    def vectors(self, texts: list[str]) -> NDArray[np.float32]:
        """Unit sentence vectors (N, E), each text encoded once while there is room to keep it."""
        wanted = sorted(set(texts), key=len)
        with self._lock:
            found = {text: self._kept[text] for text in wanted if text in self._kept}
        new = [text for text in wanted if text not in found]
        found.update(zip(new, self.encoded(new, batch=TEXT_PIECE), strict=True))  # others are not kept waiting
        with self._lock:
            if len(self._kept) + len(new) > self.KEEP:
                self._kept.clear()
            self._kept.update((text, found[text]) for text in new)
        width = self.encoder.config.width
        return np.stack([found[t] for t in texts]) if texts else np.zeros((0, width), np.float32)

    def encoded(self, texts: list[str], *, batch: int = TEXT_BATCH) -> NDArray[np.float32]:
        """As :meth:`vectors`, keeping nothing: for whole data sets, and under a precision that serving does not use.

        Little is padded where texts of like length stand together.
        """
        found = [np.zeros((0, self.encoder.config.width), np.float32)]
        for start in range(0, len(texts), batch):
            pause()
            tokens, mask = (t.to(self.device) for t in pad_tokens(self.tokens(texts[start : start + batch])))
            with torch.inference_mode():
                found.append(self.encoder.pooled(tokens, mask).float().cpu().numpy())
        return np.concatenate(found)


# ---------------------------------------------------------------- loading

_loaded: weakref.WeakValueDictionary[tuple[str, str, str], VisionEncoder | LoadedTextEncoder] = (
    weakref.WeakValueDictionary()
)
_lock = threading.RLock()


def load_vision(folder: Path, *, device: str = "cpu", over: Path | None = None) -> VisionEncoder:
    """The trunk in ``folder``: a checkpoint of task "vision", or timm's hub layout of the base. One copy per device.

    Args:
        over: A checkpoint whose own tuned tensors, if it has any, are laid over a copy of that trunk.

    Raises:
        MmdemoError: Naming what is wrong, down to the first tensor that is unknown, missing or of another shape.
    """
    if over is not None:
        state = checkpoint.read_weights(over)
        tuned = {n.removeprefix(TUNED_TRUNK): t for n, t in state.items() if n.startswith(TUNED_TRUNK)}
        if tuned:
            return with_tuned_weights(load_vision(folder, device=device), tuned, over)
    digest = checkpoint.weights_hash(folder)
    with _lock:
        known = _loaded.get(("vision", digest, device))
        if isinstance(known, VisionEncoder):
            return known
        raw = _raw_config(folder)
        with _named(folder):
            if "architecture" in raw:
                trunk = PictureTrunk(VisionConfig(architecture=str(raw["architecture"])))
                trunk.net.load_state_dict(_base_tensors(folder), strict=True)
            else:
                config = checkpoint.read_config(folder)
                _expect(config.task, "vision", folder)
                trunk = PictureTrunk(from_mapping(VisionConfig, config.net))
                checkpoint.load_weights(trunk, folder)
        part = VisionEncoder(trunk, name=folder.name, hash=digest, device=device)
        _loaded["vision", digest, device] = part
        return part


def with_tuned_weights(base: VisionEncoder, tuned: dict[str, Tensor], folder: Path) -> VisionEncoder:
    """The trunk with the tensors of ``folder`` in place of its own."""
    digest = hashlib.sha256(base.hash.encode())
    for name, tensor in sorted(tuned.items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    name = digest.hexdigest()
    with _lock:
        known = _loaded.get(("vision", name, base.device))
        if isinstance(known, VisionEncoder):
            return known
        trunk = PictureTrunk(base.trunk.config)
        state = {n: t.detach().cpu().contiguous() for n, t in base.trunk.state_dict().items()}
        for tensor_name in sorted(tuned.keys() - state.keys()):
            raise MmdemoError(f"{folder.name} cannot be loaded", f"tensor {TUNED_TRUNK}{tensor_name} is unknown")
        checkpoint.check_shapes(tuned, state, folder, prefix=TUNED_TRUNK)
        trunk.load_state_dict({**state, **tuned}, strict=True)
        part = VisionEncoder(
            trunk,
            name=f"{base.name} (tuned)",
            hash=name,
            device=base.device,
            tuned=tuned,
            file=base.reference(),
        )
        _loaded["vision", name, base.device] = part
        return part


def load_text(folder: Path, *, device: str = "cpu") -> LoadedTextEncoder:
    """The encoder in ``folder``: a checkpoint of task "text", or the sentence-transformers layout of the base."""
    digest = checkpoint.weights_hash(folder)
    with _lock:
        known = _loaded.get(("text", digest, device))
        if isinstance(known, LoadedTextEncoder):
            return known
        raw = _raw_config(folder)
        with _named(folder):
            if raw.get("model_type") == "bert":
                encoder = TextEncoder(TextConfig())
                state = {k: v for k, v in _base_tensors(folder).items() if not k.startswith("pooler.")}
                state.pop("embeddings.position_ids", None)
                encoder.net.load_state_dict(state, strict=True)
            else:
                config = checkpoint.read_config(folder)
                _expect(config.task, "text", folder)
                encoder = TextEncoder(from_mapping(TextConfig, config.net))
                checkpoint.load_weights(encoder, folder)
            tokenizer = _tokenizer_json(folder)
        part = LoadedTextEncoder(encoder, tokenizer, name=folder.name, hash=digest, device=device)
        _loaded["text", digest, device] = part
        return part


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    """What goes wrong while a folder is read, said with its name."""
    try:
        yield
    except (TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, OSError, SafetensorError) as error:
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MmdemoError(f"{folder.name} cannot be loaded", why) from None


def _tokenizer_json(folder: Path) -> str:
    try:
        text = read_text(folder / "tokenizer.json")
    except Unreadable as error:
        raise MmdemoError(f"{folder.name} cannot be loaded", f"its tokenizer.json {error.trouble}") from None
    try:
        Tokenizer.from_str(text)
    except Exception as error:  # the library raises nothing narrower
        raise MmdemoError(f"{folder.name} cannot be loaded", f"tokenizer.json is damaged ({error})") from None
    return text


def _raw_config(folder: Path) -> dict[str, object]:
    try:
        return read_object(folder / "config.json")
    except Unreadable as error:
        raise MmdemoError(f"{folder} is not a checkpoint", f"its config.json {error.trouble}") from None


def _base_tensors(folder: Path) -> dict[str, Tensor]:
    return read_tensors(folder / checkpoint.WEIGHTS, name=folder.name)


def _expect(have: str, want: str, folder: Path) -> None:
    if have != want:
        raise MmdemoError(f"{folder.name} cannot serve here", f'it is a "{have}" checkpoint, a "{want}" one is needed')


def save_text(part: LoadedTextEncoder, folder: Path, card: CardText, *, int8: bool) -> None:
    """Write the encoder as a checkpoint of task "text"."""
    config = CheckpointConfig(task="text", net=asdict(part.encoder.config), card=card)
    packed = checkpoint.pack(part.encoder.state_dict(), int8=int8)
    checkpoint.write(folder, config, packed, extra={"tokenizer.json": part.tokenizer_json})


def load_emotion(folder: Path) -> EmotionNet:
    """The network of a checkpoint of Sentiment."""
    config = checkpoint.read_config(folder)
    _expect(config.task, SENTIMENT, folder)
    net = EmotionNet(from_mapping(SpeechConfig, config.net))
    checkpoint.load_weights(net, folder)
    return net


def load_emotion_encoder(folder: Path) -> SpeechEncoder:
    """The encoder inside a checkpoint of Sentiment."""
    return load_emotion(folder).encoder


def load_speech(folder: Path) -> SpeechEncoder:
    """The encoder in ``folder``, a checkpoint of task "speech"."""
    config = checkpoint.read_config(folder)
    _expect(config.task, "speech", folder)
    net = encoder(from_mapping(SpeechConfig, config.net))
    checkpoint.load_weights(net, folder)
    return net
