"""Hubs that refuse, ask to wait, break down or are not there, and disks without room: one clear sentence each."""

from __future__ import annotations

import errno
import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmdemo.core.errors import MmdemoError
from mmdemo.models.hub import client, download, local_files
from mmdemo.models.hub.download import DownloadStopped
from tests.hub_server import HubServer, captioner, reachable

ID = "someone/blip"
SECRET = "hf_" + "s3cret" * 5  # nobody's


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with reachable(tmp_path / "home", monkeypatch) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return captioner(tmp_path / "published")


def one_sentence(told: MmdemoError) -> str:
    text = str(told)
    assert SECRET not in text
    assert "\n" not in text
    assert "Traceback" not in text
    assert "http" not in text or "Accept them at" in text or "HF_ENDPOINT" in text
    return text


TROUBLES: list[tuple[dict[str, Any], str, str]] = [
    ({"status": 401}, "", "127.0.0.1 knows no model of this name. Check the name; a private one asks for a token"),
    ({"status": 401}, SECRET, "127.0.0.1 does not accept the token in HF_TOKEN. Set another one"),
    ({"status": 403, "code": "GatedRepo"}, SECRET, "only to those who have accepted their terms. Accept them at"),
    ({"status": 401, "code": "GatedRepo"}, "", "and set HF_TOKEN to a token of yours."),
    ({"status": 403}, SECRET, "only to those who have accepted their terms"),
    ({"status": 404, "code": "RepoNotFound"}, SECRET, "127.0.0.1 knows no model of this name. Check the name."),
    ({"status": 404, "code": "RevisionNotFound"}, "", "it has no revision main."),
    ({"status": 404, "code": "EntryNotFound"}, "", "lists a file of it and does not have it."),
    ({"status": 429, "headers": {"Retry-After": "600"}}, "", "too many requests from here. Try again in 10 minutes."),
    ({"status": 429, "times": -1}, "", "too many requests from here. Try again later."),
    ({"status": 500, "times": -1}, "", "127.0.0.1 is in trouble (HTTP 500). Try again later."),
    ({"status": 503, "times": -1}, "", "127.0.0.1 is in trouble (HTTP 503). Try again later."),
    ({"status": 418}, "", "127.0.0.1 is in trouble (HTTP 418)."),
]


@pytest.mark.parametrize(("trouble", "token", "words"), TROUBLES)
def test_a_refusal_is_one_sentence(
    hub: HubServer,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    trouble: dict[str, Any],
    token: str,
    words: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    hub.add(ID, folder)
    plan = download.plan(ID)
    for path, fetch in (("/api/", lambda: download.plan(ID, "main")), ("vocab.txt", lambda: download.fetch(plan))):
        hub.troubles.clear()
        hub.trouble(path, **trouble)
        with pytest.raises(MmdemoError) as told:
            fetch()
        text = one_sentence(told.value)
        assert text.startswith("someone/blip cannot be fetched: ")
        assert words.replace("revision main", "revision") in text.replace("revision main", "revision").replace(
            f"revision {plan.commit}", "revision"
        )
    assert SECRET not in caplog.text
    assert download.on_disk(ID) is None


@pytest.mark.parametrize("headers", [{"Retry-After": "3"}, {"RateLimit": '"api";r=0;t=3'}])
def test_a_hub_that_asks_to_wait_is_waited_for(
    hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    waited = list[float]()
    monkeypatch.setattr(client, "pause", lambda seconds, name, cancelled: waited.append(seconds))
    hub.add(ID, folder)
    hub.trouble("/api/", status=429, headers=headers, times=2)
    hub.trouble("vocab.txt", status=429, headers=headers)
    hub.trouble("store of model.safetensors", status=503, times=3)
    download.fetch(download.plan(ID))
    assert waited == [3.0, 3.0, 3.0, 0.01, 0.02, 0.04]


def test_waiting_can_be_stopped(hub: HubServer, folder: Path) -> None:
    hub.add(ID, folder)
    hub.trouble("/api/", status=429, headers={"Retry-After": "100"})
    begun = time.monotonic()
    with pytest.raises(DownloadStopped):
        download.plan(ID, cancelled=lambda: time.monotonic() > begun + 0.2)
    assert time.monotonic() - begun < 5


def test_dates_to_wait_until(hub: HubServer) -> None:
    assert client._asked_to_wait({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    assert client._asked_to_wait({"Retry-After": "soon"}) is None
    assert client._asked_to_wait({}) is None


def test_a_gated_model_comes_with_a_token_which_only_the_hub_sees(
    hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hub.token = SECRET
    hub.add(ID, folder, gated="manual")
    with pytest.raises(MmdemoError, match=r"Accept them at http://127\.0\.0\.1:\d+/someone/blip, and set HF_TOKEN"):
        download.plan(ID)
    (local_files.cache_folder().parent / "token").write_text(SECRET)  # as the hf command leaves it: not ours to take
    with pytest.raises(MmdemoError, match="and set HF_TOKEN"):
        download.plan(ID)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    plan = download.plan(ID)
    assert plan.gated
    download.fetch(plan)
    sent = {one.authorization for one in hub.asked_for("/resolve/")}
    assert sent == {"", f"Bearer {SECRET}"}
    assert {one.authorization for one in hub.asked_for("/store/")} == {""}
    assert SECRET not in caplog.text
    assert not [
        path
        for path in local_files.repository(ID).rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes()
    ]


def test_nobody_there_nobody_answering_and_no_hub(
    hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch, network_attempts: list[str]
) -> None:
    hub.add(ID, folder)
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "0.2")
    hub.trouble("/api/", silent=0.6)
    with pytest.raises(MmdemoError, match=r"127\.0\.0\.1 does not answer\. Try again later\."):
        download.plan(ID)
    hub.trouble("/api/", status=200)  # JSON, but nothing of a model
    with pytest.raises(MmdemoError, match=r"the hub names no commit|does not answer like a hub"):
        download.plan(ID)
    hub.add("someone/bare", folder, unsigned=True)
    with pytest.raises(MmdemoError, match=r"the hub gives no size and checksum of config\.json"):
        download.plan("someone/bare")
    monkeypatch.setenv("HF_ENDPOINT", "http://user:word@127.0.0.1:9")
    begun = time.monotonic()
    with pytest.raises(MmdemoError, match=r"there is no connection to 127\.0\.0\.1\. Check the network\.") as told:
        download.plan(ID)
    assert "word" not in str(told.value)
    assert time.monotonic() - begun < 5, "whoever has no network need not wait"
    monkeypatch.setenv("HF_ENDPOINT", "https://no.such.hub")
    with pytest.raises(MmdemoError, match=r"there is no connection to no\.such\.hub"):
        download.plan(ID)
    network_attempts.clear()
    for address in ("nowhere", "ftp://x", "http://", "http://a:port"):
        monkeypatch.setenv("HF_ENDPOINT", address)
        with pytest.raises(MmdemoError, match=r"HF_ENDPOINT is not the address of a hub"):
            download.plan(ID)


def test_a_network_that_goes_away_on_the_way(hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(ID, folder)
    plan = download.plan(ID)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(MmdemoError, match=r"someone/blip cannot be fetched: there is no connection to 127\.0\.0\.1"):
        download.fetch(plan)
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    assert download.fetch(plan) == plan.folder


def test_a_full_disk_is_seen_before_or_on_the_way(
    hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(ID, folder)
    plan = download.plan(ID)
    usage = shutil.disk_usage(folder)._replace(free=plan.missing)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage)
        with pytest.raises(MmdemoError, match=r"someone/blip does not fit into .*: 0\.00 GB are missing and 0\.00 GB"):
            download.fetch(plan)
    assert not hub.asked_for("/store/")
    part = local_files.part(ID, plan.files[-1])
    part.symlink_to("/dev/full")
    with pytest.raises(MmdemoError, match=r"does not fit into .*: the disk is full\. Make room, or set HF_HOME"):
        download.fetch(plan)
    part.unlink()
    assert download.fetch(plan) == plan.folder


def test_a_cache_that_is_a_file(hub: HubServer, folder: Path) -> None:
    hub.add(ID, folder)
    local_files.cache_folder().parent.mkdir(parents=True)
    local_files.cache_folder().write_text("")
    with pytest.raises(MmdemoError, match=r"someone/blip cannot be stored in \S+hub: (Not a directory|File exists)"):
        download.plan(ID)


def test_where_links_cannot_be_made_files_are_moved(
    hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(self: Path, target: Any, target_is_directory: bool = False) -> None:
        raise OSError(errno.EPERM, "no right to")

    hub.add(ID, folder)
    monkeypatch.setattr(Path, "symlink_to", no_links)
    place = download.fetch(download.plan(ID))
    assert not any(path.is_symlink() for path in place.iterdir())
    assert not list((local_files.repository(ID) / "blobs").iterdir())
    assert download.on_disk(ID) == place
    before = len(hub.asked)
    assert download.fetch(download.plan(ID)) == place
    assert len(hub.asked) == before
