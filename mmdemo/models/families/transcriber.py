"""What was said, in words, by Whisper of transformers; and a model of Sentiment that shows them beside the emotion.

Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision", https://arxiv.org/abs/2212.04356;
used as in https://huggingface.co/docs/transformers/model_doc/whisper, without timestamps. Legend: ``S`` samples.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import torch

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import (
    SAMPLE_RATE,
    Card,
    HeatMap,
    Model,
    Request,
    Result,
    SentimentRequest,
    SentimentResult,
    Sound,
)
from mmdemo.media.speech import detect_speech
from mmdemo.models.families.base import Processor, RuntimeConfig
from mmdemo.models.families.pretrained import pretrained, quantize_net, read_net
from mmdemo.models.ready import blocks_of, of_type
from mmdemo.models.sentiment_windows import Samples
from mmdemo.tasks.hub.base import LibraryNet

log = logging.getLogger("mmdemo")

LOOK_BACK = 5.0
"""Seconds before the end of a full piece among which the quietest moment is where the next one starts."""

_QUIET = 0.1
"""Seconds of such a moment."""


class Transcriber:
    """Writes down speech, in the language that it hears where it knows several.

    Attributes:
        name: What it is called.
        how: Where and in what numbers it computes.
    """

    def __init__(self, net: LibraryNet, processor: Processor, *, how: RuntimeConfig, name: str) -> None:
        self.name, self.how = name, how
        self._net, self._processor = net.eval().requires_grad_(False), processor
        self._turn = threading.Lock()  # its generation settings are changed while it writes

    @classmethod
    def open(cls, folder: Path, how: RuntimeConfig, *, name: str = "") -> Self:
        """Load what lies in a folder of the hub's layout: safetensors only, and no code from there.

        Args:
            name: What it is called; default the folder's name.

        Raises:
            MmdemoError: It holds no Whisper, or files are missing, damaged or do not fit each other.
        """
        from transformers import WhisperForConditionalGeneration, WhisperProcessor

        name = name or folder.name
        try:
            processor = pretrained(WhisperProcessor, folder)
        except Exception as error:  # whatever a library raises over somebody's files means that they cannot be used
            line = next((line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()), "")
            raise MmdemoError(f"{name} cannot write down speech", line or type(error).__name__) from error
        net = read_net(WhisperForConditionalGeneration, folder, how=how, name=name)
        return cls(quantize_net(net, how), processor, how=how, name=name)

    def words(self, sound: Sound) -> str:
        """What is said in a clip of any length, on one line; "" where nothing is.

        Longer clips than Whisper hears at once are cut at quiet moments. Pieces without speech are passed over, for
        there it is known to make up words.
        """
        longest = int(self._processor.feature_extractor.n_samples)
        pieces = [piece for piece in cut(sound.samples, longest) if detect_speech(piece) is None]
        return " ".join(filter(None, map(self._written, pieces)))

    def _written(self, samples: Samples) -> str:
        made = self._processor(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt", return_attention_mask=True)
        numbers = next(self._net.parameters()).dtype
        with torch.inference_mode(), self._turn:
            tokens = self._net.generate(
                made.input_features.to(self.how.device, numbers),
                attention_mask=made.attention_mask.to(self.how.device),
                return_timestamps=False,
                **self._manner(),
            )
        text: str = self._processor.batch_decode(tokens, skip_special_tokens=True)[0]
        return " ".join(text.split())

    def _manner(self) -> dict[str, str]:
        """Transcribe, do not translate; a model of English alone refuses to be told either."""
        settings = self._net.generation_config
        told = getattr(settings, "is_multilingual", True) and hasattr(settings, "task_to_id")
        return {"task": "transcribe"} if told else {}

    def held(self) -> Mapping[int, int]:
        """See :meth:`mmdemo.core.types.Model.held`."""
        tensors = self._net.state_dict().values()
        return {address: size for tensor in tensors for address, size in blocks_of(tensor)}


class WithWords:
    """A model of Sentiment whose results also say what was said; see :class:`mmdemo.core.types.Model`.

    The transcriber may serve several models; its memory is given back with the last of them.
    """

    streaming = True

    def __init__(self, model: Model, transcriber: Transcriber) -> None:
        self._model = model
        self._transcriber: Transcriber | None = transcriber

    @property
    def card(self) -> Card:
        return self._model.card

    @property
    def writer(self) -> str:
        """What writes the words down."""
        return self._transcriber.name if self._transcriber is not None else ""

    def predict(self, requests: Sequence[Request]) -> list[Result]:
        results = self._model.predict(requests)
        return [self._worded(request, result) for request, result in zip(requests, results, strict=True)]

    def stream(self, request: Request) -> Iterator[Result]:
        """First how it sounds, then with the words."""
        for result in self._model.stream(request):
            yield result
        if of_type(result, SentimentResult).scores:
            yield self._worded(request, result)

    def explain(self, request: Request, result: Result) -> tuple[HeatMap, ...]:
        return self._model.explain(request, result)

    def held(self) -> Mapping[int, int]:
        own = self._transcriber.held() if self._transcriber is not None else {}
        return {**self._model.held(), **own}

    def release(self) -> None:
        self._model.release()
        self._transcriber = None

    def _worded(self, request: Request, result: Result) -> Result:
        """The result with the words; as it is where there is no speech."""
        request, result = of_type(request, SentimentRequest), of_type(result, SentimentResult)
        writer = self._transcriber
        if not result.scores or writer is None:
            return result
        started = time.perf_counter()
        try:
            words = writer.words(request.sound)
        except Exception as error:  # the emotion was heard, and is not to be lost with the words
            log.warning("no words beside the emotion", exc_info=error)
            return result
        return replace(result, words=words, seconds=result.seconds + time.perf_counter() - started)


def cut(samples: Samples, longest: int) -> Iterator[Samples]:
    """Pieces of at most ``longest`` samples that together are the whole; cut where it is quietest."""
    start, look, frame = 0, min(int(LOOK_BACK * SAMPLE_RATE), longest // 2), int(_QUIET * SAMPLE_RATE)
    while len(samples) - start > longest:
        tail = samples[start + longest - look : start + longest]
        count = max(len(tail) // frame, 1)
        power = np.square(tail[: count * frame].astype(np.float64)).reshape(count, -1).mean(axis=1)
        # of equally quiet moments the last, and its middle
        quiet = count - 1 - int(power[::-1].argmin())
        end = start + longest - look + quiet * frame + frame // 2
        yield samples[start:end]
        start = end
    yield samples[start:]
