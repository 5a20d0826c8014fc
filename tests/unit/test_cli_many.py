"""Many inputs at once: in order, streamed, and one bad file costs only itself."""

from __future__ import annotations

import threading

from mmdemo.cli.inputs import Input
from mmdemo.cli.many import AT_ONCE, answer_all
from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import CaptionResult


def _result(text: str) -> CaptionResult:
    return CaptionResult(file="", caption=text, score=1.0, sure=True, alternatives=(), model="m", seconds=0.0)


def _inputs(count: int) -> list[Input]:
    return [Input(name=f"{number}.jpg") for number in range(count)]


def test_order_is_kept_when_the_first_is_the_slowest() -> None:
    others_done = threading.Event()
    count = [0]

    def answer(item: Input) -> CaptionResult:
        if item.name == "0.jpg":
            assert others_done.wait(20)
        else:
            count[0] += 1
            if count[0] == AT_ONCE - 1:
                others_done.set()
        return _result(item.name)

    outcomes = list(answer_all(_inputs(3 * AT_ONCE), answer))
    assert [name for name, _ in outcomes] == [f"{number}.jpg" for number in range(3 * AT_ONCE)]
    assert all(isinstance(outcome, CaptionResult) and outcome.caption == name for name, outcome in outcomes)


def test_requests_meet_so_that_they_can_be_batched() -> None:
    together = threading.Barrier(8, timeout=20)

    def answer(item: Input) -> CaptionResult:
        together.wait()
        return _result(item.name)

    assert len(list(answer_all(_inputs(8), answer))) == 8


def test_answers_stream_before_the_last_is_read() -> None:
    begun: list[str] = []

    def answer(item: Input) -> CaptionResult:
        begun.append(item.name)
        return _result(item.name)

    stream = answer_all(_inputs(100 * AT_ONCE), answer)
    next(stream)
    assert len(begun) <= 2 * AT_ONCE
    stream.close()


def test_problems_are_sentences_in_their_place() -> None:
    def answer(item: Input) -> CaptionResult:
        if item.name == "bad":
            raise MmdemoError("This picture cannot be opened", "it is empty")
        if item.name == "odd":
            raise ValueError("what\nis this")
        return _result(item.name)

    inputs = [Input(name="bad"), Input(name="gone", problem="It is gone."), Input(name="odd"), Input(name="fine")]
    outcomes = dict(answer_all(inputs, answer))
    assert outcomes["bad"] == "This picture cannot be opened: it is empty."
    assert outcomes["gone"] == "It is gone."
    assert outcomes["odd"] == "odd cannot be answered: ValueError: what is this"
    assert outcomes["fine"] == _result("fine")


def test_nothing_in_nothing_out() -> None:
    assert list(answer_all([], lambda item: _result(item.name))) == []
