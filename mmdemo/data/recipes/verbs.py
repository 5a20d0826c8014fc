"""What people and animals do in captions: verb forms, and which of them answer "what is he doing?"."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mmdemo.core.words import word_set

_DOUBLED = word_set("run swim sit hit cut pet skip grab hug hop jog step dig flip spin chop wag nap tug bat drag")

_OBJECT_VERBS = """
hold, carry, ride, eat, catch, throw, chase, pull, push, kick, hit, read, cut, drive, pet, feed, kiss, climb, swing,
fly, paddle, drink, bite, chew, lick, sniff, wear, watch, hug, touch, smoke, row, cook, prepare, use, fetch,
retrieve, bounce, dribble, walk, wash
"""
_PLACED_VERBS = """
sit: on in at, stand: on in at under behind, lie: on in, lay: on in, sleep: on in under, jump: over off on into
through, leap: over off into through, walk: on in through across along down, run: on in through across along down,
climb: on up, play: with on in, look: at through out, lean: on against, swim: in through, ride: on in down, ski:
down, slide: down, swing: on, talk: on to into, wade: in through, float: in on, crawl: through in on, bounce: on,
balance: on, rest: on, perch: on, graze: in on, drink: from, skateboard: on down, surf: on, hang: from on, point:
at, work: on at, cross: over, dig: in, roll: in on, splash: in through
"""
_ACTIONS = """
run, jump, swim, walk, eat, drink, sleep, read, surf, ski, snowboard, skateboard, skate, climb, dance, sing, cook,
drive, fly: flying, graze: grazing, dig: digging, hike: hiking, kayak: kayaking, fish: fishing, smoke: smoking,
fight: fighting, wrestle: wrestling, leap: jumping, race: racing, row: rowing, sled: sledding, slide: sliding,
swing: swinging, lie: lying down, lay: lying down, sit: sitting, stand: standing, rest: lying down, crawl: crawling,
wave: waving, bark: barking, box: boxing, kiss: kissing, hug: hugging, splash: splashing, paddle: paddling, wade:
wading, juggle: juggling, pose: posing, rollerblade: rollerblading, wakeboard: wakeboarding, golf: golfing, bowl:
bowling, sail: sailing, parasail: parasailing, shop: shopping
"""

WEAK_ACTIONS = frozenset({"sitting", "standing", "lying down", "posing", "walking", "jumping", "flying"})
"""Actions that can go together with another one, so they answer only where no caption names another."""


def _pairs(table: str) -> list[tuple[str, str]]:
    items = [item.strip() for item in " ".join(table.split()).split(",")]
    return [(verb.strip(), rest.strip()) for verb, _, rest in (item.partition(":") for item in items) if verb.strip()]


def ing(verb: str) -> str:
    """The -ing form: running, riding, lying."""
    if verb in _DOUBLED:
        return verb + verb[-1] + "ing"
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    return verb[:-1] + "ing" if verb.endswith("e") and not verb.endswith("ee") else verb + "ing"


def third_person(verb: str) -> str:
    """The form for he, she and it: runs, catches, flies."""
    if verb.endswith(("s", "x", "z", "ch", "sh", "o")):
        return verb + "es"
    return verb[:-1] + "ies" if verb.endswith("y") and verb[-2:-1] not in "aeiou" else verb + "s"


OBJECT_VERBS = frozenset(verb for verb, _ in _pairs(_OBJECT_VERBS))
"""Verbs whose object follows directly: hold a ball."""

PLACED_VERBS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {verb: tuple(prepositions.split()) for verb, prepositions in _pairs(_PLACED_VERBS)}
)
"""Verbs with the prepositions that lead to what is asked for: sit on a bench."""

ACTIONS: Mapping[str, str] = MappingProxyType({verb: answer or ing(verb) for verb, answer in _pairs(_ACTIONS)})
"""Verb to the answer that it gives to "what is he doing?"."""

FORMS: Mapping[str, str] = MappingProxyType(
    {
        form: verb
        for verb in sorted(OBJECT_VERBS | set(PLACED_VERBS) | set(ACTIONS))
        for form in (verb, third_person(verb), ing(verb))
    }
)
"""Every present form to its verb."""

_SPORTS = """
soccer: soccer| football: football, american football| basketball: basketball| baseball: baseball| tennis: tennis|
hockey: hockey, ice hockey| volleyball: volleyball, beach volleyball| rugby: rugby| golf: golf, golfing, golfer|
skiing: ski, skis, skier, skiers, skiing| snowboarding: snowboard, snowboards, snowboarder, snowboarders,
snowboarding| surfing: surf, surfs, surfer, surfers, surfing, surfboard, surfboards| skateboarding: skateboard,
skateboards, skateboarder, skateboarders, skateboarding| cricket: cricket| lacrosse: lacrosse| wrestling: wrestling,
wrestler, wrestlers, wrestle| boxing: boxing, boxer, boxers| karate: karate| kayaking: kayak, kayaking, kayaker,
kayaks, kayakers| softball: softball| frisbee: frisbee, frisbees| wakeboarding: wakeboard, wakeboarding,
wakeboarder| gymnastics: gymnast, gymnastics| bowling: bowling| rock climbing: rock climbing, rock climber, rock
climbers
"""


def _sports() -> dict[str, str]:
    words = {}
    for entry in " ".join(_SPORTS.split()).split("|"):
        sport, _, cues = entry.partition(":")
        for cue in cues.split(","):
            words[cue.strip()] = sport.strip()
    return words


SPORT_CUES: Mapping[str, str] = MappingProxyType(_sports())
"""Words of a caption to the sport they speak of."""
