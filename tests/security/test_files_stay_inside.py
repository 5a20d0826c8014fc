"""Promise: no request makes the program read a file that was not uploaded to it, or tells what lies at a path."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio.state_holder import SessionState
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from PIL import Image
from skimage import data

from tests.app_process import ROOT, AppProcess, running_app
from tests.security.hostile_files import NO_FILE, SENTENCE, Outside, few_forms, forms, nested, paths, plant
from tests.sounds import write_speech_like

pytestmark = pytest.mark.slow

FILES = ("image", "audio", "file", "uploadbutton")
"""Kinds of components, as /config calls them, that take files."""


@dataclass(frozen=True, slots=True)
class Served:
    """A running page, its upload folder, and what nobody may see through it."""

    app: AppProcess
    http: httpx.Client
    uploads: Path
    outside: Outside
    planted: list[str]
    public: bool

    def hostile(self) -> list[str]:
        return [*paths(self.outside, self.uploads), *self.planted]


@pytest.fixture(scope="module", params=["public", "own"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp(request.param)
    for name in ("checkpoints", "datasets", "cache"):
        (root / name).mkdir()
    for shipped in (ROOT / "checkpoints").glob("*-base"):
        (root / "checkpoints" / shipped.name).symlink_to(shipped)
    env = {
        "MMDEMO_CHECKPOINTS": str(root / "checkpoints"),
        "MMDEMO_DATASETS": str(root / "datasets"),
        "MMDEMO_CACHE": str(root / "cache"),
        "GRADIO_TEMP_DIR": str(root / "gradio"),
    }
    flags = ["--mcp", *(["--public"] if request.param == "public" else [])]
    with running_app(flags, env=env) as app, httpx.Client(base_url=app.url, trust_env=False, timeout=60) as http:
        stored = http.post("/gradio_api/upload", files={"files": ("x.txt", b"x")}).json()[0]
        uploads = Path(stored).parents[1]
        outside = Outside.make(root / "outside")
        planted = plant(uploads, outside)
        yield Served(app, http, uploads, outside, planted, public=request.param == "public")
    assert not list((root / "gradio").iterdir()), "uploads stayed behind when the program had ended"


def join(http: httpx.Client, number: int, values: list[Any]) -> str:
    """What a call by number, as the page makes it, streams back; what was said when it was refused at once."""
    session = f"s{number}"  # one for each event: the state of a session is large
    joined = http.post("/gradio_api/queue/join", json={"data": values, "fn_index": number, "session_hash": session})
    if joined.status_code != 200:
        return joined.text
    received = []
    with http.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        for line in stream.iter_lines():
            received.append(line)
            if "process_completed" in line:
                break
    return "\n".join(received)


def call(http: httpx.Client, name: str, body: dict[str, Any], *, version: str = "") -> str:
    """What a call by name streams back."""
    event = http.post(f"/gradio_api/call{version}/{name}", json=body)
    if event.status_code != 200:
        return event.text
    return http.get(f"/gradio_api/call{version}/{name}/{event.json()['event_id']}").text


def upload(http: httpx.Client, path: Path) -> dict[str, Any]:
    with path.open("rb") as content:
        stored = http.post("/gradio_api/upload", files={"files": (path.name, content)}).json()[0]
    return {"path": stored, "orig_name": path.name, "meta": {"_type": "gradio.FileData"}}


def events_with_files(http: httpx.Client) -> list[tuple[int, str, list[Any], list[int]]]:
    """Number, name, ordinary values and the places of files of every event that takes some."""
    config = http.get("/config").json()
    parts = {part["id"]: part for part in config["components"]}
    found = []
    for event in config["dependencies"]:
        kinds = [parts[number]["type"] for number in event["inputs"]]
        places = [place for place, kind in enumerate(kinds) if kind in FILES]
        values = [parts[number]["props"].get("value") for number in event["inputs"]]
        values = [None if kind in ("state", *FILES) else value for kind, value in zip(kinds, values, strict=True)]
        if places:
            found.append((event["id"], event["api_name"], values, places))
    return found


def refused(told: str) -> bool:
    """Whether an answer is the one sentence and no other word."""
    lines = [line.removeprefix("data:").strip() for line in told.splitlines() if line.startswith("data:")]
    messages = [json.loads(line) for line in lines]
    ends = [one for one in messages if one.get("msg", "process_completed") == "process_completed"]
    outputs = [one.get("output", one) for one in ends]
    return len(outputs) == 1 and outputs[0]["error"] == SENTENCE and "data" not in outputs[0]


# ---------------------------------------------------------------- every input of every event, inside one process


@pytest.fixture(scope="module", params=["public", "own"])
def demo(request: pytest.FixtureRequest) -> gr.Blocks:
    from mmdemo.serving.engine import Engine
    from mmdemo.ui.page import build_page

    public = request.param == "public"
    return build_page(Engine(device="cpu", public=public), public=public, device="cpu")


def test_every_input_of_every_event_refuses_what_was_not_uploaded(
    demo: gr.Blocks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = tmp_path / "gradio"
    uploads.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(uploads))
    outside = Outside.make(tmp_path / "outside")
    every = [form for path in (*paths(outside, uploads), *plant(uploads, outside)) for form in forms(path)]
    every += [nested(5), nested(500)]
    some = every[:: max(1, len(every) // 40)]
    state = SessionState(demo)
    answers: set[str] = set()

    async def ask(fn: Any, values: list[Any]) -> None:
        try:
            await demo.process_api(fn, values, state=state)
        except gr.Error as error:
            answers.add(str(error.message))
        else:
            answers.add(f"{fn.api_name} answered {str(values)[:200]}")

    async def walk() -> int:
        asked = 0
        for fn in demo.fns.values():
            for place, component in enumerate(fn.inputs):
                if component.stateful:
                    continue
                takes_files = component.get_block_name() in FILES
                for form in [*every, *NO_FILE] if takes_files else some:
                    await ask(fn, [form if place == here else None for here in range(len(fn.inputs))])
                    asked += 1
        return asked

    assert asyncio.run(walk()) > 10_000
    assert answers == {SENTENCE}


def test_a_component_that_is_not_checked_cannot_be_built_in() -> None:
    from mmdemo.ui.uploads import check_requests
    from mmdemo.ui.wiring import raw_file

    for make in (gr.Image, gr.Audio, gr.File, gr.UploadButton, gr.Gallery, gr.Video, gr.ImageEditor,
                 gr.MultimodalTextbox, gr.Model3D, gr.ImageSlider, gr.Chatbot, gr.DownloadButton,
                 gr.FileExplorer):  # fmt: skip
        with gr.Blocks() as bare:
            component = make()
            gr.Button().click(lambda value: None, component, None, api_name="made")
        with pytest.raises(RuntimeError, match=r"files|inputs are not checked"):
            check_requests(bare)
    with gr.Blocks() as covered:
        gr.Button().click(lambda value: None, raw_file(gr.Image()), None, api_name="made")
    check_requests(covered)


def test_an_updated_component_is_still_checked(demo: gr.Blocks) -> None:
    """Gradio makes a component anew for the visitor whose page changes it."""
    for fn in demo.fns.values():
        for component in fn.inputs:
            if component.get_block_name() in FILES:
                anew = component.__class__(**{**component.constructor_args, "render": False})
                assert anew.preprocess.__func__ is component.preprocess.__func__


# ---------------------------------------------------------------- every door, from outside


def test_events_by_number(served: Served) -> None:
    events = events_with_files(served.http)
    assert len(events) >= 15
    said = set()
    for number, _, values, places in events:
        for place in places:
            for path in served.hostile()[number % 7 :: 7]:  # the test above has all of them
                for form in few_forms(path)[:2]:
                    asked = [form if here == place else value for here, value in enumerate(values)]
                    told = join(served.http, number, asked)
                    said.add("refused" if refused(told) else f"{number} {form}: {told[:400]}")
    assert said == {"refused"}


@pytest.mark.parametrize("name", ["ask", "classify", "caption", "sentiment"])
def test_calls_by_name(served: Served, name: str) -> None:
    more = {"ask": ["is it a dog?", None], "classify": ["cat, dog", None, None], "caption": [1, None]}
    words = {"ask": {"question": "is it a dog?"}, "classify": {"labels": "cat, dog"}}
    field = "audio" if name == "sentiment" else "image"
    said, seconds = set(), []
    for path in served.hostile() if name == "ask" else served.hostile()[::6]:
        for form in few_forms(path)[:2]:
            started = time.perf_counter()
            said.add(call(served.http, name, {"data": [form, *more.get(name, [None])]}))
            seconds.append(time.perf_counter() - started)
        said.add(call(served.http, name, {field: {"path": path}, **words.get(name, {})}, version="/v2"))
    assert len(said) == 1, said
    assert refused(said.pop())
    assert max(seconds) < 30  # nothing was waited for


def test_direct_calls(served: Served) -> None:
    """``/run`` answers events that wait in no queue; on a shared page it is shut."""
    for number, _, values, places in events_with_files(served.http):
        asked = [{"path": str(served.outside.picture)} if here == places[0] else v for here, v in enumerate(values)]
        body = {"data": asked, "fn_index": number, "session_hash": "direct"}
        answer = served.http.post("/gradio_api/run/predict", json=body)
        assert answer.status_code in ((404,) if served.public else (400, 500)) or (
            not served.public and answer.status_code == 404
        )
        if answer.status_code == 500:
            assert answer.json()["error"] == SENTENCE


def test_assistants(served: Served) -> None:
    """MCP takes a ``data:`` address or an object; no path and no address of the web."""

    async def talk() -> set[str]:
        said = set()
        async with (
            streamable_http_client(f"{served.app.url}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            hostile = served.hostile()
            for given in (*({"path": path} for path in hostile[::10]), *hostile[::2]):
                answer = await session.call_tool("ask", {"image": given, "question": "is it a dog?"})
                assert answer.isError
                words = answer.content[0].text
                if not isinstance(given, str) and words == f"Input validation error: {given} is not of type 'string'":
                    words = "no words"  # of the protocol itself, before gradio is asked
                said.add(words)
        return said

    said = asyncio.run(talk())
    assert said <= {SENTENCE, "no words"}
    assert SENTENCE in said


def test_downloads_tell_nothing_of_other_paths(served: Served) -> None:
    said = set()
    for path in (str(served.outside.picture), str(served.outside.folder), str(served.outside.folder / "nothing.png"),
                 "/dev/zero", "/etc/passwd", *served.planted[:-1]):  # fmt: skip
        answer = served.http.get(f"/gradio_api/file={path}")
        said.add((answer.status_code, answer.text.replace(path, "…")))
    assert len(said) == 1, said
    assert next(iter(said))[0] == 403


def test_what_was_refused_leaves_no_traceback(served: Served) -> None:
    assert "Traceback" not in served.app.log
    assert str(served.outside.folder) not in served.app.log


def test_what_was_uploaded_still_works(served: Served, tmp_path: Path) -> None:
    picture = tmp_path / "someone.jpg"
    Image.fromarray(data.astronaut()).save(picture, quality=90)
    voice = write_speech_like(tmp_path / "voice.wav", 3.0)
    image, http = upload(served.http, picture), served.http
    address = "data:image/jpeg;base64," + base64.b64encode(picture.read_bytes()).decode()

    assert "event: complete" in call(http, "ask", {"data": [image, "Is there a woman?", None]})
    assert "event: complete" in call(http, "ask", {"data": [{"path": image["path"]}, "Is there a woman?", None]})
    assert "event: complete" in call(http, "ask", {"data": [{"url": address}, "Is there a woman?", None]})
    assert "event: complete" in call(http, "caption", {"image": image, "n": 1}, version="/v2")
    assert "event: complete" in call(http, "sentiment", {"data": [upload(http, voice), None]})
    numbers = {name: number for number, name, _, _ in events_with_files(http)}
    together = join(http, numbers["page_classify"], [None, [image, image], "woman, dog", "", "classify-base", "cpu"])
    assert '"success":true' in together.replace(" ", "")
    # the packaged examples, as the page takes them
    example = {event["api_name"]: event["id"] for event in http.get("/config").json()["dependencies"]}
    chosen = join(http, example["page_ask_example"], [0])
    shown = json.loads(next(line for line in chosen.splitlines() if "process_completed" in line)[len("data:") :])
    file, question = shown["output"]["data"]
    assert "event: complete" in call(http, "ask", {"data": [file, question, None]})
