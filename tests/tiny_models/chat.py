"""Models that chat about pictures: SmolVLM, Qwen3-VL and LLaVA of two layers, each in its repositories' layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
    SmolVLMVideoProcessor,
)

from tests.tiny_models.blip import shaken

_TEXT = [
    "what color is the big red dog in the grass? answer with a word or a short phrase.",
    "describe this picture in one short sentence. a small cat is sitting on a blue ball behind the house.",
]

TEMPLATE = (
    "{% for message in messages %}START{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}PICTURE{% else %}{{ part['text'] }}{% endif %}{% endfor %}END\n{% endfor %}"
    "{% if add_generation_prompt %}STARTassistant\n{% endif %}"
)
"""START, PICTURE and END stand for the marks of an architecture."""

LAYERS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def byte_tokenizer(marks: list[str], **special: Any) -> Any:
    """Byte pairs of a few English words, every byte among them, behind the marks of an architecture."""
    pairs = Tokenizer(models.BPE())
    pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pairs.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=len(marks) + 256 + 60,
        special_tokens=marks,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    pairs.train_from_iterator(_TEXT, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=pairs, **special)


def template(*, start: str, picture: str, end: str) -> str:
    return TEMPLATE.replace("START", start).replace("PICTURE", picture).replace("END", end)


def make_qwen(folder: Path) -> Path:
    """Qwen3VLForConditionalGeneration: pictures keep their shapes, positions are three-dimensional."""
    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
    marks += ["<|image_pad|>", "<|video_pad|>"]
    tokenizer = byte_tokenizer(marks, pad_token="<|endoftext|>", eos_token="<|im_end|>")
    config = Qwen3VLConfig(
        text_config={
            **LAYERS,
            "vocab_size": len(tokenizer),
            "num_key_value_heads": 1,
            "head_dim": 16,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]},
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 8,
            "out_hidden_size": 32,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0],
        },
        **_places(tokenizer, image="<|image_pad|>", video="<|video_pad|>"),
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    )
    sizes = {"patch_size": 8, "size": {"shortest_edge": 16 * 16, "longest_edge": 64 * 64}}
    processor = Qwen3VLProcessor(
        Qwen2VLImageProcessor(**sizes),
        tokenizer,
        Qwen3VLVideoProcessor(patch_size=8),
        chat_template=template(
            start="<|im_start|>", picture="<|vision_start|><|image_pad|><|vision_end|>", end="<|im_end|>"
        ),
    )
    # what makers publish is often for sampling, and has a limit of its own
    sampling = {"do_sample": True, "temperature": 0.7, "top_p": 0.8, "top_k": 20, "max_length": 64}
    return _write(folder, Qwen3VLForConditionalGeneration, config, processor, seed=34, **sampling)


def make_llava(folder: Path) -> Path:
    """LlavaForConditionalGeneration: a CLIP trunk before a Llama; its processor adds the first token itself."""
    tokenizer = byte_tokenizer(
        ["<s>", "</s>", "<pad>", "<image>"], bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    config = LlavaConfig(
        text_config=LlamaConfig(**LAYERS, vocab_size=len(tokenizer), max_position_embeddings=256),
        vision_config=CLIPVisionConfig(**LAYERS, image_size=32, patch_size=8, projection_dim=16),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
        vision_feature_layer=-2,
    )
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template(start="", picture="<image>\n", end=""),
    )
    return _write(folder, LlavaForConditionalGeneration, config, processor, seed=23)


def make_smolvlm(folder: Path) -> Path:
    """SmolVLMForConditionalGeneration: a picture is cut into tiles, how many depends on its shape."""
    marks = ["<|im_start|>", "<end_of_utterance>", "<fake_token_around_image>", "<image>", "<global-img>"]
    marks += [f"<row_{row}_col_{column}>" for row in range(1, 4) for column in range(1, 4)]
    tokenizer = byte_tokenizer(marks, pad_token="<|im_start|>", eos_token="<end_of_utterance>")
    config = SmolVLMConfig(
        text_config={"model_type": "llama", **LAYERS, "vocab_size": len(tokenizer), "num_key_value_heads": 1},
        vision_config={**LAYERS, "image_size": 32, "patch_size": 8},
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=0,
    )
    sizes = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}}
    processor = SmolVLMProcessor(
        SmolVLMImageProcessor(**sizes),
        tokenizer,
        SmolVLMVideoProcessor(**sizes),
        image_seq_len=4,
        chat_template=template(start="<|im_start|>", picture="<image>", end="<end_of_utterance>"),
    )
    return _write(folder, SmolVLMForConditionalGeneration, config, processor, seed=14)


def _places(tokenizer: Any, **marks: str) -> dict[str, int]:
    return {f"{name}_token_id": tokenizer.convert_tokens_to_ids(mark) for name, mark in marks.items()}


def _write(folder: Path, kind: Any, config: Any, processor: Any, *, seed: int, **settings: Any) -> Path:
    torch.manual_seed(seed)
    net = shaken(kind(config))
    net.generation_config.update(
        eos_token_id=processor.tokenizer.eos_token_id, pad_token_id=processor.tokenizer.pad_token_id, **settings
    )
    net.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
