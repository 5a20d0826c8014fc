"""Rows for task "sentiment": clips, trimmed and levelled as in serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmdemo.core.config import CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import EMOTIONS
from mmdemo.data import clips
from mmdemo.data.pictures import Say
from mmdemo.data.prepare.inputs import DatasetSplits, Encoders, Net, TrainingData, chosen_options, net_settings
from mmdemo.data.read import Example
from mmdemo.nets.speech import EmotionNet, SpeechConfig
from mmdemo.tasks.sentiment import PARTS, SentimentRow, SentimentTask


def prepare_sentiment(sources: DatasetSplits, bases: Encoders, net: Net, say: Say | None) -> TrainingData:
    """A row per clip that holds speech, prepared as in serving; the corpus that is named first may be repeated.

    Where the encoder stays as it is, rows bring what it hears of the clip, and of ``views`` changed ones in training.
    With ``cross_fit`` nobody is set aside to choose by: a head that is fitted at once is calibrated by heads fitted
    without some of the speakers (tasks.sentiment.SentimentTask.warm_up).
    """
    options = chosen_options(sources.options, repeat_first=1, views=0, cross_fit=False)
    for name, least in (("views", 0), ("repeat_first", 1)):
        if options[name] < least:
            raise MmdemoError(f"data.{name} must not be below {least}", f"it is {options[name]}")
    there = {e.label for e in sources.train.examples if e.label}
    labels = bases.labels([label for label in EMOTIONS if label in there] + sorted(there - set(EMOTIONS)))
    index = {label: i for i, label in enumerate(labels)}
    unknown = sorted({e.label or "" for e in sources.validation.examples} - set(index))
    if unknown:
        raise MmdemoError(f"The label {unknown[0]} is in validation only", "nothing could be learned of it")

    config = CheckpointConfig(task="sentiment", net={**bases.net(net), "labels": len(labels)}, labels=labels)
    net_settings(SpeechConfig, config.net)
    listener = _listener(config, bases) if sources.tune.frozen_encoder else None

    everything = (*sources.train.examples, *sources.validation.examples)
    names = sorted({e.group for e in everything if e.group}) if options["cross_fit"] else []
    speakers = {name: i for i, name in enumerate(names)}

    def rows(examples: Sequence[Example], learning: bool) -> list[SentimentRow]:
        told = [
            (e.file, index[e.label], speakers.get(e.group or "", -1))
            for e in examples
            if e.file is not None and e.label
        ]
        found = clips.clips([file for file, _, _ in told], say=say)
        heard: Mapping[Path, tuple[NDArray[np.float32], ...]] = {}
        if listener is not None:
            heard = clips.features(found, listener, views=int(options["views"]) if learning else 0, say=say)
        return [
            SentimentRow(
                samples=found[file], label=label, learning=learning, features=heard.get(file, ()), group=speaker
            )
            for file, label, speaker in told
            if file in found
        ]

    # the corpus that is named first counts more than those that broaden it
    often = [e for e in sources.train.examples if _is_below(e, sources.train.folders[0])]
    train = rows(sources.train.examples, True) + rows(often, True) * (options["repeat_first"] - 1)
    if options["cross_fit"]:
        if not SentimentTask().cross_fits(train):
            unnamed = sum(row.group < 0 for row in train)
            why = f"the data name {len({row.group for row in train} - {-1})} and {PARTS} are needed"
            why = f"of {unnamed} clips no speaker is named" if unnamed else why
            raise MmdemoError("data.cross_fit needs speakers", why, "Leave it at false")
        return TrainingData(train=train, validation=[], config=config, crossed=True)
    return TrainingData(train=train, validation=rows(sources.validation.examples, False), config=config)


def _is_below(example: Example, folder: Path) -> bool:
    """Whether the example was found in a folder or table, or in another part of the same data."""
    whole = folder.parent if folder.name == "train" else folder
    found = example.table or example.file
    return found is not None and found.resolve().is_relative_to(whole.resolve())


def _listener(config: CheckpointConfig, bases: Encoders) -> EmotionNet | None:
    """The network as the run starts with it, whose encoder and pooling stay; None where there is nothing to start from.

    Raises:
        MmdemoError: What the run starts from does not fit the network.
    """
    task = SentimentTask()
    if bases.emotion is None and bases.speech is None:
        return None
    net = task.build(config)
    try:
        if bases.emotion is not None:
            net.encoder.load_state_dict(bases.emotion.encoder.state_dict(), strict=True)
            net.pooling.load_state_dict(bases.emotion.pooling.state_dict(), strict=True)
        else:
            task.start(net, bases.modules())
    except (RuntimeError, KeyError) as error:
        raise MmdemoError(
            "The base does not fit the network that the configuration describes",
            str(error).strip().splitlines()[-1].strip().rstrip("."),
            "For Sentiment, distil a speech encoder first: train speech",
        ) from None
    return net.eval().requires_grad_(False)


def prepare_speech_encoder(sources: DatasetSplits, bases: Encoders, net: Net, say: Say | None) -> TrainingData:
    """The same clips for task "speech", whose labels are not looked at."""
    prepared = prepare_sentiment(sources, Encoders(), {}, say)
    config = CheckpointConfig(task="speech", net={**net, "labels": 1})
    net_settings(SpeechConfig, config.net)
    return replace(prepared, config=config)
