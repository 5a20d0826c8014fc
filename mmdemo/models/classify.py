"""Classify, ready to serve.

Legend: ``B`` pictures, ``K`` labels, ``E`` width of the text space, ``N`` ImageNet classes, ``M`` words of the bank.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmdemo.core.config import CLASSES, CheckpointConfig
from mmdemo.core.errors import MmdemoError
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
from mmdemo.media.text import plain
from mmdemo.models.encoders import LoadedTextEncoder
from mmdemo.models.pictures import PictureEncoder
from mmdemo.models.ready import ReadyModel, cam, of_type
from mmdemo.nets.shared_space import TextSpace, heights, known_vector
from mmdemo.nets.vision import pool

EXPLAINED = 3
"""Leading labels that get a map."""


class LabelVectors(NamedTuple):
    """Unit vectors (K, E) of labels: as their words say it, and where pictures meet them.

    The latter is where the network places the words, or, for somebody's own classes, where pictures of them showed it.
    """

    said: Tensor
    shown: Tensor


class ClassifyModel(ReadyModel):
    """Two opinions on how well a label fits a picture, each measured against a bank of everyday words.

    - ``known``: the ImageNet head's probabilities, as a mean of the class names' sentence vectors;
    - ``space``: the projection of the picture into the text space, learned from captions.

    Each opinion is a cosine; in units of its own standard deviation over the bank, for this picture, it says how far a
    label stands out from what could be said of any picture. So the sum of both means the same for two labels as for
    five thousand, and a constant height decides against "none of these".

    Classes that somebody taught with pictures have vectors of their own in the second opinion
    (tasks.classify.ClassifyTask.conclude); every other label means what its words say.
    """

    in_pieces = True

    def __init__(
        self,
        card: Card,
        config: CheckpointConfig,
        net: TextSpace,
        *,
        pictures: PictureEncoder,
        text: LoadedTextEncoder,
        device: str,
    ) -> None:
        super().__init__(card, config, device=device)
        self.net = net.eval().requires_grad_(False).to(device)
        self.pictures, self.text = pictures, text
        self.templates = _words(config, "templates")
        self.known_weight = _number(config, "known_weight")
        learned = config.settings.get(CLASSES)
        self.classes = learned if isinstance(learned, tuple) else ()
        if net.config.own not in (0, len(self.classes)):  # 0: trained before classes had vectors of their own
            raise MmdemoError(
                f"{card.id} cannot be loaded", f"it has {len(self.classes)} classes and vectors for {net.config.own}"
            )
        with torch.no_grad():
            self.bank = self.net.place(self.net.bank)
        self._own = {normalize_label(name): i for i, name in enumerate(self.classes[: net.config.own])}

    # ------------------------------------------------------------ vectors

    def vectors(self, labels: Sequence[str], template: str | None = None) -> LabelVectors:
        """Label → mean of its prompts' unit vectors, normalised; own classes where they were moved to.

        With a template of somebody's own they are what the words say.
        """
        templates = (template,) if template else self.templates
        prompts = [t.replace("{}", label) for label in labels for t in templates]
        vectors = torch.from_numpy(self.text.vectors(prompts)).view(len(labels), len(templates), -1).mean(dim=1)
        said = torch.nn.functional.normalize(vectors, dim=1).to(self.device)
        shown = [
            (i, self._own[normalize_label(label)])
            for i, label in enumerate(labels)
            if normalize_label(label) in self._own
        ]
        placed = self.net.place(said)
        if template or not shown:
            return LabelVectors(said=said, shown=placed)
        rows, places = zip(*shown, strict=True)
        moved = placed.clone()
        moved[list(rows)] = self.net.own()[list(places)]
        return LabelVectors(said=said, shown=moved)

    def encode_pictures(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """Unit vectors of the learned projection, (B, E)."""
        self._in_use()
        with torch.inference_mode():
            pooled = torch.stack([s.pooled for s in self.pictures.encode(pictures)])
            vectors: NDArray[np.float32] = self.net(pooled).cpu().numpy()
        return vectors

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors of sentences where pictures meet them, (K, E)."""
        self._in_use()
        with torch.inference_mode():
            placed = self.net.place(torch.from_numpy(self.text.vectors(list(texts))).to(self.device))
        vectors: NDArray[np.float32] = placed.cpu().numpy()
        return vectors

    # ------------------------------------------------------------ scores

    def heights(self, pooled: Tensor, labels: LabelVectors) -> Tensor:
        """How far each label stands out: pooled (B, D), K labels → (B, K)."""
        chance = self.pictures.vision.trunk.logits(pooled).softmax(dim=1)  # (B, N)
        known = heights(known_vector(chance, self.net.names), labels.said, self.net.bank)
        space = heights(self.net(pooled), labels.shown, self.bank)
        return self.known_weight * known + (1 - self.known_weight) * space

    def _logits(self, pooled: Tensor, labels: LabelVectors) -> Tensor:
        """(B, K + 1); the last column is "none of these"."""
        calibration, found = self.config.calibration, self.heights(pooled, labels)
        none = torch.full((len(pooled), 1), calibration.none_height(found.shape[1]), device=pooled.device)
        return torch.cat((found, none), dim=1) / calibration.temperature

    def _answer(self, requests: Sequence[ClassifyRequest]) -> list[Result]:
        seen = self.pictures.encode([r.picture for r in requests])
        results: list[Result] = []
        kept: dict[tuple[tuple[str, ...], str | None], LabelVectors] = {}
        for request, picture in zip(requests, seen, strict=True):
            asked = (request.labels, request.template)
            if asked not in kept:
                kept[asked] = self.vectors(request.labels, request.template)
            scores = self._logits(picture.pooled.unsqueeze(0), kept[asked]).softmax(dim=1)[0]
            names = (*request.labels, NONE_OF_THESE)
            order = scores.argsort(descending=True).tolist()
            values = scores.tolist()
            found = tuple(Scored(label=names[i], score=values[i]) for i in order)
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

    def explain(self, request: Request, result: Result) -> tuple[HeatMap, ...]:
        """The cells that speak for each of the leading labels."""
        self._in_use()
        request, result = of_type(request, ClassifyRequest), of_type(result, ClassifyResult)
        leading = [item.label for item in result.labels if item.label != NONE_OF_THESE][:EXPLAINED]
        found = self.vectors(leading, request.template)
        labels = LabelVectors(said=found.said.clone(), shown=found.shown.clone())  # made anew, outside inference mode
        grid = self.pictures.encode([request.picture])[0].grid
        maps = cam(grid, lambda x: self.heights(pool(x), labels)[0])
        return tuple(HeatMap(cells=cells, label=label) for cells, label in zip(maps, leading, strict=True))


def normalize_label(label: str) -> str:
    """Equal for labels that are one to whoever asks: a folder's name may be composed of other code points."""
    return plain(label).casefold()


def _words(config: CheckpointConfig, name: str) -> tuple[str, ...]:
    value = config.settings.get(name)
    if not isinstance(value, tuple) or not value:
        raise MmdemoError("This Classify checkpoint cannot be loaded", f"its settings hold no {name}")
    return value


def _number(config: CheckpointConfig, name: str) -> float:
    value = config.settings.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MmdemoError("This Classify checkpoint cannot be loaded", f"its settings hold no number {name}")
    return float(value)
