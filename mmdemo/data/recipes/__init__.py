"""Make questions with answers from captions, for training and for measuring.

``make_questions`` is the pure part; ``write_questions`` reads captions from data folders and writes
``questions.jsonl``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import CAPTION
from mmdemo.core.writing import json_text
from mmdemo.data.read import read_examples
from mmdemo.data.recipes.open_questions import Question, open_questions
from mmdemo.data.recipes.picture import PictureFacts, read_picture
from mmdemo.data.recipes.presence import AnswerCounts, CoOccurrence, co_occurrences, presence_questions
from mmdemo.data.recipes.yes_no import yes_no_questions

__all__ = ["Made", "make_questions", "write_questions"]

SOURCE = "recipe"
YES_NO_PER_PICTURE = 3
PRESENCE_PAIRS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A made question: ``recipe`` is its kind (presence, color, ...), ``type`` the data's."""

    file_name: str
    question: str
    answer: str
    type: str
    recipe: str

    def to_row(self) -> dict[str, str]:
        return {
            "file_name": self.file_name,
            "question": self.question,
            "answer": self.answer,
            "type": self.type,
            "source": SOURCE,
            "recipe": self.recipe,
        }


def make_questions(
    captions: Mapping[str, Sequence[str]], *, seed: int, presence_only: bool = False
) -> tuple[Made, ...]:
    """Make questions from each picture's captions.

    Args:
        captions: File name to captions; with a single caption per picture little can be agreed on and few are made.
        seed: The same captions and seed make the same questions. Presence questions depend on all pictures (each
            thing is asked about as often where it is as where it is not), the others on their own picture alone.
        presence_only: Only "is there a ...?".
    """
    pictures = [read_picture(name, texts) for name, texts in captions.items()]
    company = co_occurrences(pictures)
    presence = _presence(pictures, company, seed)
    made: list[Made] = []
    for picture in pictures:
        random = Random(f"{seed}:{picture.file_name}")  # noqa: S311 - no secret
        found = presence[picture.file_name]
        if not presence_only:
            closed = yes_no_questions(picture, random)
            random.shuffle(closed)
            found = open_questions(picture, random) + closed[:YES_NO_PER_PICTURE] + found
        unique = {question.question: question for question in found}
        made += [
            Made(
                file_name=picture.file_name,
                question=question.question,
                answer=question.answer,
                type=question.type,
                recipe=question.kind,
            )
            for question in unique.values()
        ]
    return tuple(made)


def _presence(pictures: Sequence[PictureFacts], company: CoOccurrence, seed: int) -> dict[str, list[Question]]:
    random = Random(f"{seed}:presence")  # noqa: S311 - no secret
    order = list(pictures)
    random.shuffle(order)
    asked = AnswerCounts()
    return {
        picture.file_name: presence_questions(picture, company, asked, random, pairs=PRESENCE_PAIRS)
        for picture in order
    }


def write_questions(
    data: Sequence[Path | str], out: Path, *, seed: int = 0, presence: bool = False, split: str | None = None
) -> int:
    """Make questions from the captions in ``data`` and write ``out/questions.jsonl``.

    Rows name their pictures by ``file_name`` and ``folder``, a path relative to ``out``, so that ``out`` alone is data
    for Ask as long as the pictures stay where they are.

    Returns:
        The number of questions written.

    Raises:
        MmdemoError: No captions there, or nothing could be made of them.
    """
    dataset = read_examples(CAPTION, data, split=split)
    captions: dict[str, list[str]] = {}
    folders: dict[str, Path] = {}
    for example in dataset.examples:
        if example.file is not None:
            key = str(example.file)
            captions.setdefault(key, []).extend(example.captions)
            folders[key] = example.file.parent
    names = {key: Path(key).name for key in captions}
    unique = (
        captions if len(set(names.values())) < len(names) else {names[key]: texts for key, texts in captions.items()}
    )
    where = {(key if unique is captions else names[key]): folder for key, folder in folders.items()}
    made = make_questions(unique, seed=seed, presence_only=presence)
    if not made:
        raise MmdemoError(
            "No question could be made", "the captions agree on too little", "Give several captions per picture"
        )
    out.mkdir(parents=True, exist_ok=True)
    part = out / "questions.jsonl.part"
    with part.open("w", encoding="utf-8") as lines:
        for question in made:
            row = question.to_row()
            row["file_name"] = Path(question.file_name).name
            row["folder"] = Path(os.path.relpath(where[question.file_name].resolve(), out.resolve())).as_posix()
            lines.write(json_text(row) + "\n")
    part.replace(out / "questions.jsonl")
    return len(made)
