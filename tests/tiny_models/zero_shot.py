"""Tiny random models of transformers that match pictures with texts, in the hub's own layout."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tests.tiny_models.open_clip_ import SENTENCES, perturb, pieces_of, words_of

SIDE = 32
_VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 8,
}
_TEXT = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def make_clip(folder: Path) -> Path:
    """CLIP, whose pictures are cropped to a square."""
    words = _clip_words()
    config = hf.CLIPConfig(
        text_config={
            **_TEXT,
            "vocab_size": len(words),
            "max_position_embeddings": 77,
            "bos_token_id": words.bos_token_id,
            "eos_token_id": words.eos_token_id,
            "pad_token_id": words.pad_token_id,
        },
        vision_config=_VISION,
        projection_dim=16,
    )
    pictures = hf.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    return _finish(folder, hf.CLIPModel, config, hf.CLIPProcessor(image_processor=pictures, tokenizer=words))


def make_siglip(folder: Path) -> Path:
    """SigLIP, and what is published as SigLIP 2 with pictures of a fixed size."""
    words = words_of(SENTENCES)
    words.model_max_length = 64
    config = hf.SiglipConfig(
        text_config={**_TEXT, "vocab_size": len(words), "max_position_embeddings": 64, "projection_size": 16},
        vision_config=_VISION,
    )
    pictures = hf.SiglipImageProcessor(size={"height": SIDE, "width": SIDE})
    return _finish(folder, hf.SiglipModel, config, pictures, words)


def make_siglip2(folder: Path) -> Path:
    """SigLIP 2 with pictures of any shape, as patches."""
    words = words_of(SENTENCES)
    words.model_max_length = 64
    config = hf.Siglip2Config(
        text_config={**_TEXT, "vocab_size": len(words), "max_position_embeddings": 64, "projection_size": 16},
        vision_config={
            **{k: v for k, v in _VISION.items() if k != "image_size"},
            "num_patches": 16,
        },
    )
    pictures = hf.Siglip2ImageProcessor(patch_size=8, max_num_patches=20)
    return _finish(folder, hf.Siglip2Model, config, pictures, words)


def make_chinese_clip(folder: Path) -> Path:
    """Chinese CLIP, whose text tower is a BERT."""
    words = _bert_words(["一张狗的照片。", "猫和车的图片", *SENTENCES])
    config = hf.ChineseCLIPConfig(
        text_config={**_TEXT, "vocab_size": len(words), "max_position_embeddings": 52},
        vision_config=_VISION,
        projection_dim=16,
    )
    pictures = hf.ChineseCLIPImageProcessor(size={"height": SIDE, "width": SIDE}, do_center_crop=False)
    return _finish(folder, hf.ChineseCLIPModel, config, pictures, words)


def make_altclip(folder: Path) -> Path:
    """AltCLIP, whose text tower is an XLM-RoBERTa of many languages."""
    words = _roberta_words()
    config = hf.AltCLIPConfig(
        text_config={
            **_TEXT,
            "vocab_size": len(words),
            "max_position_embeddings": 66,
            "pad_token_id": words.pad_token_id,
            "project_dim": 16,
        },
        vision_config=_VISION,
        projection_dim=16,
    )
    pictures = hf.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    return _finish(folder, hf.AltCLIPModel, config, pictures, words)


def make_align(folder: Path) -> Path:
    """ALIGN: an EfficientNet and a BERT."""
    words = _bert_words(SENTENCES)
    config = hf.AlignConfig(
        text_config={**_TEXT, "vocab_size": len(words), "max_position_embeddings": 64},
        vision_config={
            "image_size": SIDE,
            "width_coefficient": 1.0,
            "depth_coefficient": 0.1,
            "depth_divisor": 4,
            "kernel_sizes": [3],
            "in_channels": [32],
            "out_channels": [16],
            "depthwise_padding": [],
            "strides": [2],
            "num_block_repeats": [1],
            "expand_ratios": [1],
            "hidden_dim": 16,
        },
        projection_dim=16,
    )
    pictures = hf.EfficientNetImageProcessor(size={"height": SIDE, "width": SIDE}, do_center_crop=False)
    return _finish(folder, hf.AlignModel, config, pictures, words)


def _finish(
    folder: Path,
    kind: type[hf.PreTrainedModel],
    config: hf.PreTrainedConfig,
    *processors: hf.ProcessorMixin | hf.ImageProcessingMixin | hf.PreTrainedTokenizerBase,
) -> Path:
    torch.manual_seed(0)
    net = kind(config)
    perturb(net)
    with torch.no_grad():  # vectors of untrained towers are almost all alike
        for name, value in net.state_dict().items():
            if "layer_norm" not in name and value.is_floating_point() and value.dim() > 1:
                value.add_(torch.randn(value.shape) * 0.3)
    net.save_pretrained(folder)
    for processor in processors:
        processor.save_pretrained(folder)
    return folder


def _clip_words() -> hf.PreTrainedTokenizerBase:
    """CLIP's kind of words: letters, the last of each word with </w> behind it."""
    letters = "abcdefghijklmnopqrstuvwxyz.,:"
    names = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return hf.CLIPTokenizer(vocab={name: i for i, name in enumerate(names)}, merges=[], model_max_length=77)


def _bert_words(sentences: list[str]) -> hf.PreTrainedTokenizerBase:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return hf.BertTokenizer(vocab=pieces_of(sentences, special), model_max_length=52)


def _roberta_words() -> hf.PreTrainedTokenizerBase:
    tokenizer = Tokenizer(models.WordPiece(pieces_of(SENTENCES, ["<s>", "<pad>", "</s>", "<unk>"]), unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=64,
    )
