"""Models from a hub: what is fetched, resumed, compared and refused, by a small hub on loopback."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from filelock import FileLock

from mmdemo.core.errors import MmdemoError
from mmdemo.models import fetch as ours
from mmdemo.models import load, probe
from mmdemo.models.hub import client, download, local_files, selection
from mmdemo.models.hub.download import DownloadProgress, DownloadStopped
from tests.hub_server import HubServer, captioner, git_sha1, reachable, sha256

ROOT = Path(__file__).parents[4]
ID = "someone/blip"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with reachable(tmp_path / "home", monkeypatch) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return captioner(tmp_path / "published")


def same(first: Path, second: Path) -> bool:
    return first.read_bytes() == second.read_bytes()


# ---------------------------------------------------------------- what would be fetched


def test_a_plan_says_what_it_takes(hub: HubServer, folder: Path) -> None:
    commit = hub.add(ID, folder, licence="bsd-3-clause")
    plan = download.plan(ID)
    wanted = {"README.md", "config.json", "model.safetensors", "tokenizer.json", "vocab.txt"}
    assert {file.name for file in plan.files} == wanted
    assert plan.total == sum((folder / name).stat().st_size for name in wanted)
    assert plan.missing == plan.total - (folder / "config.json").stat().st_size  # it was looked into
    assert (plan.commit, plan.asked, plan.licence, plan.gated) == (commit, "main", "bsd-3-clause", False)
    assert plan.layout is not None
    assert (plan.layout.family, plan.layout.library) == ("blip_caption", "transformers")
    assert plan.free > 0
    digests = {file.name: file.digest for file in plan.files}
    assert digests["model.safetensors"] == sha256(folder / "model.safetensors")
    assert digests["vocab.txt"] == git_sha1(folder / "vocab.txt")
    assert not hub.asked_for("/store/")
    assert all(one.agent.startswith("mmdemo/") for one in hub.asked)


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ({"license": "other", "license_name": "apple-amlr"}, "apple-amlr"),
        ({"license": "other"}, "other"),
        ({"license": ["mit", "apache-2.0"]}, "mit, apache-2.0"),
        ({}, ""),
    ],
)
def test_licences_as_cards_name_them(hub: HubServer, folder: Path, card: dict[str, Any], licence: str) -> None:
    hub.add(ID, folder)
    hub.repositories[ID].card = card
    plan = download.plan(ID)
    assert plan.licence == licence
    download.fetch(plan)
    assert download.plan(ID).licence == licence  # from disk


SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


@pytest.mark.parametrize(
    ("names", "library", "weights"),
    [
        (["config.json", "model.safetensors", "model.fp16.safetensors"], "transformers", ["model.safetensors"]),
        (["config.json", "model.safetensors.index.json", *SHARDS], "transformers", ["model.safetensors.index.json"]),
        (["config.json", "model.safetensors", "model.safetensors.index.json"], "transformers", ["model.safetensors"]),
        (
            ["open_clip_config.json", "open_clip_model.safetensors", "config.json", "model.safetensors"],
            "open_clip",
            ["open_clip_model.safetensors"],
        ),
        (["open_clip_config.json", "open_clip_pytorch_model.safetensors"], "open_clip", None),
        (
            ["open_clip_config.json", "open_clip_pytorch_model.bin", "config.json", "model.safetensors"],
            "transformers",
            ["model.safetensors"],
        ),
    ],
)
def test_weights_are_those_that_the_library_loads(names: list[str], library: str, weights: list[str] | None) -> None:
    found, chosen, texts = selection.choose([*names, "chat_template.jinja", "spiece.model"], name="it")
    assert found == library
    assert list(chosen) == (weights or ["open_clip_pytorch_model.safetensors"])
    assert {"chat_template.jinja", "spiece.model"} <= set(texts)
    # a folder with open_clip_config.json is taken for one of open_clip
    assert ("open_clip_config.json" in texts) == (library == "open_clip")


def test_shards_are_fetched_and_what_their_index_lacks_is_named(hub: HubServer, folder: Path) -> None:
    shutil.copyfile(folder / "model.safetensors", folder / SHARDS[0])
    (folder / "model.safetensors").rename(folder / SHARDS[1])
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": SHARDS[0], "b": SHARDS[1]}}))
    hub.add(ID, folder)
    plan = download.plan(ID)
    assert set(SHARDS) <= {file.name for file in plan.files}
    place = download.fetch(plan)
    assert download.on_disk(ID) == place
    (place / SHARDS[1]).unlink()
    assert download.on_disk(ID) is None
    index.write_text(json.dumps({"weight_map": {"a": SHARDS[0], "b": "gone.safetensors"}}))
    hub.add(ID, folder)
    with pytest.raises(MmdemoError, match=r"someone/blip cannot be loaded: its model\S+ names 'gone.safetensors'"):
        download.plan(ID, "main")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "its weights come as pytorch_model.bin only"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "other.safetensors"), "its weights come as"),
        (
            lambda folder: (folder / "config.json").write_text('{"architectures": ["GPT2LMHeadModel"]}'),
            "it holds a GPT2LMHeadModel",
        ),
        (lambda folder: (folder / "config.json").unlink(), "it holds no model of open_clip or transformers"),
        (lambda folder: (folder / "config.json").write_text("{"), "its config.json is damaged"),
    ],
    ids=["pickles", "another name", "another kind", "nothing", "damaged"],
)
def test_what_cannot_be_used_is_refused_before_it_is_fetched(
    hub: HubServer, folder: Path, change: Callable[[Path], None], words: str
) -> None:
    change(folder)
    hub.add(ID, folder)
    with pytest.raises(MmdemoError, match=f"{ID} (is refused|cannot be used here|cannot be loaded): {words}"):
        download.plan(ID)
    assert not hub.asked_for("/store/")


def test_bases_for_training_may_be_of_any_kind(hub: HubServer, tmp_path: Path) -> None:
    folder = captioner(tmp_path / "bert", config={"architectures": ["BertModel"], "model_type": "bert"})
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    (folder / "model.fp32.safetensors").write_bytes(b"x")
    hub.add("someone/bert", folder)
    place = ours.download("someone/bert", allowed=True)
    assert (place / "1_Pooling" / "config.json").is_file()
    assert not any((place / name).exists() for name in ("model.fp32.safetensors", "pytorch_model.bin", "onnx"))
    assert ours.fetch("someone/bert") == place


def test_a_checkpoint_of_ours_comes_with_its_parts(hub: HubServer, root: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(root / "caption-base", tmp_path / "mine")
    shutil.copytree(root / "vision-base", folder / "parts" / "vision-base")
    hub.add("someone/captions", folder)
    asked = probe.requests("caption")
    wanted = probe.answers(load("caption", device="cpu").predict(asked))
    shutil.rmtree(root / "vision-base")
    model = load("caption", "someone/captions", device="cpu", allow_download=True)
    assert probe.answers(model.predict(asked)) == wanted
    plan = download.plan("someone/captions")
    assert (plan.layout, plan.missing) == (None, 0)


def test_names_stay_inside_their_folder() -> None:
    for name in ("../x.json", "a/../../x.json", "/etc/x.json", "a\\..\\x.json", "c:x.json", "", "x\0.json"):
        assert not selection.safe(name), name
    assert selection.safe("parts/vision-base/config.json")


@pytest.mark.parametrize("name", ["blip", "someone/blip/x", "../blip", "someone/..", "so meone/blip"])
def test_no_id(hub: HubServer, name: str) -> None:
    with pytest.raises(MmdemoError, match=r"is no id of a hub\. Write it as owner/name\."):
        download.plan(name)
    assert download.on_disk(name) is None
    assert not hub.asked


# ---------------------------------------------------------------- fetching


def test_everything_arrives_and_is_fetched_once(hub: HubServer, folder: Path) -> None:
    commit = hub.add(ID, folder)
    plan, told = download.plan(ID), list[DownloadProgress]()
    assert download.on_disk(ID) is None
    place = download.fetch(plan, told.append)
    assert place == plan.folder
    assert {path.name for path in place.iterdir()} == {file.name for file in plan.files}
    assert all(same(place / file.name, folder / file.name) for file in plan.files)
    assert (told[-1].done, told[-1].total) == (plan.total, plan.total)
    assert [one.done for one in told] == sorted(one.done for one in told)
    assert {one.stage for one in told} == {"fetching", "checking"}
    assert download.on_disk(ID) == download.on_disk(ID, commit) == download.on_disk(ID, "main") == place
    assert not any(hub.asked_for(name) for name in (".bin", ".h5", ".msgpack", ".png", "onnx"))
    before = len(hub.asked)
    again = download.plan(ID)
    assert (again.missing, again.commit, again.files, again.layout) == (0, commit, plan.files, plan.layout)
    assert download.fetch(again) == place
    assert len(hub.asked) == before


def test_broken_off_it_goes_on_by_itself(hub: HubServer, folder: Path) -> None:
    hub.add(ID, folder)
    hub.trouble("store of model.safetensors", cut=100_000)
    hub.trouble("store of model.safetensors", cut=50_000)
    place = download.fetch(download.plan(ID))
    assert same(place / "model.safetensors", folder / "model.safetensors")
    assert [one.range for one in hub.asked_for("/store/")] == ["", "bytes=100000-", "bytes=150000-"]


def test_stopped_it_goes_on_the_next_time(hub: HubServer, folder: Path) -> None:
    hub.add(ID, folder)
    hub.trouble("store of model.safetensors", slow=0.01)
    plan, seen = download.plan(ID), list[int]()
    with pytest.raises(DownloadStopped, match=r"Fetching someone/blip was stopped\. What was fetched is kept"):
        download.fetch(plan, lambda one: seen.append(one.done), lambda: bool(seen) and seen[-1] > 200_000)
    assert download.on_disk(ID) is None
    again = download.plan(ID)
    assert again.missing < plan.total - 190_000
    told = list[DownloadProgress]()
    place = download.fetch(again, told.append)
    assert same(place / "model.safetensors", folder / "model.safetensors")
    first, second = hub.asked_for("/store/")
    assert first.range == ""
    assert int(second.range.removeprefix("bytes=").removesuffix("-")) == (
        folder / "model.safetensors"
    ).stat().st_size - (again.missing)
    assert told[0].done == plan.total - again.missing  # what was there counts from the start


def test_killed_it_goes_on_the_next_time(hub: HubServer, folder: Path, tmp_path: Path) -> None:
    hub.add(ID, folder)
    hub.trouble("store of model.safetensors", slow=0.05)
    code = f"from mmdemo.models.hub import download; download.fetch(download.plan({ID!r}, anything=True))"
    environ = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0"}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environ)
    part = local_files.repository(ID) / "blobs" / f"{sha256(folder / 'model.safetensors')}.part"
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and not (part.is_file() and part.stat().st_size > 100_000):
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    have = part.stat().st_size
    assert have > 100_000
    place = download.fetch(download.plan(ID))
    assert hub.asked_for("/store/")[-1].range == f"bytes={have}-"
    assert same(place / "model.safetensors", folder / "model.safetensors")


def test_a_store_that_knows_no_ranges_is_asked_for_everything(hub: HubServer, folder: Path) -> None:
    hub.add(ID, folder)
    hub.trouble("store of model.safetensors", cut=100_000)
    hub.trouble("store of model.safetensors", deaf=True)
    place = download.fetch(download.plan(ID))
    assert same(place / "model.safetensors", folder / "model.safetensors")


@pytest.mark.parametrize("left", [1_000_000, 0])
def test_leftovers_that_are_too_long_or_empty(hub: HubServer, folder: Path, left: int) -> None:
    hub.add(ID, folder)
    plan = download.plan(ID)
    part = local_files.part(ID, plan.files[-1])
    part.write_bytes(b"x" * left)
    place = download.fetch(plan)
    assert same(place / "model.safetensors", folder / "model.safetensors")
    assert not part.exists()


def test_a_store_that_breaks_off_at_the_same_byte_is_given_up(hub: HubServer, folder: Path) -> None:
    hub.add(ID, folder)
    hub.trouble("store of model.safetensors", cut=100_000, deaf=True, times=-1)
    with pytest.raises(MmdemoError, match=r"the connection to 127\.0\.0\.1 broke off again and again\. What was"):
        download.fetch(download.plan(ID))
    assert len(hub.asked_for("/store/")) == 1 + client.RETRIES


def test_two_at_once_fetch_everything_once(hub: HubServer, folder: Path) -> None:
    hub.add(ID, folder)
    hub.trouble("store of model.safetensors", slow=0.01)
    plan, stages, places = download.plan(ID), list[str](), list[Path]()

    def run() -> None:
        places.append(download.fetch(plan, lambda one: stages.append(one.stage)))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert places == [plan.folder] * 3
    assert "waiting" in stages
    assert len(hub.asked_for("/store/")) == 1


def test_whoever_waits_can_be_stopped(hub: HubServer, folder: Path) -> None:
    hub.add(ID, folder)
    plan, told = download.plan(ID), list[DownloadProgress]()
    with (
        FileLock(local_files.cache_folder() / ".locks" / "models--someone--blip" / "mmdemo.lock"),
        pytest.raises(DownloadStopped),
    ):
        download.fetch(plan, told.append, lambda: len(told) > 2)
    assert {one.stage for one in told} == {"waiting"}


# ---------------------------------------------------------------- compared


@pytest.mark.parametrize(
    ("path", "name"), [("store of model.safetensors", "model.safetensors"), ("tokenizer.json", "tokenizer.json")]
)
def test_what_arrives_damaged_is_removed(hub: HubServer, folder: Path, path: str, name: str) -> None:
    hub.add(ID, folder)
    plan = download.plan(ID)
    hub.trouble(path, wrong=True)
    with pytest.raises(MmdemoError, match=f"{ID} cannot be fetched: {name} arrived damaged: its checksum is not"):
        download.fetch(plan)
    assert download.on_disk(ID) is None
    assert not (plan.folder / name).exists()
    assert not list((local_files.repository(ID) / "blobs").glob("*.part"))
    place = download.fetch(plan)
    assert same(place / name, folder / name)
    assert len(hub.asked_for("resolve/" + plan.commit + "/config.json")) == 1  # the rest was kept


def test_more_than_was_said_is_not_taken(hub: HubServer, folder: Path) -> None:
    hub.add(ID, folder)
    hub.trouble("store of model.safetensors", longer=5000)
    place = download.fetch(download.plan(ID))
    assert same(place / "model.safetensors", folder / "model.safetensors")


def test_what_is_cut_short_on_disk_is_missed_and_fetched_again(hub: HubServer, folder: Path) -> None:
    hub.add(ID, folder)
    place = download.fetch(download.plan(ID))
    with (place / "model.safetensors").resolve().open("r+b") as file:
        file.truncate(1000)
    assert download.on_disk(ID) is None
    plan = download.plan(ID)
    assert plan.missing == (folder / "model.safetensors").stat().st_size
    assert same(download.fetch(plan) / "model.safetensors", folder / "model.safetensors")


def test_what_changed_on_disk_before_it_was_compared_is_fetched_again(hub: HubServer, folder: Path) -> None:
    hub.add(ID, folder)
    plan = download.plan(ID)
    contents = local_files.blob(ID, plan.files[-1])
    contents.write_bytes(b"x" * plan.files[-1].size)  # as long as it should be
    assert same(download.fetch(plan) / "model.safetensors", folder / "model.safetensors")


# ---------------------------------------------------------------- pinned


def test_a_branch_is_pinned_at_the_first_download(hub: HubServer, folder: Path, tmp_path: Path) -> None:
    first = hub.add(ID, folder)
    old = download.fetch(download.plan(ID))
    second = hub.add(ID, captioner(tmp_path / "newer", seed=1))
    assert download.plan(ID).commit == first
    assert download.on_disk(ID) == old
    newer = download.plan(ID, "main")
    assert newer.commit == second
    assert newer.missing > 480_000
    download.fetch(newer)
    assert download.on_disk(ID) == newer.folder != old
    assert download.on_disk(ID, first) == old
    download.fetch(download.plan(ID, first))  # back again
    assert download.on_disk(ID) == old


def test_a_listed_model_comes_at_its_revision_by_id_or_alias(hub: HubServer, tmp_path: Path) -> None:
    folder = captioner(tmp_path / "vilt", config={"architectures": ["ViltForQuestionAnswering"], "model_type": "vilt"})
    hub.add("dandelin/vilt-b32-finetuned-vqa", captioner(tmp_path / "main", seed=2))
    commit = hub.add("dandelin/vilt-b32-finetuned-vqa", folder, revision="refs/pr/9")
    plan = download.plan("dandelin/vilt-b32-finetuned-vqa")
    assert (plan.asked, plan.commit, plan.licence) == ("refs/pr/9", commit, "apache-2.0")
    download.fetch(plan)
    assert download.on_disk("dandelin/vilt-b32-finetuned-vqa") == plan.folder
    hub.add("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", folder)
    with pytest.raises(MmdemoError, match=r"laion/CLIP-\S+ cannot be fetched: it has no revision 1a25a446712b"):
        download.plan("vit-b-32/laion2b_s34b_b79k")


def test_a_transcriber_of_the_list_may_be_fetched(hub: HubServer, tmp_path: Path) -> None:
    config = {"architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper"}
    hub.add("openai/whisper-tiny.en", captioner(tmp_path / "whisper", config=config))
    plan = download.plan("openai/whisper-tiny.en", "main")
    assert plan.layout is None
    assert (download.fetch(plan) / "model.safetensors").is_file()


# ---------------------------------------------------------------- other programs, and no network


def test_what_the_hubs_own_library_fetched_is_accepted(hub: HubServer, folder: Path) -> None:
    commit = hub.add(ID, folder)
    place = Path(
        huggingface_hub.snapshot_download(
            ID, cache_dir=local_files.cache_folder(), endpoint=hub.address, token=False, ignore_patterns=["*.bin"]
        )
    )
    assert download.on_disk(ID) == download.on_disk(ID, commit) == place
    before = len(hub.asked_for("/resolve/"))
    plan = download.plan(ID)
    assert plan.missing == 0
    assert download.fetch(plan) == place
    assert len(hub.asked_for("/resolve/")) == before
    assert local_files.marked(ID, commit) == plan.files
    weights = place / "model.safetensors"
    content = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(content[:-4])
    shutil.rmtree(local_files.repository(ID) / "mmdemo")
    assert download.on_disk(ID) is None


def test_what_we_fetched_is_found_by_the_hubs_own_library(hub: HubServer, folder: Path) -> None:
    commit = hub.add(ID, folder)
    place = download.fetch(download.plan(ID))
    cache = local_files.cache_folder()
    found = huggingface_hub.hf_hub_download(ID, "model.safetensors", cache_dir=cache, local_files_only=True)
    assert Path(found) == place / "model.safetensors"
    scanned = huggingface_hub.scan_cache_dir(cache)
    assert not scanned.warnings
    (repository,) = scanned.repos
    (revision,) = repository.revisions
    assert (revision.commit_hash, revision.refs) == (commit, frozenset({"main"}))


def test_without_a_network_what_is_here_is_enough(
    hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(ID, folder)
    cache = local_files.cache_folder()
    huggingface_hub.snapshot_download(ID, cache_dir=cache, endpoint=hub.address, token=False, ignore_patterns=["*.h5"])
    asked = len(hub.asked)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    plan = download.plan(ID)
    assert plan.missing == 0
    assert plan.layout is not None
    assert download.fetch(plan) == download.on_disk(ID) == ours.download(ID, allowed=True)
    assert len(hub.asked) == asked
    with pytest.raises(MmdemoError, match=r"python -m mmdemo download someone/else"):
        ours.download("someone/else", allowed=False)
    with pytest.raises(MmdemoError, match=r"someone/else cannot be fetched: this machine is set to offline"):
        ours.download("someone/else", allowed=True)


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({"HF_HOME": "/a"}, "/a/hub"),
        ({"HF_HOME": "/a", "HF_HUB_CACHE": "/b"}, "/b"),
        ({"HUGGINGFACE_HUB_CACHE": "/c"}, "/c"),
        ({"XDG_CACHE_HOME": "/d"}, "/d/huggingface/hub"),
        ({"HOME": "/e"}, "/e/.cache/huggingface/hub"),
    ],
)
def test_the_cache_lies_where_the_library_has_it(
    environ: dict[str, str], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert local_files.cache_folder() == Path(place)
    code = "from huggingface_hub import constants; print(constants.HF_HUB_CACHE)"
    plain = {name: value for name, value in os.environ.items() if name not in names} | environ
    told = subprocess.run([sys.executable, "-c", code], env=plain, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == place
