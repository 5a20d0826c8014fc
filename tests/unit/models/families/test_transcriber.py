"""Words beside the emotion: Whisper as the library documents it, and who gets to show them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf
from numpy.typing import NDArray

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import NO_SPEECH, SAMPLE_RATE, SILENCE, Card, Model, SentimentRequest, SentimentResult, Sound
from mmdemo.models.families.base import RuntimeConfig
from mmdemo.models.families.speech_classifier import SpeechClassifierModel
from mmdemo.models.families.transcriber import LOOK_BACK, Transcriber, WithWords, cut
from tests.sounds import speech_like
from tests.tiny_models.audio import make_speech, make_whisper

LONGEST = 30 * SAMPLE_RATE

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")


def sound(samples: NDArray[np.float32]) -> Sound:
    return Sound(samples=samples, key="k", name="a.wav")


def voice(seconds: float, seed: int = 0) -> Sound:
    return sound(speech_like(seconds, rate=SAMPLE_RATE, seed=seed))


def silence(seconds: float) -> Sound:
    return sound(np.zeros(int(seconds * SAMPLE_RATE), np.float32))


@pytest.fixture(scope="session")
def whispers(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    place = tmp_path_factory.mktemp("whisper")
    return {many: make_whisper(place / str(many), multilingual=many) for many in (True, False)}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> SpeechClassifierModel:
    folder = make_speech(tmp_path_factory.mktemp("speech") / "model")
    return SpeechClassifierModel.open(
        folder, Card(id="m", task="sentiment", summary="", licence=""), how=RuntimeConfig()
    )


def documented(folder: Path, clip: Sound, **told: str) -> str:
    """As in https://huggingface.co/docs/transformers/model_doc/whisper."""
    processor = hf.WhisperProcessor.from_pretrained(folder)
    model = hf.WhisperForConditionalGeneration.from_pretrained(folder)
    features = processor(clip.samples, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
    with torch.no_grad():
        generated = model.generate(features, **told)
    return str(processor.batch_decode(generated, skip_special_tokens=True)[0])


# ---------------------------------------------------------------- writing


def test_words_are_those_of_the_librarys_documented_use(whispers: dict[bool, Path]) -> None:
    clips = [voice(seconds, seed) for seed, seconds in enumerate((1.0, 2.0, 4.0, 6.0))]
    many, english = (Transcriber.open(whispers[kind], RuntimeConfig()) for kind in (True, False))

    found = [many.words(clip) for clip in clips]

    assert found == [documented(whispers[True], clip, task="transcribe") for clip in clips]
    assert [english.words(clip) for clip in clips] == [documented(whispers[False], clip) for clip in clips]
    assert all(found)
    assert len(set(found)) > 1, "the same words for every clip: nothing was tested"


def test_several_languages_are_told_apart_and_never_translated(
    whispers: dict[bool, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Transcriber.open(whispers[True], RuntimeConfig())
    started: list[list[int]] = []
    plain = hf.WhisperForConditionalGeneration._retrieve_init_tokens

    def seen(self: object, *rest: object, **more: object) -> torch.Tensor:
        tokens: torch.Tensor = plain(self, *rest, **more)
        started.append(tokens[0].tolist())
        return tokens

    monkeypatch.setattr(hf.WhisperForConditionalGeneration, "_retrieve_init_tokens", seen)
    writer.words(voice(2.0))

    words = hf.WhisperProcessor.from_pretrained(whispers[True]).tokenizer.convert_ids_to_tokens(started[0])
    assert words[0] == "<|startoftranscript|>"
    assert words[1] in {"<|en|>", "<|de|>"}
    assert words[2:] == ["<|transcribe|>", "<|notimestamps|>"]


def test_nothing_is_made_up_where_nobody_speaks(whispers: dict[bool, Path]) -> None:
    writer = Transcriber.open(whispers[False], RuntimeConfig())

    assert writer.words(silence(2.0)) == ""
    assert writer.words(sound(np.sin(np.arange(2 * SAMPLE_RATE) * 0.2).astype(np.float32))) == ""


def test_long_clips_are_written_piece_by_piece(whispers: dict[bool, Path]) -> None:
    writer = Transcriber.open(whispers[False], RuntimeConfig())
    first, second = voice(20.0, 1), voice(15.0, 2)
    pause = np.zeros(6 * SAMPLE_RATE, np.float32)
    clip = sound(np.concatenate([first.samples, pause, second.samples]))
    pieces = list(cut(clip.samples, LONGEST))

    assert len(pieces) == 2
    assert writer.words(clip) == " ".join(writer.words(sound(piece)) for piece in pieces)


@pytest.mark.parametrize("seconds", [0.0, 3.0, 30.0, 30.01, 61.0, 200.0])
def test_pieces_are_the_whole_and_none_is_too_long(seconds: float) -> None:
    samples = np.random.default_rng(0).standard_normal(int(seconds * SAMPLE_RATE)).astype(np.float32)

    pieces = list(cut(samples, LONGEST))

    assert (np.concatenate(pieces) == samples).all()
    assert all(len(piece) <= LONGEST for piece in pieces)
    assert all(len(piece) >= LONGEST - LOOK_BACK * SAMPLE_RATE for piece in pieces[:-1])


def test_a_piece_ends_in_a_pause() -> None:
    samples = np.random.default_rng(0).standard_normal(50 * SAMPLE_RATE).astype(np.float32)
    start, end = round(27.3 * SAMPLE_RATE), round(27.7 * SAMPLE_RATE)
    samples[start:end] = 0

    first, _ = cut(samples, LONGEST)

    assert start < len(first) < end


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MmdemoError, match="speech cannot write down speech"):
        Transcriber.open(make_speech(tmp_path / "speech"), RuntimeConfig())


def test_fewer_bits_still_write(whispers: dict[bool, Path]) -> None:
    for precision in ("bf16", "int8"):
        writer = Transcriber.open(whispers[True], RuntimeConfig(precision=precision))  # type: ignore[arg-type]
        assert writer.words(voice(2.0))


# ---------------------------------------------------------------- beside the emotion


@pytest.fixture
def worded(model: SpeechClassifierModel, whispers: dict[bool, Path]) -> WithWords:
    return WithWords(model, Transcriber.open(whispers[True], RuntimeConfig()))


def test_words_stand_beside_what_the_model_says(worded: WithWords, model: SpeechClassifierModel) -> None:
    served: Model = worded
    requests = [SentimentRequest(sound=clip) for clip in (voice(2.0), silence(1.0), voice(4.0, 3))]

    results, plain = served.predict(requests), model.predict(requests)

    for result, without, request in zip(results, plain, requests, strict=True):
        assert isinstance(result, SentimentResult)
        assert isinstance(without, SentimentResult)
        assert result.scores == without.scores
        assert result.segments == without.segments
        heard = result.emotion not in {SILENCE, NO_SPEECH}
        assert bool(result.words) == heard
        assert result.to_json().get("words", "") == result.words
        assert ("words" in result.to_json()) == heard
        assert without.words == ""
        if heard:
            assert result.words == worded._transcriber.words(request.sound)  # type: ignore[union-attr]
    assert served.card is model.card
    assert served.explain(requests[0], results[0])[0].cells.shape == (1, 100)


def test_the_emotion_comes_first_and_the_words_later(worded: WithWords) -> None:
    first, last = worded.stream(SentimentRequest(sound=voice(2.0)))
    (only,) = worded.stream(SentimentRequest(sound=silence(1.0)))

    assert isinstance(first, SentimentResult)
    assert isinstance(last, SentimentResult)
    assert isinstance(only, SentimentResult)
    assert (first.words, first.scores) == ("", last.scores)
    assert last.words
    assert last.seconds > first.seconds
    assert only.emotion == SILENCE


def test_memory_of_both_is_counted_and_one_that_writes_for_others_stays(
    tmp_path: Path, whispers: dict[bool, Path], model: SpeechClassifierModel
) -> None:
    writer = Transcriber.open(whispers[False], RuntimeConfig())
    folder = make_speech(tmp_path / "model")
    own = SpeechClassifierModel.open(folder, model.card, how=RuntimeConfig())
    one, other = WithWords(own, writer), WithWords(model, writer)
    held = sum(writer.held().values())

    assert held > 100_000
    assert sum(one.held().values()) == held + sum(own.held().values())
    one.release()
    assert one.held() == {}
    with pytest.raises(MmdemoError, match="has been unloaded"):
        one.predict([SentimentRequest(sound=voice(1.0))])
    (result,) = other.predict([SentimentRequest(sound=voice(1.0))])
    assert isinstance(result, SentimentResult)
    assert result.words
