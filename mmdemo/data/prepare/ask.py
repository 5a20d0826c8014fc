"""Rows for task "ask": pictures with their questions, and the answers learned from people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmdemo.core.config import CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.core.words import normalize_answer
from mmdemo.data import pictures, texts
from mmdemo.data.pictures import Say, Views
from mmdemo.data.prepare.inputs import DatasetSplits, Encoders, Net, TrainingData, chosen_options, net_settings
from mmdemo.data.read import Example
from mmdemo.nets.fusion import AskConfig
from mmdemo.tasks.ask import AnswerTarget, AskRow, encode_question, learn_answers, learn_question_words


def prepare_ask(sources: DatasetSplits, bases: Encoders, net: Net, say: Say | None) -> TrainingData:
    """A row per picture with all that is asked about it; answers are learned from the training part.

    In training, questions without a learned answer are left out; in validation they count as wrong. Questions are
    read by the text encoder, or by an LSTM whose words are learned from the training part as well.
    """
    vision = bases.need_vision()
    options = chosen_options(sources.options, least=3, most=3000, question_least=2, mirror=True, crops=0)
    settings = bases.net(net)
    _check_base(bases, settings)
    text = bases.need_text() if settings.get("question", "minilm") == "minilm" else None
    answers = learn_answers(
        (normalize_answer(e.answer) for e in sources.train.examples if e.answer),
        least=int(options["least"]),
        most=int(options["most"]),
    )
    answers = bases.labels(answers)
    if not answers:
        raise MmdemoError("No answers could be learned", f"none was given {options['least']} times")
    index = {answer: i for i, answer in enumerate(answers)}
    words = () if text is not None else _question_words(sources, bases, int(options["question_least"]))

    def tokens(questions: Sequence[str]) -> Mapping[str, NDArray[np.float16] | NDArray[np.int64]]:
        if text is not None:
            return texts.states(questions, text, say=say)
        place = {word: i for i, word in enumerate(words)}
        return {question: encode_question(question, place) for question in questions}

    def rows(examples: Sequence[Example], views: Views, learning: bool) -> list[AskRow]:
        files = {e.file for e in examples if e.file is not None}
        seen = pictures.seen(files, vision, tune=sources.tune, views=views, say=say)
        read = tokens([e.question for e in examples])
        asked: dict[tuple[Path, int], list[AnswerTarget]] = {}
        for example in examples:
            right = {index[a]: s for a, s in answer_shares(example).items() if a in index}
            total = sum(right.values())
            if example.file not in seen or example.file is None or (learning and not total):
                continue
            target = {i: s / total for i, s in right.items()} if total else {}
            # "left" and "right" change places in a mirror
            turned = views.mirror and not _sided(example)
            kept = len(views.names()) - (0 if turned else int(views.mirror))  # the mirror image stands last
            asked.setdefault((example.file, kept), []).append(
                AnswerTarget(tokens=read[example.question], target=target, right=right, question=example.question)
            )
        return [
            AskRow(views=seen[file][:kept], questions=tuple(questions), learning=learning, file=file)
            for (file, kept), questions in asked.items()
        ]

    config = CheckpointConfig(
        task="ask",
        net={
            **settings,
            "answers": len(answers),
            **({"text_width": text.encoder.config.width} if text is not None else {"question_words": len(words)}),
            "channels": vision.trunk.config.channels,
            "grid": vision.trunk.config.grid,
        },
        labels=answers,
        settings={} if text is not None else {"question_words": words},
        parts={"vision": vision.reference(), **({"text": text.reference()} if text is not None else {})},
    )
    net_settings(AskConfig, config.net)
    return TrainingData(
        train=rows(sources.train.examples, Views.of(options), True),
        validation=rows(sources.validation.examples, Views(), False),
        config=config,
    )


def _check_base(bases: Encoders, settings: Net) -> None:
    """A network that starts from another one brings the two together as that one does.

    Raises:
        MmdemoError: It is to do so in another way.
    """
    if bases.same is None:
        return
    for name in ("fusion", "question", "ablate_question"):
        default = AskConfig.__dataclass_fields__[name].default
        have, wanted = bases.same.net.get(name, default), settings.get(name, default)
        if have != wanted:
            raise MmdemoError(
                f"net.{name} is {wanted}, and the base of this run was made with {have}",
                "its weights are of no use to another network",
                "Start from the encoders: --base checkpoints",
            )


def _question_words(sources: DatasetSplits, bases: Encoders, least: int) -> tuple[str, ...]:
    """The words of the base, to which none can be added; else those of the training part."""
    known = bases.same.settings.get("question_words") if bases.same is not None else None
    if isinstance(known, tuple):
        return known
    return learn_question_words((e.question for e in sources.train.examples), least=least)


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
