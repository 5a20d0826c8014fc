"""Task "speech": distil a speech encoder into a smaller one of our own, without labels; trained, not served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmdemo.core.config import Calibration, CheckpointConfig, from_mapping
from mmdemo.nets.speech import EncoderLayer, SpeechConfig, SpeechEncoder, level
from mmdemo.nets.speech_augment import SpeechAugment, add_noise, colour_and_mask
from mmdemo.nets.speech_distil import SpeechDistiller, prune
from mmdemo.tasks.base import HEAD, PLAIN, Batch, LossSettings
from mmdemo.tasks.sentiment import SentimentRow, SentimentTask, generator


class SpeechTask:
    """Feature distillation; see :class:`mmdemo.tasks.base.Task`. The teacher is base ``speech``."""

    name = "speech"
    metric = "explained"
    label_rows: tuple[str, ...] = ()
    additive = True
    grown_rows: tuple[str, ...] = ()

    def __init__(self) -> None:
        # masks would hide from the teacher what it is to explain
        self.augment = SpeechAugment(masks=0, mix=0.0)
        self._clips = SentimentTask(augment=self.augment)

    def build(self, config: CheckpointConfig) -> SpeechDistiller:
        shape = from_mapping(SpeechConfig, config.net)
        return SpeechDistiller(encoder(shape), encoder(teacher_shape(config)), mel_bins=shape.mel_bins)

    def start(self, net: SpeechDistiller, bases: Mapping[str, nn.Module]) -> None:
        net.teacher.load_state_dict(bases["speech"].state_dict(), strict=True)
        if net.student.width == net.teacher.width:
            prune(net.teacher, net.student)

    def fit_init(self, net: SpeechDistiller, rows: Sequence[SentimentRow]) -> None:
        """Nothing: all is learned step by step."""

    def finalize(self, net: SpeechDistiller, rows: Sequence[SentimentRow]) -> None:
        """Nothing: the steps are all there is."""

    def depth(self, net: SpeechDistiller, name: str) -> int:
        return HEAD  # the student is what is made here; the teacher takes no gradient

    def collate(self, rows: Sequence[SentimentRow]) -> Batch:
        return self._clips.collate(rows)

    def _errors(self, net: SpeechDistiller, batch: Batch) -> Tensor:
        samples, lengths = level(batch["samples"], batch["lengths"]), batch["lengths"]
        learning = bool(batch["learning"].any())
        if learning:
            samples = add_noise(samples, lengths, settings=self.augment, generator=generator())
        mel, frames = net.mel(samples, lengths)
        if learning:
            mel = colour_and_mask(mel, frames, settings=self.augment, generator=generator())
        errors: Tensor = net(mel, frames)
        return errors

    def loss(self, net: SpeechDistiller, batch: Batch, how: LossSettings = PLAIN) -> Tensor:
        return self._errors(net, batch).mean()

    def items(self, net: SpeechDistiller, batch: Batch) -> Tensor:
        return torch.tensor(float(len(batch["label"])))

    def outputs(self, net: SpeechDistiller, batch: Batch) -> list[NDArray[np.float32]]:
        return list(self._errors(net, batch).float().cpu().numpy())

    def score(
        self, net: SpeechDistiller, outputs: Sequence[NDArray[np.float32]], rows: Sequence[SentimentRow]
    ) -> dict[str, float]:
        """Share of the teacher's variance that the student explains, over all states and in the deepest."""
        errors = np.stack(outputs)
        return {"explained": float(1 - errors.mean()), "explained_deepest": float(1 - errors[:, -1].mean())}

    def shipped(self, net: SpeechDistiller) -> dict[str, Tensor]:
        return net.student.state_dict()

    def calibrate(
        self, net: SpeechDistiller, outputs: Sequence[NDArray[np.float32]], rows: Sequence[SentimentRow]
    ) -> Calibration:
        return Calibration()


TEACHER = SpeechConfig()
"""The encoder of whisper-tiny.en."""


TEACHER_SHAPE = ("width", "heads", "head_width", "layers", "inner")
"""What the settings of a run say of a teacher of another shape, each behind "teacher_"."""


def shape_settings(teacher: SpeechEncoder) -> dict[str, int]:
    """The settings that describe an encoder as the teacher."""
    layer = cast(EncoderLayer, teacher.layers[0])
    heads = layer.self_attn.heads
    found = (
        teacher.width,
        heads,
        layer.self_attn.q_proj.out_features // heads,
        len(teacher.layers),
        layer.fc1.out_features,
    )
    return {f"teacher_{name}": value for name, value in zip(TEACHER_SHAPE, found, strict=True)}


def teacher_shape(config: CheckpointConfig) -> SpeechConfig:
    """The teacher's shape: as the settings have it, else that of whisper-tiny.en; it reads the student's mel bins."""
    said = {name: config.settings[f"teacher_{name}"] for name in TEACHER_SHAPE if f"teacher_{name}" in config.settings}
    if not said:
        return TEACHER
    return from_mapping(SpeechConfig, {**said, "mel_bins": config.net.get("mel_bins", TEACHER.mel_bins)})


def encoder(shape: SpeechConfig) -> SpeechEncoder:
    """A fresh encoder of that shape."""
    return SpeechEncoder(
        width=shape.width,
        heads=shape.heads,
        head_width=shape.head_width,
        layers=shape.layers,
        inner=shape.inner,
        mel_bins=shape.mel_bins,
        dropout=shape.encoder_dropout,
    )
