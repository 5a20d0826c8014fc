"""Tiny random models that hear speech, in the hub's own layout: classifiers of emotions, and Whisper as a writer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import transformers as hf
from tokenizers import pre_tokenizers
from torch import nn

EMOTIONS = ("neu", "hap", "ang", "sad")
"""As superb's models call them."""

SPECIAL = (
    *("<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>", "<|transcribe|>"),
    *("<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"),
)
"""Whisper's tokens that are no text, behind the 256 bytes."""

LISTENS = 6.0
"""By how much a tiny Whisper hears more than its weights at random would let it."""

_BODY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": (16, 16, 16),
    "conv_stride": (5, 8, 8),  # 20 ms of 16 kHz, as the seven layers of the real ones
    "conv_kernel": (10, 8, 8),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "classifier_proj_size": 16,
}
_CLASSES = {
    "wav2vec2": (hf.Wav2Vec2Config, hf.Wav2Vec2ForSequenceClassification),
    "hubert": (hf.HubertConfig, hf.HubertForSequenceClassification),
    "wavlm": (hf.WavLMConfig, hf.WavLMForSequenceClassification),
    "unispeech": (hf.UniSpeechConfig, hf.UniSpeechForSequenceClassification),
    "unispeech-sat": (hf.UniSpeechSatConfig, hf.UniSpeechSatForSequenceClassification),
    "data2vec-audio": (hf.Data2VecAudioConfig, hf.Data2VecAudioForSequenceClassification),
}


def make_speech(
    folder: Path,
    kind: str = "wav2vec2",
    *,
    norm: str = "layer",
    labels: Sequence[str] | None = EMOTIONS,
    rate: int = 16_000,
    normalise: bool = True,
    **settings: object,
) -> Path:
    """A classifier over raw samples.

    Args:
        norm: "layer" as the large models have it, which are told where a clip ends; "group" as the base ones.
        labels: None leaves the configuration's own LABEL_0 and so on.
        settings: Further ones of the architecture's configuration.
    """
    config_class, net_class = _CLASSES[kind]
    layout: dict[str, object] = {"feat_extract_norm": norm, "do_stable_layer_norm": norm == "layer", **_BODY}
    if kind == "data2vec-audio":
        layout = {**_BODY, "num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 7}
    config = config_class(**{**layout, **_named(labels), **settings})
    extractor = hf.Wav2Vec2FeatureExtractor(
        sampling_rate=rate, do_normalize=normalise, return_attention_mask=norm == "layer"
    )
    return _finish(folder, net_class, config, extractor)


def make_whisper_classifier(folder: Path, *, labels: Sequence[str] = EMOTIONS) -> Path:
    """Whisper's encoder with a head."""
    config = hf.WhisperConfig(**_whisper(), **_named(labels), classifier_proj_size=16)
    return _finish(folder, hf.WhisperForAudioClassification, config, hf.WhisperFeatureExtractor(feature_size=8))


def make_spectrogram_classifier(folder: Path, *, labels: Sequence[str] = EMOTIONS) -> Path:
    """An audio spectrogram transformer, whose answer is no mean over moments."""
    config = hf.ASTConfig(
        **_named(labels),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_length=128,
        num_mel_bins=16,
        patch_size=8,
        frequency_stride=8,
        time_stride=8,
    )
    extractor = hf.ASTFeatureExtractor(num_mel_bins=16, max_length=128)
    return _finish(folder, hf.ASTForAudioClassification, config, extractor)


def make_whisper(folder: Path, *, multilingual: bool = True) -> Path:
    """Whisper whole: it writes letters at random, until one of them happens to be the end."""
    tokens = writer_tokens()
    ids = {token: tokens.convert_tokens_to_ids(token) for token in SPECIAL}
    end = ids["<|endoftext|>"]
    config = hf.WhisperConfig(
        **_whisper(),
        vocab_size=len(tokens),
        decoder_layers=2,
        decoder_attention_heads=4,
        decoder_ffn_dim=64,
        max_target_positions=48,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=ids["<|startoftranscript|>"],
    )
    processor = hf.WhisperProcessor(hf.WhisperFeatureExtractor(feature_size=8), tokens)
    torch.manual_seed(5)
    net = _perturbed(hf.WhisperForConditionalGeneration(config))
    with torch.no_grad():  # it is to write by what it hears, and not by what it has written
        for name, parameter in net.named_parameters():
            if "encoder_attn." in name or ".conv" in name:
                parameter.mul_(LISTENS)
    several: dict[str, object] = {
        "lang_to_id": {token: ids[token] for token in ("<|en|>", "<|de|>")},
        "task_to_id": {task: ids[f"<|{task}|>"] for task in ("translate", "transcribe")},
    }
    net.generation_config = hf.GenerationConfig(  # not the one made from the model's: that would not keep all of these
        max_length=24,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=config.decoder_start_token_id,
        is_multilingual=multilingual,
        no_timestamps_token_id=ids["<|notimestamps|>"],
        suppress_tokens=[i for i in range(len(tokens)) if not _is_letter(tokens, i) and i != end],
        begin_suppress_tokens=[end],
        **(several if multilingual else {}),
    )
    net.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def writer_tokens() -> hf.WhisperTokenizer:
    """One token for each byte, and the special ones."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: i for i, letter in enumerate(letters)}
    tokens = hf.WhisperTokenizer(vocab={**vocabulary, SPECIAL[0]: len(letters)}, merges=[])
    tokens.add_special_tokens({"additional_special_tokens": list(SPECIAL[1:])})
    return tokens


def _is_letter(tokens: hf.WhisperTokenizer, i: int) -> bool:
    token = tokens.convert_ids_to_tokens(i)
    return len(token) == 1 and token.isascii() and token.isalpha()


def _whisper() -> dict[str, object]:
    return {
        "d_model": 32,
        "encoder_layers": 2,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "num_mel_bins": 8,
        "max_source_positions": 1500,
    }


def _named(labels: Sequence[str] | None) -> dict[str, object]:
    if labels is None:
        return {"num_labels": len(EMOTIONS)}
    return {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}


def _perturbed(net: nn.Module) -> nn.Module:
    """Larger weights and norms other than 1: else all clips sound alike to a fresh network."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return net.eval()


def _finish(folder: Path, net_class: type, config: hf.PreTrainedConfig, extractor: object) -> Path:
    torch.manual_seed(4)
    _perturbed(net_class(config)).save_pretrained(folder)
    extractor.save_pretrained(folder)  # type: ignore[attr-defined]
    return folder
