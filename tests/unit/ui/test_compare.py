"""The tab Compare: drawings, words, work that can be cancelled, and what data it offers."""

from __future__ import annotations

import json
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import CaptionResult, ClassifyResult, Scored
from mmdemo.data.read import Example
from mmdemo.evaluate.compare import Comparison, paired
from mmdemo.evaluate.forgetting import Accuracy, Curve, Point
from mmdemo.evaluate.report import make_report
from mmdemo.evaluate.run import Measurement
from mmdemo.evaluate.scores import Outcome, class_outcome
from mmdemo.evaluate.verdict import Verdict, judge
from mmdemo.ui.compare import draw as compare_draw
from mmdemo.ui.compare import view as compare_view
from mmdemo.ui.compare import work as compare_work

EVIL = "<b>&owl"


def outcome(answers: list[str], labels: list[str], names: list[str]) -> Outcome:
    table = np.array([[0.9 if name == answer else 0.05 for name in names] for answer in answers])
    return class_outcome(table, labels, names, served=(answers, [0.9] * len(answers)))


def verdict(folder: Path, *, names: int = 3, swapped: bool = False) -> Verdict:
    """A compared with B: B is right about all, A never about the first label."""
    labels = [EVIL, *(f"class {i}" for i in range(1, names))]
    truth = labels * 12
    some = []
    for i, label in enumerate(truth):
        file = folder / f"{i}.png"
        Image.new("RGB", (20, 10), (i, 0, 0)).save(file)
        some.append(Example(file=file, label=label))
    wrong = [labels[1] if label == EVIL else label for label in truth]
    outcomes = [outcome(answers, truth, labels) for answers in (wrong, truth)]
    if swapped:
        outcomes.reverse()
    measured = [Measurement(outcome=one, scored=some, notes=()) for one in outcomes]
    before, after = (
        make_report(one, task="classify", model=f"{EVIL}{name}", data="data")
        for one, name in zip(outcomes, "ab", strict=True)
    )
    return judge(
        Comparison(
            before=before,
            after=after,
            differences=paired(*measured),
            agreement=0.66,
            scored=some,
            outcomes=(outcomes[0], outcomes[1]),
        ),
        notes=["B learned from data called <i>"],
    )


def parsed(html: str) -> ET.Element:
    """Well-formed as a whole, which what a person wrote must not change."""
    return ET.fromstring(html)


def test_a_verdict_is_drawn_and_nothing_in_it_is_markup(tmp_path: Path) -> None:
    found = verdict(tmp_path)
    html = compare_view.verdict(found, served=tmp_path / "served", sound=False, language="en")
    assert "B is better by 33.3 points, 95 % interval" in html
    assert "<b>&owl" not in html
    assert "called <i>" not in html
    assert html.count("<details") == 12 + 2  # flipped, all figures, how it was measured
    assert html.count('src="data:image/jpeg') == 2 * 12
    assert "0% → 100%" in html
    assert html.count('role="img"') == 4  # two whiskers, two reliability plots
    assert html.count("<table") == 3
    assert "B 更好" in compare_view.verdict(found, served=tmp_path, sound=False, language="zh")


def test_the_sentence_on_the_page_is_that_of_the_command_line(tmp_path: Path) -> None:
    for swapped in (False, True):
        found = verdict(tmp_path, swapped=swapped)
        assert compare_view.sentence(found, "en") == found.sentence()


def test_clips_get_players(tmp_path: Path) -> None:
    served = tmp_path / "served"
    html = compare_view.verdict(verdict(tmp_path), served=served, sound=True, language="en")
    assert html.count("<audio") == 12
    assert len(list(served.iterdir())) == 12
    assert "data:image" not in html


def test_of_many_classes_those_with_mistakes_are_shown() -> None:
    matrix = np.hstack([np.eye(30) * 5, np.zeros((30, 1))])
    matrix[20, 3], matrix[7, 30] = 4, 2
    shown = compare_draw.worst_classes([matrix, matrix], most=4)
    assert {7, 20} <= set(shown)
    assert len(shown) == 4
    names = [f"class {i}" for i in range(30)]
    table = parsed(compare_draw.heat_table(matrix, names, shown=[7, 20], caption="A", other="other"))
    cells = [[cell.text for cell in row.iter("td")] for row in table.iter("tr")][1:]
    assert cells == [["5", "·", "2"], ["·", "5", "4"]]  # what is not shown is counted as other
    plain = parsed(compare_draw.heat_table(matrix, names, shown=[0, 1], caption="A", other="other"))
    assert "other" not in "".join(plain.itertext())


def test_whiskers_stand_where_their_values_are() -> None:
    rows = [
        compare_draw.Whisker(name="A", value=50, low=40, high=60, said="50 %", alt="a"),
        compare_draw.Whisker(name="B", value=80, low=70, high=90, said="80 %", alt="b"),
    ]
    drawn = parsed(compare_draw.whiskers(rows, side=("a", "b")))
    points = [path.get("d") for path in drawn.iter("path") if "mm-point" in (path.get("class") or "")]
    places = [float(str(d)[1:].split()[0]) for d in points]
    assert places[1] - places[0] == pytest.approx(600 * 30 / 60, abs=0.2)  # from 40 to 100 by twenties


def curve() -> Curve:
    points = [
        Point(
            alpha=alpha,
            new=Accuracy(value=0.6 + 0.3 * alpha, low=0.5 + 0.3 * alpha, high=0.7 + 0.3 * alpha),
            old=Accuracy(value=0.9 - 0.2 * alpha**2, low=0.8 - 0.2 * alpha**2, high=0.95 - 0.2 * alpha**2),
        )
        for alpha in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    ]
    return Curve(points=tuple(points), new_n=50, old_n=60, new_data=EVIL, old_data="others")


def test_the_marker_of_the_line_moves_with_the_slider() -> None:
    found = curve()
    assert found.best().alpha == 0.8
    html = compare_view.line(found, 0.4, "en")
    assert EVIL not in html
    assert "With 40% of B: 72% on the new labels (62% to 82%), 87% on the others" in html
    markers = [p.get("d") for p in parsed(html).iter("path") if p.get("class") == "mm-marker"]
    assert markers == ["M240.0 0V200"]
    assert "With 100% of B: 90%" in compare_view.line(found, 0.97, "en")
    assert "80% of B reaches 84.0% and 77.2%" in found.sentence()


def test_both_answers_with_the_change_of_each_label() -> None:
    def result(*scores: float) -> ClassifyResult:
        labels = sorted(
            (Scored(label=name, score=score) for name, score in zip(("cat", EVIL), scores, strict=True)),
            key=lambda item: -item.score,
        )
        return ClassifyResult(file="x", labels=tuple(labels), sure=True, model="m", seconds=0.1)

    html = compare_view.both_answers(result(0.7, 0.3), result(0.18, 0.82), ("old", "new"), "en")
    assert "+52 points" in html
    assert "-52 points" in html
    assert "They answer differently" in html
    assert EVIL not in html
    said = CaptionResult(file="x", caption="a cat", score=0.5, sure=True, alternatives=(), model="m", seconds=0.1)
    assert "Both answer the same" in compare_view.both_answers(said, said, ("old", "new"), "en")


def test_work_says_how_far_it_is_and_ends_when_told_to() -> None:
    told, go_on = threading.Event(), threading.Event()

    def job(progress: Callable[[int, int], None]) -> str:
        progress(1, 3)
        told.set()
        go_on.wait(30)
        progress(2, 3)
        return "done"

    watching = compare_work.watched("one", job)
    first = next(watching)
    assert told.wait(30)
    assert (first.done, first.total) in {(1, 3), (0, 0)}
    compare_work.cancel("another")
    compare_work.cancel("one")
    go_on.set()
    last = [*watching][-1]
    assert last.ended.is_set()
    with pytest.raises(compare_work.Cancelled):
        last.outcome()
    assert [*compare_work.watched("one", lambda progress: "done")][-1].outcome() == "done"


def test_a_failure_of_the_work_is_passed_on() -> None:
    def job(progress: Callable[[int, int], None]) -> None:
        raise MmdemoError("Nothing can be measured")

    with pytest.raises(MmdemoError, match="Nothing can be measured"):
        [*compare_work.watched("failing", job)][-1].outcome()


def test_data_that_can_be_measured_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(tmp_path / "models"))
    monkeypatch.setenv("MMDEMO_DATASETS", str(tmp_path / "data"))
    (tmp_path / "data" / "brought").mkdir(parents=True)
    for name, task in (("mine", "classify"), ("theirs", "ask")):
        (tmp_path / "data" / name).mkdir()
        made = {"task": task, "format": 1, "classes": []}
        (tmp_path / "data" / name / "dataset.json").write_text(json.dumps(made))
    offered = [value for _, value in compare_work.data_choices("classify", (None, None), "en")]
    assert "set:brought" in offered
    assert "set:theirs" not in offered
    assert offered[-1] == compare_work.FOLDER
    with pytest.raises(MmdemoError, match="There is nothing to measure on"):
        compare_work.read_choice("classify", compare_work.FOLDER, "  ", "en")
    with pytest.raises(MmdemoError):  # a name, never a place
        compare_work.read_choice("classify", "set:../../etc", "", "en")


def test_the_tab_is_built_and_fills_its_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gradio as gr

    from mmdemo.core.types import TASKS
    from mmdemo.serving.engine import Engine
    from mmdemo.ui.compare import tab as compare
    from mmdemo.ui.page import build_words
    from mmdemo.ui.wiring import Engines

    monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(tmp_path))
    monkeypatch.setenv("MMDEMO_DATASETS", str(tmp_path / "data"))
    with Engine(device="cpu") as engine, gr.Blocks() as demo:
        page = SimpleNamespace(  # what the tab needs of a page
            engines=Engines(engine, device="cpu", public=False),
            words=build_words(public=False),
            models={task: gr.Dropdown([]) for task in TASKS},
            device=gr.Dropdown(["cpu"]),
        )
        tab = compare.build(page)
        for task in TASKS:
            given = [task, None, None, None, "", None, None, "folder", None]
            updates = tab.refresh(*given, request=None)
            assert len(given) == len(tab.given)
            assert len(updates) == len(tab.lists)
            part, reason = updates[-2:]  # one of the two is shown: a part that is empty would look broken
            assert (part.visible, reason.visible) == (task == "classify", task != "classify")
    names = [fn.api_name for fn in demo.fns.values() if str(fn.api_name).startswith("page_compare")]
    assert {"page_compare_run", "page_compare_side", "page_compare_line", "page_compare_keep"} <= set(names)
    keep = next(fn.fn for fn in demo.fns.values() if fn.api_name == "page_compare_keep")
    assert keep is not None
    for name in ("../half", "half <i>", "a\\b", ".."):  # refused before anything is read or written
        assert "cannot be the name" in keep((None, "one", "other"), 0.5, name, None)[0]
    lanes = {fn.concurrency_id for fn in demo.fns.values() if fn.api_name in {"page_compare_run", "page_compare_line"}}
    assert lanes == {"compare"}
