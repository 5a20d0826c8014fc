"""Data in parts: as given, by group, by content; what is left out and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from mmdemo.core.errors import MmdemoError
from mmdemo.data.examples import Dataset
from mmdemo.data.grouping import leaks
from mmdemo.data.prepare.inputs import DatasetSplits
from mmdemo.data.sources import make_dataset_splits
from mmdemo.data.splits import Splits, make_splits
from mmdemo.tasks.tune import Tune
from tests.unit.data.made import write_classes, write_clip, write_csv, write_picture


def _dataset_splits(
    task: str, data: list[Path], *, options: dict[str, bool] | None = None, **how: Any
) -> tuple[DatasetSplits, Dataset]:
    return make_dataset_splits(make_splits(task, data, **how), options=options or {}, tune=Tune())


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))


def sizes(parts: Splits) -> tuple[int, ...]:
    return tuple(len(dataset.examples) for dataset in parts.by_name().values())


def labels(parts: Splits, name: str) -> set[str | None]:
    return {example.label for example in parts.by_name()[name].examples}


def voices(folder: Path, speakers: int, each: int = 4) -> Path:
    rows = []
    for speaker in range(speakers):
        for one in range(each):
            file = write_clip(folder / f"{speaker}_{one}.wav", 100 * speaker + one)
            rows.append({"file_name": file.name, "label": ("sad", "happy")[one % 2], "speaker": f"s{speaker}"})
    write_csv(folder / "metadata.csv", rows)
    return folder


def test_class_folders_are_parted_by_content_with_labels_level(tmp_path: Path) -> None:
    folder = write_classes(tmp_path / "set", ["cup", "hat", "dog"], 12)
    shutil.copy(folder / "cup" / "0.png", folder / "cup" / "copy.png")
    parts = make_splits("classify", [folder])
    assert sum(sizes(parts)) == 37
    assert sizes(parts)[0] >= 27
    for name in parts.by_name():
        assert labels(parts, name) == {"cup", "hat", "dog"}
    assert leaks({name: dataset.examples for name, dataset in parts.by_name().items()}) == ()
    assert parts.refusals == ()
    assert parts.train.notes[-1].startswith("set: of 37 examples ")
    assert parts.train.notes[-1].endswith("were set aside, by content of the files, with seed 0")
    assert parts.test.name == f"set, {sizes(parts)[2]} examples held out"
    again, other = make_splits("classify", [folder]), make_splits("classify", [folder], seed=1)
    assert again.test.fingerprint == parts.test.fingerprint
    assert other.test.fingerprint != parts.test.fingerprint


def test_speakers_stay_together(tmp_path: Path) -> None:
    parts = make_splits("sentiment", [voices(tmp_path / "set", 10, 20)])
    assert sizes(parts) == (160, 20, 20)
    groups = [{e.group for e in dataset.examples} for dataset in parts.by_name().values()]
    assert [len(group) for group in groups] == [8, 1, 1]
    assert len(set().union(*groups)) == 10
    assert "by speaker or group" in parts.train.notes[-1]


def test_no_test_part_that_says_nothing(tmp_path: Path) -> None:
    folder = voices(tmp_path / "set", 10)  # two clips of each label by each speaker
    parts = make_splits("sentiment", [folder])
    assert sizes(parts) == (36, 4, 0)
    assert "too small for a test part of its own (40 examples of 10 speakers" in parts.train.notes[0]
    _, held = _dataset_splits("sentiment", [folder])
    assert held.examples == ()


def test_a_part_for_an_encoder_is_only_for_choosing(tmp_path: Path) -> None:
    assert sizes(make_splits("speech", [voices(tmp_path / "set", 10)])) == (36, 4, 0)


def test_few_speakers_give_validation_only_and_very_few_nothing(tmp_path: Path) -> None:
    parts = make_splits("sentiment", [voices(tmp_path / "few", 4, 6)])
    assert sizes(parts) == (18, 6, 0)
    assert parts.train.notes[0] == "few is too small for a test part of its own (24 examples of 4 speakers or groups)"
    tiny = make_splits("sentiment", [voices(tmp_path / "tiny", 2)])
    assert sizes(tiny) == (8, 0, 0)
    assert "too small to set anything aside (8 examples of 2 speakers or groups)" in tiny.train.notes[0]


def test_a_label_is_never_taken_from_training_altogether(tmp_path: Path) -> None:
    folder = write_classes(tmp_path / "set", ["cup", "hat"], 14)
    write_picture(folder / "owl" / "1.png", 9000)
    for seed in range(4):
        parts = make_splits("classify", [folder], seed=seed)
        assert "owl" in labels(parts, "train")
        assert labels(parts, "validation") == {"cup", "hat"}


def test_given_splits_stay_as_they_are(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "validation", "test")):
        for one, label in enumerate(("cup", "hat")):
            write_picture(tmp_path / "set" / split / label / "1.png", 10 * number + one)
    parts = make_splits("classify", [tmp_path / "set"])
    assert sizes(parts) == (2, 2, 2)
    assert parts.refusals == ()


def test_only_validation_is_taken_where_test_is_given(tmp_path: Path) -> None:
    write_classes(tmp_path / "set" / "train", ["cup", "hat"], 20)
    write_classes(tmp_path / "other" / "test", ["cup", "hat"], 3)
    for file in (tmp_path / "other" / "test").rglob("*.png"):
        write_picture(file, 70_000 + int(file.stem) + (file.parent.name == "hat") * 10)
    shutil.move(tmp_path / "other" / "test", tmp_path / "set" / "test")
    parts = make_splits("classify", [tmp_path / "set"])
    assert sizes(parts) == (36, 4, 6)
    assert parts.refusals == ()


def test_where_validation_is_given_it_is_also_what_is_measured(tmp_path: Path) -> None:
    write_classes(tmp_path / "set" / "train", ["cup", "hat"], 12)
    for number, label in enumerate(("cup", "hat")):
        write_picture(tmp_path / "set" / "validation" / label / "1.png", 50_000 + number)
    sources, held = _dataset_splits("classify", [tmp_path / "set"])
    assert (len(sources.train.examples), len(sources.validation.examples)) == (24, 2)
    assert held.examples == sources.validation.examples


def test_with_cross_fitting_a_validation_part_is_learned_from_and_never_measured_on(tmp_path: Path) -> None:
    write_classes(tmp_path / "set" / "train", ["cup", "hat"], 12)
    for number, label in enumerate(("cup", "hat")):
        write_picture(tmp_path / "set" / "validation" / label / "1.png", 50_000 + number)
    sources, held = _dataset_splits("classify", [tmp_path / "set"], options={"cross_fit": True})
    assert (len(sources.train.examples), len(sources.validation.examples)) == (26, 0)
    assert held.examples == ()


def test_a_split_column(tmp_path: Path) -> None:
    rows = [
        {"path": write_picture(tmp_path / f"{n}.png", n).name, "label": "ab"[n % 2], "split": ("train", "test")[n > 5]}
        for n in range(9)
    ]
    parts = make_splits("classify", [write_csv(tmp_path / "t.csv", rows)])
    assert sizes(parts) == (6, 0, 3)
    assert "too small to set anything aside" in parts.train.notes[0]


def test_unreadable_and_missing_files_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    rows = [{"file_name": write_picture(folder / f"{n}.png", n).name, "label": "ab"[n % 2]} for n in range(12)]
    rows += [{"file_name": "gone.png", "label": "a"}, {"file_name": "bad.png", "label": "b"}]
    (folder / "bad.png").write_bytes(b"not a picture")
    write_csv(folder / "metadata.csv", rows)
    parts = make_splits("classify", [folder])
    assert sum(sizes(parts)) == 12
    assert [(p.file, p.line) for p in parts.problems] == [("gone.png", 14), ("bad.png", 15)]
    assert "set: 2 files could not be read and were left out, first gone.png (line 14 of " in parts.train.notes[0]
    sources, _ = _dataset_splits("classify", [folder])
    assert len(sources.train.examples) == len(parts.train.examples)


def test_data_of_which_most_cannot_be_read_are_refused(tmp_path: Path) -> None:
    folder = write_classes(tmp_path / "set", ["cup", "hat"], 2)
    for number in range(5):
        (folder / "hat" / f"bad{number}.png").write_bytes(b"")
    with pytest.raises(
        MmdemoError, match=r"Most files of set cannot be read: 5 of 9, first .*bad0.png: the file is empty"
    ):
        _dataset_splits("classify", [folder])
    for file in folder.rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(MmdemoError, match="There is nothing to learn from: 9 of 9"):
        _dataset_splits("classify", [folder])


def test_a_leak_is_refused_unless_allowed(tmp_path: Path) -> None:
    write_classes(tmp_path / "set" / "train", ["cup", "hat"], 12)
    for label in ("cup", "hat"):
        (tmp_path / "set" / "test" / label).mkdir(parents=True)
        shutil.copy(tmp_path / "set" / "train" / label / "3.png", tmp_path / "set" / "test" / label / "x.png")
    with pytest.raises(MmdemoError, match=r"2 files are in both .* and test, for example x.png.*--allow-leaks"):
        _dataset_splits("classify", [tmp_path / "set"])
    sources, held = _dataset_splits("classify", [tmp_path / "set"], allow_leaks=True)
    assert len(held.examples) == 2
    assert "allowed by --allow-leaks" in sources.train.notes[-1]
    assert "allowed by --allow-leaks" in held.notes[-1]


def test_a_speaker_in_two_splits_is_a_leak(tmp_path: Path) -> None:
    rows = [
        {"file_name": write_clip(tmp_path / f"{n}.wav", n).name, "label": ("sad", "happy")[n % 2]} for n in range(8)
    ]
    for number, row in enumerate(rows):
        row |= {"speaker": "ann" if number in (0, 7) else f"s{number}", "split": "test" if number > 5 else "train"}
    write_csv(tmp_path / "metadata.csv", rows)
    with pytest.raises(MmdemoError, match="1 speaker or group is in both train and test, for example ann"):
        _dataset_splits("sentiment", [tmp_path])


def test_a_label_in_test_only_is_refused_and_the_nearest_is_named(tmp_path: Path) -> None:
    write_classes(tmp_path / "set" / "train", ["cup", "hat"], 12)
    for number, label in enumerate(("cups", "hat")):
        write_picture(tmp_path / "set" / "test" / label / "1.png", 60_000 + number)
    with pytest.raises(MmdemoError, match=r"The label 'cups' is in test only: .* Did you mean 'cup'"):
        _dataset_splits("classify", [tmp_path / "set"])
    _dataset_splits("classify", [tmp_path / "set"], known_labels=["cups"])


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    write_classes(tmp_path / "set" / "train", ["cup", "hat"], 12)
    (tmp_path / "set" / "test").mkdir()
    with pytest.raises(MmdemoError, match="set/test cannot be used here: it is empty"):
        _dataset_splits("classify", [tmp_path / "set"])


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["cup", "Cup", "hat"], "The classes 'Cup' and 'cup' cannot be told apart"),
        (["cup", "None of these"], "Its classes cannot be learned: “none of these” is always added by itself"),
        (["cup", "h" * 201], "Its classes cannot be learned: “h.* has 201 characters and the limit is 200"),
    ],
)
def test_classes_that_nobody_could_ask_for_are_refused(tmp_path: Path, names: list[str], why: str) -> None:
    rows = []
    for number, name in enumerate(names):
        for picture in range(12):
            file = write_picture(tmp_path / "set" / f"{number}_{picture}.png", 100 * number + picture)
            rows.append({"file_name": file.name, "label": name})
    write_csv(tmp_path / "set" / "metadata.csv", rows)
    with pytest.raises(MmdemoError, match=why):
        _dataset_splits("classify", [tmp_path / "set"])
