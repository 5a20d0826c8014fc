"""Runs as HTML: every state in words, names escaped, failures with their reason."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

from mmdemo.core.types import Metric
from mmdemo.runs.reading import ACTIVE, Run, State
from mmdemo.ui.runs import view as run_view
from mmdemo.ui.runs.watch import NEWS_SECONDS, banner, changed, chosen_run, own
from mmdemo.ui.strings import text

NASTY = '"><img src=x onerror=alert(1)>'


def a_run(**more: object) -> Run:
    run = Run(name="mugs", task="classify", state=State.TRAINING, folder=Path("/x/mugs"), created=1e9)
    return dataclasses.replace(run, **more)  # type: ignore[arg-type]


def test_the_page_and_the_disk_mean_the_same_states() -> None:
    assert set(run_view.ACTIVE) == {str(state) for state in ACTIVE}


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_state_is_a_word(state: State, language: str) -> None:
    run = a_run(state=state, model=True, reason="it was so", exit_code=3)

    shown = run_view.state(run, language)  # type: ignore[arg-type]

    assert text(f"runs_state_{state}", language) in shown  # type: ignore[arg-type]
    assert text(f"runs_state_{state}", language) in run_view.run_list([run], "", language)  # type: ignore[arg-type]


def test_nothing_that_somebody_wrote_becomes_markup() -> None:
    metric = Metric(name=NASTY, value=1, low=0, high=1, n=3, data=NASTY)
    run = a_run(
        name=NASTY, data=(NASTY,), base=NASTY, reason=NASTY, command=NASTY, settings={NASTY: NASTY}, metric=NASTY,
        figures={NASTY: 0.5}, metrics=(metric,), ahead=(NASTY,), place=2, model=True, ended=time.time(),
    )  # fmt: skip
    for state in State:
        one = dataclasses.replace(run, state=state)
        parts = (
            run_view.state(one, "en"),
            run_view.run_list([one], NASTY, "en"),
            run_view.failure(one, NASTY, "en"),
            run_view.curves(one, {"loss": [(1, 2.0)], "metric": [(1, 0.5)]}, "en"),
            run_view.figures(one.metrics, "en"),
            run_view.made_of(one, "en"),
            run_view.log(NASTY, "en"),
            banner([one], (), "en"),
        )
        assert all("<img" not in part for part in parts)


def test_progress_is_a_bar_that_can_be_read() -> None:
    shown = run_view.state(a_run(step=21, steps=50, seconds_left=75.0, epochs=10, epoch=4.2, loss=0.5), "en")

    assert 'aria-valuenow="42"' in shown
    assert "42 % done, about 1 min 15 s left" in shown
    assert "21 of 50" in shown


def test_the_queue_says_after_whom() -> None:
    shown = run_view.state(a_run(state=State.QUEUED, place=2, ahead=("first", "second")), "en")

    assert "number 2 in the queue, after first and second" in shown


def test_a_failure_has_reason_code_and_log() -> None:
    shown = run_view.failure(a_run(state=State.FAILED, reason="The disk is full.", exit_code=1), "step 3\nboom", "en")

    assert 'role="alert"' in shown
    assert "The disk is full." in shown
    assert "Exit code 1" in shown
    assert "boom" in shown
    assert run_view.failure(a_run(), "boom", "en") == ""


@pytest.mark.parametrize("metric", ["top1", "minus_loss"])
def test_the_best_epoch_is_the_highest(metric: str) -> None:
    drawn = run_view.curves(a_run(metric=metric), {"metric": [(1, -2.0), (2, -0.9), (3, -1.1)]}, "en")

    assert "M300.0 " in drawn.split("mm-best")[0].rsplit("<path", 1)[1]


def test_what_was_computed_at_once_is_a_number_and_no_curve() -> None:
    run = a_run(task="sentiment", state=State.DONE, metric="ua", figures={"ua": 0.75}, model=True)

    assert run_view.curves(run, {"metric": [(0, 0.75)]}, "en") == ""
    assert "0.750" in run_view.state(run, "en")
    assert "kept aside" in run_view.state(run, "en")
    assert "so far" not in run_view.run_list([run], "", "en")
    assert "so far" in run_view.run_list([dataclasses.replace(run, state=State.STOPPED)], "", "en")


def test_figures_have_words() -> None:
    assert "Log-probability" in run_view.curves(a_run(metric="minus_loss"), {"metric": [(1, -2.0), (2, -1.0)]}, "en")


def test_only_what_has_changed_is_sent() -> None:
    first, seen = changed([{"value": "a"}, {"visible": True}], ())
    second, again = changed([{"value": "a"}, {"visible": False}], seen)

    assert [update.get("value", update.get("visible")) for update in first] == ["a", True]
    assert "value" not in second[0]
    assert second[1]["visible"] is False
    assert changed([{"value": "a"}, {"visible": False}], again)[1] == again


def test_a_page_opens_what_is_going_on_else_the_newest_and_never_another_than_was_chosen() -> None:
    new, going = a_run(name="new", state=State.DONE), a_run(name="going")

    assert chosen_run([new, going], "") is going
    assert chosen_run([new], "") is new
    assert chosen_run([new, going], "new") is new
    assert chosen_run([new, going], "deleted") is None
    assert chosen_run([], "") is None


def test_the_line_at_the_top() -> None:
    going = a_run(step=21, steps=50, seconds_left=20.0)
    waits = a_run(name="next", state=State.QUEUED, place=1)
    done = a_run(state=State.DONE, model=True, ended=time.time() - 5)
    old = a_run(state=State.DONE, model=True, ended=time.time() - NEWS_SECONDS - 5)

    assert "Training mugs: 42 %, about 20 s left · and 1 more" in banner([waits, going], (), "en")
    assert "mugs is ready: choose it above in the tab Classify" in banner([done], (), "en")
    assert banner([done], ("mugs",), "en") == ""
    assert banner([old], (), "en") == ""
    assert banner([], (), "en") == ""


def test_shipped_models_are_no_runs_of_the_visitor_unless_they_are_trained_now() -> None:
    mine, shipped = a_run(state=State.DONE), a_run(name="classify-base", state=State.DONE)
    trained = a_run(name="ask-base", task="ask", state=State.TRAINING)

    assert own([mine, shipped, trained]) == (mine, trained)
