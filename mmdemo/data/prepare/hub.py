"""Rows and tasks for models that others made: what their own processors and losses want of somebody's data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mmdemo.core.config import CLASSES, Scalar
from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import EMOTIONS
from mmdemo.data import clips
from mmdemo.data.hub_pixels import Look, pixels
from mmdemo.data.pictures import Say
from mmdemo.data.prepare.hub_config import config_of, files_of
from mmdemo.data.prepare.hub_generative import ANSWERS, SPEAKERS, prepare_generative, prepare_vilt
from mmdemo.data.prepare.inputs import DatasetSplits, Encoders, HubBase, Net, TrainingData, chosen_options
from mmdemo.data.read import Example
from mmdemo.media.text import plain
from mmdemo.models.families.emotion_names import to_canonical_label
from mmdemo.models.families.label_head import fit_labels
from mmdemo.tasks.hub.contrastive import HEADS, CaptionedTask, ClassesTask, ContrastiveRow
from mmdemo.tasks.hub.speech import SpeechClassifierTask, SpeechRow


def prepare_hub(sources: DatasetSplits, bases: Encoders, net: Net, say: Say | None) -> TrainingData:
    """Rows for a run that starts from a public model, and the run's own task.

    Raises:
        MmdemoError: The data are of no use for it, or settings are given that only networks of ours have.
    """
    public = bases.need_public()
    if net:
        raise MmdemoError(
            f"net.{next(iter(net))} cannot be set here", f"the network is that of {public.base.id}", "Leave it out"
        )
    return _PREPARE[public.base.layout.family](sources, public, say)


# ---------------------------------------------------------------- classify


def _classify(sources: DatasetSplits, public: HubBase, say: Say | None) -> TrainingData:
    """A row per picture: its captions, or prompts with its label. Where all have labels alone, these are classes."""
    chosen_options(sources.options)
    model: Any = public.model
    examples = (*sources.train.examples, *sources.validation.examples)
    classes = _classes(sources.train.examples, public)
    place = {normalize_label(label): i for i, label in enumerate(classes)}
    alone = bool(classes) and not any(e.captions for e in examples)
    numbers = {normalize_label(e.label): i for i, e in enumerate(examples) if e.label}
    templates = model.prompts.chosen(100)
    kept = pixels(files_of(examples), cast("Look", model.processor), public.base, say=say)

    def rows(some: Sequence[Example]) -> list[ContrastiveRow]:
        texts: dict[Path, list[str]] = {}
        labels: dict[Path, str] = {}
        for e in some:
            if e.file is None:
                continue
            told = e.captions or tuple(t.replace("{}", plain(e.label)) for t in templates if e.label)
            texts.setdefault(e.file, []).extend(told)
            if e.label and not e.captions:
                labels[e.file] = normalize_label(e.label)
        return [
            ContrastiveRow(
                pixels=kept[file],
                texts=tuple(dict.fromkeys(told)),
                group=numbers[labels[file]] if file in labels else -1,
                own=place.get(labels[file], -1) if file in labels and alone else -1,
            )
            for file, told in texts.items()
            if told and (not alone or labels.get(file) in place)
        ]

    heads = HEADS if sources.tune.kind != "lora" else ()
    if alone:
        if len(classes) < 2:
            raise MmdemoError("There is one class alone", f"all pictures are called {classes[0]}", "Add another class")
        with torch.no_grad():
            vectors = model.label_vectors(classes).clone()
            neutral = None if model.sigmoid else model.neutral_vector().clone()
        task: Any = ClassesTask(model.net, model, heads=heads, classes=vectors, neutral=neutral)
    else:
        task = CaptionedTask(model.net, model, heads=heads)
    return TrainingData(
        train=rows(sources.train.examples),
        validation=rows(sources.validation.examples),
        config=config_of(public, sources, classes=classes),
        task=task,
    )


def _classes(examples: Sequence[Example], public: HubBase) -> tuple[str, ...]:
    """The labels of the training pictures, after those that the model was tuned for before."""
    known = public.model.config.settings.get(CLASSES)
    found: dict[str, str] = {}
    for label in (*(known if isinstance(known, tuple) else ()), *sorted({plain(e.label) for e in examples if e.label})):
        found.setdefault(normalize_label(label), label)
    return tuple(found.values())


def normalize_label(label: str | None) -> str:
    """Equal for labels that are one to whoever asks."""
    return plain(label or "").casefold()


# ---------------------------------------------------------------- sentiment


def _speech(sources: DatasetSplits, public: HubBase, say: Say | None) -> TrainingData:
    """A row per clip that holds speech; labels that the network does not know become units of its head."""
    chosen_options(sources.options)
    model: Any = public.model
    labels, place = emotions(model.config.labels, (e.label for e in sources.train.examples if e.label))
    fit_labels(model, labels)
    model.net.config.apply_spec_augment = False  # it fails on clips of a syllable

    def read(some: Sequence[NDArray[np.float32]]) -> Mapping[str, torch.Tensor]:
        return cast("Mapping[str, torch.Tensor]", model.inputs([model.at_its_rate(clip) for clip in some]))

    def rows(examples: Sequence[Example], learning: bool) -> list[SpeechRow]:
        told = [
            (e.file, place[normalize_label(e.label)])
            for e in examples
            if e.file is not None and normalize_label(e.label) in place
        ]
        found = clips.clips([file for file, _ in told], say=say)
        return [SpeechRow(samples=found[file], label=label, learning=learning) for file, label in told if file in found]

    return TrainingData(
        train=rows(sources.train.examples, True),
        validation=rows(sources.validation.examples, False),
        config=config_of(public, sources, labels=labels),
        task=SpeechClassifierTask(model.net, read, apart=not model.mixes(), fixed=_kept_by_makers(model.net)),
    )


def emotions(known: Sequence[str], told: Iterable[str]) -> tuple[tuple[str, ...], dict[str, int]]:
    """The labels of a run, and how each of them, and of what people wrote, is found among them.

    Args:
        known: Labels of the network; they stay. Somebody's own ("boredom") stand for themselves, and published ones for
            all that they are called ("bored" is "boredom" too).
        told: Those of the clips, however often; what differs in large and small letters alone is one.

    Returns:
        The labels, new ones last: those that we have words for, then the others; and label without its capitals
        (:func:`normalize_label`) → its place.
    """
    place: dict[str, int] = {}
    for i, label in enumerate(known):
        place.setdefault(normalize_label(label), i)
    new: dict[str, str] = {}
    for label in sorted(set(told)):
        called = normalize_label(label)
        if called not in place and normalize_label(to_canonical_label(label)) in place:
            place[called] = place[normalize_label(to_canonical_label(label))]
        elif called not in place:
            new.setdefault(called, called if called in EMOTIONS else plain(label))
    ordered = sorted(new, key=lambda called: EMOTIONS.index(called) if called in EMOTIONS else len(EMOTIONS))
    place |= {called: len(known) + i for i, called in enumerate(ordered)}
    return (*known, *(new[called] for called in ordered)), place


def _kept_by_makers(net: nn.Module) -> tuple[str, ...]:
    """Names of the tensors that the library leaves as they are in all tuning: the ears of wav2vec 2.0 and its kin."""
    if not hasattr(net, "freeze_feature_encoder"):
        return ()
    net.requires_grad_(True)
    cast("Any", net).freeze_feature_encoder()
    return tuple(name for name, parameter in net.named_parameters() if not parameter.requires_grad)


_PREPARE: Mapping[str, Callable[[DatasetSplits, HubBase, Say | None], TrainingData]] = {
    "open_clip": _classify,
    "zero_shot": _classify,
    **dict.fromkeys(SPEAKERS, prepare_generative),
    "vilt": prepare_vilt,
    "audio": _speech,
}
"""Kind of model → how its rows are made."""


def can_learn(family: str) -> bool:
    """Whether a kind of public model can be tuned."""
    return family in _PREPARE


def options_of(family: str) -> Mapping[str, Scalar]:
    """The ``[data]`` options of a kind of public model, and what they are where nobody says otherwise."""
    return ANSWERS if family == "vilt" else {}
