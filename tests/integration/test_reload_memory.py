"""Ten reloads in a row leave memory where it was: the shipped checkpoints, in a process of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmdemo.core.settings import ROOT
from mmdemo.models.checkpoint import OWN

MOST = 40_000_000
"""Bytes that the process may hold more after the last reload than after the second."""

PROGRAM = """
import json, shutil, sys
from pathlib import Path
from mmdemo.serving import jobs
from mmdemo.serving.engine import Engine
from mmdemo.serving.memory import resident_bytes

task, root, example = sys.argv[1], Path(sys.argv[2]), sys.argv[3]

def answer(engine, name):
    if task == "sentiment":
        return jobs.sentiment(example, model=name, engine=engine)
    return jobs.classify(example, "cat, dog", model=name, engine=engine)

def anew(name):
    for file in list((root / name).iterdir()):  # each file replaced as a whole, with the same content
        fresh = file.with_name(file.name + ".new")
        shutil.copyfile(file, fresh)
        fresh.replace(file)

same, turns = [], []
with Engine(device="cpu") as engine:
    for _ in range(10):
        anew("mine")
        assert engine.prepare(task, "mine").seconds > 0
        answer(engine, "mine")
        same.append(resident_bytes())
with Engine(device="cpu", max_models=1) as engine:
    for turn in range(10):
        name = ("mine", "other")[turn % 2]
        assert engine.prepare(task, name).seconds > 0
        assert answer(engine, name).model == name
        assert engine.loaded == ((task, name),)
        turns.append(resident_bytes())
print(json.dumps({"same": same, "turns": turns}))
"""


@pytest.mark.parametrize(("task", "example"), [("classify", "*.jpg"), ("sentiment", "*.flac")])
def test_memory_after_ten_reloads(tmp_path: Path, task: str, example: str) -> None:
    shipped = ROOT / "checkpoints"
    for part in ("vision-base", "text-base"):
        (tmp_path / part).symlink_to(shipped / part)
    for name in ("mine", "other"):
        (tmp_path / name).mkdir()
        for file in (shipped / f"{task}-base").iterdir():
            if file.name in OWN:
                shutil.copy(file, tmp_path / name / file.name)
    brought = next(iter(sorted((ROOT / "mmdemo" / "ui" / "examples").glob(example))))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, task, str(tmp_path), str(brought)],
        cwd=ROOT,
        env={**os.environ, "MMDEMO_CHECKPOINTS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    held = json.loads(done.stdout)
    for name, sizes in held.items():
        assert sizes[-1] - sizes[1] < MOST, (name, [round(size / 1e6) for size in sizes])
