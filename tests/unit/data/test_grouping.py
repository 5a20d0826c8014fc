"""Splits that keep groups together, folds, and the leak check."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import data_root
from mmdemo.data.grouping import fold_split, leaks, split_by_group
from mmdemo.data.read import Dataset, Example, read_examples
from tests.unit.data.conftest import MakeTable

SPEAKERS = {f"x_{number}": "male" if number % 2 else "female" for number in range(8)}
FOLDS = {"y": [["y_0"]], "x": [["x_0", "x_1"], ["x_2", "x_3"], ["x_4", "x_5"], ["x_6", "x_7"]]}


@pytest.fixture
def folds(tmp_path: Path) -> Path:
    file = tmp_path / "folds.json"
    file.write_text(json.dumps(FOLDS), encoding="utf-8")
    return file


@pytest.fixture
def sounds(table: MakeTable) -> Dataset:
    speakers = {**SPEAKERS, "y_0": "male"}
    rows = [
        {"file_name": f"{speaker}_{label}.wav", "label": label, "speaker": speaker, "gender": gender}
        for speaker, gender in speakers.items()
        for label in ("sad", "happy")
    ]
    return read_examples("sentiment", [table("metadata.jsonl", rows)])


def groups(dataset: Dataset) -> set[str | None]:
    return {example.group for example in dataset.examples}


@pytest.mark.parametrize("fold", range(4))
def test_a_fold_is_the_test_split_and_nobody_is_in_two(sounds: Dataset, folds: Path, fold: int) -> None:
    train, validation, test = fold_split(sounds, folds, fold)
    assert groups(test) == set(FOLDS["x"][fold])
    assert len(groups(validation)) == 2
    assert {SPEAKERS[str(speaker)] for speaker in groups(validation)} == {"male", "female"}
    assert groups(train) | groups(validation) | groups(test) == {*SPEAKERS, "y_0"}
    assert "y_0" in groups(train)
    assert leaks({"train": train.examples, "validation": validation.examples, "test": test.examples}) == ()
    assert len({train.fingerprint, validation.fingerprint, test.fingerprint, sounds.fingerprint}) == 4


def test_folds_are_the_same_every_time(sounds: Dataset, folds: Path) -> None:
    first, again = fold_split(sounds, folds, 1), fold_split(sounds, folds, 1)
    assert [part.fingerprint for part in first] == [part.fingerprint for part in again]


def test_a_fold_that_is_not_there(sounds: Dataset, folds: Path) -> None:
    with pytest.raises(MmdemoError, match="There is no fold 4: there are 4, counted from 0"):
        fold_split(sounds, folds, 4)


def test_folds_of_other_speakers_and_folds_of_another_form(sounds: Dataset, tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text(json.dumps({"z": [["z_1"]]}), encoding="utf-8")
    with pytest.raises(MmdemoError, match="none of their speakers"):
        fold_split(sounds, file, 0)
    file.write_text("[1]", encoding="utf-8")
    with pytest.raises(MmdemoError, match="cannot be used"):
        fold_split(sounds, file, 0)
    file.write_text("{", encoding="utf-8")
    with pytest.raises(MmdemoError, match="cannot be read"):
        fold_split(sounds, file, 0)


def made(tmp_path: Path, count: int = 60) -> list[Example]:
    examples = []
    for number in range(count):
        file = tmp_path / f"{number}.png"
        file.write_bytes(f"{number // 2 if number < 20 else number}".encode())  # the first twenty are pairs of copies
        group = f"g{number % 6}" if number >= 40 else None
        examples.append(Example(file=file, label="ab"[number % 2], group=group))
    return examples


def test_split_by_group_keeps_groups_and_copies_together(tmp_path: Path) -> None:
    examples = made(tmp_path)
    parts = split_by_group(examples, (0.7, 0.15, 0.15), seed=3)
    assert sorted(str(example.file) for part in parts for example in part) == sorted(str(e.file) for e in examples)
    assert leaks(dict(zip(("train", "validation", "test"), parts, strict=True))) == ()
    assert [abs(len(part) - share * 60) <= 6 for part, share in zip(parts, (0.7, 0.15, 0.15), strict=True)] == [
        True
    ] * 3
    for part in parts:
        share = sum(example.label == "a" for example in part) / len(part)
        assert 0.3 < share < 0.7


def test_split_by_group_follows_the_seed(tmp_path: Path) -> None:
    examples = made(tmp_path)
    first = split_by_group(examples, (0.8, 0.2), seed=1)
    assert split_by_group(examples, (0.8, 0.2), seed=1) == first
    assert split_by_group(examples, (0.8, 0.2), seed=2) != first


def test_split_by_group_leaves_no_part_empty(tmp_path: Path) -> None:
    examples = made(tmp_path, 3)[1:]
    assert [len(part) for part in split_by_group(examples, (0.95, 0.05))] == [1, 1]
    with pytest.raises(MmdemoError, match="it has 1 groups for 2 parts"):
        split_by_group(examples[:1], (0.5, 0.5))
    with pytest.raises(ValueError, match="sum to 1"):
        split_by_group(examples, (0.5, 0.4))


def test_leaks_are_found_by_group_and_by_content(tmp_path: Path) -> None:
    examples = made(tmp_path)
    assert leaks({"a": examples[:1], "b": examples[1:2]}) == ("1 file is in both a and b, for example 1.png",)
    assert leaks({"a": examples[40:41], "b": examples[46:47]}) == (
        "1 speaker or group is in both a and b, for example g4",
    )
    assert leaks({"a": examples[20:21], "b": examples[22:23]}) == ()


@pytest.mark.skipif(not (data_root() / "speech").is_dir(), reason="the public data are not here")
def test_the_public_folds() -> None:
    speech = read_examples("sentiment", [data_root() / "speech" / "ravdess"])
    train, validation, test = fold_split(speech, data_root() / "speech" / "folds.json", 0)
    assert (len(groups(train)), len(groups(validation)), len(groups(test))) == (16, 2, 6)
    everything = read_examples("sentiment", [data_root() / "speech" / name for name in ("ravdess", "emodb", "nemo")])
    train, validation, test = fold_split(everything, data_root() / "speech" / "folds.json", 0)
    assert (len(groups(train)), len(groups(validation)), len(groups(test))) == (33, 2, 6)
