"""What the captions of one picture agree on: things, numbers, colours, places, actions, sports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mmdemo.core.words import word_set
from mmdemo.data.recipes.parse import Doing, Mention, ParsedCaption, parse_caption
from mmdemo.data.recipes.vocabulary import ANIMAL, PERSON, THINGS

_CROWDS = word_set("couple family team crowd people's spectator spectators fan fans crowds teams families couples")
_GROUPS = word_set(
    "group groups pack herd flock crowd bunch several many some multiple various few lots lot numerous "
    "row rows line team"
)
_UNREAL = word_set(
    "statue statues sculpture painting painted poster picture drawing cartoon mural stuffed toy toys sign graffiti"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFacts:
    """Captions of one picture, parsed, with their agreement.

    ``named`` counts the captions that name a thing; ``words`` holds every word of every caption,
    ``text`` all of them in order with a space at each end.
    """

    file_name: str
    captions: tuple[ParsedCaption, ...]
    named: Counter[str]
    words: frozenset[str]
    text: str

    def mentions(self, name: str) -> list[Mention]:
        return [mention for caption in self.captions for mention in caption.mentions if mention.thing.name == name]

    def of_kind(self, kind: str) -> list[str]:
        """Names of a kind, the most often named first."""
        return [name for name, _ in self.named.most_common() if THINGS[name].kind == kind]

    def unreal(self) -> bool:
        """Whether it may show pictures or toys of things rather than things."""
        return bool(self.words & _UNREAL)

    def single(self, name: str) -> bool:
        """Whether every caption speaks of one such thing at most."""
        return all(
            sum(mention.thing.name == name and not mention.again for mention in caption.mentions) <= 1
            and not any(mention.thing.name == name and mention.count != 1 for mention in caption.mentions)
            for caption in self.captions
        ) and not self.words & {"another", "other", "others", "each"}

    def people(self) -> Counter[int]:
        """Votes for how many people there are; empty where a caption is vague or speaks of a crowd."""
        votes: Counter[int] = Counter()
        for caption in self.captions:
            persons = [mention for mention in caption.mentions if mention.thing.kind == PERSON]
            if any(mention.again for mention in persons) or "each" in caption.words:
                continue
            if any(mention.count is None or mention.word in _CROWDS for mention in persons):
                return Counter()
            if caption.words & {
                "group",
                "crowd",
                "team",
                "family",
                "players",
                "others",
                "everyone",
                "audience",
                "onlookers",
            }:
                return Counter()
            if persons:
                votes[sum(mention.count or 0 for mention in persons)] += 1
        return votes

    def one_person(self) -> bool:
        votes = self.people()
        return (
            set(votes) == {1} and votes[1] >= 2 and not self.words & {"couple", "another", "other", "others", "people"}
        )

    def count(self, name: str) -> int | None:
        """How many there are, where at least two captions say so and none says otherwise.

        A plural without a number ("dogs in the snow") goes with any number from two, unless it speaks of a group.
        """
        votes: Counter[int] = Counter()
        several = False
        for caption in self.captions:
            here = [mention for mention in caption.mentions if mention.thing.name == name and not mention.again]
            if any(mention.count is None for mention in here):
                if caption.words & _GROUPS or len(here) > 1:
                    return None
                several = True
            elif here:
                votes[sum(mention.count or 0 for mention in here)] += 1
        if len(votes) != 1:
            return None
        number, support = votes.most_common(1)[0]
        alone = number == 1 and not several and not self.words & {"another", "other", "others", "two", "both", "group"}
        if number == 1 and not (alone and support >= 3):
            return None
        return number if support >= 2 else None

    def colour(self, name: str) -> tuple[str, bool] | None:
        """Colour and whether the thing is plural, where two captions or more agree and none disagrees."""
        votes: Counter[str] = Counter()
        plural: set[bool] = set()
        for caption in self.captions:
            here = [mention for mention in caption.mentions if mention.thing.name == name and not mention.again]
            plural.update(mention.plural for mention in here)
            if len(here) > 1:
                return None
            votes.update(mention.colour for mention in here if mention.colour is not None)
        if len(votes) != 1 or len(plural) != 1:
            return None
        colour, support = votes.most_common(1)[0]
        return (colour, plural.pop()) if support >= 2 else None

    def place_votes(self) -> Counter[str]:
        return Counter(name for caption in self.captions for name in {place.name for place in caption.places})

    def sport(self) -> str | None:
        """The sport that two captions or more speak of, where none speaks of another."""
        votes = Counter(sport for caption in self.captions for sport in caption.sports)
        if len(votes) != 1 or self.words & {"fan", "fans"}:
            return None
        sport, support = votes.most_common(1)[0]
        return sport if support >= 2 else None

    def doings(self, group: str) -> list[list[Doing]]:
        """Per caption what a group does: "person", or an animal's name."""
        return [
            [
                doing
                for doing in caption.doings
                if (doing.subject.thing.kind == PERSON if group == PERSON else doing.subject.thing.name == group)
            ]
            for caption in self.captions
        ]

    def doers(self) -> list[str]:
        """Groups that may do something: "person" and the animals that two captions or more name."""
        groups = [name for name in self.of_kind(ANIMAL) if self.named[name] >= 2]
        return ([PERSON] if self.of_kind(PERSON) else []) + groups


def read_picture(file_name: str, captions: Sequence[str]) -> PictureFacts:
    """Parse the captions of one picture."""
    parsed = tuple(parse_caption(caption) for caption in captions)
    named = Counter(name for caption in parsed for name in sorted({mention.thing.name for mention in caption.mentions}))
    words = frozenset(word for caption in parsed for word in caption.words)
    text = " . ".join(" ".join(caption.tokens) for caption in parsed)
    return PictureFacts(file_name=file_name, captions=parsed, named=named, words=words, text=f" {text} ")
