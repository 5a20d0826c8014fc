"""A model that others made is taught in the page: chosen, its own settings, trained, asked, compared."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from mmdemo.models.public.opening import put_on_shelf
from tests.app_process import AppProcess, running_app
from tests.browser.conftest import RUN_WAIT, SETTINGS, Visit, own_folders
from tests.small_bases import THINGS, draw
from tests.tiny_models.open_clip_ import make_clip

pytestmark = pytest.mark.browser

NAME = "my-things"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures of two things in it."""
    place = tmp_path_factory.mktemp("taught")
    for split, count in (("train", 6), ("validation", 3), ("test", 3)):
        for thing in THINGS:
            folder = place / "things" / split / thing
            folder.mkdir(parents=True)
            for i in range(count):
                draw("red", thing, 10 * count + i + len(split)).save(folder / f"{i}.png")
    return place


@pytest.fixture(scope="module")
def studio(chromium: Browser, root: Path) -> Iterator[AppProcess]:
    cache = root / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMDEMO_CACHE", str(cache))
        folder = make_clip(root / "tiny-clip")
        put_on_shelf(folder, name=str(folder))
    with running_app(env=own_folders(root, cache)) as process:
        yield process


@pytest.fixture(params=["desktop"])
def visit(request: pytest.FixtureRequest, chromium: Browser, studio: AppProcess) -> Iterator[Visit]:
    context = chromium.new_context(**SETTINGS[request.param])  # type: ignore[arg-type]
    visitor = Visit(context, studio.url, f"public-{request.param}")
    yield visitor
    context.close()
    assert visitor.errors == []
    assert visitor.hosts <= {"127.0.0.1", "localhost"}
    assert "Traceback" not in studio.log, studio.log[-3000:]


def start_from(visit: Visit, words: str) -> None:
    visit.page.click("#teach-base input")
    visit.page.get_by_role("option", name=words, exact=True).click()


def bring(visit: Visit, root: Path) -> None:
    page = visit.page
    page.click("#tab-teach-button")
    page.locator("#teach-source label", has_text="Zip").click()
    page.fill("#teach-folder input, #teach-folder textarea", str(root / "things"))
    page.press("#teach-folder input, #teach-folder textarea", "Enter")
    page.wait_for_selector("#teach-preview .mm-labels")


def test_from_a_public_model_to_one_that_answers(visit: Visit, root: Path) -> None:
    page = visit.page
    bring(visit, root)
    page.wait_for_function("document.querySelector('#teach-batch-size input')?.value === '64'")
    start_from(visit, "tiny-clip (made by others, a folder)")
    page.wait_for_selector("#teach-base-note >> text=a small adapter")
    page.wait_for_function("document.querySelector('#teach-batch-size input')?.value === '8'")
    page.wait_for_selector("#teach-tune input[value=lora]:checked")
    assert page.locator("#teach-tune input[value=all]").count() == 0
    page.wait_for_selector("#teach-estimate .mm-estimate")
    page.fill("#teach-epochs input", "2")
    page.press("#teach-epochs input", "Tab")
    page.fill("#teach-out input, #teach-out textarea", NAME)
    page.click("#teach-command button")
    page.wait_for_function(
        "document.querySelector('#teach-command-line textarea')?.value?.includes('tiny-clip --set train.epochs=2')"
    )
    visit.shoot("teach")
    page.click("#teach-advanced button")
    with page.expect_download() as download:
        page.click("#teach-save-toml")
    download.value.save_as(root / "saved.toml")
    saved = tomllib.loads((root / "saved.toml").read_text(encoding="utf-8"))
    assert saved["base"] == str(root / "tiny-clip")
    assert (saved["train"]["tune"], saved["train"]["lora_rank"], saved["train"]["epochs"]) == ("lora", 16, 2)

    page.click("#teach-start")
    page.wait_for_selector("#runs-state .mm-is-done", timeout=RUN_WAIT)
    page.click("#runs-use")
    page.wait_for_selector(f"#loaded-classify >> text={NAME} answers now")
    visit.give_picture("classify", root / "things" / "test" / THINGS[0] / "0.png")
    page.click("#classify-button")
    page.wait_for_selector(f"#classify-answer >> text=model {NAME}")

    page.click("#tab-runs-button")
    page.click("#runs-compare")
    page.wait_for_function(f"document.querySelector('#compare-b input')?.value === '{NAME}'")
    assert page.input_value("#compare-a input") == str(root / "tiny-clip")
    page.wait_for_function("document.querySelector('#compare-data input')?.value.includes('kept aside')")
    page.click("#compare-button")
    page.wait_for_selector("#compare-sentence")
    visit.shoot("compare")


@pytest.mark.parametrize("visit", ["phone", "chinese"], indirect=True)
def test_on_a_phone_and_in_chinese(visit: Visit) -> None:
    page = visit.page
    page.click("#tab-teach-button")
    page.wait_for_function("document.querySelector('#teach-base input')?.value === 'classify-base'")
    page.click("#teach-base input")
    page.get_by_role("option", name="tiny-clip").first.click()
    page.wait_for_selector("#teach-base-note p")
    page.wait_for_function("document.querySelector('#teach-batch-size input')?.value === '8'")
    visit.shoot("teach")
    assert visit.overflow() <= 0
