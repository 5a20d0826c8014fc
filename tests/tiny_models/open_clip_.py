"""Tiny random models of open_clip in the layout of its hub repositories (open_clip.push_to_hf_hub.save_for_hf)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import PreTrainedTokenizerFast

WEIGHTS = "open_clip_model.safetensors"
SENTENCES = [
    "a photo of a dog on green grass.",
    "a photo of the red car in a street.",
    "two cats sit in the snow, a picture of something.",
    "an image of an object: a boat in blue water.",
    "a sketch, a painting, a drawing and a rendering of it.",
]

CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 2},
}
SIGMOID = {
    "embed_dim": 24,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 24, "head_width": 8, "patch_size": 8, "pool_type": "avg"},
    "text_cfg": {
        "context_length": 24,
        "vocab_size": 200,
        "hf_tokenizer_name": "somebody/tokenizer",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "width": 24,
        "heads": 2,
        "layers": 2,
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
        "norm_kwargs": {"eps": 1e-6},
        "act_kwargs": {"approximate": "tanh"},
    },
}
PREPROCESS = {"mean": [0.48, 0.45, 0.4], "std": [0.26, 0.26, 0.27], "interpolation": "bicubic"}


def make_clip(folder: Path) -> Path:
    """CLIP as OpenAI built it: a ViT with a class token, a causal text tower, CLIP's own words."""
    torch.manual_seed(0)
    return _finish(folder, open_clip.CLIP(**CLIP), CLIP, {**PREPROCESS, "resize_mode": "shortest"})


def make_sigmoid(folder: Path) -> Path:
    """Trained with a sigmoid as SigLIP is, on the words of a tokenizer that lies in the folder."""
    words_of(SENTENCES).save_pretrained(folder)
    return _finish(folder, _custom(SIGMOID), SIGMOID, {**PREPROCESS, "resize_mode": "squash"})


def make_timm(folder: Path, *, trunk: str) -> Path:
    """With a picture tower of timm, and a causal text tower whose answer stands at the end of the text."""
    config = {
        "embed_dim": 16,
        "custom_text": True,
        "vision_cfg": {"timm_model_name": trunk, "timm_pool": "", "timm_proj": "linear", "image_size": 160},
        "text_cfg": {
            "context_length": 24,
            "vocab_size": 200,
            "hf_tokenizer_name": "somebody/tokenizer",
            "width": 24,
            "heads": 2,
            "layers": 2,
            "pool_type": "eos",
            "eos_id": 1,
        },
    }
    words_of(SENTENCES).save_pretrained(folder)
    return _finish(folder, _custom(config), config, {**PREPROCESS, "resize_mode": "longest"})


def words_of(sentences: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of the words of a few sentences, and of letters; every text ends in </s>."""
    vocabulary = pieces_of(sentences, ["<pad>", "</s>", "<unk>"])
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=24
    )


def pieces_of(sentences: list[str], special: list[str]) -> dict[str, int]:
    """Special pieces, words and letters, and letters within words, by number."""
    letters = sorted({letter for sentence in sentences for letter in sentence.lower() if letter != " "})
    words = sorted({word for sentence in sentences for word in sentence.lower().split() if word.isalpha()})
    names = dict.fromkeys([*special, *words, *letters, *(f"##{letter}" for letter in letters)])
    return {name: i for i, name in enumerate(names)}


def perturb(net: nn.Module, seed: int = 0) -> None:
    """Moves every number: what starts at 0 or 1 would make wrong code look right."""
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.randn(value.shape, generator=dice) * 0.05)
        for name, value in net.state_dict().items():
            if name.endswith("logit_bias"):
                value.fill_(-0.7)  # -10 would bring every probability to 0


def _custom(config: Mapping[str, object]) -> nn.Module:
    torch.manual_seed(0)
    net: nn.Module = open_clip.CustomTextCLIP(**{k: v for k, v in config.items() if k != "custom_text"})
    return net


def _finish(folder: Path, net: nn.Module, config: Mapping[str, object], preprocess: Mapping[str, object]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    perturb(net)
    half = {name: tensor.half().contiguous() for name, tensor in net.state_dict().items()}  # as many on hubs are
    save_file(half, folder / WEIGHTS)
    text = json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}, indent=2)
    (folder / "open_clip_config.json").write_text(text, encoding="utf-8")
    return folder
