"""No request leaves the machine: the app with sockets refused, through all four endpoints and with --share."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client, handle_file

from tests.app_process import AppProcess, running_app

RUNNER = str(Path(__file__).with_name("offline_app.py"))
REPORT = "REFUSED "


@pytest.fixture(scope="module")
def app() -> Iterator[AppProcess]:
    # as a person has it: nothing tells the hub's library to be quiet but what app.py says itself
    with running_app(
        before=[sys.executable, RUNNER], env={"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0"}
    ) as process:
        yield process


@pytest.fixture(scope="module")
def client(app: AppProcess) -> Iterator[Client]:
    made = Client(app.url, verbose=False, analytics_enabled=False)
    yield made
    made.close()


def test_all_four_jobs_answer_without_a_network(app: AppProcess, client: Client, picture: Path, voice: Path) -> None:
    asked = client.predict(handle_file(picture), "Is there a woman?", api_name="/ask")
    classified = client.predict(handle_file(picture), "woman, dog, car", api_name="/classify")
    captioned = client.predict(handle_file(picture), 2, api_name="/caption")
    heard = client.predict(handle_file(voice), api_name="/sentiment")

    assert asked["answer"]
    assert len(classified["labels"]) == 4
    assert captioned["caption"]
    assert heard["emotion"]
    assert REPORT not in app.log, app.log


def test_share_without_a_network_says_so_and_goes_on_serving(picture: Path) -> None:
    with running_app(["--share"], before=[sys.executable, RUNNER]) as app:
        told = app.wait_for(re.compile(r"No public link could be made"), seconds=60)
        assert app.url in told.string
        assert "inference only" in app.log

        client = Client(app.url, verbose=False, analytics_enabled=False)
        answer = client.predict(handle_file(picture), "Is there a woman?", api_name="/ask")
        client.close()

        assert answer["file"] == "someone.jpg"
