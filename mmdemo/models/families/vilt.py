"""ViLT of transformers: one transformer over words and patches, with a head over the answers of VQA.

Kim, Son and Kim 2021, "ViLT: Vision-and-Language Transformer Without Convolution or Region Supervision",
https://arxiv.org/abs/2102.03334. Legend: ``B`` requests, ``K`` answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

from PIL import Image, ImageOps

from mmdemo.core.config import Scalar
from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import ASK
from mmdemo.core.types import AskRequest, AskResult, Card, Picture, Result, Scored
from mmdemo.models.ask import ALTERNATIVES
from mmdemo.models.families.base import Features, LabelHeadModel, RuntimeConfig, as_image
from mmdemo.models.families.detect import HubConfig
from mmdemo.models.families.pretrained import quantize_net, read_net, read_processor

BATCH = 16
"""Requests that the network answers at once, at most."""

LONGER = 1333 / 800
"""How much longer than its shorter side is wide the processor lets a picture be before it makes it smaller as a whole;
as of the pictures of COCO."""


class ViltModel(LabelHeadModel):
    """Answers with the most probable of its fixed answers, as the library's documentation does.

    The head was trained as one yes or no for each answer (soft targets, for people differ), and its documented use is
    the highest logit. Scores are the softmax of the logits, so that they compare an answer with the others, as those of
    our own Ask do; the order is the same.
    """

    family: ClassVar[str] = "vilt"
    tasks: ClassVar[tuple[str, ...]] = (ASK,)
    trainable: ClassVar[bool] = True
    joint_sequence: ClassVar[bool] = True
    data_options: ClassVar[Mapping[str, Scalar]] = {"least": 1, "most": 1000}
    """How often an answer must occur to be learned, and how many new ones are."""

    @classmethod
    def recognises(cls, config: HubConfig) -> bool:
        return config.architecture == "ViltForQuestionAnswering"

    @classmethod
    def open(cls, folder: Path, card: Card, *, how: RuntimeConfig) -> Self:
        from transformers import ViltForQuestionAnswering

        net = read_net(ViltForQuestionAnswering, folder, how=how, name=card.id)
        names = net.config.id2label
        answers = tuple(str(names.get(i, "")) for i in range(net.config.num_labels))
        if not all(answers) or all(name == f"LABEL_{i}" for i, name in enumerate(answers)):
            raise MmdemoError(f"{card.id} cannot be loaded", "its config.json does not name its answers")
        processor = read_processor(folder, name=card.id)
        return cls(card, quantize_net(net, how), processor, how=how, labels=answers)

    def question_inputs(self, requests: Sequence[AskRequest]) -> Features:
        """What the network reads of questions, on the CPU."""
        return self.processor(
            images=[self.widened(r.picture) for r in requests],
            text=[r.question for r in requests],
            padding=True,
            truncation=True,
            max_length=self.net.config.max_position_embeddings,
            return_tensors="pt",
        )

    def _answer(self, requests: Sequence[AskRequest]) -> list[Result]:
        results: list[Result] = []
        for start in range(0, len(requests), BATCH):
            results += self._answered(requests[start : start + BATCH])
        return results

    def _answered(self, requests: Sequence[AskRequest]) -> list[Result]:
        inputs = self.question_inputs(requests).to(self.device, self.how.dtype)
        logits = self.net(**inputs).logits.float()  # (B, K)
        scores = (logits / self.config.calibration.temperature).softmax(dim=1)
        best = scores.topk(min(ALTERNATIVES + 1, scores.shape[1]))
        return [
            self._result(request, values, places)
            for request, values, places in zip(requests, best.values.tolist(), best.indices.tolist(), strict=True)
        ]

    def _result(self, request: AskRequest, values: list[float], places: list[int]) -> Result:
        found = tuple(Scored(label=self.config.labels[i], score=v) for i, v in zip(places, values, strict=True))
        return AskResult(
            file=request.picture.name,
            question=request.question,
            answer=found[0].label,
            score=found[0].score,
            sure=found[0].score >= self.config.calibration.threshold,
            alternatives=found[1:],
            model=self.card.id,
            seconds=0.0,
        )

    def widened(self, picture: Picture) -> Image.Image:
        """A picture for the processor.

        One that is so long and narrow that no row of patches would be left of it has white beside it.
        """
        pictures = self.processor.image_processor
        longest = max(int(LONGER * pictures.size["shortest_edge"]) // pictures.size_divisor, 1)  # sides to one another
        image = as_image(picture)
        least = -(-max(image.size) // longest)
        if min(image.size) >= least:
            return image
        return ImageOps.pad(image, (max(image.width, least), max(image.height, least)), color="white")
