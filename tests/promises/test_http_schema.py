"""The four jobs over HTTP and MCP: what they take, give and refuse. A change here breaks callers."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from tests.app_process import AppProcess, running_app

# name, python type, optional, default
PARAMETERS = {
    "/ask": [
        ("image", "filepath", False, None),
        ("question", "str", False, None),
        ("model", "str", True, None),
    ],
    "/classify": [
        ("image", "filepath", False, None),
        ("labels", "str", False, None),
        ("template", "str", True, None),
        ("model", "str", True, None),
    ],
    "/caption": [
        ("image", "filepath", False, None),
        ("n", "int", True, 3),
        ("model", "str", True, None),
    ],
    "/sentiment": [
        ("audio", "filepath", False, None),
        ("model", "str", True, None),
    ],
}

RESULTS = {
    "/ask": {"file", "question", "answer", "score", "sure", "alternatives", "model", "seconds"},
    "/classify": {"file", "labels", "sure", "model", "seconds"},
    "/caption": {"file", "caption", "score", "sure", "alternatives", "model", "seconds"},
    "/sentiment": {"file", "emotion", "scores", "sentiment", "segments", "sure", "model", "seconds"},
}
OPTIONAL = {"/ask": {"weights"}, "/sentiment": {"words"}}
SCORED = {"label", "score"}
SEGMENT = {"start", "end", "emotion", "scores", "uncertainty"}


@pytest.fixture(scope="module")
def app() -> Iterator[AppProcess]:
    with running_app(["--mcp"]) as process:
        yield process


@pytest.fixture(scope="module")
def client(app: AppProcess) -> Iterator[Client]:
    made = Client(app.url, verbose=False, analytics_enabled=False)
    yield made
    made.close()


def test_exactly_these_endpoints_with_exactly_these_parameters(app: AppProcess) -> None:
    info = httpx.get(f"{app.url}/gradio_api/info", trust_env=False).json()

    assert info["unnamed_endpoints"] == {}
    found = {
        name: [
            (
                parameter["parameter_name"],
                parameter["python_type"]["type"].removesuffix(" | None"),
                parameter["parameter_has_default"],
                parameter["parameter_default"],
            )
            for parameter in endpoint["parameters"]
        ]
        for name, endpoint in info["named_endpoints"].items()
    }
    assert found == PARAMETERS
    assert all(len(endpoint["returns"]) == 1 for endpoint in info["named_endpoints"].values())
    assert all(endpoint["description"] for endpoint in info["named_endpoints"].values())


def check_keys(name: str, answer: dict[str, Any]) -> None:
    assert set(answer) - OPTIONAL.get(name, set()) == RESULTS[name]


def test_ask(client: Client, picture: Path) -> None:
    answer = client.predict(image=handle_file(picture), question="Is there a woman?", api_name="/ask")

    check_keys("/ask", answer)
    assert answer["file"] == picture.name
    assert answer["question"] == "Is there a woman?"
    assert 0 <= answer["score"] <= 1
    assert all(set(other) == SCORED for other in answer["alternatives"])


def test_classify(client: Client, picture: Path) -> None:
    answer = client.predict(
        image=handle_file(picture), labels="woman\ndog, car", template="a photo of a {}", api_name="/classify"
    )

    check_keys("/classify", answer)
    assert answer["file"] == picture.name
    assert {scored["label"] for scored in answer["labels"]} == {"woman", "dog", "car", "none of these"}
    assert sum(scored["score"] for scored in answer["labels"]) == pytest.approx(1, abs=1e-3)


def test_caption(client: Client, picture: Path) -> None:
    answer = client.predict(image=handle_file(picture), n=2, api_name="/caption")

    check_keys("/caption", answer)
    assert answer["file"] == picture.name
    assert len(answer["alternatives"]) == 1
    assert all(set(other) == SCORED for other in answer["alternatives"])


def test_sentiment(client: Client, voice: Path) -> None:
    answer = client.predict(audio=handle_file(voice), api_name="/sentiment")

    check_keys("/sentiment", answer)
    assert answer["file"] == voice.name
    assert set(answer["sentiment"]) == {"negative", "neutral", "positive"}
    assert all(set(segment) == SEGMENT for segment in answer["segments"])


def test_the_model_can_be_named(client: Client, picture: Path) -> None:
    answer = client.predict(image=handle_file(picture), question="Is there a woman?", model="ask-base", api_name="/ask")

    assert answer["model"] == "ask-base"


def test_failures_are_one_sentence(client: Client, picture: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"this is no picture")

    with pytest.raises(AppError, match="given more than once"):
        client.predict(image=handle_file(picture), labels="cat, Cat", api_name="/classify")
    with pytest.raises(AppError, match="question"):
        client.predict(image=handle_file(picture), question="  ", api_name="/ask")
    with pytest.raises(AppError, match="There is no model"):
        client.predict(image=handle_file(picture), question="Why?", model="nonesuch", api_name="/ask")
    with pytest.raises(AppError) as refused:
        client.predict(image=handle_file(broken), n=1, api_name="/caption")
    assert "Traceback" not in str(refused.value)
    assert len(str(refused.value)) > 20


def test_addresses_are_not_opened(app: AppProcess) -> None:
    body = {"data": [{"path": "http://example.com/cat.jpg", "meta": {"_type": "gradio.FileData"}}, "Why?", None]}

    with httpx.Client(base_url=app.url, trust_env=False, timeout=60) as http:
        event = http.post("/gradio_api/call/ask", json=body).json()["event_id"]
        told = http.get(f"/gradio_api/call/ask/{event}").text

    assert "event: error" in told
    assert "it was not uploaded here" in told


def test_a_picture_inside_the_request_is_enough(app: AppProcess, picture: Path) -> None:
    address = "data:image/jpeg;base64," + base64.b64encode(picture.read_bytes()).decode()
    body = {"data": [{"url": address, "meta": {"_type": "gradio.FileData"}}, "Is there a woman?", None]}

    with httpx.Client(base_url=app.url, trust_env=False, timeout=60) as http:
        event = http.post("/gradio_api/call/ask", json=body).json()["event_id"]
        told = http.get(f"/gradio_api/call/ask/{event}").text

    assert "event: complete" in told, told


def test_assistants_get_the_four_jobs_as_tools_and_nothing_else(app: AppProcess, picture: Path) -> None:
    address = "data:image/jpeg;base64," + base64.b64encode(picture.read_bytes()).decode()

    async def talk() -> tuple[dict[str, Any], Any]:
        async with (
            streamable_http_client(f"{app.url}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            answer = await session.call_tool("classify", {"image": address, "labels": "woman, dog"})
            return tools, answer

    tools, answer = asyncio.run(talk())

    assert set(tools) == {"ask", "classify", "caption", "sentiment"}
    for tool in tools.values():
        assert len(tool.description or "") > 80
        assert all("description" in entry for entry in tool.inputSchema["properties"].values())
    assert not answer.isError, answer
    check_keys("/classify", json.loads(answer.content[0].text))


def test_other_websites_and_other_names_get_nothing(app: AppProcess) -> None:
    port = app.url.rpartition(":")[2].strip("/")
    asked = {"fn_index": 0, "data": [], "session_hash": "x"}
    renamed = {"host": f"evil.example:{port}", "origin": f"http://evil.example:{port}"}
    across = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    assert httpx.get(f"{app.url}/config", headers=renamed, trust_env=False).status_code == 403
    for headers in (renamed, across):
        for address in ("queue/join", "run/predict", "call/ask"):
            answer = httpx.post(f"{app.url}/gradio_api/{address}", json=asked, headers=headers, trust_env=False)
            assert answer.status_code == 403
        files = {"files": ("x.txt", b"x")}
        answer = httpx.post(f"{app.url}/gradio_api/upload", files=files, headers=headers, trust_env=False)
        assert answer.status_code == 403
