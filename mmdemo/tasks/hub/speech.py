"""Sentiment over published classifiers of speech: cross-entropy of the emotion that a clip is labelled with.

Legend: ``B`` clips, ``S`` samples, ``K`` labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mmdemo.core.config import Calibration
from mmdemo.core.tasks import SENTIMENT
from mmdemo.nets.speech_augment import SpeechAugment, change_speed
from mmdemo.tasks.base import PLAIN, Batch, LossSettings, fit_temperature, fit_threshold
from mmdemo.tasks.hub.base import FEWEST, HubTask, TrainableFamily, TrainableParts
from mmdemo.tasks.sentiment import LEAST_SURE, LONGEST, generator, middle

HEADS = ("classifier", "projector", "layer_weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechRow:
    """A clip, trimmed and levelled as in serving (media.speech.prepare_speech).

    Attributes:
        samples: Floating point (S,).
        label: Number of its emotion.
        learning: Whether it is changed at random each time; validation rows are not.
    """

    samples: NDArray[np.floating[Any]]
    label: int
    learning: bool


@runtime_checkable
class SpeechFamily(TrainableFamily, Protocol):
    """A family of speech classifiers."""

    def at_its_rate(self, clip: NDArray[np.float32]) -> NDArray[np.float32]:
        """A clip (S,) at 16 kHz at the rate that the network hears at."""
        ...

    def inputs(self, clips: Sequence[NDArray[np.float32]]) -> Mapping[str, Tensor]:
        """What the network takes of clips (S,) at its rate."""
        ...

    def mixes(self) -> bool:
        """Whether clips of different lengths in one batch leave each other's answers as they are."""
        ...


class SpeechClassifierTask(HubTask[SpeechRow]):
    """A published classifier, one output unit for each label.

    Args:
        fixed: Names of the tensors that are never trained.
    """

    metric = "ua"

    def __init__(self, family: SpeechFamily, *, fixed: Sequence[str] = ()) -> None:
        super().__init__(SENTIMENT, family.net, heads=HEADS, fixed=fixed)
        self.family, self.apart = family, not family.mixes()

    def collate(self, rows: Sequence[SpeechRow]) -> Batch:
        """What the network takes, where clips are heard apart with the clip's number before each name; ``label``."""
        clips = [self.family.at_its_rate(self._clip(row).numpy()) for row in rows]
        label = torch.tensor([row.label for row in rows])
        if not self.apart:
            return {**self.family.inputs(clips), "label": label}
        found = {f"{i}.{name}": t for i, clip in enumerate(clips) for name, t in self.family.inputs([clip]).items()}
        return {**found, "label": label}

    def _clip(self, row: SpeechRow) -> Tensor:
        samples = torch.from_numpy(row.samples.astype(np.float32))  # a copy: what rows hold may be mapped
        if not row.learning:
            return middle(samples)
        samples = change_speed(samples, most=SpeechAugment().speed, generator=generator())
        start = int(torch.randint(len(samples) - LONGEST, ())) if len(samples) > LONGEST else 0
        return samples[start : start + LONGEST]

    def _logits(self, net: nn.Module, batch: Batch) -> Tensor:
        """(B, K)."""
        inputs = {name: tensor for name, tensor in batch.items() if name != "label"}
        if not self.apart:
            found: Tensor = net(**inputs).logits
            return found.float()
        clips: list[dict[str, Tensor]] = [{} for _ in range(len(batch["label"]))]
        for name, tensor in inputs.items():
            number, _, name_ = name.partition(".")
            clips[int(number)][name_] = tensor
        return torch.cat([net(**clip).logits for clip in clips]).float()

    def loss(self, net: TrainableParts, batch: Batch, how: LossSettings = PLAIN) -> Tensor:
        return F.cross_entropy(self._logits(net.net, batch), batch["label"], label_smoothing=how.smoothing)

    def items(self, net: TrainableParts, batch: Batch) -> Tensor:
        return torch.tensor(float(len(batch["label"])))

    def outputs(self, net: TrainableParts, batch: Batch) -> list[NDArray[np.float32]]:
        """Logits (K,)."""
        return list(self._logits(net.net, batch).cpu().numpy())

    def score(
        self, net: TrainableParts, outputs: Sequence[NDArray[np.float32]], rows: Sequence[SpeechRow]
    ) -> dict[str, float]:
        """Unweighted accuracy: the mean recall over the labels that occur."""
        logits, labels = torch.from_numpy(np.stack(outputs)), torch.tensor([row.label for row in rows])
        right = (logits.argmax(dim=1) == labels).float()
        recalls = [float(right[labels == label].mean()) for label in sorted(set(labels.tolist()))]
        return {"minus_loss": -float(F.cross_entropy(logits, labels)), "ua": float(np.mean(recalls))}

    def calibrate(
        self, net: TrainableParts, outputs: Sequence[NDArray[np.float32]], rows: Sequence[SpeechRow]
    ) -> Calibration:
        if len(rows) < FEWEST:
            return Calibration()
        logits, labels = np.stack(outputs), np.array([row.label for row in rows])
        target = np.eye(logits.shape[1], dtype=np.float32)[labels]
        temperature = fit_temperature(logits, target)
        scores = torch.softmax(torch.from_numpy(logits) / temperature, dim=1).numpy()
        right = (logits.argmax(axis=1) == labels).astype(np.float32)
        return replace(fit_threshold(scores.max(axis=1), right, floor=LEAST_SURE), temperature=temperature)
