"""Questions from captions whose answer is a word: object, number, colour, place, activity.

After Ren, Kiros and Zemel 2015, "Exploring Models and Data for Image Question Answering".

A question is made only where several captions of the picture agree on the answer and none contradicts it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from mmdemo.core.words import word_set
from mmdemo.data.recipes.parse import Doing, Mention
from mmdemo.data.recipes.picture import PictureFacts
from mmdemo.data.recipes.verbs import ACTIONS, WEAK_ACTIONS, ing
from mmdemo.data.recipes.vocabulary import (
    ANIMAL,
    CLOTHING,
    FOOD,
    GEAR,
    OBJECT,
    PERSON,
    PLACES,
    THINGS,
    VEHICLE,
    plural,
)

_NOT_SUBJECTS = word_set("couple family team crowd someone somebody human parent fan spectator")
_COLOURED_KINDS = frozenset({ANIMAL, CLOTHING, VEHICLE, GEAR, OBJECT})
_UNCOLOURED = word_set("grass tree bush leaf fire step stairs book tattoo railing fence glasses bubble mirror window")
_SOLO_SPORTS = frozenset(
    {
        "skiing",
        "snowboarding",
        "surfing",
        "skateboarding",
        "kayaking",
        "wrestling",
        "boxing",
        "wakeboarding",
        "bowling",
        "rock climbing",
    }
)
_NOT_BOTH = {"man": ("woman", "girl"), "woman": ("man", "boy"), "boy": ("girl", "woman"), "girl": ("boy", "man")}
_RIDDEN = {
    "wave": "surfing",
    "surfboard": "surfing",
    "skateboard": "skateboarding",
    "snowboard": "snowboarding",
    "skis": "skiing",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """``kind`` is the recipe's name; ``type`` the data's: yes/no, number, color, object or other."""

    question: str
    answer: str
    type: str
    kind: str


def open_questions(picture: PictureFacts, random: Random) -> list[Question]:
    """All open and counting questions that the captions answer."""
    recipes = (_what_object, _what_kind, _how_many, _what_colour, _where, _what_doing)
    return [question for recipe in recipes for question in recipe(picture, random)]


def subject_phrase(mention: Mention) -> str | None:
    """Say "the man", "the dogs"; None for a subject that does not name who is meant."""
    if mention.word in _NOT_SUBJECTS or mention.thing.name in _NOT_SUBJECTS:
        return None
    name = mention.word if mention.thing.name == PERSON else mention.thing.name
    if mention.thing.name == PERSON and mention.plural:
        return "the people" if mention.word == "people" else f"the {mention.word}"
    return f"the {plural(name) if mention.plural and mention.thing.name != PERSON else name}"


def _is(mention: Mention) -> str:
    return "are" if mention.plural else "is"


def _pronoun(mention: Mention) -> str | None:
    if mention.plural:
        return "they"
    return {"man": "he", "boy": "he", "woman": "she", "girl": "she"}.get(mention.thing.name)


def _named(mention: Mention) -> str:
    thing = mention.thing
    return plural(thing.name) if mention.plural and not thing.pair and not thing.mass else thing.name


def _what_object(picture: PictureFacts, random: Random) -> Iterator[Question]:
    for group in picture.doers():
        found: dict[tuple[str, str], list[tuple[Doing, Mention]]] = {}
        for doings in picture.doings(group):
            for doing in doings:
                if doing.object is not None:
                    found.setdefault((doing.verb, doing.preposition), []).append((doing, doing.object))
        for (verb, preposition), pairs in found.items():
            names = {target.thing.name for _, target in pairs}
            doing, target = pairs[0]
            name = target.thing.name
            subject = subject_phrase(doing.subject)
            if len(names) != 1 or picture.named[name] < 2 or subject is None or verb == "wear":
                continue
            if len({mention.plural for _, mention in pairs}) != 1 or not _clear_subject(picture, doing.subject):
                continue
            if verb == "ride" and target.thing.kind == OBJECT:  # a skateboarder "rides a rail"
                continue
            if verb in {"look", "watch"} and len(pairs) < 2:
                continue
            if name.startswith(verb):  # "what is the boy sliding down?"
                continue
            tail = f" {preposition}" if preposition else ""
            pronoun = _pronoun(doing.subject)
            if pronoun is not None and (picture.one_person() or pronoun == "they") and random.random() < 0.25:
                subject = pronoun
            type_ = "object" if target.thing.kind != PERSON else "other"
            yield Question(
                question=f"What {_is(doing.subject)} {subject} {ing(verb)}{tail}?",
                answer=_named(target),
                type=type_,
                kind="object",
            )


def _clear_subject(picture: PictureFacts, subject: Mention) -> bool:
    """Whether "the man" or "the dogs" means one party in this picture."""
    mentions = picture.mentions(subject.thing.name)
    if any(
        picture.named[other] >= picture.named[subject.thing.name] for other in _NOT_BOTH.get(subject.thing.name, ())
    ):
        return False
    if subject.plural:
        return all(mention.plural for mention in mentions)
    return picture.single(subject.thing.name)


def _what_kind(picture: PictureFacts, random: Random) -> Iterator[Question]:
    asked = {
        ANIMAL: (
            "What animal is this?",
            "What animal is in the picture?",
            "What kind of animal is shown?",
            "Which animal is this?",
        ),
        FOOD: ("What food is this?", "What kind of food is shown?", "What food is in the picture?"),
        VEHICLE: ("What kind of vehicle is this?", "What vehicle is shown?", "What type of vehicle is in the picture?"),
    }
    for kind, phrasings in asked.items():
        names = picture.of_kind(kind)
        needed = 2 if kind == FOOD else 3
        if len(names) != 1 or picture.named[names[0]] < needed or picture.unreal():
            continue
        several = all(mention.plural for mention in picture.mentions(names[0]))
        answer = plural(names[0]) if several and not THINGS[names[0]].mass and kind != FOOD else names[0]
        phrase = random.choice(phrasings)
        if several and kind == ANIMAL:
            phrase = random.choice(
                ("What animals are these?", "What kind of animals are shown?", "What animals are in the picture?")
            )
        yield Question(question=phrase, answer=answer, type="object", kind="kind")
    sport = picture.sport()
    if sport is not None and picture.of_kind(PERSON) and not picture.of_kind(ANIMAL):
        phrase = random.choice(
            ("What sport is this?", "What sport is being played?", "What sport is shown?", "Which sport is this?")
        )
        if sport in _SOLO_SPORTS:
            phrase = phrase.replace("being played", "this")
        yield Question(question=phrase, answer=sport, type="other", kind="sport")


def _how_many(picture: PictureFacts, random: Random) -> Iterator[Question]:
    for name in picture.named:
        thing = THINGS[name]
        if thing.kind not in {ANIMAL, VEHICLE} and not (thing.kind in {FOOD, GEAR, OBJECT} and not thing.common):
            continue
        number = picture.count(name)
        if number is None or thing.mass or thing.pair or picture.unreal():
            continue
        if number == 1 and (thing.kind != ANIMAL or random.random() < 0.88):
            continue
        yield _counting(plural(name), number, random)
    votes = picture.people()
    if len(votes) == 1:
        number, support = votes.most_common(1)[0]
        gendered = {mention.thing.name for name in picture.of_kind(PERSON) for mention in picture.mentions(name)}
        if (number >= 2 and support >= 3) or (number == 1 and support >= 4 and random.random() < 0.12):
            yield _counting("people", number, random)
        for name in gendered & {"man", "woman", "boy", "girl"}:
            if picture.count(name) == number >= 2 and random.random() < 0.5:
                yield _counting(plural(name), number, random)


def _counting(things: str, number: int, random: Random) -> Question:
    phrase = random.choice(
        (
            "How many {} are there?",
            "How many {} are in the picture?",
            "How many {} can you see?",
            "How many {} are shown?",
            "How many {} are there?",
        )
    )
    return Question(question=phrase.format(things), answer=str(number), type="number", kind="number")


def _what_colour(picture: PictureFacts, random: Random) -> Iterator[Question]:
    for name in picture.named:
        thing = THINGS[name]
        if thing.kind not in _COLOURED_KINDS or name in _UNCOLOURED:
            continue
        agreed = picture.colour(name)
        if agreed is None or (thing.kind == CLOTHING and not picture.one_person() and not picture.of_kind(ANIMAL)):
            continue
        colour, several = agreed
        words = thing.name if thing.pair or not several else plural(name)
        verb = "are" if several else "is"
        yield Question(question=f"What color {verb} the {words}?", answer=colour, type="color", kind="color")


def _where(picture: PictureFacts, random: Random) -> Iterator[Question]:
    votes = picture.place_votes()
    if not votes:
        return
    ranked = votes.most_common(2)
    name, support = ranked[0]
    if support < 2 or (len(ranked) > 1 and ranked[1][1] == support):
        return
    place = PLACES[name]
    if not place.mass and support >= 2:
        phrase = random.choice(
            (
                "Where is this?",
                "Where was this picture taken?",
                "Where are they?",
                "What place is this?",
                "Where was the photo taken?",
            )
        )
        if phrase == "Where are they?" and not any(mention.plural for mention in picture.mentions(PERSON)):
            phrase = "Where is this?"
        yield Question(question=phrase, answer=name, type="other", kind="place")
    subjects = [
        (doing.subject, said)
        for caption in picture.captions
        for doing in caption.doings
        if (said := subject_phrase(doing.subject)) and name in {place.name for place in caption.places}
    ]
    if subjects and support >= 2:
        subject, words = random.choice(subjects)
        if _clear_subject(picture, subject):
            yield Question(question=f"Where {_is(subject)} {words}?", answer=name, type="other", kind="place")


def action_votes(picture: PictureFacts, group: str) -> tuple[Counter[str], list[Mention]]:
    """Votes by caption for what a group does, weak actions left out where a stronger is named; and who does it."""
    votes: Counter[str] = Counter()
    subjects: list[Mention] = []
    for doings in picture.doings(group):
        actions = {action for doing in doings if (action := _action(picture, doing)) is not None}
        votes.update(actions)
        subjects += [doing.subject for doing in doings if _action(picture, doing) is not None]
    strong = Counter({action: count for action, count in votes.items() if action not in WEAK_ACTIONS})
    return (strong or votes), subjects


def _action(picture: PictureFacts, doing: Doing) -> str | None:
    target = doing.object.thing.name if doing.object is not None else None
    if doing.verb == "ride":
        if target is None:
            return None
        return _RIDDEN.get(target, f"riding {'bike' if target == 'bicycle' else target}")
    if doing.verb == "fly":
        return (
            "flying kite"
            if target == "kite"
            else "flying"
            if doing.subject.thing.name in {"bird", "seagull", "duck"}
            else None
        )
    if doing.verb == "play":
        sport = picture.sport()
        return f"playing {sport}" if sport is not None and sport not in _SOLO_SPORTS else None
    if doing.verb == "stand" and target in {"surfboard", "skateboard"}:
        return None
    if doing.verb == "slide" and target != "slide":
        return None
    if doing.verb in {"drive", "read", "swing", "box", "wave"} and doing.subject.thing.kind != PERSON:
        return None
    if doing.verb == "swing" and target != "swing":
        return None
    return ACTIONS.get(doing.verb)


def _what_doing(picture: PictureFacts, random: Random) -> Iterator[Question]:
    for group in picture.doers():
        votes, subjects = action_votes(picture, group)
        if not votes:
            continue
        (action, support), *others = votes.most_common(2)
        if support < (3 if action in WEAK_ACTIONS else 2) or (others and others[0][1] * 2 > support):
            continue
        subject = random.choice(subjects)
        words = subject_phrase(subject)
        if words is None or not _clear_subject(picture, subject) or action[:4] in words:
            continue
        pronoun = _pronoun(subject)
        if pronoun is not None and (picture.one_person() or pronoun == "they") and random.random() < 0.3:
            words = pronoun
        yield Question(question=f"What {_is(subject)} {words} doing?", answer=action, type="other", kind="activity")
