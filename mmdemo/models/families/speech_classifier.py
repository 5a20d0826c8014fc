"""Classifiers of speech by transformers (wav2vec 2.0, HuBERT, WavLM, Whisper's encoder and others) that know emotions.

Clips are cut, levelled and aggregated as for our own model (:mod:`mmdemo.models.sentiment_windows`). The model's own
feature extractor turns a window's samples into its input. Used as the library documents it
(https://huggingface.co/docs/transformers/tasks/audio_classification).

Legend: ``S`` samples, ``N`` clips, ``T`` moments, ``D`` width, ``U`` output units, ``K`` labels.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import SENTIMENT
from mmdemo.core.types import (
    SAMPLE_RATE,
    Card,
    HeatMap,
    Request,
    Result,
    SentimentRequest,
    SentimentResult,
)
from mmdemo.models.families.base import LabelHeadModel, Processor, RuntimeConfig
from mmdemo.models.families.detect import HubConfig
from mmdemo.models.families.emotion_names import feels, labels_of, to_canonical_label
from mmdemo.models.families.pretrained import pretrained, quantize_net, read_net
from mmdemo.models.ready import of_type
from mmdemo.models.sentiment_windows import Samples, WindowPlan, aggregate_windows, over_time

BATCH = 16
"""Clips that the network hears at once, at most."""

_FIXED = frozenset({"whisper", "audio-spectrogram-transformer"})
"""Kinds whose feature extractor makes every clip equally long."""

_MASKED = frozenset({"wav2vec2", "hubert", "unispeech", "unispeech-sat"})
"""Kinds that hear nothing of the silence behind a shorter clip when they are told of it, if trained to be. Others, and
those with one norm over all of a clip ("group"), hear clips of one length together. So does WavLM, whose attention in
transformers 5 takes a mask of a kind that torch has given notice of."""

_FEATURES = "wav2vec2-bert"
"""Reads features that come with their mask, and not samples."""

_WHISPER_STATE = 0.02
"""Seconds of one state of Whisper's encoder (Radford et al. 2022, https://arxiv.org/abs/2212.04356)."""


class SpeechClassifierModel(LabelHeadModel):
    """A published classifier of speech.

    Units whose names mean one of our labels are summed.

    Attributes:
        processor: Its feature extractor.
    """

    family: ClassVar[str] = "audio"
    tasks: ClassVar[tuple[str, ...]] = (SENTIMENT,)
    trainable: ClassVar[bool] = True

    @classmethod
    def recognises(cls, config: HubConfig) -> bool:
        from transformers.models.auto import modeling_auto

        return config.is_listed(modeling_auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES)

    @classmethod
    def open(cls, folder: Path, card: Card, *, how: RuntimeConfig) -> Self:
        from transformers import AutoModelForAudioClassification

        settings, extractor = _configured(folder, card.id)
        names: Mapping[int, str] = settings.id2label
        if settings.problem_type not in (None, "single_label_classification"):
            raise MmdemoError(
                f"{card.id} cannot be used for sentiment",
                f"it was trained for {settings.problem_type.replace('_', ' ')}, so its scores are no shares of a whole",
            )
        labels = labels_of(names, model=card.id)
        net = read_net(AutoModelForAudioClassification, folder, how=how, name=card.id)
        return cls(_described(card, names, labels), quantize_net(net, how), extractor, how=how, labels=labels)

    # ------------------------------------------------------------ labels

    def units(self) -> tuple[int, ...]:
        """For each output unit the place of its label among ``config.labels``, (U,)."""
        places = {label: place for place, label in enumerate(self.config.labels)}
        names = self.net.config.id2label
        # a tuned model has somebody's own labels, which stand for themselves whatever we would call them
        given = (str(names[unit]) for unit in range(len(names)))
        return tuple(places[name] if name in places else places[to_canonical_label(name)] for name in given)

    # ------------------------------------------------------------ hearing

    def probabilities(self, clips: Sequence[Samples]) -> NDArray[np.float64]:
        """Probabilities (N, K) of prepared clips (S,) each, whatever they are heard together with."""
        found = np.zeros((len(clips), len(self.config.labels)))
        heard = [self.at_its_rate(clip) for clip in clips]
        units = torch.tensor(self.units())
        for some in self._together([len(clip) for clip in heard]):
            with torch.inference_mode():
                logits = self.net(**self.inputs([heard[i] for i in some])).logits.double().cpu()  # (N, U)
            shares = (logits / self.config.calibration.temperature).softmax(dim=1)
            merged = torch.zeros(len(some), len(self.config.labels), dtype=torch.float64)
            found[some] = merged.index_add(1, units, shares).numpy()
        return found

    def at_its_rate(self, clip: Samples) -> Samples:
        """A clip (S,) of ours at the rate that the network hears at."""
        rate = int(self.processor.sampling_rate)
        return clip if rate == SAMPLE_RATE else np.asarray(soxr.resample(clip, SAMPLE_RATE, rate), dtype=np.float32)

    def _masks(self) -> bool:
        """Whether the network can be told where a clip ends, so that it does not hear what pads it."""
        settings = self.net.config
        return (
            settings.model_type in _MASKED
            and settings.feat_extract_norm == "layer"
            and not getattr(settings, "conv_pos_batch_norm", False)
        )

    def mixes(self) -> bool:
        """Whether clips of different lengths can be heard at once and leave no trace in each other's answers."""
        return self.net.config.model_type in _FIXED or self._masks()

    def _together(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Which clips are heard at once: such as leave no trace in each other's answers."""
        order = sorted(range(len(lengths)), key=lambda i: lengths[i])
        mixed = self.mixes()
        some: list[int] = []
        for i in order:
            if some and (len(some) == BATCH or not (mixed or lengths[i] == lengths[some[0]])):
                yield some
                some = []
            some.append(i)
        if some:
            yield some

    def inputs(self, clips: Sequence[Samples]) -> dict[str, Tensor]:
        """What the network takes of clips (S,) at its rate, on its device and in its numbers."""
        kind, extra = self.net.config.model_type, {}
        if kind not in _FIXED and kind != _FEATURES:  # samples: where there is nothing to mask no mask is the same
            extra = {"padding": self._masks(), "return_attention_mask": self._masks()}
        made = self.processor(list(clips), sampling_rate=self.processor.sampling_rate, return_tensors="pt", **extra)
        numbers = next(self.net.parameters()).dtype
        return {
            name: tensor.to(self.device, numbers) if tensor.is_floating_point() else tensor.to(self.device)
            for name, tensor in made.items()
        }

    def _answer(self, requests: Sequence[SentimentRequest]) -> list[Result]:
        plans = [WindowPlan(request.sound) for request in requests]
        rows = iter(self.probabilities([clip for plan in plans for clip in plan.spoken]))
        labels, threshold = self.config.labels, self.config.calibration.threshold
        valence = {label: feels(label) or "neutral" for label in labels}
        return [
            aggregate_windows(
                request.sound, plan, rows, labels, threshold=threshold, model=self.card.id, valence=valence
            )
            for request, plan in zip(requests, plans, strict=True)
        ]

    # ------------------------------------------------------------ why

    def explain(self, request: Request, result: Result) -> tuple[HeatMap, ...]:
        """The seconds that decided: what each adds to the answer's score beyond what it adds to all labels alike.

        () of networks whose answer is no mean over moments.
        """
        self._in_use()
        request, result = of_type(request, SentimentRequest), of_type(result, SentimentResult)
        if not result.scores or not hasattr(self.net, "projector"):
            return ()
        place = self.config.labels.index(result.emotion)
        own = torch.tensor([unit for unit, label in enumerate(self.units()) if label == place])

        def decided(clip: Samples) -> Iterator[tuple[float, float]]:
            added, seconds = self.moments(clip)
            weight = added.sum(dim=0)[own].softmax(dim=0)  # of units that mean the same the louder counts
            shares = added[:, own] @ weight - added.mean(dim=1)  # (T,)
            for moment, share in enumerate(shares.tolist()):
                yield moment * seconds, share

        return over_time(request.sound, WindowPlan(request.sound), result.emotion, decided)

    def moments(self, clip: Samples) -> tuple[Tensor, float]:
        """What each moment of a prepared clip (S,) adds to the logits, (T, U), and the seconds of a moment.

        The logits are the mean over the moments' states, mapped linearly twice: so gradient times activation (HiResCAM,
        Draelos and Carin 2020, https://arxiv.org/abs/2011.08891) at the last states is no estimate but a sum, and needs
        no gradients. A state holds what its moment is in the light of all others.
        """
        heard = self.at_its_rate(clip)
        net = self.net
        projector, classifier, tap = net.projector, net.classifier, _Tap(net.projector)
        # a copy with its own table of parts: another thread may be in the network
        tapped = copy.copy(net)
        tapped._modules = {**net._modules, "projector": tap}
        with torch.inference_mode():
            tapped(**self.inputs([heard]))
            states = tap.passed[0]  # (T, D)
            alone = classifier(projector(states)) - classifier(projector(torch.zeros_like(states[:1])))  # (T, U)
            added = alone.double().cpu() / len(states)
        seconds = len(heard) / self.processor.sampling_rate
        if self.net.config.model_type != "whisper":
            return added, seconds / len(added)
        return added[: math.ceil(seconds / _WHISPER_STATE)], _WHISPER_STATE  # behind it is silence


class _Tap(nn.Module):
    """A layer that keeps what flowed into it last."""

    passed: Tensor

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        self.passed = x
        passed_on: Tensor = self.layer(x)
        return passed_on


def _configured(folder: Path, name: str) -> tuple[Any, Processor]:
    """Its configuration and its feature extractor, before the weights are read.

    Raises:
        MmdemoError: Files are missing or damaged.
    """
    from transformers import AutoConfig, AutoFeatureExtractor

    try:
        settings, extractor = pretrained(AutoConfig, folder), pretrained(AutoFeatureExtractor, folder)
    except Exception as error:  # whatever a library raises over somebody's files means that they cannot be used
        raise MmdemoError(f"{name} cannot be loaded", _first_line(error)) from error
    if not hasattr(extractor, "sampling_rate"):
        raise MmdemoError(f"{name} cannot be loaded", "its preprocessor_config.json is not for sound")
    return settings, extractor


def _first_line(error: Exception) -> str:
    return next((line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _described(card: Card, names: Mapping[int, str], labels: Sequence[str]) -> Card:
    """The card, with what was made of the labels."""
    renamed = [
        f"{name} is shown as {to_canonical_label(name)}"
        for name in dict.fromkeys(names.values())
        if to_canonical_label(name) != name
    ]
    text = card.text + (f"\nIts labels here: {', '.join(renamed)}.\n" if renamed else "")
    strange = [label for label in labels if feels(label) is None]
    limits = card.limits
    if strange:
        limits = (*limits, f"What it calls {' and '.join(strange)} counts as neither negative nor positive.")
    return replace(card, text=text, limits=limits)
