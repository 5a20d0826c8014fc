"""Rows for task "caption": pictures with their captions as words."""

from __future__ import annotations

from collections.abc import Sequence

from mmdemo.core.config import CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.data import pictures
from mmdemo.data.pictures import Say, Views
from mmdemo.data.prepare.inputs import DatasetSplits, Encoders, Net, TrainingData, chosen_options, net_settings
from mmdemo.data.read import Example
from mmdemo.nets.decoder import SPECIAL, CaptionConfig
from mmdemo.tasks.caption import CaptionRow, encode, learn_words


def prepare_caption(sources: DatasetSplits, bases: Encoders, net: Net, say: Say | None) -> TrainingData:
    """A row per picture with its captions as word indices; words are learned from the training part."""
    vision = bases.need_vision()
    options = chosen_options(sources.options, least=3, mirror=True, crops=0)
    words = bases.labels(
        learn_words((c for e in sources.train.examples for c in e.captions), least=int(options["least"]))
    )
    if len(words) <= SPECIAL:
        raise MmdemoError("No words could be learned", f"none occurs {options['least']} times in the captions")
    index = {word: i for i, word in enumerate(words)}

    def rows(examples: Sequence[Example], views: Views) -> list[CaptionRow]:
        files = {e.file for e in examples if e.file is not None}
        seen = pictures.seen(files, vision, tune=sources.tune, views=views, say=say)
        return [
            CaptionRow(views=seen[e.file], captions=tuple(encode(c, index) for c in e.captions))
            for e in examples
            if e.file is not None and e.file in seen and e.captions
        ]

    config = CheckpointConfig(
        task="caption",
        net={
            **bases.net(net),
            "words": len(words),
            "channels": vision.trunk.config.channels,
            "grid": vision.trunk.config.grid,
        },
        labels=words,
        parts={"vision": vision.reference()},
    )
    net_settings(CaptionConfig, config.net)
    return TrainingData(
        train=rows(sources.train.examples, Views.of(options)),
        validation=rows(sources.validation.examples, Views()),
        config=config,
    )
