"""Cached features: computed once, found again by what they were made of, resumed where an interruption left them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from mmdemo.core.errors import MmdemoError
from mmdemo.data import clips, pictures, texts
from mmdemo.data.features import Store, file_hash, file_hashes, text_key
from mmdemo.data.pictures import Views, crop
from mmdemo.models.encoders import VisionEncoder, load_text, load_vision
from mmdemo.nets.speech import EmotionNet, SpeechConfig
from mmdemo.tasks.base import grids
from mmdemo.tasks.pictures import FeatureLevel, at_cut, grid_of
from mmdemo.tasks.tune import Tune
from tests.small_bases import draw, write_text, write_vision
from tests.sounds import speech_like

EAR = SpeechConfig(width=16, heads=2, layers=1, inner=32, mel_bins=20, labels=3, pooling=4)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> VisionEncoder:
    return load_vision(write_vision(tmp_path_factory.mktemp("vision") / "vision-base"))


@pytest.fixture
def encoded(vision: VisionEncoder) -> Iterator[list[int]]:
    """How many pictures each pass of the trunk's first layer had."""
    seen: list[int] = []
    handle = vision.trunk.net.conv_stem.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    yield seen
    handle.remove()


def drawn(folder: Path, count: int) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for i in range(count):
        draw("red", "dog", i).save(folder / f"{i}.png")
    return sorted(folder.iterdir())


# ---------------------------------------------------------------- stores


def keys(count: int) -> list[str]:
    return [text_key(str(i)) for i in range(count)]


def test_rows_are_found_again_and_read_from_the_disk() -> None:
    store, some = Store("made", "by a test"), keys(5)
    block = np.arange(10, dtype=np.float16).reshape(5, 2)
    assert store.rows("plain", some) == {}
    with store.lock():
        store.append("plain", some[:3], block[:3])
        store.append("plain", some[3:], list(block[3:]))
        store.append("plain", [], [])
    rows = Store("made", "by a test").rows("plain", [some[4], some[0], text_key("another")])
    assert list(rows) == [some[4], some[0]]
    assert all(isinstance(row, np.memmap) and not row.flags.writeable for row in rows.values())
    np.testing.assert_array_equal(rows[some[4]], block[4])
    assert store.rows("mirror", some) == {}
    assert Store("made", "by another").rows("plain", some) == {}
    with pytest.raises(ValueError, match=r"rows of float16 \(2,\) are kept there, not of float32 \(2,\)"):
        store.append("plain", keys(6)[5:], block[:1].astype(np.float32))


def test_rows_of_different_length() -> None:
    store, some = Store("made", "unevenly", ragged=True), keys(4)
    rows = [np.full((length, 2), length, np.float32) for length in (3, 0, 1, 2)]
    with store.lock():
        store.append("plain", some[:2], rows[:2])
        store.append("plain", some[2:], rows[2:])
    for row, found in zip(rows, store.rows("plain", some).values(), strict=True):
        np.testing.assert_array_equal(found, row)
    empty = Store("made", "of nothing", ragged=True)
    with empty.lock():
        empty.append("plain", some[:1], rows[1:2])
    assert empty.rows("plain", some)[some[0]].shape == (0, 2)


@pytest.mark.parametrize("kind", ["rows", "keys"])
def test_what_an_interruption_leaves_is_cut_off(kind: str) -> None:
    store, some = Store("made", "in part"), keys(4)
    block = np.arange(8, dtype=np.float32).reshape(4, 2)
    with store.lock():
        store.append("plain", some[:2], block[:2])
    with (store.folder / f"plain.{kind}").open("ab") as file:
        file.write(b"half a ro")
    assert list(store.rows("plain", some)) == some[:2]
    with store.lock():
        store.append("plain", some[2:], block[2:])
    np.testing.assert_array_equal(np.stack(list(store.rows("plain", some).values())), block)


def test_keys_whose_rows_were_lost_are_forgotten() -> None:
    store, some = Store("made", "and lost"), keys(5)
    block = np.arange(10, dtype=np.float32).reshape(5, 2)
    with store.lock():
        store.append("plain", some[:3], block[:3])
    os.truncate(store.folder / "plain.rows", 12)  # one row and a half
    assert list(store.rows("plain", some)) == some[:1]
    with store.lock():
        store.append("plain", some[3:], block[3:])
    rows = store.rows("plain", some)
    assert list(rows) == [some[0], some[3], some[4]]
    np.testing.assert_array_equal(np.stack(list(rows.values())), block[[0, 3, 4]])


def test_a_cache_that_cannot_be_written_is_named(cache: Path) -> None:
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("not a folder")
    with pytest.raises(MmdemoError, match=r"feature cache cannot be written: .*cache"), Store("made", "x").lock():
        pass


# ---------------------------------------------------------------- hashes of files


def test_files_are_read_again_only_where_they_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_bytes(file.name.encode())
        os.utime(file, (1e9, 1e9))
    wanted = {file: file_hash(file) for file in files}
    read: list[str] = []

    def counted(path: Path) -> str:
        read.append(path.name)
        return file_hash(path)

    monkeypatch.setattr("mmdemo.data.features.file_hash", counted)
    assert file_hashes(files) == wanted
    assert file_hashes(reversed(files)) == wanted
    assert read == ["a", "b"]
    files[1].write_bytes(b"c")  # of the same size, and its time is set back: the time of change tells
    os.utime(files[1], (1e9, 1e9))
    assert file_hashes(files)[files[1]] != wanted[files[1]]
    assert read == ["a", "b", "b"]
    files[0].write_bytes(b"d")  # just now: it may change again before the clock does
    assert file_hashes(files)[files[0]] == file_hash(files[0])
    file_hashes(files)
    assert read == ["a", "b", "b", "a", "a"]
    with pytest.raises(MmdemoError, match="gone cannot be used: No such file"):
        file_hashes([tmp_path / "gone"])


def test_damaged_notes_of_hashes_are_started_anew(tmp_path: Path, cache: Path) -> None:
    cache.mkdir()
    (cache / "files.sqlite3").write_text("this is no database, and far longer than a header of one would be " * 20)
    file = tmp_path / "a"
    file.write_bytes(b"1")
    assert file_hashes([file]) == {file: file_hash(file)}


# ---------------------------------------------------------------- pictures


def test_pictures_and_their_mirror_images(tmp_path: Path, vision: VisionEncoder) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    picture = draw("red", "dog", 0)
    picture.save(folder / "one.png")
    picture.transpose(0).save(folder / "two.png")  # left and right exchanged
    files = [folder / "one.png", folder / "two.png"]
    found = pictures.grids(files, vision, Views(mirror=True))
    assert found[files[0]][0].shape == (1280, 2, 2)
    assert found[files[0]][0].dtype == np.uint8
    one, two = (grids([view]) for view in (found[files[0]][1], found[files[1]][0]))
    assert float((one - two).abs().max()) < 0.05
    assert len(pictures.grids(files[:1], vision)[files[0]]) == 1
    assert pictures.stems(files, vision)[files[0]][0].shape == (120, 4, 4)
    assert pictures.imagenet(files, vision)[files[1]][0].shape == (1000,)
    squares = pictures.squares(files, 64, Views(mirror=True))
    np.testing.assert_array_equal(squares[files[0]][1], squares[files[1]][0])
    with pytest.raises(MmdemoError, match=r"three\.png cannot be used"):
        pictures.grids([folder / "three.png"], vision)


def test_only_what_is_new_is_encoded(tmp_path: Path, vision: VisionEncoder, encoded: list[int]) -> None:
    files = drawn(tmp_path / "set", 5)
    first = pictures.grids(files, vision)
    assert sum(encoded) == 5
    again = pictures.grids(files, vision)
    assert sum(encoded) == 5
    assert all(isinstance(view, np.memmap) for views in again.values() for view in views)
    draw("blue", "car", 9).save(files[0])
    draw("green", "car", 9).save(tmp_path / "set" / "new.png")
    (tmp_path / "elsewhere").mkdir()
    moved = files[1].rename(tmp_path / "elsewhere" / "renamed.png")
    found = pictures.grids([files[0], moved, *files[2:], tmp_path / "set" / "new.png"], vision)
    assert sum(encoded) == 7
    np.testing.assert_array_equal(found[moved][0], first[files[1]][0])
    assert not np.array_equal(found[files[0]][0], first[files[0]][0])
    pictures.grids(files[2:], vision, Views(mirror=True))
    assert sum(encoded) == 10


def test_another_encoder_makes_features_of_its_own(tmp_path: Path, vision: VisionEncoder) -> None:
    import copy

    files = drawn(tmp_path / "set", 2)
    first = pictures.grids(files, vision)
    trunk = copy.deepcopy(vision.trunk)
    with torch.no_grad():
        trunk.net.bn2.bias.add_(0.5)
    other = VisionEncoder(trunk, name="other", hash="0" * 64)
    assert other.stem_hash == vision.stem_hash
    pictures.stems(files, vision)
    seen: list[int] = []
    handle = trunk.net.conv_stem.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    second = pictures.grids(files, other)
    handle.remove()
    assert seen == []  # what lies below the cut was there already
    assert not np.array_equal(first[files[0]][0], second[files[0]][0])
    with torch.no_grad():
        trunk.net.bn1.bias.add_(0.5)
    assert other.stem_hash != vision.stem_hash


def test_what_is_made_of_kept_features_is_what_pixels_would_give(tmp_path: Path, vision: VisionEncoder) -> None:
    files = drawn(tmp_path / "set", 3)
    direct = pictures.pooled_grids(files, vision)
    assert direct[files[0]][0].shape == (1280,)
    kept = pictures.grids(files, vision)
    (pictures.Store("pooled", pictures._whole(vision)).folder / "upright.keys").unlink()
    of_grids = pictures.pooled_grids(files, vision)
    for file in files:
        np.testing.assert_allclose(of_grids[file][0], direct[file][0], atol=0.02)
        np.testing.assert_allclose(grids([kept[file][0]]).mean(dim=(2, 3))[0].numpy(), of_grids[file][0], atol=0.01)


def test_an_interrupted_caching_goes_on(
    tmp_path: Path, vision: VisionEncoder, encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "mmdemo.data.pictures.chunks", lambda values: (values[i : i + 2] for i in range(0, len(values), 2))
    )
    files = drawn(tmp_path / "set", 6)

    def stop(what: str, done: int, count: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pictures.grids(files, vision, say=stop)
    assert sum(encoded) == 4
    assert len(pictures.grids(files, vision)) == 6
    assert sum(encoded) == 6


def test_files_that_are_no_pictures_are_left_out(tmp_path: Path, vision: VisionEncoder) -> None:
    files = drawn(tmp_path / "set", 3)
    files[1].write_bytes(b"not a picture")
    said: list[str] = []
    found = pictures.stems(files, vision, Views(mirror=True), say=lambda what, *_: said.append(what))
    assert list(found) == [files[0], files[2]]
    assert said[-1] == "left out, cannot be read: 1.png"
    assert list(pictures.grids([files[1]], vision)) == []


def test_crops_are_the_same_every_time_and_show_most_of_the_picture(tmp_path: Path, vision: VisionEncoder) -> None:
    y, x = np.mgrid[0:100, 0:200]
    pixels = np.stack([x, y, 0 * x], axis=2).astype(np.uint8)
    key, other = text_key("one"), text_key("other")
    one = crop(pixels, key, 1)
    np.testing.assert_array_equal(crop(pixels, key, 1), one)
    seen = {(c[0, 0, 0], c[0, 0, 1], *c.shape) for c in (crop(pixels, k, n) for k in (key, other) for n in range(1, 9))}
    assert len(seen) == 16
    for _, _, height, width, _ in seen:
        assert 0.55 <= height * width / 20_000 <= 1
    views = Views(mirror=True, crops=2)
    assert [name.partition("-")[0] for name in views.names()] == ["upright", "crop1", "crop2", "mirror"]
    files = drawn(tmp_path / "set", 1)
    squares = pictures.squares(files, 64, views)[files[0]]
    assert len(squares) == 4
    assert len({square.tobytes() for square in squares}) == 4
    np.testing.assert_array_equal(squares[3], squares[0][:, ::-1])
    assert len(pictures.grids(files, vision, views)[files[0]]) == 4


@pytest.mark.parametrize("tune", ["head", "last:1", "last:2", "last:3", "lora", "all"])
def test_a_batch_reaches_the_grid_from_wherever_it_was_cut(tmp_path: Path, vision: VisionEncoder, tune: str) -> None:
    files = drawn(tmp_path / "set", 2)
    cut = FeatureLevel.below(Tune.parse(tune), vision.trunk)
    assert cut is {"head": FeatureLevel.GRID, "last:1": FeatureLevel.STEM, "last:2": FeatureLevel.STEM}.get(
        tune, FeatureLevel.PIXELS
    )
    found = pictures.seen(files, vision, tune=Tune.parse(tune), say=None)
    batch = at_cut([found[file][0] for file in files])
    assert list(batch) == [cut.value]
    with torch.autocast("cpu", dtype=torch.bfloat16):  # as they are cached
        wanted = vision.trunk(at_cut([pictures.squares(files, 64)[file][0] for file in files])["pixels"])
        assert float((grid_of(vision.trunk, batch).float() - wanted.float()).abs().max()) < 0.05


# ---------------------------------------------------------------- texts


def test_texts_with_and_without_anything_to_encode(tmp_path: Path) -> None:
    text = load_text(write_text(tmp_path / "text"))
    said = ["a red dog", "dog", "a dog on the grass", "dog"]
    vectors = texts.vectors(said, text)
    assert vectors.keys() == set(said)
    wanted = text.vectors(list(vectors))
    for vector, plain in zip(vectors.values(), wanted, strict=True):
        assert float(vector @ plain) > 0.99
    exact = texts.vectors(said, text, exact=True)
    np.testing.assert_allclose(np.stack(list(exact.values())), wanted, atol=1e-6)
    states = texts.states(said, text)
    assert states["dog"].shape == (3, 32)  # [CLS], the word, [SEP]
    assert states["a dog on the grass"].shape == (7, 32)
    assert texts.vectors([], text) == {}
    assert texts.states([], text) == {}


def test_only_new_texts_are_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = load_text(write_text(tmp_path / "text"))
    asked: list[str] = []
    encode = text.encoded
    monkeypatch.setattr(text, "encoded", lambda some: asked.extend(some) or encode(some))
    texts.vectors(["a dog", "a cat"], text)
    found = texts.vectors(["a cat", "a car", "a dog"], text)
    assert sorted(asked) == ["a car", "a cat", "a dog"]
    assert all(isinstance(vector, np.memmap) for vector in found.values())


# ---------------------------------------------------------------- clips


def spoken(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    for i in range(count):
        sf.write(folder / f"{i}.wav", speech_like(0.6, rate=16_000, seed=i), 16_000)
    return sorted(folder.iterdir())


def test_clips_are_prepared_once_and_their_features_heard_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = spoken(tmp_path / "voices", 3)
    (tmp_path / "voices" / "broken.wav").write_bytes(b"RIFF")
    found = clips.clips([*files, tmp_path / "voices" / "broken.wav"])
    assert list(found) == files
    assert all(isinstance(clip, np.memmap) and clip.dtype == np.float16 for clip in found.values())
    monkeypatch.setattr("mmdemo.data.clips.load_sound", None)  # not called again
    again = clips.clips(files)
    np.testing.assert_array_equal(again[files[2]], found[files[2]])

    torch.manual_seed(0)
    ear = EmotionNet(EAR).eval()
    heard: list[int] = []
    handle = ear.encoder.conv1.register_forward_hook(lambda _, inputs, __: heard.append(len(inputs[0])))
    first = clips.features(found, ear, views=4)
    assert sum(heard) == 15
    assert all(isinstance(row, np.memmap) and row.shape == (64,) for rows in first.values() for row in rows)
    assert len({row.tobytes() for row in first[files[0]]}) == 5
    clips.features(found, ear, views=2)
    assert sum(heard) == 15
    with torch.no_grad():
        ear.classifier.weight.add_(1.0)  # the head does not matter
        ear.pooling.project.weight.add_(1.0)  # nor this, as long as no token counts more than another
    clips.features(found, ear)
    assert sum(heard) == 15
    with torch.no_grad():
        ear.pooling.score.weight.add_(1.0)
    assert not np.array_equal(clips.features(found, ear)[files[0]][0], first[files[0]][0])
    assert sum(heard) == 18
    handle.remove()


def test_changed_clips_are_the_same_every_time() -> None:
    samples, key = torch.from_numpy(speech_like(0.5, rate=16_000, seed=1).astype(np.float32)), text_key("a clip")
    views = [clips.changed_view(samples, key, number) for number in range(6)]
    assert torch.equal(views[0], samples)
    assert len(views[1]) == round(len(samples) / 0.9)
    assert len(views[2]) == round(len(samples) / 1.1)
    assert len(views[3]) == len(samples)
    for number, view in enumerate(views):
        assert torch.equal(clips.changed_view(samples, key, number), view)
    assert not torch.equal(clips.changed_view(samples, text_key("another"), 3), views[3])
