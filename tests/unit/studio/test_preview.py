"""What is said of data before a training: counts, samples, warnings and refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from mmdemo.data.check import check_data
from mmdemo.studio import datasets, preview
from tests.sounds import write_silence
from tests.unit.data.made import write_clip, write_picture


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Datasets, runs and cache of one test."""
    monkeypatch.setenv("MMDEMO_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "datasets"


def classes(folder: Path, counts: Mapping[str, int], *, first: int = 0) -> Path:
    for label, count in counts.items():
        for _ in range(count):
            write_picture(folder / label / f"{first}.png", first)
            first += 1
    return folder


def table(folder: Path, name: str, rows: Sequence[Mapping[str, object]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for row in rows:
        write_picture(folder / str(row["file_name"]), int(str(row["file_name"]).split(".")[0]))
    return folder


def said(found: preview.Preview) -> str:
    return "\n".join(found.warnings)


def test_good_data_have_counts_samples_and_no_warning(tmp_path: Path) -> None:
    folder = classes(tmp_path / "pets", {"cat": 24, "dog": 16})
    found = preview.look("classify", [folder])
    assert found.good
    assert found.warnings == ()
    assert found.examples == 40
    assert found.labels == {"cat": 24, "dog": 16}
    assert found.parts == check_data("classify", [folder]).parts
    assert {label: len(files) for label, files in found.samples.items()} == {"cat": 6, "dog": 6}
    assert len(set(found.samples["cat"])) == 6
    assert all(file.parent.name == label for label, files in found.samples.items() for file in files)
    assert json.loads(json.dumps(found.to_json()))["samples"]["dog"][0]["said"] == "dog"


def test_unchanged_files_are_not_decoded_again(tmp_path: Path) -> None:
    folder = classes(tmp_path / "pets", {"cat": 3, "dog": 3})
    told: list[tuple[str, int, int]] = []
    first = preview.look("classify", [folder], say=lambda *progress: told.append(progress))
    assert told[-1] == ("files read", 6, 6)
    told.clear()
    again = preview.look("classify", [folder], say=lambda *progress: told.append(progress))
    assert not told
    assert (again.warnings, again.samples) == (first.warnings, first.samples)


def test_few_and_unbalanced_classes_are_named(tmp_path: Path) -> None:
    found = preview.look("classify", [classes(tmp_path / "pets", {"cat": 46, "dog": 9, "owl": 2})])
    assert "'owl' (2), 'dog' (9) have fewer than 10 examples" in said(found)
    assert "'cat' has 46 examples and 'owl' 2" in said(found)
    assert found.good


def test_very_few_examples_cannot_be_measured(tmp_path: Path) -> None:
    found = preview.look("classify", [classes(tmp_path / "pets", {"cat": 2, "dog": 2})])
    assert found.warnings[0].startswith("There are only 4 pictures, too few to set some aside")


def test_empty_classes_are_named(tmp_path: Path) -> None:
    folder = classes(tmp_path / "pets", {"cat": 12, "dog": 12})
    (folder / "owl").mkdir()
    assert "'owl' has no examples" in said(preview.look("classify", [folder]))
    made = datasets.make("pets", "classify", ["cat", "tit", "crow"])
    datasets.add_many("pets", sorted((folder / "cat").iterdir()), label="cat")
    warnings = said(preview.look("classify", [made.folder]))
    assert "'tit', 'crow' have no examples" in warnings
    assert "only one class, 'cat'" in warnings


def test_duplicates_and_conflicts_are_named(tmp_path: Path) -> None:
    folder = classes(tmp_path / "pets", {"cat": 12, "dog": 12})
    shutil.copy(folder / "cat" / "0.png", folder / "cat" / "again.png")
    shutil.copy(folder / "cat" / "1.png", folder / "dog" / "wrong.png")
    warnings = said(preview.look("classify", [folder]))
    assert "2 files are there more than once, for example cat/0.png and cat/again.png" in warnings
    assert "1 file has different labels, cat/1.png and dog/wrong.png are said to be 'cat' and 'dog'" in warnings


def test_leaks_between_splits_refuse_unless_allowed(tmp_path: Path) -> None:
    folder = tmp_path / "pets"
    classes(folder / "train", {"cat": 12, "dog": 12})
    classes(folder / "test", {"cat": 3, "dog": 3}, first=8)
    found = preview.look("classify", [folder])
    assert not found.good
    assert "leak" in found.refusals[0]
    allowed = preview.look("classify", [folder], allow_leaks=True)
    assert allowed.good
    assert "test" in said(allowed)


def test_files_that_cannot_be_read_are_named_with_why(tmp_path: Path) -> None:
    folder = classes(tmp_path / "pets", {"cat": 12, "dog": 12})
    (folder / "cat" / "broken.png").write_bytes(b"\x89PNG nothing")
    (folder / "dog" / "empty.jpg").touch()
    warnings = said(preview.look("classify", [folder]))
    assert "2 files cannot be read and are left out" in warnings
    assert "broken.png: the file is damaged" in warnings
    assert "empty.jpg: the file is empty" in warnings


def test_silent_and_short_clips_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "moods"
    for number in range(12):
        write_clip(folder / "glad" / f"{number}.wav", number)
        write_clip(folder / "sad" / f"{number}.wav", 100 + number)
    write_silence(folder / "sad" / "silent.wav", 1.0)
    write_clip(folder / "glad" / "short.wav", 50, seconds=0.3)
    warnings = said(preview.look("sentiment", [folder]))
    assert "1 clip is silent (sad/silent.wav)" in warnings
    assert "1 clip is shorter than 0.5 seconds (glad/short.wav)" in warnings


def test_captions_and_questions_are_shown_with_their_file(tmp_path: Path) -> None:
    rows = [{"file_name": f"{number}.png", "captions": [f"a boat {number}"]} for number in range(60)]
    found = preview.look("caption", [table(tmp_path / "sea", "captions.jsonl", rows)])
    assert found.labels == {}
    assert found.shown[""][0].said == "a boat 0"
    assert len(found.samples[""]) == 6
    asked = [{"file_name": f"{n}.png", "question": "Is it red?", "answer": "yes"} for n in range(30)]
    found = preview.look("ask", [table(tmp_path / "quiz", "questions.jsonl", asked)])
    assert found.labels == {"yes/no": 30}
    assert found.shown["yes/no"][0].said == "Is it red? – yes"
    assert "only 30 questions: with fewer than 50" in said(found)


def test_data_that_cannot_be_read_are_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    found = preview.look("classify", [tmp_path / "nothing"])
    assert (found.examples, found.good, len(found.refusals)) == (0, False, 1)
    assert not preview.look("ask", [tmp_path / "nowhere"]).good
    assert not preview.look("classify", [datasets.make("birds", "classify", ["tit"]).folder]).good


# ---------------------------------------------------------------- which task


def test_the_task_is_told_by_endings_and_columns(tmp_path: Path) -> None:
    pictures = classes(tmp_path / "pets", {"cat": 2, "dog": 2})
    assert preview.guess_task(pictures) == ("classify",)
    for label in ("glad", "sad"):
        write_clip(tmp_path / "moods" / label / "1.wav", 1)
    assert preview.guess_task(tmp_path / "moods") == ("sentiment",)
    for split in ("train", "test"):
        classes(tmp_path / "splits" / split, {"cat": 1, "dog": 1})
    assert preview.guess_task(tmp_path / "splits") == ("classify",)
    assert preview.guess_task(datasets.make("quiz", "ask").folder) == ("ask",)


@pytest.mark.parametrize(
    ("name", "row", "tasks"),
    [
        ("questions.jsonl", {"file_name": "1.png", "question": "What?", "answer": "a"}, ("ask",)),
        ("metadata.jsonl", {"image": "1.png", "question": "What?", "answer": "a"}, ("ask",)),
        ("metadata.jsonl", {"file_name": "1.png", "text": "a boat"}, ("caption",)),
        ("metadata.jsonl", {"file_name": "1.png", "label": "cat"}, ("classify",)),
        ("metadata.jsonl", {"file_name": "1.wav", "emotion": "sad", "text": "oh no"}, ("sentiment",)),
        ("captions.jsonl", {"file_name": "1.png", "captions": ["a boat"]}, ("caption",)),
        ("metadata.jsonl", {"file_name": "1.png", "size": 3}, ()),
        ("metadata.jsonl", {"label": "x"}, ()),
        ("other.txt", {"file_name": "1.png", "label": "x"}, ()),
    ],
)
def test_the_task_of_tables(tmp_path: Path, name: str, row: Mapping[str, object], tasks: tuple[str, ...]) -> None:
    (tmp_path / name).write_text(json.dumps(row) + "\n", encoding="utf-8")
    assert preview.guess_task(tmp_path) == tasks


def test_the_task_of_both_tables_names_both(tmp_path: Path) -> None:
    (tmp_path / "captions.csv").write_text("file_name,caption\n1.png,a boat\n", encoding="utf-8")
    (tmp_path / "questions.csv").write_text("file_name,question,answer\n1.png,What?,a boat\n", encoding="utf-8")
    assert preview.guess_task(tmp_path) == ("ask", "caption")
    assert preview.guess_task(tmp_path / "captions.csv") == ("caption",)
    assert preview.guess_task(tmp_path / "nowhere") == ()
