"""Rows for task "classify": pictures with sentences about them, and trials to calibrate by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray

from mmdemo.core.config import CLASSES, Calibration, CheckpointConfig
from mmdemo.core.settings import typed_path
from mmdemo.core.words import tokenise_caption
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
from mmdemo.data.recipes.picture import read_picture
from mmdemo.data.recipes.presence import co_occurrences, is_absent, present
from mmdemo.media.text import plain
from mmdemo.models import checkpoint
from mmdemo.nets.shared_space import ClassifyConfig
from mmdemo.tasks.classify import ClassifyRow, Trial, tried

TEMPLATES = ("a photo of a {}", "{}", "a picture of a {}", "there is a {} in the picture")
"""Prompts whose vectors are averaged; the learned projection knows captions, so they read like captions."""

BANK = 2000
"""Everyday words against which a label must stand out, at most."""

LEAST_BANK = 20
"""Fewer say nothing of what is usual; then the ImageNet classes are the bank."""


def prepare_classify(sources: DatasetSplits, bases: Encoders, net: Net, say: Say | None) -> TrainingData:
    """A row per picture: its pooled grid and the vectors of its captions, or of prompts with its label.

    Validation rows bring made trials of classification along, by which the finished model is calibrated.
    """
    vision, text = bases.need_vision(), bases.need_text()
    options = chosen_options(
        sources.options, mirror=True, crops=0, known_weight=0.5, held_labels=0.0, calibrate_like=""
    )
    sources, unseen = hold_out(sources, float(options["held_labels"]))
    names = imagenet_names()
    captions = [c for e in sources.train.examples for c in e.captions]
    counts = Counter(w for c in captions for w in set(tokenise_caption(c)) - STOPWORDS)
    bank = tuple(w for w, n in counts.most_common(BANK) if n >= 5)
    known = bases.same.settings.get("bank") if bases.same is not None else None
    if isinstance(known, tuple):
        bank = known  # what is usual does not change with a few pictures of one's own
    elif len(bank) < LEAST_BANK:
        bank = names

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

    everything = (*sources.train.examples, *sources.validation.examples)
    groups, classes = _groups(everything), _classes(sources, bases)
    place = {normalize_label(label): i for i, label in enumerate(classes)}
    own = {
        e.file: place[normalize_label(e.label)]
        for e in everything
        if e.file in groups and normalize_label(e.label) in place
    }

    calibration = _calibration_of(str(options["calibrate_like"]))
    needs_known = bool(bases.net(net).get("known_share")) or not sources.tune.frozen_encoder

    def rows(found: Mapping[Path, tuple[str, ...]], views: Views) -> dict[Path, ClassifyRow]:
        seen = pictures.seen(found, vision, tune=sources.tune, views=views, pooled=True, say=say)
        asked = list(found) if needs_known else [file for file in found if file in own]
        known = pictures.imagenet(asked, vision, say=say) if asked else {}
        return {
            file: ClassifyRow(
                views=seen[file],
                texts=tuple(vectors[t] for t in sentences),
                group=groups.get(file, -1),
                own=own.get(file, -1),
                known_weight=float(options["known_weight"]),
                calibration=calibration,
                imagenet=known[file][0] if file in known else None,
                file=file,
            )
            for file, sentences in found.items()
            if sentences and file in seen
        }

    validation = rows(held, Views())
    # somebody's own classes are calibrated against each other (tasks.classify.own_trials)
    labelled = {} if classes else {e.file: e.label for e in sources.validation.examples if e.file in groups}
    named = {file: label if not unseen or label in unseen else None for file, label in labelled.items()}
    said_of_objects = {str(file): held[file] for file in validation if file not in named}
    by_captions = iter(object_trials(said_of_objects, seed=sources.seed))
    by_labels = label_trials([named.get(file) for file in validation], seed=sources.seed)
    asked = [trials if file in named else next(by_captions) for file, trials in zip(validation, by_labels, strict=True)]
    labels = {label for trials in asked for some, _ in trials for label in some}
    unique = (*dict.fromkeys((*bank, *names, *classes, *labels)),)
    said_of = texts.vectors([p for label in unique for p in prompts(label)], text, exact=True, say=say)

    def mean(label: str) -> NDArray[np.float32]:
        vector = np.stack([said_of[prompt] for prompt in prompts(label)]).mean(axis=0)
        unit: NDArray[np.float32] = vector / np.linalg.norm(vector)
        return unit

    means = {label: mean(label) for label in unique}
    bank_vectors, name_vectors = (np.stack([means[word] for word in some]) for some in (bank, names))
    heard = pictures.imagenet(validation, vision, say=say)
    judged = [
        tried(
            replace(
                row,
                trials=tuple(
                    Trial(
                        known=np.zeros(len(some), np.float32),
                        labels=np.stack([means[label] for label in some]),
                        bank=bank_vectors,
                        weight=float(options["known_weight"]),
                        right=right,
                    )
                    for some, right in trials
                ),
            ),
            torch.from_numpy(heard[file][0][None].astype(np.float32)),
            torch.from_numpy(name_vectors),
        )
        for (file, row), trials in zip(validation.items(), asked, strict=True)
    ]
    config = CheckpointConfig(
        task="classify",
        net={
            **bases.net(net),
            "channels": vision.trunk.config.channels,
            "text_width": text.encoder.config.width,
            "classes": len(names),
            "bank": len(bank),
            "own": len(classes),
        },
        labels=names,
        settings={
            "templates": TEMPLATES,
            "bank": bank,
            "known_weight": float(options["known_weight"]),
            CLASSES: classes,
        },
        parts={"vision": vision.reference(), "text": text.reference()},
    )
    net_settings(ClassifyConfig, config.net)
    return TrainingData(
        train=list(rows(train, Views.of(options)).values()),
        validation=judged,
        config=config,
        constants={
            "names": name_vectors,
            "bank": bank_vectors,
            **({"said": np.stack([means[label] for label in classes])} if classes else {}),
        },
    )


def hold_out(sources: DatasetSplits, share: float) -> tuple[DatasetSplits, frozenset[str]]:
    """Keep a share of the labels from training: their pictures calibrate it on words that it was never taught."""
    labels = sorted({e.label for e in sources.train.examples if e.label})
    if not share:
        return sources, frozenset()
    drawn = Random(f"{sources.seed}:held").sample(labels, max(2, round(share * len(labels))))  # noqa: S311
    unseen = frozenset(drawn)
    kept = [e for e in sources.train.examples if e.label not in unseen]
    held = [e for e in sources.train.examples if e.label in unseen]
    validation = [*sources.validation.examples, *held]
    train, validated = sources.train, sources.validation
    return replace(
        sources,
        train=train.with_examples(kept, split=train.split),
        validation=validated.with_examples(validation, split=validated.split),
    ), unseen


def _calibration_of(name: str) -> Calibration | None:
    """That of another checkpoint, which was trained without some of the labels and calibrated on them."""
    return checkpoint.read_config(typed_path(name)).calibration if name else None


def _groups(examples: Sequence[Example]) -> dict[Path, int]:
    """Picture → number of its label, where labels are all that is known of the pictures."""
    labels = {e.file: e.label for e in examples if e.file is not None and e.label and not e.captions}
    numbers = {label: i for i, label in enumerate(sorted(set(labels.values())))}
    return {file: numbers[label] for file, label in labels.items()}


def _classes(sources: DatasetSplits, bases: Encoders) -> tuple[str, ...]:
    """The labels of the training pictures, after those of the base.

    Beside captions they are none of somebody's own: they teach what their words look like, as captions do.

    A class that the base spells otherwise is the base's: nobody could ask for both (media.text.parse_labels).
    """
    known = bases.same.settings.get(CLASSES) if bases.same is not None else None
    captioned = any(e.captions for e in sources.train.examples)
    labels = sorted({plain(e.label) for e in sources.train.examples if e.label and not captioned})
    found: dict[str, str] = {}
    for label in (*(known if isinstance(known, tuple) else ()), *labels):
        found.setdefault(normalize_label(label), label)
    return tuple(found.values())


def normalize_label(label: str | None) -> str:
    """Equal for labels that are one to whoever asks."""
    return plain(label or "").casefold()


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
    random = Random(f"{seed}:trials")  # noqa: S311 - repeatable, not secret
    parsed = [read_picture(name, said) for name, said in captions.items()]
    company = co_occurrences(parsed)
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


def label_trials(labels: Sequence[str | None], *, seed: int, most: int = 12) -> list[list[tuple[tuple[str, ...], int]]]:
    """The same for pictures that have a label, drawn among all labels; no trial where there is none, or too few."""
    random = Random(f"{seed}:labels")  # noqa: S311 - repeatable, not secret
    names = sorted({label for label in labels if label})
    found: list[list[tuple[tuple[str, ...], int]]] = []
    for label in labels:
        others = [name for name in names if name != label]
        if label is None or len(others) < 2:
            found.append([])
            continue
        size = random.randint(2, min(most, len(others)))
        wrong = random.sample(others, size)
        there = [*wrong[1:], label]
        random.shuffle(there)
        found.append([(tuple(there), there.index(label)), (tuple(wrong), size)])
    return found
