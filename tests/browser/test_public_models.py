"""A public model comes from a hub into an open page: looked up, stopped, gone on with, and asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from mmdemo.models.public.listed import find
from tests.app_process import AppProcess, running_app
from tests.browser.conftest import SETTINGS, Visit
from tests.hub_server import HubServer
from tests.tiny_models.blip import make_blip_ask

pytestmark = pytest.mark.browser

ID = "Salesforce/blip-vqa-base"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    entry = find(ID)
    assert entry is not None
    with HubServer() as server:
        folder = make_blip_ask(tmp_path_factory.mktemp("published") / "blip")
        server.add(ID, folder, commit=entry.revision, licence=entry.licence)
        yield server


@pytest.fixture(scope="module")
def app(chromium: Browser, hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    home = tmp_path_factory.mktemp("home")
    there = {"HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(home), "MMDEMO_CACHE": str(home)}
    with running_app(env=there) as process:
        yield process


@pytest.fixture
def visit(chromium: Browser, app: AppProcess) -> Iterator[Visit]:
    context = chromium.new_context(**SETTINGS["desktop"])  # type: ignore[arg-type]
    visitor = Visit(context, app.url, "public")
    yield visitor
    context.close()
    assert visitor.errors == []
    assert visitor.hosts <= {"127.0.0.1", "localhost"}


def choose(visit: Visit, name: str) -> None:
    box = visit.page.locator("#hub-model input")
    box.fill(name)
    box.press("Enter")


def test_from_the_list_to_an_answer(visit: Visit, hub: HubServer, files: Path) -> None:
    page = visit.page
    page.click("#hub button >> nth=0")
    choose(visit, ID)
    page.wait_for_selector("#hub-facts dl")
    assert "bsd-3-clause" in page.inner_text("#hub-facts")
    assert hub.asked == [], "what the list says is shown without asking anybody"

    page.click("#hub-look")
    page.wait_for_selector("#hub-get:visible")
    told = page.inner_text("#hub-facts")
    entry = find(ID)
    assert entry is not None
    for words in ("BlipForQuestionAnswering", entry.revision, "Free disk"):
        assert words in told
    assert not hub.asked_for("/store/"), "nothing large comes before somebody has seen what it takes"

    hub.trouble("store of", slow=0.2)
    page.click("#hub-get")
    page.wait_for_selector("#hub-state [role=progressbar]")
    page.click("#hub-stop")
    page.wait_for_selector("#hub-state .mm-trouble")
    assert "kept" in page.inner_text("#hub-state")

    page.click("#hub-get")
    page.wait_for_function(f"document.querySelector('#loaded-ask').innerText.includes('{ID} answers now')")
    assert page.locator("#model-ask input").input_value() == ID
    visit.give_picture("ask", files / "cat.jpg")
    page.fill("#ask-question textarea, #ask-question input", "What is it?")
    page.click("#ask-button")
    assert ID in visit.answer("ask")


def test_what_is_not_there_is_one_sentence(visit: Visit) -> None:
    page = visit.page
    page.click("#hub button >> nth=0")
    choose(visit, "nobody/nothing")
    page.click("#hub-look")
    page.wait_for_selector("#hub-facts .mm-trouble")
    assert "knows no model of this name" in page.inner_text("#hub-facts")
