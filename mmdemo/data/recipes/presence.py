"""Presence questions: "is there a dog?", half of them about things that are not there.

Absent things are drawn half by how often captions name them and half by how often they go along with what is there. A
thing counts as absent only if no caption names it, a kind of it, what it is a kind of, or what it is easily taken for,
and if captions would not leave it out anyway (the trees behind, a shirt).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random

from mmdemo.data.recipes.ambiguity import DOUBTS, PEOPLE_DOUBTS, WHOLE_DOUBTS
from mmdemo.data.recipes.open_questions import Question
from mmdemo.data.recipes.picture import PictureFacts
from mmdemo.data.recipes.vocabulary import ANIMAL, FOOD, PERSON, PLACES, THINGS, VEHICLE, plural
from mmdemo.data.recipes.yes_no import article

_SINGULAR = (
    "Is there {a}?",
    "Is there {a} in the picture?",
    "Do you see {a}?",
    "Can you see {a}?",
    "Does the picture show {a}?",
    "Is there {a} here?",
)
_SINGULAR_MORE = (*_SINGULAR, "Is there {a} in this photo?", "Is {a} visible?", "Are there any {s}?")
_SEVERAL = (
    "Are there any {s}?",
    "Are there any {s} in the picture?",
    "Do you see any {s}?",
    "Can you see {s}?",
    "Does the picture show {s}?",
    "Are there {s}?",
)
_MASS = (
    "Is there any {s}?",
    "Is there {s} in the picture?",
    "Do you see any {s}?",
    "Can you see {s}?",
    "Does the picture show {s}?",
)

_SLACK = 3

_EXTRA = {
    "snow": ("snow",),
    "sand": ("sand",),
    "beach": ("beach",),
    "pool": ("pool",),
    "tennis court": ("tennis court",),
}
_WHOLES = {"animal": ANIMAL, "vehicle": VEHICLE, "food": FOOD}
"""Whole kinds that are asked about now and then."""

_COMMON_EXTRAS = frozenset(
    {
        "shower",
        "goal",
        "slide",
        "uniform",
        "costume",
        "suit",
        "tower",
        "painting",
        "cigarette",
        "collar",
        "remote",
        "net",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoOccurrence:
    """How often things are named over all pictures, and how often together."""

    frequency: Counter[str]
    together: dict[str, Counter[str]]


def askable(name: str) -> bool:
    """Whether captions would name the thing if it were there, so that asking either way is fair."""
    if name in _EXTRA:
        return True
    thing = THINGS.get(name)
    return (
        thing is not None
        and not thing.common
        and name not in _COMMON_EXTRAS
        and (name in DOUBTS or thing.kind == PERSON)
    )


def present(picture: PictureFacts) -> list[str]:
    """Things that two captions or more name."""
    named = [name for name, count in picture.named.items() if count >= 2 and askable(name)]
    votes = picture.place_votes()
    return named + [name for name in ("beach", "pool", "tennis court") if votes[name] >= 2]


def co_occurrences(pictures: Sequence[PictureFacts]) -> CoOccurrence:
    """Count over all pictures."""
    frequency: Counter[str] = Counter()
    together: dict[str, Counter[str]] = {}
    for picture in pictures:
        here = present(picture)
        frequency.update(here)
        for name in here:
            together.setdefault(name, Counter()).update(other for other in here if other != name)
    return CoOccurrence(frequency=frequency, together=together)


def is_absent(name: str, picture: PictureFacts) -> bool:
    """Whether no caption gives a reason to think that the thing may be there."""
    if picture.named[name] or picture.words & _doubtful_words(name):
        return False
    if name == "person" and picture.of_kind(PERSON):
        return False
    return not any(f" {phrase} " in picture.text for phrase in _phrases(name))


@cache
def _forms(name: str) -> frozenset[str]:
    thing = THINGS.get(name)
    names = thing.names if thing is not None else PLACES[name].names if name in PLACES else (name,)
    return frozenset(form for word in names for form in (word, plural(word)))


@cache
def _doubtful_words(name: str) -> frozenset[str]:
    thing = THINGS.get(name)
    person = thing is not None and thing.kind == PERSON
    words = {form for form in _forms(name) if " " not in form}
    if not person:  # "water bottle": any bottle will do to raise doubt
        words |= {form.split(" ")[-1] for form in _forms(name)}
    return frozenset(words | DOUBTS.get(name, frozenset()) | PEOPLE_DOUBTS.get(name, frozenset()))


@cache
def _phrases(name: str) -> tuple[str, ...]:
    return tuple(sorted(form for form in _forms(name) if " " in form))


@dataclass(slots=True)
class AnswerCounts:
    """How often each thing was asked about so far with the answers yes and no; keeps the two level.

    Otherwise the name alone would tell the answer: people are in most pictures, microwaves in few.
    """

    yes: Counter[str] = field(default_factory=Counter)
    no: Counter[str] = field(default_factory=Counter)

    def too_many_yes(self, name: str) -> bool:
        return self.yes[name] > self.no[name] + _SLACK

    def too_many_no(self, name: str) -> bool:
        return self.no[name] > self.yes[name] + _SLACK


def presence_questions(
    picture: PictureFacts, company: CoOccurrence, asked: AnswerCounts, random: Random, *, pairs: int = 2
) -> list[Question]:
    """Up to ``pairs`` questions about things that are there and as many about things that are not, shuffled."""
    here = present(picture)
    willing = [name for name in here if not asked.too_many_yes(name)]
    random.shuffle(willing)
    willing.sort(key=lambda name: asked.yes[name] - asked.no[name])
    found: list[Question] = []
    used = set(here)
    for name in willing[:pairs]:
        other = _absent(picture, company, asked, used, random)
        if other is None:
            continue
        used.add(other)
        asked.yes[name] += 1
        asked.no[other] += 1
        found.append(_ask(name, random, yes=True))
        found.append(_ask(other, random, yes=False))
    whole = _whole(picture, asked, random)
    if whole is not None and found:
        found[-2 if whole.answer == "yes" else -1] = whole
    random.shuffle(found)
    return found


def _absent(
    picture: PictureFacts, company: CoOccurrence, asked: AnswerCounts, used: set[str], random: Random
) -> str | None:
    by_company: dict[str, float] = {}
    for name in present(picture):
        for other, count in company.together.get(name, Counter()).items():
            by_company[other] = by_company.get(other, 0.0) + count / company.frequency[name]
    weightings: list[Mapping[str, float]] = [company.frequency, by_company]
    random.shuffle(weightings)
    for weights in weightings:
        candidates = [
            name
            for name in sorted(weights)
            if name not in used and not asked.too_many_no(name) and is_absent(name, picture)
        ]
        if candidates:
            return random.choices(candidates, [weights[name] for name in candidates])[0]
    return None


def _ask(name: str, random: Random, *, yes: bool) -> Question:
    thing = THINGS.get(name)
    mass = thing.mass if thing is not None else False
    word = name
    if thing is not None and thing.kind != PERSON and random.random() < 0.2:
        word = {
            "bicycle": "bike",
            "airplane": "plane",
            "television": "tv",
            "couch": "sofa",
            "motorcycle": "motorbike",
        }.get(name, name)
    if name in {"vegetable", "bubble"}:
        text = random.choice(_SEVERAL).format(s=plural(word))
    elif mass:
        text = random.choice(_MASS).format(s=word)
    elif thing is not None and thing.pair:
        text = random.choice(_SEVERAL).format(s=word)
    elif name == "ocean":
        text = random.choice(_SINGULAR).format(a="the ocean")
    elif random.random() < 0.3 and thing is not None:
        text = random.choice(_SEVERAL).format(s=plural(word))
    else:
        text = random.choice(_SINGULAR_MORE if thing is not None else _SINGULAR).format(a=article(word), s=plural(word))
    return Question(question=text, answer="yes" if yes else "no", type="yes/no", kind="presence")


def _whole(picture: PictureFacts, asked: AnswerCounts, random: Random) -> Question | None:
    """Now and then a question about a whole kind: "are there any animals?"."""
    name = random.choice(sorted(_WHOLES))
    if random.random() < 0.6:
        return None
    names = picture.of_kind(_WHOLES[name])
    there = any(picture.named[other] >= 2 for other in names)
    if (there and asked.yes[name] > asked.no[name]) or (not there and asked.no[name] > asked.yes[name]):
        return None
    if not there and (names or picture.words & WHOLE_DOUBTS[name]):
        return None
    (asked.yes if there else asked.no)[name] += 1
    form = random.choice(("Is there {a} in the picture?", "Are there any {s}?", "Do you see any {s}?"))
    words = form.format(a=name if name == "food" else article(name), s=name if name == "food" else plural(name))
    words = words.replace("Are there any food", "Is there any food")
    return Question(question=words, answer="yes" if there else "no", type="yes/no", kind="presence")
