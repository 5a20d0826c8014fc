"""Files that cannot be decoded are found once, named, and remembered."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmdemo.data import readable as module
from mmdemo.data.features import file_hashes
from mmdemo.data.grouping import content_key
from mmdemo.data.problems import left_out
from mmdemo.data.read import Example, read_examples
from mmdemo.data.readable import facts, readable
from tests.unit.data.made import write_clip, write_csv, write_picture


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))


def test_what_cannot_be_decoded_is_named_with_its_line(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", 1)
    (tmp_path / "b.png").write_bytes(b"<html>no picture</html>")
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes()[:200])
    rows = [{"file_name": f"{name}.png", "label": name} for name in "abcb"]
    table = write_csv(tmp_path / "metadata.csv", rows)
    kept, problems = readable(read_examples("classify", [tmp_path]).examples, "classify")
    assert [e.label for e in kept] == ["a"]
    assert [(p.file, p.line) for p in problems] == [("b.png", 3), ("c.png", 4)]
    assert left_out(problems) == (
        f"2 files could not be read and were left out, first b.png (line 3 of {table}): {problems[0].why}"
    )
    assert "web page" in problems[0].why
    assert "damaged" in problems[1].why
    assert left_out(problems[1:]).startswith("1 file could not be read and was left out, c.png (line 4 of ")


def test_clips(tmp_path: Path) -> None:
    files = [
        write_clip(tmp_path / "long.wav", 1, seconds=0.8),
        write_clip(tmp_path / "quiet.wav", 2, seconds=0.3, level=0.0),
    ]
    (tmp_path / "phone.m4a").write_bytes(b"\0\0\0\x20ftypM4A \0\0\0\0" + b"\0" * 64)
    found = facts([*files, tmp_path / "phone.m4a"], "sentiment")
    assert [found[file].seconds for file in files] == [0.8, 0.3]
    assert [found[file].silent for file in files] == [False, True]
    assert found[files[0]].content == content_key(files[0])
    assert "an M4A sound" in found[tmp_path / "phone.m4a"].why
    assert "cannot be decoded here" in found[tmp_path / "phone.m4a"].why


def test_a_picture_is_no_clip(tmp_path: Path) -> None:
    file = write_picture(tmp_path / "a.png", 1)
    assert facts([file], "classify")[file].why == ""
    assert "PNG picture" in facts([file], "sentiment")[file].why


def test_nothing_is_decoded_twice_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, other = write_picture(tmp_path / "a.png", 1), write_picture(tmp_path / "b.png", 2)
    looked: list[str] = []
    look = module._looked_at
    monkeypatch.setattr(module, "_looked_at", lambda one, kind: (looked.append(one.name), look(one, kind))[1])
    first = facts([file, other], "classify")
    assert sorted(looked) == ["a.png", "b.png"]
    assert facts([other, file], "classify") == first
    assert len(looked) == 2
    file.write_bytes(b"broken")
    os.utime(file, ns=(1, 1))
    assert facts([file, other], "classify")[file].why != ""
    assert looked[2:] == ["a.png"]


def test_text_alone_needs_no_file() -> None:
    example = Example(file=None, captions=("A dog.",))
    assert readable([example], "caption") == ((example,), ())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes and no such names here")
def test_links_to_nothing_pipes_and_names_that_are_no_text(tmp_path: Path) -> None:
    """What real folders hold: none of it ends the reading, and each has its reason."""
    folder = tmp_path / "set"
    for label in ("cup", "hat"):
        (folder / label).mkdir(parents=True)
        write_picture(folder / label / "a.png", len(label + label[0]))
    odd = folder / "cup"
    (odd / "gone.png").symlink_to("/nowhere.png")
    (odd / "loop.png").symlink_to("loop.png")
    (odd / "device.png").symlink_to("/dev/zero")
    os.mkfifo(odd / "pipe.png")
    (odd / "folder.png").mkdir()
    name = os.fsdecode(b"caf\xe9.png")
    write_picture(odd / name, 5)

    read = read_examples("classify", [folder])
    kept, problems = readable(read.examples, "classify")

    assert sorted(Path(e.file or "").name for e in kept) == ["a.png", "a.png", name]
    assert {Path(p.file).name: p.why for p in problems} == {
        "device.png": "device.png is not an ordinary file",
        "gone.png": "there is no file gone.png",
        "loop.png": "too many levels of symbolic links",
        "pipe.png": "pipe.png is not an ordinary file",
    }
    assert facts([odd / name], "classify")[odd / name].why == ""  # read back from the notes
    assert set(file_hashes([odd / name])) == {odd / name}


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken").write_text("a file where the cache's folder should be")
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "taken"))
    write_picture(tmp_path / "a.png", 1)
    assert facts([tmp_path / "a.png"], "classify")[tmp_path / "a.png"].why == ""
