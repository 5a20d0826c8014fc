"""From examples to rows of arrays: what each task's training reads, its vocabulary learned from the training part."""

from __future__ import annotations

from collections.abc import Mapping

from mmdemo.core.tasks import ASK, CAPTION, CLASSIFY, SENTIMENT
from mmdemo.data.prepare.ask import answer_shares, prepare_ask
from mmdemo.data.prepare.caption import prepare_caption
from mmdemo.data.prepare.classify import imagenet_names, object_trials, prepare_classify
from mmdemo.data.prepare.hub import prepare_hub
from mmdemo.data.prepare.inputs import STOPWORDS, DatasetSplits, Encoders, Net, Prepare, TrainingData
from mmdemo.data.prepare.sentiment import prepare_sentiment, prepare_speech_encoder
from mmdemo.data.prepare.vision import prepare_vision

__all__ = [
    "PREPARE",
    "STOPWORDS",
    "DatasetSplits",
    "Encoders",
    "Net",
    "TrainingData",
    "answer_shares",
    "imagenet_names",
    "object_trials",
    "prepare_hub",
]

PREPARE: Mapping[str, Prepare] = {
    "vision": prepare_vision,
    ASK: prepare_ask,
    CAPTION: prepare_caption,
    CLASSIFY: prepare_classify,
    SENTIMENT: prepare_sentiment,
    "speech": prepare_speech_encoder,
}
"""How each task's rows are made."""
