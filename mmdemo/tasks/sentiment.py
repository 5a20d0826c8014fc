"""Task "sentiment": speech → emotion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmdemo.core.config import Calibration, CheckpointConfig, from_mapping
from mmdemo.core.types import SAMPLE_RATE
from mmdemo.nets.losses import soft_cross_entropy
from mmdemo.nets.speech import EmotionNet, SpeechConfig, level
from mmdemo.nets.speech_augment import SpeechAugment, add_noise, change_speed, colour_and_mask, mix_pairs
from mmdemo.tasks.base import HEAD, PLAIN, Batch, LossSettings, fit_temperature, fit_threshold
from mmdemo.tasks.distillation import SOFT, SoftTargets, mixed, sharpened, soft_batch, softened, uses_teacher
from mmdemo.tasks.pictures import draw
from mmdemo.tasks.tune import LORA

LONGEST = 4 * SAMPLE_RATE
"""Samples of a training clip; of a longer one a random stretch is taken."""


LEAST_SURE = 0.5
"""An emotion less likely than all others together is never sure, whatever two validation speakers may say."""

RIDGE = 0.02
"""Penalty on the squared weights of the first head; about C = 0.025 in scikit-learn's terms for a thousand clips."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentimentRow:
    """A clip, trimmed and levelled as in serving (media.speech.prepare_speech).

    Attributes:
        samples: Floating point (S,).
        label: Index of its emotion.
        learning: Whether it is changed at random each time; validation rows are not.
        features: What a frozen encoder hears of it, pooled: fp32 (F,) for the clip as it is, then for changed ones, of
            which one is drawn. Where a row brings them, the clip itself is not listened to.
        soft: What a teacher hears in the clip as it is.
        group: Number of its speaker, -1 where that is not known.
    """

    samples: NDArray[np.floating[Any]]
    label: int
    learning: bool
    features: tuple[NDArray[np.float32], ...] = ()
    soft: SoftTargets | None = None
    group: int = -1


PARTS = 6
"""Parts of the speakers by which a head is judged that is fitted on all of them."""


class SentimentTask:
    """Emotion network over a speech encoder; see :class:`mmdemo.tasks.base.Task`."""

    name = "sentiment"
    metric = "ua"
    label_rows: tuple[str, ...] = ("classifier.weight", "classifier.bias")
    additive = True
    grown_rows: tuple[str, ...] = ()

    def __init__(self, *, augment: SpeechAugment | None = None) -> None:
        self.augment = augment or SpeechAugment()

    def build(self, config: CheckpointConfig) -> EmotionNet:
        return EmotionNet(from_mapping(SpeechConfig, config.net))

    def start(self, net: EmotionNet, bases: Mapping[str, nn.Module]) -> None:
        """The encoder's first layers, as many as the network has."""
        wanted = net.encoder.state_dict()
        base = bases["speech"].state_dict()
        net.encoder.load_state_dict({name: base[name] for name in wanted}, strict=True)

    def fit_init(self, net: EmotionNet, rows: Sequence[SentimentRow]) -> None:
        """Fit the head on the encoder as it is, exactly: logistic regression on standardised features.

        Where the rows name :data:`PARTS` speakers (data.prepare names them where nobody is set aside), what heads
        fitted without a clip's speaker say of it is kept as ``net.crossed``: by that the head is calibrated.

        The penalty is on the distance from the weights that the head comes with. Those of a new one are 0, so this is
        ridge regression; one that goes on from a base keeps what the new data are silent on.
        With ``epochs = 0`` this is all of the training. Where steps follow, they start from what is already good
        (Kumar et al. 2022, https://arxiv.org/abs/2202.10054).

        Where rows bring features, what makes them stays as it is, the pooling too.
        """
        was = net.training
        net.eval()
        if rows[0].features:
            net.encoder.requires_grad_(False)
            net.pooling.requires_grad_(False)
            # changed copies of a clip as well: they say what does not matter
            features = torch.from_numpy(np.stack([view for row in rows for view in row.features]))  # (N, F)
            copies = torch.tensor([len(row.features) for row in rows])
        else:
            clips = [middle(_samples(row)) for row in rows]
            features = torch.cat([features_of(net, clips[i : i + 16]) for i in range(0, len(clips), 16)])
            copies = torch.ones(len(rows), dtype=torch.long)
        if not bool(net.classifier.weight.any()):
            net.standard.learn(features)
        with torch.no_grad():
            x = net.standard(features)
        y = torch.tensor([row.label for row in rows]).repeat_interleave(copies)
        weight, bias = _fitted(x, y, net.classifier.weight.detach(), net.classifier.bias.detach())
        if self.cross_fits(rows):
            groups = torch.tensor([row.group for row in rows]).repeat_interleave(copies)
            first = copies.cumsum(0) - copies  # the clips as they are
            net.crossed = _crossed(x, y, groups, first, net.classifier.weight.detach(), net.classifier.bias.detach())
        with torch.no_grad():
            net.classifier.weight.copy_(weight)
            net.classifier.bias.copy_(bias)
        net.train(was)

    def cross_fits(self, rows: Sequence[SentimentRow]) -> bool:
        """Whether there are speakers enough to judge a head by those it has not heard."""
        return len({row.group for row in rows}) >= PARTS and all(row.group >= 0 for row in rows)

    def finalize(self, net: EmotionNet, rows: Sequence[SentimentRow]) -> None:
        """Nothing: the steps are all there is."""

    def depth(self, net: EmotionNet, name: str) -> int:
        parts = name.split(".")
        if parts[0] != "encoder" or LORA in name:
            return HEAD
        return len(net.encoder.layers) - (int(parts[2]) if parts[1] == "layers" else -1)

    def shipped(self, net: EmotionNet) -> dict[str, Tensor]:
        return net.state_dict()

    def collate(self, rows: Sequence[SentimentRow]) -> Batch:
        """``label`` and ``learning`` (B,), with ``samples`` (B, S) and ``lengths`` (B,) or ``features`` (B, F)."""
        said = {
            "label": torch.tensor([row.label for row in rows]),
            "learning": torch.tensor([row.learning for row in rows]),
            **soft_batch([row.soft for row in rows]),
        }
        if rows[0].features:
            drawn = [draw(row.features) if row.learning else row.features[0] for row in rows]
            return {"features": torch.from_numpy(np.stack(drawn)), **said}
        clips = [self._clip(row) for row in rows]
        samples, lengths = padded(clips)
        return {"samples": samples, "lengths": lengths, **said}

    def _clip(self, row: SentimentRow) -> Tensor:
        samples = _samples(row)
        if not row.learning:
            return middle(samples)
        samples = change_speed(samples, most=self.augment.speed, generator=generator())
        start = int(torch.randint(len(samples) - LONGEST, ())) if len(samples) > LONGEST else 0
        return samples[start : start + LONGEST]

    def loss(self, net: EmotionNet, batch: Batch, how: LossSettings = PLAIN) -> Tensor:
        target = nn.functional.one_hot(batch["label"], net.config.labels).float()
        if "features" in batch:
            logits = net.judge(batch["features"])
            return mixed(soft_cross_entropy(logits, target, smoothing=how.smoothing), logits, batch, how)
        chance, settings = generator(), self.augment
        samples, lengths = level(batch["samples"], batch["lengths"]), batch["lengths"]
        if bool(batch["learning"].any()):
            samples = add_noise(samples, lengths, settings=settings, generator=chance)
        mel, frames = net.mel(samples, lengths)
        if bool(batch["learning"].any()):
            heard = softened(batch[SOFT], how.teacher_temperature) if uses_teacher(batch, how) else target[:, :0]
            both = torch.cat((target, heard), dim=1)  # clips that are mixed have what was said of them mixed alike
            mel, frames, both = mix_pairs(mel, frames, both, settings=settings, generator=chance)
            target, heard = both[:, : target.shape[1]], both[:, target.shape[1] :]
            if uses_teacher(batch, how):
                batch = {**batch, SOFT: sharpened(heard, how.teacher_temperature)}
            mel = colour_and_mask(mel, frames, settings=settings, generator=chance)
        logits = net.classify(mel, frames).logits
        return mixed(soft_cross_entropy(logits, target, smoothing=how.smoothing), logits, batch, how)

    def items(self, net: EmotionNet, batch: Batch) -> Tensor:
        return torch.tensor(float(len(batch["label"])))

    def outputs(self, net: EmotionNet, batch: Batch) -> list[NDArray[np.float32]]:
        if "features" in batch:
            return list(net.judge(batch["features"]).cpu().numpy())
        return list(net(batch["samples"], batch["lengths"]).logits.float().cpu().numpy())

    def score(
        self, net: EmotionNet, outputs: Sequence[NDArray[np.float32]], rows: Sequence[SentimentRow]
    ) -> dict[str, float]:
        """Unweighted accuracy: the mean recall over the labels that occur."""
        right: dict[int, list[bool]] = {}
        for out, row in zip(outputs, rows, strict=True):
            right.setdefault(row.label, []).append(int(out.argmax()) == row.label)
        return {"ua": float(np.mean([np.mean(r) for r in right.values()]))}

    def calibrate(
        self, net: EmotionNet, outputs: Sequence[NDArray[np.float32]], rows: Sequence[SentimentRow]
    ) -> Calibration:
        if rows:
            logits, labels = np.stack(outputs), np.array([row.label for row in rows])
        else:
            assert net.crossed is not None  # noqa: S101 - a run without validation rows is one that cross-fits
            logits, labels = net.crossed
        target = np.eye(logits.shape[1], dtype=np.float32)[labels]
        temperature = fit_temperature(logits, target)
        scores = torch.softmax(torch.from_numpy(logits) / temperature, dim=1).numpy()
        right = (logits.argmax(axis=1) == target.argmax(axis=1)).astype(np.float32)
        said = "" if rows else "clips of speakers whom each of several heads had not heard"
        return replace(fit_threshold(scores.max(axis=1), right, floor=LEAST_SURE, data=said), temperature=temperature)


def _fitted(x: Tensor, y: Tensor, before: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (K, F) and biases (K,) of features x (N, F) for labels y (N,), near those that there were before."""
    weight, bias = before.clone().requires_grad_(True), bias.clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(x @ weight.T + bias, y) + RIDGE * (weight - before).square().sum()
        torch.autograd.backward(loss)
        return loss

    with torch.inference_mode(False), torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]  # torch gives it no types
    return weight.detach(), bias.detach()


def _crossed(
    x: Tensor, y: Tensor, groups: Tensor, first: Tensor, weight: Tensor, bias: Tensor
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits (N, K) of the clips at ``first``, each by a head that never heard its speaker, and their labels (N,)."""
    speakers = sorted(set(groups.tolist()))
    part = torch.empty(speakers[-1] + 1, dtype=torch.long)
    part[speakers] = torch.arange(len(speakers)) % PARTS
    logits = torch.empty(len(first), len(bias))
    for number in range(PARTS):
        held = part[groups] == number
        there, offset = _fitted(x[~held], y[~held], weight, bias)
        some = held[first]
        logits[some] = x[first[some]] @ there.T + offset
    return logits.numpy(), y[first].numpy()


def _samples(row: SentimentRow) -> Tensor:
    """fp32 (S,), a copy: what rows hold may be mapped, and not be written to."""
    return torch.from_numpy(row.samples.astype(np.float32))


def middle(samples: Tensor) -> Tensor:
    """The middle of a clip (S,), at most :data:`LONGEST` samples."""
    start = max(0, (len(samples) - LONGEST) // 2)
    return samples[start : start + LONGEST]


def padded(clips: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Clips (S,) each as samples (B, S), zero behind each clip's end, and lengths (B,)."""
    lengths = torch.tensor([max(len(clip), 1) for clip in clips])
    samples = torch.zeros(len(clips), int(lengths.max()))
    for i, clip in enumerate(clips):
        samples[i, : len(clip)] = clip
    return samples, lengths


def features_of(net: EmotionNet, clips: Sequence[Tensor], *, device: torch.device | None = None) -> Tensor:
    """Pooled features (B, F) of clips (S,) each, in evaluation mode."""
    was = net.training
    net.eval()
    samples, lengths = (tensor.to(device) for tensor in padded(clips))
    with torch.no_grad():
        found = net.features(*net.mel(level(samples, lengths), lengths))
    net.train(was)
    return found


def generator() -> torch.Generator:
    """A generator drawn from torch's own, whose state is saved with a run."""
    return torch.Generator().manual_seed(int(torch.randint(2**31, ())))
