"""Rows for task "sentiment": clips, trimmed and levelled as in serving."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from mmdemo.core.config import CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import EMOTIONS
from mmdemo.data.pictures import Say
from mmdemo.data.prepare.bases import Bases, Net, Prepared, Sources, chosen_options, net_settings
from mmdemo.data.read import Example
from mmdemo.media.audio import load_sound
from mmdemo.media.speech import prepare_speech
from mmdemo.nets.speech import SpeechConfig
from mmdemo.tasks.sentiment import SentimentRow


def prepare_sentiment(sources: Sources, bases: Bases, net: Net, say: Say | None) -> Prepared:
    """A row per clip that holds speech, prepared as in serving; the largest corpus may be repeated."""
    options = chosen_options(sources.options, repeat_largest=1)
    there = {e.label for e in sources.train.examples if e.label}
    labels = bases.labels([label for label in EMOTIONS if label in there] + sorted(there - set(EMOTIONS)))
    index = {label: i for i, label in enumerate(labels)}
    unknown = sorted({e.label or "" for e in sources.validation.examples} - set(index))
    if unknown:
        raise MmdemoError(f"The label {unknown[0]} is in validation only", "nothing could be learned of it")

    def rows(examples: Sequence[Example], learning: bool) -> list[SentimentRow]:
        found: list[SentimentRow] = []
        for i, e in enumerate(examples):
            if e.file is not None and e.label:
                try:
                    samples = prepare_speech(load_sound(e.file))
                except MmdemoError as error:
                    raise MmdemoError(f"{e.file.name}: {error.what}", error.why, error.try_this) from None
                if len(samples):
                    found.append(SentimentRow(samples=samples, label=index[e.label], learning=learning))
            if say is not None:
                say("clips", i + 1, len(examples))
        return found

    # the corpus that is measured counts more than those that broaden it
    corpora = Counter(e.file.parent for e in sources.train.examples if e.file is not None)
    largest = corpora.most_common(1)[0][0] if corpora else None
    often = [e for e in sources.train.examples if e.file is not None and e.file.parent == largest]
    train = rows(sources.train.examples, True) + rows(often, True) * (int(options["repeat_largest"]) - 1)
    config = CheckpointConfig(task="sentiment", net={**bases.net(net), "labels": len(labels)}, labels=labels)
    net_settings(SpeechConfig, config.net)
    return Prepared(train=train, validation=rows(sources.validation.examples, False), config=config)


def prepare_speech_encoder(sources: Sources, bases: Bases, net: Net, say: Say | None) -> Prepared:
    """The same clips for task "speech", whose labels are not looked at."""
    prepared = prepare_sentiment(sources, Bases(), {}, say)
    config = CheckpointConfig(task="speech", net={**net, "labels": 1})
    net_settings(SpeechConfig, config.net)
    return replace(prepared, config=config)
