"""Published classifiers of speech: as the library documents them, whatever they are heard together with."""

from __future__ import annotations

import copy
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import SAMPLE_RATE, SILENCE, Card, SentimentRequest, SentimentResult, Sound
from mmdemo.models.families.base import Precision, RuntimeConfig
from mmdemo.models.families.emotion_names import OTHERS, OURS, feels, labels_of, to_canonical_label
from mmdemo.models.families.precision import eight_bits, four_bits
from mmdemo.models.families.speech_classifier import SpeechClassifierModel
from mmdemo.models.sentiment_windows import WindowPlan
from tests.sounds import speech_like
from tests.tiny_models.audio import make_spectrogram_classifier, make_speech, make_whisper_classifier

ROOT = Path(__file__).parents[4]
SECONDS = (1.0, 1.7, 2.9, 1.0, 0.6)
KINDS = (
    *(("wav2vec2", "layer"), ("wav2vec2", "group"), ("hubert", "layer"), ("hubert", "group")),
    *(("wavlm", "layer"), ("wavlm", "group"), ("unispeech", "layer"), ("unispeech-sat", "layer")),
    ("data2vec-audio", "layer"),
)
WHISPER, SPECTROGRAM = ("whisper", ""), ("spectrogram", "")

# the library masks WavLM's attention with numbers where torch wants truth values; our own calls need no mask
pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")


def voice(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    return speech_like(seconds, rate=SAMPLE_RATE, seed=seed)


def sound(samples: NDArray[np.float32], name: str = "a.wav") -> Sound:
    return Sound(samples=samples, key=name, name=name)


def card(name: str = "someone/model") -> Card:
    return Card(id=name, task="sentiment", summary="", licence="mit", limits=("First.",))


def opened(folder: Path, how: RuntimeConfig | None = None) -> SpeechClassifierModel:
    return SpeechClassifierModel.open(folder, card(), how=how or RuntimeConfig())


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    place = tmp_path_factory.mktemp("audio")
    made = {kind: make_speech(place / "-".join(kind), kind[0], norm=kind[1]) for kind in KINDS}
    made[WHISPER] = make_whisper_classifier(place / "whisper")
    made[SPECTROGRAM] = make_spectrogram_classifier(place / "spectrogram")
    return made


@cache
def theirs(folder: Path) -> tuple[Any, Any]:
    return hf.AutoFeatureExtractor.from_pretrained(folder), hf.AutoModelForAudioClassification.from_pretrained(folder)


def documented(folder: Path, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities by https://huggingface.co/docs/transformers/tasks/audio_classification."""
    extractor, model = theirs(folder)
    inputs = extractor(samples, sampling_rate=extractor.sampling_rate, return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits
    return logits.softmax(dim=-1)[0].numpy()


# ---------------------------------------------------------------- what comes out


@pytest.mark.parametrize("kind", [*KINDS, WHISPER, SPECTROGRAM], ids="-".join)
def test_clips_heard_together_answer_as_the_library_documents_it_for_each_alone(
    folders: dict[tuple[str, str], Path], kind: tuple[str, str]
) -> None:
    clips = [voice(seconds, seed) for seed, seconds in enumerate(SECONDS)]

    found = opened(folders[kind]).probabilities(clips)

    expected = np.stack([documented(folders[kind], clip) for clip in clips])
    assert np.abs(found - expected).max() < 1e-5
    assert np.abs(expected - expected[0]).max() > 1e-4, "all clips sound alike: nothing was tested"


@pytest.mark.parametrize("kind", [("wav2vec2", "group"), ("hubert", "group"), ("data2vec-audio", "layer")])
def test_such_kinds_would_hear_the_silence_behind_a_shorter_clip(
    folders: dict[tuple[str, str], Path], kind: tuple[str, str]
) -> None:
    short, longer = voice(1.0), voice(2.9, 1)
    behind = np.concatenate([short, np.zeros(len(longer) - len(short), np.float32)])

    assert np.abs(documented(folders[kind], behind) - documented(folders[kind], short)).max() > 1e-4


def test_probabilities_of_a_whole_clip_are_those_of_the_window_as_it_was_prepared(
    folders: dict[tuple[str, str], Path],
) -> None:
    clip = sound(voice(2.0))
    (result,) = opened(folders["wav2vec2", "layer"]).predict([SentimentRequest(sound=clip)])

    assert isinstance(result, SentimentResult)
    expected = documented(folders["wav2vec2", "layer"], WindowPlan(clip).spoken[0])
    names = ("neutral", "happy", "angry", "sad")  # as the configuration names its units: neu, hap, ang, sad
    for item in result.scores:
        assert item.score == pytest.approx(expected[names.index(item.label)], abs=1e-5)
    assert result.sentiment["negative"] == pytest.approx(expected[2] + expected[3], abs=1e-5)
    assert result.sentiment["positive"] == pytest.approx(expected[1], abs=1e-5)
    assert sum(result.sentiment.values()) == pytest.approx(1)
    assert result.model == "someone/model"
    assert result.file == "a.wav"


def test_a_longer_clip_is_told_window_by_window_and_silence_is_passed_over(
    folders: dict[tuple[str, str], Path],
) -> None:
    model = opened(folders["wav2vec2", "layer"])
    silent = sound(np.zeros(SAMPLE_RATE, np.float32))
    both = np.concatenate([voice(4.0), np.zeros(5 * SAMPLE_RATE, np.float32)])

    long, nothing = model.predict([SentimentRequest(sound=sound(both)), SentimentRequest(sound=silent)])

    assert isinstance(long, SentimentResult)
    assert isinstance(nothing, SentimentResult)
    assert [part.emotion == SILENCE for part in long.segments][-2:] == [True, True]
    spoken = [part for part in long.segments if part.scores]
    assert len(spoken) >= 2
    weights = np.array([part.end - part.start for part in spoken])
    for item in long.scores:
        shares = [next(s.score for s in part.scores if s.label == item.label) for part in spoken]
        assert item.score == pytest.approx(float(np.average(shares, weights=weights)))
    assert all(0 < part.uncertainty <= 1 for part in spoken)
    assert (nothing.emotion, nothing.scores, nothing.sure) == (SILENCE, (), False)


def test_a_model_of_another_rate_hears_resampled_clips(tmp_path: Path) -> None:
    import soxr

    folder = make_speech(tmp_path / "telephone", rate=8_000)
    clip = voice(1.5)

    (found,) = opened(folder).probabilities([clip])

    assert np.abs(found - documented(folder, soxr.resample(clip, SAMPLE_RATE, 8_000))).max() < 1e-5


def test_units_of_one_meaning_are_summed(tmp_path: Path) -> None:
    folder = make_speech(tmp_path / "both", labels=("male_angry", "female_angry", "male_sad", "female_happy"))
    model, clip = opened(folder), voice(1.5)

    (found,) = model.probabilities([clip])

    expected = documented(folder, clip)
    assert model.config.labels == ("angry", "sad", "happy")
    assert np.abs(found - [expected[0] + expected[1], expected[2], expected[3]]).max() < 1e-5


# ---------------------------------------------------------------- when it listened


@pytest.mark.parametrize("kind", [("wav2vec2", "layer"), ("wav2vec2", "group"), ("wavlm", "layer")], ids="-".join)
def test_moments_add_up_to_the_logits(folders: dict[tuple[str, str], Path], kind: tuple[str, str]) -> None:
    clip, model = voice(1.5), opened(folders[kind])

    added, seconds = model.moments(clip)

    bare = model.net.classifier(model.net.projector(torch.zeros(1, 32)))[0]
    logits = added.sum(dim=0) + bare
    assert np.abs(logits.softmax(dim=0).numpy() - documented(folders[kind], clip)).max() < 1e-5
    assert len(added) * seconds == pytest.approx(1.5)


def test_the_map_covers_the_clip_and_is_dark_where_nothing_was_said(folders: dict[tuple[str, str], Path]) -> None:
    model = opened(folders["wav2vec2", "layer"])
    request = SentimentRequest(sound=sound(np.concatenate([voice(4.0), np.zeros(5 * SAMPLE_RATE, np.float32)])))
    (result,) = model.predict([request])

    (heat,) = model.explain(request, result)

    assert heat.cells.shape == (1, 100)
    assert heat.cells.max() == pytest.approx(1)
    assert (heat.cells[0, 60:] == 0).all()
    assert np.unique(heat.cells[0, :40]).size > 10


def test_whisper_tells_moments_and_a_spectrogram_transformer_does_not(folders: dict[tuple[str, str], Path]) -> None:
    request = SentimentRequest(sound=sound(voice(2.0)))
    whisper, spectrogram = opened(folders[WHISPER]), opened(folders[SPECTROGRAM])

    assert len(whisper.moments(voice(2.0))[0]) == 100
    assert len(whisper.explain(request, whisper.predict([request])[0])) == 1
    assert spectrogram.explain(request, spectrogram.predict([request])[0]) == ()


# ---------------------------------------------------------------- labels


def test_every_name_in_the_table_means_one_label() -> None:
    names = [name for others in (OURS.values(), (n for _, n in OTHERS.values())) for some in others for name in some]

    assert len(names) == len(set(names))
    assert to_canonical_label("hap") == to_canonical_label("Happiness") == to_canonical_label("female_happy") == "happy"
    assert to_canonical_label("FEAR ") == to_canonical_label("fearful") == "fearful"
    assert [to_canonical_label(name) for name in ("ang", "dis", "sur", "neu", "calm", "sadness")] == [
        *("angry", "disgust", "surprised", "neutral", "calm", "sad")
    ]
    assert feels("boredom") == "negative"
    assert (to_canonical_label("Sleepiness"), feels("Sleepiness")) == ("Sleepiness", None)


def test_labels_go_by_name_and_never_by_place() -> None:
    one = labels_of({0: "sad", 1: "hap"}, model="m")
    other = labels_of({1: "sad", 0: "hap"}, model="m")

    assert (one, other) == (("sad", "happy"), ("happy", "sad"))


def test_an_unknown_label_keeps_its_name_counts_as_neutral_and_is_told_in_the_card(tmp_path: Path) -> None:
    model = opened(make_speech(tmp_path / "strange", labels=("ang", "sleepy", "hap", "pensive")))

    (result,) = model.predict([SentimentRequest(sound=sound(voice(1.5)))])

    assert isinstance(result, SentimentResult)
    scores = {item.label: item.score for item in result.scores}
    assert result.sentiment["neutral"] == pytest.approx(scores["sleepy"] + scores["pensive"])
    assert model.card.limits == ("First.", "What it calls sleepy and pensive counts as neither negative nor positive.")
    assert "ang is shown as angry, hap is shown as happy" in model.card.text


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (None, "gives its 4 labels no names (LABEL_0 …): nobody can tell which emotion is which"),
        (("0", "1", "2"), "no names"),
        (("yes", "no", "up", "down"), "its labels are no emotions: yes, no, up, down"),
        (("angry", "up", "down"), "its labels are no emotions"),
    ],
)
def test_labels_that_say_nothing_of_feelings_are_refused(
    tmp_path: Path, labels: tuple[str, ...] | None, said: str
) -> None:
    with pytest.raises(MmdemoError, match="someone/model cannot be used for sentiment") as caught:
        opened(make_speech(tmp_path / "refused", labels=labels))

    assert said in str(caught.value)


def test_a_regression_is_refused(tmp_path: Path) -> None:
    folder = make_speech(tmp_path / "regression", labels=("anger", "joy"), problem_type="regression")

    with pytest.raises(MmdemoError, match="it was trained for regression"):
        opened(folder)


# ---------------------------------------------------------------- files


def test_a_head_that_the_library_would_draw_at_random_is_refused(
    folders: dict[tuple[str, str], Path], tmp_path: Path
) -> None:
    """Some published models have a head of their own making, which transformers passes over without an error."""
    tensors = load_file(folders["wav2vec2", "layer"] / "model.safetensors")
    renamed = {name.replace("classifier.", "classifier.dense."): tensor for name, tensor in tensors.items()}
    folder = copied(folders["wav2vec2", "layer"], tmp_path / "own", renamed)

    with pytest.raises(MmdemoError, match=r"its weights lack classifier\.bias"):
        opened(folder)


def test_weights_of_before_torch_2_are_the_same(folders: dict[tuple[str, str], Path], tmp_path: Path) -> None:
    """The norm of the positional convolution had other names then, and most published files still have them."""
    tensors = load_file(folders["wav2vec2", "layer"] / "model.safetensors")
    old = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for name, tensor in tensors.items()
    }
    assert old.keys() != tensors.keys()
    clips = [voice(1.5)]

    found = opened(copied(folders["wav2vec2", "layer"], tmp_path / "old", old)).probabilities(clips)

    assert (found == opened(folders["wav2vec2", "layer"]).probabilities(clips)).all()


def test_a_folder_without_settings_for_sound_is_refused(folders: dict[tuple[str, str], Path], tmp_path: Path) -> None:
    tensors = load_file(folders["wav2vec2", "layer"] / "model.safetensors")
    folder = copied(folders["wav2vec2", "layer"], tmp_path / "half", tensors)
    (folder / "preprocessor_config.json").unlink()

    with pytest.raises(MmdemoError, match="someone/model cannot be loaded"):
        opened(folder)


def copied(folder: Path, to: Path, tensors: dict[str, torch.Tensor]) -> Path:
    to.mkdir()
    for name in ("config.json", "preprocessor_config.json"):
        (to / name).write_bytes((folder / name).read_bytes())
    save_file(tensors, to / "model.safetensors", metadata={"format": "pt"})
    return to


# ---------------------------------------------------------------- life


@pytest.mark.parametrize("kind", [("wav2vec2", "layer"), ("wavlm", "layer"), WHISPER], ids="-".join)
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_fewer_bits_change_little(
    folders: dict[tuple[str, str], Path], kind: tuple[str, str], precision: Precision
) -> None:
    clips = [voice(1.5), voice(0.8, 1)]
    exact = opened(folders[kind]).probabilities(clips)
    model = opened(folders[kind], RuntimeConfig(precision=precision))

    found = model.probabilities(clips)

    assert 0 < np.abs(found - exact).max() < 0.02
    assert sum(model.held().values()) > 0
    assert len(model.moments(clips[0])[0]) > 0


@pytest.mark.parametrize("kind", ["wav2vec2", "wavlm"])
def test_attention_that_reads_weights_itself_works_beside_rounded_layers(tmp_path: Path, kind: str) -> None:
    model = opened(make_speech(tmp_path / kind, kind, hidden_size=128, intermediate_size=256))
    clips = [voice(1.5)]
    plain, exact = model.net, model.probabilities(clips)

    for rounded in (eight_bits, lambda net: four_bits(net, "cpu")):
        model.net = rounded(copy.deepcopy(plain))
        assert any(type(parameter) is not torch.nn.Parameter for parameter in model.net.parameters())
        assert 0 < np.abs(model.probabilities(clips) - exact).max() < 0.05


def test_memory_is_counted_and_given_back(folders: dict[tuple[str, str], Path]) -> None:
    model = opened(folders["wav2vec2", "layer"])
    file = (folders["wav2vec2", "layer"] / "model.safetensors").stat().st_size

    assert file * 0.9 < sum(model.held().values()) < file * 1.2
    model.release()
    assert model.held() == {}
    with pytest.raises(MmdemoError, match="has been unloaded"):
        model.predict([SentimentRequest(sound=sound(voice(1.0)))])


def real_encoder() -> Path | None:
    given = os.environ.get("MMDEMO_TEST_BASES")
    places = [Path(given)] if given else [ROOT / "bases", ROOT.parent / "bases"]
    return next((place / "whisper-tiny.en-encoder" for place in places if place.is_dir()), None)


@pytest.mark.skipif(real_encoder() is None, reason="no base encoders here (MMDEMO_TEST_BASES)")
def test_the_real_encoder_of_whisper_hears_as_the_library_does(tmp_path: Path) -> None:
    base = real_encoder()
    assert base is not None
    config = hf.WhisperConfig.from_pretrained(base, id2label={0: "calm", 1: "ang"}, label2id={"calm": 0, "ang": 1})
    torch.manual_seed(0)
    fresh = hf.WhisperForAudioClassification(config)
    encoder = WhisperEncoder.from_pretrained(base, dtype=torch.float32)
    fresh.encoder.load_state_dict(encoder.state_dict())
    fresh.save_pretrained(tmp_path)
    hf.WhisperFeatureExtractor.from_pretrained(base).save_pretrained(tmp_path)
    clip = voice(2.0)

    model = opened(tmp_path)
    inputs = model.inputs([clip])
    with torch.inference_mode():
        states = model.net.encoder(**inputs).last_hidden_state

    features = hf.WhisperFeatureExtractor.from_pretrained(base)(clip, sampling_rate=SAMPLE_RATE, return_tensors="pt")
    with torch.no_grad():
        expected = encoder.eval()(features.input_features).last_hidden_state
    assert (states - expected).abs().max() < 1e-5
    assert expected.std() > 0.1
    assert np.abs(model.probabilities([clip])[0] - documented(tmp_path, clip)).max() < 1e-5
