"""ViLT of two layers with a head over nine answers, in the layout of dandelin/vilt-b32-finetuned-vqa."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import ViltConfig, ViltForQuestionAnswering, ViltImageProcessor, ViltProcessor

from tests.tiny_models.blip import WORDS, bert_tokenizer, shaken

ANSWERS = ("yes", "no", "2", "dog", "cat", "red", "blue", "grass", "ball")


def make_vilt(folder: Path) -> Path:
    """ViltForQuestionAnswering; its processor keeps shapes of pictures, so that batches are padded."""
    torch.manual_seed(3)
    config = ViltConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=24,
        image_size=64,
        patch_size=16,
        id2label=dict(enumerate(ANSWERS)),
        label2id={name: i for i, name in enumerate(ANSWERS)},
    )
    shaken(ViltForQuestionAnswering(config)).save_pretrained(folder)
    pictures = ViltImageProcessor(size={"shortest_edge": 64}, size_divisor=16)
    ViltProcessor(pictures, bert_tokenizer()).save_pretrained(folder)
    return folder
