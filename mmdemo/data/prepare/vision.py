"""Rows for task "vision": pictures below the trunk's cut, with what people said of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmdemo.core.config import CardText, CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.core.words import OPEN, normalize_answer, question_kind, tokenise_caption
from mmdemo.data import pictures, texts
from mmdemo.data.pictures import Say, Views
from mmdemo.data.prepare.inputs import (
    STOPWORDS,
    DatasetSplits,
    Encoders,
    Net,
    TrainingData,
    chosen_options,
    net_settings,
)
from mmdemo.data.read import Example
from mmdemo.nets.vision import VisionConfig
from mmdemo.tasks.ask import learn_answers
from mmdemo.tasks.vision import ANSWERS, VisionRow

TEXT_CARD = CardText(
    summary="Text encoder (all-MiniLM-L6-v2) in int8; shared by Ask and Classify, not served by itself.",
    licence="apache-2.0",
    bases=("sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), weights as published, rounded to int8 by row",),
    limits=("English only.",),
)
"""Of the text encoder, which a trunk brings along."""

LEAST = 5
"""Pictures whose captions must hold a word before it is learned."""


def prepare_vision(sources: DatasetSplits, bases: Encoders, net: Net, say: Say | None) -> TrainingData:
    """A row per picture: its features below the cut, the sentences said of it, its words and the teacher's logits."""
    vision, text = bases.need_vision(), bases.need_text()
    options = chosen_options(sources.options, words=1000, answers=1000, mirror=True, crops=0, jitter=True)
    said = {id(e): _sentences(e) for e in (*sources.train.examples, *sources.validation.examples)}
    by_file = _merge(sources.train.examples, said)
    held = _merge([e for e in sources.validation.examples if e.captions], said)
    counts = Counter(w for s in by_file.values() for w in {w for t in s.captions for w in tokenise_caption(t)})
    names = tuple(w for w, n in counts.most_common() if w not in STOPWORDS and n >= LEAST)[: int(options["words"])]
    if not names:
        raise MmdemoError("No words could be learned", f"none is used of {LEAST} pictures", "Give data with captions")
    index = {w: i for i, w in enumerate(names)}
    settings = {**asdict(vision.trunk.config), **net}
    net_settings(VisionConfig, settings)
    questions = [
        (e.file, e.question, normalize_answer(e.answer))
        for e in sources.train.examples
        if e.question and e.answer and e.file in by_file
    ]
    answers = learn_answers((answer for _, _, answer in questions), least=LEAST, most=int(options["answers"]))
    place = {answer: i for i, answer in enumerate(answers)}
    sentences = [t for s in (*by_file.values(), *held.values()) for t in s.all()]
    vectors = texts.vectors([*sentences, *(question for _, question, _ in questions)], text, say=say)
    asked: dict[Path, list[tuple[NDArray[np.float32], int]]] = {}
    for file, question, answer in questions:
        if file is not None and answer in place:
            asked.setdefault(file, []).append((vectors[question], place[answer]))

    def rows(found: Mapping[Path, _Sentences], views: Views, *, learning: bool) -> list[VisionRow]:
        below = pictures.seen(found, vision, tune=sources.tune, views=views, say=say)
        teacher = pictures.imagenet(found, vision, say=say)
        return [
            VisionRow(
                views=below[file],
                texts=tuple(vectors[t] for t in said.all()),
                words=tuple(sorted({index[w] for t in said.all() for w in tokenise_caption(t) if w in index})),
                complete=bool(said.captions),
                teacher=teacher[file][0],
                asked=tuple(asked.get(file, ())) if learning else (),
                jitter=learning and bool(options["jitter"]),
                file=file,
            )
            for file, said in found.items()
            if file in below
        ]

    config = CheckpointConfig(
        task="vision",
        net=settings,
        labels=names,
        settings={
            "text_width": text.encoder.config.width,
            **({ANSWERS: len(answers)} if answers else {}),
        },
        parts={"text": text.reference()},
    )
    return TrainingData(
        train=rows(by_file, Views.of(options), learning=True),
        validation=rows(held, Views(), learning=False),
        config=config,
        ships=CheckpointConfig(
            task="vision", net={k: v for k, v in settings.items() if k in asdict(vision.trunk.config)}
        ),
        beside={"text-base": (text, TEXT_CARD)},
    )


@dataclass(frozen=True, slots=True)
class _Sentences:
    """What people said of a picture: whole captions, or questions with their answers."""

    captions: tuple[str, ...] = ()
    answered: tuple[str, ...] = ()

    def all(self) -> tuple[str, ...]:
        return self.captions or self.answered


def _sentences(example: Example) -> _Sentences:
    if example.captions:
        return _Sentences(captions=example.captions)
    if example.answer and question_kind(example.question, example.answer) == OPEN:
        return _Sentences(answered=(f"{example.question} {normalize_answer(example.answer)}",))
    return _Sentences()


def _merge(examples: Sequence[Example], said: Mapping[int, _Sentences]) -> dict[Path, _Sentences]:
    found: dict[Path, _Sentences] = {}
    for example in examples:
        new = said[id(example)]
        if example.file is not None and new.all():
            old = found.get(example.file, _Sentences())
            found[example.file] = _Sentences(old.captions + new.captions, old.answered + new.answered)
    return found
