"""The class of each family of hub models, and the configuration that a model of some size runs with."""

from __future__ import annotations

from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import precision
from mmdemo.models.families.base import HubModel, RuntimeConfig
from mmdemo.models.families.precision import default_precision


def class_of(family: str) -> type[HubModel]:
    """The class that serves a family; imported only now, since each brings a library of its own.

    Raises:
        ValueError: There is no such family.
    """
    match family:
        case "open_clip":
            from mmdemo.models.families.open_clip import OpenClipModel

            return OpenClipModel
        case "zero_shot":
            from mmdemo.models.families.zero_shot import ZeroShotModel

            return ZeroShotModel
        case "coca":
            from mmdemo.models.families.coca import CocaModel

            return CocaModel
        case "blip_caption":
            from mmdemo.models.families.blip import BlipCaptionModel

            return BlipCaptionModel
        case "blip_ask":
            from mmdemo.models.families.blip import BlipAskModel

            return BlipAskModel
        case "vilt":
            from mmdemo.models.families.vilt import ViltModel

            return ViltModel
        case "florence":
            from mmdemo.models.families.florence import FlorenceModel

            return FlorenceModel
        case "chat":
            from mmdemo.models.families.chat import ChatModel

            return ChatModel
        case "audio":
            from mmdemo.models.families.speech_classifier import SpeechClassifierModel

            return SpeechClassifierModel
        case _:
            raise ValueError(f"no family of hub models is called {family!r}")


def runtime_config(device: str, parameters: int) -> RuntimeConfig:
    """What a network of that size computes in there: what ``MMDEMO_PRECISION`` says, else what suits the machine.

    Raises:
        MmdemoError: The variable names nothing that there is.
    """
    match precision():
        case "":
            return RuntimeConfig(device=device, precision=default_precision(device, parameters))
        case "fp32" | "bf16" | "int8" | "int4" as wanted:
            return RuntimeConfig(device=device, precision=wanted)
        case other:
            raise MmdemoError(f"MMDEMO_PRECISION is {other!r}", "it must be fp32, bf16, int8 or int4")
