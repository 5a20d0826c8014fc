"""An engine over small honest models: they answer from the colours of a picture and the level of a sound."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import (
    NONE_OF_THESE,
    AskRequest,
    AskResult,
    CaptionRequest,
    CaptionResult,
    Card,
    ClassifyRequest,
    ClassifyResult,
    HeatMap,
    Picture,
    Request,
    Result,
    Scored,
    SentimentRequest,
    SentimentResult,
)
from mmdemo.serving.engine import Engine

COLOURS = {"black": (0, 0, 0), "white": (255, 255, 255), "red": (255, 0, 0), "green": (0, 160, 0), "blue": (0, 0, 255)}


def nearness(picture: Picture) -> dict[str, float]:
    """How near the mean colour is to each named colour; sums to 1, nearest first."""
    mean = picture.pixels.reshape(-1, 3).mean(axis=0)
    distance = np.array([np.linalg.norm(mean - colour) for colour in COLOURS.values()])
    weight = np.exp(-distance / 40)
    order = np.argsort(-weight)
    return {list(COLOURS)[index]: float(weight[index] / weight.sum()) for index in order}


class ColourModel:
    """Answers all four jobs. It remembers its batches, and can be held at the door to let requests meet."""

    def __init__(self, task: str, id_: str) -> None:
        self.card = Card(id=id_, task=task, summary="Names the colour.", licence="Apache-2.0", limits=("Sees colour.",))
        self.batches: list[int] = []
        self.released = False
        self.entered = threading.Event()
        self.door = threading.Event()
        self.door.set()

    def predict(self, requests: Sequence[Request]) -> list[Result]:
        assert not self.released
        self.batches.append(len(requests))
        self.entered.set()
        assert self.door.wait(10)
        return [self._answer(request) for request in requests]

    def stream(self, request: Request) -> Iterator[Result]:
        whole = self._answer(request)
        if isinstance(whole, CaptionResult):
            words = whole.caption.split()
            for count in range(1, len(words)):
                yield CaptionResult(
                    file=whole.file, caption=" ".join(words[:count]), score=whole.score, sure=whole.sure,
                    alternatives=(), model=whole.model, seconds=0.0,
                )  # fmt: skip
        yield whole

    def explain(self, request: Request, result: Result) -> tuple[HeatMap, ...]:
        if isinstance(request, SentimentRequest):
            return ()
        gray = request.picture.pixels.mean(axis=2, dtype=np.float32) / np.float32(255)
        return (HeatMap(cells=gray[:2, :2], label=str(result.model)),)

    def release(self) -> None:
        self.released = True

    @property
    def classes(self) -> tuple[str, ...]:
        return ("red", "blue") if self.card.id.endswith("tuned") else ()

    def held(self) -> Mapping[int, int]:
        return {1: 1_000, id(self): 500}

    def _answer(self, request: Request) -> Result:
        if isinstance(request, SentimentRequest):
            return self._feeling(request.sound.samples)
        if request.picture.pixels.shape[:2] == (13, 13):
            raise MmdemoError("This picture is unlucky", "it has 13 x 13 pixels")
        if request.picture.pixels.shape[:2] == (7, 7):
            raise ZeroDivisionError("seven")
        scores = nearness(request.picture)
        best, score = next(iter(scores.items()))
        ranked = tuple(Scored(label=name, score=value) for name, value in scores.items())
        match request:
            case AskRequest():
                return AskResult(
                    file="", question=request.question, answer=best, score=score, sure=score > 0.5,
                    alternatives=ranked[1:], model=self.card.id, seconds=0.0,
                )  # fmt: skip
            case ClassifyRequest():
                known = {name: scores.get(name, 0.0) for name in request.labels}
                known[NONE_OF_THESE] = 1.0 - sum(known.values())
                best_first = sorted(known.items(), key=lambda item: -item[1])
                labels = tuple(Scored(label=name, score=value) for name, value in best_first)
                return ClassifyResult(
                    file="", labels=labels, sure=labels[0].score > 0.5, model=self.card.id, seconds=0.0
                )
            case CaptionRequest():
                others = tuple(Scored(label=f"a {item.label} picture", score=item.score) for item in ranked[1:])
                return CaptionResult(
                    file="", caption=f"a very {best} picture", score=score, sure=score > 0.5,
                    alternatives=others[: request.n - 1], model=self.card.id, seconds=0.0,
                )  # fmt: skip

    def _feeling(self, samples: NDArray[np.float32]) -> SentimentResult:
        loud = float(min(1.0, np.abs(samples).mean() * 4))
        scores = (Scored(label="angry", score=loud), Scored(label="calm", score=1 - loud))
        ranked = tuple(sorted(scores, key=lambda item: -item.score))
        return SentimentResult(
            file="", emotion=ranked[0].label, scores=ranked,
            sentiment={"negative": loud, "neutral": 1 - loud, "positive": 0.0},
            segments=(), sure=True, model=self.card.id, seconds=0.0,
        )  # fmt: skip


class Shelf:
    """Models by task and id, loaded anew each time, as :mod:`mmdemo.models` does from disk."""

    def __init__(self, *ids: str) -> None:
        self.ids = ids or ("ask-base", "classify-base", "caption-base", "sentiment-base")
        self.loads: list[str] = []
        self.broken = False
        self.models: list[ColourModel] = []
        self.door = threading.Event()
        self.door.set()
        self.entered = threading.Event()

    def list(self, task: str | None) -> tuple[Card, ...]:
        return tuple(
            Card(id=id_, task=id_.split("-")[0], summary="Names the colour.", licence="Apache-2.0")
            for id_ in self.ids
            if task in (None, id_.split("-")[0])
        )

    def default(self, task: str) -> str:
        return f"{task}-base"

    def load(
        self, task: str, model: str | None = None, *, device: str = "auto", allow_download: bool = False
    ) -> ColourModel:
        assert model is not None
        self.loads.append(model)
        self.entered.set()
        assert self.door.wait(10)
        if model.endswith("broken") or self.broken:
            raise MmdemoError("This checkpoint cannot be loaded", "a tensor is missing")
        made = ColourModel(task, model.rsplit("/", 1)[-1])
        self.models.append(made)
        return made


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def engine(shelf: Shelf) -> Iterator[Engine]:
    with Engine(loader=shelf.load, lister=shelf.list, default=shelf.default) as made:
        yield made
