"""Zips that people bring: refused before anything is unpacked, or unpacked as training takes them."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmdemo.core.errors import MmdemoError
from mmdemo.data.read import read_examples
from mmdemo.studio import import_data, zip_entries


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Datasets and cache of one test."""
    monkeypatch.setenv("MMDEMO_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "datasets"


def picture(seed: int) -> bytes:
    held = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (18, 18, 3), dtype=np.uint8)).save(held, "PNG")
    return held.getvalue()


def zipped(file: Path, held: Mapping[str, bytes | str]) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in held.items():
            archive.writestr(name, content)
    return file


CLASSES = {f"{label}/{seed}.png": picture(seed) for label in ("cat", "dog") for seed in range(2)}


def nothing_lies_about(root: Path) -> bool:
    return not root.exists() or not [place for place in root.iterdir() if place.name != ".locks"]


# ---------------------------------------------------------------- what is taken


def test_class_folders_within_one_folder_beside_a_readme(tmp_path: Path, root: Path) -> None:
    inside = {f"birds-main/data/{name}": content for name, content in CLASSES.items()}
    file = zipped(tmp_path / "My birds.zip", {"README.md": "hello", "birds-main/LICENSE.txt": "CC0", **inside})
    found = import_data.receive(file)
    assert (found.name, found.data, found.files) == ("My birds", root / "My birds", 6)
    assert [e.label for e in read_examples("classify", [found.data]).examples] == ["cat", "cat", "dog", "dog"]
    assert (found.data / "README.md").read_text() == "hello"


def test_one_class_folder_is_not_seen_through(tmp_path: Path) -> None:
    data = import_data.unpack(zipped(tmp_path / "x.zip", {"cat/1.png": picture(1)}))
    assert (data / "cat" / "1.png").is_file()


def test_splits_and_tables_are_unpacked_as_they_lie(tmp_path: Path) -> None:
    parts = {f"set/{split}/{name}": content for split in ("train", "test") for name, content in CLASSES.items()}
    data = import_data.unpack(zipped(tmp_path / "splits.zip", parts))
    assert read_examples("classify", [data], split="train").name == "splits/train"
    row = json.dumps({"file_name": "images/1.png", "caption": "a boat"})
    data = import_data.unpack(zipped(tmp_path / "sea.zip", {"captions.jsonl": row, "images/1.png": picture(1)}))
    assert read_examples("caption", [data]).examples[0].captions == ("a boat",)


def test_a_table_whose_name_says_nothing_is_what_training_is_given(tmp_path: Path) -> None:
    files = {"set/all.csv": "file_name,label\n1.png,cat\n2.png,dog\n", "set/1.png": picture(1), "set/2.png": "x"}
    data = import_data.unpack(zipped(tmp_path / "set.zip", files))
    assert data.name == "all.csv"
    assert len(read_examples("classify", [data]).examples) == 2


def test_what_training_cannot_read_is_left_out_and_said(tmp_path: Path) -> None:
    junk = {"__MACOSX/cat/._1.png": "x", "cat/.DS_Store": "x", "dog/Thumbs.db": "x"}
    found = import_data.receive(
        zipped(tmp_path / "x.zip", {**CLASSES, **junk, "run.exe": "MZ", "a/b.py": "x", "Make": ""})
    )
    assert found.notes == (
        "Left out, because training cannot read them: 1 .exe file, 1 .py file, 1 no ending file",
        "Left out: 3 files of the system that packed it",
    )
    assert sorted(place.name for place in found.data.iterdir()) == ["cat", "dog"]


def test_a_taken_name_gets_a_number(tmp_path: Path) -> None:
    file = zipped(tmp_path / "birds.zip", CLASSES)
    assert [import_data.receive(file).name for _ in range(3)] == ["birds", "birds-2", "birds-3"]
    assert import_data.receive(file, name="a/b").name == "a-b"
    assert import_data.receive(file.rename(tmp_path / "().zip")).name == "dataset"


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        *((name, "gb2312") for name in ("猫", "猫头鹰", "кот", "ねこ")),
        *((name, "utf-8") for name in ("猫", "猫头鹰", "кот", "ねこ", "Käse")),
        ("Käse", "cp437"),
    ],
)
def test_names_in_the_code_page_of_their_system(tmp_path: Path, name: str, encoding: str) -> None:
    written = name.encode(encoding)
    placeholder = b"\x01" * len(written)  # so that the entry is without the flag of UTF-8
    file = zipped(tmp_path / "x.zip", {f"{placeholder.decode()}/1.png": picture(1), "dog/2.png": picture(2)})
    file.write_bytes(file.read_bytes().replace(placeholder, written))
    data = import_data.unpack(file)
    assert sorted(place.name for place in data.iterdir()) == sorted([name, "dog"])


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../1.png", "points outside"),
        ("cat/../../1.png", "points outside"),
        ("/etc/1.png", "points outside"),
        ("cat\\..\\1.png", "points outside"),
        ("C:/1.png", "points outside"),
        ("cat/1\n.png", "control characters"),
        ("/".join("abcdefghijklmn") + "/1.png", "12 folders"),
    ],
)
def test_entries_that_point_elsewhere_refuse_the_whole_zip(tmp_path: Path, root: Path, name: str, why: str) -> None:
    file = zipped(tmp_path / "bad.zip", {**CLASSES, name: picture(1)})
    with pytest.raises(MmdemoError, match=why):
        import_data.unpack(file)
    assert nothing_lies_about(root)
    assert sorted(place.name for place in tmp_path.iterdir() if place.suffix == ".png") == []


@given(st.lists(st.text(st.sampled_from("a./\\:~ \u732b\u0301\n"), min_size=1, max_size=12), min_size=1, max_size=4))
def test_whatever_entries_are_called_nothing_is_written_elsewhere(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patched:
        root = Path(place) / "deep" / "datasets"
        patched.setenv("MMDEMO_DATASETS", str(root))
        file = zipped(Path(place) / "x.zip", {f"{name}.png": f"picture {number}" for number, name in enumerate(names)})
        try:
            found = import_data.receive(file)
        except MmdemoError:
            assert nothing_lies_about(root)
        else:
            unpacked = [place for place in (root / found.name).rglob("*") if place.is_file()]
            assert len(unpacked) == found.files
        assert {place.name for place in Path(place).iterdir()} <= {"x.zip", "deep"}
        assert {place.name for place in (Path(place) / "deep").glob("*")} <= {"datasets"}


def test_links_are_refused(tmp_path: Path, root: Path) -> None:
    link = zipfile.ZipInfo("cat/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(MmdemoError, match="link or a device"):
        import_data.unpack(tmp_path / "bad.zip")
    assert nothing_lies_about(root)


def test_bombs_are_refused_before_they_are_unpacked(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zip_entries, "FREE_RATIO", 1 << 20)
    file = zipped(tmp_path / "bomb.zip", {"cat/1.bmp": bytes(4 << 20)})
    with pytest.raises(MmdemoError, match="times its size"):
        import_data.unpack(file)
    monkeypatch.setattr(zip_entries, "MAX_UNPACKED", 1 << 20)
    with pytest.raises(MmdemoError, match="unpacks to 0 GB"):
        import_data.unpack(file)
    monkeypatch.setattr(zip_entries, "MAX_ENTRIES", 3)
    with pytest.raises(MmdemoError, match="4 entries and the limit is 3"):
        import_data.unpack(zipped(tmp_path / "many.zip", CLASSES))
    assert nothing_lies_about(root)


def test_twice_the_same_entry_is_refused(tmp_path: Path, root: Path) -> None:
    file = tmp_path / "twice.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("cat/1.png", picture(1))
        archive.writestr("cat/2.png", picture(2))
    file.write_bytes(file.read_bytes().replace(b"cat/2.png", b"cat/1.png"))
    with pytest.raises(MmdemoError, match="in it twice"):
        import_data.unpack(file)
    assert nothing_lies_about(root)


def test_encrypted_damaged_and_other_files_are_refused(tmp_path: Path, root: Path) -> None:
    file = zipped(tmp_path / "a.zip", CLASSES)
    content = bytearray(file.read_bytes())
    cut = tmp_path / "cut.zip"
    cut.write_bytes(content[: len(content) // 2])
    wrong = tmp_path / "wrong.zip"
    wrong.write_bytes(bytes(content).replace(picture(1)[60:70], b"0123456789"))
    at = content.find(b"PK\x01\x02")
    content[at + 8] |= 1
    file.write_bytes(content)
    with pytest.raises(MmdemoError, match="encrypted"):
        import_data.unpack(file)
    with pytest.raises(MmdemoError, match="cannot be unpacked"):
        import_data.unpack(cut)
    with pytest.raises(MmdemoError, match="cannot be unpacked"):
        import_data.unpack(tmp_path / "nowhere.zip")
    for files in ({}, {"readme.txt": "x"}, {"a.exe": "x"}):
        with pytest.raises(MmdemoError, match="nothing to learn from"):
            import_data.unpack(zipped(tmp_path / "nothing.zip", files))
    assert nothing_lies_about(root)


def test_damage_found_while_unpacking_leaves_nothing(tmp_path: Path, root: Path) -> None:
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in CLASSES.items():
            archive.writestr(name, content)
    file.write_bytes(file.read_bytes().replace(picture(1)[60:70], b"0123456789"))
    with pytest.raises(MmdemoError, match="cannot be unpacked: Bad CRC"):
        import_data.unpack(file)
    assert nothing_lies_about(root)


@pytest.mark.parametrize(
    "kind", ["metadata.jsonl", "train.csv", "part/any.parquet", "pictures.parquet", "pictures.arrow"]
)
@pytest.mark.parametrize("absolute", [True, False])
def test_tables_that_name_files_of_this_machine_are_refused(
    tmp_path: Path, root: Path, kind: str, *, absolute: bool
) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture(9))
    name = str(secret) if absolute else ("../" * (2 + kind.count("/"))) + "secret.png"
    held = io.BytesIO()
    if kind.endswith(".jsonl"):
        held.write(json.dumps({"file_name": name, "label": "x"}).encode())
    elif kind.endswith(".csv"):
        held.write(f"file_name,label\n{name},x\n".encode())
    else:
        cell = name if kind.startswith("part") else {"bytes": None, "path": name}
        table = pa.table({"image": [cell], "label": ["x"]})
        if kind.endswith(".arrow"):
            with pa.ipc.new_stream(held, table.schema) as stream:
                stream.write_table(table)
        else:
            pq.write_table(table, held)
    with pytest.raises(MmdemoError, match=r"names .*secret\.png, which is on this machine"):
        import_data.unpack(zipped(tmp_path / "x.zip", {kind: held.getvalue(), "1.png": picture(1)}))
    assert nothing_lies_about(root)


def test_a_full_disk_is_said_before_anything_is_written(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=import_data.SPARE))
    with pytest.raises(MmdemoError, match="0 MB are left on the disk"):
        import_data.unpack(zipped(tmp_path / "x.zip", CLASSES))
    assert nothing_lies_about(root)


def test_what_an_interrupted_unpacking_left_goes_after_a_day(tmp_path: Path, root: Path) -> None:
    for name, age in ((".unpacking-1", 100_000), (".unpacking-2", 100)):
        (root / name).mkdir(parents=True)
        now = (root / name).stat().st_mtime
        os.utime(root / name, (now - age, now - age))
    import_data.unpack(zipped(tmp_path / "x.zip", CLASSES))
    assert sorted(place.name for place in root.iterdir()) == [".locks", ".unpacking-2", "x"]


# ---------------------------------------------------------------- folders on this machine


def test_folders_that_are_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, content in CLASSES.items():
        (tmp_path / "birds" / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "birds" / "data" / name).write_bytes(content)
    table = tmp_path / "table.csv"
    table.write_text("file_name,label\n", encoding="utf-8")
    assert import_data.usable_folder(' "~/birds/data" ') == tmp_path / "birds" / "data"
    assert import_data.usable_folder(str(tmp_path / "birds")) == tmp_path / "birds" / "data"
    assert import_data.usable_folder(f"file://{table}") == table


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("", "No folder was given"),
        ("https://example.org/set", "address"),
        ("{tmp}/nowhere/set", "nowhere is not in it"),
        ("{tmp}/a.zip", "Drop it onto the page"),
        ("{tmp}/a.exe", "is not a folder"),
        ("~nobody-of-that-name/x", "cannot be opened"),
        ("a\0b", "cannot be opened"),
    ],
)
def test_other_things_that_are_typed_are_one_sentence(tmp_path: Path, typed: str, why: str) -> None:
    for name in ("a.zip", "a.exe"):
        (tmp_path / name).touch()
    with pytest.raises(MmdemoError, match=why):
        import_data.usable_folder(typed.format(tmp=tmp_path))
