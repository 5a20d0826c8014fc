"""A public model comes from a hub into an open page: looked up, stopped, gone on with, asked, and taught."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from mmdemo.models.hub.catalog import find
from tests.app_process import AppProcess, running_app
from tests.browser.conftest import RUN_WAIT, SETTINGS, Visit, own_folders
from tests.hub_server import HubServer
from tests.small_bases import write_pictures
from tests.tiny_models.blip import make_blip_ask

pytestmark = pytest.mark.browser

ID = "Salesforce/blip-vqa-base"
TAUGHT = "my-answers"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    entry = find(ID)
    assert entry is not None
    with HubServer() as server:
        folder = make_blip_ask(tmp_path_factory.mktemp("published") / "blip")
        server.add(ID, folder, commit=entry.revision, licence=entry.licence)
        yield server


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the app's own, with pictures and questions in it."""
    place = tmp_path_factory.mktemp("taught")
    write_pictures(place / "pictures", train=12, validation=6)
    return place


@pytest.fixture(scope="module")
def app(chromium: Browser, hub: HubServer, root: Path) -> Iterator[AppProcess]:
    home = root / "home"
    there = {"HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(home)}
    with running_app(env={**own_folders(root, home), **there}) as process:
        yield process


@pytest.fixture(params=["desktop"])
def visit(request: pytest.FixtureRequest, chromium: Browser, app: AppProcess) -> Iterator[Visit]:
    context = chromium.new_context(**SETTINGS[request.param])  # type: ignore[arg-type]
    visitor = Visit(context, app.url, f"public-{request.param}")
    yield visitor
    context.close()
    assert visitor.errors == []
    assert visitor.hosts <= {"127.0.0.1", "localhost"}
    assert "Traceback" not in app.log, app.log[-3000:]


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


def teach_from_it(visit: Visit) -> None:
    """Open the tab Teach for Ask, and start from the model that came from the hub."""
    page = visit.page
    page.click("#tab-teach-button")
    page.locator("#teach-task label", has_text="Ask").click()
    page.wait_for_function("document.querySelector('#teach-base input')?.value === 'ask-base'")
    page.click("#teach-base input")
    page.get_by_role("option", name=f"{ID} (by others)", exact=True).click()
    page.wait_for_selector("#teach-base-note >> text=bsd-3-clause")
    page.wait_for_function("document.querySelector('#teach-batch-size input')?.value === '8'")


def test_it_is_taught_and_compared_with_what_it_was(visit: Visit, root: Path, files: Path) -> None:
    page = visit.page
    teach_from_it(visit)
    assert page.locator("#teach-tune input[value=lora]").is_checked()
    assert page.locator("#teach-tune input[value=all]").count() == 0
    page.locator("#teach-source label", has_text="Zip").click()
    page.fill("#teach-folder input, #teach-folder textarea", str(root / "pictures"))
    page.press("#teach-folder input, #teach-folder textarea", "Enter")
    page.wait_for_function("document.querySelector('#teach-epochs input')?.value !== '6'")  # what few data need
    page.wait_for_selector("#teach-estimate >> text=of memory")
    page.fill("#teach-epochs input", "1")
    page.press("#teach-epochs input", "Tab")
    page.fill("#teach-out input, #teach-out textarea", TAUGHT)
    page.click("#teach-command button")
    page.wait_for_function(
        f"document.querySelector('#teach-command-line textarea')?.value?.includes('--base {ID} --set train.epochs=1 ')"
    )
    visit.shoot("teach")
    page.click("#teach-advanced button")
    with page.expect_download() as download:
        page.click("#teach-save-toml")
    download.value.save_as(root / "saved.toml")
    saved = tomllib.loads((root / "saved.toml").read_text(encoding="utf-8"))
    assert saved["base"] == ID
    assert (saved["train"]["tune"], saved["train"]["lora_rank"], saved["train"]["epochs"]) == ("lora", 16, 1)

    page.click("#teach-start")
    page.wait_for_selector("#runs-state .mm-is-done", timeout=RUN_WAIT)
    page.click("#runs-use")
    page.wait_for_selector(f"#loaded-ask >> text={TAUGHT} answers now")
    visit.give_picture("ask", files / "cat.jpg")
    page.fill("#ask-question textarea, #ask-question input", "What is it?")
    page.click("#ask-button")
    assert TAUGHT in visit.answer("ask")

    page.click("#tab-runs-button")
    page.click("#runs-compare")
    page.wait_for_function(f"document.querySelector('#compare-b input')?.value === '{TAUGHT}'")
    assert page.input_value("#compare-a input") == ID
    page.wait_for_function("document.querySelector('#compare-data input')?.value.includes('kept aside')")
    page.click("#compare-button")
    page.wait_for_selector("#compare-sentence")
    visit.shoot("compare")


@pytest.mark.parametrize("visit", ["phone"], indirect=True)
def test_its_settings_come_back_from_the_file_on_a_phone(visit: Visit, root: Path) -> None:
    page = visit.page
    teach_from_it(visit)
    visit.shoot("teach")
    assert visit.overflow() <= 0
    page.click("#teach-base input")
    page.get_by_role("option", name="ask-base", exact=True).click()
    page.wait_for_function("document.querySelector('#teach-batch-size input')?.value !== '8'")
    page.wait_for_selector("#teach-tune input[value=all]")
    page.wait_for_selector("#teach-base-note p", state="detached")
    page.click("#teach-advanced button")
    with page.expect_file_chooser() as chooser:
        page.click("#teach-load-toml")
    chooser.value.set_files(root / "saved.toml")
    page.wait_for_selector("#teach-toml-read .mm-told")
    page.wait_for_function(f"document.querySelector('#teach-base input')?.value.includes('{ID}')")
    page.wait_for_function("document.querySelector('#teach-epochs input')?.value === '1'")
    page.wait_for_selector("#teach-base-note p")
