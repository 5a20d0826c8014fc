"""The upload folder, and what a request may name in it."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys
from pathlib import Path

import gradio as gr
import pytest

from mmdemo.core.settings import ROOT
from mmdemo.ui.uploads import NotUploaded, check_values, takes_files, uploaded
from mmdemo.ui.web.scratch import scratch_folder

VARIABLE = "GRADIO_TEMP_DIR"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gradio"))
    (tmp_path / "gradio" / "ab").mkdir(parents=True)
    return tmp_path / "gradio"


def test_gradio_is_not_imported_before_the_folder_is_made() -> None:
    code = "import sys, mmdemo.ui.launch, mmdemo.ui.web.scratch; sys.exit('gradio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_only_the_user_reads_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with scratch_folder() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700 or os.name == "nt"


def test_only_files_below_the_folder(folder: Path) -> None:
    file = folder / "ab" / "x.png"
    file.write_bytes(b"x")
    (folder / "ab" / "same.png").symlink_to(file)
    assert uploaded(str(file)) == str(file.resolve())
    assert uploaded(str(folder / "ab" / "same.png")) == str(file.resolve())
    for path in (str(folder), str(folder / "ab"), f"{file}/", f"{folder}/ab/../ab/x.png", "ab/x.png", None, 3):
        if path == f"{file}/" and os.name != "nt":
            continue  # the same file, oddly written
        with pytest.raises(NotUploaded):
            uploaded(path)


def test_a_folder_reached_by_a_link_is_the_same_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = folder.parent / "link"
    link.symlink_to(folder)
    monkeypatch.setenv(VARIABLE, str(link))
    (folder / "x.png").write_bytes(b"x")
    for path in (link / "x.png", folder / "x.png"):
        assert uploaded(str(path)) == str((folder / "x.png").resolve())


def test_files_outside_are_never_looked_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    lstat, place = os.lstat, str(folder.resolve())

    def noted(path: str, **more: object) -> os.stat_result:
        looked.append(os.fspath(path))
        return lstat(path, **more)

    monkeypatch.setattr(os, "lstat", noted)
    for path in ("/etc/passwd", "/etc/nothing", f"{folder}/../x", f"{folder}x/y", "//server/share/x"):
        with pytest.raises(NotUploaded):
            uploaded(path)
    assert [path for path in looked if not place.startswith(path)] == []


def test_values_come_back_clean(folder: Path) -> None:
    file = folder / "ab" / "x.png"
    file.write_bytes(b"x")
    picture, files, words, state = gr.Image(), gr.File(file_count="multiple"), gr.Textbox(), gr.State()
    given = {"path": str(file), "url": "http://x/y", "orig_name": "x.png", "is_stream": True, "meta": 3}
    clean = {"path": str(file.resolve()), "orig_name": "x.png", "meta": {"_type": "gradio.FileData"}}
    found = check_values([picture, files, words, state], [given, [given, given], "/etc/passwd", {"path": "/x"}, "more"])
    assert found == [clean, [clean, clean], "/etc/passwd", {"path": "/x"}, "more"]
    assert check_values([picture, picture, files], [None, {"path": None, "url": None}, []]) == [None, None, []]
    with pytest.raises(NotUploaded):
        check_values([words], [{"path": "http://127.0.0.1:9/x"}])


def test_a_data_address_becomes_an_upload(folder: Path) -> None:
    address = "data:image/png;base64," + base64.b64encode(b"hello").decode()
    picture = gr.Image()
    (found,) = check_values([picture], [{"url": address}])
    assert Path(found["path"]).read_bytes() == b"hello"
    assert Path(found["path"]).is_relative_to(folder.resolve())
    with pytest.raises(NotUploaded):
        check_values([picture], [{"url": "data:image/png;base64,A"}])


def test_which_components_take_files() -> None:
    assert all(
        takes_files(make()) for make in (gr.Image, gr.Audio, gr.File, gr.Gallery, gr.Video, gr.MultimodalTextbox)
    )
    assert not any(takes_files(make()) for make in (gr.Textbox, gr.Dropdown, gr.Number, gr.JSON, gr.Dataframe))
