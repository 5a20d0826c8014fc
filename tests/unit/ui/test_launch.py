"""Flags, ports and the installation check."""

from __future__ import annotations

import importlib.metadata
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import app
from mmdemo.core.errors import MmdemoError
from mmdemo.ui import launch
from mmdemo.ui.launch import Options, check_installation, find_port, parse_auth

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("options", "public"),
    [
        (Options(), False),
        (Options(host="localhost"), False),
        (Options(host="::1"), False),
        (Options(host="0.0.0.0"), True),
        (Options(host="192.168.1.5"), True),
        (Options(host="my-machine"), True),
        (Options(host="0.0.0.0", auth=("a", "b")), False),
        (Options(public=True), True),
        (Options(share=True), True),
        (Options(share=True, auth=("a", "b")), True),
        (Options(proxies=("10.0.0.1",)), True),
        (Options(proxies=("10.0.0.1",), auth=("a", "b")), False),
    ],
)
def test_who_gets_the_profile_for_others(options: Options, public: bool) -> None:
    assert bool(options.public_because) is public


def test_auth_is_user_and_password() -> None:
    assert parse_auth(None) is None
    assert parse_auth("ann:a:b") == ("ann", "a:b")
    for wrong in ("ann", "ann:", ":secret", ""):
        with pytest.raises(MmdemoError, match="--auth"):
            parse_auth(wrong)


def test_a_taken_port_is_refused_in_words_and_the_default_moves_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]

        with pytest.raises(MmdemoError, match=f"Port {taken} of 127.0.0.1 cannot be used"):
            find_port("127.0.0.1", taken)
        monkeypatch.setattr(launch, "DEFAULT_PORT", taken)
        assert find_port("127.0.0.1", None) != taken


def test_a_port_that_does_not_exist_is_refused() -> None:
    with pytest.raises(MmdemoError, match="Port 99999"):
        find_port("127.0.0.1", 99999)


def test_this_installation_is_fine() -> None:
    check_installation()


def test_a_torch_that_torchvision_was_not_made_for_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "2.13.0", "torchvision": "0.29.1"}
    monkeypatch.setattr(importlib.metadata, "version", versions.__getitem__)
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: ["numpy", "torch==2.14.1"])

    with pytest.raises(MmdemoError, match=r"made for torch 2\.14\.1 and torch 2\.13\.0 is installed"):
        check_installation()


def test_two_builds_that_do_not_import_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "2.14.1+cpu", "torchvision": "0.29.1"}
    monkeypatch.setattr(importlib.metadata, "version", versions.__getitem__)
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: ["torch==2.14.1"])

    def fail(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("mmdemo.ui.launch.importlib.import_module", fail)
    with pytest.raises(MmdemoError, match="two different builds"):
        check_installation()


def test_an_old_python_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "OLDEST_PYTHON", (3, 99))

    with pytest.raises(MmdemoError, match=r"3\.99 is needed"):
        check_installation()


def test_flags() -> None:
    flags = app.parse(["--port", "9", "--device", "cpu", "--share", "--auth", "a:b", "--public", "--mcp"])

    assert (flags.host, flags.port, flags.device, flags.auth) == ("127.0.0.1", 9, "cpu", "a:b")
    assert flags.share
    assert flags.public
    assert flags.mcp


def test_limits_of_loaded_models() -> None:
    flags = app.parse(["--max-models", "3", "--model-memory", "250"])
    assert (flags.max_models, flags.model_memory) == (3, 250)
    assert (app.parse([]).max_models, app.parse([]).model_memory) == (8, None)
    assert Options(model_memory=250).max_bytes == 250_000_000
    assert Options().max_bytes is None
    launch.check_limits(Options(max_models=1, model_memory=1))
    for wrong in (Options(max_models=0), Options(model_memory=0)):
        with pytest.raises(MmdemoError, match="one model at least has to fit"):
            launch.check_limits(wrong)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, app\n"
        "try: app.parse(['--help'])\n"
        "except SystemExit: pass\n"
        "print('gradio' in sys.modules, 'torch' in sys.modules)"
    )

    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "--share" in told
    assert told.endswith("False False\n")


def test_a_bad_flag_value_is_one_sentence_and_exit_code_1() -> None:
    done = subprocess.run(
        [sys.executable, "app.py", "--auth", "nobody"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert done.stderr.strip() == "--auth cannot be used: it needs a user and a password. Write --auth USER:PASSWORD."
