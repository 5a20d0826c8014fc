"""Datasets made by hand: what is on disk after every change, read back as training reads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from PIL import Image

from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import spec_of
from mmdemo.data.read import read_examples
from mmdemo.data.splits import make_splits
from mmdemo.studio import datasets, import_data
from mmdemo.train.folder import born
from tests.unit.data.made import write_clip, write_picture


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Datasets, runs and cache of one test."""
    monkeypatch.setenv("MMDEMO_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "datasets"


def picture(tmp_path: Path, seed: int) -> Path:
    return write_picture(tmp_path / "given" / f"{seed}.png", seed)


def whole(folder: Path) -> list[dict[str, object]]:
    """The rows of a dataset, after checking that table and files agree and nothing lies about."""
    head = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    rows = [
        json.loads(line) for line in (folder / spec_of(head["task"]).table).read_text(encoding="utf-8").splitlines()
    ]
    names = {str(row["file_name"]) for row in rows}
    files = {f"files/{file.name}" for file in (folder / "files").iterdir()} if (folder / "files").exists() else set()
    assert names == files
    assert {place.name for place in folder.iterdir()} <= {"dataset.json", "files", spec_of(head["task"]).table}
    assert len({row["id"] for row in rows}) == len(rows)
    return rows


# ---------------------------------------------------------------- what training reads


def test_pictures_with_classes_are_read_and_parted_as_any_other_data(tmp_path: Path) -> None:
    made = datasets.make("birds", "classify", ["tit / blue", "鸟"])
    for label, first in (("tit / blue", 0), ("鸟", 20)):
        added = datasets.add_many("birds", [picture(tmp_path, first + seed) for seed in range(15)], label=label)
        assert len(added.items) == 15
        assert not added.problems
    examples = read_examples("classify", [made.folder], split="train").examples
    assert [example.label for example in examples] == ["tit / blue"] * 15 + ["鸟"] * 15
    parts = make_splits("classify", [made.folder])
    assert not parts.refusals
    assert len(parts.train.examples) > len(parts.test.examples) > 0


def test_clips_keep_their_speaker_for_parting(tmp_path: Path) -> None:
    made = datasets.make("moods", "sentiment")
    clip = write_clip(tmp_path / "clip.wav", 1)
    datasets.add("moods", clip, label="gruff", speaker="Ada")
    example = read_examples("sentiment", [made.folder]).examples[0]
    assert (example.label, example.group) == ("gruff", "Ada")
    assert example.file is not None
    assert example.file.read_bytes() == clip.read_bytes()


def test_captions_of_one_picture_become_one_example(tmp_path: Path) -> None:
    made = datasets.make("sea", "caption")
    for caption in ("a boat on the sea", "a ship, far away", "A BOAT on the sea"):
        datasets.add("sea", picture(tmp_path, 1), caption=caption)
    assert len(datasets.read_dataset("sea").items) == 2  # the third says the first again
    examples = read_examples("caption", [made.folder]).examples
    assert [example.captions for example in examples] == [("a boat on the sea", "a ship, far away")]


def test_questions_with_answers_are_read(tmp_path: Path) -> None:
    made = datasets.make("quiz", "ask")
    datasets.add("quiz", picture(tmp_path, 1), question="What is it?", answer="a cat")
    datasets.add("quiz", picture(tmp_path, 1), question="Where is it?", answer="on the\nsofa")
    examples = read_examples("ask", [made.folder]).examples
    assert [(e.question, e.answer) for e in examples] == [("What is it?", "a cat"), ("Where is it?", "on the sofa")]
    assert len(list((made.folder / "files").iterdir())) == 1


def test_hugging_face_reads_the_folder(tmp_path: Path) -> None:
    hf_datasets = pytest.importorskip("datasets")
    made = datasets.make("birds", "classify", ["empty"])
    datasets.add("birds", picture(tmp_path, 1), label="tit")
    datasets.add("birds", picture(tmp_path, 2), label="crow")
    found = hf_datasets.load_dataset("imagefolder", data_dir=str(made.folder), cache_dir=str(tmp_path / "hf"))["train"]
    assert sorted(zip(found["label"], (image.size for image in found["image"]), strict=True)) == [
        ("crow", (24, 20)),
        ("tit", (24, 20)),
    ]


# ---------------------------------------------------------------- files


def test_bytes_are_kept_and_the_suffix_says_what_they_are(tmp_path: Path) -> None:
    datasets.make("birds", "classify")
    file = tmp_path / "photo.png"
    Image.new("RGB", (30, 20), "red").save(file, format="JPEG")
    item = datasets.add("birds", file, label="red")
    assert item.file.suffix == ".jpg"
    assert item.file.read_bytes() == file.read_bytes()


def test_pixels_and_recordings_become_files(tmp_path: Path) -> None:
    datasets.make("birds", "classify")
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    kept = datasets.add("birds", pixels, label="noise").file
    with Image.open(kept) as image:
        assert np.array_equal(np.asarray(image), pixels)
    datasets.make("moods", "sentiment")
    samples = np.random.default_rng(0).integers(-9000, 9000, 8_000, dtype=np.int16)
    item = datasets.add("moods", (16_000, samples), label="noise")
    assert item.file.suffix == ".wav"
    assert np.frombuffer(item.file.read_bytes()[44:], dtype=np.int16).tolist() == samples.tolist()


def test_what_is_no_picture_is_refused_and_nothing_stays(tmp_path: Path) -> None:
    made = datasets.make("birds", "classify")
    with pytest.raises(MmdemoError, match="text file"):
        datasets.add("birds", b"not a picture", label="x")
    with pytest.raises(MmdemoError, match="sound"):
        datasets.add("birds", (16_000, np.zeros(16_000, dtype=np.int16)), label="x")
    assert whole(made.folder) == []


def test_one_bad_file_of_many_does_not_keep_the_others_out(tmp_path: Path) -> None:
    made = datasets.make("birds", "classify")
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"\xff\xd8\xff nothing")
    datasets.add("birds", picture(tmp_path, 2), label="crow")
    seen: list[tuple[int, int]] = []
    added = datasets.add_many(
        "birds",
        [picture(tmp_path, 1), bad, picture(tmp_path, 2), picture(tmp_path, 1)],
        label="tit",
        say=lambda _, done, count: seen.append((done, count)),
    )
    assert len(added.items) == 2
    assert added.items[0] == added.items[1]  # the same picture again
    assert [problem.split(":")[0] for problem in added.problems] == ["bad.jpg", "2.png"]
    assert seen[-1] == (4, 4)
    assert len(whole(made.folder)) == 2


def test_wrong_words_are_said_once_for_many_files(tmp_path: Path) -> None:
    datasets.make("birds", "classify")
    with pytest.raises(MmdemoError, match="no name"):
        datasets.add_many("birds", [picture(tmp_path, 1), picture(tmp_path, 2)], label=" ")
    assert not datasets.read_dataset("birds").items


def test_a_file_leaves_with_its_last_item(tmp_path: Path) -> None:
    made = datasets.make("quiz", "ask")
    first = datasets.add("quiz", picture(tmp_path, 1), question="What?", answer="a")
    second = datasets.add("quiz", picture(tmp_path, 1), question="Where?", answer="b")
    datasets.remove("quiz", first.id)
    assert second.file.exists()
    datasets.remove("quiz", [second.id, "gone"])
    assert not second.file.exists()
    assert whole(made.folder) == []


# ---------------------------------------------------------------- words


def test_a_second_label_or_answer_is_refused_with_what_is_there(tmp_path: Path) -> None:
    datasets.make("birds", "classify")
    datasets.add("birds", picture(tmp_path, 1), label="tit")
    with pytest.raises(MmdemoError, match="as 'tit'"):
        datasets.add("birds", picture(tmp_path, 1), label="crow")
    assert datasets.read_dataset("birds").classes == ("tit",)
    datasets.make("quiz", "ask")
    datasets.add("quiz", picture(tmp_path, 1), question="What?", answer="tit")
    with pytest.raises(MmdemoError, match="the answer is 'tit'"):
        datasets.add("quiz", picture(tmp_path, 1), question="what?", answer="crow")


def test_editing_says_something_else_and_keeps_the_rest(tmp_path: Path) -> None:
    datasets.make("quiz", "ask")
    before = datasets.add("quiz", picture(tmp_path, 1), question="What?", answer="tit")
    after = datasets.edit("quiz", before.id, answer="crow")
    assert (after.id, after.question, after.answer) == (before.id, "What?", "crow")
    assert datasets.read_dataset("quiz").items == (after,)
    other = datasets.add("quiz", picture(tmp_path, 1), question="Where?", answer="tree")
    with pytest.raises(MmdemoError, match="answered already"):
        datasets.edit("quiz", other.id, question="what?")
    with pytest.raises(MmdemoError, match="gone"):
        datasets.edit("quiz", "nobody", answer="x")


@pytest.mark.parametrize(
    ("task", "said", "why"),
    [
        ("classify", {"label": "x" * 201}, "limit is 200"),
        ("classify", {"label": "none of these"}, "always added"),
        ("caption", {"caption": "x" * 501}, "limit is 500"),
        ("caption", {}, "caption is missing"),
        ("ask", {"question": "What?"}, "answer is missing"),
        ("ask", {"question": "x" * 301, "answer": "y"}, "limit is 300"),
        ("ask", {"answer": "y"}, "question"),
    ],
)
def test_words_have_limits(tmp_path: Path, task: str, said: dict[str, str], why: str) -> None:
    made = datasets.make("set", task)
    with pytest.raises(MmdemoError, match=why):
        datasets.add("set", picture(tmp_path, 1), **said)
    assert whole(made.folder) == []


def test_a_full_dataset_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmdemo.studio.datasets.items.MAX_ITEMS", 2)
    datasets.make("birds", "classify")
    added = datasets.add_many("birds", [picture(tmp_path, seed) for seed in range(3)], label="tit")
    assert len(added.items) == 2
    assert "full" in added.problems[0]


# ---------------------------------------------------------------- classes


def test_classes_may_be_empty_and_are_the_same_in_capitals(tmp_path: Path) -> None:
    assert datasets.make("birds", "classify", ["Tit", "tit", "Crow"]).classes == ("Tit", "Crow")
    assert datasets.add("birds", picture(tmp_path, 1), label=" TIT ").label == "Tit"
    assert datasets.add_class("birds", "crow").classes == ("Tit", "Crow")
    assert datasets.rename_class("birds", "Tit", "tit").items[0].label == "tit"
    with pytest.raises(MmdemoError, match="already a class"):
        datasets.rename_class("birds", "tit", "CROW")
    assert datasets.remove_class("birds", "tit").items == ()
    assert datasets.read_dataset("birds").classes == ("Crow",)
    datasets.make("sea", "caption")
    with pytest.raises(MmdemoError, match="no classes"):
        datasets.add_class("sea", "x")


# ---------------------------------------------------------------- datasets


def test_datasets_are_listed_renamed_and_deleted(tmp_path: Path, root: Path) -> None:
    datasets.make("birds", "classify")
    datasets.make("Quiz", "ask")
    (root / "broken").mkdir()
    (root / "broken" / "dataset.json").write_text("{", encoding="utf-8")
    (root / "brought").mkdir()
    assert [dataset.name for dataset in datasets.list_datasets()] == ["birds", "Quiz"]
    assert [dataset.name for dataset in datasets.list_datasets("ask")] == ["Quiz"]
    assert [folder.name for folder in datasets.list_folders()] == ["birds", "broken", "brought", "Quiz"]
    datasets.add("birds", picture(tmp_path, 1), label="tit")
    assert datasets.rename("birds", "my/birds").name == "my-birds"
    assert datasets.rename("my-birds", "My-Birds").name == "My-Birds"
    with pytest.raises(MmdemoError, match="already a dataset called 'Quiz'"):
        datasets.rename("My-Birds", "quiz")
    with pytest.raises(MmdemoError, match="already a dataset called 'Quiz'"):
        datasets.make("QUIZ", "ask")
    whole(root / "My-Birds")
    datasets.delete("My-Birds")
    datasets.delete("brought")
    assert sorted(place.name for place in root.iterdir()) == [".locks", "Quiz", "broken"]


@pytest.mark.parametrize("name", ["..", ".", "", "../other", "/tmp", "a/b", ".locks", "__pycache__", "nobody", "a\0b"])
def test_names_of_nothing_below_the_root_are_refused(tmp_path: Path, root: Path, name: str) -> None:
    (tmp_path / "other").mkdir()
    datasets.make("a", "ask")
    for act in (datasets.delete, datasets.read_dataset, lambda name: datasets.remove(name, "x")):
        with pytest.raises(MmdemoError, match="no dataset"):
            act(name)
    assert (tmp_path / "other").is_dir()
    assert root.is_dir()


def test_a_link_is_taken_away_and_what_it_leads_to_stays(tmp_path: Path, root: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    root.mkdir()
    (root / "link").symlink_to(mine)
    datasets.delete("link")
    assert mine.is_dir()
    assert not (root / "link").exists()


def test_an_export_comes_back_as_the_same_dataset(tmp_path: Path) -> None:
    made = datasets.make("Vögel 鸟", "classify", ["empty"])
    datasets.add(made.name, picture(tmp_path, 1), label="a/b")
    before = datasets.read_dataset(made.name)
    file = datasets.export(made.name, tmp_path / "out")
    assert file == tmp_path / "out" / "Vögel 鸟.zip"
    assert list(file.parent.iterdir()) == [file]
    datasets.delete(made.name)
    back = import_data.receive(file)
    after = datasets.read_dataset(back.name)
    assert back.name == made.name
    assert after == before
    assert not back.notes


def test_corrections_replace_what_was_said_of_the_same_input(tmp_path: Path) -> None:
    assert datasets.correct("classify", picture(tmp_path, 1), label="tit") == ("corrections-classify", 1)
    assert datasets.correct("classify", picture(tmp_path, 1), label="crow") == ("corrections-classify", 1)
    assert datasets.correct("classify", picture(tmp_path, 2), label="tit") == ("corrections-classify", 2)
    assert [item.label for item in datasets.read_dataset("corrections-classify").items] == ["crow", "tit"]
    datasets.correct("ask", picture(tmp_path, 1), question="What?", answer="a")
    datasets.correct("ask", picture(tmp_path, 1), question="WHAT?", answer="b")
    name, count = datasets.correct("ask", picture(tmp_path, 1), question="Where?", answer="c")
    assert (count, [item.answer for item in datasets.read_dataset(name).items]) == (2, ["b", "c"])
    datasets.correct("caption", picture(tmp_path, 1), caption="one")
    name, count = datasets.correct("caption", picture(tmp_path, 1), caption="two")
    assert (count, datasets.read_dataset(name).items[0].caption) == (1, "two")
    whole(datasets.read_dataset(name).folder)


# ---------------------------------------------------------------- tables from elsewhere


def test_tables_that_were_edited_by_hand_are_taken_as_they_are(tmp_path: Path) -> None:
    made = datasets.make("sea", "caption")
    datasets.add("sea", picture(tmp_path, 1), caption="one")
    table = made.folder / "captions.jsonl"
    row = json.loads(table.read_text(encoding="utf-8"))
    table.write_text(
        json.dumps({"file_name": row["file_name"], "captions": ["two", "three"], "licence": "CC0"}) + "\n",
        encoding="utf-8",
    )
    items = datasets.read_dataset("sea").items
    assert [item.caption for item in items] == ["two", "three"]
    datasets.edit("sea", items[0].id, caption="four")
    rows = whole(made.folder)
    assert [(row["captions"], row["licence"]) for row in rows] == [(["four"], "CC0"), (["three"], "CC0")]


def test_a_table_from_elsewhere_cannot_show_or_delete_other_files(tmp_path: Path) -> None:
    made = datasets.make("birds", "classify")
    secret = picture(tmp_path, 9)
    kept = datasets.add("birds", picture(tmp_path, 1), label="tit")
    with (made.folder / "metadata.jsonl").open("a", encoding="utf-8") as table:
        for number, name in enumerate((str(secret), "../../given/9.png")):
            table.write(json.dumps({"file_name": name, "label": "x", "id": str(number)}) + "\n")
        table.write(json.dumps({"file_name": kept.file.relative_to(made.folder).as_posix(), "label": "y", "id": "2"}))
    dataset = datasets.read_dataset("birds")
    assert [item.id for item in dataset.items] == [kept.id, "2"]
    assert dataset.missing == (str(secret), "../../given/9.png")
    datasets.remove("birds", ["0", "1", "2"])
    assert secret.exists()
    assert len(whole(made.folder)) == 1


def test_files_that_were_put_there_by_hand_stay_until_their_row_is_removed(tmp_path: Path) -> None:
    made = datasets.make("birds", "classify")
    datasets.add("birds", picture(tmp_path, 1), label="tit")
    mine = [write_picture(made.folder / "files" / f"mine {number}.png", 10 + number) for number in range(2)]
    with (made.folder / "metadata.jsonl").open("a", encoding="utf-8") as table:
        table.write(json.dumps({"file_name": "files/mine 1.png", "label": "crow"}) + "\n")
    datasets.add("birds", picture(tmp_path, 2), label="tit")
    assert all(file.exists() for file in mine)
    datasets.remove_class("birds", "crow")
    assert [file.exists() for file in mine] == [True, False]


def test_files_that_somebody_moved_away_do_not_cost_their_words(tmp_path: Path) -> None:
    made = datasets.make("birds", "classify")
    datasets.add_many("birds", [picture(tmp_path, seed) for seed in range(3)], label="tit")
    (made.folder / "files").rename(tmp_path / "away")
    with pytest.raises(MmdemoError, match="Most files of birds are gone"):
        datasets.add("birds", picture(tmp_path, 5), label="tit")
    (tmp_path / "away").rename(made.folder / "files")
    assert len(datasets.read_dataset("birds").items) == 3


# ---------------------------------------------------------------- while a run learns from it


def test_a_dataset_stays_where_it_is_while_a_run_reads_it(tmp_path: Path) -> None:
    made = datasets.make("birds", "classify")
    first = datasets.add("birds", picture(tmp_path, 1), label="tit")
    trainer = tmp_path / "checkpoints" / "run-1" / "trainer"
    trainer.mkdir(parents=True)
    request = {"arguments": ["classify", "--data", str(made.folder)], "task": "classify", "data": [str(made.folder)]}
    (trainer / "request.json").write_text(json.dumps(request), encoding="utf-8")
    status = {"state": "training", "pid": os.getpid(), "born": born(os.getpid())}
    (trainer / "status.json").write_text(json.dumps(status), encoding="utf-8")
    with pytest.raises(MmdemoError, match="the run run-1 is learning from it"):
        datasets.rename("birds", "others")
    with pytest.raises(MmdemoError, match="the run run-1 is learning from it"):
        datasets.delete("birds")
    datasets.remove("birds", first.id)
    assert first.file.exists()  # the run may still read it
    (trainer / "status.json").write_text(json.dumps({**status, "state": "done"}), encoding="utf-8")
    datasets.add_class("birds", "crow")
    assert not first.file.exists()
    datasets.delete("birds")


# ---------------------------------------------------------------- at once, and cut short

_CHANGE = """
import os, sys
from pathlib import Path
from mmdemo.studio import datasets
stop = int(sys.argv[2])
count, real = 0, os.fsync
def fsync(handle):
    global count
    count += 1
    if count == stop:
        os._exit(9)  # as if the machine were switched off
    real(handle)
os.fsync = fsync
given = Path(sys.argv[1])
datasets.add("birds", given / "2.png", label="crow")
datasets.remove("birds", [item.id for item in datasets.read_dataset("birds").items if item.label == "tit"])
print("done")
"""


@pytest.mark.parametrize("stop", range(1, 10))
def test_whenever_a_change_is_cut_short_no_row_names_a_missing_file(tmp_path: Path, stop: int) -> None:
    made = datasets.make("birds", "classify")
    datasets.add("birds", picture(tmp_path, 1), label="tit")
    picture(tmp_path, 2)
    command = [sys.executable, "-c", _CHANGE, str(tmp_path / "given"), str(stop)]
    ended = subprocess.run(command, env=dict(os.environ), cwd=Path.cwd(), capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (9 if stop < 9 else 0, "")  # eight writes reach the disk
    dataset = datasets.read_dataset("birds")
    assert not dataset.missing
    assert [item.label for item in dataset.items] in (["tit"], ["tit", "crow"], ["crow"])
    datasets.add_class("birds", "any")  # the next change tidies up
    whole(made.folder)


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = datasets.make("birds", "classify")
    datasets.add("birds", picture(tmp_path, 1), label="tit")
    before = whole(made.folder)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(MmdemoError, match="No space left"):
            datasets.add("birds", picture(tmp_path, 2), label="crow")
    assert whole(made.folder) == before


def test_changes_of_several_windows_are_all_kept(tmp_path: Path) -> None:
    made = datasets.make("birds", "classify")
    files = [[picture(tmp_path, 10 * window + seed) for seed in range(6)] for window in range(3)]
    failures: list[BaseException] = []

    def window(number: int) -> None:
        try:
            for file in files[number]:
                datasets.add("birds", file, label=f"class {number}")
        except BaseException as error:
            failures.append(error)

    windows = [threading.Thread(target=window, args=(number,)) for number in range(2)]
    script = "import sys\nfrom pathlib import Path\nfrom mmdemo.studio import datasets\n"
    script += "for file in sys.argv[1:]: datasets.add('birds', Path(file), label='class 2')"
    other = subprocess.Popen([sys.executable, "-c", script, *map(str, files[2])], cwd=Path.cwd())
    for thread in windows:
        thread.start()
    for thread in windows:
        thread.join()
    assert other.wait() == 0
    assert not failures
    assert len(whole(made.folder)) == 18


class Editing(RuleBasedStateMachine):
    """Any sequence of changes: what is read is what was done, and table and files agree."""

    @initialize()
    def start(self) -> None:
        for dataset in datasets.list_datasets():
            datasets.delete(dataset.name)
        self.folder = datasets.make("birds", "classify").folder
        self.labels: dict[int, str] = {}
        self.classes: set[str] = set()

    @rule(seed=st.integers(0, 5), label=st.sampled_from("abc"))
    def add(self, seed: int, label: str) -> None:
        there = self.labels.get(seed)
        try:
            datasets.add("birds", self.pixels(seed), label=label)
        except MmdemoError:
            assert there not in (None, label)
            return
        assert there in (None, label)
        self.labels[seed] = label
        self.classes.add(label)

    @rule(seed=st.integers(0, 5), label=st.sampled_from("abc"))
    def edit(self, seed: int, label: str) -> None:
        if seed in self.labels:
            datasets.edit("birds", self.ids()[seed], label=label)
            self.labels[seed] = label
            self.classes.add(label)

    @rule(seeds=st.sets(st.integers(0, 5)))
    def remove(self, seeds: set[int]) -> None:
        ids = self.ids()
        datasets.remove("birds", [ids[seed] for seed in seeds if seed in ids])
        self.labels = {seed: label for seed, label in self.labels.items() if seed not in seeds}

    @rule(label=st.sampled_from("abc"))
    def remove_class(self, label: str) -> None:
        if label in self.classes:
            datasets.remove_class("birds", label)
            self.classes.discard(label)
            self.labels = {seed: one for seed, one in self.labels.items() if one != label}

    @rule(label=st.sampled_from("abc"), new=st.sampled_from("abc"))
    def rename_class(self, label: str, new: str) -> None:
        if label in self.classes and (new == label or new not in self.classes):
            datasets.rename_class("birds", label, new)
            self.classes = {new if one == label else one for one in self.classes}
            self.labels = {seed: new if one == label else one for seed, one in self.labels.items()}

    @invariant()
    def agree(self) -> None:
        if hasattr(self, "folder"):
            rows = whole(self.folder)
            assert sorted(str(row["label"]) for row in rows) == sorted(self.labels.values())
            assert set(datasets.read_dataset("birds").classes) == self.classes

    def ids(self) -> dict[int, str]:
        found = {}
        for item in datasets.read_dataset("birds").items:
            with Image.open(item.file) as image:
                found[np.asarray(image)[0, 0, 0] // 40] = item.id
        return found

    def pixels(self, seed: int) -> np.ndarray:
        return np.full((18, 18, 3), 40 * seed, dtype=np.uint8)


def test_any_sequence_of_changes_keeps_table_and_files_together() -> None:
    run_state_machine_as_test(Editing, settings=settings(max_examples=15, stateful_step_count=12))


# ---------------------------------------------------------------- tables that somebody edited by hand


def test_a_table_that_is_gone_or_empty_takes_no_picture_with_it(tmp_path: Path, root: Path) -> None:
    datasets.make("birds", "classify")
    datasets.add_many("birds", [picture(tmp_path, seed) for seed in range(4)], label="tit")
    table, before = root / "birds" / "metadata.jsonl", (root / "birds" / "metadata.jsonl").read_text(encoding="utf-8")
    table.unlink()
    with pytest.raises(MmdemoError, match=r"The table of birds is gone: nothing says what its 4 files are\. Put meta"):
        datasets.add("birds", picture(tmp_path, 9), label="tit")
    table.write_text("", encoding="utf-8")
    new = datasets.add("birds", picture(tmp_path, 9), label="tit")
    assert len(list((root / "birds" / "files").iterdir())) == 5
    table.write_text(before + table.read_text(encoding="utf-8"), encoding="utf-8")  # nothing was lost for good
    assert len(datasets.read_dataset("birds").items) == 5
    datasets.remove("birds", new.id)
    assert len(whole(root / "birds")) == 4


def test_a_damaged_set_is_named_with_what_is_wrong(tmp_path: Path, root: Path) -> None:
    for name, task in (("birds", "classify"), ("words", "caption"), ("clips", "sentiment")):
        datasets.make(name, task)
    (root / "birds" / "metadata.jsonl").write_text('{"file_name": "files/a', encoding="utf-8")
    (root / "clips" / "dataset.json").write_text("{", encoding="utf-8")
    found, damaged = datasets.survey("classify")
    assert found == datasets.list_datasets("classify") == ()
    assert [str(error).split(" cannot")[0] for error in damaged] == [
        f"Line 1 of {root / 'birds' / 'metadata.jsonl'}",
        "clips",
    ]
    assert [dataset.name for dataset in datasets.survey("caption")[0]] == ["words"]
    assert len(datasets.survey("caption")[1]) == 1  # nobody knows what the clips are for
