"""Rows for task "ask": pictures with their questions, and the answers learned from people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mmdemo.core.config import CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.core.words import normalize_answer
from mmdemo.data import pictures, texts
from mmdemo.data.pictures import Say
from mmdemo.data.prepare.bases import Bases, Net, Prepared, Sources, chosen_options, net_settings
from mmdemo.data.read import Example
from mmdemo.nets.fusion import AskConfig
from mmdemo.tasks.ask import Asked, AskRow, learn_answers


def prepare_ask(sources: Sources, bases: Bases, net: Net, say: Say | None) -> Prepared:
    """A row per picture with all that is asked about it; answers are learned from the training part.

    In training, questions without a learned answer are left out; in validation they count as wrong.
    """
    vision, text = bases.need_vision(), bases.need_text()
    options = chosen_options(sources.options, least=3, most=3000, mirror=True)
    answers = learn_answers(
        (normalize_answer(e.answer) for e in sources.train.examples if e.answer),
        least=int(options["least"]),
        most=int(options["most"]),
    )
    answers = bases.labels(answers)
    if not answers:
        raise MmdemoError("No answers could be learned", f"none was given {options['least']} times")
    index = {answer: i for i, answer in enumerate(answers)}

    def rows(examples: Sequence[Example], mirror: bool, learning: bool) -> list[AskRow]:
        files = {e.file for e in examples if e.file is not None}
        seen = pictures.grids(files, vision, mirror=mirror, say=say)
        states = texts.states([e.question for e in examples], text, say=say)
        asked: dict[tuple[Path, bool], list[Asked]] = {}
        for example in examples:
            right = {index[a]: s for a, s in answer_shares(example).items() if a in index}
            total = sum(right.values())
            if example.file is None or (learning and not total):
                continue
            target = {i: s / total for i, s in right.items()} if total else {}
            # "left" and "right" change places in a mirror
            turned = mirror and not _sided(example)
            asked.setdefault((example.file, turned), []).append(
                Asked(states=states[example.question], target=target, right=right)
            )
        return [
            AskRow(views=seen[file] if turned else seen[file][:1], questions=tuple(questions), learning=learning)
            for (file, turned), questions in asked.items()
        ]

    config = CheckpointConfig(
        task="ask",
        net={
            **bases.net(net),
            "answers": len(answers),
            "text_width": text.encoder.config.width,
            "channels": vision.trunk.config.channels,
            "grid": vision.trunk.config.grid,
        },
        labels=answers,
        parts={"vision": vision.reference(), "text": text.reference()},
    )
    net_settings(AskConfig, config.net)
    return Prepared(
        train=rows(sources.train.examples, bool(options["mirror"]), True),
        validation=rows(sources.validation.examples, False, False),
        config=config,
    )


def answer_shares(example: Example) -> dict[str, float]:
    """Normalised answer → how right it is, in [0, 1].

    It is min(1, n / 3) where n of ten people gave it, its score where scores are given, else 1 for the one answer.
    """
    if example.answers:
        counts = Counter(normalize_answer(a) for a in example.answers)
        return {answer: min(1.0, n / 3) for answer, n in counts.items()}
    if example.answer_scores:
        return {normalize_answer(a): float(s) for a, s in example.answer_scores.items()}
    return {normalize_answer(example.answer): 1.0} if example.answer else {}


def _sided(example: Example) -> bool:
    words = f"{example.question} {example.answer}".lower().split()
    return any(w.strip("?.,") in {"left", "right"} for w in words)
