"""From a hub to an answer: what README.md and docs/models.md say, with a small model under a known name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmdemo.cli import main
from mmdemo.core.errors import MmdemoError
from mmdemo.models import registry
from mmdemo.models.families.factory import register_installed
from mmdemo.models.hub import download
from mmdemo.models.hub.catalog import find
from mmdemo.serving import jobs
from mmdemo.serving.engine import Engine
from tests.hub_server import HubServer, reachable
from tests.small_bases import write_pictures
from tests.tiny_models.audio import make_speech, make_whisper
from tests.tiny_models.blip import make_blip_ask
from tests.tiny_models.chat import make_llava
from tests.tiny_models.open_clip_ import make_clip
from tests.tiny_models.vilt import make_vilt

ID = "Salesforce/blip-vqa-base"
CAT = "mmdemo/ui/examples/cat.jpg"
QUESTION = "What animal is this?"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))
    with reachable(tmp_path / "home", monkeypatch) as server:
        entry = find(ID)
        assert entry is not None
        server.add(ID, make_blip_ask(tmp_path / "published"), commit=entry.revision, licence=entry.licence)
        yield server


def test_from_the_hub_to_an_answer(hub: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    question = ["ask", CAT, QUESTION, "--model", ID, "--device", "cpu", "--json"]
    assert main(question) == 2, "nothing is fetched that somebody has not seen the size of"
    assert f"python -m mmdemo download {ID}" in capsys.readouterr().err
    assert not hub.asked
    assert main(["download", ID, "--yes"]) == 0
    asked = len(hub.asked)
    capsys.readouterr()
    assert main(question) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["answer"]
    assert said["model"] == ID
    assert len(hub.asked) == asked, "what is here is not asked for again"
    assert main(["models", "--json"]) == 0
    listed = {one["id"]: one for one in json.loads(capsys.readouterr().out)}
    assert listed[ID]["source"] == "public"
    assert listed[ID]["licence"] == "bsd-3-clause"


def test_what_a_hub_gave_is_tuned(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MMDEMO_CHECKPOINTS", str(tmp_path / "checkpoints"))
    data = str(write_pictures(tmp_path / "my-pictures"))
    train = ["train", "ask", "--base", ID, "--data", data, "--out", "my-ask", "--device", "cpu"]
    assert main([*train, "--set", "train.epochs=1"]) == 2, "a base does not come unseen either"
    assert main(["download", ID, "--yes"]) == 0
    assert main([*train, "--set", "train.epochs=1"]) == 0
    told = (tmp_path / "checkpoints" / "my-ask" / "README.md").read_text(encoding="utf-8")
    entry = find(ID)
    assert entry is not None
    assert ID in told
    assert entry.revision in told
    capsys.readouterr()
    assert main(["ask", CAT, QUESTION, "--model", "my-ask", "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "my-ask"


def test_what_cannot_come_leaves_what_serves(hub: HubServer) -> None:
    hub.trouble("", status=429, headers={"Retry-After": "0"}, times=-1)
    with Engine(device="cpu", allow_download=True) as engine:
        before = jobs.ask(CAT, QUESTION, engine=engine)
        with pytest.raises(MmdemoError) as told:
            engine.prepare("ask", ID)
        assert str(told.value).count("\n") == 0
        assert jobs.ask(CAT, QUESTION, engine=engine).answer == before.answer


def test_every_command_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, clip = str(make_blip_ask(tmp_path / "vqa")), str(make_clip(tmp_path / "clip"))
    data = str(write_pictures(tmp_path / "pictures") / "validation")
    assert main(["evaluate", "ask", "--model", folder, "--data", data, "--device", "cpu", "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["model"] == folder
    assert measured["n"] == 8
    assert main(["compare", folder, "ask-base", "--data", data, "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["task"] == "ask"
    assert main(["benchmark", "--task", "ask", "--model", folder, "--n", "1", "--device", "cpu", "--json"]) == 0
    assert [row["job"] for row in json.loads(capsys.readouterr().out)][1:] == ["ask", "ask again, same picture"]
    assert main(["benchmark", "--model", folder, "--n", "1"]) == 2
    assert "Say which with --task" in capsys.readouterr().err
    assert main(["classify", CAT, "--labels", "cat, dog", "--model", clip, "--device", "cpu", "--json"]) == 0
    labels = json.loads(capsys.readouterr().out)["labels"]
    assert sum(one["score"] for one in labels) == pytest.approx(1, abs=1e-5)
    assert main(["classify", CAT, "--model", clip, "--device", "cpu"]) == 2
    assert "There are no labels" in capsys.readouterr().err
    chat = str(make_llava(tmp_path / "chat"))
    two = ["compare", chat, chat, "--data", data, "--limit", "2", "--device", "cpu", "--json"]
    assert main([*two, "--task", "caption"]) == 0
    assert json.loads(capsys.readouterr().out)["task"] == "caption"
    assert main([*two, "--task", "classify"]) == 2
    assert "both serve ask and caption" in capsys.readouterr().err
    assert main(["compare", folder, clip, "--data", data, "--device", "cpu"]) == 2
    assert "one was made for ask, the other for classify" in capsys.readouterr().err


def test_words_come_with_a_transcriber(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))
    writer = make_whisper(tmp_path / "writer")
    assert register_installed(writer, name=str(writer)).tasks == ()
    with Engine(device="cpu") as engine:
        heard = jobs.sentiment("mmdemo/ui/examples/happy.flac", engine=engine)
        *_, last = jobs.stream_sentiment("mmdemo/ui/examples/happy.flac", engine=engine)
    assert heard.words
    assert last.words == heard.words
    assert heard.model == "sentiment-base"


def test_a_model_of_another_task_says_what_it_serves(tmp_path: Path) -> None:
    folder = make_blip_ask(tmp_path / "published")
    with Engine(device="cpu") as engine, pytest.raises(MmdemoError, match=r"cannot serve caption.*serves ask"):
        jobs.caption(CAT, model=str(folder), engine=engine)


def test_strangers_are_offered_ours_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))
    one = register_installed(make_blip_ask(tmp_path / "published"), name=str(tmp_path / "published"))
    assert one.tasks == ("ask",)
    with Engine(device="cpu") as engine:
        assert one.id in [card.id for card in engine.cards("ask")]
        assert engine.card("ask", one.id).source == "public"
    with Engine(device="cpu", public=True) as engine:
        assert one.id not in [card.id for card in engine.cards("ask")]
        with pytest.raises(MmdemoError, match="There is no model"):
            jobs.ask(CAT, QUESTION, model=one.id, engine=engine)


def test_memory_comes_back(tmp_path: Path) -> None:
    folder = str(make_speech(tmp_path / "published"))
    with Engine(device="cpu") as engine:
        engine.prepare("sentiment", folder)
        assert engine.held > 0
        engine.unload("sentiment", folder)
        assert engine.held == 0


def test_a_shelf_forgets_what_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))
    folder = make_blip_ask(tmp_path / "published")
    register_installed(folder, name=str(folder))
    assert str(folder) in [card.id for card in registry.list_models("ask")]
    folder.rename(tmp_path / "elsewhere")
    assert str(folder) not in [card.id for card in registry.list_models("ask")]


def test_a_part_serves_no_tab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MmdemoError, match="serves no tab"):
        register_installed(Path("checkpoints/vision-base"), name="checkpoints/vision-base")
    with pytest.raises(MmdemoError, match="in the lists already"):
        register_installed(Path("checkpoints/ask-base"), name="checkpoints/ask-base")
    assert registry.list_models()


def test_a_damaged_transcriber_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMDEMO_CACHE", str(tmp_path / "cache"))
    writer = make_whisper(tmp_path / "writer")
    register_installed(writer, name=str(writer))
    with Engine(device="cpu", public=True) as engine:
        assert jobs.sentiment("mmdemo/ui/examples/happy.flac", engine=engine).words == "", "strangers hear no Whisper"
    (writer / "model.safetensors").write_bytes(b"damaged")
    with Engine(device="cpu") as engine:
        heard = jobs.sentiment("mmdemo/ui/examples/happy.flac", engine=engine)
    assert heard.emotion == "happy"
    assert heard.words == ""


def test_another_revision_answers_once_it_is_here(hub: HubServer, tmp_path: Path) -> None:
    with Engine(device="cpu") as engine:
        download.fetch(download.plan(ID))
        engine.prepare("ask", ID)
        again = hub.add(ID, make_vilt(tmp_path / "newer"), commit="b" * 40)
        download.fetch(download.plan(ID, again))
        assert engine.prepare("ask", ID).seconds > 0
        assert again in engine.card("ask", ID).text
