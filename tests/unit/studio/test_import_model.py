"""Checkpoints as zips: what goes in, that it answers the same elsewhere, and all that is refused without a trace."""

from __future__ import annotations

import json
import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mmdemo.core.errors import MmdemoError
from mmdemo.models import list_models, load, probe
from mmdemo.models.checkpoint import WEIGHTS
from mmdemo.studio import import_model
from tests.sealed import seal

Change = Callable[[Path], None]


@pytest.fixture
def elsewhere(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Go to a machine that has no checkpoint at all."""

    def go() -> Path:
        place = tmp_path / "elsewhere"
        place.mkdir(exist_ok=True)
        monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(place))
        return place

    return go


def zipped(folder: Path, file: Path, *, below: str = "", extra: dict[str, bytes] | None = None) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in sorted(folder.rglob("*")):
            if entry.is_file():
                archive.write(entry, below + entry.relative_to(folder).as_posix())
        for name, content in (extra or {}).items():
            archive.writestr(name, content)
    return file


def everything_below(root: Path) -> list[str]:
    return sorted(entry.relative_to(root).as_posix() for entry in root.rglob("*"))


@pytest.mark.parametrize("task", ["ask", "classify", "caption", "sentiment"])
def test_it_answers_the_same_on_another_machine(
    root: Path, elsewhere: Callable[[], Path], tmp_path: Path, task: str
) -> None:
    asked = probe.requests(task)
    wanted = probe.answers(load(task, device="cpu").predict(asked))
    file = import_model.export(f"{task}-base", tmp_path / "out")
    assert file.name == f"{task}-base.zip"
    place = elsewhere()
    card = import_model.receive(file)

    assert (card.id, card.task, card.source) == (f"{task}-base-2", task, "received")
    assert [one.id for one in list_models(task)] == [card.id]
    assert probe.answers(load(task, card.id, device="cpu").predict(asked)) == wanted
    assert sorted(entry.name for entry in place.iterdir()) == [card.id]
    brought = {"ask": 2, "classify": 2, "caption": 1, "sentiment": 0}[task]
    assert len(list((place / card.id).glob("parts/*"))) == brought


def test_what_a_zip_holds(root: Path, tmp_path: Path) -> None:
    (root / "caption-base" / "trainer").mkdir()
    (root / "caption-base" / "trainer" / "state.json").write_text("{}")
    (root / "caption-base" / "my notes.txt").write_text("mine")
    file = import_model.export("caption-base", tmp_path / "mine.zip")
    with zipfile.ZipFile(file) as archive:
        kinds = {info.filename: info.compress_type for info in archive.infolist()}
    assert list(kinds) == [
        "caption-base/README.md",
        "caption-base/config.json",
        "caption-base/model.safetensors",
        "caption-base/probe.json",
        "caption-base/parts/vision-base/config.json",
        "caption-base/parts/vision-base/model.safetensors",
    ]
    assert {name for name, kind in kinds.items() if kind == zipfile.ZIP_STORED} == {
        "caption-base/model.safetensors",
        "caption-base/parts/vision-base/model.safetensors",
    }
    again = import_model.export("caption-base", tmp_path / "again")
    assert again.read_bytes() == file.read_bytes()


def test_what_cannot_be_exported(root: Path, tmp_path: Path) -> None:
    with pytest.raises(MmdemoError, match="Did you mean ask-base"):
        import_model.export("ask-bsae", tmp_path)
    shutil.rmtree(root / "vision-base")
    with pytest.raises(MmdemoError, match="its vision part vision-base is not there"):
        import_model.export("caption-base", tmp_path)
    assert not list(tmp_path.glob("*.zip*"))


class TestNames:
    def test_taken_ones_get_a_number(self, root: Path, tmp_path: Path) -> None:
        file = import_model.export("sentiment-base", tmp_path)
        assert [import_model.receive(file, name="mine").id for _ in range(3)] == ["mine", "mine-2", "mine-3"]
        assert import_model.receive(file).id == "sentiment-base-2"

    @pytest.mark.parametrize(
        ("given", "wanted"),
        [
            ("my model!", "my-model"),
            ("../../x", "x"),
            ("a/b", "a-b"),
            (".part", "part"),
            ("x.part", "x"),
            ("", "received"),
        ],
    )
    def test_they_are_plain(self, root: Path, tmp_path: Path, given: str, wanted: str) -> None:
        assert import_model.receive(import_model.export("sentiment-base", tmp_path), name=given).id == wanted

    def test_shipped_ones_are_refused(self, root: Path, tmp_path: Path) -> None:
        shutil.rmtree(root / "ask-base")
        with pytest.raises(MmdemoError, match="that is a shipped one"):
            import_model.receive(import_model.export("sentiment-base", tmp_path), name="ask-base")

    def test_a_bare_zip_is_called_like_its_file(self, root: Path, tmp_path: Path) -> None:
        assert import_model.receive(zipped(root / "sentiment-base", tmp_path / "Voices 2.zip")).id == "Voices-2"

    def test_one_folder_around_it_is_seen_through(self, root: Path, tmp_path: Path) -> None:
        extra = {"voices-main/.gitattributes": b"*", "__MACOSX/voices-main/._config.json": b"x"}
        file = zipped(root / "sentiment-base", tmp_path / "v.zip", below="voices-main/", extra=extra)
        card = import_model.receive(file)
        assert card.id == "voices-main"
        assert json.loads((root / "voices-main" / "received.json").read_text())["file"] == "v.zip"


def shift(folder: Path) -> None:
    """Another value in one tensor: everything loads, and the probe differs."""
    tensors = load_file(folder / WEIGHTS)
    name = max(tensors, key=lambda name: tensors[name].size)
    tensors[name] = (tensors[name].astype(np.float32) * 1.5).astype(tensors[name].dtype)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    seal(folder)


def drop(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors.pop(sorted(tensors)[0])
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    seal(folder)


def with_config(**changes: object) -> Change:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        for key, value in changes.items():
            config[key] = {**config[key], **value} if isinstance(value, dict) else value
        (folder / "config.json").write_text(json.dumps(config))

    return change


def without(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (shift, "its probe differs: input 1"),
        (drop, r"tensor \S+ is missing"),
        (with_config(schema=99), "has schema 99"),
        (with_config(task="vision"), "cannot be served"),
        (with_config(task="caption"), "cannot be loaded"),
        (with_config(labels=["neutral", "happy"]), "it has 2 labels and 3 output units"),
        (with_config(net={"width": 10**9}), "width = 1000000000, not 1 to"),
        (with_config(net={"layers": 10**6}), "layers = 1000000, not 1 to"),
        (with_config(net=[]), "net is a list, not an object"),
        (with_config(parts={"vision": {"name": "..", "hash": "x"}}), "has a path for a name"),
        (without("probe.json"), "probe.json is missing"),
        (without("config.json"), "is not a checkpoint"),
        (without(WEIGHTS), r"model.safetensors is missing"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"\x10" + bytes(60)), "is damaged"),
        (lambda folder: (folder / "model.pkl").write_bytes(b"x"), r"holds no \.pkl files"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_stays(root: Path, tmp_path: Path, change: Change, words: str) -> None:
    folder = tmp_path / "bad"
    shutil.copytree(root / "sentiment-base", folder)
    change(folder)
    before = everything_below(root)
    with pytest.raises(MmdemoError, match=words) as caught:
        import_model.receive(zipped(folder, tmp_path / "bad.zip", below="bad/"))
    assert "\n" not in str(caught.value)
    assert everything_below(root) == before


def with_link(archive: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("x/LINK.md")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(info, "/etc/passwd")


def with_many(archive: zipfile.ZipFile) -> None:
    for number in range(300):
        archive.writestr(f"x/{number}.json", "{}")


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        (lambda archive: archive.writestr("../outside.json", "{}"), "points outside"),
        (lambda archive: archive.writestr("/outside.json", "{}"), "points outside"),
        (lambda archive: archive.writestr("C:/outside.json", "{}"), "points outside"),
        (lambda archive: archive.writestr("x/../../.outside", "{}"), "points outside"),
        (lambda archive: archive.writestr("x/CONFIG.json", "{}"), "twice"),
        (lambda archive: archive.writestr("x/zeros.json", bytes(80_000_000)), "more than a checkpoint can be"),
        (with_link, "points outside"),
        (with_many, "more than a checkpoint can be"),
    ],
)
def test_a_zip_that_means_harm(root: Path, tmp_path: Path, fill: Callable[[zipfile.ZipFile], None], words: str) -> None:
    file = zipped(root / "sentiment-base", tmp_path / "bad.zip", below="x/")
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        fill(archive)
    before = everything_below(tmp_path)
    with pytest.raises(MmdemoError, match=words):
        import_model.receive(file)
    assert everything_below(tmp_path) == before


def test_encrypted_damaged_and_missing_ones(root: Path, tmp_path: Path) -> None:
    file = zipped(root / "sentiment-base", tmp_path / "locked.zip")
    content = bytearray(file.read_bytes())
    for head, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = content.find(head)
        while at >= 0:
            content[at + place] |= 1  # the flag that says "encrypted"
            at = content.find(head, at + 4)
    file.write_bytes(content)
    with pytest.raises(MmdemoError, match="is encrypted"):
        import_model.receive(file)
    file.write_bytes(b"no zip at all")
    with pytest.raises(MmdemoError, match="cannot be unpacked"):
        import_model.receive(file)
    with pytest.raises(MmdemoError, match="cannot be read"):
        import_model.receive(tmp_path / "nothing.zip")
    assert not [name for name in everything_below(root) if "received" in name]


def test_what_a_killed_process_left_goes_in_time(root: Path, tmp_path: Path) -> None:
    old, fresh = root / ".abc.received.part", root / ".def.received.part"
    for folder in (old, fresh):
        folder.mkdir()
    os.utime(old, (1, 1))
    import_model.receive(import_model.export("sentiment-base", tmp_path), name="mine")
    assert not old.exists()
    assert fresh.exists()  # somebody may be unpacking into it right now
    assert {card.id for card in list_models("sentiment")} == {"sentiment-base", "mine"}
