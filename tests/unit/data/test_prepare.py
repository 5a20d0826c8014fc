"""From examples to rows: how right an answer is, and the made trials that Classify is calibrated by."""

from __future__ import annotations

import pytest

from mmdemo.core.config import CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.data.prepare import Encoders, answer_shares, object_trials
from mmdemo.data.prepare.classify import hold_out, label_trials
from mmdemo.data.prepare.hub import emotions
from mmdemo.data.prepare.inputs import DatasetSplits
from mmdemo.data.read import Dataset, Example


def test_how_right_an_answer_is() -> None:
    ten = ("Yes",) * 2 + ("yes.",) * 3 + ("no",) * 2 + ("maybe",) * 3
    assert answer_shares(Example(file=None, answers=ten)) == {"yes": 1.0, "no": pytest.approx(2 / 3), "maybe": 1.0}
    scored = Example(file=None, answer="a dog", answer_scores={"a dog": 0.75, "cat": 0.25})
    assert answer_shares(scored) == {"dog": 0.75, "cat": 0.25}
    assert answer_shares(Example(file=None, answer="The Dog")) == {"dog": 1.0}
    assert answer_shares(Example(file=None)) == {}


def test_labels_of_the_base_come_first_and_stay() -> None:
    same = CheckpointConfig(task="ask", net={"width": 16, "layers": 1}, labels=("dog", "cat"))
    bases = Encoders(same=same)
    assert bases.labels(("owl", "cat")) == ("dog", "cat", "owl")
    assert bases.net({"layers": 2}) == {"width": 16, "layers": 2}
    assert Encoders().labels(("owl",)) == ("owl",)
    with pytest.raises(MmdemoError, match="needs a picture trunk"):
        bases.need_vision()
    with pytest.raises(MmdemoError, match="needs a text encoder"):
        bases.need_text()


def test_trials_have_a_right_label_or_none() -> None:
    things = ("dog", "car", "boat", "horse", "pizza")
    captions = {
        f"{i}.jpg": (f"A {thing} in the picture.", f"There is a {thing}.", f"A {thing} alone.")
        for i, thing in enumerate(things * 4)
    }
    found = object_trials(captions, seed=0)
    assert len(found) == len(captions)
    assert found == object_trials(captions, seed=0)
    made = [(trial, thing) for trials, thing in zip(found, things * 4, strict=True) for trial in trials]
    assert len(made) > len(captions)
    for (labels, right), thing in made:
        assert len(set(labels)) == len(labels)
        if right < len(labels):
            assert labels[right] == thing
            assert list(labels).count(thing) == 1
        else:
            assert right == len(labels)
            assert thing not in labels
    assert {right < len(labels) for (labels, right), _ in made} == {True, False}


def test_an_emotion_is_one_however_it_is_written() -> None:
    told = ["boredom", "Worried", "worried", "Happy", "tired", "boredom"]
    assert emotions(("neutral", "anxious"), told) == (
        ("neutral", "anxious", "happy", "boredom", "tired"),
        {"neutral": 0, "anxious": 1, "worried": 1, "happy": 2, "boredom": 3, "tired": 4},
    )
    own = ("neutral", "boredom", "Worried", "excitement", "frustration")  # of a model that was tuned before
    labels, place = emotions(own, ["worried", "frustration", "excitement", "Boredom", "neutral"])
    assert labels == own
    assert sorted(place.values()) == [0, 1, 2, 3, 4]
    assert emotions(own, ["bored"])[0] == (*own, "bored")  # nobody has said that it is the same


def test_trials_by_labels_have_the_right_one_or_lack_it() -> None:
    labels = ["cup", "hat", None, "tree", "rope"]
    found = label_trials(labels, seed=0)
    assert found == label_trials(labels, seed=0)
    assert found[2] == []
    for label, trials in zip(labels, found, strict=True):
        if label is None:
            continue
        (there, right), (absent, none) = trials
        assert there[right] == label
        assert label not in absent
        assert none == len(absent)
        assert len(set(there)) == len(there) >= 2
    assert label_trials(["cup", "hat"], seed=0) == [[], []]


def test_a_share_of_the_labels_is_held_out_with_all_its_pictures() -> None:
    examples = tuple(Example(file=None, label=f"kind {i % 10}", question=str(i)) for i in range(50))
    captioned = tuple(Example(file=None, captions=(f"a kind {i}",)) for i in range(5))
    every = Dataset(
        task="classify", examples=(*examples, *captioned), folders=(), split="train", name="x", fingerprint=""
    )
    sources = DatasetSplits(train=every, validation=every.with_examples(examples[:10], split="validation"))

    parted, unseen = hold_out(sources, 0.2)

    assert len(unseen) == 2
    assert not unseen & {e.label for e in parted.train.examples}
    assert len(parted.train.examples) == 45
    assert len(parted.validation.examples) == 20
    assert hold_out(sources, 0.2)[1] == unseen
    assert hold_out(sources, 0.0) == (sources, frozenset())
