"""What a teacher says of every training row, computed once: a student learns from it as well as from the labels.

A teacher sees each picture upright and hears each clip as it is, however the student's copy is changed; only a trunk
that teaches a trunk sees the views that the student does, because a grid says where things are.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmdemo.core.config import CheckpointConfig, Scalar
from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import ASK, CLASSIFY, SENTIMENT
from mmdemo.core.types import TASKS as SERVED
from mmdemo.data import pictures, texts
from mmdemo.data.features import Store, chunks, file_hashes, text_key
from mmdemo.data.pictures import Say, Views
from mmdemo.data.prepare import TrainingData
from mmdemo.models import checkpoint, encoders, fetch, registry
from mmdemo.models.ask import AskModel
from mmdemo.models.classify import ClassifyModel
from mmdemo.models.loading import load
from mmdemo.models.sentiment import SentimentModel
from mmdemo.nets.speech import SpeechEncoder, load_whisper_encoder
from mmdemo.tasks import TASKS
from mmdemo.tasks.ask import AnswerTarget, AskRow, encode_question
from mmdemo.tasks.classify import ClassifyRow
from mmdemo.tasks.distillation import SoftTargets, places
from mmdemo.tasks.sentiment import SentimentRow, middle, padded
from mmdemo.tasks.speech import shape_settings
from mmdemo.tasks.vision import TEACHER_WIDTH, VisionRow

Options = Mapping[str, Scalar | tuple[str, ...]]

VIEW = "plain"
"""A teacher's word is kept in one view."""

CLIPS = 16
"""Clips per pass of a teacher."""


def teacher_outputs(
    task: str,
    prepared: TrainingData,
    teacher: str,
    *,
    share: float,
    epochs: float,
    options: Options,
    device: str,
    say: Say | None,
) -> TrainingData:
    """The rows with what a teacher says of them; the training part only.

    Args:
        task: Of the student and of the teacher.
        teacher: What ``--teacher`` takes: a checkpoint of the same task, by name, folder, zip or hub id.
        share: How much it is listened to; 0 leaves everything as it is.
        epochs: Of the run.
        options: The run's ``[data]`` section.

    Raises:
        MmdemoError: There is no such teacher, it has nothing to say to this student, or nobody would listen.
    """
    if task not in _TEACHING:
        raise MmdemoError(f"--teacher is not for {task}", f"it is for {', '.join(_TEACHING)}", "Leave --teacher out")
    if epochs == 0:
        raise MmdemoError("A teacher cannot be heard", "train.epochs is 0", "Set train.epochs above 0")
    if share == 0:
        return prepared
    with torch.random.fork_rng(devices=[]):  # building the teacher must not change what the student draws
        return _TEACHING[task](prepared, _found(teacher, task), options, device, say)


def speech_teacher(teacher: str) -> SpeechEncoder:
    """The encoder that a "speech" run distils: of a "speech" or Sentiment checkpoint, or of a WhisperEncoder folder.

    Raises:
        MmdemoError: There is no such encoder, or it cannot be read.
    """
    folder = _found(teacher, None)
    try:
        task = checkpoint.read_config(folder).task
    except MmdemoError as error:  # a hub's layout
        try:
            return load_whisper_encoder(folder)
        except (OSError, ValueError, KeyError, TypeError):
            raise error from None
    return encoders.load_emotion_encoder(folder) if task == SENTIMENT else encoders.load_speech(folder)


def credit(teacher: str, task: str) -> str:
    """What a student's card says of its teacher, among what it started from."""
    folder = _found(teacher, None if task == "speech" else task)
    try:
        licence = checkpoint.read_config(folder).card.licence
    except MmdemoError:  # a hub's layout
        licence = "see its own card"
    return f"taught by {folder.name} ({licence})"


def _found(teacher: str, task: str | None) -> Path:
    fetched = fetch.fetch(teacher)
    name = str(fetched) if fetched else teacher
    return registry.find(task, name) if task in SERVED else registry.find_any(name)


# ---------------------------------------------------------------- what teachers say, by task

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Keys → what the teacher says of each."""


def _ask(prepared: TrainingData, folder: Path, options: Options, device: str, say: Say | None) -> TrainingData:
    """Logits over the teacher's answers, of each question."""
    model = load(ASK, str(folder), device=device)
    if not isinstance(model, AskModel):
        raise TypeError(f"{folder.name} is no model for ask")
    here = _places(prepared.config.labels, model.config.labels, folder.name, "answers")
    rows: Sequence[AskRow] = prepared.train
    files = file_hashes(map(_file, rows))
    pair = {_key(files, row, q): (_file(row), q.question) for row in rows for q in row.questions}

    def asked(missing: Sequence[str]) -> Encode:
        """All that the network needs of what is missing, so that only it runs piece by piece."""
        grids = pictures.grids([pair[key][0] for key in missing], model.pictures.vision, say=say)
        questions = [pair[key][1] for key in missing]
        if model.text is not None:
            tokens: Mapping[str, Any] = texts.states(questions, model.text, say=say)
        else:
            words = model.config.settings["question_words"]
            index = {word: i for i, word in enumerate(words)} if isinstance(words, tuple) else {}
            tokens = {question: encode_question(question, index) for question in questions}

        def encode(keys: Sequence[str]) -> NDArray[np.float32]:
            made = [
                AskRow(
                    views=grids[file][:1],
                    questions=tuple(AnswerTarget(tokens=tokens[pair[key][1]], target={}, right={}) for key in some),
                    learning=False,
                )
                for file, some in groupby(keys, lambda key: pair[key][0])
            ]
            return np.concatenate(_outputs(ASK, model.net, made, device))

        return encode

    said = _kept(ASK, folder, pair, asked, say)
    return dataclasses.replace(
        prepared,
        train=[
            dataclasses.replace(
                row,
                questions=tuple(
                    dataclasses.replace(q, soft=SoftTargets(logits=said[_key(files, row, q)], places=here))
                    for q in row.questions
                ),
            )
            for row in rows
        ],
    )


def _classify(prepared: TrainingData, folder: Path, options: Options, device: str, say: Say | None) -> TrainingData:
    """Where the teacher's projection puts each picture among the texts; what its ImageNet head knows is not taught."""
    model = load(CLASSIFY, str(folder), device=device)
    if not isinstance(model, ClassifyModel):
        raise TypeError(f"{folder.name} is no model for classify")
    if model.config.parts["text"].hash != prepared.config.parts["text"].hash:
        raise MmdemoError(
            f"{folder.name} cannot teach this student",
            "it reads texts with another encoder, so that its distances mean something else",
        )
    rows: Sequence[ClassifyRow] = prepared.train
    files = file_hashes(map(_file, rows))
    by_key = {key: file for file, key in files.items()}

    def shown(missing: Sequence[str]) -> Encode:
        seen = pictures.pooled_grids([by_key[key] for key in missing], model.pictures.vision, say=say)

        def encode(keys: Sequence[str]) -> NDArray[np.float32]:
            pooled = torch.from_numpy(np.stack([seen[by_key[key]][0] for key in keys])).float().to(device)
            with torch.inference_mode():
                scaled = model.net(pooled) * model.net.log_scale.exp().clamp(max=100.0)
            found: NDArray[np.float32] = scaled.float().cpu().numpy()
            return found

        return encode

    said = _kept(CLASSIFY, folder, files.values(), shown, say)

    def placed(row: ClassifyRow) -> Sequence[NDArray[np.float32]]:
        with torch.inference_mode():
            vectors = model.net.place(torch.from_numpy(np.stack(row.texts)).to(device))
        return tuple(vectors.float().cpu().numpy())

    moves = model.net.texts is not None
    return dataclasses.replace(
        prepared,
        train=[
            dataclasses.replace(row, soft=said[files[_file(row)]], placed=placed(row) if moves else ()) for row in rows
        ],
    )


def _sentiment(prepared: TrainingData, folder: Path, options: Options, device: str, say: Say | None) -> TrainingData:
    """Logits over the teacher's emotions, of each clip as it is, at most its middle four seconds."""
    model = load(SENTIMENT, str(folder), device=device)
    if not isinstance(model, SentimentModel):
        raise TypeError(f"{folder.name} is no model for sentiment")
    here = _places(prepared.config.labels, model.config.labels, folder.name, "emotions")
    rows: Sequence[SentimentRow] = prepared.train
    keys = [hashlib.sha1(row.samples.tobytes(), usedforsecurity=False).hexdigest() for row in rows]
    clip = dict(zip(keys, (row.samples for row in rows), strict=True))

    def encode(some: Sequence[str]) -> NDArray[np.float32]:
        found: list[NDArray[np.float32]] = []
        for few in chunks(some, CLIPS):
            made = [middle(torch.from_numpy(np.array(clip[key])).float()) for key in few]
            samples, lengths = (tensor.to(device) for tensor in padded(made))
            with torch.inference_mode():
                found.append(model.net(samples, lengths).logits.float().cpu().numpy())
        return np.concatenate(found)

    said = _kept(SENTIMENT, folder, keys, lambda missing: encode, say)
    return dataclasses.replace(
        prepared,
        train=[
            dataclasses.replace(row, soft=SoftTargets(logits=said[key], places=here))
            for row, key in zip(rows, keys, strict=True)
        ],
    )


def _vision(prepared: TrainingData, folder: Path, options: Options, device: str, say: Say | None) -> TrainingData:
    """The grid of another trunk, maybe of another width, in the views that the student sees."""
    vision = encoders.load_vision(folder, device=device)
    views = Views(mirror=bool(options.get("mirror", True)), crops=int(str(options.get("crops", 0))))
    rows: Sequence[VisionRow] = prepared.train
    found = pictures.grids(map(_file, rows), vision, views, say=say)
    return dataclasses.replace(
        prepared,
        # what the teacher's cells see must be where the student's are
        train=[dataclasses.replace(row, soft=found.get(_file(row), ()), jitter=False) for row in rows],
        config=_with(prepared.config, {TEACHER_WIDTH: vision.trunk.config.channels}),
    )


def _speech(prepared: TrainingData, folder: Path, options: Options, device: str, say: Say | None) -> TrainingData:
    """Nothing is computed beforehand: the teacher hears what the student hears, at every step."""
    teacher = speech_teacher(str(folder))
    bins = prepared.config.net.get("mel_bins", teacher.conv1.in_channels)
    if teacher.conv1.in_channels != bins:
        raise MmdemoError(
            f"{folder.name} cannot teach this student",
            f"it hears {teacher.conv1.in_channels} mel bins, the student {bins}",
            f"Set net.mel_bins={teacher.conv1.in_channels}",
        )
    return dataclasses.replace(prepared, config=_with(prepared.config, shape_settings(teacher)))


_TEACHING: Mapping[str, Callable[[TrainingData, Path, Options, str, Say | None], TrainingData]] = {
    ASK: _ask,
    CLASSIFY: _classify,
    SENTIMENT: _sentiment,
    "vision": _vision,
    "speech": _speech,
}

# ---------------------------------------------------------------- how it is kept


def _with(config: CheckpointConfig, settings: Mapping[str, int]) -> CheckpointConfig:
    return dataclasses.replace(config, settings={**config.settings, **settings})


def _places(mine: Sequence[str], theirs: Sequence[str], name: str, what: str) -> NDArray[np.int64]:
    found = places(mine, theirs)
    if not (found >= 0).any():
        raise MmdemoError(f"{name} cannot teach this student", f"it knows none of its {what}")
    return found


def _key(files: Mapping[Path, str], row: AskRow, question: AnswerTarget) -> str:
    return text_key(f"{files[_file(row)]}|{question.question}")


def _file(row: AskRow | ClassifyRow | VisionRow) -> Path:
    if row.file is None:
        raise ValueError("a row that is to be taught must name its picture")
    return row.file


def _outputs(task: str, net: torch.nn.Module, rows: Sequence[Any], device: str) -> list[NDArray[np.float32]]:
    with torch.inference_mode():
        batch: dict[str, Tensor] = {n: t.to(device) for n, t in TASKS[task].collate(rows).items()}
        return TASKS[task].outputs(net, batch)


def _kept(
    task: str,
    folder: Path,
    keys: Iterable[str],
    start: Callable[[Sequence[str]], Encode],
    say: Say | None,
) -> Mapping[str, NDArray[np.float16]]:
    """Key → the teacher's word, from the feature cache, where it is kept for the teacher's weights and its parts'.

    Args:
        start: Takes the keys of all that is missing, and gives what makes rows of some of them.
    """
    config = checkpoint.read_config(folder)
    made_by = [checkpoint.weights_hash(folder), *(part.hash for _, part in sorted(config.parts.items()))]
    store = Store(f"teacher_{task}", "|".join(made_by))
    wanted = list(dict.fromkeys(keys))
    if set(wanted) - store.index(VIEW).keys():
        with store.lock():
            there = store.index(VIEW)
            missing = [key for key in wanted if key not in there]
            encode, done = start(missing), 0
            for some in chunks(missing):
                store.append(VIEW, some, encode(some).astype(np.float16))
                done += len(some)
                if say is not None:
                    say(f"what {folder.name} says", done, len(missing))
    return store.rows(VIEW, wanted)
