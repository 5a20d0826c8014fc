"""The Makefile: installs once, says what it lacks, and starts the page."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make on this system")


def _make(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    # a make above this test (make test) must not hand its own flags and variables down
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that make looks at, and an interpreter that only writes down what it was asked to do."""
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$*" >> log\n', encoding="utf-8")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return tmp_path


def _log(checkout: Path) -> list[str]:
    return (checkout / "log").read_text(encoding="utf-8").splitlines()


def test_setup_installs_once(checkout: Path) -> None:
    for _ in range(2):
        assert _make("setup", cwd=checkout).returncode == 0
    (install,) = _log(checkout)
    assert install == "-m pip install --disable-pip-version-check -r requirements.txt"


def test_setup_installs_again_when_the_requirements_change(checkout: Path) -> None:
    assert _make("setup", cwd=checkout).returncode == 0
    later = (checkout / ".venv" / ".setup-done").stat().st_mtime + 10
    os.utime(checkout / "requirements.txt", (later, later))
    assert _make("setup", cwd=checkout).returncode == 0
    assert len(_log(checkout)) == 2


def test_demo_installs_the_page_only_and_starts_it(checkout: Path) -> None:
    assert _make("demo", "ARGS=--port 7999", cwd=checkout).returncode == 0
    assert _log(checkout)[-1] == "app.py --port 7999"
    assert not any("requirements-dev" in line for line in _log(checkout))


def test_test_installs_both(checkout: Path) -> None:
    assert _make("test", cwd=checkout).returncode == 0
    assert any("-r requirements.txt -r requirements-dev.txt" in line for line in _log(checkout))
    *_, side_by_side, alone = _log(checkout)
    assert side_by_side.startswith("-m pytest -n logical")
    assert side_by_side.endswith("--ignore tests/browser")
    assert alone == "-m pytest tests/browser"  # the two are all of them
    assert _make("test", "ARGS=-k some", cwd=checkout).returncode == 0
    assert _log(checkout)[-1] == "-m pytest -k some"


def test_virtual_environment_is_made(checkout: Path) -> None:
    shutil.rmtree(checkout / ".venv")
    fake = checkout / "python"
    fake.write_text(
        '#!/bin/sh\n[ "$1 $2" = "-m venv" ] && mkdir -p "$3/bin" && cp "$0" "$3/bin/python"\necho "$*" >> log\n',
        encoding="utf-8",
    )
    fake.chmod(0o755)
    assert _make("setup", f"PYTHON={fake}", cwd=checkout).returncode == 0
    assert _log(checkout)[1] == "-m venv .venv"


@pytest.mark.parametrize(("python", "words"), [("", "found none"), ("false", "false is older")])
def test_missing_or_old_python_is_a_sentence(checkout: Path, python: str, words: str) -> None:
    shutil.rmtree(checkout / ".venv")
    done = _make("setup", f"PYTHON={python}", cwd=checkout)
    assert done.returncode != 0
    assert "mmdemo needs Python 3.11 or newer" in done.stderr
    assert words in done.stderr


def test_help_names_every_target(checkout: Path) -> None:
    text = _make("help", cwd=checkout).stdout
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert [target for target in targets if target != "help" and f"make {target}" not in text] == []


def test_make_demo_serves_the_page() -> None:
    """The README's first command, as it is but for the port."""
    if _make("-q", "setup").returncode != 0:
        reason = "this checkout was not set up by make, and a test does not install"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "demo", f"ARGS=--port {port} --device cpu"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=env | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            said = ""
            while "mmdemo answers at" not in said:
                line = process.stdout.readline()
                assert line, f"the page ended after {said!r}"
                said += line
            address = f"http://127.0.0.1:{port}"
            assert address in said
            with urllib.request.urlopen(address) as page:
                assert "mmdemo" in page.read().decode("utf-8")
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=60)


if sys.platform == "win32":
    pytestmark = [pytestmark, pytest.mark.skip(reason="make is not for Windows; the README has two lines without it")]
