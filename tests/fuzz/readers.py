"""The readers that are fuzzed: each makes its input of a random generator, and reads it as the program does."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import Card
from tests.fuzz import seeds
from tests.fuzz.mutate import bytes_like, json_like, text_like, word_like

Reader = Callable[[Random, Path], None]
"""Reads one case; the folder is empty and the case's own."""


def _put(folder: Path, name: str, raw: bytes) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(raw)
    return file


# ---------------------------------------------------------------- what people bring


def picture(rng: Random, folder: Path) -> None:
    from mmdemo.media.image import load_picture

    load_picture(bytes_like(rng, rng.choice(seeds.pictures())))


def sound(rng: Random, folder: Path) -> None:
    from mmdemo.media.audio import load_sound
    from mmdemo.media.speech import detect_speech, prepare_speech

    clip = load_sound(bytes_like(rng, rng.choice(seeds.sounds())))
    if detect_speech(clip) is None:
        prepare_speech(clip)


def words(rng: Random, folder: Path) -> None:
    from mmdemo.media.text import check_template, clean_question, parse_labels

    for read, seed in ((parse_labels, "cat, dog\nbird"), (clean_question, "is it a dog?"), (check_template, "a {}")):
        with suppress(MmdemoError):
            read(word_like(rng, seed))


def table(rng: Random, folder: Path) -> None:
    from mmdemo.data.tables import columns, read_rows, row_splits

    kind = rng.choice(("jsonl", "csv", "parquet"))
    if kind == "jsonl":
        lines = [json_like(rng, row) if rng.random() < 0.4 else json.dumps(row).encode() for row in seeds.ROWS]
        file = _put(folder, "metadata.jsonl", b"\n".join(lines))
    elif kind == "csv":
        file = _put(folder, "metadata.csv", text_like(rng, seeds.CSV))
    else:
        file = _put(folder, "train.parquet", bytes_like(rng, seeds.parquet()))
    for read in (columns, row_splits):
        with suppress(MmdemoError):
            read(file)
    for row in read_rows(file):
        for key in ("file_name", "captions", "question", "answers", "label", "scores"):
            for get in (row.text, row.texts, row.need, row.numbers, row.blanks):
                with suppress(MmdemoError):
                    get(key)
        row.rest(frozenset({"label"}))


def examples(rng: Random, folder: Path) -> None:
    from mmdemo.data.read import read_examples

    number, name = rng.choice(list(enumerate(("metadata.jsonl", "captions.jsonl", "questions.jsonl"))))
    rows = [seeds.ROWS[number], {**seeds.ROWS[number], "file_name": "b.png"}] * 2
    lines = [json_like(rng, row) if rng.random() < 0.3 else json.dumps(row).encode() for row in rows]
    _put(folder, name, b"\n".join(lines))
    for file in ("a.png", "b.png"):
        _put(folder, file, seeds.pictures()[0])
    read_examples(rng.choice((("classify", "sentiment"), ("caption", "vision"), ("ask",))[number]), [folder])


def folds(rng: Random, folder: Path) -> None:
    from mmdemo.data.grouping import read_folds

    read_folds(_put(folder, "folds.json", json_like(rng, {"ravdess": [["a", "b"], ["c"]]})))


# ---------------------------------------------------------------- checkpoints


def checkpoint(rng: Random, folder: Path) -> None:
    """One file of a checkpoint is changed; it is listed whole or as damaged beside one that works, and loaded."""
    from mmdemo.models import registry
    from mmdemo.models.loading import load

    root = seeds.checkpoints(folder)
    task = rng.choice(("sentiment", "sentiment", "caption"))
    place = root / "mine"
    seeds.link(root / f"{task}-base", place)
    name = rng.choice(("config.json", "config.json", "metrics.json", "probe.json", "header", "tensors", "README.md"))
    if name == "header":
        _put(place, "model.safetensors", _header(rng, (place / "model.safetensors").read_bytes()))
    elif name == "tensors":
        _put(place, "model.safetensors", bytes_like(rng, (place / "model.safetensors").read_bytes()))
    elif name == "README.md":
        _put(place, name, text_like(rng, seeds.README))
    else:
        seed = json.loads((place / name).read_bytes()) if (place / name).exists() else seeds.METRICS
        (place / name).unlink(missing_ok=True)
        _put(place, name, json_like(rng, seed))
    cards, damaged = registry.survey()
    listed = {card.id for card in cards}
    assert {"sentiment-base", "caption-base"} <= listed, "a damaged folder took others away"
    read = registry.folders.read_config
    with suppress(MmdemoError):
        served = read(place).task in ("ask", "classify", "caption", "sentiment")
        assert not served or "mine" in listed or any(one.id == "mine" for one in damaged), "it vanished"
    load(task, "mine", device="cpu")


def _header(rng: Random, whole: bytes) -> bytes:
    length = int.from_bytes(whole[:8], "little")
    header = json_like(rng, json.loads(whole[8 : 8 + length]))
    told = rng.choice((len(header), len(header), len(header), 2**63, 2**40, 0, length))
    return told.to_bytes(8, "little") + header + whole[8 + length :]


def tokenizer(rng: Random, folder: Path) -> None:
    from mmdemo.models.encoders import _tokenizer_json

    _put(folder, "tokenizer.json", json_like(rng, seeds.tokenizer()))
    _tokenizer_json(folder)


def card(rng: Random, folder: Path) -> None:
    from mmdemo.core.reading import read_card_text
    from mmdemo.models.families.factory import front_matter
    from mmdemo.ui.cards import card_markdown

    text = read_card_text(_put(folder, "README.md", text_like(rng, seeds.README)))
    front_matter(text)
    card_markdown(Card(id="x", task="ask", summary=text[:50], licence="mit", text=text))


# ---------------------------------------------------------------- others' models


def hub_model(rng: Random, folder: Path) -> None:
    from mmdemo.models.families import detect, open_clip_folder
    from mmdemo.models.hub import local_files, selection

    name = rng.choice(("config.json", "open_clip_config.json", "model.safetensors.index.json"))
    _put(folder, "model.safetensors", seeds.tensors())
    _put(folder, "config.json", json.dumps(seeds.HUB_CONFIG).encode())
    _put(folder, name, json_like(rng, seeds.HUB[name]))
    detect.is_hub_model(folder)
    local_files.is_whole(folder)
    for read in (
        lambda: detect.weights_in(folder, detect.read_layout(folder).library),
        lambda: open_clip_folder.read_config(folder),
        lambda: selection.shards(folder / "model.safetensors.index.json", ["model.safetensors"], name="x"),
    ):
        with suppress(MmdemoError):
            read()


def shelf(rng: Random, folder: Path) -> None:
    from mmdemo.models import registry
    from mmdemo.models.hub import installed as public

    seeds.cache(folder)
    place = folder / "hub"
    _put(place, "config.json", json_like(rng, seeds.HUB_CONFIG))
    _put(place, "model.safetensors", seeds.tensors())
    row = {
        "id": "a/b",
        "folder": str(place),
        "tasks": ["ask"],
        "summary": "s",
        "licence": "mit",
        "size": 1,
        "parameters": 2,
    }
    _put(folder, "cache/public.json", json_like(rng, [row, {**row, "id": "c/d"}]))
    public.installed_models()
    public.damage()
    registry.survey("ask")


# ---------------------------------------------------------------- what was made here


def taught(rng: Random, folder: Path) -> None:
    from mmdemo.studio import datasets as sets

    place = seeds.datasets(folder) / "birds"
    _put(place, "files/a.png", b"x")
    _put(place, "dataset.json", json.dumps(seeds.DATASET).encode())
    rows = [json_like(rng, row) if rng.random() < 0.4 else json.dumps(row).encode() for row in seeds.TAUGHT]
    _put(place, "metadata.jsonl", b"\n".join(rows))
    if rng.random() < 0.6:
        _put(place, "dataset.json", json_like(rng, seeds.DATASET))
    there, damaged = sets.survey()
    assert there or damaged, "it vanished"
    with suppress(MmdemoError):
        sets.export("birds", folder / "out")
    sets.add_class("birds", "robin")


def run(rng: Random, folder: Path) -> None:
    """One file of a run is changed; it is listed, and drawn as the page and the command line do."""
    from mmdemo.cli.runs import run_json
    from mmdemo.core.writing import json_text
    from mmdemo.runs.reading import list_runs, read_run
    from mmdemo.train.folder import read_events, read_learned
    from mmdemo.ui.runs import view

    root = seeds.checkpoints(folder, empty=True)
    for name, seed in seeds.RUN.items():
        _put(root / "mine/trainer", name, seed if isinstance(seed, bytes) else json.dumps(seed).encode())
    name = rng.choice(list(seeds.RUN))
    seed = seeds.RUN[name]
    if name == "events.jsonl":
        raw = b"\n".join(json_like(rng, event) for event in seeds.EVENTS)
    else:
        raw = text_like(rng, seed.decode()) if isinstance(seed, bytes) else json_like(rng, seed)
    _put(root / "mine/trainer", name, raw)
    found = list_runs()
    assert [one.name for one in found] == ["mine"], "it vanished"
    for language in ("en", "zh"):
        view.run_list(found, "mine", language)
        view.state(found[0], language)
        view.made_of(found[0], language)
        view.failure(found[0], "", language)
    json_text(run_json(read_run("mine")))
    read_events(root / "mine/trainer")
    read_learned(root / "mine")


def settings(rng: Random, folder: Path) -> None:
    from mmdemo.studio.settings import from_toml, parse_line
    from mmdemo.train.settings import read_config

    task = rng.choice(("ask", "classify", "caption", "sentiment"))
    seed = seeds.config(task)
    with suppress(MmdemoError):
        read_config(_put(folder, "run.toml", text_like(rng, seed)), [word_like(rng, "train.epochs=3")])
    for line in ("train.epochs=3", "net.width = [1, 2]"):
        with suppress(MmdemoError):
            parse_line(word_like(rng, line))
    from_toml(task, word_like(rng, seed))


def features(rng: Random, folder: Path) -> None:
    from mmdemo.data.features import Store

    seeds.cache(folder)
    store = Store("words", "x")
    for name, seed in seeds.stored().items():
        _put(store.folder, name, seed)
    name = rng.choice(list(seeds.stored()))
    seed = seeds.stored()[name]
    _put(store.folder, name, json_like(rng, json.loads(seed)) if name.endswith("json") else bytes_like(rng, seed))
    store.rows("a", list(store.index("a")))


# ---------------------------------------------------------------- zips


def model_zip(rng: Random, folder: Path) -> None:
    from mmdemo.studio.import_model import receive

    seeds.checkpoints(folder)
    receive(_put(folder, "in.zip", _zip(rng, seeds.model_entries())))


def data_zip(rng: Random, folder: Path) -> None:
    from mmdemo.studio.import_data import receive

    seeds.datasets(folder)
    receive(_put(folder, "in.zip", _zip(rng, seeds.data_entries())))


NAMES = (
    "../x.png",
    "/x.png",
    "a/../../x.png",
    "C:\\x.png",
    "a\\b.png",
    "x\0.png",
    "a" * 300 + ".png",
    "a/" * 40 + "x.png",
    ".png",
    "",
)
"""Names of entries that lead outside, or that the system refuses."""


def _zip(rng: Random, entries: dict[str, bytes]) -> bytes:
    """A zip with an entry changed or named otherwise; half of the time its own bytes are changed instead."""
    entries = dict(entries)
    if rng.random() < 0.6:
        name = rng.choice(list(entries))
        raw = entries.pop(name)
        if rng.random() < 0.3:
            name = rng.choice(NAMES)
        elif name.endswith(".json"):
            raw = json_like(rng, json.loads(raw))
        else:
            raw = bytes_like(rng, raw)
        entries[name] = raw
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, raw in entries.items():
            archive.writestr(zipfile.ZipInfo(name or "x"), raw)
    return bytes_like(rng, out.getvalue()) if rng.random() < 0.5 else out.getvalue()


READERS: dict[str, tuple[Reader, int]] = {
    "picture": (picture, 12),
    "sound": (sound, 12),
    "words": (words, 12),
    "table": (table, 12),
    "examples": (examples, 8),
    "folds": (folds, 2),
    "checkpoint": (checkpoint, 12),
    "tokenizer": (tokenizer, 3),
    "card": (card, 6),
    "hub_model": (hub_model, 6),
    "shelf": (shelf, 4),
    "taught": (taught, 8),
    "run": (run, 10),
    "settings": (settings, 4),
    "features": (features, 4),
    "model_zip": (model_zip, 5),
    "data_zip": (data_zip, 6),
}
"""Name → reader, and how many of about a hundred cases it gets."""
