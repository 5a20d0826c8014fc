"""The benchmark measures real answers: as many as asked for, each on an input that no cache has seen."""

from __future__ import annotations

import mmap
from typing import Any

import pytest

from mmdemo.core.errors import MmdemoError
from mmdemo.media.speech import detect_speech
from mmdemo.serving import benchmark
from mmdemo.serving.engine import Engine
from mmdemo.serving.memory import peak_bytes, reset_peak, resident_bytes


@pytest.mark.parametrize("with_examples", [True, False])
def test_rows(engine: Engine, shelf: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, with_examples: bool) -> None:
    monkeypatch.setattr(benchmark, "_PROCESS_REPEATS", 1)
    if not with_examples:
        monkeypatch.setattr(benchmark, "EXAMPLES", tmp_path)
    told: list[str] = []
    rows = benchmark.run(n=3, engine=engine, progress=lambda job, done, total: told.append(f"{job} {done}/{total}"))
    assert [row.job for row in rows] == [
        "all four loaded, first answers",
        "classify, 10 known labels",
        "ask",
        "ask again, same picture",
        "caption, 3 beams",
        "caption, first word",
        "sentiment, 5 s of speech",
        "classify, 5,000 new labels",
        "import mmdemo",
        "python -m mmdemo --help",
    ]
    for row in rows:
        assert 0 < row.p50 <= row.p95
        assert row.peak > 1_000_000
        assert row.to_json()["n"] == row.n
    assert "ask 3/3" in told
    assert engine.predict  # it was given, so it stays open
    batches = {model.card.task: sum(model.batches) for model in shelf.models}
    # first answer, two to warm up, three timed; ask also: one for the picture, two and three again
    assert batches == {"classify": 1 + 5 + 3, "ask": 1 + 5 + 1 + 5, "caption": 1 + 5, "sentiment": 1 + 5}


def test_inputs_are_what_they_claim() -> None:
    labels = benchmark._new_labels(5_000, 1)
    assert len(set(labels)) == 5_000
    assert not set(labels) & set(benchmark._new_labels(5_000, 2))
    assert detect_speech(benchmark._speech()) is None


def test_the_made_up_voice_is_taken_for_speech(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(benchmark, "EXAMPLES", tmp_path)
    assert detect_speech(benchmark._speech()) is None


def test_n_is_checked() -> None:
    with pytest.raises(MmdemoError, match="1 or more"):
        benchmark.run(n=0)


def test_memory_figures() -> None:
    assert 1_000_000 < resident_bytes() <= peak_bytes()
    if reset_peak():
        before = peak_bytes()
        with mmap.mmap(-1, 64_000_000) as held:  # fresh pages, which no earlier test has left behind
            for place in range(0, len(held), mmap.PAGESIZE):
                held[place] = 1
        assert peak_bytes() >= before + 50_000_000
