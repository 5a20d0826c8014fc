"""Requests meet in batches; a bad one fails alone; closing answers what is queued."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import wait

import pytest

from mmdemo.serving.batching import Batcher


class Doubler:
    """Doubles numbers, remembers its batches, refuses negative ones, and can be held at the door."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered = threading.Event()
        self.door = threading.Event()
        self.door.set()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        self.entered.set()
        assert self.door.wait(10)
        if any(number < 0 for number in numbers):
            raise ValueError(f"negative among {list(numbers)}")
        return [2 * number for number in numbers]


def test_what_waits_is_answered_together_and_in_order() -> None:
    double = Doubler()
    batcher = Batcher(double, max_batch=4)
    double.door.clear()
    first = batcher.submit(0)
    assert double.entered.wait(10)
    rest = [batcher.submit(number) for number in range(1, 8)]
    double.door.set()
    assert [future.result(10) for future in (first, *rest)] == list(range(0, 16, 2))
    assert double.batches == [[0], [1, 2, 3, 4], [5, 6, 7]]
    batcher.close()


def test_one_bad_request_does_not_fail_the_others() -> None:
    double = Doubler()
    batcher = Batcher(double)
    double.door.clear()
    batcher.submit(0)
    assert double.entered.wait(10)
    futures = [batcher.submit(number) for number in (1, -2, 3)]
    double.door.set()
    wait(futures, 10)
    assert (futures[0].result(), futures[2].result()) == (2, 6)
    with pytest.raises(ValueError, match=r"negative among \[-2\]"):
        futures[1].result()
    assert double.batches == [[0], [1, -2, 3], [1], [-2], [3]]
    assert batcher.submit(5).result(10) == 10  # the thread lives on
    batcher.close()


def test_too_few_answers_are_an_error() -> None:
    batcher: Batcher[int, int] = Batcher(lambda numbers: [])
    with pytest.raises(RuntimeError, match="1 requests got 0 answers"):
        batcher.submit(1).result(10)
    batcher.close()


def test_even_an_exit_goes_to_the_caller() -> None:
    def leave(numbers: Sequence[int]) -> list[int]:
        raise SystemExit(3)

    batcher = Batcher(leave)
    with pytest.raises(SystemExit):
        batcher.submit(1).result(10)
    with pytest.raises(SystemExit):
        batcher.submit(1).result(10)
    batcher.close()


def test_a_request_whose_caller_has_gone_is_left_out() -> None:
    double = Doubler()
    batcher = Batcher(double)
    double.door.clear()
    batcher.submit(0)
    assert double.entered.wait(10)
    gone, stays = batcher.submit(1), batcher.submit(2)
    assert gone.cancel()
    double.door.set()
    assert stays.result(10) == 4
    assert double.batches == [[0], [2]]
    batcher.close()


def test_closing_answers_what_is_queued_and_takes_no_more() -> None:
    double = Doubler()
    batcher = Batcher(double)
    double.door.clear()
    futures = [batcher.submit(number) for number in range(3)]
    closer = threading.Thread(target=batcher.close)
    closer.start()
    double.door.set()
    closer.join(10)
    assert not closer.is_alive()
    assert [future.result(10) for future in futures] == [0, 2, 4]
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(1)
    batcher.close()


@pytest.mark.parametrize("settings", [{"max_batch": 0}, {"wait": -1.0}])
def test_settings_are_checked(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Batcher(lambda numbers: list(numbers), **settings)  # type: ignore[arg-type]
