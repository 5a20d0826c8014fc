"""Files, folders and globs on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdemo.cli.inputs import PICTURE_SUFFIXES, expand


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", "sub/c.webp", "sub/deep/d.jpeg", ".git/e.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def _names(*arguments: str) -> list[str]:
    return [Path(item.name).as_posix() for item in expand(arguments, PICTURE_SUFFIXES, kind="pictures")]


@pytest.mark.usefixtures("folder")
class TestExpand:
    def test_folder_gives_its_pictures_sorted_without_hidden_ones(self) -> None:
        assert _names("photos") == [
            "photos/a.PNG",
            "photos/b.jpg",
            "photos/sub/c.webp",
            "photos/sub/deep/d.jpeg",
        ]

    def test_glob_is_expanded_by_us(self) -> None:
        assert _names("photos/*.jpg") == ["photos/b.jpg"]

    def test_glob_takes_what_it_names_whatever_the_ending(self) -> None:
        assert _names("photos/*.txt") == ["photos/notes.txt"]

    def test_glob_that_finds_folders_goes_into_them(self) -> None:
        assert _names("photos/s*") == ["photos/sub/c.webp", "photos/sub/deep/d.jpeg"]

    def test_recursive_glob_takes_pictures_once(self) -> None:
        assert _names("photos/**") == ["photos/a.PNG", "photos/b.jpg", "photos/sub/c.webp", "photos/sub/deep/d.jpeg"]

    def test_order_of_arguments_is_kept_and_found_files_are_not_repeated(self) -> None:
        assert _names("photos/sub/c.webp", "photos/b.jpg", "photos/*.jpg", "photos/sub") == [
            "photos/sub/c.webp",
            "photos/b.jpg",
            "photos/sub/deep/d.jpeg",
        ]

    def test_file_named_by_itself_is_taken_whatever_the_ending(self) -> None:
        assert _names("photos/notes.txt") == ["photos/notes.txt"]

    def test_name_with_brackets_is_a_file_when_there_is_one(self, folder: Path) -> None:
        (folder / "x[1].jpg").write_bytes(b"")
        (item,) = expand(["photos/x[1].jpg"], PICTURE_SUFFIXES, kind="pictures")
        assert (item.name, item.problem) == ("photos/x[1].jpg", "")

    @pytest.mark.parametrize(
        ("argument", "words"),
        [
            ("nothing.jpg", "nothing.jpg cannot be read: there is no such file."),
            ("photos/*.bmp", "Nothing can be read for photos/*.bmp: no file matches it."),
        ],
    )
    def test_what_is_not_there_is_a_sentence_in_its_place(self, argument: str, words: str) -> None:
        items = expand([argument, "photos/b.jpg"], PICTURE_SUFFIXES, kind="pictures")
        assert [item.problem for item in items] == [words, ""]

    def test_folder_without_pictures_is_a_sentence(self, folder: Path) -> None:
        (folder / "empty").mkdir()
        (item,) = expand(["photos/empty"], PICTURE_SUFFIXES, kind="pictures")
        assert item.problem == "The folder photos/empty cannot be used: there are no pictures in it."
