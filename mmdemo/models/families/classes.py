"""The families of hub models: the one list of them, in the order in which they are recognised."""

from __future__ import annotations

from mmdemo.core.errors import MmdemoError
from mmdemo.models.families.base import HubModel
from mmdemo.models.families.blip import BlipAskModel, BlipCaptionModel
from mmdemo.models.families.chat import ChatModel
from mmdemo.models.families.coca import CocaModel
from mmdemo.models.families.florence import FlorenceModel
from mmdemo.models.families.open_clip import OpenClipModel
from mmdemo.models.families.speech_classifier import SpeechClassifierModel
from mmdemo.models.families.vilt import ViltModel
from mmdemo.models.families.zero_shot import ZeroShotModel

FAMILIES: tuple[type[HubModel], ...] = (
    OpenClipModel,
    CocaModel,
    BlipCaptionModel,
    BlipAskModel,
    ViltModel,
    FlorenceModel,  # before ChatModel: transformers' table of models that chat lists it too
    ZeroShotModel,
    SpeechClassifierModel,
    ChatModel,
)


def class_of(family: str) -> type[HubModel]:
    """The class of a family by its name in checkpoints.

    Raises:
        MmdemoError: There is no such family.
    """
    for model_class in FAMILIES:
        if model_class.family == family:
            return model_class
    raise MmdemoError(
        f"No family of hub models is called {family!r}", "known are " + ", ".join(m.family for m in FAMILIES)
    )
