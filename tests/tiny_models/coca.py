"""A tiny random CoCa in the layout of open_clip's hub repositories."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file

from tests.tiny_models.open_clip_ import PREPROCESS, WEIGHTS, perturb

COCA = {
    "embed_dim": 8,
    "vision_cfg": {
        "image_size": 32,
        "layers": 2,
        "width": 16,
        "head_width": 8,
        "patch_size": 8,
        "attentional_pool": True,
        "attn_pooler_heads": 2,
        "attn_pooler_queries": 6,
        "output_tokens": True,
    },
    "text_cfg": {
        "context_length": 30,
        "vocab_size": 49408,
        "width": 8,
        "heads": 2,
        "layers": 2,
        "embed_cls": True,
        "output_tokens": True,
    },
    "multimodal_cfg": {
        "context_length": 30,
        "vocab_size": 49408,
        "width": 8,
        "heads": 2,
        "layers": 2,
        "attn_pooler_heads": 2,
    },
    "custom_text": True,
}


def make_coca(folder: Path) -> Path:
    """With CLIP's own words; its captions are nonsense, and end now and then."""
    torch.manual_seed(0)
    net = open_clip.CoCa(**{k: v for k, v in COCA.items() if k != "custom_text"})
    with torch.no_grad():
        net.text_decoder.text_projection.normal_()  # open_clip leaves these as they are found in memory
        for tower in (net.text_decoder, net.text):
            for parameter in tower.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.2)
    perturb(net)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.half().contiguous() for name, tensor in net.state_dict().items()}, folder / WEIGHTS)
    text = json.dumps({"model_cfg": COCA, "preprocess_cfg": PREPROCESS}, indent=2)
    (folder / "open_clip_config.json").write_text(text, encoding="utf-8")
    return folder
