"""Who computes when: short before long, nobody for ever, and nobody for nothing."""

from __future__ import annotations

import threading
import time

import pytest

from mmdemo.core import turns
from mmdemo.core.turns import EACH, QUANTUM, Stopped, Turn, Turns, pause, wanted_while


class Job(threading.Thread):
    """Holds a turn for a number of pieces, and notes in ``log`` when each is done."""

    def __init__(self, turn: Turn, name: str, pieces: int, log: list[str]) -> None:
        super().__init__(daemon=True)
        self.turn, self.label, self.pieces, self.log = turn, name, pieces, log
        self.go_on = threading.Event()
        self.start()

    def run(self) -> None:
        with self.turn:
            for _ in range(self.pieces):
                self.go_on.wait(10)
                self.log.append(self.label)
                pause()


def wait_until_waiting(queue: Turns, count: int) -> None:
    end = time.monotonic() + 10
    while queue.waiting < count and time.monotonic() < end:
        time.sleep(0.002)
    assert queue.waiting == count


def test_a_short_job_passes_a_long_one_between_two_pieces() -> None:
    queue, log = Turns(1), list[str]()
    long = queue.job()
    long.spent = 10 * QUANTUM
    slow = Job(long, "long", 3, log)
    time.sleep(0.05)  # it holds the only place
    quick = Job(queue.job(), "short", 1, log)
    quick.go_on.set()
    wait_until_waiting(queue, 1)
    slow.go_on.set()
    for job in (slow, quick):
        job.join(10)

    assert log == ["long", "short", "long", "long"]


def test_a_short_job_is_not_interrupted() -> None:
    queue, log = Turns(1), list[str]()
    first = Job(queue.job(), "first", 3, log)
    time.sleep(0.05)
    second = Job(queue.job(), "second", 1, log)
    second.go_on.set()
    wait_until_waiting(queue, 1)
    first.go_on.set()
    for job in (first, second):
        job.join(10)

    assert log == ["first"] * 3 + ["second"]


def test_a_long_job_ends_even_where_short_ones_never_do() -> None:
    queue, log = Turns(1), list[str]()
    holder = queue.job()
    with holder:
        long = queue.job()
        long.spent = 10 * QUANTUM
        waiting = [Job(long, "long", 1, log), *(Job(queue.job(), "short", 1, log) for _ in range(2 * EACH))]
        for job in waiting:
            job.go_on.set()
        wait_until_waiting(queue, len(waiting))
    for job in waiting:
        job.join(10)

    assert log.index("long") < EACH


def test_those_who_compute_at_once_share_the_cores() -> None:
    queue, given = Turns(4), list[int]()
    queue.use_threads = given.append
    with queue.job():
        other = threading.Thread(target=lambda: queue.job().__enter__())
        other.start()
        other.join(10)
        pause()

    assert given == [4, 2, 2]


def test_work_that_nobody_waits_for_ends() -> None:
    wanted = [True, True, False]
    done = 0

    def work() -> None:
        nonlocal done
        for _ in range(5):
            pause()
            done += 1

    with wanted_while(lambda: wanted[done]), pytest.raises(Stopped):
        work()
    assert done == 2
    pause()  # outside nobody can go away


def test_two_turns_of_one_thread_are_an_error() -> None:
    with Turns(1).job(), pytest.raises(RuntimeError), Turns(1).job():
        pass
    assert getattr(turns._here, "turn", None) is None
