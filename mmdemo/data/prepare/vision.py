"""Rows for task "vision": pictures below the trunk's cut, with what people said of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mmdemo.core.config import CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.core.words import OPEN, normalize_answer, question_kind, tokenise_caption
from mmdemo.data import pictures, texts
from mmdemo.data.pictures import Say
from mmdemo.data.prepare.bases import STOPWORDS, Bases, Net, Prepared, Sources, chosen_options, net_settings
from mmdemo.data.read import Example
from mmdemo.nets.vision import VisionConfig
from mmdemo.tasks.vision import VisionRow

LEAST = 5
"""Pictures whose captions must hold a word before it is learned."""


def prepare_vision(sources: Sources, bases: Bases, net: Net, say: Say | None) -> Prepared:
    """A row per picture: its features below the cut, the sentences said of it, its words and the teacher's logits."""
    vision, text = bases.need_vision(), bases.need_text()
    options = chosen_options(sources.options, words=1000, mirror=True)
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
        net=settings,
        labels=names,
        settings={"text_width": text.encoder.config.width},
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
