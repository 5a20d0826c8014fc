"""``compare`` from the command line: two models, what a run kept aside, what it forgot, a mixture that is kept."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from mmdemo.cli.program import main
from mmdemo.core.errors import MmdemoError
from mmdemo.data.read import read_examples
from mmdemo.evaluate.forgetting import curve
from mmdemo.models import load, registry
from mmdemo.studio import run_data
from mmdemo.studio.interpolation import save_interpolation
from tests.integration.test_training import configured, made, place, trained
from tests.small_bases import COLORS, THINGS, draw
from tests.training import train

__all__ = ["made", "place"]


def classes(folder: Path, names: tuple[str, ...], *, each: int, seed: int = 50_000) -> Path:
    """Class folders of drawings: "red", "blue", … or "dog", "car"."""
    for name in names:
        (folder / name).mkdir(parents=True)
        for i in range(each):
            color = name if name in COLORS else list(COLORS)[i % len(COLORS)]
            thing = name if name in THINGS else THINGS[i % len(THINGS)]
            draw(color, thing, seed + 1000 * sorted((*COLORS, *THINGS)).index(name) + i).save(
                folder / name / f"{i}.png"
            )
    return folder


@pytest.fixture
def two(made: Path, place: Path) -> Path:
    """A base, and a classifier that was tuned from it for two colours."""
    trained(made, place, "classify", "classify-base", ["train.epochs=2"])
    data = classes(place / "data" / "colours", ("red", "blue"), each=15)
    done = train(
        task="classify",
        data=[data],
        out="tuned",
        config=configured(place, "classify"),
        overrides=["train.epochs=4"],
        device="cpu",
    )
    assert done == 0
    return place


def compared(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    capsys.readouterr()
    assert main(["compare", *arguments, "--device", "cpu", "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_two_models_are_compared_and_one_with_itself(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = classes(two / "apart", ("red", "blue", "green"), each=8, seed=500)
    table = two / "all.csv"
    found = compared(capsys, "classify-base", "tuned", "--data", str(data), "--csv", str(table))
    assert list(found)[:7] == ["task", "data", "n", "a", "b", "difference", "flipped"]
    assert (found["task"], found["data"], found["n"]) == ("classify", "apart", 24)
    with table.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 24
    flipped = found["flipped"]
    assert isinstance(flipped, list)
    assert len(flipped) == sum(row["right"] in "ab" for row in rows)
    difference = found["difference"]
    assert isinstance(difference, dict)
    won = sum(row["right"] == "b" for row in rows) - sum(row["right"] == "a" for row in rows)
    assert difference["value"] == pytest.approx(won / 24, abs=1e-6)
    same = compared(capsys, "tuned", "tuned", "--data", str(data))
    assert same["difference"] == {"metric": "top1", "value": 0, "low": 0, "high": 0, "p": 1}
    assert same["flipped"] == []
    assert main(["compare", "tuned", "classify-base", "--data", str(data), "--limit", "6"]) == 0
    assert "n is small: 6 examples" in " ".join(capsys.readouterr().out.split())


def test_what_a_run_kept_aside_is_found_again(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = two / "tuned"
    parts, found = run_data.parts_of(folder), run_data.held_out(folder)
    assert len(found.examples) == 3
    learned = {example.file for example in parts.train.examples}
    assert not learned & {example.file for example in found.examples}
    assert run_data.learned_note("B", folder, found) == ""
    everything = read_examples("classify", [two / "data" / "colours"])
    count = len(parts.train.examples)
    assert run_data.learned_note("B", folder, everything) == (
        f"B learned from {count} of these 30 examples: its figures are too good"
    )
    notes = compared(capsys, "classify-base", "tuned", "--data", str(two / "data" / "colours"))["notes"]
    assert isinstance(notes, list)
    assert notes[0].startswith("B learned from")
    aside, count = {example.file for example in found.examples}, len(parts.train.examples)
    classes(two / "data" / "colours", ("green", "white"), each=9, seed=900)  # parted otherwise from now on
    assert {example.file for example in run_data.parts_of(folder).test.examples} != aside
    again = run_data.held_out(folder)
    assert {example.file for example in again.examples} == aside
    assert len(again.notes) == 1
    assert "have changed since it learned from them: 3 of the 3 files that it kept aside" in again.notes[0]
    grown = read_examples("classify", [two / "data" / "colours"])
    assert run_data.learned_note("B", folder, grown).startswith(f"B learned from {count} of these 48 examples")
    further = train(
        task="classify",
        data=[classes(two / "data" / "new", ("red", "green"), each=8, seed=1200)],
        base="tuned",
        out="further",
        config=configured(two, "classify"),
        overrides=["train.epochs=1"],
        device="cpu",
    )
    assert further == 0
    assert run_data.learned_note("B", two / "further", grown).startswith(
        f"B learned from {count} of"
    )  # what tuned had seen
    (folder / "trainer" / "learned.json").rename(folder / "trainer" / "learned.away")
    with pytest.raises(MmdemoError, match="cannot be found again"):
        run_data.held_out(folder)
    (folder / "trainer" / "request.json").unlink()
    with pytest.raises(MmdemoError, match="not known what tuned learned from"):
        run_data.held_out(folder)
    assert "data called colours" in run_data.learned_note("B", folder, everything)


@pytest.mark.parametrize("tune", ["head", "last:1"])
def test_the_line_ends_where_both_models_are(two: Path, capsys: pytest.CaptureFixture[str], tune: str) -> None:
    if tune != "head":
        train(
            task="classify",
            data=[two / "data" / "colours"],
            out="tuned-trunk",
            config=configured(two, "classify"),
            overrides=["train.epochs=2", f"train.tune={tune}", "data.crops=1"],
            device="cpu",
        )
    model = "tuned" if tune == "head" else "tuned-trunk"
    new = classes(two / "new", ("red", "blue"), each=10, seed=600)
    old = classes(two / "old", ("dog", "car", "red"), each=8, seed=700)
    found = curve(
        two / "classify-base", two / model, read_examples("classify", [new]), read_examples("classify", [old])
    )
    assert found.left_out == ("red",)
    assert (found.new_n, found.old_n) == (20, 16)
    assert found.encoded == (1 if tune == "head" else 6)
    others = classes(two / "others", ("dog", "car"), each=8, seed=700)
    for data, points in ((new, [p.new for p in found.points]), (others, [p.old for p in found.points])):
        if data is others:  # the same drawings as in "old", without the label that is new
            assert [file.read_bytes() for file in sorted(data.rglob("*.png"))] == [
                file.read_bytes() for file in sorted(old.rglob("*.png")) if file.parent.name != "red"
            ]
        sides = compared(capsys, "classify-base", model, "--data", str(data))
        for side, point in (("a", points[0]), ("b", points[-1])):
            report = sides[side]
            assert isinstance(report, dict)
            assert report["metrics"]["top1"] == pytest.approx(point.value, abs=1e-6)


def test_a_mixture_is_kept_as_a_checkpoint(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = classes(two / "new", ("red", "blue"), each=6, seed=600)
    old = classes(two / "old", ("dog", "car"), each=6, seed=700)
    arguments = ["--data", str(new), "--forgetting", str(old), "--mix", "0.35", "--out", "half"]
    found = compared(capsys, "classify-base", "tuned", *arguments)
    assert found["model"] == str(two / "half")
    points = found["points"]
    assert isinstance(points, list)
    assert 0.35 in [point["alpha"] for point in points]
    assert (
        load("classify", "half", device="cpu").card.summary
        == "35% of the way from classify-base to tuned: their weights, mixed."
    )
    card = registry.read_card(two / "half")
    assert [metric.data for metric in card.metrics] == ["new", "old, other labels"]
    assert "compare classify-base tuned --mix 0.35 --out half" in card.text
    assert str(two) not in card.text
    known = read_examples("classify", [two / "data" / "colours"])
    assert run_data.learned_note("B", two / "half", known) == run_data.learned_note("B", two / "tuned", known) != ""
    with pytest.raises(MmdemoError, match="half is there already"):
        save_interpolation(two / "classify-base", two / "tuned", 0.5, "half")
    with pytest.raises(MmdemoError, match="needs a name"):
        save_interpolation(two / "classify-base", two / "tuned", 0.5, " ")


def test_what_cannot_be_compared_is_refused(made: Path, two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(made, two, "caption", "caption-mine", ["train.epochs=1"])
    data = classes(two / "apart", ("red", "blue"), each=3)
    for arguments, sentence in (
        (["tuned", "caption-mine"], "one was made for classify, the other for caption"),
        (["tuned", "nobody"], "There is no model 'nobody'"),
        (["vision-base", "vision-base"], "serves nobody by itself"),
        (["tuned", "tuned", "--mix", "0.5"], "needs both its share and its name"),
        (["tuned", "tuned", "--fold", "1"], "both its file and its number"),
        (["tuned", "tuned", "--csv", str(two / "nowhere" / "x.csv")], "its folder does not exist"),
    ):
        capsys.readouterr()
        assert main(["compare", *arguments, "--data", str(data), "--device", "cpu"]) == 2
        assert sentence in capsys.readouterr().err
