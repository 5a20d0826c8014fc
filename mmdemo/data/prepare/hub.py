"""Rows and tasks for hub models: what their own processors and losses want of somebody's data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from mmdemo.core.config import CLASSES, FAMILY, CardText, CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import ASK
from mmdemo.core.types import EMOTIONS
from mmdemo.core.words import normalize_answer
from mmdemo.data import clips
from mmdemo.data.hub_pixels import pixels
from mmdemo.data.pictures import Say
from mmdemo.data.prepare.ask import answer_shares
from mmdemo.data.prepare.inputs import DatasetSplits, Encoders, HubBase, Net, TrainingData, chosen_options
from mmdemo.data.read import Example
from mmdemo.media.text import plain
from mmdemo.models.families.emotion_names import to_canonical_label
from mmdemo.models.families.factory import NOT_STATED
from mmdemo.models.families.merge import read_tuned
from mmdemo.tasks.ask import learn_answers
from mmdemo.tasks.hub.base import LibraryNet
from mmdemo.tasks.hub.contrastive import HEADS, CaptionedTask, ClassesTask, ContrastiveFamily, ContrastiveRow
from mmdemo.tasks.hub.generative import GenerativeFamily, GenerativeRow, GenerativeTask
from mmdemo.tasks.hub.speech import SpeechClassifierTask, SpeechFamily, SpeechRow
from mmdemo.tasks.hub.vilt import AnswerListFamily, ViltRow, ViltTask

ON_TOP = "; the data's own terms come on top"

MOST_CAPTIONS = 5
"""Captions of a validation picture that count."""


def prepare_hub(sources: DatasetSplits, bases: Encoders, net: Net, say: Say | None) -> TrainingData:
    """Rows for a run that starts from a hub model, and the run's own task.

    Raises:
        MmdemoError: The data are of no use for it, or settings are given that only networks of ours have.
    """
    hub = bases.need_hub()
    if net:
        raise MmdemoError(
            f"net.{next(iter(net))} cannot be set here", f"the network is that of {hub.base.id}", "Leave it out"
        )
    options = chosen_options(sources.options, **hub.base.layout.model_class.data_options)
    match hub.model:
        case ContrastiveFamily() as family:
            return _contrastive(sources, hub, family, say)
        case GenerativeFamily() as family:
            return _generative(sources, hub, family, say)
        case AnswerListFamily() as family:
            return _answer_list(sources, hub, family, least=int(options["least"]), most=int(options["most"]))
        case SpeechFamily() as family:
            return _speech(sources, hub, family, say)
        case _:
            raise MmdemoError(f"{hub.base.id} cannot be tuned", "nothing says how its kind is trained")


def config_of(
    hub: HubBase, sources: DatasetSplits, *, labels: Sequence[str] = (), classes: Sequence[str] = ()
) -> CheckpointConfig:
    """The configuration of what a run makes of a hub model.

    Args:
        labels: Of a network with an output unit for each.
        classes: The labels of the pictures that it is tuned on.
    """
    card, base = hub.model.card, hub.base
    merged = read_tuned(base.folder, name=base.id)  # which was tuned before, and came of a base of its own
    licence = merged.licence if merged and merged.licence else card.licence
    under = "whose licence is not stated" if licence == NOT_STATED else f"under {licence}"
    start = base.named if hub.before is None else f"{hub.folder and hub.folder.name} ({base.named})"
    return CheckpointConfig(
        task=card.task,
        calibration=hub.model.config.calibration,
        card=CardText(
            summary=f"Tuned with mmdemo for {card.task} on {sources.train.name}, starting from {start}.",
            licence=licence if licence.endswith(ON_TOP) else f"starts from weights {under}{ON_TOP}",
            data=(sources.train.name,),
            bases=(
                *(merged.bases if merged else ()),
                f"{base.named}{'' if merged else f' ({licence})'}; SHA-256 of its weights {base.hash}",
            ),
            limits=(
                "Stands on a public model: read what its makers say of it before you rely on it.",
                "What it knew of other things than those it was tuned on may have faded.",
            ),
        ),
        net={FAMILY: hub.base.layout.family},
        labels=tuple(labels),
        settings={**hub.base.settings(), **({CLASSES: tuple(classes)} if classes else {})},
    )


def files_of(examples: Sequence[Example]) -> list[Path]:
    """The files of some examples, each once."""
    return list(dict.fromkeys(e.file for e in examples if e.file is not None))


# ---------------------------------------------------------------- classify


def _contrastive(sources: DatasetSplits, hub: HubBase, family: ContrastiveFamily, say: Say | None) -> TrainingData:
    """A row per picture: its captions, or prompts with its label. Where all have labels alone, these are classes."""
    examples = (*sources.train.examples, *sources.validation.examples)
    classes = _classes(sources.train.examples, hub)
    place = {normalize_label(label): i for i, label in enumerate(classes)}
    alone = bool(classes) and not any(e.captions for e in examples)
    numbers = {normalize_label(e.label): i for i, e in enumerate(examples) if e.label}
    templates = family.templates(100)
    kept = pixels(files_of(examples), family.processor, hub.base, say=say)

    def rows(some: Sequence[Example]) -> list[ContrastiveRow]:
        texts: dict[Path, list[str]] = {}
        labels: dict[Path, str] = {}
        for e in some:
            if e.file is None:
                continue
            told = e.captions or tuple(t.replace("{}", plain(e.label)) for t in templates if e.label)
            texts.setdefault(e.file, []).extend(told)
            if e.label and not e.captions:
                labels[e.file] = normalize_label(e.label)
        return [
            ContrastiveRow(
                pixels=kept[file],
                texts=tuple(dict.fromkeys(told)),
                group=numbers[labels[file]] if file in labels else -1,
                own=place.get(labels[file], -1) if file in labels and alone else -1,
            )
            for file, told in texts.items()
            if told and (not alone or labels.get(file) in place)
        ]

    heads = HEADS if sources.tune.kind != "lora" else ()
    if alone:
        if len(classes) < 2:
            raise MmdemoError("There is one class alone", f"all pictures are called {classes[0]}", "Add another class")
        with torch.no_grad():
            vectors = family.label_vectors(classes).clone()
            neutral = None if family.sigmoid else family.neutral_vector().clone()
        task: CaptionedTask | ClassesTask = ClassesTask(family, heads=heads, classes=vectors, neutral=neutral)
    else:
        task = CaptionedTask(family, heads=heads)
    return TrainingData(
        train=rows(sources.train.examples),
        validation=rows(sources.validation.examples),
        config=config_of(hub, sources, classes=classes),
        task=task,
    )


def _classes(examples: Sequence[Example], hub: HubBase) -> tuple[str, ...]:
    """The labels of the training pictures, after those that the model was tuned for before."""
    known = hub.model.config.settings.get(CLASSES)
    found: dict[str, str] = {}
    for label in (*(known if isinstance(known, tuple) else ()), *sorted({plain(e.label) for e in examples if e.label})):
        found.setdefault(normalize_label(label), label)
    return tuple(found.values())


def normalize_label(label: str | None) -> str:
    """Equal for labels that are one to whoever asks."""
    return plain(label or "").casefold()


# ---------------------------------------------------------------- ask and caption


def _generative(sources: DatasetSplits, hub: HubBase, family: GenerativeFamily, say: Say | None) -> TrainingData:
    """A row per question, or per picture with its captions; in validation one for each of its captions."""
    task, formatter = family.card.task, family.formatter(sources.tune.kind)
    examples = (*sources.train.examples, *sources.validation.examples)
    kept = pixels(files_of(examples), formatter.look, hub.base, say=say) if formatter.look is not None else {}

    def rows(some: Sequence[Example], learning: bool) -> list[GenerativeRow]:
        found: list[GenerativeRow] = []
        for e in some:
            if e.file is None:
                continue
            if task == ASK:
                answers, right = _answers(e), answer_shares(e)
                if answers:
                    told = [(e.question, answers, right)]
                else:
                    continue
            elif learning:
                told = [("", dict.fromkeys(e.captions, 1.0), {})] if e.captions else []
            else:
                told = [("", {caption: 1.0}, {}) for caption in e.captions[:MOST_CAPTIONS]]
            found += [
                GenerativeRow(file=e.file, question=q, answers=a, right=r, learning=learning, pixels=kept.get(e.file))
                for q, a, r in told
            ]
        return found

    return TrainingData(
        train=rows(sources.train.examples, True),
        validation=rows(sources.validation.examples, False),
        config=config_of(hub, sources),
        task=GenerativeTask(family, formatter),
    )


def _answers(example: Example) -> dict[str, float]:
    """What people answered, in their own words → share; the most usual first."""
    if example.answers:
        counts = Counter(answer.strip() for answer in example.answers if answer.strip())
        return {answer: count / sum(counts.values()) for answer, count in counts.most_common()}
    if example.answer_scores:
        found = {a.strip(): float(s) for a, s in example.answer_scores.items() if a.strip() and s > 0}
        return dict(sorted(found.items(), key=lambda item: -item[1]))
    return {example.answer.strip(): 1.0} if example.answer and example.answer.strip() else {}


def _answer_list(
    sources: DatasetSplits, hub: HubBase, family: AnswerListFamily, *, least: int, most: int
) -> TrainingData:
    """A row per question; answers that the network does not know become rows of its head."""
    known = {normalize_answer(answer) for answer in family.config.labels}
    new = learn_answers(
        (normalize_answer(e.answer) for e in sources.train.examples if e.answer),
        least=least,
        most=most,
    )
    labels = (*family.config.labels, *(answer for answer in new if answer not in known))
    index: dict[str, int] = {}
    for i, label in enumerate(labels):
        index.setdefault(normalize_answer(label), i)
    family.fit_labels(labels)

    def rows(some: Sequence[Example], learning: bool) -> list[ViltRow]:
        found = []
        for e in some:
            right = {index[answer]: share for answer, share in answer_shares(e).items() if answer in index}
            if e.file is not None and (right or not learning):
                found.append(ViltRow(file=e.file, question=e.question, right=right))
        return found

    return TrainingData(
        train=rows(sources.train.examples, True),
        validation=rows(sources.validation.examples, False),
        config=config_of(hub, sources, labels=labels),
        task=ViltTask(family, answers=len(labels)),
    )


# ---------------------------------------------------------------- sentiment


def _speech(sources: DatasetSplits, hub: HubBase, family: SpeechFamily, say: Say | None) -> TrainingData:
    """A row per clip that holds speech; labels that the network does not know become units of its head."""
    labels, place = emotions(family.config.labels, (e.label for e in sources.train.examples if e.label))
    family.fit_labels(labels)
    family.net.config.apply_spec_augment = False  # it fails on clips of a syllable

    def rows(examples: Sequence[Example], learning: bool) -> list[SpeechRow]:
        told = [
            (e.file, place[normalize_label(e.label)])
            for e in examples
            if e.file is not None and normalize_label(e.label) in place
        ]
        found = clips.clips([file for file, _ in told], say=say)
        return [SpeechRow(samples=found[file], label=label, learning=learning) for file, label in told if file in found]

    return TrainingData(
        train=rows(sources.train.examples, True),
        validation=rows(sources.validation.examples, False),
        config=config_of(hub, sources, labels=labels),
        task=SpeechClassifierTask(family, fixed=_kept_by_makers(family.net)),
    )


def emotions(known: Sequence[str], told: Iterable[str]) -> tuple[tuple[str, ...], dict[str, int]]:
    """The labels of a run, and how each of them, and of what people wrote, is found among them.

    Args:
        known: Labels of the network; they stay. Somebody's own ("boredom") stand for themselves, and published ones for
            all that they are called ("bored" is "boredom" too).
        told: Those of the clips, however often; what differs in large and small letters alone is one.

    Returns:
        The labels, new ones last: those that we have words for, then the others; and label without its capitals
        (:func:`normalize_label`) → its place.
    """
    place: dict[str, int] = {}
    for i, label in enumerate(known):
        place.setdefault(normalize_label(label), i)
    new: dict[str, str] = {}
    for label in sorted(set(told)):
        called = normalize_label(label)
        if called not in place and normalize_label(to_canonical_label(label)) in place:
            place[called] = place[normalize_label(to_canonical_label(label))]
        elif called not in place:
            new.setdefault(called, called if called in EMOTIONS else plain(label))
    ordered = sorted(new, key=lambda called: EMOTIONS.index(called) if called in EMOTIONS else len(EMOTIONS))
    place |= {called: len(known) + i for i, called in enumerate(ordered)}
    return (*known, *(new[called] for called in ordered)), place


def _kept_by_makers(net: LibraryNet) -> tuple[str, ...]:
    """Names of the tensors that the library leaves as they are in all tuning: the ears of wav2vec 2.0 and its kin."""
    if not hasattr(net, "freeze_feature_encoder"):
        return ()
    net.requires_grad_(True)
    net.freeze_feature_encoder()
    return tuple(name for name, parameter in net.named_parameters() if not parameter.requires_grad)
