"""From predictions to figures, task by task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmdemo.data.read import Example
from mmdemo.evaluate import scores

TEN = ("red",) * 2 + ("dark red",) * 8


def question(answer: str, *, file: str = "a", kind: str | None = None, answers: tuple[str, ...] = ()) -> Example:
    columns = {} if kind is None else {"type": kind}
    return Example(file=Path(file), question="What is it?", answer=answer, answers=answers, columns=columns)


def test_answers_count_whole_or_by_agreement() -> None:
    assert scores.answer_credit("Garbage bin.", question("garbage_bin")) == 1
    assert scores.answer_credit("table", question("table, chair")) == 0
    assert scores.answer_credit("red", question("dark red", answers=TEN)) == pytest.approx(2 / 3)
    assert scores.answer_credit("dark red", question("red", answers=TEN)) == 1
    assert scores.answer_credit("red", question("dark red", answers=TEN[:4])) == 0, "fewer than ten are no vote"


def test_ask_figures() -> None:
    examples = [
        question("yes", kind="yes/no"),
        question("2", kind="number"),
        question("dog", kind="object"),
        question("cat", kind="color"),
    ]
    figures = scores.score_answers(["yes", "3", "dog", "cow"], examples, [0.9, 0.5, 0.7, 0.6])
    assert figures["accuracy"] == 0.5
    assert figures["open"] == 0.5
    assert figures["ece"] == pytest.approx((0.1 + 0.5 + 0.3 + 0.6) / 4)
    assert "ece" not in scores.score_answers(["yes"], examples[:1])
    assert "open" not in scores.score_answers(["yes"], examples[:1])


def test_the_kind_of_a_question_is_the_data_s_where_given() -> None:
    assert scores.example_kind(question("yes", kind="object")) == "open"
    assert scores.example_kind(question("yes")) == "yes/no"
    assert scores.example_kind(question("4")) == "number"


def test_ask_baseline_is_the_best_constant_and_groups_are_pictures() -> None:
    examples = [
        question("yes", file="a"),
        question("yes", file="a"),
        question("no", file="b"),
        question("dog", file="b"),
    ]
    outcome = scores.ask_outcome(["no"] * 4, examples)
    assert outcome.baseline == {"accuracy": 0.5, "open": 1.0}
    assert len(set(outcome.groups)) == 2
    assert outcome.figures([2])["accuracy"] == 1.0
    assert outcome.figures([0, 1])["accuracy"] == 0.0


def test_class_figures_rank_the_labels_alone_but_calibrate_what_is_served() -> None:
    table = np.array([[0.6, 0.1, 0.0], [0.1, 0.05, 0.0], [0.2, 0.3, 0.5], [0.3, 0.4, 0.3]])
    right = ["a", "a", "b", "b"]
    served = (["a", "none of these", "c", "b"], [0.6, 0.85, 0.5, 0.4])
    outcome = scores.class_outcome(table, right, ["a", "b", "c"], served=served)
    figures = outcome.figures()
    assert figures["top1"] == 0.75
    assert figures["mean_class"] == pytest.approx((1 + 0.5) / 2)
    assert figures["top5"] == 1.0
    assert figures["none_share"] == 0.25
    assert figures["ece"] == pytest.approx((0.4 + 0.85 + 0.5 + 0.6) / 4)
    assert outcome.baseline == pytest.approx({"top1": 0.5, "top5": 1.0, "mean_class": 1 / 3})


def test_a_model_that_cannot_decide_is_not_right() -> None:
    outcome = scores.class_outcome(np.full((4, 2), 0.5), ["a", "a", "b", "b"], ["a", "b"])
    assert outcome.figures() == {"top1": 0.0, "top5": 1.0, "mean_class": 0.0}


def test_retrieval() -> None:
    similarity = np.eye(12)[[0, 0, 1, 5]]
    outcome = scores.retrieval_outcome(similarity, [0, 0, 1, 2])
    assert outcome.figures() == {"r1": 0.75, "r5": 0.75, "r10": 0.75}
    assert outcome.baseline["r5"] == pytest.approx(5 / 12)
    assert outcome.groups == (0, 0, 1, 2)


NAMES = ["neutral", "calm", "happy", "sad"]


def one_hot(*labels: str) -> np.ndarray:
    return np.array([[0.7 if name == label else 0.1 for name in NAMES] for label in labels])


def test_sentiment_figures() -> None:
    outcome = scores.sentiment_outcome(
        one_hot("happy", "happy", "sad", "calm"), NAMES, ["happy", "happy", "calm", "calm"]
    )
    figures = outcome.figures()
    assert figures["ua"] == pytest.approx((1 + 0.5) / 2)
    assert figures["wa"] == 0.75
    assert outcome.baseline["ua"] == 0.5
    assert outcome.notes == ()


def test_calm_counts_as_neutral_only_where_the_data_has_no_calm() -> None:
    said, right = one_hot("calm", "calm", "happy"), ["neutral", "neutral", "happy"]
    outcome = scores.sentiment_outcome(said, NAMES, right)
    assert outcome.figures()["wa"] == 1.0
    assert "calm counts as neutral" in outcome.notes[0]
    with_calm = scores.sentiment_outcome(one_hot("calm", "calm", "happy", "calm"), NAMES, [*right, "calm"])
    assert with_calm.figures()["wa"] == 0.5
    part = scores.sentiment_outcome(said, NAMES, right, all_labels=[*right, "calm"])
    assert part.figures()["wa"] == pytest.approx(1 / 3), "a part is scored as the whole data is"


def test_the_probabilities_of_calm_and_neutral_add_up() -> None:
    merged, names = scores.merge_calm(np.array([[0.3, 0.3, 0.4, 0.0]]), NAMES, ["neutral", "happy"])
    assert names == ("neutral", "happy", "sad")
    assert merged.tolist() == [[0.6, 0.4, 0.0]]


def test_no_speech_is_wrong_and_unknown_labels_are_named() -> None:
    said = one_hot("happy", "happy", "happy")
    said[0] = 0
    outcome = scores.sentiment_outcome(said, NAMES, ["happy", "happy", "bored"])
    assert outcome.figures()["wa"] == pytest.approx(1 / 3)
    assert "does not know bored" in outcome.notes[1]
    assert "no speech was heard in 1 clips" in outcome.notes[2]


def test_rare_labels_are_left_out_and_named() -> None:
    examples = [Example(file=None, label=label) for label in ["sad"] * 10 + ["disgust"] * 9]
    kept, notes = scores.scored_labels(examples)
    assert {example.label for example in kept} == {"sad"}
    assert notes == ("disgust is left out: only 9 clips",)


def test_score_labels() -> None:
    assert scores.score_labels(one_hot("happy", "sad"), ["happy", "happy"], NAMES)["ua"] == 0.5


def test_caption_outcome() -> None:
    examples = [
        Example(file=Path("a"), captions=("A dog runs in the snow .", "A brown dog runs .")),
        Example(file=Path("b"), captions=("Two men play tennis outside .", "Two men on a court .")),
    ]
    outcome = scores.caption_outcome(["a dog runs in the snow", "two men play tennis outside"], examples)
    assert outcome.figures()["cider"] > outcome.baseline["cider"]
    assert outcome.figures()["bleu4"] == pytest.approx(1.0)
    assert any("pycocoevalcap" in note for note in outcome.notes)
