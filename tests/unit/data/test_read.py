"""Reading the conventions, and what is said where data do not follow them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import data_root
from mmdemo.data.read import read_examples
from tests.unit.data.conftest import MakeTable
from tests.unit.data.made import write_classes, write_csv, write_picture

QUESTION = {"file_name": "a.png", "question": "Is it red?", "answer": "yes", "type": "yes/no"}
CAPTIONS = {"file_name": "a.png", "captions": ["A dog.", "A red dog."]}


def test_questions_with_their_columns(table: MakeTable) -> None:
    rows = [QUESTION, {**QUESTION, "file_name": "b.png", "answers": ["yes"] * 9 + ["no"], "source": "vqa2"}]
    folder = table("questions.jsonl", rows)
    found = read_examples("ask", [folder])
    assert [example.question for example in found.examples] == ["Is it red?"] * 2
    assert found.examples[0].columns == {"type": "yes/no"}
    assert found.examples[1].answers == ("yes",) * 9 + ("no",)
    assert found.examples[1].file == folder / "b.png"
    assert found.name == "set"
    assert found.split is None


def test_the_most_common_answer_stands_in_for_a_missing_one(table: MakeTable) -> None:
    row = {"file_name": "a.png", "question": "What?", "answers": ["cat", "dog", "dog"]}
    assert read_examples("ask", [table("questions.jsonl", [row])]).examples[0].answer == "dog"


def test_answer_scores(table: MakeTable) -> None:
    row = {**QUESTION, "answer_scores": {"yes": 1, "no": 0.5}}
    assert read_examples("ask", [table("questions.jsonl", [row])]).examples[0].answer_scores == {"yes": 1.0, "no": 0.5}


def test_files_are_found_in_another_folder_given(table: MakeTable) -> None:
    pictures = table("captions.jsonl", [CAPTIONS], "pictures")
    text = table("questions.jsonl", [QUESTION], "text", files=False)
    with pytest.raises(MmdemoError, match=r"1 files named in .*questions.jsonl are missing: for example a.png"):
        read_examples("ask", [text])
    assert read_examples("ask", [text, pictures]).examples[0].file == pictures / "a.png"


def test_a_file_beside_the_table_goes_before_one_elsewhere(table: MakeTable) -> None:
    other = table("captions.jsonl", [CAPTIONS], "other")
    own = table("questions.jsonl", [QUESTION], "own")
    assert read_examples("ask", [other, own]).examples[0].file == own / "a.png"


def test_the_folder_column_is_relative_to_the_table(table: MakeTable) -> None:
    pictures = table("captions.jsonl", [CAPTIONS], "pictures")
    made = table("questions.jsonl", [{**QUESTION, "folder": "../pictures"}], "made", files=False)
    example = read_examples("ask", [made]).examples[0]
    assert example.file == pictures / "a.png"
    assert "folder" not in example.columns


def test_missing_files_are_counted_and_three_are_named(table: MakeTable) -> None:
    rows = [{**QUESTION, "file_name": f"{number}.png"} for number in (1, 1, 2, 3, 4)]
    with pytest.raises(MmdemoError, match=r"^4 files .*example 1.png, 2.png, 3.png\."):
        read_examples("ask", [table("questions.jsonl", rows, files=False)])


def test_splits(table: MakeTable, tmp_path: Path) -> None:
    for split, count in (("train", 3), ("validation", 2), ("test", 1)):
        rows = [{**CAPTIONS, "file_name": f"{split}{number}.png"} for number in range(count)]
        table("captions.jsonl", rows, f"set/{split}")
    folder = tmp_path / "set"
    assert len(read_examples("caption", [folder], split="train").examples) == 3
    assert len(read_examples("caption", [folder], split="validation").examples) == 2
    test = read_examples("caption", [folder])
    assert (len(test.examples), test.split, test.name) == (1, "test", "set/test")
    assert "the test split is used" in test.notes[0]
    alone = read_examples("caption", [folder / "validation"])
    assert (len(alone.examples), alone.split) == (2, "validation")
    both = read_examples("caption", [folder / "validation", folder / "test"])
    assert (len(both.examples), both.split, both.name) == (3, None, "set/validation + set/test")


def test_training_data_are_never_taken_for_another_split(table: MakeTable) -> None:
    train = table("captions.jsonl", [CAPTIONS], "one/train")
    plain = table("captions.jsonl", [CAPTIONS], "plain")
    assert len(read_examples("caption", [train, plain], split="train").examples) == 2
    with pytest.raises(MmdemoError, match="No validation data found: one/train has no validation split"):
        read_examples("caption", [train, plain], split="validation")


def test_a_class_called_train_is_a_class(tmp_path: Path) -> None:
    for label in ("train", "car"):
        (tmp_path / "set" / label).mkdir(parents=True)
        (tmp_path / "set" / label / "1.jpg").write_bytes(b"x")
    found = read_examples("classify", [tmp_path / "set"])
    assert sorted(example.label or "" for example in found.examples) == ["car", "train"]


def test_class_folders_leave_other_files_alone(tmp_path: Path) -> None:
    for label in ("red ball", "cup"):
        (tmp_path / label).mkdir()
        for name in ("1.JPG", "2.webp", "notes.txt", ".hidden.png", "s.wav"):
            (tmp_path / label / name).write_bytes(b"x")
    pictures = read_examples("classify", [tmp_path])
    assert pictures.notes == (f"{tmp_path.name}: not looked at, because of their endings: 2 .txt files, 2 .wav files",)
    assert [(example.label, example.file and example.file.name) for example in pictures.examples] == [
        ("cup", "1.JPG"),
        ("cup", "2.webp"),
        ("red ball", "1.JPG"),
        ("red ball", "2.webp"),
    ]
    assert [example.file and example.file.name for example in read_examples("sentiment", [tmp_path]).examples] == [
        "s.wav",
        "s.wav",
    ]


def test_sounds_from_a_csv_with_speakers(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"x")
    (tmp_path / "metadata.csv").write_text(
        'file_name,label,speaker,note\na.wav,happy,s1,"well, yes"\n', encoding="utf-8"
    )
    example = read_examples("sentiment", [tmp_path]).examples[0]
    assert (example.label, example.group) == ("happy", "s1")
    assert example.columns == {"speaker": "s1", "note": "well, yes"}


def test_a_folder_of_corpora_is_read_corpus_by_corpus(table: MakeTable, tmp_path: Path) -> None:
    for corpus in ("one", "two"):
        table("metadata.jsonl", [{"file_name": f"{corpus}.wav", "label": "sad", "speaker": corpus}], f"speech/{corpus}")
    found = read_examples("sentiment", [tmp_path / "speech"])
    assert [example.label for example in found.examples] == ["sad", "sad"]


def test_a_table_may_be_named_itself(table: MakeTable) -> None:
    folder = table("questions.jsonl", [QUESTION])
    (folder / "mine.jsonl").write_text((folder / "questions.jsonl").read_text(encoding="utf-8") * 2, encoding="utf-8")
    assert len(read_examples("ask", [folder / "mine.jsonl"]).examples) == 2


def test_vision_reads_captions_and_questions(table: MakeTable) -> None:
    folder = table("captions.jsonl", [CAPTIONS])
    table("questions.jsonl", [QUESTION])
    found = read_examples("vision", [folder]).examples
    assert [bool(example.captions) for example in found] == [True, False]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("{", r"Line 2 of .*: it is not valid JSON"),
        ("[1]", r"Line 2 of .*: it holds a JSON list, not an object"),
        ('{"file_name": "a.png", "answer": "x"}', r"Line 2 of .*: 'question' is missing or empty"),
        ('{"file_name": "a.png", "question": "x"}', r"Line 2 of .*: 'answer' is missing or empty"),
        ('{"question": "x", "answer": "y"}', r"Line 2 of .*: 'file_name' is missing or empty"),
        (
            '{"file_name": "a.png", "question": ["x"], "answer": "y"}',
            r"Line 2 of .*: 'question' should be text and is list",
        ),
        (
            '{"file_name": "a.png", "question": "x", "answers": [{}]}',
            r"Line 2 of .*: 'answers' should be a list of texts",
        ),
    ],
)
def test_a_bad_line_is_named(table: MakeTable, line: str, wanted: str) -> None:
    folder = table("questions.jsonl", [QUESTION])
    with (folder / "questions.jsonl").open("a", encoding="utf-8") as lines:
        lines.write(line + "\n")
    with pytest.raises(MmdemoError, match=wanted):
        read_examples("ask", [folder])


def test_a_csv_line_with_too_many_fields_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"x")
    (tmp_path / "metadata.csv").write_text("file_name,label\na.wav,sad\na.wav,sad,more\n", encoding="utf-8")
    with pytest.raises(MmdemoError, match=r"Line 3 of .*metadata.csv"):
        read_examples("sentiment", [tmp_path])


def test_a_table_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "captions.jsonl").write_bytes(b'{"file_name": "\xff"}\n')
    with pytest.raises(MmdemoError, match="not UTF-8"):
        read_examples("caption", [tmp_path])


def test_a_folder_of_another_convention_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "stuff.bin").write_bytes(b"x")
    with pytest.raises(
        MmdemoError, match=r"it holds stuff.bin; needed is captions.jsonl, .* Supported are class folders"
    ):
        read_examples("caption", [tmp_path])


def test_class_folders_are_not_dropped_beside_captions(tmp_path: Path) -> None:
    write_classes(tmp_path / "classes", ["cup", "hat"], 2)
    write_picture(tmp_path / "said" / "a.png", 5)
    write_csv(tmp_path / "said" / "captions.csv", [{"file_name": "a.png", "caption": "a cup on a table"}])
    with pytest.raises(
        MmdemoError, match=r"Labels and captions cannot be mixed: .*said has captions and .*classes has"
    ):
        read_examples("classify", [tmp_path / "said", tmp_path / "classes"])


def test_labels_and_captions_are_learned_together(tmp_path: Path) -> None:
    write_classes(tmp_path / "things", ["cup", "hat"], 2)
    write_classes(tmp_path / "things_validation", ["cup", "hat"], 1)
    write_picture(tmp_path / "said" / "a.png", 5)
    write_csv(tmp_path / "said" / "captions.csv", [{"file_name": "a.png", "caption": "a cup on a table"}])
    places = [tmp_path / "said", tmp_path / "things", tmp_path / "things_validation"]

    train = read_examples("classify", places, split="train").examples
    validation = read_examples("classify", places, split="validation").examples

    assert sorted(e.label or "" for e in train) == ["", "cup", "cup", "hat", "hat"]
    assert [e.captions for e in train if e.captions] == [("a cup on a table",)]
    assert sorted(str(e.label) for e in validation) == ["cup", "hat"]


def test_an_empty_folder_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(MmdemoError, match="it is empty"):
        read_examples("classify", [tmp_path])
    with pytest.raises(MmdemoError, match="there is no such folder or table"):
        read_examples("classify", [tmp_path / "nothing"])
    with pytest.raises(MmdemoError, match="No data was given"):
        read_examples("classify", [])


def test_an_empty_table(tmp_path: Path) -> None:
    (tmp_path / "captions.jsonl").write_text("\n", encoding="utf-8")
    with pytest.raises(MmdemoError, match="No rows were found"):
        read_examples("caption", [tmp_path])


def test_the_fingerprint_follows_content_not_place(table: MakeTable, tmp_path: Path) -> None:
    first = read_examples("ask", [table("questions.jsonl", [QUESTION], "here")]).fingerprint
    assert read_examples("ask", [table("questions.jsonl", [QUESTION], "there")]).fingerprint == first
    other = table("questions.jsonl", [{**QUESTION, "answer": "no"}], "third")
    assert read_examples("ask", [other]).fingerprint != first
    (tmp_path / "here" / "a.png").write_bytes(b"longer than before")
    assert read_examples("ask", [tmp_path / "here"]).fingerprint != first


@pytest.mark.skipif(not (data_root() / "coco").is_dir(), reason="the public data are not here")
def test_the_public_data() -> None:
    root = data_root()
    assert len(read_examples("ask", [root / "coco"]).examples) == 892
    extra = read_examples("ask", [root / "coco", root / "coco_more" / "train_extra"], split="train")
    assert len(extra.examples) == 6370 + 2050
    assert len(read_examples("classify", [root / "zeroshot_dev"]).examples) == 600
    corpora = [root / "speech" / name for name in ("ravdess", "emodb", "nemo")]
    assert len(read_examples("sentiment", corpora).examples) == 2943
