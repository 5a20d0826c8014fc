"""Find in a caption which things are named, how many, in what colour, who does what, and where.

No tagger: a noun counts as the head of its phrase only if what follows cannot belong to the same phrase, so that "dog
house" names no dog. What is uncertain is left out; the words are kept, to know what may not be called absent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from mmdemo.core.words import NUMBER_WORDS, word_set
from mmdemo.data.recipes import verbs
from mmdemo.data.recipes.vocabulary import (
    ANIMAL,
    CLOTHING,
    COLOURS,
    MODIFIERS,
    NOT_THINGS,
    PERSON,
    PLACES,
    THINGS,
    PlaceWord,
    Thing,
    plural,
)

_TOKEN = re.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*|'s|[.,;:!?()\"]")
DETERMINERS = word_set(
    "a an the his her its their some another one this that these those each several many "
    "my two three four five six seven eight nine ten both no"
)
_PREPOSITIONS = word_set(
    "in on at with of to from by near over under through across along down up into onto behind beside between off out "
    "above below around against toward towards for during after before past inside outside beneath underneath atop "
    "amidst among next within without about like as"
)
_FOLLOWING = (
    _PREPOSITIONS
    | DETERMINERS
    | word_set(
        "and or but while whilst who which that where when is are was were has have had be being does do can "
        "appears seems looks just all very together outdoors indoors outside inside there here away back "
        "alone nearby high not also still both he she it they themselves himself herself . , ; : ! ? ( )"
    )
    | {'"'}
)
_NOT_FOLLOWING = word_set(
    "racing parking building clothing railing dining bathing landing painting setting covering ring king string "
    "colored haired shaped sized surfing boarding skiing training covered filled themed faced"
)
_COUNT_VAGUE = word_set("some several many few multiple various group groups bunch lots crowd herd flock numerous")
_ADVERBS = word_set("happily quickly slowly playfully carefully is are while who that being just then calmly")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """A thing named as the head of its phrase, at tokens ``start:end`` of which the noun is ``noun:end``.

    ``count`` is None where it is a vague plural; ``colour`` None where none is said; ``again`` where it only points
    back ("the dog" after "a dog").
    """

    thing: Thing
    word: str
    plural: bool
    count: int | None
    colour: str | None
    again: bool
    start: int
    noun: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """``subject`` does ``verb``, perhaps ``preposition`` + ``object``."""

    subject: Mention
    verb: str
    preposition: str
    object: Mention | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedCaption:
    """A parsed caption: ``words`` are all single words, for ruling out what may not be called absent."""

    text: str
    tokens: tuple[str, ...]
    words: frozenset[str]
    mentions: tuple[Mention, ...]
    doings: tuple[Doing, ...]
    places: tuple[PlaceWord, ...]
    sports: frozenset[str]


def parse_caption(text: str) -> ParsedCaption:
    """Parse one caption; never fails, at worst finds nothing."""
    tokens = tuple(_TOKEN.findall(text.lower().replace("’", "'")))
    hidden = _hidden(tokens)
    mentions = tuple(_mentions(tokens, hidden))
    return ParsedCaption(
        text=text,
        tokens=tokens,
        words=frozenset(tokens),
        mentions=mentions,
        doings=tuple(_doings(tokens, mentions)),
        places=tuple(_places(tokens)),
        sports=frozenset(
            sport
            for size in (1, 2)
            for start in range(len(tokens) - size + 1)
            if (sport := verbs.SPORT_CUES.get(" ".join(tokens[start : start + size])))
        ),
    )


@cache
def surface_forms() -> Mapping[str, tuple[Thing, bool]]:
    """Every singular and plural name to its thing and whether it is plural; pairs count as plural."""
    forms: dict[str, tuple[Thing, bool]] = {}
    for thing in THINGS.values():
        for name in thing.names:
            several = plural(name)
            if not thing.mass:
                forms.setdefault(several, (thing, several != name))
            if name not in forms or name != several:
                forms[name] = (thing, thing.pair or (name == thing.name and name in {"cattle"}))
    return forms


@cache
def _place_forms() -> Mapping[str, PlaceWord]:
    return {form: place for place in PLACES.values() for name in place.names for form in (name, plural(name))}


def _hidden(tokens: tuple[str, ...]) -> frozenset[int]:
    spans: set[int] = set()
    for size in (3, 2):
        for start in range(len(tokens) - size + 1):
            if " ".join(tokens[start : start + size]) in NOT_THINGS:
                spans.update(range(start, start + size))
    return frozenset(spans)


def _mentions(tokens: tuple[str, ...], hidden: frozenset[int]) -> list[Mention]:
    found: list[Mention] = []
    forms = surface_forms()
    position = 0
    seen: set[str] = set()
    while position < len(tokens):
        for size in (3, 2, 1):
            span = range(position, position + size)
            word = " ".join(tokens[position : position + size])
            if position + size <= len(tokens) and word in forms and not hidden.intersection(span):
                mention = _mention(tokens, position, position + size, *forms[word], seen)
                if mention is not None:
                    found.append(mention)
                    seen.add(mention.thing.name)
                position += size
                break
        else:
            position += 1
    return found


def _is_head(tokens: tuple[str, ...], end: int) -> bool:
    if end >= len(tokens):
        return True
    following = tokens[end]
    if following in _NOT_FOLLOWING or following in {"'s", "s"}:
        return False
    if following in _FOLLOWING or following in verbs.FORMS:
        return True
    return following.endswith(("ing", "ed", "ly")) and len(following) > 4


def _mention(
    tokens: tuple[str, ...], noun: int, end: int, thing: Thing, is_plural: bool, seen: set[str]
) -> Mention | None:
    if not _is_head(tokens, end):
        return None
    colours: list[str] = []
    start = noun
    modified = False
    while start > 0:
        before = tokens[start - 1]
        if before in COLOURS:
            colours.insert(0, COLOURS[before])
        elif before == "and" and colours and start > 1 and tokens[start - 2] in COLOURS:
            pass
        elif before not in MODIFIERS and not (before.endswith("-haired") or before in {"colored", "haired"}):
            break
        modified = True
        start -= 1
    determiner = tokens[start - 1] if start > 0 else ""
    if noun > 0 and tokens[noun - 1] in {"toy", "stuffed", "inflatable", "fake", "plastic"} and thing.kind != "gear":
        return None
    if determiner.endswith("'s") or determiner == "s":
        determiner = "his"
    unknown = determiner not in DETERMINERS and determiner not in _FOLLOWING
    if determiner and not modified and unknown and thing.kind != PERSON:
        # "tennis player": what stands before is unknown, which may change what the noun means
        known_verb = determiner in verbs.FORMS or determiner.endswith("ing")
        if not known_verb:
            return None
    if thing.needs_determiner and determiner not in DETERMINERS and not modified:
        return None
    word = " ".join(tokens[noun:end])
    if word in {"orange", "oranges"}:
        return None
    again = determiner in {"the", "his", "her", "its", "their"} and thing.name in seen and not modified
    return Mention(
        thing=thing,
        word=word,
        plural=is_plural,
        count=_count(tokens, start, is_plural=is_plural, thing=thing),
        colour=_colour(colours),
        again=again,
        start=start,
        noun=noun,
        end=end,
    )


def _colour(colours: list[str]) -> str | None:
    unique = list(dict.fromkeys(colours))
    if not unique or len(unique) > 2:
        return None
    if len(unique) == 2:
        unique.sort()
    return " and ".join(unique)


def _count(tokens: tuple[str, ...], start: int, *, is_plural: bool, thing: Thing) -> int | None:
    before = tokens[start - 1] if start > 0 else ""
    if thing.pair or thing.mass:
        return None
    if not is_plural:
        return None if before in {"of", "many"} else 1
    if before == "both":
        return 2
    number = NUMBER_WORDS.get(before, before)
    if start > 1 and (tokens[start - 2] in {"or", "least", "about", "to"} or before in {"other", "more"}):
        return None
    if number.isdigit() and 2 <= int(number) <= 10:
        return int(number)
    if before == "of" and start > 1 and tokens[start - 2] in {"couple", "pair"}:
        return 2
    return None


def _doings(tokens: tuple[str, ...], mentions: tuple[Mention, ...]) -> list[Doing]:
    found = []
    starts = {mention.start: mention for mention in mentions}
    nouns = {mention.noun: mention for mention in mentions}
    for index, subject in enumerate(mentions):
        if subject.thing.kind not in {PERSON, ANIMAL}:
            continue
        if subject.start > 1 and tokens[subject.start - 2] in {"of", "with", "by", "and", "or", "near"}:
            continue  # the verb that follows may be another's: "a man with a dog sits"
        if subject.start > 0 and tokens[subject.start - 1] in {"of", "with", "and", "by"}:
            continue
        position = _skip_looks(tokens, subject.end, mentions[index + 1 :])
        while position < len(tokens) and tokens[position] in _ADVERBS:
            position += 1
        if position >= len(tokens) or tokens[position] not in verbs.FORMS:
            continue
        if tokens[position] in verbs.OBJECT_VERBS | set(verbs.PLACED_VERBS) and not subject.plural:
            continue  # a bare form after a singular is no verb of its own: "a man ride"
        verb = verbs.FORMS[tokens[position]]
        preposition, target = _object(tokens, position + 1, verb, nouns, starts)
        found.append(Doing(subject=subject, verb=verb, preposition=preposition, object=target))
    return found


def _skip_looks(tokens: tuple[str, ...], position: int, later: tuple[Mention, ...]) -> int:
    """Skip "in a red shirt", "with a hat", "wearing jeans" up to the verb; stay where it is not clothing."""
    if position >= len(tokens) or tokens[position] not in {"in", "with", "wearing"}:
        return position
    limit = min(position + 10, len(tokens))
    for mention in later:
        if position < mention.noun < limit and mention.thing.kind != CLOTHING:
            limit = mention.start
    for place in range(position + 2, limit):
        if tokens[place] in {".", ",", ";", "of", "on", "at", "near", "who"}:
            return position
        if tokens[place] in {"is", "are"} or (tokens[place] in verbs.FORMS and tokens[place] != "wearing"):
            return place
    return position


def _object(
    tokens: tuple[str, ...],
    position: int,
    verb: str,
    nouns: dict[int, Mention],
    starts: dict[int, Mention],
) -> tuple[str, Mention | None]:
    preposition = ""
    if position < len(tokens) and tokens[position] == "down" and verb in {"sit", "lie", "lay"}:
        position += 1
    if position < len(tokens) and tokens[position] in verbs.PLACED_VERBS.get(verb, ()):
        preposition = tokens[position]
        position += 1
    elif verb not in verbs.OBJECT_VERBS:
        return "", None
    for place in range(position, min(position + 5, len(tokens))):
        if place in starts and starts[place].noun > place:
            return preposition, starts[place]
        if place in nouns:
            return preposition, nouns[place]
        if tokens[place] not in DETERMINERS and tokens[place] not in MODIFIERS and tokens[place] not in COLOURS:
            return preposition, None
    return preposition, None


def _places(tokens: tuple[str, ...]) -> list[PlaceWord]:
    found = []
    forms = _place_forms()
    for start in range(1, len(tokens)):
        for size in (2, 1):
            word = " ".join(tokens[start : start + size])
            if word in forms and start + size <= len(tokens) and _is_head(tokens, start + size):
                before = start - 1
                while before > 0 and (
                    tokens[before] in MODIFIERS or tokens[before] in COLOURS or _plain(tokens[before])
                ):
                    before -= 1
                if tokens[before] in DETERMINERS and before > 0:
                    before -= 1
                if tokens[before] in {"in", "on", "at", "through", "across", "along", "down", "inside", "into"}:
                    out = tokens[before - 1] if before > 0 else ""
                    if out not in {"looking", "looks", "look"}:
                        found.append(forms[word])
                break
    return found


def _plain(word: str) -> bool:
    return word in {"grassy", "snowy", "sandy", "busy", "crowded", "rocky", "deep", "shallow", "public", "dirt", "open"}
