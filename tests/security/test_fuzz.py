"""Promise: of two thousand cases of the fuzzer, over every reader, each is read or refused in one sentence.

A failure names seed and case; ``python -m tests.fuzz --seed S --case N`` repeats it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.mutate import bytes_like, json_like
from tests.fuzz.readers import READERS

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_reader_reads_or_refuses(tmp_path: Path) -> None:
    # a process of its own: it takes signals, and a reader that crashes or hangs must not take the other tests along
    command = [sys.executable, "-m", "tests.fuzz", "--cases", "2000", "--seed", "21"]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    for name in READERS:
        assert f"{name}: 0 cases" not in done.stdout, done.stdout


def test_a_case_is_the_same_again() -> None:
    from random import Random

    for make in (lambda rng: bytes_like(rng, b"abc" * 20), lambda rng: json_like(rng, {"a": [1, {"b": "c"}]})):
        assert [make(Random(f"1:{n}")) for n in range(50)] == [make(Random(f"1:{n}")) for n in range(50)]


def test_a_reader_that_raises_anything_else_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.fuzz import __main__ as fuzz

    def broken(*_: object) -> None:
        raise OverflowError("too large")

    monkeypatch.setattr(fuzz, "warm_up", lambda: None)
    monkeypatch.setitem(READERS, "folds", (broken, 1))
    (told,) = fuzz.run_cases(3, [7], only="folds")
    assert "--seed 3 --case 7 (folds): OverflowError" in told
