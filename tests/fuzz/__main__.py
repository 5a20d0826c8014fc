"""Run the cases; the first lines of every defect say how to repeat it."""

from __future__ import annotations

import argparse
import faulthandler
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

from mmdemo.core.errors import MmdemoError
from tests.fuzz.readers import READERS

HANG = 5.0
"""Seconds of the processor that no reader may take."""

STUCK = 60.0
"""Seconds of the clock: one that waits for something uses no processor, and a busy machine is slow."""


class Hang(BaseException):
    """Not an Exception: readers may not swallow it."""


def reader_of(rng: Random) -> str:
    names = list(READERS)
    return rng.choices(names, [READERS[name][1] for name in names])[0]


def run_case(seed: int, number: int, only: str | None = None) -> tuple[str, bool]:
    """One case; returns the reader's name and whether it refused. Raises whatever else happens."""
    rng = Random(f"{seed}:{number}")
    name = reader_of(rng)
    name = only or name
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    before = dict(os.environ)
    started = time.process_time()
    try:
        with warnings.catch_warnings(), _limit():
            warnings.simplefilter("error")
            try:
                READERS[name][0](rng, folder)
            except MmdemoError:
                return name, True
        if time.process_time() - started > HANG:  # in code that no signal interrupts
            raise Hang
        return name, False
    finally:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _limit() -> Iterator[None]:
    def late(*_: object) -> None:
        raise Hang

    timers = ((signal.SIGPROF, signal.ITIMER_PROF, HANG), (signal.SIGALRM, signal.ITIMER_REAL, STUCK))
    before = {number: signal.signal(number, late) for number, _, _ in timers}
    for _, timer, seconds in timers:
        signal.setitimer(timer, seconds)
    faulthandler.dump_traceback_later(2 * STUCK, exit=True)  # in code that no signal interrupts
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        for number, timer, _ in timers:
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


def warm_up() -> None:
    """Import what readers need and make the seeds, so that no case pays for it, and no import is interrupted."""
    import torch
    import transformers  # noqa: F401

    torch.set_num_threads(1)
    before = dict(os.environ)
    for name, (read, _) in READERS.items():
        for number in range(3):
            with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), suppress(Exception):
                warnings.simplefilter("ignore")
                read(Random(f"warm {name} {number}"), Path(folder))
        os.environ.clear()
        os.environ.update(before)


def run_cases(seed: int, numbers: Sequence[int], *, only: str | None = None, most: int = 20) -> list[str]:
    """What went wrong, a text each, of different places in the code; at most ``most``."""
    warm_up()
    wrong: dict[str, str] = {}
    counts: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for number in numbers:
        try:
            name, no = run_case(seed, number, only)
            counts[name] += 1
            refused[name] += no
        except (Exception, Hang) as error:
            name = only or reader_of(Random(f"{seed}:{number}"))
            places = traceback.extract_tb(error.__traceback__)
            where = next((p for p in reversed(places) if "/mmdemo/" in p.filename), places[-1])
            key = f"{type(error).__name__} {where.filename}:{where.lineno}"
            counts[name] += 1
            if key not in wrong:
                told = "".join(traceback.format_exception(error)[-12:])[-3000:]
                wrong[key] = f"--seed {seed} --case {number} ({name}): {key}\n{told}"
                print(wrong[key], flush=True)
            if len(wrong) >= most:
                break
    for name in READERS:
        print(f"{name}: {counts[name]} cases, {refused[name]} refused")
    return list(wrong.values())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", type=int, help="only this one")
    parser.add_argument("--reader", choices=list(READERS), help="only this one")
    given = parser.parse_args()
    numbers = range(given.cases) if given.case is None else [given.case]
    started = time.monotonic()
    wrong = run_cases(given.seed, numbers, only=given.reader)
    print(f"{len(numbers)} cases in {time.monotonic() - started:.0f} s: {len(wrong)} kinds of defect")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
