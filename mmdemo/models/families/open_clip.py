"""Classify by a model of open_clip (https://github.com/mlfoundations/open_clip), from a folder of its hub's layout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self, cast

from torch import Tensor, nn

from mmdemo.core.types import Card
from mmdemo.models.families.base import RuntimeConfig
from mmdemo.models.families.contrastive import ContrastiveModel, Similarity
from mmdemo.models.families.detect import HubConfig
from mmdemo.models.families.open_clip_folder import (
    framing_of,
    picture_processor,
    read_config,
    read_net,
    refusing,
    tokenizer,
)
from mmdemo.models.families.patch_maps import PatchGraph, cut_map, cut_tokens
from mmdemo.models.families.pretrained import quantize_net
from mmdemo.models.families.prompts import PLACES, english
from mmdemo.tasks.hub.base import LibraryNet

MAPS = ("final_conv", "norm_pre", "layer4")
"""Last layers before the pooling in timm's networks of convolutions: FastViT (MobileCLIP), ConvNeXt, ResNet."""


class OpenClipModel(ContrastiveModel):
    """CLIP, SigLIP, MobileCLIP and their like."""

    family: ClassVar[str] = "open_clip"
    library: ClassVar[str] = "open_clip"
    architecture: ClassVar[str] = "CLIP"

    @classmethod
    def recognises(cls, config: HubConfig) -> bool:
        return config.open_clip is not None and "multimodal_cfg" not in config.open_clip  # which is CoCa

    @classmethod
    def open(cls, folder: Path, card: Card, *, how: RuntimeConfig) -> Self:
        from open_clip import CLIP, CustomTextCLIP

        with refusing(card.id):
            shape, looks = read_config(folder)
            kind = CustomTextCLIP if shape.pop("custom_text", False) else CLIP
            words, framing = tokenizer(folder, shape["text_cfg"]), framing_of(looks)
            net = read_net(kind, shape, folder, how=how)
            tower = getattr(net, "text", net)
            places = tower.context_length if _end(tower) is None else PLACES
            work = float(places * sum(p.numel() for p in tower.transformer.parameters()))
            scale = float(net.logit_scale.detach().exp())
            bias = None if net.logit_bias is None else float(net.logit_bias.detach())
            return cls(
                card,
                quantize_net(net, how),
                picture_processor(net, looks),
                lambda texts: {"text": words(list(texts))},
                prompts=english(work),
                similarity=Similarity(scale=scale, bias=bias or 0.0, sigmoid=bias is not None),
                framing=framing,
                how=how,
            )

    def picture_features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return cast(Tensor, self.net.encode_image(inputs["image"]))

    def text_features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """As ``encode_text``, of the places that matter.

        A causal tower's answer stands at the end of the text, and nothing after it can change it: of 77 places a label
        in its prompt takes about a dozen, so that this takes a sixth of the time.
        """
        from open_clip.transformer import text_global_pool

        net, text = self.net, inputs["text"]
        tower = getattr(net, "text", net)
        end = _end(tower)
        if end is None:
            return cast(Tensor, net.encode_text(text))
        last = text.argmax(dim=-1) if end[0] == "argmax" else text.eq(end[1]).int().argmax(dim=-1)
        text = text[:, : int(last.max()) + 1]  # (N, T)
        kind, length = tower.transformer.get_cast_dtype(), text.shape[1]
        x = tower.token_embedding(text).to(kind) + tower.positional_embedding[:length].to(kind)
        x = tower.ln_final(tower.transformer(x, attn_mask=tower.attn_mask[:length, :length]))
        x = text_global_pool(x, text, end[0], eos_token_id=end[1])  # (N, E)
        project = tower.text_projection
        if project is None:
            return cast(Tensor, x)
        return cast(Tensor, project(x) if isinstance(project, nn.Module) else x @ project)

    def _cut(self, inputs: Mapping[str, Tensor]) -> PatchGraph | None:
        image = inputs["image"]
        visual = self.net.visual
        layer = _layer(visual)
        if layer is None:
            return None
        module, first, side = layer

        def answer() -> Tensor:
            return self.picture_features(inputs)

        if side == 0:
            return cut_map(module, answer)
        return cut_tokens(module, answer, first=first, size=(image.shape[2] // side, image.shape[3] // side))


def _end(tower: LibraryNet) -> tuple[str, int] | None:
    """How a causal text tower finds the end of a text (the library's word for it, and the token); None of others."""
    how = getattr(tower, "pool_type", None) or getattr(tower, "text_pool_type", None)
    causal = getattr(tower, "attn_mask", None) is not None and getattr(tower, "cls_emb", None) is None
    if not causal or how not in {"argmax", "eos"}:
        return None
    return str(how), int(getattr(tower, "eos_id", None) or getattr(tower, "text_eos_id", None) or 0)


def _layer(visual: LibraryNet) -> tuple[nn.Module, int, int] | None:
    """The last layer that holds the patches apart and that all said of them goes through: a normalisation for tokens.

    With it, how many tokens come before those of the patches, and a patch's side in pixels; 0 where it is a map.
    """
    from open_clip.modified_resnet import ModifiedResNet
    from open_clip.timm_model import TimmModel
    from open_clip.transformer import VisionTransformer

    if isinstance(visual, ModifiedResNet):
        return visual.layer4, 0, 0
    if isinstance(visual, VisionTransformer):
        side = visual.patch_size[0]
        if visual.attn_pool is not None:
            return visual.attn_pool.ln_k, 1, side
        if visual.pool_type == "tok":
            return visual.transformer.resblocks[-1].ln_1, 1, side
        return None if visual.final_ln_after_pool else (visual.ln_post, 1, side)
    if not isinstance(visual, TimmModel):
        return None
    trunk = visual.trunk
    side = getattr(getattr(trunk, "patch_embed", None), "patch_size", (0,))[0]
    if side and hasattr(trunk, "blocks") and hasattr(trunk, "num_prefix_tokens"):
        if trunk.global_pool == "token":
            return trunk.blocks[-1].norm1, trunk.num_prefix_tokens, side
        return None if isinstance(trunk.norm, nn.Identity) else (trunk.norm, trunk.num_prefix_tokens, side)
    return next(((getattr(trunk, name), 0, 0) for name in MAPS if hasattr(trunk, name)), None)
