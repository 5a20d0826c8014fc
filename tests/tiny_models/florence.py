"""Florence-2 of one layer at each place, in the layout of florence-community/Florence-2-base."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import CLIPImageProcessor, Florence2Config, Florence2ForConditionalGeneration, Florence2Processor

from tests.tiny_models.blip import shaken
from tests.tiny_models.chat import byte_tokenizer


def make_florence(folder: Path) -> Path:
    """Florence2ForConditionalGeneration; BART begins with its end token and is made to go on with its first."""
    torch.manual_seed(4)
    marks = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>"}
    tokenizer = byte_tokenizer([*marks.values(), "<image>"], **marks, extra_special_tokens={"image_token": "<image>"})
    config = Florence2Config(
        text_config={
            "model_type": "bart",
            "vocab_size": len(tokenizer),
            "d_model": 32,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 64,
            "decoder_ffn_dim": 64,
            "max_position_embeddings": 128,
            "bos_token_id": 0,
            "pad_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 2,
        },
        vision_config={
            "depths": [1, 1],
            "patch_size": [7, 3],
            "patch_stride": [4, 2],
            "patch_padding": [3, 1],
            "patch_prenorm": [False, True],
            "embed_dim": [16, 32],
            "num_heads": [2, 2],
            "num_groups": [2, 2],
            "window_size": 4,
            "projection_dim": 32,
            "max_position_embeddings": 8,
        },
        image_token_id=tokenizer.image_token_id,
    )
    net = shaken(Florence2ForConditionalGeneration(config))
    net.generation_config.update(
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_bos_token_id=0,
        num_beams=3,
        early_stopping=True,
        no_repeat_ngram_size=3,
    )
    net.save_pretrained(folder)
    pictures = CLIPImageProcessor(size={"height": 32, "width": 32}, do_center_crop=False)
    pictures.image_seq_length = 17  # 4 x 4 cells, and one for all of them
    Florence2Processor(pictures, tokenizer, post_processor_config={"pure_text": {}}).save_pretrained(folder)
    return folder
