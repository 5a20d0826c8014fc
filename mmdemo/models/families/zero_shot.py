"""Classify by transformers' models for zero-shot image classification: CLIP, SigLIP, SigLIP 2, AltCLIP and the like."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self, cast

from safetensors import safe_open
from torch import Tensor, nn

from mmdemo.core.types import Card, Picture
from mmdemo.models.families.base import Processor, RuntimeConfig, as_image
from mmdemo.models.families.contrastive import ContrastiveModel, Similarity
from mmdemo.models.families.detect import HubConfig, weights_in
from mmdemo.models.families.open_clip_folder import refusing, unfit
from mmdemo.models.families.patch_maps import Framing, PatchGraph, cut_tokens
from mmdemo.models.families.pretrained import pretrained, quantize_net, read_net
from mmdemo.models.families.prompts import PLACES, chinese, english
from mmdemo.tasks.hub.base import LibraryNet

SIGLIP_LENGTH = 64
"""Places that SigLIP's texts are filled up to: it was trained so, and its answer stands at the end."""

CHINESE_ONLY = frozenset({"chinese_clip"})
"""Kinds of model that read Chinese only."""


class ZeroShotModel(ContrastiveModel):
    """What ``pipeline("zero-shot-image-classification")`` serves."""

    family: ClassVar[str] = "zero_shot"

    @classmethod
    def recognises(cls, config: HubConfig) -> bool:
        from transformers.models.auto import modeling_auto

        return config.is_listed(modeling_auto.MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES)

    @classmethod
    def open(cls, folder: Path, card: Card, *, how: RuntimeConfig) -> Self:
        from transformers import AutoImageProcessor, AutoModelForZeroShotImageClassification, AutoTokenizer

        net = read_net(AutoModelForZeroShotImageClassification, folder, how=how, name=card.id)
        with refusing(card.id):
            scale, bias = _scale(net, folder)
            kind = str(net.config.model_type)
            pictures = _part(AutoImageProcessor, folder, "preprocessor_config.json", "processor_config.json")
            words = _part(AutoTokenizer, folder, "tokenizer.json", "tokenizer_config.json")
            numbers = sum(p.numel() for name, p in net.text_model.named_parameters() if "embed" not in name)
            work = float(numbers * (SIGLIP_LENGTH if "siglip" in kind else PLACES))
            return cls(
                card,
                quantize_net(net, how),
                _pictures(pictures),
                _texts(words, kind, int(net.config.text_config.max_position_embeddings)),
                prompts=chinese(work) if kind in CHINESE_ONLY else english(work),
                similarity=Similarity(scale=scale, bias=bias, sigmoid="siglip" in kind),
                framing=_framing(pictures),
                how=how,
            )

    def picture_features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return cast(Tensor, self.net.get_image_features(**inputs).pooler_output)

    def text_features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return cast(Tensor, self.net.get_text_features(**inputs).pooler_output)

    def _cut(self, inputs: Mapping[str, Tensor]) -> PatchGraph | None:
        layer = _layer(self.net.vision_model)
        if layer is None:
            return None
        shapes = inputs.get("spatial_shapes")
        if shapes is not None:  # of patches, as each picture has its own shape
            height, width = shapes[0].tolist()
        else:
            side = int(self.net.config.vision_config.patch_size)
            height, width = inputs["pixel_values"].shape[2] // side, inputs["pixel_values"].shape[3] // side
        return cut_tokens(layer[0], lambda: self.picture_features(inputs), first=layer[1], size=(height, width))


def _layer(vision: LibraryNet) -> tuple[nn.Module, int] | None:
    """The last normalisation that all said of the patches goes through, and how many tokens come before theirs."""
    if hasattr(vision, "head") and hasattr(vision, "post_layernorm"):  # SigLIP pools by attention over all tokens
        return vision.post_layernorm, 0
    layers = list(getattr(getattr(vision, "encoder", None), "layers", ()))
    if layers and hasattr(layers[-1], "layer_norm1"):  # CLIP answers by its class token
        return layers[-1].layer_norm1, 1
    return None


def _scale(net: LibraryNet, folder: Path) -> tuple[float, float]:
    """What cosines are multiplied by, and what is added.

    They come from the files once more: in bf16 the scale of CLIP would be off by a percent.
    """
    if not hasattr(net, "get_image_features") or not hasattr(net, "get_text_features"):
        raise unfit(f"a {type(net).__name__} has no vectors for pictures and texts apart")
    found: dict[str, float] = {}
    for file in weights_in(folder, ZeroShotModel.library):
        with safe_open(file, framework="pt") as weights:
            names = {"logit_scale", "logit_bias", "temperature"}.intersection(weights.keys())
            found.update({name: float(weights.get_tensor(name)) for name in names})
    if "logit_scale" in found:
        return math.exp(found["logit_scale"]), found.get("logit_bias", 0.0)
    if hasattr(net, "temperature"):  # TIPS has it from its configuration
        return 1.0 / found.get("temperature", float(net.temperature.detach())), 0.0
    raise unfit(f"a {type(net).__name__} has no scale for its scores")


def _part(kind: type, folder: Path, *files: str) -> Processor:
    """The processor of pictures, or of words, as the pipeline loads them."""
    if not any((folder / file).is_file() for file in files):
        raise unfit(f"its {files[0]} is missing")
    part: Processor = pretrained(kind, folder)
    return part


def _pictures(processor: Processor) -> Callable[[Sequence[Picture]], Mapping[str, Tensor]]:
    def process(pictures: Sequence[Picture]) -> Mapping[str, Tensor]:
        return dict(processor(images=[as_image(picture) for picture in pictures], return_tensors="pt"))

    return process


def _texts(words: Processor, kind: str, places: int) -> Callable[[Sequence[str]], Mapping[str, Tensor]]:
    """As the pipeline does it; texts that are too long for the network are cut, where the pipeline fails."""
    if "siglip" in kind:
        options: dict[str, object] = {"padding": "max_length", "max_length": min(places, SIGLIP_LENGTH)}
    else:
        options = {"padding": True, "max_length": min(int(words.model_max_length), places)}

    def process(texts: Sequence[str]) -> Mapping[str, Tensor]:
        return dict(words(list(texts), return_tensors="pt", truncation=True, **options))

    return process


def _framing(processor: Processor) -> Framing:
    """What part of a picture the network sees."""
    size = dict(getattr(processor, "size", None) or {})
    crop = dict(getattr(processor, "crop_size", None) or {})
    if not getattr(processor, "do_center_crop", False) or not crop.get("height"):
        return Framing(mode="squash")
    return Framing(mode="crop", zoom=max(1.0, (size.get("shortest_edge") or crop["height"]) / crop["height"]))
