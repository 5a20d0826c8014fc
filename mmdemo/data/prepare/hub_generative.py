"""Rows for public models of Ask and Caption: those that say their answers, and those that choose from a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch

from mmdemo.core.config import Scalar
from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import AskRequest, Picture
from mmdemo.core.words import normalize_answer
from mmdemo.data.hub_pixels import Look, pixels
from mmdemo.data.pictures import Say
from mmdemo.data.prepare.ask import answer_shares
from mmdemo.data.prepare.hub_config import config_of, files_of
from mmdemo.data.prepare.inputs import DatasetSplits, HubBase, TrainingData, chosen_options
from mmdemo.data.read import Example
from mmdemo.models.families.base import as_image
from mmdemo.models.families.florence import CAPTION
from mmdemo.models.families.label_head import fit_labels
from mmdemo.tasks.ask import learn_answers
from mmdemo.tasks.hub.generative import GenerativeRow, GenerativeTask, SFTFormatter
from mmdemo.tasks.hub.sft_formatters import BlipFormatter, ChatFormatter, CocaFormatter, FlorenceFormatter
from mmdemo.tasks.hub.vilt import ViltRow, ViltTask

MOST_CAPTIONS = 5
"""Captions of a validation picture that count."""


def prepare_generative(sources: DatasetSplits, public: HubBase, say: Say | None) -> TrainingData:
    """A row per question, or per picture with its captions; in validation one for each of its captions."""
    chosen_options(sources.options)
    model: Any = public.model
    task = model.card.task
    speaker, look = SPEAKERS[public.base.layout.family](public, sources)
    examples = (*sources.train.examples, *sources.validation.examples)
    kept = pixels(files_of(examples), look, public.base, say=say) if look is not None else {}

    def rows(some: Sequence[Example], learning: bool) -> list[GenerativeRow]:
        found: list[GenerativeRow] = []
        for e in some:
            if e.file is None:
                continue
            if task == "ask":
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
        config=config_of(public, sources),
        task=GenerativeTask(task, model.net, speaker, model.predict),
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


def _blip(public: HubBase, sources: DatasetSplits) -> tuple[SFTFormatter, Look | None]:
    model: Any = public.model

    def look(pictures: Sequence[Picture]) -> Mapping[str, torch.Tensor]:
        images = [as_image(picture) for picture in pictures]
        return {"pixel_values": model.processor.image_processor(images=images, return_tensors="pt")["pixel_values"]}

    return BlipFormatter(model.net, model.processor, head=sources.tune.kind != "lora"), look


def _coca(public: HubBase, sources: DatasetSplits) -> tuple[SFTFormatter, Look | None]:
    model: Any = public.model
    return CocaFormatter(model.net, model.words), cast("Look", model.processor)


def _florence(public: HubBase, sources: DatasetSplits) -> tuple[SFTFormatter, Look | None]:
    model: Any = public.model
    return FlorenceFormatter(model.net, model.processor, prompt=CAPTION, image=as_image), None


def _chat(public: HubBase, sources: DatasetSplits) -> tuple[SFTFormatter, Look | None]:
    model: Any = public.model
    speaker = ChatFormatter(
        model.card.task,
        model.net,
        model.processor,
        ends=tuple(model.ends),
        talk=model.talk,
        plain=model.without_marks,
        between=sources.tune.kind == "head",
    )
    if speaker.only == () and sources.tune.kind == "head":
        raise MmdemoError(
            f"{public.base.id} has no head to train", "nothing stands between its eyes and its words", "Use lora"
        )
    return speaker, None


SPEAKERS: Mapping[str, Callable[[HubBase, DatasetSplits], tuple[SFTFormatter, Look | None]]] = {
    "blip_ask": _blip,
    "blip_caption": _blip,
    "coca": _coca,
    "florence": _florence,
    "chat": _chat,
}
"""Kind → how it is taught, and what of its pictures is kept."""


# ---------------------------------------------------------------- answers from a list

ANSWERS: Mapping[str, Scalar] = {"least": 1, "most": 1000}
"""How often an answer must occur to be learned, and how many new ones are: the ``[data]`` options, and what they are
where nobody says otherwise."""


def prepare_vilt(sources: DatasetSplits, public: HubBase, say: Say | None) -> TrainingData:
    """A row per question; answers that the network does not know become rows of its head."""
    options = chosen_options(sources.options, **ANSWERS)
    model: Any = public.model
    known = {normalize_answer(answer) for answer in model.config.labels}
    new = learn_answers(
        (normalize_answer(e.answer) for e in sources.train.examples if e.answer),
        least=int(options["least"]),
        most=int(options["most"]),
    )
    labels = (*model.config.labels, *(answer for answer in new if answer not in known))
    index: dict[str, int] = {}
    for i, label in enumerate(labels):
        index.setdefault(normalize_answer(label), i)
    fit_labels(model, labels)

    def read(asked: Sequence[AskRequest]) -> Mapping[str, torch.Tensor]:
        return dict(
            model.processor(
                images=[model.widened(request.picture) for request in asked],
                text=[request.question for request in asked],
                padding=True,
                truncation=True,
                max_length=model.net.config.max_position_embeddings,
                return_tensors="pt",
            )
        )

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
        config=config_of(public, sources, labels=labels),
        task=ViltTask(model.net, read, answers=len(labels)),
    )
