"""The profile for others: inference only, a written list of what answers, and no way around it over raw HTTP."""

from __future__ import annotations

import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mmdemo.core.settings import ROOT, checkpoints_root
from mmdemo.ui.api import ENDPOINTS
from mmdemo.ui.inference_only import OPEN_ADDRESSES, PAGE_EVENTS, Gate
from tests.app_process import AppProcess, running_app

RUNNER = str(Path(__file__).with_name("public_app.py"))

SHUT = [
    ("POST", "/gradio_api/run/ask"),
    ("POST", "/gradio_api/run/page_ask"),
    ("POST", "/gradio_api/api/ask"),
    ("POST", "/gradio_api/call/page_ask"),
    ("POST", "/gradio_api/call/v2/page_ask"),
    ("POST", "/gradio_api/call/train"),
    ("POST", "/gradio_api/component_server"),
    ("POST", "/gradio_api/component_server/"),
    ("GET", "/gradio_api/deep_link"),
    ("GET", "/gradio_api/proxy=https://example.hf.space/"),
    ("GET", "/gradio_api/file=https://example.com/"),
    ("POST", "/gradio_api/process_recording"),
    ("POST", "/gradio_api/vibe-edit/"),
    ("GET", "/gradio_api/vibe-code/"),
    ("GET", "/gradio_api/runs"),
    ("GET", "/gradio_api/run-history/records"),
    ("GET", "/gradio_api/mcp/"),
    ("GET", "/gradio_api/dev/reload"),
    ("POST", "/gradio_api/stream/x"),
    ("GET", "/monitoring"),
    ("GET", "/monitoring/summary"),
    ("GET", "/svelte/x"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("PUT", "/gradio_api/upload"),
    ("DELETE", "/"),
]

OWN_EVENT = re.compile(r"page_(teach|runs|compare|models|hub)_\w+|page_\w+_correct\w*|page_tab|page_opened")
OWN_ID = re.compile(r"(tab-)?(teach|runs|compare)\b.*|banner|(loaded|serving)-.+|\w+-(correct|right|keep|kept)")
OWN_WORDS = re.compile(r"(tab_)?(teach|runs|compare)(_\w+)?")
"""What only the page of one's own has: names of events, of components and of words."""

OWN_MODULES = re.compile(
    r"mmdemo\.(data|train|studio|evaluate|ui\.(teach|runs|compare|studio_tabs|corrections))(\..*)?"
)


@pytest.fixture(scope="module")
def modules_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("public") / "modules.json"


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data that the owner of the machine has made."""
    root = tmp_path_factory.mktemp("datasets")
    (root / "mine").mkdir()
    (root / "mine" / "dataset.json").write_text("{}", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def app(modules_file: Path, datasets: Path) -> Iterator[AppProcess]:
    env = {"MMDEMO_TEST_MODULES": str(modules_file), "MMDEMO_DATASETS": str(datasets)}
    with running_app(["--public"], before=[sys.executable, RUNNER], env=env) as process:
        yield process


@pytest.fixture
def http(app: AppProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=app.url, trust_env=False, timeout=60) as client:
        yield client


def call(http: httpx.Client, name: str, data: list[object]) -> str:
    """What a queued call of one of the four endpoints streams back."""
    event = http.post(f"/gradio_api/call/{name}", json={"data": data}).json()["event_id"]
    return http.get(f"/gradio_api/call/{name}/{event}").text


def join(http: httpx.Client, number: int, data: list[object]) -> str:
    """What a call by number, as the page makes it, streams back; "" when it is refused at once."""
    body = {"data": data, "fn_index": number, "session_hash": f"s{number}"}
    if http.post("/gradio_api/queue/join", json=body).status_code != 200:
        return ""
    received = []
    with http.stream("GET", "/gradio_api/queue/data", params={"session_hash": f"s{number}"}) as stream:
        for line in stream.iter_lines():
            received.append(line)
            if "process_completed" in line:
                break
    return "\n".join(received)


def upload(http: httpx.Client, path: Path) -> dict[str, object]:
    with path.open("rb") as content:
        stored = http.post("/gradio_api/upload", files={"files": (path.name, content)}).json()[0]
    return {"path": stored, "orig_name": path.name, "meta": {"_type": "gradio.FileData"}}


def test_says_what_it_is(app: AppProcess) -> None:
    assert "inference only" in app.log


def test_the_page_is_built_of_the_written_events_and_nothing_else(http: httpx.Client) -> None:
    events = http.get("/config").json()["dependencies"]

    assert sorted(event["api_name"] for event in events) == sorted((*ENDPOINTS, *PAGE_EVENTS))
    assert {event["api_name"] for event in events if event["api_visibility"] == "public"} == set(ENDPOINTS)


@pytest.fixture(scope="module")
def own_events() -> dict[str, int]:
    """Names and numbers of the events that only the page of one's own has."""
    from mmdemo.serving.engine import Engine
    from mmdemo.ui.page import build_page

    built = build_page(Engine(device="cpu"), public=False, device="cpu").get_config_file()
    everything = {str(event["api_name"]): int(event["id"]) for event in built["dependencies"]}
    return {name: number for name, number in everything.items() if name not in (*ENDPOINTS, *PAGE_EVENTS)}


def test_what_makes_and_keeps_models_is_known_by_its_names(own_events: dict[str, int]) -> None:
    """So that the tests below look for all of it."""
    assert [name for name in own_events if not OWN_EVENT.fullmatch(name)] == []
    assert [name for name in (*ENDPOINTS, *PAGE_EVENTS) if OWN_EVENT.fullmatch(name)] == []
    some = {"page_teach_start", "page_teach_unpack", "page_runs_delete", "page_runs_receive", "page_compare_run"}
    assert some | {"page_models_look", "page_classify_correct", "page_tab"} <= set(own_events)


def test_nothing_that_makes_or_keeps_models_is_built(http: httpx.Client) -> None:
    config: dict[str, Any] = http.get("/config").json()
    parts = [part["props"] for part in config["components"]]

    assert [event["api_name"] for event in config["dependencies"] if OWN_EVENT.fullmatch(event["api_name"])] == []
    assert [part["elem_id"] for part in parts if OWN_ID.fullmatch(part.get("elem_id") or "")] == []
    assert not {"timer", "uploadbutton"} & {part["type"] for part in config["components"]}
    assert {kind for part in parts for kind in part.get("file_types") or ()} <= {"image", "audio"}  # no zip, no TOML
    built = json.dumps([config["components"], config["dependencies"], config["layout"], config["page"]])
    assert OWN_EVENT.search(built) is None
    assert [*re.finditer(r"datasets_root|/datasets/|trainer/", built)] == []
    assert str(ROOT) not in built
    words = {key for language in config["i18n_translations"].values() for key in language}
    assert "tab_ask" in words
    assert sorted(key for key in words if OWN_WORDS.fullmatch(key)) == []


def test_nothing_that_makes_or_keeps_models_answers(http: httpx.Client, own_events: dict[str, int]) -> None:
    for name in own_events:
        for address in ("call", "call/v2", "run", "api"):
            answer = http.post(f"/gradio_api/{address}/{name}", json={"data": []})
            assert answer.status_code == 404, f"{address}/{name}"
        body = {"data": [], "fn_index": None, "api_name": name, "session_hash": "byname"}
        assert http.post("/gradio_api/queue/join", json=body).status_code >= 400, name
    for address in ("info", "openapi.json"):
        assert OWN_EVENT.search(http.get(f"/gradio_api/{address}").text) is None


def test_a_zip_reaches_no_folder(http: httpx.Client, tmp_path: Path, datasets: Path) -> None:
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/config.json", "{}")
    before = sorted(checkpoints_root().iterdir())
    sent = upload(http, path)

    for name, more in (("ask", ["Why?", None]), ("classify", ["cat, dog", None, None]), ("caption", [1, None])):
        assert "event: error" in call(http, name, [sent, *more])
    assert "event: error" in call(http, "sentiment", [sent, None])
    assert sorted(checkpoints_root().iterdir()) == before
    assert [place.name for place in datasets.iterdir()] == ["mine"]


@pytest.mark.parametrize(("method", "path"), SHUT)
def test_nothing_else_answers(http: httpx.Client, method: str, path: str) -> None:
    answer = http.request(method, path, json={"data": []} if method == "POST" else None)

    assert answer.status_code == 404
    assert answer.json() == {"detail": "Not found"}


def test_numbers_beyond_the_list_do_nothing(http: httpx.Client, own_events: dict[str, int]) -> None:
    known = [event["id"] for event in http.get("/config").json()["dependencies"]]
    assert max(known) + 1 == len(known) == len(ENDPOINTS) + len(PAGE_EVENTS)

    for number in (*range(len(known), max(own_events.values()) + 2), 10_000, -1):
        body = {"data": [], "fn_index": number, "session_hash": "beyond"}
        assert http.post("/gradio_api/queue/join", json=body).status_code >= 400


def test_the_four_jobs_answer(http: httpx.Client, picture: Path, voice: Path) -> None:
    image = upload(http, picture)

    assert "event: complete" in call(http, "ask", [image, "Is there a woman?", None])
    assert "event: complete" in call(http, "classify", [image, "woman, dog", None, None])
    assert "event: complete" in call(http, "caption", [image, 1, None])
    assert "event: complete" in call(http, "sentiment", [upload(http, voice), None])


@pytest.mark.parametrize(
    "model",
    ["owner/name", "Salesforce/blip-vqa-base", "../vision-base", str(ROOT / "checkpoints" / "ask-base"), "vision-base"],
)
def test_only_listed_models(http: httpx.Client, picture: Path, model: str) -> None:
    told = call(http, "ask", [upload(http, picture), "Is there a woman?", model])

    assert "event: error" in told
    assert "There is no model" in told


def test_page_events_refuse_other_models_and_devices(http: httpx.Client, picture: Path) -> None:
    events = {event["api_name"]: event["id"] for event in http.get("/config").json()["dependencies"]}
    image = upload(http, picture)

    other_model = join(http, events["page_ask"], [image, "Is there a woman?", "owner/name", "cpu", None])
    other_device = join(http, events["page_ask"], [image, "Is there a woman?", "ask-base", "cuda", None])

    assert '"success":false' in other_model.replace(" ", "")
    assert '"success":false' in other_device.replace(" ", "")


@pytest.mark.parametrize("path", ["/etc/passwd", str(ROOT / "app.py"), str(ROOT / "mmdemo" / "core" / "types.py")])
def test_no_file_of_the_server_can_be_named(http: httpx.Client, path: str) -> None:
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    events = {event["api_name"]: event["id"] for event in http.get("/config").json()["dependencies"]}

    assert "event: error" in call(http, "ask", [file, "Why?", None])
    told = join(http, events["page_ask"], [file, "Why?", "ask-base", "cpu", None])
    assert '"success":false' in told.replace(" ", "")
    assert http.get(f"/gradio_api/file={path}").status_code in (403, 404)


def test_checkpoints_data_and_repository_cannot_be_downloaded(http: httpx.Client, datasets: Path) -> None:
    inside = [*sorted((ROOT / "checkpoints").glob("*/*"))[:5], ROOT / ".git" / "config", ROOT / "requirements.txt"]
    inside.append(datasets / "mine" / "dataset.json")

    for path in inside:
        assert http.get(f"/gradio_api/file={path}").status_code in (403, 404), path


def test_uploads_have_a_limit(http: httpx.Client) -> None:
    answer = http.post("/gradio_api/upload", files={"files": ("big.png", b"\0" * 20_500_000)})

    assert answer.status_code == 413


def test_other_bodies_have_a_limit(http: httpx.Client) -> None:
    answer = http.post("/gradio_api/call/ask", json={"data": ["x" * 31_000_000]})

    assert answer.status_code == 413


def test_run_history_is_off(http: httpx.Client) -> None:
    assert not http.get("/config").json().get("run_history", False)


def test_no_module_of_data_train_or_studio_was_imported(app: AppProcess, modules_file: Path) -> None:
    # last in the file: everything above has been used by now
    app.stop()

    names = json.loads(modules_file.read_text(encoding="utf-8"))
    assert "mmdemo.ui.page" in names
    assert [name for name in names if OWN_MODULES.fullmatch(name)] == []


def test_every_listed_address_is_a_whole_path() -> None:
    gate = Gate(None)  # type: ignore[arg-type]

    assert all(not gate.passes("GET", path) for path in ("/config/x", "/gradio_api/info/x", "//", "/assets/"))
    assert all(set(methods.split()) <= {"GET", "HEAD", "POST"} for methods, _ in OPEN_ADDRESSES)
