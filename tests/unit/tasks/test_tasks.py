"""What every task promises: batches, a loss that can be driven down, figures, what moves and what does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmdemo.core.config import Calibration
from mmdemo.core.errors import MmdemoError
from mmdemo.nets.decoder import END, PAD, START, UNKNOWN
from mmdemo.tasks import TASKS
from mmdemo.tasks.ask import MOST_QUESTIONS, AnswerTarget, AskRow, learn_answers
from mmdemo.tasks.base import HEAD, LossSettings, fit_confidence
from mmdemo.tasks.caption import SPECIAL_NAMES, CaptionRow, CaptionTask, decode, encode, learn_words, references
from mmdemo.tasks.pictures import jittered
from mmdemo.tasks.sentiment import SentimentRow
from mmdemo.tasks.tune import Tune, freeze
from tests.unit.tasks.made import CONFIGS, COUNT, ROWS, ask_rows, caption_rows, vision_rows

ALL = sorted(ROWS)
ENOUGH = {"ask": (60, 0.1), "caption": (140, 0.1), "classify": (100, 0.1), "sentiment": (40, 0.3), "vision": (12, None)}
"""Steps, and the loss that eight examples can be brought to; the vision task's holds a part that cannot vanish."""


@pytest.mark.parametrize("name", ALL)
def test_eight_examples_can_be_learned_by_heart(name: str) -> None:
    torch.manual_seed(0)
    task, rows = TASKS[name], ROWS[name]()
    net = task.build(CONFIGS[name]).train()
    freeze(task, net, Tune.parse("last:1" if name == "vision" else "all"))
    before = {n: p.detach().clone() for n, p in net.state_dict().items()}
    trainable = {n for n, p in net.named_parameters() if p.requires_grad}
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=5e-3)
    steps, wanted = ENOUGH[name]
    losses = []
    for _ in range(steps):
        loss = task.loss(net, task.collate(rows))
        assert loss.ndim == 0
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < (wanted if wanted is not None else losses[0] / 2)

    after = net.state_dict()
    still = {n for n in trainable if torch.equal(after[n], before[n])}
    assert not still, f"never moved: {sorted(still)}"
    frozen = {n for n, _ in net.named_parameters()} - trainable
    assert all(torch.equal(after[n], before[n]) for n in frozen)
    assert bool(frozen) is (name == "vision")
    if name == "vision":
        assert any(n.startswith("trunk.net.blocks.6.") for n in trainable)
        assert all(n.startswith("trunk.net.") for n in frozen)
        running = [n for n in before if "running_" in n or "num_batches" in n]
        assert running
        assert all(torch.equal(after[n], before[n]) for n in running)

    figures = score(name, net)
    if name != "vision":
        assert figures[task.metric] > (0.99 if name != "caption" else -0.2)


def score(name: str, net: torch.nn.Module) -> dict[str, float]:
    task, rows = TASKS[name], ROWS[name]()
    net.eval()
    outputs = []
    with torch.inference_mode():
        for start in range(0, len(rows), 3):  # batches that do not divide the rows
            outputs += task.outputs(net, task.collate(rows[start : start + 3]))
    assert len(outputs) == len(rows)
    with torch.inference_mode():
        whole = task.outputs(net, task.collate(rows))
    for one, other in zip(outputs, whole, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4, rtol=1e-3)
    calibration = task.calibrate(net, outputs, rows)
    assert isinstance(calibration, Calibration)
    assert calibration.temperature > 0
    figures = task.score(net, outputs, rows)
    assert task.metric in figures
    return figures


@pytest.mark.parametrize("name", ALL)
def test_what_ships_fills_a_fresh_network(name: str) -> None:
    task = TASKS[name]
    net = task.build(CONFIGS[name])
    shipped = task.shipped(net)
    target = net.trunk if name == "vision" else net
    assert shipped.keys() == target.state_dict().keys()
    rows = set(task.label_rows) & net.state_dict().keys()
    assert bool(rows) is bool(task.label_rows)
    for row_name in rows:
        assert len(net.state_dict()[row_name]) == len(CONFIGS[name].labels)


@pytest.mark.parametrize("name", ALL)
def test_depth_counts_from_the_head_down(name: str) -> None:
    task = TASKS[name]
    net = task.build(CONFIGS[name])
    depths = {n: task.depth(net, n) for n, _ in net.named_parameters()}
    assert min(depths.values()) == HEAD
    if name == "sentiment":
        assert depths["encoder.conv1.weight"] == 2
        assert depths["encoder.layers.0.fc1.weight"] == 1
    if name == "vision":
        assert depths["trunk.net.conv_head.weight"] == 1
        assert depths["trunk.net.blocks.5.0.conv_pw.weight"] == 2
        assert depths["trunk.net.conv_stem.weight"] == 8


def test_what_is_trained_is_one_setting() -> None:
    net = TASKS["sentiment"].build(CONFIGS["sentiment"])
    for text, encoder, conv in (("head", False, False), ("last:1", True, False), ("all", True, True)):
        net.requires_grad_(True)
        freeze(TASKS["sentiment"], net, Tune.parse(text))
        assert net.classifier.weight.requires_grad
        assert net.encoder.layers[0].fc1.weight.requires_grad is encoder
        assert net.encoder.conv1.weight.requires_grad is conv
    for wrong in ("last", "last:0", "heads", "last:-1"):
        with pytest.raises(MmdemoError, match=r"must be head, last:N"):
            Tune.parse(wrong)


# ---------------------------------------------------------------- ask


def test_answers_are_learned_by_how_often_they_were_given() -> None:
    given = ["yes"] * 3 + ["dog"] * 2 + ["cat"] * 2 + ["owl"]
    assert learn_answers(given, least=2, most=10) == ("yes", "dog", "cat")
    assert learn_answers(given, least=1, most=2) == ("yes", "dog")


def test_ask_counts_the_credit_of_the_best_answer() -> None:
    task = TASKS["ask"]
    states = np.zeros((2, 12), np.float16)
    asked = (
        AnswerTarget(tokens=states, target={0: 1.0}, right={0: 1.0}),
        AnswerTarget(tokens=states, target={0: 0.6, 1: 0.4}, right={0: 1.0, 1: 2 / 3}),
        AnswerTarget(tokens=states, target={}, right={}),  # answered with a word that was not learned
    )
    rows = [
        AskRow(views=(np.zeros((6, 2, 2), np.uint8),), questions=asked[:1], learning=False),
        AskRow(views=(np.zeros((6, 2, 2), np.uint8),), questions=asked[1:], learning=False),
    ]
    outputs = [np.array([[9, 0, 0]], np.float32), np.array([[0, 9, 0], [9, 0, 0]], np.float32)]
    assert task.score(None, outputs, rows) == {"accuracy": pytest.approx((1 + 2 / 3 + 0) / 3)}


def test_a_picture_with_many_questions_shows_a_few_at_a_time() -> None:
    task = TASKS["ask"]
    row = ask_rows()[0]
    many = AskRow(views=row.views, questions=row.questions * 10, learning=True)
    assert len(task.collate([many])["picture"]) == MOST_QUESTIONS
    kept = AskRow(views=row.views, questions=row.questions * 10, learning=False)
    batch = task.collate([kept, row])
    assert batch["picture"].tolist() == [0] * 20 + [1] * 2
    assert batch["mask"].sum(dim=1).tolist() == [3, 5] * 11


# ---------------------------------------------------------------- caption


def test_words_are_learned_and_unknown_ones_are_never_taught() -> None:
    names = learn_words(["A dog and a dog.", "a dog sits"], least=2)
    assert names == (*SPECIAL_NAMES, "dog", "a") or names == (*SPECIAL_NAMES, "a", "dog")
    index = {name: i for i, name in enumerate(names)}
    assert encode("A dog sits", index) == (index["a"], index["dog"], UNKNOWN)
    assert decode((index["a"], index["dog"]), names) == "A dog."
    assert decode((), names) == ""


def test_caption_batches_begin_end_and_pad() -> None:
    rows = caption_rows()[:3]
    words = TASKS["caption"].collate(rows)["words"]
    assert words.shape == (3, 7)
    assert words[:, 0].tolist() == [START] * 3
    for row, line in zip(rows, words.tolist(), strict=True):
        caption = row.captions[0]
        assert tuple(line[1 : len(caption) + 1]) == caption
        assert line[len(caption) + 1] == END
        assert set(line[len(caption) + 2 :]) <= {PAD}


def test_unknown_words_are_passed_over_in_the_loss() -> None:
    torch.manual_seed(0)
    task = CaptionTask()
    net = task.build(CONFIGS["caption"]).eval().requires_grad_(False)
    view = caption_rows()[0].views
    known, unknown = (CaptionRow(views=view, captions=((5, word),)) for word in (6, UNKNOWN))
    counted, fewer = (task.outputs(net, task.collate([row]))[0][1] for row in (known, unknown))
    assert (counted, fewer) == (3, 2)


def test_eight_rows() -> None:
    assert all(len(make()) == COUNT for make in ROWS.values())


def test_each_kind_of_question_gets_a_temperature_of_its_own() -> None:
    random = np.random.default_rng(0)
    rows, outputs = [], []
    for text, spread in (("Is it new?", 8.0), ("What is it?", 1.0), ("How many are there?", 3.0)):
        chance = random.normal(size=(200, 4)).astype(np.float32)
        truth = (chance + random.gumbel(size=chance.shape)).argmax(1)  # as likely as softmax(chance) says
        for answer in truth:
            asked = AnswerTarget(
                tokens=np.zeros((2, 12), np.float16), target={int(answer): 1.0}, right={int(answer): 1.0}, question=text
            )
            rows.append(AskRow(views=ask_rows()[0].views, questions=(asked,), learning=False))
        outputs += list(spread * chance[:, None])
    net = TASKS["ask"].build(CONFIGS["ask"])
    found = TASKS["ask"].calibrate(net, outputs, rows)
    assert found.yes_no == pytest.approx(8.0, rel=0.25)
    assert found.temperature == pytest.approx(1.0, rel=0.25)
    assert found.number == pytest.approx(3.0, rel=0.25)
    few = TASKS["ask"].calibrate(net, outputs[195:], rows[195:])
    assert few.yes_no == 0.0
    assert few.temperature_of("yes/no") == few.temperature
    unlearned = [replace(row, questions=(replace(row.questions[0], target={}, right={}),)) for row in rows[200:400:2]]
    less = TASKS["ask"].calibrate(net, [*outputs, *outputs[200:400:2]], [*rows, *unlearned])
    assert less.temperature > 1.3 * found.temperature  # a third cannot be right, and the scores say so
    assert TASKS["ask"].calibrate(net, outputs[:5], rows[:5]).temperature == 1.0
    assert fit_confidence(np.full((3, 4), np.nan, np.float32), np.ones(3, np.float32)) == 1.0


# ---------------------------------------------------------------- reward


def test_captions_get_better_by_reward_alone() -> None:
    torch.manual_seed(0)
    task, rows = CaptionTask(), caption_rows()
    net = task.build(CONFIGS["caption"])
    task.fit_init(net, rows)
    batch = task.collate(rows)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    rewarded, before = LossSettings(self_critical=1.0), score("caption", net)["cider"]
    net.train()
    for _ in range(60):
        loss = task.loss(net, batch, rewarded)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert score("caption", net)["cider"] > before + 1


def test_a_share_of_reward_is_mixed_with_the_words() -> None:
    task, rows = CaptionTask(), caption_rows()
    torch.manual_seed(0)
    net = task.build(CONFIGS["caption"]).eval()
    task.fit_init(net, rows)
    batch, found = task.collate(rows), []
    for share in (0.0, 1.0, 0.25):
        torch.manual_seed(1)
        found.append(float(task.loss(net, batch, LossSettings(self_critical=share)).detach()))
    assert found[2] == pytest.approx(0.75 * found[0] + 0.25 * found[1], abs=1e-5)


def test_references_are_read_back_from_a_batch() -> None:
    words = torch.tensor([[START, 5, 6, END, PAD], [START, 7, UNKNOWN, 8, END], [START, 9, END, PAD, PAD]])
    assert references(words, torch.tensor([0, 1, 0]), 2) == [[(5, 6, END), (9, END)], [(7, UNKNOWN, 8, END)]]


# ---------------------------------------------------------------- vision


def test_pictures_are_changed_only_while_they_are_learned_from() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    torch.manual_seed(0)
    one, other = jittered(pixels), jittered(pixels)
    assert one.shape == (64, 64, 3)  # 56 is no multiple of 32
    assert (one != other).any()
    torch.manual_seed(0)
    np.testing.assert_array_equal(jittered(pixels), one)
    stem = np.zeros((120, 4, 4), np.float16)
    assert jittered(stem) is stem

    row = replace(vision_rows()[0], views=(pixels,))
    task = TASKS["vision"]
    still = [task.collate([row])["pixels"] for _ in range(2)]
    moved = [task.collate([replace(row, jitter=True)])["pixels"] for _ in range(2)]
    assert torch.equal(*still)
    assert not torch.equal(*moved)


def test_a_jittered_picture_is_seen_as_large_as_it_will_be() -> None:
    assert jittered(np.zeros((256, 256, 3), np.uint8)).shape == (224, 224, 3)


# ---------------------------------------------------------------- sentiment


def heard_rows(speakers: int = 8) -> list[SentimentRow]:
    """Clips of several speakers as features: a label each in one dimension, a speaker's own colour in another."""
    random = np.random.default_rng(0)
    width = TASKS["sentiment"].build(CONFIGS["sentiment"]).pooling.features
    rows = []
    for i in range(speakers * 6):
        views = random.normal(size=(3, width)).astype(np.float32)
        views[:, i % 3] += 3.0
        views[:, 3 + i // 6] += 10.0
        silence = np.zeros(400, np.float32)
        rows.append(SentimentRow(samples=silence, label=i % 3, learning=True, features=tuple(views), group=i // 6))
    return rows


def test_a_head_fitted_on_all_speakers_is_calibrated_by_those_it_has_not_heard() -> None:
    task, rows = TASKS["sentiment"], heard_rows()
    net = task.build(CONFIGS["sentiment"])
    task.fit_init(net, rows)
    assert net.crossed is not None
    logits, labels = net.crossed
    assert logits.shape == (len(rows), 3)
    assert labels.tolist() == [row.label for row in rows]
    with torch.inference_mode():
        heard = net.eval().judge(torch.from_numpy(np.stack([row.features[0] for row in rows]))).numpy()
    assert (heard.argmax(1) == labels).all()
    assert 0.5 < (logits.argmax(1) == labels).mean() < 1.0  # whom it knows it tells better
    sure = task.calibrate(net, [], [])
    assert sure.temperature > 0
    assert sure.right >= 0.8


def test_changed_copies_of_a_clip_are_fitted_too() -> None:
    task, rows = TASKS["sentiment"], heard_rows()
    found = []
    for some in (rows, [replace(row, features=row.features[:1]) for row in rows]):
        net = task.build(CONFIGS["sentiment"])
        task.fit_init(net, some)
        found.append(net.classifier.weight.detach().clone())
    assert not torch.allclose(*found)
    features = np.concatenate([np.stack(row.features) for row in rows])
    net = task.build(CONFIGS["sentiment"])
    task.fit_init(net, rows)
    np.testing.assert_allclose(net.standard.mean.numpy(), features.mean(0), atol=1e-4)


@pytest.mark.parametrize("change", [{"group": -1}, {"group": 0}])
def test_without_speakers_enough_nothing_is_crossed(change: dict[str, int]) -> None:
    task = TASKS["sentiment"]
    net = task.build(CONFIGS["sentiment"])
    task.fit_init(net, [replace(row, **change) for row in heard_rows()])
    assert net.crossed is None


def test_nobody_knows_the_answers_of_a_kind() -> None:
    net, random = TASKS["ask"].build(CONFIGS["ask"]), np.random.default_rng(0)
    asked = AnswerTarget(tokens=np.zeros((2, 12), np.float16), target={}, right={}, question="How many are there?")
    known = replace(asked, target={1: 1.0}, right={1: 1.0}, question="What is it?")
    rows = [AskRow(views=ask_rows()[0].views, questions=(q,), learning=False) for q in [asked] * 60 + [known] * 60]
    outputs = [random.normal(size=(1, 4)).astype(np.float32) for _ in rows]
    assert TASKS["ask"].calibrate(net, outputs, rows).number == 0.0
    assert TASKS["ask"].calibrate(net, outputs[:60], rows[:60]).temperature == 1.0
