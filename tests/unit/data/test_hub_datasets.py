"""Datasets saved to disk by the library, with pictures and clips inside them."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import pytest

from mmdemo.core.errors import MmdemoError
from mmdemo.data.read import read_examples
from mmdemo.media.audio import load_sound
from mmdemo.media.image import load_picture
from tests.unit.data.made import write_clip, write_picture


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    datasets.disable_progress_bars()


def pictures(tmp_path: Path, count: int, start: int = 0) -> datasets.Dataset:
    files = [str(write_picture(tmp_path / "made" / f"{n}.png", n)) for n in range(start, start + count)]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cup", "hat"])})
    return datasets.Dataset.from_dict({"image": files, "label": [n % 2 for n in range(count)]}, features=features)


def test_pictures_inside_are_written_once(tmp_path: Path) -> None:
    pictures(tmp_path, 4).save_to_disk(tmp_path / "saved")
    found = read_examples("classify", [tmp_path / "saved"])
    assert [e.label for e in found.examples] == ["cup", "hat", "cup", "hat"]
    assert [e.line for e in found.examples] == [1, 2, 3, 4]
    for number, example in enumerate(found.examples):
        assert example.file is not None
        assert example.file.is_relative_to(tmp_path / "cache" / "datasets")
        assert load_picture(example.file).key == load_picture(tmp_path / "made" / f"{number}.png").key
    times = {e.file: e.file.stat().st_mtime_ns for e in found.examples if e.file is not None}
    again = read_examples("classify", [tmp_path / "saved"])
    assert {e.file: e.file.stat().st_mtime_ns for e in again.examples if e.file is not None} == times
    assert again.fingerprint == found.fingerprint
    next(iter(times)).unlink()  # somebody tidied the cache up
    assert read_examples("classify", [tmp_path / "saved"]).fingerprint == found.fingerprint


def test_a_dict_of_splits(tmp_path: Path) -> None:
    parts = {"train": pictures(tmp_path, 4), "test": pictures(tmp_path, 2, 10), "extra": pictures(tmp_path, 2, 20)}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    assert len(read_examples("classify", [tmp_path / "saved"], split="train").examples) == 4
    test = read_examples("classify", [tmp_path / "saved"])
    assert (len(test.examples), test.split, test.name) == (2, "test", "saved/test")
    with pytest.raises(MmdemoError, match="saved has no validation split"):
        read_examples("classify", [tmp_path / "saved"], split="validation")


def test_clips_with_speakers(tmp_path: Path) -> None:
    files = [write_clip(tmp_path / "made" / f"{n}.wav", n) for n in range(2)]
    rows = {
        "audio": [{"bytes": file.read_bytes(), "path": file.name} for file in files],
        "emotion": ["Anger", "happy"],
        "speaker_id": [7, 8],
        "note": ["a", None],
    }
    whole = datasets.Dataset.from_dict(rows).cast_column("audio", datasets.Audio(sampling_rate=16_000))
    whole.save_to_disk(tmp_path / "saved")
    found = read_examples("sentiment", [tmp_path / "saved"])
    assert [(e.label, e.group) for e in found.examples] == [("angry", "7"), ("happy", "8")]
    assert found.examples[0].columns["note"] == "a"
    assert found.examples[0].file is not None
    assert np.array_equal(load_sound(found.examples[0].file).samples, load_sound(files[0]).samples)


def test_captions_and_questions_and_paths(tmp_path: Path) -> None:
    write_picture(tmp_path / "saved" / "a.png", 1)
    datasets.Dataset.from_dict({"image": ["a.png"], "captions": [["A dog.", "One dog."]]}).save_to_disk(
        tmp_path / "saved"
    )
    example = read_examples("caption", [tmp_path / "saved"]).examples[0]
    assert (example.file, example.captions) == (tmp_path / "saved" / "a.png", ("A dog.", "One dog."))
    with pytest.raises(MmdemoError, match=r"it has the columns 'image', 'captions' and none for 'question'"):
        read_examples("ask", [tmp_path / "saved"])


def test_parquet_of_the_library_keeps_pictures_and_class_names(tmp_path: Path) -> None:
    pictures(tmp_path, 3).to_parquet(str(tmp_path / "t.parquet"))
    for _ in range(2):
        found = read_examples("classify", [tmp_path / "t.parquet"]).examples
        assert [e.label for e in found] == ["cup", "hat", "cup"]
        assert found[2].file is not None
        assert load_picture(found[2].file).key == load_picture(tmp_path / "made" / "2.png").key


def test_a_split_column_in_a_saved_dataset(tmp_path: Path) -> None:
    whole = pictures(tmp_path, 4).add_column("split", ["train", "train", "val", "test"])
    whole.save_to_disk(tmp_path / "saved")
    sizes = [
        len(read_examples("classify", [tmp_path / "saved"], split=split).examples)
        for split in ("train", "validation", "test", None)
    ]
    assert sizes == [2, 1, 1, 1]


def test_a_damaged_dataset(tmp_path: Path) -> None:
    pictures(tmp_path, 2).save_to_disk(tmp_path / "saved")
    arrow = next((tmp_path / "saved").glob("*.arrow"))
    arrow.write_bytes(b"broken")
    with pytest.raises(MmdemoError, match="saved cannot be read"):
        read_examples("classify", [tmp_path / "saved"])
    (tmp_path / "saved" / "dataset_info.json").write_text("{", encoding="utf-8")
    with pytest.raises(MmdemoError, match="does not say which columns it has"):
        read_examples("classify", [tmp_path / "saved"])
