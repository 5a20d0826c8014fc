"""Promise: what is damaged is refused by name, is listed with file and reason, and takes nothing else away."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from mmdemo.cli.program import app
from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import Unreadable, parse_json
from mmdemo.core.types import SentimentRequest
from mmdemo.core.writing import harmless_cell, json_text
from mmdemo.data.tables import read_rows
from mmdemo.models import checkpoint, probe, registry, weights
from mmdemo.models.hub import installed
from mmdemo.models.loading import load, read
from mmdemo.runs.reading import State, list_runs
from mmdemo.studio import datasets, import_model
from tests.fuzz import seeds
from tests.sealed import seal

DEEP = "[" * 100_000
FILES = ("config.json", "metrics.json", "probe.json")
Change = Callable[[Path], object]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two checkpoints that work, and one called "mine" to be damaged."""
    before = dict(os.environ)
    place = seeds.checkpoints(tmp_path)
    seeds.link(place / "sentiment-base", place / "mine")
    yield place
    os.environ.clear()
    os.environ.update(before)


def change_tensor(folder: Path, value: float) -> str:
    """Put a value into the middle of the largest tensor, and note the checksums anew; returns its name."""
    tensors = load_file(folder / "model.safetensors")
    name = max(tensors, key=lambda one: tensors[one].numel())
    tensors[name].view(-1)[tensors[name].numel() // 2] = value
    save_file(tensors, folder / "model.safetensors")
    seal(folder)
    return name


# ---------------------------------------------------------------- weights


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_no_numbers_are_refused_by_tensor(root: Path, tmp_path: Path, value: float) -> None:
    import_model.export("mine", tmp_path / "good.zip")
    name = change_tensor(root / "mine", value)
    with pytest.raises(MmdemoError, match=rf"mine cannot be loaded: tensor {name} holds values that are no numbers"):
        load("sentiment", "mine", device="cpu")
    with pytest.raises(MmdemoError, match=f"tensor {name} holds"):
        import_model.export("mine", tmp_path / "bad.zip")
    assert not (tmp_path / "bad.zip").exists()
    shutil.make_archive(str(tmp_path / "sent"), "zip", root, "mine")
    with pytest.raises(MmdemoError, match=f"tensor {name} holds"):
        import_model.receive(tmp_path / "sent.zip")


def test_a_flipped_byte_is_refused_by_tensor(root: Path) -> None:
    file = root / "mine" / "model.safetensors"
    whole = bytearray(file.read_bytes())
    start = 8 + int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8:start])
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        flipped = bytearray(whole)
        flipped[start + entry["data_offsets"][0]] ^= 1
        file.write_bytes(flipped)
        with pytest.raises(MmdemoError, match=rf"tensor {name} of model\.safetensors differs"):
            load("sentiment", "mine", device="cpu")
    file.write_bytes(whole)
    load("sentiment", "mine", device="cpu")


def test_a_flipped_byte_of_a_part_is_refused_by_tensor(root: Path) -> None:
    shutil.copytree(root / "vision-base", root / "real")
    (root / "vision-base").unlink()
    (root / "real").rename(root / "vision-base")
    file = root / "vision-base" / "model.safetensors"
    whole = bytearray(file.read_bytes())
    whole[-1] ^= 1
    file.write_bytes(whole)
    with pytest.raises(MmdemoError, match=r"vision-base cannot be loaded: tensor \S+ of model\.safetensors differs"):
        load("caption", "caption-base", device="cpu")


def test_a_checkpoint_of_an_older_version_loads_and_says_that_it_has_no_checksum(root: Path) -> None:
    config = json.loads((root / "mine" / "config.json").read_bytes())
    del config["weights"]
    (root / "mine" / "config.json").write_text(json.dumps(config))
    assert load("sentiment", "mine", device="cpu").card.limits[-1] == registry.NO_CHECKSUM
    cards = {card.id: card for card in registry.list_models()}
    assert registry.NO_CHECKSUM in cards["mine"].limits
    assert registry.NO_CHECKSUM not in cards["sentiment-base"].limits


def test_the_shipped_checkpoints_carry_checksums() -> None:
    from mmdemo.core.settings import ROOT

    shipped = sorted((ROOT / "checkpoints").glob("*-base"))
    assert len(shipped) == 6
    for folder in shipped:
        config = checkpoint.read_config(folder)
        assert config.weights == weights.checksums(folder / "model.safetensors"), folder.name


def test_a_file_is_hashed_once_for_each_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"x" * 1000)
    monkeypatch.setattr(weights, "SETTLED", -1.0)
    first = weights.file_hash(file)
    read_again: list[object] = []
    monkeypatch.setattr(weights.hashlib, "file_digest", lambda *given: read_again.append(given))
    assert weights.file_hash(file) == first
    assert not read_again


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_probe_that_is_no_number_proves_nothing(root: Path, value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    model = read(root / "mine", device="cpu")
    made = probe.answers(model.predict(probe.requests("sentiment")))
    monkeypatch.setattr(probe, "answers", lambda results: [dict.fromkeys(answer, value) for answer in made])
    with pytest.raises(MmdemoError, match="its probe differs: input 1"):
        probe.check(model, root / "mine")


def test_a_probe_cannot_allow_everything(root: Path) -> None:
    told = json.loads((root / "mine" / "probe.json").read_bytes())
    for tolerance in (1.0, 1e9, -1, "x", None, True):
        (root / "mine" / "probe.json").write_text(json.dumps({**told, "tolerance": tolerance}))
        with pytest.raises(MmdemoError, match=r"its probe\.json is not valid"):
            load("sentiment", "mine", device="cpu")


def test_scores_that_are_no_numbers_are_no_answer(root: Path) -> None:
    model = read(root / "mine", device="cpu")
    with torch.no_grad():
        model.net.classifier.bias.fill_(math.nan)  # type: ignore[attr-defined]
    request = SentimentRequest(sound=probe.made_sound(0))
    with pytest.raises(MmdemoError, match="mine has no answer to this: its scores are no numbers"):
        model.predict([request])
    with pytest.raises(MmdemoError, match="its scores are no numbers"):
        list(model.stream(request))


def test_json_leaves_without_nan() -> None:
    for value in (math.nan, math.inf, [1.0, -math.inf], {"a": {"b": math.nan}}):
        with pytest.raises(MmdemoError, match="NaN or infinite"):
            json_text(value)


# ---------------------------------------------------------------- folders


def garbage() -> dict[str, bytes]:
    return {
        "deep": DEEP.encode(),
        "deep objects": b'{"a":' * 100_000,
        "nan": b'{"metrics": NaN, "schema": NaN}',
        "digits": b'{"schema": ' + b"9" * 5000 + b"}",
        "utf-8": b'{"schema": "\xff"}',
        "half": b'{"schema": 1, "task": "\\ud83d"}',
        "nothing": b"",
        "number": b"5",
        "list": b"[]",
    }


@pytest.mark.parametrize("kind", garbage())
@pytest.mark.parametrize("file", FILES)
def test_one_bad_folder_is_listed_as_damaged_and_stops_nothing(root: Path, file: str, kind: str) -> None:
    (root / "mine" / file).write_bytes(garbage()[kind])
    check_damaged(root, file)


def pipe(file: Path) -> None:
    os.mkfifo(file)


def huge(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(64 << 20)


@pytest.mark.parametrize("make", [Path.mkdir, pipe, huge, lambda file: file.symlink_to("/dev/zero")])
@pytest.mark.parametrize("file", [*FILES, "model.safetensors"])
@pytest.mark.timeout(60)
def test_what_is_no_small_file_is_never_read(root: Path, file: str, make: Change) -> None:
    if make is huge and file == "model.safetensors":
        pytest.skip("weights may be large")
    (root / "mine" / file).unlink()
    make(root / "mine" / file)
    check_damaged(root, file)


def deep_header(file: Path) -> None:
    file.write_bytes(len(DEEP).to_bytes(8, "little") + DEEP.encode())


@pytest.mark.parametrize(
    "change",
    [
        deep_header,
        lambda file: file.write_bytes((2**63).to_bytes(8, "little") + file.read_bytes()[8:]),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"\x02" + bytes(7) + b"[]"),
    ],
)
def test_a_bad_header_is_listed_as_damaged(root: Path, change: Change) -> None:
    change(root / "mine" / "model.safetensors")
    check_damaged(root, "model.safetensors")


@pytest.mark.parametrize(
    "field",
    [
        {"net": 5},
        {"net": {"width": {}}},
        {"labels": "abc"},
        {"labels": [1, 2, 3]},
        {"task": ["sentiment"]},
        {"settings": {"x": {"y": 1}}},
        {"calibration": {"temperature": "hot"}},
        {"calibration": 3},
        {"card": {"limits": 7}},
        {"card": {"summary": None}},
        {"parts": {"vision": {"name": 7, "hash": "x"}}},
        {"parts": {"vision": {"name": "x" * 300, "hash": "x"}}},
        {"parts": {"vision": {"name": "../x", "hash": "x"}}},
        {"parts": {"vision": {"name": "a\0b", "hash": "x"}}},
        {"parts": [1]},
        {"weights": {"sha256": 5}},
        {"weights": 5},
    ],
)
def test_fields_of_another_kind_are_refused(root: Path, field: dict[str, object]) -> None:
    config = json.loads((root / "mine" / "config.json").read_bytes())
    (root / "mine" / "config.json").write_text(json.dumps({**config, **field}))
    check_damaged(root, "config.json")


def check_damaged(root: Path, file: str) -> None:
    cards, damaged = registry.survey()
    assert {card.id for card in cards} == {"sentiment-base", "caption-base"}
    (one,) = damaged
    assert (one.id, one.file) == ("mine", file)
    assert file in one.why
    with pytest.raises(MmdemoError):
        load("sentiment", "mine", device="cpu")
    load("sentiment", "sentiment-base", device="cpu")
    assert registry.list_own()  # what strangers see has no word of it
    assert "mine" not in {card.id for card in registry.list_own()}


def test_settings_that_ask_for_more_memory_than_there_is(root: Path) -> None:
    config = json.loads((root / "mine" / "config.json").read_bytes())
    for change in ({"width": 2**16, "inner": 2**16}, {"width": 2**62}, {"layers": 10**9}, {"labels": 10**6}):
        (root / "mine" / "config.json").write_text(json.dumps({**config, "net": {**config["net"], **change}}))
        with pytest.raises(MmdemoError, match="mine cannot be loaded"):
            load("sentiment", "mine", device="cpu")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "\ud800", "../" * 2000, "~nobody/x"])
def test_names_that_the_system_refuses(root: Path, name: str) -> None:
    for look in (lambda: load("sentiment", name, device="cpu"), lambda: registry.find_any(name)):
        with pytest.raises(MmdemoError, match="There is no model"):
            look()


def test_the_command_lists_what_is_damaged(root: Path) -> None:
    (root / "mine" / "metrics.json").write_text(DEEP)
    done = CliRunner().invoke(app, ["models", "--json"])
    assert done.exit_code == 0
    rows = {row["id"]: row for row in json.loads(done.stdout)}
    assert rows["mine"]["damaged"]["file"] == "metrics.json"
    assert "nested more than" in rows["mine"]["damaged"]["reason"]
    assert "damaged" not in rows["sentiment-base"]
    done = CliRunner().invoke(app, ["models"])
    assert "damaged: mine:" in done.output.replace("\n", " ")


def test_the_page_says_what_is_damaged(root: Path) -> None:
    from mmdemo.ui.model_bar import damaged_note

    assert damaged_note(registry.survey()[1], "en") == ""
    (root / "mine" / "config.json").write_text('{"schema": "<b>"}')
    for language in ("en", "zh"):
        note = damaged_note(registry.survey()[1], language)
        assert "<b>mine</b>" in note
        assert "&lt;b&gt;" in note


# ---------------------------------------------------------------- what else lies there


def test_a_damaged_run_is_listed(root: Path) -> None:
    for name in ("one", "two"):
        for file, seed in seeds.RUN.items():
            place = root / name / "trainer" / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(seed if isinstance(seed, bytes) else json.dumps(seed).encode())
    (root / "one" / "trainer" / "status.json").write_text(DEEP)
    found = {run.name: run for run in list_runs()}
    assert found["two"].state is State.STOPPED
    assert found["one"].state is State.DAMAGED
    assert "trainer/status.json cannot be read" in found["one"].reason


def test_a_damaged_dataset_is_told(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMDEMO_DATASETS", str(tmp_path / "datasets"))
    (tmp_path / "datasets").mkdir()
    for name in ("good", "bad"):
        datasets.make(name, "classify", ["cat"])
    for text in (DEEP, '{"format": 1, "task": ["classify"]}', '{"classes": NaN}'):
        (tmp_path / "datasets" / "bad" / "dataset.json").write_text(text)
        there, damaged = datasets.survey()
        assert [one.name for one in there] == ["good"]
        assert "bad cannot be opened" in str(damaged[0])


def test_a_damaged_hub_model_is_told(root: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(seeds.HUB_CONFIG))
        (folder / "model.safetensors").write_bytes(seeds.tensors())
        installed.remember(installed.InstalledModel(id=f"me/{name}", folder=str(folder), tasks=("classify",)))
    (tmp_path / "a" / "config.json").write_text(DEEP)
    cards, damaged = registry.survey("classify")
    assert [card.id for card in cards] == ["me/b"]
    assert [(one.id, one.file) for one in damaged] == [("me/a", "config.json")]
    file = tmp_path / "cache" / "public.json"
    rows = json.loads(file.read_text())
    file.write_text(json.dumps([{**rows[0], "tasks": 5}, rows[1]]))
    cards, damaged = registry.survey("classify")
    assert [card.id for card in cards] == ["me/b"]
    assert damaged[0].file == "public.json"
    assert "its model 1 is not valid" in damaged[0].why


# ---------------------------------------------------------------- smaller ones


def test_a_number_of_5000_digits_in_a_table_is_refused_by_line(tmp_path: Path) -> None:
    table = tmp_path / "metadata.jsonl"
    table.write_text('{"file_name": "a.png"}\n{"file_name": "b.png", "n": ' + "9" * 5000 + "}\n")
    with pytest.raises(MmdemoError, match=r"Line 2 of .* cannot be used: .*number of 5,000 digits"):
        list(read_rows(table))


@pytest.mark.parametrize("text", ["[" * 40 + "]" * 40, "1e999", "-Infinity", '"\\udc00"', '{"a": 1' + "0" * 300 + "}"])
def test_json_within_bounds(text: str) -> None:
    with pytest.raises(Unreadable):
        parse_json(text, name="x.json")
    assert parse_json('{"a": ["\\ud83d\\ude00", 1, 2.5, null]}', name="x.json") == {"a": ["\U0001f600", 1, 2.5, None]}


def test_nothing_can_be_written_where_it_goes(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMDEMO_DATASETS", str(tmp_path / "datasets"))
    (tmp_path / "datasets").mkdir()
    datasets.make("birds", "classify")
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file" / "x.zip", Path("/proc/self/x.zip"), tmp_path / ("x" * 300 + ".zip")):
        with pytest.raises(MmdemoError, match="cannot be exported"):
            import_model.export("mine", target)
        with pytest.raises(MmdemoError, match="cannot be written"):
            datasets.export("birds", target)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", " =", "\u200b=", "\ufeff@", "\u3000+", "\u00a0-"])
def test_no_cell_is_taken_for_a_formula(start: str) -> None:
    assert harmless_cell(f"{start}1+1") == f"'{start}1+1"


@pytest.mark.parametrize("text", ["\N{FULLWIDTH EQUALS SIGN}1", " \N{FULLWIDTH COMMERCIAL AT}", "\N{SMALL PLUS SIGN}1"])
def test_wide_signs_are_signs(text: str) -> None:
    assert harmless_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", " ", "a cat", "  a = b", "é\u0301", "3 - 2", "\u200bcat", "（一）"])
def test_other_cells_stay_as_they_are(text: str) -> None:
    assert harmless_cell(text) == text


def test_odd_numbers_of_a_tensor_are_seen_in_every_format() -> None:
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn):
        good = torch.ones(1000).to(dtype)
        assert weights.is_finite(good)
        bad = good.float()
        bad[500] = math.nan
        assert not weights.is_finite(bad.to(dtype))
    assert weights.is_finite(torch.zeros(0))
    assert weights.is_finite(torch.tensor([1, 2]))
