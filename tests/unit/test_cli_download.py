"""``download`` and ``models --public``: what is said before, during and after, and what Ctrl-C leaves."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmdemo.cli import main
from mmdemo.models.hub import download, installed
from tests.hub_server import HubServer, captioner, reachable, sha256

ROOT = Path(__file__).parents[2]
ID = "someone/blip"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))
    with reachable(tmp_path / "home", monkeypatch) as server:
        yield server


@pytest.fixture
def commit(hub: HubServer, tmp_path: Path) -> str:
    return hub.add(ID, captioner(tmp_path / "published"), licence="bsd-3-clause")


def test_it_says_what_it_takes_and_prints_the_folder(
    hub: HubServer, commit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["download", ID, "--yes"]) == 0
    said = capsys.readouterr()
    folder = download.on_disk(ID)
    assert said.out == f"{folder}\n"
    for words in (
        "kind       BlipForConditionalGeneration (transformers), for caption",
        "licence    bsd-3-clause",
        f"revision   {commit}",
        "size       0.5 MB",
        "to fetch   0.5 MB",
        "free disk  ",
        f"into       {folder}",
        "0.5 MB of 0.5 MB",
        f"{ID} is here, for caption: --model {ID}",
    ):
        assert words in said.err
    assert [one.id for one in installed.installed_models()] == [ID]
    assert main(["download", ID]) == 0  # nobody needs to be asked
    said = capsys.readouterr()
    assert "to fetch   nothing, it is here" in said.err
    assert said.out == f"{folder}\n"


def test_nobody_to_ask(hub: HubServer, commit: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", ID]) == 2
    said = capsys.readouterr()
    assert said.err.endswith(f"{ID} was not fetched: there is nobody here to ask. Add --yes.\n")
    assert download.on_disk(ID) is None
    assert not hub.asked_for("/store/")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["download"], "Missing argument 'ID'"),
        (["download", "blip"], "'blip' is no id of a hub. Write it as owner/name."),
        (["download", "someone/else", "--yes"], "127.0.0.1 knows no model of this name. Check the name"),
        (["download", ID, "--revision", "old"], f"{ID} cannot be fetched: it has no revision old."),
    ],
)
def test_trouble_is_one_sentence(
    hub: HubServer, commit: str, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


class Terminal:
    """The program as somebody sees it who sits before it."""

    def __init__(self, arguments: list[str], tmp_path: Path, hub: HubServer) -> None:
        dropped = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
        environ = {name: value for name, value in os.environ.items() if name not in dropped}
        environ |= {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.address, "TERM": "xterm", "COLUMNS": "100"}
        self._end, child = pty.openpty()
        os.set_blocking(self._end, False)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mmdemo", *arguments], cwd=ROOT, env=environ, stdin=child, stdout=child, stderr=child
        )
        os.close(child)
        self.text = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._end)

    def read(self) -> None:
        try:
            self.text += os.read(self._end, 65536).decode(errors="replace")
        except (BlockingIOError, OSError):
            time.sleep(0.02)

    def until(self, pattern: str) -> None:
        """Read until the text holds this; fails after a minute."""
        end = time.monotonic() + 60
        while not re.search(pattern, self.text):
            assert time.monotonic() < end, self.text
            self.read()

    def type(self, words: str) -> None:
        os.write(self._end, words.encode())

    def ended(self) -> int:
        end = time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < end:
            self.read()
        self.read()
        return self.process.wait(1)


def test_a_person_is_asked_sees_a_bar_and_may_stop(hub: HubServer, commit: str, tmp_path: Path) -> None:
    with Terminal(["download", ID], tmp_path, hub) as terminal:
        terminal.until(r"Fetch 0\.5 MB\? \[y/N\]")
        terminal.type("n\n")
        assert terminal.ended() == 1
        assert "Nothing was fetched." in terminal.text
    assert not hub.asked_for("/store/")
    hub.trouble("store of model.safetensors", slow=0.1)
    with Terminal(["download", ID], tmp_path, hub) as terminal:
        terminal.until(r"\[y/N\]")
        terminal.type("y\n")
        terminal.until(r"fetching.*\d+(\.\d)?/480\.2 kB")
        terminal.until(r"\D([12]\d\d\.\d)/480\.2 kB")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.ended() == 130
        assert f"To go on from there: python -m mmdemo download {ID}" in " ".join(terminal.text.split())
        assert "Traceback" not in terminal.text
    digest = sha256(tmp_path / "published" / "model.safetensors")
    part = tmp_path / "home" / "hub" / "models--someone--blip" / "blobs" / f"{digest}.part"
    have = part.stat().st_size
    assert 0 < have < 480_000
    assert main(["download", ID, "--yes"]) == 0
    assert hub.asked_for("/store/")[-1].range == f"bytes={have}-"


def test_the_list_of_public_models(hub: HubServer, commit: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--public", "--json"]) == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    assert {"Salesforce/blip-vqa-base", "openai/whisper-tiny.en"} <= set(rows)
    clip = rows["laion/CLIP-ViT-B-32-laion2B-s34B-b79K"]
    assert clip["alias"] == "ViT-B-32/laion2b_s34b_b79k"
    assert clip["memory"] == {"fp32": 605_109_252, "bf16": 302_554_626, "int8": 151_277_313}
    assert (clip["on_disk"], clip["licence"], clip["tasks"]) == (False, "mit", ["classify"])
    assert main(["models", "--public", "--task", "caption"]) == 0
    said = capsys.readouterr()
    assert "good at" in said.out
    assert "blip" in said.out
    assert "whisper" not in said.out
    assert "python -m mmdemo download ID" in said.err
    assert not hub.asked


def test_what_is_here_is_listed_as_here(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "dandelin/vilt-b32-finetuned-vqa"
    config = {"architectures": ["ViltForQuestionAnswering"], "model_type": "vilt"}
    hub.add(name, captioner(tmp_path / "vilt", config=config), revision="refs/pr/9")
    assert main(["download", name, "--yes"]) == 0
    assert "note       The revision is a conversion to safetensors" in capsys.readouterr().err
    assert main(["models", "--public", "--json", "--task", "ask"]) == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    assert [row["id"] for row in rows.values() if row["on_disk"]] == [name]
    assert rows[name]["folder"] == str(download.on_disk(name))
