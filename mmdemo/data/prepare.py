"""From examples to rows of arrays: what each task's training reads, with its vocabulary learned from the training part."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mmdemo.core.config import CheckpointConfig, Scalar
from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import EMOTIONS
from mmdemo.core.words import OPEN, normalize_answer, question_kind, tokenise_caption
from mmdemo.data import pictures, texts
from mmdemo.data.pictures import Say
from mmdemo.data.read import Dataset, Example
from mmdemo.data.recipes.picture import read_picture
from mmdemo.data.recipes.presence import is_absent, keep_company, present
from mmdemo.media.audio import load_sound
from mmdemo.media.speech import prepare_speech
from mmdemo.models.parts import TextPart, VisionPart
from mmdemo.nets.fusion import AskConfig
from mmdemo.nets.decoder import CaptionConfig
from mmdemo.nets.shared_space import ClassifyConfig, heights, known_vector
from mmdemo.nets.speech import SpeechConfig, SpeechEncoder
from mmdemo.tasks.ask import Asked, AskRow, learn_answers
from mmdemo.tasks.base import grids
from mmdemo.tasks.caption import CaptionRow, encode, learn_words
from mmdemo.tasks.classify import ClassifyRow, Trial
from mmdemo.tasks.sentiment import SentimentRow
from mmdemo.tasks.vision import VisionRow


Net = Mapping[str, Scalar]
"""The ``[net]`` section of a configuration file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bases:
    """What a run builds on.

    Attributes:
        vision, text: Shared parts; absent where a task does not need them.
        speech: Encoder that a Sentiment network starts from.
        same: Configuration of a checkpoint of the same task that the network starts from; its labels stay.
    """

    vision: VisionPart | None = None
    text: TextPart | None = None
    speech: SpeechEncoder | None = None
    same: CheckpointConfig | None = None

    def modules(self) -> dict[str, nn.Module]:
        """Role → network, for what a task takes over."""
        found: dict[str, nn.Module] = {}
        if self.vision is not None:
            found["vision"] = self.vision.trunk
        if self.text is not None:
            found["text"] = self.text.encoder
        if self.speech is not None:
            found["speech"] = self.speech
        return found

    def labels(self, learned: Sequence[str]) -> tuple[str, ...]:
        """Labels of the base, then those that are new."""
        return tuple(dict.fromkeys((*(self.same.labels if self.same else ()), *learned)))

    def net(self, given: Net) -> dict[str, Scalar]:
        """Network settings: those of the base, overridden by what the configuration says."""
        return {**(self.same.net if self.same else {}), **given}

    def need_vision(self) -> VisionPart:
        if self.vision is None:
            raise MmdemoError("This training needs a picture trunk", "no vision checkpoint was found")
        return self.vision

    def need_text(self) -> TextPart:
        if self.text is None:
            raise MmdemoError("This training needs a text encoder", "no text checkpoint was found")
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Rows for training and validation, and the configuration of the checkpoint that they make."""

    train: Sequence[Any]
    validation: Sequence[Any]
    config: CheckpointConfig
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What a run learns from and what it is chosen by; validation may come from folders of its own."""

    train: Dataset
    validation: Dataset
    seed: int = 0
    options: Mapping[str, Scalar | tuple[str, ...]] = field(default_factory=dict)


def _options(options: Mapping[str, Scalar | tuple[str, ...]], **defaults: Scalar) -> dict[str, Any]:
    """The ``[data]`` options of a task, with their defaults; an unknown one is refused by name."""
    for name in options:
        if name not in defaults:
            raise MmdemoError(f"data.{name} is not an option here", f"known are {', '.join(defaults) or 'none'}")
    return {**defaults, **options}


# ---------------------------------------------------------------- vision

STOPWORDS = frozenset(
    "a an the of in on at to and or with for from by as is are be been being was were it its this that these those there "
    "his her their he she they him them who which while into out up down over under near next has have had do does not no "
    "some other another one two three very just i you we my your our all each off about what where when how".split()
)


def prepare_vision(sources: Sources, bases: Bases, net: Net, say: Say | None) -> Prepared:
    vision, text = bases.need_vision(), bases.need_text()
    options = _options(sources.options, words=1000, mirror=True, tuned_stages=1)
    said = {id(e): _sentences(e) for e in (*sources.train.examples, *sources.validation.examples)}
    by_file = _merge(sources.train.examples, said)
    held = _merge([e for e in sources.validation.examples if e.captions], said)
    counts = Counter(w for s in by_file.values() for w in {w for t in s.captions for w in tokenise_caption(t)})
    names = tuple(w for w, n in counts.most_common() if w not in STOPWORDS and n >= 5)[: int(options["words"])]
    index = {w: i for i, w in enumerate(names)}
    vectors = texts.vectors([t for s in (*by_file.values(), *held.values()) for t in s.all()], text, say=say)

    def rows(found: Mapping[Path, _Said], mirror: bool) -> list[VisionRow]:
        below = pictures.stems(found, vision, mirror=mirror, say=say)
        teacher = pictures.imagenet(found, vision, say=say)
        return [
            VisionRow(
                stems=below[file],
                texts=np.stack([vectors[t] for t in said.all()]),
                words=tuple(sorted({index[w] for t in said.all() for w in tokenise_caption(t) if w in index})),
                complete=bool(said.captions),
                teacher=teacher[file][0],
            )
            for file, said in found.items()
        ]

    config = CheckpointConfig(
        task="vision",
        net={**asdict(vision.trunk.config), **net},
        labels=names,
        settings={"text_width": text.encoder.config.width, "tuned_stages": int(options["tuned_stages"])},
        parts={"text": text.reference()},
    )
    return Prepared(train=rows(by_file, bool(options["mirror"])), validation=rows(held, False), config=config)


@dataclass(frozen=True, slots=True)
class _Said:
    """What people said of a picture: whole captions, or questions with their answers."""

    captions: tuple[str, ...] = ()
    answered: tuple[str, ...] = ()

    def all(self) -> tuple[str, ...]:
        return self.captions or self.answered


def _sentences(example: Example) -> _Said:
    if example.captions:
        return _Said(captions=example.captions)
    if example.answer and question_kind(example.question, example.answer) == OPEN:
        return _Said(answered=(f"{example.question} {normalize_answer(example.answer)}",))
    return _Said()


def _merge(examples: Sequence[Example], said: Mapping[int, _Said]) -> dict[Path, _Said]:
    found: dict[Path, _Said] = {}
    for example in examples:
        new = said[id(example)]
        if example.file is not None and new.all():
            old = found.get(example.file, _Said())
            found[example.file] = _Said(old.captions + new.captions, old.answered + new.answered)
    return found


# ---------------------------------------------------------------- ask


def prepare_ask(sources: Sources, bases: Bases, net: Net, say: Say | None) -> Prepared:
    vision, text = bases.need_vision(), bases.need_text()
    options = _options(sources.options, least=3, most=3000, mirror=True)
    answers = learn_answers(
        (normalize_answer(e.answer) for e in sources.train.examples if e.answer),
        least=int(options["least"]),
        most=int(options["most"]),
    )
    answers = bases.labels(answers)
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
    AskConfig(**dict(config.net))  # an unknown setting is refused before features are made
    return Prepared(
        train=rows(sources.train.examples, bool(options["mirror"]), True),
        validation=rows(sources.validation.examples, False, False),
        config=config,
    )


def answer_shares(example: Example) -> dict[str, float]:
    """Normalised answer → how right it is: min(1, n / 3) of ten human answers, given scores, or 1 for the one answer."""
    if example.answers:
        counts = Counter(normalize_answer(a) for a in example.answers)
        return {answer: min(1.0, n / 3) for answer, n in counts.items()}
    if example.answer_scores:
        return {normalize_answer(a): float(s) for a, s in example.answer_scores.items()}
    return {normalize_answer(example.answer): 1.0} if example.answer else {}


def _sided(example: Example) -> bool:
    words = f"{example.question} {example.answer}".lower().split()
    return any(w.strip("?.,") in {"left", "right"} for w in words)


# ---------------------------------------------------------------- caption


def prepare_caption(sources: Sources, bases: Bases, net: Net, say: Say | None) -> Prepared:
    vision = bases.need_vision()
    options = _options(sources.options, least=3, mirror=True)
    words = bases.labels(
        learn_words((c for e in sources.train.examples for c in e.captions), least=int(options["least"]))
    )
    index = {word: i for i, word in enumerate(words)}

    def rows(examples: Sequence[Example], mirror: bool) -> list[CaptionRow]:
        seen = pictures.grids({e.file for e in examples if e.file is not None}, vision, mirror=mirror, say=say)
        return [
            CaptionRow(views=seen[e.file], captions=tuple(encode(c, index) for c in e.captions))
            for e in examples
            if e.file is not None and e.captions
        ]

    config = CheckpointConfig(
        task="caption",
        net={
            **bases.net(net),
            "words": len(words),
            "channels": vision.trunk.config.channels,
            "grid": vision.trunk.config.grid,
        },
        labels=words,
        parts={"vision": vision.reference()},
    )
    CaptionConfig(**dict(config.net))
    return Prepared(
        train=rows(sources.train.examples, bool(options["mirror"])),
        validation=rows(sources.validation.examples, False),
        config=config,
    )


# ---------------------------------------------------------------- classify

TEMPLATES = ("a photo of a {}", "{}", "a picture of a {}", "there is a {} in the picture")
"""Prompts whose vectors are averaged; the learned projection knows captions, so they read like captions."""

BANK = 2000
"""Everyday words against which a label must stand out, at most."""


def prepare_classify(sources: Sources, bases: Bases, net: Net, say: Say | None) -> Prepared:
    vision, text = bases.need_vision(), bases.need_text()
    options = _options(sources.options, mirror=True, known_weight=0.5)
    names = imagenet_names()
    captions = [c for e in sources.train.examples for c in e.captions]
    counts = Counter(w for c in captions for w in set(tokenise_caption(c)) - STOPWORDS)
    bank = tuple(w for w, n in counts.most_common(BANK) if n >= 5) or names

    def prompts(label: str) -> tuple[str, ...]:
        return tuple(t.replace("{}", label) for t in TEMPLATES)

    def said(examples: Sequence[Example]) -> dict[Path, tuple[str, ...]]:
        found: dict[Path, tuple[str, ...]] = {}
        for e in examples:
            if e.file is not None:
                new = e.captions or (prompts(e.label) if e.label else ())
                found[e.file] = found.get(e.file, ()) + new
        return found

    train, held = said(sources.train.examples), said(sources.validation.examples)
    vectors = texts.vectors([t for s in (*train.values(), *held.values()) for t in s], text, say=say)

    def mean(label: str) -> NDArray[np.float32]:
        vector = text.vectors(list(prompts(label))).mean(axis=0)
        return vector / np.linalg.norm(vector)

    bank_vectors = np.stack([mean(w) for w in bank])
    name_vectors = torch.from_numpy(np.stack([mean(n) for n in names]))

    def rows(found: Mapping[Path, tuple[str, ...]], mirror: bool) -> list[ClassifyRow]:
        seen = pictures.grids(found, vision, mirror=mirror, say=say)
        return [
            ClassifyRow(
                views=tuple(grids([view]).mean(dim=(2, 3))[0].numpy() for view in seen[file]),
                texts=np.stack([vectors[t] for t in sentences]),
            )
            for file, sentences in found.items()
            if sentences
        ]

    validation = rows(held, False)
    asked = object_trials({str(file): s for file, s in held.items() if s}, seed=sources.seed)
    tried = []
    for row, trials in zip(validation, asked, strict=True):
        with torch.inference_mode():
            chance = vision.trunk.logits(torch.from_numpy(row.views[0])[None].to(vision.device)).softmax(dim=1).cpu()
        known = known_vector(chance, name_vectors)
        made = []
        for labels, right in trials:
            some = np.stack([mean(label) for label in labels])
            by_head = heights(known, torch.from_numpy(some), torch.from_numpy(bank_vectors))[0].numpy()
            made.append(
                Trial(
                    known=by_head, labels=some, bank=bank_vectors, weight=float(options["known_weight"]), right=right
                )
            )
        tried.append(dataclasses.replace(row, trials=tuple(made)))
    config = CheckpointConfig(
        task="classify",
        net={
            **bases.net(net),
            "channels": vision.trunk.config.channels,
            "text_width": text.encoder.config.width,
        },
        labels=names,
        settings={"templates": TEMPLATES, "bank": bank, "known_weight": float(options["known_weight"])},
        parts={"vision": vision.reference(), "text": text.reference()},
    )
    ClassifyConfig(**dict(config.net))
    return Prepared(train=rows(train, bool(options["mirror"])), validation=tried, config=config)


def imagenet_names() -> tuple[str, ...]:
    """The 1,000 ImageNet classes in plain English, as open_clip names them."""
    from open_clip import IMAGENET_CLASSNAMES  # slow to import, and needed here only

    return tuple(IMAGENET_CLASSNAMES)


def object_trials(
    captions: Mapping[str, Sequence[str]], *, seed: int, most: int = 12
) -> list[list[tuple[tuple[str, ...], int]]]:
    """For each picture, label lists with the index of the right one; half of them have no right one.

    A right label is a thing that two captions name; the others are things that no caption hints at, half drawn by how
    often they are seen and half evenly.
    """
    random = Random(f"{seed}:trials")
    parsed = [read_picture(name, said) for name, said in captions.items()]
    company = keep_company(parsed)
    names = [name for name, count in company.frequency.items() if count >= 3]
    found: list[list[tuple[tuple[str, ...], int]]] = []
    for picture in parsed:
        trials: list[tuple[tuple[str, ...], int]] = []
        here = [name for name in present(picture) if name in company.frequency]
        absent = [name for name in names if is_absent(name, picture)]
        if here and len(absent) >= 2:
            for there in (True, False):
                size = random.randint(2, min(most, len(absent)))
                often = random.choices(absent, [company.frequency[name] for name in absent], k=size)
                wrong = list(dict.fromkeys([*often[::2], *random.sample(absent, size)]))[:size]
                right = random.choice(here)
                labels = [*wrong[1:], right] if there else wrong
                random.shuffle(labels)
                trials.append((tuple(labels), labels.index(right) if there else len(labels)))
        found.append(trials)
    return found


# ---------------------------------------------------------------- sentiment


def prepare_sentiment(sources: Sources, bases: Bases, net: Net, say: Say | None) -> Prepared:
    options = _options(sources.options, repeat_largest=1)
    there = {e.label for e in sources.train.examples if e.label}
    labels = bases.labels([label for label in EMOTIONS if label in there] + sorted(there - set(EMOTIONS)))
    index = {label: i for i, label in enumerate(labels)}
    unknown = sorted({e.label or "" for e in sources.validation.examples} - set(index))
    if unknown:
        raise MmdemoError(f"The label {unknown[0]} is in validation only", "nothing could be learned of it")

    def rows(examples: Sequence[Example], learning: bool) -> list[SentimentRow]:
        found: list[SentimentRow] = []
        for i, e in enumerate(examples):
            if e.file is not None and e.label:
                samples = prepare_speech(load_sound(e.file))
                if len(samples):
                    found.append(SentimentRow(samples=samples, label=index[e.label], learning=learning))
            if say is not None:
                say("clips", i + 1, len(examples))
        return found

    # the corpus that is measured counts more than those that broaden it
    corpora = Counter(e.file.parent for e in sources.train.examples if e.file is not None)
    largest = corpora.most_common(1)[0][0] if corpora else None
    often = [e for e in sources.train.examples if e.file is not None and e.file.parent == largest]
    train = rows(sources.train.examples, True) + rows(often, True) * (int(options["repeat_largest"]) - 1)
    config = CheckpointConfig(task="sentiment", net={**bases.net(net), "labels": len(labels)}, labels=labels)
    SpeechConfig(**dict(config.net))
    return Prepared(train=train, validation=rows(sources.validation.examples, False), config=config)


Prepare = Callable[[Sources, Bases, Net, Say | None], Prepared]

PREPARE: Mapping[str, Prepare] = {
    "vision": prepare_vision,
    "ask": prepare_ask,
    "caption": prepare_caption,
    "classify": prepare_classify,
    "sentiment": prepare_sentiment,
}
"""How each task's rows are made."""
