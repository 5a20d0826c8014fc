"""One training at a time on a device: in the order of coming, and nobody waits for the dead."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mmdemo.core.settings import ROOT
from mmdemo.runs import queue
from mmdemo.train.folder import TRAINER, born, lives, me, read_json, write_json
from mmdemo.train.request import TrainRequest

WAITER = """
import sys
from pathlib import Path
from mmdemo.runs import queue
queue.PAUSE = 0.02
name, log = sys.argv[1:]
def say(text):
    with open(log, "a") as file:
        file.write(f"{name} hears: {text}\\n")
with queue.turn("cpu", Path(name), wait=True, say=say):
    say("its turn")
    if name == "holds":
        sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path))
    monkeypatch.setattr(queue, "PAUSE", 0.02)
    return tmp_path


@contextmanager
def waiter(name: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for its turn, as a run of that name."""
    process = subprocess.Popen(
        [sys.executable, "-c", WAITER, name, str(folder / "log")], cwd=ROOT, stdin=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.01)


def names() -> list[str]:
    return [ticket.run for ticket in queue.waiting("cpu")]


def test_first_come_first_served_and_the_dead_are_passed_over(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with waiter("holds", tmp_path) as holds:
        until(lambda: queue.holder("cpu"))
        with waiter("second", tmp_path) as second:
            until(lambda: names() == ["second"])
            with waiter("third", tmp_path):
                until(lambda: names() == ["second", "third"])
                with waiter("fourth", tmp_path) as fourth:
                    until(lambda: names() == ["second", "third", "fourth"])
                    until(lambda: "fourth hears: waiting for cpu: holds, second, third first" in log.read_text())
                    second.send_signal(signal.SIGKILL)
                    until(lambda: names() == ["third", "fourth"])
                    assert "its turn" not in log.read_text().partition("holds hears: its turn\n")[2]
                    holds.send_signal(signal.SIGKILL)  # with the lock in its hands
                    assert fourth.wait(timeout=30) == 0
    turns = [line.split()[0] for line in log.read_text().splitlines() if line.endswith("its turn")]
    assert turns == ["holds", "third", "fourth"]
    assert names() == []
    assert queue.holder("cpu") is None


def test_who_does_not_wait_goes_on_beside(tmp_path: Path) -> None:
    said: list[str] = []
    with queue.turn("cpu", tmp_path / "first", wait=False, say=said.append):
        now = queue.holder("cpu")
        assert now is not None
        assert now.run == "first"
        assert said == []
        with queue.turn("cpu", tmp_path / "other", wait=False, say=said.append):
            assert said == ["first is being trained on cpu too; --queue would wait for it"]
        now = queue.holder("cpu")
        assert now is not None
        assert now.run == "first"
    assert queue.holder("cpu") is None


def test_a_ticket_is_taken_over_with_its_place(tmp_path: Path) -> None:
    one = queue.join("cpu", tmp_path / "one")
    queue.join("cpu", tmp_path / "two")
    write_json({**read_json(one.file), "pid": 2**22 + 1, "born": "never"}, one.file)  # its process has gone
    assert names() == ["two"]
    again = queue.join("cpu", tmp_path / "one")
    assert again.file == one.file
    assert names() == ["one", "two"]
    queue.forget(tmp_path / "one")
    assert names() == ["two"]


def test_a_run_that_waits_is_given_a_folder_and_one_that_gives_up_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    waits = queue.announced(folder, TrainRequest(task="ask", data=(Path("/d"),)), device="cpu")
    with waits:
        assert read_json(folder / TRAINER / "status.json")["state"] == "queued"
        assert read_json(folder / TRAINER / "request.json")["request"]["data"] == ["/d"]
    shutil.rmtree(folder)
    with pytest.raises(KeyboardInterrupt), queue.announced(folder, TrainRequest(task="ask", data=()), device="cpu"):
        raise KeyboardInterrupt
    assert read_json(folder / TRAINER / "status.json")["state"] == "stopped"
    (tmp_path / "desk").mkdir()
    with queue.announced(tmp_path / "desk", TrainRequest(task="ask", data=()), device="cpu"):
        assert not list((tmp_path / "desk").iterdir()), "not in what may be somebody else's folder"


def test_auto_is_a_device_that_is_found_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert queue.device_of("auto") in {"cpu", "mps"}
    assert queue.device_of("cuda") == "cuda"
    code = "import sys; from mmdemo import runs; runs.queue.device_of('auto'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_cards_of_a_machine_are_devices_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    queue.join("cuda", tmp_path / "one")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert queue.waiting("cuda") == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert [ticket.run for ticket in queue.waiting("cuda")] == ["one"]


def test_a_number_that_another_process_has_now_is_not_the_process_of_before() -> None:
    assert lives(me())
    assert not lives({**me(), "born": "00000000-1"})
    assert not lives({"pid": os.getpid(), "time": 1.0}), "it was started after that was written"
    assert lives({"pid": os.getpid(), "time": time.time()})
    assert not lives({})
    assert not lives({"pid": "7"})
    assert not lives({"pid": 2**22 + 1, "born": "x"})
    child = subprocess.Popen([sys.executable, "-c", ""])
    until(lambda: not born(child.pid))  # ended, though nobody has asked how
    assert not lives({"pid": child.pid, "time": time.time()})
    child.wait()
