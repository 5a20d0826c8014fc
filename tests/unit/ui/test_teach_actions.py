"""What a press in the tab Teach does to the disk."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path
from typing import Any

import pytest

from mmdemo.core.errors import MmdemoError
from mmdemo.studio import datasets
from mmdemo.ui.examples import EXAMPLES_DIR
from mmdemo.ui.teach import actions as act
from mmdemo.ui.teach import lists as teach_lists
from mmdemo.ui.teach.data import Selection, own_set, stamp_of
from mmdemo.ui.thumbs import player, small_picture


@pytest.fixture(autouse=True)
def datasets_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMDEMO_DATASETS", str(tmp_path / "datasets"))


@pytest.fixture
def picture(tmp_path: Path) -> str:
    return str(shutil.copy(EXAMPLES_DIR / "cat.jpg", tmp_path / "upload.jpg"))


def at(task: str = "classify", **more: Any) -> Selection:
    given: dict[str, Any] = {"source": "hand", "name": "", "label": "", "shown": 48, "selected": "", "pressed": ""}
    return Selection(task=task, language="en", **{**given, **more})


def test_the_first_class_makes_a_set_of_its_own_name() -> None:
    moved = act.add_class(at(), "cat, a red car")

    assert (moved.name, moved.label) == ("my-pictures", "cat")
    assert datasets.read_dataset("my-pictures").classes == ("cat", "a red car")
    assert own_set(at()) == "my-pictures-2"
    assert own_set(at(name="my-pictures")) == "my-pictures"


def test_pictures_go_to_the_class_that_is_chosen_and_broken_ones_keep_nobody_out(picture: str, tmp_path: Path) -> None:
    act.add_class(at(), "cat, dog")
    broken = tmp_path / "broken.jpg"
    broken.write_text("no picture")
    here = at(name="my-pictures", label="dog")

    moved = act.add_files(here, [picture, str(broken)])

    assert "1 of 2 could not be taken. broken.jpg" in moved.said
    assert [item.label for item in datasets.read_dataset("my-pictures").items] == ["dog"]
    with pytest.raises(MmdemoError, match="no class"):
        act.add_files(at(name="my-pictures"), [picture])


def test_a_snapshot_comes_as_text_and_anything_else_is_refused(picture: str) -> None:
    act.add_class(at(), "cat")
    here = at(name="my-pictures", label="cat")
    content = base64.b64encode(Path(picture).read_bytes()).decode()

    act.snap(here, f"data:image/jpeg;base64,{content}")

    assert len(datasets.read_dataset("my-pictures").items) == 1
    for nothing in ("", None, "data:image/jpeg;base64,", "data:image/jpeg;base64,§§", "/etc/passwd"):
        with pytest.raises(MmdemoError, match="camera"):
            act.snap(here, nothing)


def test_words_of_one_picture(picture: str) -> None:
    assert act.add_caption(at("caption"), picture, "a cat").name == "my-captions"
    assert act.add_question(at("ask"), picture, "what is it?", "a cat").name == "my-questions"
    with pytest.raises(MmdemoError, match="no picture"):
        act.add_caption(at("caption"), None, "a cat")
    item = datasets.read_dataset("my-captions").items[0]
    here = at("caption", name="my-captions", selected=item.id)

    act.edit_caption(here, "a sleepy cat")
    assert datasets.read_dataset("my-captions").items[0].caption == "a sleepy cat"
    assert act.remove(here).selected == ""
    assert datasets.read_dataset("my-captions").items == ()


def test_nothing_is_made_for_what_cannot_be_added() -> None:
    with pytest.raises(MmdemoError):
        act.add_question(at("ask"), None, "what is it?", "a cat")

    assert datasets.list_datasets() == ()


def test_an_item_moves_with_its_class_and_the_page_goes_along(picture: str) -> None:
    act.add_class(at(), "cat, dog")
    act.add_files(at(name="my-pictures", label="dog"), [picture])
    item = datasets.read_dataset("my-pictures").items[0]

    assert act.edit_class(at(name="my-pictures", label="dog", selected=item.id), "cat").label == "cat"
    assert act.rename_class(at(name="my-pictures", label="cat"), "Kitten").label == "Kitten"
    act.remove_class(at(name="my-pictures", label="Kitten"))
    assert datasets.read_dataset("my-pictures").classes == ("dog",)


def test_a_change_has_another_stamp(picture: str) -> None:
    act.add_class(at(), "cat")
    before = stamp_of(datasets.read_dataset("my-pictures"))

    act.add_files(at(name="my-pictures", label="cat"), [picture])

    assert stamp_of(datasets.read_dataset("my-pictures")) != before
    assert stamp_of(None) == ""


def test_lists_are_escaped_and_short(picture: str, tmp_path: Path) -> None:
    name = act.add_caption(at("caption"), picture, 'a <b>cat</b> "here"').name or ""
    found = datasets.read_dataset(name).items

    shown = teach_lists.items(
        [*found] * 60, sound=False, shown=48, selected=found[0].id, served=tmp_path, language="en"
    )

    assert "<b>" not in shown
    assert shown.count("<li>") == 48
    assert "newest 48 of 60" in shown
    assert 'aria-pressed="true"' in shown
    assert "data:image/jpeg;base64," in shown
    assert "Nothing here" in teach_lists.items([], sound=False, shown=48, selected="", served=tmp_path, language="en")


def test_a_clip_is_served_from_where_gradio_serves(tmp_path: Path) -> None:
    clip = next(EXAMPLES_DIR.glob("*.wav"), None) or next(EXAMPLES_DIR.glob("*.flac"))
    served = tmp_path / "served"

    shown = player(clip, served=served, label="<b>")
    again = player(clip, served=served, label="x")

    assert "<b>" not in shown
    copies = list(served.iterdir())
    assert len(copies) == 1
    assert copies[0].read_bytes() == clip.read_bytes()
    assert str(copies[0]) in again
    assert "<audio" not in player(tmp_path / "gone.wav", served=served, label="x")


def test_what_is_no_picture_has_no_small_one(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_text("no")

    assert small_picture(tmp_path / "x.jpg") == ""
    assert small_picture(tmp_path / "gone.jpg") == ""
