"""How a question and a picture are brought together before the answer is chosen: six ways, one interface."""

from __future__ import annotations

from collections.abc import Mapping

from mmdemo.nets.fusion.attention import CoAttentionFusion, CrossAttentionFusion
from mmdemo.nets.fusion.base import FUSION_NAMES, QUESTION_ENCODERS, AskConfig, Fusion, FusionOutput
from mmdemo.nets.fusion.pooled import EarlyFusion, HybridFusion, LateFusion, WeightedFusion

__all__ = [
    "FUSIONS",
    "FUSION_NAMES",
    "QUESTION_ENCODERS",
    "AskConfig",
    "CoAttentionFusion",
    "CrossAttentionFusion",
    "EarlyFusion",
    "Fusion",
    "FusionOutput",
    "HybridFusion",
    "LateFusion",
    "WeightedFusion",
    "build_fusion",
]

FUSIONS: Mapping[str, type[Fusion]] = {
    "early": EarlyFusion,
    "weighted": WeightedFusion,
    "late": LateFusion,
    "hybrid": HybridFusion,
    "cross-attention": CrossAttentionFusion,
    "co-attention": CoAttentionFusion,
}


def build_fusion(config: AskConfig) -> Fusion:
    """The network that ``config.fusion`` names, with fresh weights."""
    return FUSIONS[config.fusion](config)
