"""Checkpoints that people bring as a zip: unpacked once, and refused where they hold what no checkpoint holds."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from mmdemo.core.errors import MmdemoError
from mmdemo.models import fetch, load, probe


def pack(folder: Path, file: Path, *, below: str = "") -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for entry in folder.rglob("*"):
            if entry.is_file():
                archive.write(entry, below + entry.relative_to(folder).as_posix())
    return file


@pytest.mark.parametrize("below", ["", "mine/"])
def test_a_zip_answers_like_its_folder(root: Path, tmp_path: Path, below: str) -> None:
    file = pack(root / "sentiment-base", tmp_path / "mine.zip", below=below)
    asked = probe.requests("sentiment")
    wanted = probe.answers(load("sentiment", device="cpu").predict(asked))
    assert probe.answers(load("sentiment", str(file), device="cpu").predict(asked)) == wanted
    places = list((tmp_path / "cache" / "unpacked").iterdir())
    load("sentiment", str(file), device="cpu")
    assert list((tmp_path / "cache" / "unpacked").iterdir()) == places


def test_a_zip_may_bring_its_parts(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "caption-base" / "parts").mkdir()
    (root / "vision-base").rename(root / "caption-base" / "parts" / "vision-base")
    file = pack(root / "caption-base", tmp_path / "all.zip")
    monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(tmp_path / "nothing"))
    assert load("caption", str(file), device="cpu").predict(probe.requests("caption"))


def entry(name: str, *, link: bool = False) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    if link:
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (entry("../outside.json"), "points outside"),
        (entry("a/../../outside.json"), "points outside"),
        (entry("/etc/outside.json"), "points outside"),
        (entry("a\\..\\outside.json"), "points outside"),
        (entry("config.json", link=True), "points outside"),
        (entry("weights.pkl"), r"holds no \.pkl files"),
        (entry("pytorch_model.bin"), r"holds no \.bin files"),
        (entry("model.pt"), r"holds no \.pt files"),
        (entry("setup.py"), r"holds no \.py files"),
        (entry("run"), "holds no nameless files"),
    ],
    ids=lambda value: value.filename if isinstance(value, zipfile.ZipInfo) else "",
)
def test_what_no_checkpoint_holds_is_refused(root: Path, tmp_path: Path, bad: zipfile.ZipInfo, words: str) -> None:
    file = tmp_path / "bad.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(bad, "/etc/passwd")
    with pytest.raises(MmdemoError, match=f"bad.zip is refused: .*{words}"):
        load("sentiment", str(file), device="cpu")
    assert not list((tmp_path / "cache").rglob("*.*"))
    assert not (tmp_path / "outside.json").exists()


def test_too_much_is_refused(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MAX_UNPACKED", 1000)
    file = tmp_path / "bomb.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", " " * 2000)
    with pytest.raises(MmdemoError, match=r"bomb.zip is refused: it unpacks to more"):
        load("sentiment", str(file), device="cpu")


def test_damaged_and_missing_zips_are_named(root: Path, tmp_path: Path) -> None:
    good = pack(root / "sentiment-base", tmp_path / "good.zip").read_bytes()
    damaged = bytearray(good)
    damaged[200:260] = b"\xff" * 60
    for content in (b"", b"not a zip", good[: len(good) // 2], bytes(damaged)):
        file = tmp_path / "broken.zip"
        file.write_bytes(content)
        with pytest.raises(MmdemoError, match=r"broken.zip cannot be unpacked"):
            load("sentiment", str(file), device="cpu")
    with pytest.raises(MmdemoError, match=r"gone.zip cannot be read"):
        load("sentiment", str(tmp_path / "gone.zip"), device="cpu")
    empty = tmp_path / "empty.zip"
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("readme.md", "hello")
    with pytest.raises(MmdemoError, match=r"empty.zip is not a checkpoint"):
        load("sentiment", str(empty), device="cpu")


def test_a_hub_id_that_is_not_on_disk_is_said_to_be(root: Path) -> None:
    with pytest.raises(MmdemoError, match=r"someone/model is not on this machine"):
        load("sentiment", "someone/model", device="cpu")
