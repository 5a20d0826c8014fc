"""Yes/no questions from captions: colour, action, kind, place, number, clothing; as many no as yes on average.

The wrong choice is always one that cannot be true at the same time and that no caption speaks of.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from mmdemo.core.words import word_set
from mmdemo.data.recipes.open_questions import Question, action_votes, subject_phrase
from mmdemo.data.recipes.picture import PictureFacts
from mmdemo.data.recipes.verbs import FORMS, WEAK_ACTIONS
from mmdemo.data.recipes.vocabulary import ANIMAL, CLOTHING, NEAR_COLOURS, PERSON, PLACES, THINGS, plural

_COLOURS = ("black", "white", "red", "blue", "green", "yellow", "orange", "brown", "pink", "purple")
_ANIMALS = ("dog", "cat", "horse", "cow", "sheep", "elephant", "giraffe", "zebra", "bear", "bird")
_LIKE = (
    {"cow", "horse", "sheep"},
    {"horse", "zebra", "giraffe"},
    {"duck", "goose", "swan", "bird", "seagull"},
    {"bear", "dog"},
)
_NEVER_TOGETHER = {
    "running": ("sleeping", "sitting", "swimming", "lying down", "eating"),
    "jumping": ("sleeping", "sitting", "lying down", "eating"),
    "swimming": ("sleeping", "running", "sitting", "eating"),
    "walking": ("sleeping", "sitting", "lying down", "swimming"),
    "sitting": ("running", "jumping", "swimming", "walking"),
    "standing": ("sleeping", "lying down", "swimming", "sitting"),
    "sleeping": ("running", "jumping", "swimming", "walking", "eating"),
    "lying down": ("running", "jumping", "swimming", "walking"),
}
_OTHERWISE = ("sleeping", "lying down", "reading", "cooking")
_WORN = {
    "helmet": word_set(
        "bike bicycle motorcycle skateboard ski skis skier snowboard snowboarder baseball football "
        "hockey horse rider biker kayak race racing cyclist motocross batter player climbing climber "
        "sled skating scooter soldier fireman uniform goalie raft atv"
    ),
    "tie": word_set("suit tuxedo wedding business formal uniform groom dressed restaurant school"),
    "wetsuit": word_set("surf surfing surfer surfboard wave waves water ocean diving diver scuba beach kayak"),
    "swimsuit": word_set(
        "water pool beach ocean lake swimming swim surf wave waves bathing bikini river sprinkler trunks shirtless"
    ),
    "suit": word_set(
        "formal tie tuxedo wedding dressed wetsuit business jacket bathing swim race snow costume groom man men"
    ),
    "life jacket": word_set("boat kayak raft water river lake canoe vest ocean sea"),
    "mask": word_set(
        "costume snow ski goalie catcher hockey baseball halloween helmet diving snorkel face paint "
        "scuba goggles fencing"
    ),
    "costume": word_set("dressed dress outfit halloween uniform mask parade clown wig makeup dance dancing hat gown"),
}


def yes_no_questions(picture: PictureFacts, random: Random) -> list[Question]:
    """Yes/no questions other than presence."""
    recipes = (_colour, _action, _kind, _place, _number, _wearing, _gender, _outdoors)
    return [question for recipe in recipes for question in recipe(picture, random)]


def _question(text: str, yes: bool) -> Question:
    return Question(question=text, answer="yes" if yes else "no", type="yes/no", kind="yes/no")


def _colour(picture: PictureFacts, random: Random) -> Iterator[Question]:
    for name in picture.named:
        agreed = picture.colour(name)
        thing = THINGS[name]
        if agreed is None or thing.kind == PERSON or (thing.kind == CLOTHING and not picture.one_person()):
            continue
        colour, several = agreed
        words = f"{'Are' if several else 'Is'} the {plural(name) if several and not thing.pair else name}"
        if random.random() < 0.5:
            yield _question(f"{words} {colour}?", yes=True)
            continue
        parts = set(colour.split(" and "))
        near = parts | {other for group in NEAR_COLOURS if group & parts for other in group}
        wrong = [other for other in _COLOURS if other not in near and other not in picture.words]
        if wrong:
            yield _question(f"{words} {random.choice(wrong)}?", yes=False)


def _action(picture: PictureFacts, random: Random) -> Iterator[Question]:
    said = {FORMS[word] for word in picture.words if word in FORMS}
    for group in picture.doers():
        votes, subjects = action_votes(picture, group)
        if not votes:
            continue
        action, support = votes.most_common(1)[0]
        if support < 2 or len(votes) > 1:
            continue
        subject = random.choice(subjects)
        words = subject_phrase(subject)
        if words is None or not (subject.plural or picture.single(subject.thing.name)):
            continue
        if subject.plural and any(not mention.plural for mention in picture.mentions(subject.thing.name)):
            continue
        is_ = "Are" if subject.plural else "Is"
        if random.random() < 0.5:
            if action not in WEAK_ACTIONS or support >= 3:
                yield _question(
                    f"{is_} {words} {action.replace('riding ', 'riding a ').replace('flying kite', 'flying a kite')}?",
                    yes=True,
                )
            continue
        wrong = [
            other
            for other in _NEVER_TOGETHER.get(action, _OTHERWISE[: 4 if group == PERSON else 2])
            if not any(_base(other) == verb for verb in said) and other not in votes
        ]
        if wrong:
            yield _question(f"{is_} {words} {random.choice(wrong)}?", yes=False)


def _base(action: str) -> str:
    first = action.split(" ")[0]
    return FORMS.get(first, first)


def _kind(picture: PictureFacts, random: Random) -> Iterator[Question]:
    names = picture.of_kind(ANIMAL)
    if len(names) != 1 or picture.named[names[0]] < 3 or picture.unreal():
        return
    name = names[0]
    several = all(mention.plural for mention in picture.mentions(name))
    ask = (
        random.choice(("Are these {}?", "Are the animals {}?"))
        if several
        else random.choice(("Is this {}?", "Is the animal {}?"))
    )
    if random.random() < 0.5:
        yield _question(ask.format(plural(name) if several else article(name)), yes=True)
        return
    alike = {name} | {other for group in _LIKE if name in group for other in group}
    other = random.choice([animal for animal in _ANIMALS if animal not in alike])
    yield _question(ask.format(plural(other) if several else article(other)), yes=False)


def article(name: str) -> str:
    """Put an article before a thing where it takes one: "a dog", "an apple", "skis"."""
    thing = THINGS.get(name)
    if thing is not None and (thing.mass or thing.pair):
        return name
    return f"{'an' if name[0] in 'aeio' or name.startswith('umb') else 'a'} {name}"


def _place(picture: PictureFacts, random: Random) -> Iterator[Question]:
    votes = picture.place_votes()
    strong = [name for name, support in votes.items() if support >= 2 and not PLACES[name].mass]
    if not strong:
        return
    asked = random.choice(("Is this {}?", "Was this picture taken {}?"))
    if random.random() < 0.5:
        yield _question(_placed(asked, strong[0]), yes=True)
        return
    outdoor = PLACES[strong[0]].outdoor
    if outdoor is None:
        return
    wrong = [
        name
        for name, place in PLACES.items()
        if place.outdoor is not None
        and place.outdoor != outdoor
        and not place.mass
        and name not in {"yard", "garden", "hallway", "gym", "stage", "track"}
        and not any(word in picture.words for other in place.names for word in other.split(" ") if word not in {"room"})
    ]
    if wrong:
        yield _question(_placed(asked, random.choice(wrong)), yes=False)


def _placed(asked: str, name: str) -> str:
    if asked.startswith("Is this"):
        return asked.format(article(name))
    on = {
        "beach",
        "street",
        "sidewalk",
        "slope",
        "tennis court",
        "basketball court",
        "track",
        "runway",
        "stage",
        "mountain",
        "playground",
    }
    at = {"zoo", "airport", "train station", "skate park"}
    return asked.format(f"{'on' if name in on else 'at' if name in at else 'in'} {article(name)}")


def _number(picture: PictureFacts, random: Random) -> Iterator[Question]:
    numbers = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    for name in picture.of_kind(ANIMAL):
        number = picture.count(name)
        if number is None or number < 2 or number > 8 or picture.unreal():
            continue
        said = number if random.random() < 0.5 else random.choice([other for other in (2, 3, 4, 5) if other != number])
        yield _question(f"Are there {numbers[said]} {plural(name)}?", yes=said == number)


def _wearing(picture: PictureFacts, random: Random) -> Iterator[Question]:
    if not picture.one_person():
        return
    subjects = [mention for name in picture.of_kind(PERSON) for mention in picture.mentions(name)]
    words = subject_phrase(random.choice(subjects))
    if words is None:
        return
    worn = [name for name in picture.of_kind(CLOTHING) if picture.named[name] >= 2 and name != "collar"]
    if worn and random.random() < 0.55:
        yield _question(f"Is {words} wearing {article(random.choice(worn))}?", yes=True)
        return
    wrong = [
        name
        for name, cues in _WORN.items()
        if not picture.words & cues and not picture.named[name] and not picture.words & set(name.split(" "))
    ]
    if wrong and random.random() < 0.35:  # things worn are named rarely, so without this nearly all answers were no
        yield _question(f"Is {words} wearing {article(random.choice(wrong))}?", yes=False)


def _gender(picture: PictureFacts, random: Random) -> Iterator[Question]:
    for names in (("man", "woman"), ("boy", "girl")):
        found = [name for name in names if picture.named[name] >= 3]
        both = {"man", "woman", "boy", "girl"} & set(picture.named)
        if len(found) != 1 or len(both) != 1 or not picture.one_person():
            continue
        asked = random.choice(names)
        if random.random() < 0.3:
            yield Question(
                question=f"Is this a {names[0]} or a {names[1]}?", answer=found[0], type="other", kind="gender"
            )
        else:
            yield _question(f"Is the person a {asked}?", yes=asked == found[0])


def _outdoors(picture: PictureFacts, random: Random) -> Iterator[Question]:
    votes = picture.place_votes()
    outdoor = {PLACES[name].outdoor for name, support in votes.items() if support >= 1} - {None}
    support = sum(count for name, count in votes.items() if PLACES[name].outdoor is not None)
    if (
        len(outdoor) != 1
        or support < 3
        or picture.words & {"indoor", "indoors", "inside", "gym", "arena", "stadium", "window", "painting"}
    ):
        return
    outside = outdoor == {True}
    if random.random() < 0.3:
        ask, inner, outer = random.choice(
            (
                ("Is this indoors or outdoors?", "indoors", "outdoors"),
                ("Was this taken inside or outside?", "inside", "outside"),
            )
        )
        yield Question(question=ask, answer=outer if outside else inner, type="other", kind="outdoors")
        return
    asked = random.random() < 0.5
    phrase = (
        random.choice(("Is this {}?", "Was this picture taken {}?", "Are they {}?"))
        if picture.of_kind(PERSON)
        else "Is this {}?"
    )
    words = random.choice(("outside", "outdoors") if asked else ("inside", "indoors"))
    if "Are they" in phrase and not any(
        mention.plural for name in picture.of_kind(PERSON) for mention in picture.mentions(name)
    ):
        phrase = "Is this {}?"
    yield _question(phrase.format(words), yes=asked == outside)
