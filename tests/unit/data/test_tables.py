"""CSV and parquet tables, usual names of columns, and a column that names the split."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmdemo.core.errors import MmdemoError
from mmdemo.data.read import Example, read_examples
from mmdemo.data.tables import columns, read_rows
from tests.unit.data.made import write_csv, write_parquet, write_picture

ROWS = [
    {"image": "a.png", "Question": "Is it red?", "answer": "yes"},
    {"image": "b.png", "Question": "What, then?", "answer": "a cup"},
]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for number, name in enumerate("ab"):
        write_picture(tmp_path / f"{name}.png", number)
    return tmp_path


def names(examples: tuple[Example, ...]) -> list[str]:
    return [example.file.name for example in examples if example.file is not None]


@pytest.mark.parametrize("write", [write_csv, write_parquet])
@pytest.mark.parametrize("name", ["questions", "mine"])
def test_a_table_named_itself_or_lying_in_a_folder(pictures: Path, write: object, name: str) -> None:
    suffix = ".csv" if write is write_csv else ".parquet"
    table = write(pictures / f"{name}{suffix}", ROWS)  # type: ignore[operator]
    found = read_examples("ask", [table])
    assert [(e.question, e.answer) for e in found.examples] == [("Is it red?", "yes"), ("What, then?", "a cup")]
    assert names(found.examples) == ["a.png", "b.png"]
    assert [(e.table, e.line) for e in found.examples] == [(table, n) for n in ((2, 3) if suffix == ".csv" else (1, 2))]
    if name == "questions":
        assert read_examples("ask", [pictures]).fingerprint == found.fingerprint


@pytest.mark.parametrize("column", ["file_name", "path", "file", "image", "audio", "Image Path"])
def test_usual_names_of_the_file_column(pictures: Path, column: str) -> None:
    table = write_csv(pictures / "mine.csv", [{column: "a.png", "class": "cup"}, {column: "b.png", "class": "hat"}])
    found = read_examples("classify", [table])
    assert names(found.examples) == ["a.png", "b.png"]
    assert [e.label for e in found.examples] == ["cup", "hat"]
    assert found.examples[0].columns == {}


def test_absolute_paths_and_paths_below_the_table(pictures: Path, tmp_path: Path) -> None:
    inner = write_picture(pictures / "deep" / "down" / "c.png", 3)
    rows = [{"path": str(pictures / "a.png"), "label": "x"}, {"path": "deep/down/c.png", "label": "y"}]
    table = write_parquet(tmp_path / "elsewhere" / "t.parquet", rows)
    with pytest.raises(MmdemoError, match=r"1 files named in .*t.parquet are missing: for example deep/down/c.png"):
        read_examples("classify", [table])
    found = read_examples("classify", [table, write_csv(pictures / "u.csv", [{"path": "b.png", "label": "z"}])])
    assert [e.file for e in found.examples] == [pictures / "a.png", inner, pictures / "b.png"]


def test_a_caption_in_each_row_and_lists_in_a_csv(pictures: Path) -> None:
    rows = [
        {"image": "a.png", "caption": "A dog."},
        {"image": "b.png", "caption": '["A cup.", "One cup."]'},
        {"image": "a.png", "caption": "A red dog."},
    ]
    found = read_examples("caption", [write_csv(pictures / "captions.csv", rows)]).examples
    assert [(e.captions, e.line) for e in found] == [(("A dog.", "A red dog."), 2), (("A cup.", "One cup."), 3)]


def test_ten_answers_as_records(pictures: Path) -> None:
    answers = [{"answer": "cup", "answer_id": 1}, {"answer": "mug", "answer_id": 2}, {"answer": "cup", "answer_id": 3}]
    rows = [{"image": "a.png", "question": "What?", "answers": answers}]
    found = read_examples("ask", [write_parquet(pictures / "q.parquet", rows)]).examples[0]
    assert (found.answer, found.answers) == ("cup", ("cup", "mug", "cup"))


def test_metadata_may_hold_captions(pictures: Path) -> None:
    rows = [{"file_name": "a.png", "text": "A dog."}, {"file_name": "b.png", "text": "A cup."}]
    (pictures / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert [e.captions for e in read_examples("caption", [pictures]).examples] == [("A dog.",), ("A cup.",)]


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_a_split_column_is_honoured(pictures: Path, write: object) -> None:
    splits = ("train", "Training", "val", "test", "")
    rows = [{"path": "a.png", "label": str(n), "split": split} for n, split in enumerate(splits)]
    table = write(pictures / ("t.csv" if write is write_csv else "t.parquet"), rows)  # type: ignore[operator]

    def labels(split: str | None) -> list[str | None]:
        return [e.label for e in read_examples("classify", [table], split=split).examples]

    assert labels("train") == ["0", "1", "4"]
    assert labels("validation") == ["2"]
    assert labels("test") == labels(None) == ["3"]
    assert read_examples("classify", [table]).split == "test"


def test_tables_called_after_splits(pictures: Path) -> None:
    write_csv(pictures / "val.csv", [{"path": "b.png", "label": "y"}])
    write_picture(pictures / "train" / "c.png", 7)
    write_csv(pictures / "train.csv", [{"path": "a.png", "label": "x"}, {"path": "c.png", "label": "z"}])
    assert [e.label for e in read_examples("classify", [pictures], split="train").examples] == ["x", "z"]
    found = read_examples("classify", [pictures / "train.csv", pictures / "val.csv"], split="validation")
    assert ([e.label for e in found.examples], found.name) == (["y"], f"{pictures.name}/val")
    with pytest.raises(MmdemoError, match="has no test split"):
        read_examples("classify", [pictures], split="test")


def test_a_split_that_is_missing_or_unknown(pictures: Path) -> None:
    table = write_csv(pictures / "t.csv", [{"path": "a.png", "label": "x", "split": "train"}])
    with pytest.raises(MmdemoError, match="has no test split"):
        read_examples("classify", [table], split="test")
    write_csv(table, [{"path": "a.png", "label": "x", "split": "tset"}])
    with pytest.raises(MmdemoError, match=r"Line 2 of .*t.csv cannot be used: its split is 'tset'. Known are train"):
        read_examples("classify", [table], split="train")


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_wrong_columns_name_what_was_found_needed_and_meant(pictures: Path, write: object) -> None:
    suffix = ".csv" if write is write_csv else ".parquet"
    table = write(pictures / f"mine{suffix}", [{"image": "a.png", "lable": "cup"}])  # type: ignore[operator]
    wanted = (
        r"it has the columns 'image', 'lable' and none for 'label' \(or class.*\)\. Did you mean 'lable' to be 'label'"
    )
    with pytest.raises(MmdemoError, match=wanted):
        read_examples("classify", [table])
    with pytest.raises(MmdemoError, match=r"none for 'question' .* and 'answer' \(or multiple_choice_answer\)\.$"):
        read_examples("ask", [table])


def test_a_misspelt_key_in_json_lines(pictures: Path) -> None:
    (pictures / "metadata.jsonl").write_text('{"file_nme": "a.png", "label": "x"}\n', encoding="utf-8")
    with pytest.raises(MmdemoError, match=r"Line 1 of .*'file_name' is missing.*did you mean 'file_nme'"):
        read_examples("classify", [pictures])


def test_addresses_are_never_fetched(pictures: Path) -> None:
    table = write_csv(pictures / "t.csv", [{"image": "https://example.org/a.png", "label": "x"}])
    with pytest.raises(MmdemoError, match=r"names addresses, not files: .* Nothing is fetched"):
        read_examples("classify", [table])


def test_a_table_of_another_name_must_be_named_itself(pictures: Path) -> None:
    write_csv(pictures / "labels.csv", [{"image": "a.png", "label": "x"}])
    with pytest.raises(MmdemoError, match=r"Name .*labels.csv itself with --data"):
        read_examples("caption", [pictures])


def test_a_damaged_parquet_file(pictures: Path) -> None:
    (pictures / "t.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(MmdemoError, match=r"t.parquet cannot be read"):
        read_examples("classify", [pictures / "t.parquet"])


def test_semicolons_part_fields_where_the_first_line_has_them(tmp_path: Path) -> None:
    table = tmp_path / "metadata.csv"
    table.write_text("file_name;label\na.wav;sad, or so\n", encoding="utf-8-sig")
    assert columns(table) == ("file_name", "label")
    assert [row.values for row in read_rows(table)] == [{"file_name": "a.wav", "label": "sad, or so"}]
