"""Questions made from captions: what is asked, what is never asked, and that nothing depends on chance alone."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import data_root
from mmdemo.data.read import read_examples
from mmdemo.data.recipes import Made, make_questions, write_questions
from mmdemo.data.recipes.ambiguity import DOUBTS
from mmdemo.data.recipes.open_questions import open_questions
from mmdemo.data.recipes.parse import parse_caption
from mmdemo.data.recipes.picture import read_picture
from mmdemo.data.recipes.presence import askable, is_absent
from mmdemo.data.recipes.verbs import FORMS, ing, third_person
from mmdemo.data.recipes.vocabulary import PLACES, THINGS, plural
from mmdemo.data.recipes.yes_no import yes_no_questions
from tests.unit.data.conftest import MakeTable

DOGS = [
    "Two brown dogs run through the snow .",
    "two brown dogs are running in snow",
    "Two dogs play in the snow .",
    "The two brown dogs are running through deep snow .",
    "Dogs in the snow .",
]
SURFER = [
    "A man is riding a wave on a surfboard.",
    "A surfer rides a large wave in the ocean.",
    "A man in a black wetsuit surfing a wave on a yellow surfboard.",
    "A man riding a yellow surfboard on a wave.",
    "A man wearing a wetsuit is riding a wave.",
]
KITCHEN = [
    "A kitchen with a refrigerator and a stove.",
    "A white refrigerator in a small kitchen.",
    "A clean kitchen with a white refrigerator.",
    "There is a refrigerator in the kitchen next to a sink.",
    "A kitchen with a sink and a refrigerator.",
]
CAKE = [
    "A cake on a table.",
    "A chocolate cake with candles on a plate.",
    "A birthday cake sits on a table.",
    "A cake with candles.",
    "A large cake on a plate.",
]


def answers(captions: list[str], seed: int = 0) -> dict[str, str]:
    return {made.question: made.answer for made in open_questions(read_picture("x", captions), Random(seed))}


def test_plurals_and_verb_forms() -> None:
    assert [
        plural(name) for name in ("dog", "bus", "puppy", "man", "fire hydrant", "sheep", "child", "toy", "bench")
    ] == [
        "dogs",
        "buses",
        "puppies",
        "men",
        "fire hydrants",
        "sheep",
        "children",
        "toys",
        "benches",
    ]
    assert [ing(verb) for verb in ("run", "ride", "lie", "ski", "swim", "carry")] == [
        "running",
        "riding",
        "lying",
        "skiing",
        "swimming",
        "carrying",
    ]
    assert [third_person(verb) for verb in ("catch", "carry", "play", "eat")] == ["catches", "carries", "plays", "eats"]
    assert FORMS["running"] == FORMS["runs"] == "run"


def test_a_noun_before_a_noun_names_nothing() -> None:
    named = [
        mention.thing.name for mention in parse_caption("A dog house beside a horse drawn cart and a cat .").mentions
    ]
    assert named == ["cat"]


def test_colour_count_doer_and_place_of_a_caption() -> None:
    caption = parse_caption("Three black and white dogs are running on the beach .")
    dogs = caption.mentions[0]
    assert (dogs.thing.name, dogs.plural, dogs.count, dogs.colour) == ("dog", True, 3, "black and white")
    assert [(doing.subject.word, doing.verb) for doing in caption.doings] == [("dogs", "run")]
    assert [place.name for place in caption.places] == ["beach"]


def test_what_someone_wears_does_not_hide_what_he_does() -> None:
    doing = parse_caption("A man in a red shirt is holding a tennis racket .").doings[0]
    assert (doing.subject.word, doing.verb, doing.object and doing.object.thing.name) == ("man", "hold", "racket")


def test_a_companion_is_not_taken_for_the_doer() -> None:
    assert parse_caption("A man with a dog sits on a bench .").doings == ()


@pytest.mark.parametrize("text", ["", ".", "\U0001f600", "A A A the the of of", "a " * 3000, "'s 's", "Ünïcode façade"])
def test_odd_captions_do_no_harm(text: str) -> None:
    assert parse_caption(text).doings == ()


def test_open_questions_about_dogs() -> None:
    found = answers(DOGS)
    assert found["What color are the dogs?"] == "brown"
    assert found["What are the dogs doing?"] == "running"
    assert "2" in {answer for question, answer in found.items() if question.startswith("How many dogs")}
    assert "dogs" in {answer for question, answer in found.items() if "animal" in question}


def test_open_questions_about_a_surfer() -> None:
    found = answers(SURFER)
    assert found["What color is the surfboard?"] == "yellow"
    assert "surfing" in {answer for question, answer in found.items() if "sport" in question}


def test_open_questions_about_a_kitchen() -> None:
    found = answers(KITCHEN)
    assert "kitchen" in found.values()
    assert found["What color is the refrigerator?"] == "white"


def test_captions_that_disagree_are_not_asked_about() -> None:
    found = answers(["A red car.", "A blue car.", "A car.", "Two cars.", "A red car on a street."])
    assert not [question for question in found if "color" in question or "How many" in question]


def test_one_caption_alone_is_not_enough() -> None:
    assert answers(DOGS[:1]) == {}


def test_toys_and_pictures_are_no_animals() -> None:
    found = answers(
        ["A toy elephant on a bed.", "A stuffed elephant.", "A toy elephant.", "An elephant toy.", "A toy elephant."]
    )
    assert not [question for question in found if "animal" in question]


@pytest.mark.parametrize("seed", range(20))
def test_no_means_no_in_yes_no_questions(seed: int) -> None:
    for made in yes_no_questions(read_picture("x", DOGS), Random(seed)):
        true_words = {"dogs", "dog", "brown", "running", "two", "outside", "outdoors"}
        said = set(made.question.lower().strip("?").split())
        if made.answer == "no":
            assert not said & {"brown", "running", "two", "outside", "outdoors"}, made
        elif made.answer == "yes":
            assert said & true_words, made


def test_what_a_caption_hints_at_is_not_absent() -> None:
    dogs = read_picture("x", DOGS)
    assert is_absent("pizza", dogs)
    assert is_absent("guitar", dogs)
    assert not is_absent("dog", dogs)
    assert not is_absent("sled", dogs), "snow and sleds go together, and captions need not say so"
    surfer = read_picture("y", SURFER)
    assert not is_absent("person", surfer)
    assert not is_absent("beach", surfer), "where there are waves"
    kitchen = read_picture("z", KITCHEN)
    assert not is_absent("oven", kitchen), "a stove is one"
    assert not is_absent("microwave", kitchen), "kitchens have one that nobody mentions"
    riders = read_picture("r", ["A motorcyclist on the road."] * 2)
    assert not is_absent("motorcycle", riders)
    assert not is_absent("bicycle", riders)


def test_background_things_are_never_asked_about() -> None:
    assert not [name for name in ("tree", "grass", "sky", "shirt", "window", "building", "wall") if askable(name)]
    assert askable("dog")


def test_every_doubt_is_about_a_known_thing() -> None:
    unknown = sorted(name for name in DOUBTS if name not in THINGS and name not in PLACES)
    assert unknown == []


def corpus(copies: int = 12) -> dict[str, list[str]]:
    return {
        f"{kind}{number}.png": captions
        for number in range(copies)
        for kind, captions in (("dogs", DOGS), ("surfer", SURFER), ("kitchen", KITCHEN), ("cake", CAKE))
    }


def test_presence_is_half_absent_and_the_name_does_not_tell() -> None:
    made = make_questions(corpus(), seed=0, presence_only=True)
    counts = Counter(question.answer for question in made)
    assert counts["yes"] == counts["no"] > 20
    assert {question.recipe for question in made} == {"presence"}
    for word in ("dog", "surfboard", "refrigerator"):
        asked = Counter(question.answer for question in made if word in question.question)
        assert min(asked["yes"], asked["no"]) >= 1, f"{word}: {asked}"


def test_absent_things_come_from_other_pictures_and_never_from_the_own() -> None:
    made = make_questions(corpus(), seed=1, presence_only=True)
    for question in made:
        own = {"dogs": DOGS, "surfer": SURFER, "kitchen": KITCHEN, "cake": CAKE}[
            question.file_name.removesuffix(".png").rstrip("0123456789")
        ]
        if question.answer == "no":
            last = question.question.rstrip("?").split()[-1].rstrip("s")
            assert not any(f" {last}" in caption.lower() for caption in own), question


def test_the_seed_decides() -> None:
    first = make_questions(corpus(), seed=0)
    assert make_questions(corpus(), seed=0) == first
    assert make_questions(corpus(), seed=1) != first


def test_phrasings_differ() -> None:
    made = make_questions(corpus(), seed=0, presence_only=True)
    assert len({" ".join(question.question.split()[:2]) for question in made}) >= 4


def test_rows_have_what_the_data_have() -> None:
    row = Made(file_name="a.png", question="Is there a dog?", answer="yes", type="yes/no", recipe="presence").to_row()
    assert set(row) >= {"file_name", "question", "answer", "type", "source"}
    made = make_questions(corpus(), seed=0)
    assert {question.type for question in made} <= {"yes/no", "number", "color", "object", "other"}
    assert len({(question.file_name, question.question) for question in made}) == len(made)
    assert all(question.answer and question.question.endswith("?") for question in made)


def test_written_questions_can_be_read_from_their_folder_alone(table: MakeTable, tmp_path: Path) -> None:
    rows = [{"file_name": name, "captions": captions} for name, captions in corpus(3).items()]
    folder = table("captions.jsonl", rows, "pictures/test")
    out = tmp_path / "deep" / "made"
    count = write_questions([folder.parent], out, seed=0)
    found = read_examples("ask", [out])
    assert len(found.examples) == count > 20
    assert {example.file.parent for example in found.examples if example.file is not None} == {folder}
    assert {example.columns["source"] for example in found.examples} == {"recipe"}
    text = (out / "questions.jsonl").read_text(encoding="utf-8")
    write_questions([folder.parent], out, seed=0)
    assert (out / "questions.jsonl").read_text(encoding="utf-8") == text
    write_questions([folder.parent], out, seed=0, presence=True)
    kinds = {json.loads(line)["recipe"] for line in (out / "questions.jsonl").read_text(encoding="utf-8").splitlines()}
    assert kinds == {"presence"}


def test_pictures_of_one_name_in_two_folders_stay_apart(table: MakeTable, tmp_path: Path) -> None:
    one = table("captions.jsonl", [{"file_name": "1.png", "captions": DOGS}], "one")
    two = table("captions.jsonl", [{"file_name": "1.png", "captions": KITCHEN}], "two")
    write_questions([one, two], tmp_path / "made", seed=0)
    for example in read_examples("ask", [tmp_path / "made"]).examples:
        assert example.file is not None
        if example.answer == "kitchen":
            assert example.file.parent == two
        if example.answer in {"dogs", "running"}:
            assert example.file.parent == one


def test_captions_that_give_nothing_are_refused(table: MakeTable, tmp_path: Path) -> None:
    folder = table("captions.jsonl", [{"file_name": "1.png", "captions": ["Nothing to see."]}])
    with pytest.raises(MmdemoError, match="No question could be made"):
        write_questions([folder], tmp_path / "made")


@pytest.mark.skipif(not (data_root() / "coco").is_dir(), reason="the public data are not here")
def test_the_public_captions_give_presence_questions_that_the_name_does_not_answer() -> None:
    captions = {
        str(example.file): list(example.captions)
        for example in read_examples("caption", [data_root() / "coco"]).examples
    }
    made = make_questions(captions, seed=0, presence_only=True)
    assert len(made) > 200
    assert sum(question.answer == "yes" for question in made) * 2 == len(made)
