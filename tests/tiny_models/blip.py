"""BLIP of two layers each, for captions and for questions, in the layout of Salesforce's repositories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipForQuestionAnswering,
    BlipImageProcessor,
)

_WORDS = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] [DEC] a the red blue big small dog cat house ball grass on in of is are it there "
    "what which how many color animal ? . two one yes no sitting run ##s ##ning stand ##ing behind"
)
WORDS = _WORDS.split()

OLD_SETTINGS = {"max_length": 20, "min_length": 0, "num_beams": 1, "do_sample": False, "top_k": 50, "temperature": 1.0}
"""Generation settings stood in the configuration of the network when these repositories were made."""


def bert_tokenizer() -> Any:
    """Word pieces of a few dozen words, as BERT cuts them."""
    return BertTokenizer(vocab={word: i for i, word in enumerate(WORDS)}, bos_token="[DEC]")


def shaken(net: torch.nn.Module, *, by: float = 0.15) -> Any:
    """The network with weights far enough from 0 that pictures and words change what comes out."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * by)
    return net.eval()


def make_blip_caption(folder: Path) -> Path:
    """BlipForConditionalGeneration, as in Salesforce/blip-image-captioning-base."""
    return _write(folder, BlipForConditionalGeneration, seed=111)


def make_blip_ask(folder: Path) -> Path:
    """BlipForQuestionAnswering, as in Salesforce/blip-vqa-base."""
    return _write(folder, BlipForQuestionAnswering, seed=30)


def _write(folder: Path, kind: Any, *, seed: int) -> Path:
    torch.manual_seed(seed)
    side = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    marks = {name: WORDS.index(word) for name, word in (("bos", "[DEC]"), ("eos", "[SEP]"), ("sep", "[SEP]"))}
    text = {
        **side,
        "vocab_size": len(WORDS),
        "encoder_hidden_size": 32,
        "projection_dim": 16,
        "max_position_embeddings": 48,
        "pad_token_id": 0,
        **{f"{name}_token_id": place for name, place in marks.items()},
    }
    vision = {**side, "projection_dim": 16, "image_size": 32, "patch_size": 8}
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=16, image_text_hidden_size=16)
    net = shaken(kind(config))
    net.save_pretrained(folder)
    stored = json.loads((folder / "config.json").read_text())
    stored["text_config"].update(OLD_SETTINGS)
    (folder / "config.json").write_text(json.dumps(stored))
    (folder / "generation_config.json").unlink()

    bert_tokenizer().save_pretrained(folder)
    BlipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    pictures = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps({**pictures, "processor_class": "BlipProcessor"}))
    return folder
