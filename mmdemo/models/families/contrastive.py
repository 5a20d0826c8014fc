"""Classify by networks that bring pictures and their captions together: prompts, scores, "none of these", maps.

Legend: ``B`` pictures, ``N`` texts, ``K`` labels, ``E`` width of the common space, ``H`` and ``W`` patches.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mmdemo.core.config import CLASSES
from mmdemo.core.tasks import CLASSIFY
from mmdemo.core.types import (
    NONE_OF_THESE,
    Card,
    ClassifyRequest,
    ClassifyResult,
    HeatMap,
    Picture,
    Request,
    Result,
    Scored,
)
from mmdemo.models.families.base import HubModel, RuntimeConfig
from mmdemo.models.families.patch_maps import Framing, PatchGraph
from mmdemo.models.families.prompts import Prompts
from mmdemo.models.ready import cam, of_type
from mmdemo.tasks.hub.base import Look

Key = TypeVar("Key", bound=Hashable)

PICTURES, TEXTS = 16, 64
"""Most of each in one forward pass on a CPU; eight times as many elsewhere."""

KEPT_PICTURES, KEPT_TEXTS = 1024, 10_000
"""Vectors that are kept; one takes 2 to 5 kB."""

EXPLAINED = 3
"""Leading labels that get a map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity:
    """How a cosine becomes a score: ``scale`` times it plus ``bias``, then a sigmoid or a softmax over the labels."""

    scale: float
    bias: float
    sigmoid: bool


class ContrastiveModel(HubModel):
    """Two towers, and a score for how well a picture and a text fit: ``scale * cosine + bias``.

    How scores become probabilities follows from how the network was trained:

    - with a softmax over a batch of captions (CLIP): a softmax over the labels. There "none of these" is a further
      label, which says what can be said of any picture ("a photo."), raised by ``calibration.height``;
    - with a sigmoid for each pair (SigLIP, Zhai et al. 2023, https://arxiv.org/abs/2303.15343): the score is the
      logarithm of the odds that the two belong together, 0 where it is as likely as not. "None of these" scores just
      that, raised by ``calibration.height``, so that a single label keeps the probability that the sigmoid gives it.

    ``calibration.temperature`` divides all scores, that of "none of these" among them. A label is the mean of the unit
    vectors of its prompts, made a unit vector again.

    Attributes:
        scale, bias: As the network learned them, in full precision whatever it computes in.
        sigmoid: How it was trained.
    """

    tasks = (CLASSIFY,)
    trainable = True

    processor: Look

    def __init__(
        self,
        card: Card,
        net: nn.Module,
        processor: Look,
        tokenizer: Callable[[Sequence[str]], Mapping[str, Tensor]],
        *,
        prompts: Prompts,
        similarity: Similarity,
        framing: Framing,
        how: RuntimeConfig,
    ) -> None:
        super().__init__(card, net, processor, how=how)
        self.tokenizer, self.prompts, self.framing = tokenizer, prompts, framing
        self.scale, self.bias, self.sigmoid = similarity.scale, similarity.bias, similarity.sigmoid
        self._known = _LabelVectors(self.net)

    @abstractmethod
    def picture_features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """What the picture tower says of the processor's output, (B, E), of any length."""

    @abstractmethod
    def text_features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """What the text tower says of the tokenizer's output, (N, E), of any length."""

    @abstractmethod
    def _cut(self, inputs: Mapping[str, Tensor]) -> PatchGraph | None:
        """The picture tower in two pieces, for one picture; None where its patches have no place in the picture."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Those that somebody tuned it on; it takes any label."""
        learned = self.config.settings.get(CLASSES)
        return learned if isinstance(learned, tuple) else ()

    # ------------------------------------------------------------ vectors

    def encode_pictures(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """Unit vectors (B, E)."""
        self._in_use()
        with torch.inference_mode():
            vectors: NDArray[np.float32] = self._pictures(pictures).cpu().numpy()
        return vectors

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors (N, E) of sentences as they are, without prompts around them."""
        self._in_use()
        with torch.inference_mode():
            vectors: NDArray[np.float32] = self._means(texts, ("{}",)).cpu().numpy()
        return vectors

    def _pictures(self, pictures: Sequence[Picture]) -> Tensor:
        """Unit vectors (B, E) in fp32; what is known is not encoded again."""
        wanted = {picture.key: picture for picture in pictures}

        def see(keys: Sequence[str]) -> Tensor:
            inputs = self._inputs(self.processor([wanted[key] for key in keys]))
            return F.normalize(self.picture_features(inputs).float(), dim=-1)

        return self._vectors.pictures.get([picture.key for picture in pictures], see, PICTURES * self._wider)

    def _means(self, names: Sequence[str], templates: tuple[str, ...]) -> Tensor:
        """For each name, put into each template, the mean of the unit vectors as a unit vector (N, E)."""

        def read(keys: Sequence[tuple[str, tuple[str, ...]]]) -> Tensor:
            sentences = [template.replace("{}", name) for name, _ in keys for template in templates]
            found, many = [], TEXTS * self._wider
            for start in range(0, len(sentences), many):
                inputs = self._inputs(self.tokenizer(sentences[start : start + many]))
                found.append(F.normalize(self.text_features(inputs).float(), dim=-1))
            means = torch.cat(found).view(len(keys), len(templates), -1).mean(dim=1)  # (N, E)
            return F.normalize(means, dim=-1)

        return self._vectors.texts.get([(name, templates) for name in names], read, max(1, 4096 // len(templates)))

    @property
    def _vectors(self) -> _LabelVectors:
        """What is known of the network as it is: another one may have been put into a copy of this model."""
        if self._known.net is not self.net:
            self._known = _LabelVectors(self.net)
        return self._known

    @property
    def _wider(self) -> int:
        return 1 if self.device == "cpu" else 8

    def _inputs(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """On the network's device, and numbers in its precision."""
        return {
            name: value.to(self.device, self.how.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }

    def templates(self, labels: int) -> tuple[str, ...]:
        """The sentences that each of so many labels is put into; they hold ``{}``."""
        return self.prompts.chosen(labels)

    def label_vectors(self, labels: Sequence[str], template: str | None = None) -> Tensor:
        """Unit vectors of labels, (K, E).

        Args:
            template: Holds ``{}``; None is the model's own ensemble for so many labels.
        """
        templates = (template,) if template else self.templates(len(labels))
        return self._means(labels, templates)

    def neutral_vector(self, template: str | None = None) -> Tensor:
        """Unit vector (1, E) of what can be said of any picture."""
        return self._means([""], self.prompts.neutral_of(template))

    # ------------------------------------------------------------ scores

    def _scores(self, pictures: Tensor, texts: Tensor) -> Tensor:
        """Unit vectors (B, E) and (K, E) → scores (B, K)."""
        return self.scale * pictures @ texts.T + self.bias

    def raw_scores(self, picture: Picture, labels: Sequence[str], template: str | None = None) -> Tensor:
        """Probabilities (K,) as the library's own usage gives them: without "none of these", at temperature 1."""
        self._in_use()
        with torch.inference_mode():
            scores = self._scores(self._pictures([picture]), self.label_vectors(labels, template))[0]
            return scores.sigmoid() if self.sigmoid else scores.softmax(dim=0)

    def _logits(self, pictures: Tensor, labels: Tensor, template: str | None) -> Tensor:
        """(B, K + 1); the last column is "none of these"."""
        calibration = self.config.calibration
        if self.sigmoid:
            none = torch.zeros(len(pictures), 1, device=pictures.device)
        else:
            none = self._scores(pictures, self.neutral_vector(template))
        scores = torch.cat((self._scores(pictures, labels), none + calibration.height), dim=1)
        return scores / calibration.temperature

    def _answer(self, requests: Sequence[ClassifyRequest]) -> list[Result]:
        pictures = self._pictures([request.picture for request in requests])
        kept: dict[tuple[tuple[str, ...], str | None], Tensor] = {}
        results: list[Result] = []
        for i, request in enumerate(requests):
            asked = (request.labels, request.template)
            if asked not in kept:
                kept[asked] = self.label_vectors(*asked)
            scores = self._logits(pictures[i : i + 1], kept[asked], request.template).softmax(dim=1)[0]
            names = (*request.labels, NONE_OF_THESE)
            values = scores.tolist()
            found = tuple(
                Scored(label=names[k], score=values[k]) for k in scores.argsort(descending=True, stable=True).tolist()
            )
            results.append(
                ClassifyResult(
                    file=request.picture.name,
                    labels=found,
                    sure=found[0].score >= self.config.calibration.threshold and found[0].label != NONE_OF_THESE,
                    model=self.card.id,
                    seconds=0.0,
                )
            )
        return results

    # ------------------------------------------------------------ why

    def explain(self, request: Request, result: Result) -> tuple[HeatMap, ...]:
        """The patches that speak for each of the leading labels rather than for any text at all.

        That is gradient times activation (:func:`mmdemo.models.ready.cam`) of the cosine with the label less that with
        the neutral prompts. There are none of networks rounded to integers, which have no gradients, nor of those
        whose last layers keep no patches.
        """
        self._in_use()
        request, result = of_type(request, ClassifyRequest), of_type(result, ClassifyResult)
        if self.how.precision in {"int8", "int4"}:
            return ()
        leading = [item.label for item in result.labels if item.label != NONE_OF_THESE][:EXPLAINED]
        with torch.inference_mode():
            texts = self.label_vectors(request.labels, request.template)
            texts = texts[[request.labels.index(label) for label in leading]]
            texts = texts - self.neutral_vector(request.template)
        with torch.no_grad():
            cut = self._cut(self._inputs(self.processor([request.picture])))
        if cut is None:
            return ()
        texts = texts.clone()  # made anew, outside inference mode
        maps = cam(cut.grid, lambda x: (F.normalize(cut.rest(x).float(), dim=-1) @ texts.T)[0])
        height, width = request.picture.pixels.shape[:2]
        return tuple(
            HeatMap(cells=self.framing.placed(cells, height, width), label=label)
            for cells, label in zip(maps, leading, strict=True)
        )

    def release(self) -> None:
        super().release()
        self._known = _LabelVectors(self.net)


class _TextCache(Generic[Key]):
    """The vectors that were asked for last, by whatever they were made of."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: OrderedDict[Key, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, keys: Sequence[Key], make: Callable[[Sequence[Key]], Tensor], batch: int) -> Tensor:
        """One vector for each key, (N, E); those not there are made, at most ``batch`` keys at a time."""
        with self._lock:
            found = {key: self._found[key] for key in keys if key in self._found}
        new = [key for key in dict.fromkeys(keys) if key not in found]
        for start in range(0, len(new), batch):
            some = new[start : start + batch]
            found.update(zip(some, make(some).unbind(), strict=True))
        with self._lock:
            for key, vector in found.items():
                self._found[key] = vector
                self._found.move_to_end(key)
            while len(self._found) > self._most:
                self._found.popitem(last=False)
        return torch.stack([found[key] for key in keys])


class _LabelVectors:
    """The vectors that a network made."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self.pictures: _TextCache[str] = _TextCache(KEPT_PICTURES)
        self.texts: _TextCache[tuple[str, tuple[str, ...]]] = _TextCache(KEPT_TEXTS)
