"""Runs as processes of their own, and as folders: whatever happens to a process, its folder tells of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mmdemo import runs
from mmdemo.core.config import CheckpointConfig, EncoderRef
from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import ROOT
from mmdemo.runs import Run, State, queue, supervise
from mmdemo.runs.reading import GONE, size_of
from mmdemo.train.folder import TRAINER, born, me, read_json, write_json
from mmdemo.train.request import TrainRequest


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where runs lie. Whatever a test leaves running is ended."""
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(tmp_path / "checkpoints"))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "data").mkdir()
    yield tmp_path / "checkpoints"
    for run in runs.list_runs():
        if run.active and not (run.folder / TRAINER / "made").exists():
            runs.stop(run.name)


def wanted(place: Path, *overrides: str) -> TrainRequest:
    return TrainRequest(task="classify", data=(place.parent / "data",), overrides=overrides, device="cpu")


def until(name: str, true: Callable[[Run], object]) -> Run:
    end = time.monotonic() + 30
    while not true(run := runs.read_run(name)):
        assert time.monotonic() < end, run
        time.sleep(0.02)
    return run


def made(place: Path, name: str, status: dict[str, Any] | None = None, **files: dict[str, Any]) -> Path:
    """A run as some process may have left it."""
    folder = place / name / TRAINER
    folder.mkdir(parents=True)
    (folder / "made").touch()
    request = {"arguments": ["ask", "--data", str(place.parent / "data")], "task": "ask", "created": 5.0}
    write_json({"data": [str(place.parent / "data")], "source": "page", **request}, folder / "request.json")
    if status is not None:
        write_json(status, folder / "status.json")
    for file, value in files.items():
        write_json(value, folder / f"{file}.json")
    return folder


CHILD = {"child": me()["pid"], "child_born": me()["born"]}
DEAD = {"pid": 2**22 + 1, "born": "never", "time": 50.0}

# ---------------------------------------------------------------- processes


def test_a_run_that_cannot_begin_says_why_with_code_and_log(place: Path) -> None:
    run = runs.start(wanted(place, "nonsense=1"), name="wrong")
    assert run.state is State.QUEUED
    assert run.source == "page"
    run = until("wrong", lambda run: run.exit_code is not None)
    assert run.state is State.FAILED
    assert run.reason == "--set nonsense=1 is not understood: it must read section.key=value."
    assert run.exit_code == 2
    assert "is not understood" in runs.log_end("wrong")
    assert run.resumable
    assert not run.model
    assert queue.waiting("cpu") == []


def test_runs_wait_for_the_device_and_one_that_is_stopped_lets_the_next_pass(place: Path) -> None:
    with queue.turn("cpu", place / "earlier", wait=False, say=print):
        first = runs.start(wanted(place), name="first")
        assert (first.place, first.ahead) == (1, ("earlier",))
        runs.start(wanted(place), name="second")
        second = until("second", lambda run: read_json(run.folder / TRAINER / "supervisor.json").get("child"))
        assert second.state is State.QUEUED
        assert second.place == 2
        assert set(second.ahead) == {"first", "earlier"}
        with pytest.raises(MmdemoError, match="There is a first already"):
            runs.start(wanted(place), name="first")
        for change in (lambda: runs.rename("first", "other"), lambda: runs.delete("first")):
            with pytest.raises(MmdemoError, match=r"first cannot be \w+: it is running"):
                change()
        with pytest.raises(MmdemoError, match="second cannot be resumed: second is running"):
            runs.resume("second")
        runs.stop("first")
        first = runs.read_run("first")
        assert first.state is State.STOPPED
        assert first.reason == ""
        assert first.resumable
        with pytest.raises(MmdemoError, match="it is not running"):
            runs.stop("first")
        second = runs.read_run("second")
        assert (second.place, second.ahead) == (1, ("earlier",))
        again = runs.resume("first")
        assert again.state is State.QUEUED
        assert again.place == 2
        assert not (again.folder / TRAINER / "stop").exists()


def test_the_starter_may_be_killed(place: Path) -> None:
    code = (
        "import sys, time; from mmdemo import runs; from mmdemo.train.request import TrainRequest\n"
        "request = TrainRequest.from_argv(sys.argv[1:])\n"
        "print(runs.start(request, name='outlives').state, flush=True); time.sleep(60)"
    )
    with queue.turn("cpu", place / "earlier", wait=False, say=print):
        page = subprocess.Popen(
            [sys.executable, "-c", code, *wanted(place).to_argv()],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert page.stdout is not None
        assert page.stdout.readline().strip() == b"queued"
        os.killpg(page.pid, signal.SIGKILL)  # with all that belongs to its terminal
        page.communicate()
        run = until("outlives", lambda run: read_json(run.folder / TRAINER / "supervisor.json").get("child"))
        time.sleep(0.3)
        assert runs.read_run("outlives").state is State.QUEUED
        told = read_json(run.folder / TRAINER / "supervisor.json")
        os.kill(told["child"], signal.SIGKILL)
        run = until("outlives", lambda run: run.exit_code is not None)
        assert run.state is State.FAILED
        assert run.reason == "Its process was killed by signal 9, as happens when memory runs out."
        assert run.exit_code == 137


def test_a_supervisor_that_dies_at_once_leaves_no_place_in_the_queue(place: Path) -> None:
    run = runs.start(wanted(place), name="alone")
    os.kill(int(read_json(run.folder / TRAINER / "supervisor.json")["pid"]), signal.SIGKILL)
    until("alone", lambda run: not run.active)
    assert queue.waiting("cpu") == []


def test_of_several_who_resume_a_run_one_does(place: Path) -> None:
    made(place, "m", {"state": "stopped", **DEAD})
    (place / "m" / TRAINER / "made").unlink()
    said: list[str] = []

    def resume() -> None:
        try:
            said.append(runs.resume("m").state)
        except MmdemoError as error:
            said.append(str(error))

    several = [threading.Thread(target=resume) for _ in range(4)]
    for one in several:
        one.start()
    for one in several:
        one.join()
    assert sorted(said)[:3] == ["m cannot be resumed: m is running."] * 3
    assert sorted(said)[3] == State.QUEUED


def test_asked_twice_a_run_is_ended_with_all_that_it_started(place: Path) -> None:
    code = (
        "import signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])\n"
        "print(child.pid, flush=True); child.wait()"
    )
    deaf = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert deaf.stdout is not None
    child = int(deaf.stdout.readline())
    told = {"pid": deaf.pid, "born": born(deaf.pid), "time": time.time()}
    folder = made(place, "deaf", {"state": "training", **told})
    runs.stop("deaf")
    assert runs.read_run("deaf").state is State.STOPPING
    assert deaf.poll() is None
    runs.stop("deaf")
    deaf.communicate(timeout=30)
    end = time.monotonic() + 30
    while born(child):
        assert time.monotonic() < end
    assert runs.read_run("deaf").state is State.STOPPED
    assert runs.read_run("deaf").resumable
    assert (folder / "stop").exists()


def test_without_room_to_say_so_a_run_is_not_left_half_stopped(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(place, "run", {"state": "training", **me()})

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(Path, "write_text", full)
        with pytest.raises(MmdemoError, match="run cannot be told to stop: No space left on device"):
            runs.stop("run")
        with pytest.raises(MmdemoError, match="new cannot be started: No space left on device"):
            runs.start(wanted(place), name="new")
    assert not (folder / "stop").exists()
    assert not (folder.parent.parent / "new").exists()


def test_what_cannot_be_started(place: Path) -> None:
    with pytest.raises(MmdemoError, match="x cannot be started: there is no /nowhere"):
        runs.start(TrainRequest(task="classify", data=(Path("/nowhere"),)), name="x")
    for name in ("", ".x", "-x", "a/b", "..", "a b", "x" * 61, "ask-base", "x.part", "x.old", "con", "nul.txt", "x."):
        with pytest.raises(MmdemoError, match="cannot be the name of a run"):
            runs.start(wanted(place), name=name)
    assert list(place.iterdir()) == []


# ---------------------------------------------------------------- folders


@pytest.mark.parametrize(
    ("status", "files", "state", "reason"),
    [
        ({"state": "training", **DEAD}, {}, State.FAILED, GONE),
        ({"state": "training", **DEAD}, {"exit": {"code": 137, "signal": 9}}, State.FAILED, "killed by signal 9"),
        ({"state": "training", **DEAD}, {"exit": {"code": 139, "signal": 11}}, State.FAILED, "signal 11 (SIGSEGV)"),
        ({"state": "preparing", **DEAD}, {"exit": {"code": 1, "signal": None}}, State.FAILED, "ended with code 1"),
        ({"state": "queued", "time": 5.0}, {}, State.FAILED, GONE),
        ({"state": "failed", "error": "No answers.", **DEAD}, {"exit": {"code": 2}}, State.FAILED, "No answers."),
        ({"state": "stopped", **DEAD}, {}, State.STOPPED, ""),
        ({"state": "done", **DEAD}, {}, State.DONE, ""),
        ({"state": "training", **me()}, {}, State.TRAINING, ""),
        ({"state": "finishing", **me()}, {}, State.FINISHING, ""),
        ({"state": "training", **me(), "born": "00000000-1"}, {}, State.FAILED, GONE),  # another process by now
        ({"state": "queued"}, {"supervisor": {**me(), "child": 0}}, State.PREPARING, ""),
        ({"state": "queued"}, {"supervisor": {**DEAD, **CHILD}}, State.PREPARING, ""),
        ({"state": "done", **DEAD}, {"supervisor": me()}, State.DONE, ""),
        (None, {}, State.FAILED, GONE),
    ],
)  # fmt: skip
def test_state_as_the_folder_tells_it(
    place: Path, status: dict[str, Any] | None, files: dict[str, Any], state: State, reason: str
) -> None:
    made(place, "run", status, **files)
    run = runs.read_run("run")
    assert run.state is state
    assert reason in run.reason
    assert bool(run.reason) == (state is State.FAILED)
    assert run.resumable == (state in {State.FAILED, State.STOPPED})
    assert bool(run.why_not) != run.resumable


def test_a_stop_file_is_seen(place: Path) -> None:
    folder = made(place, "run", {"state": "training", **me()})
    runs.stop("run")
    assert (folder / "stop").read_text() == "stop\n"
    assert runs.read_run("run").state is State.STOPPING
    write_json({"state": "training", **DEAD}, folder / "status.json")
    assert runs.read_run("run").state is State.FAILED, "it was killed as it stopped"
    (folder / "stop").write_text("now\n")
    assert runs.read_run("run").state is State.STOPPED


def test_progress_and_times_of_a_run(place: Path) -> None:
    figures = {"top1": 0.5}
    told = {"step": 7, "steps": 20, "epoch": 1.5, "loss": 0.25, "figures": figures, "metric": "top1", "speed": 2.0}
    now = time.time()
    status = {"state": "training", **me(), **told, "seconds": 30.0, "seconds_left": 6.5, "time": now - 1}
    folder = made(place, "run", status)
    write_json({"settings": {"train": {"epochs": 4.0, "tune": "head"}}}, folder / "plan.json")
    run = runs.read_run("run")
    assert (run.step, run.steps, run.epoch, run.epochs, run.loss) == (7, 20, 1.5, 4.0, 0.25)
    assert run.figures == figures
    assert (run.metric, run.speed, run.seconds_left) == ("top1", 2.0, 6.5)
    assert 31 <= run.seconds < 40
    assert run.memory > 1_000_000
    assert run.size > 0
    assert run.created == 5.0
    assert run.ended is None
    assert run.settings["tune"] == "head"
    assert run.base == "ask-base"
    assert run.command.startswith("python -m mmdemo train ask --data ")
    assert not run.model


def test_a_run_of_an_older_version(place: Path) -> None:
    folder = place / "old"
    (folder / TRAINER).mkdir(parents=True)
    write_json({"command": "python -m mmdemo train ask", "settings": {"epochs": 6.0}}, folder / TRAINER / "plan.json")
    events = [{"time": 100.0 + i, "step": i, "loss": 1.0} for i in range(1, 5000)]
    events.append({"time": 5200.0, "step": 5000, "accuracy": 0.5})
    (folder / TRAINER / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events) + '{"ste')
    (damaged,) = runs.list_runs()
    assert damaged.state is State.DAMAGED
    assert "nothing says for which task it is" in damaged.reason
    (folder / "config.json").write_text(CheckpointConfig(task="ask", net={}).to_json())
    (run,) = runs.list_runs()
    assert run.state is State.DONE
    assert run.seconds == 5099.0
    assert run.figures == {"accuracy": 0.5}
    assert run.step == 5000
    assert run.settings == {"epochs": 6.0}
    assert run.command == "python -m mmdemo train ask"
    write_json({"state": "stopped", **DEAD}, folder / TRAINER / "status.json")
    with pytest.raises(MmdemoError, match="old cannot be resumed: old was started by an older version"):
        runs.resume("old")
    drawn = runs.curve("old")
    assert len(drawn["loss"]) <= runs.POINTS
    assert drawn["figures"] == {"accuracy": [(5000, 0.5)]}


def test_what_is_broken_is_listed_with_file_and_reason(place: Path) -> None:
    (place / "stranger").mkdir()
    (place / "empty" / TRAINER).mkdir(parents=True)
    made(place, "gone.old", {"state": "done"})
    for number, text in enumerate(("{", "[]", '"x"', "\x00", '{"state": 7, "pid": "x", "step": "y", "figures": 3}')):
        folder = made(place, f"broken{number}", {})
        (folder / "status.json").write_text(text)
    (made(place, "torn", {"state": "done"}) / "request.json").write_text('{"arguments": 3, "data": {}, "task": ')
    (place / "file").write_text("")
    found = {run.name: run for run in runs.list_runs()}
    assert set(found) == {*(f"broken{number}" for number in range(5)), "torn"}
    for number in range(4):
        run = found[f"broken{number}"]
        assert run.state is State.DAMAGED
        assert "trainer/status.json cannot be read" in run.reason
    assert found["broken4"].state is State.FAILED
    assert found["torn"].state is State.DAMAGED
    assert "trainer/request.json cannot be read" in found["torn"].reason
    with pytest.raises(MmdemoError, match=r"There is no run 'brokn1'.*Did you mean broken1"):
        runs.read_run("brokn1")
    for name in ("../checkpoints/broken1", "", ".", "..", "gone.old"):
        with pytest.raises(MmdemoError, match="There is no run"):
            runs.read_run(name)


def test_a_resumed_run_whose_data_are_gone(place: Path) -> None:
    made(place, "run", {"state": "stopped", **DEAD})
    shutil.rmtree(place.parent / "data")
    with pytest.raises(MmdemoError, match=r"run cannot be resumed: its data .*data is not there any more"):
        runs.resume("run")


def test_a_long_list_reads_no_whole_events(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        folder = made(place, f"run{number}", {"state": "done", **DEAD})
        (folder / "events.jsonl").write_bytes(b'{"time": 1.0, "step": 1, "loss": 1.0}\n' * 20_000)
    read: list[int] = []
    before = Path.read_bytes

    def counted(self: Path) -> bytes:
        found = before(self)
        read.append(len(found))
        return found

    monkeypatch.setattr(Path, "read_bytes", counted)
    monkeypatch.setattr(Path, "read_text", lambda self, **_: counted(self).decode())
    assert len(runs.list_runs()) == 30
    assert sum(read) < 200_000


def test_the_size_of_a_run_follows_its_files(place: Path) -> None:
    folder = made(place, "run", {"state": "done"}).parent
    before = size_of(folder)
    (folder / "model.safetensors").write_bytes(b"x" * 1000)
    assert size_of(folder) == before + 1000


# ---------------------------------------------------------------- rename, delete


def test_renamed_it_says_its_new_name_everywhere(place: Path) -> None:
    folder = made(place, "old", {"state": "done", **DEAD})
    command = "python -m mmdemo train ask --data x --out old --config old"
    write_json({"command": command}, folder / "plan.json")
    write_json({"command": command, "metrics": []}, folder.parent / "metrics.json")
    write_json({"arguments": ["ask", "--out", "/somewhere/old"], "task": "ask"}, folder / "request.json")
    card = f'---\nmodel-index:\n- name: "old"\n---\n\n# old\n\nTrained on old pictures.\n\n```\n{command}\n```\n'
    (folder.parent / "README.md").write_text(card)
    run = runs.rename("old", "new")
    assert run.name == "new"
    assert not (place / "old").exists()
    said = (place / "new" / "README.md").read_text()
    assert '- name: "new"\n' in said
    assert "\n# new\n" in said
    assert "Trained on old pictures." in said
    assert "--out new --config old" in said
    assert read_json(place / "new" / "metrics.json")["command"].endswith("--out new --config old")
    assert read_json(place / "new" / TRAINER / "plan.json")["command"].endswith("--out new --config old")
    request = read_json(place / "new" / TRAINER / "request.json")
    assert request["request"] == {"task": "ask", "data": [], "out": str(place / "new")}
    assert "arguments" not in request
    assert request["out"] == str(place / "new")


def test_a_rename_that_the_disk_has_no_room_for_has_not_happened(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(place, "old", {"state": "stopped", **DEAD})

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(Path, "write_text", full)
        with pytest.raises(MmdemoError, match="old cannot be renamed: No space left on device"):
            runs.rename("old", "new")
    assert folder.is_dir()
    assert not (place / "new").exists()


def test_how_a_run_ended_is_written_where_the_disk_has_no_room(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = {**me(), "child": DEAD["pid"], "child_born": DEAD["born"]}
    folder = made(place, "run", {"state": "training", **DEAD}, supervisor=watch)
    (folder / supervise.ROOM).write_bytes(b" " * supervise.ROOM_BYTES)
    (folder / "output.txt").write_text("The state cannot be saved: the disk is full.\n", encoding="utf-8")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(supervise, "write_json", full)
        supervise._note_end(folder, 1)
    assert read_json(folder / "exit.json")["code"] == 1
    assert runs.read_run("run").reason == "The state cannot be saved: the disk is full."
    assert not (folder / supervise.ROOM).exists()


def test_what_is_not_renamed_or_deleted(place: Path) -> None:
    made(place, "one", {"state": "done", **DEAD})
    made(place, "two", {"state": "done", **DEAD})
    made(place, "ask-base", {"state": "done", **DEAD})
    made(place, "busy", {"state": "training", **me()})
    config = CheckpointConfig(task="ask", net={}, parts={"vision": EncoderRef(name="one", hash="0" * 64)})
    (place / "two" / "config.json").write_text(config.to_json())
    for name, why in (
        ("ask-base", "it comes with the program"),
        ("busy", "it is running"),
        ("one", "two cannot be loaded without it"),
    ):
        with pytest.raises(MmdemoError, match=f"{name} cannot be renamed: {why}"):
            runs.rename(name, "other")
        with pytest.raises(MmdemoError, match=f"{name} cannot be deleted: {why}"):
            runs.delete(name)
    with pytest.raises(MmdemoError, match="two cannot be renamed: there is a one already"):
        runs.rename("two", "one")
    with pytest.raises(MmdemoError, match="cannot be the name of a run"):
        runs.rename("two", "../two")
    with pytest.raises(MmdemoError, match="There is no run"):
        runs.delete("../checkpoints")
    assert {entry.name for entry in place.iterdir()} == {"one", "two", "ask-base", "busy"}


def test_deleted_nothing_is_left_and_what_a_link_points_to_stays(place: Path) -> None:
    made(place, "one", {"state": "done", **DEAD})
    (place / ".before.17.old").mkdir()
    runs.delete("one")
    assert list(place.iterdir()) == []
    made(place.parent, "theirs", {"state": "done", **DEAD})
    (place / "link").symlink_to(place.parent / "theirs")
    runs.delete("link")
    assert list(place.iterdir()) == []
    assert (place.parent / "theirs" / TRAINER / "status.json").exists()
