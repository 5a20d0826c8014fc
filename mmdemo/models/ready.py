"""What ready models have in common: card, calibration, device, time and the end of their life."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from mmdemo.core.config import CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.core.turns import COMPUTE, pause
from mmdemo.core.types import (
    AskResult,
    CaptionResult,
    Card,
    ClassifyResult,
    HeatMap,
    Request,
    Result,
    SentimentResult,
)
from mmdemo.models.encoders import LoadedTextEncoder
from mmdemo.models.pictures import PictureEncoder

T = TypeVar("T")
ResultT = TypeVar("ResultT", bound=Result)

COMPUTE.cores = torch.get_num_threads()  # OMP_NUM_THREADS may say fewer than the machine has
COMPUTE.use_threads = torch.set_num_threads


def of_type(value: object, kind: type[T]) -> T:
    """``value``, where it is a ``kind``.

    Raises:
        TypeError: A model was given another task's request or result.
    """
    if not isinstance(value, kind):
        raise TypeError(f"this model works on {kind.__name__}, not on {type(value).__name__}")
    return value


class ReadyModel(ABC):
    """Base of the four served models; see :class:`mmdemo.core.types.Model` for what each method promises."""

    streaming: ClassVar[bool] = False
    """Whether :meth:`stream` says more than once; where it does not, requests are better answered in batches."""

    in_pieces: ClassVar[bool] = False
    """Whether it calls :func:`mmdemo.core.turns.pause` wherever it has worked for some hundredths of a second, and may
    be called from another thread meanwhile."""

    def __init__(self, card: Card, config: CheckpointConfig, *, device: str) -> None:
        self._card, self.config, self.device = card, config, device
        self._released = False

    @property
    def card(self) -> Card:
        return self._card

    @abstractmethod
    def _answer(self, requests: Sequence[Any]) -> list[Result]:
        """Results with ``seconds`` 0."""

    def predict(self, requests: Sequence[Request]) -> list[Result]:
        self._in_use()
        if not requests:
            return []
        started = time.perf_counter()
        with torch.inference_mode():
            results = self._answer(requests)
        seconds = (time.perf_counter() - started) / len(requests)
        return [self._sound(replace(result, seconds=seconds)) for result in results]

    def stream(self, request: Request) -> Iterator[Result]:
        yield from self.predict([request])

    def explain(self, request: Request, result: Result) -> tuple[HeatMap, ...]:
        return ()

    def held(self) -> Mapping[int, int]:
        return {address: size for tensor in self._tensors() for address, size in blocks_of(tensor)}

    def _tensors(self) -> Iterable[Tensor]:
        """Every tensor of the networks, those of shared parts too."""
        for value in vars(self).values():
            if isinstance(value, Tensor):
                yield value
            elif isinstance(value, torch.nn.Module):
                yield from value.state_dict().values()
            elif isinstance(value, PictureEncoder):
                yield from value.vision.trunk.state_dict().values()
                yield from value.vision.tuned.values()
            elif isinstance(value, LoadedTextEncoder):
                yield from value.encoder.state_dict().values()

    def release(self) -> None:
        self._released = True
        for name, value in list(vars(self).items()):
            if isinstance(value, torch.nn.Module | Tensor) or name in {"text", "pictures"}:
                setattr(self, name, None)
        if self.device == "cuda":
            torch.cuda.empty_cache()

    def _sound(self, result: ResultT) -> ResultT:
        """A result as it is; raises MmdemoError where a score is no number: JSON cannot say it, nobody can use it."""
        if not all(map(math.isfinite, _scores(result))):
            raise MmdemoError(
                f"{self.card.id} has no answer to this", "its scores are no numbers", "Choose another model"
            )
        return result

    def _in_use(self) -> None:
        if self._released:
            raise MmdemoError(f"{self.card.id} has been unloaded", "", "Choose it again to load it")


def _scores(result: Result) -> Iterator[float]:
    """Every number of a result that a network has computed."""
    match result:
        case AskResult():
            yield result.score
            yield from (one.score for one in result.alternatives)
            yield from (result.weights or {}).values()
        case ClassifyResult():
            yield from (one.score for one in result.labels)
        case CaptionResult():
            yield result.score
            yield from (one.score for one in result.alternatives)
        case SentimentResult():
            yield from (one.score for one in result.scores)
            yield from result.sentiment.values()
            yield from (one.score for part in result.segments for one in part.scores)


def blocks_of(tensor: Tensor) -> Iterator[tuple[int, int]]:
    """Address and bytes of the memory that a tensor lies in; one rounded to integers lies in several blocks."""
    wrapper: Any = tensor
    if is_traceable_wrapper_subclass(wrapper):  # it stands for others, and has no memory of its own
        for name in wrapper.__tensor_flatten__()[0]:
            yield from blocks_of(getattr(wrapper, name))
        return
    storage = tensor.untyped_storage()
    yield storage.data_ptr(), storage.nbytes()


def cam(grid: Tensor, score: Callable[[Tensor], Tensor]) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    """Which cells speak for each score: gradient times activation, summed over channels, positive, scaled to [0, 1].

    HiResCAM (Draelos and Carin 2020, https://arxiv.org/abs/2011.08891): unlike Grad-CAM it shows only cells that the
    score really used.

    Args:
        grid: (D, G, G).
        score: Maps (1, D, G, G) to scores (K,).

    Returns:
        K maps of shape (G, G).
    """
    with torch.inference_mode(False), torch.enable_grad():
        x = grid.detach().clone().unsqueeze(0).requires_grad_(True)
        scores = score(x)
        maps = []
        for k in range(len(scores)):
            pause()
            (gradient,) = torch.autograd.grad(scores[k], x, retain_graph=k + 1 < len(scores))
            maps.append(scaled((gradient * x.detach()).sum(dim=1)[0].clamp(min=0)))
    return maps


def scaled(cells: Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Divide by the largest value; all zero stays all zero, and what is no number counts as nothing."""
    values: np.ndarray[Any, np.dtype[np.float32]] = cells.detach().float().nan_to_num(0.0, 0.0, 0.0).cpu().numpy()
    top = float(values.max(initial=0.0))
    return values / top if top > 0 else values
