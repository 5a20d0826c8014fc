"""What a look at the data finds, and that it agrees with what training would do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mmdemo.data.check import check_data
from tests.unit.data.conftest import MakeTable
from tests.unit.data.made import write_classes, write_clip, write_csv, write_picture


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))


def test_pictures_with_everything_wrong(tmp_path: Path) -> None:
    folder = write_classes(tmp_path / "set" / "train", ["cup", "hat"], 12)
    shutil.copy(folder / "cup" / "0.png", folder / "cup" / "same.png")
    shutil.copy(folder / "cup" / "1.png", folder / "hat" / "conflict.png")
    (folder / "hat" / "bad.png").write_bytes(b"%PDF-1.7")
    (tmp_path / "set" / "test" / "cup").mkdir(parents=True)
    shutil.copy(folder / "cup" / "2.png", tmp_path / "set" / "test" / "cup")
    write_picture(tmp_path / "set" / "test" / "owl" / "1.png", 77_000)
    report = check_data("classify", [tmp_path / "set"])
    assert (report.data, report.good) == ("set", False)
    assert sum(part.examples for part in report.parts.values()) == 28
    assert report.parts["test"].labels == {"cup": 1, "owl": 1}
    assert [problem.file for problem in report.problems] == [str(folder / "hat" / "bad.png")]
    assert "a PDF document" in report.problems[0].why
    assert sorted(name for same in report.duplicates for name in same.files) == [
        "cup/0.png",
        "cup/1.png",
        "cup/same.png",
        "hat/conflict.png",
    ]
    assert [(same.files, same.said) for same in report.conflicts] == [
        (("cup/1.png", "hat/conflict.png"), ("cup", "hat"))
    ]
    assert report.leaks == ("1 file is in both train and test, for example 2.png",)
    assert [text.split(":")[0] for text in report.refusals] == [
        "The label 'owl' is in test only",
        "The data leak between their parts",
    ]
    allowed = check_data("classify", [tmp_path / "set"], allow_leaks=True)
    assert [text.split(":")[0] for text in allowed.refusals] == ["The label 'owl' is in test only"]
    assert json.loads(json.dumps(report.to_json()))["problems"][0]["line"] is None


def test_clips_that_are_short_or_silent(tmp_path: Path) -> None:
    rows = []
    for number in range(12):
        file = write_clip(tmp_path / f"{number}.wav", number, seconds=0.2 if number == 3 else 0.7, level=number != 5)
        rows.append({"file_name": file.name, "label": ("sad", "happy")[number % 2], "speaker": f"s{number}"})
    write_csv(tmp_path / "metadata.csv", rows)
    report = check_data("sentiment", [tmp_path])
    assert report.good
    assert report.short == ("3.wav (metadata.csv, 5)",)
    assert report.silent == ("5.wav (metadata.csv, 7)",)
    assert sum(part.groups for part in report.parts.values()) == 12


def test_empty_captions_and_kinds_of_question(tmp_path: Path, table: MakeTable) -> None:
    folder = table("captions.jsonl", [{"file_name": "a.png", "captions": ["A dog.", " "]}], files=False)
    write_picture(folder / "a.png", 1)
    report = check_data("caption", [folder])
    assert [(problem.file, problem.line) for problem in report.empty_captions] == [("a.png", 1)]
    rows = [{"file_name": "a.png", "question": "Is it red?", "answer": answer} for answer in ("yes", "no")] + [
        {"file_name": "a.png", "question": "What is it?", "answer": "a cup"}
    ]
    table("questions.jsonl", rows, files=False)
    asked = check_data("ask", [folder])
    assert asked.parts["train"].labels == {"yes/no": 2, "open": 1}
    assert [(same.files[0], same.said) for same in asked.conflicts] == [("a.png (questions.jsonl, 1)", ("yes", "no"))]


def test_data_that_cannot_be_read_at_all(tmp_path: Path) -> None:
    (tmp_path / "captions.jsonl").write_text('{"file_name": "a.png"}\n', encoding="utf-8")
    write_picture(tmp_path / "a.png", 1)
    report = check_data("caption", [tmp_path])
    assert not report.good
    assert report.parts["train"].examples == 0
    assert "Line 1 of" in report.refusals[0]
    (tmp_path / "captions.jsonl").write_text("{", encoding="utf-8")
    broken = check_data("caption", [tmp_path])
    assert (broken.good, broken.parts) == (False, {})
    assert "is not valid JSON" in broken.refusals[0]


def test_all_bad_rows_are_listed_and_the_first_refuses(tmp_path: Path, table: MakeTable) -> None:
    asked = {"file_name": "a.png", "question": "What?", "answer": "cup"}
    rows = [asked, {**asked, "answer": None}, {**asked, "question": " "}, {"question": "Who?", "answer": "a man"}]
    folder = table("questions.jsonl", rows, files=False)
    write_picture(folder / "a.png", 1)
    report = check_data("ask", [folder])
    assert [row.split(" of ")[0] for row in report.bad_rows] == ["Line 2", "Line 3", "Line 4"]
    assert report.refusals == report.bad_rows[:1]
    assert report.parts["train"].examples == 1
