"""The whole way in one window: teach by hand, train, refresh, use, compare, export, delete, import; the same answer."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser
from skimage import data

from tests.app_process import AppProcess, running_app
from tests.browser.conftest import RUN_WAIT, SETTINGS, Visit, own_folders, write_crops

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

TAUGHT = {"wug": data.chelsea, "dax": data.coffee, "blicket": data.rocket}
"""Names that no model knows, and the photo whose pieces are called so."""

PICTURES = 8
NAME = "made-up"
EPOCHS = 300
"""Of one step each: more than a page takes to load, whatever the machine."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flow")


@pytest.fixture(scope="module")
def studio(chromium: Browser, root: Path, studio_cache: Path) -> Iterator[AppProcess]:
    with running_app(env=own_folders(root, studio_cache)) as process:
        yield process


@pytest.fixture(scope="module")
def visit(chromium: Browser, studio: AppProcess) -> Iterator[Visit]:
    """One window for all chapters."""
    context = chromium.new_context(**SETTINGS["desktop"])  # type: ignore[arg-type]
    visitor = Visit(context, studio.url, "flow")
    yield visitor
    context.close()
    assert visitor.hosts <= {"127.0.0.1", "localhost"}, f"the page talked to {visitor.hosts}"
    assert visitor.errors == []
    assert "Traceback" not in studio.log, studio.log[-3000:]


@pytest.fixture(scope="module")
def asked(root: Path) -> Path:
    """A piece of the coffee photo that was not taught."""
    return write_crops(Image.fromarray(data.coffee()), root / "asked", "asked", count=1, seed=99)[0]


@pytest.fixture(scope="module")
def answers() -> dict[str, str]:
    """What the models said, from chapter to chapter."""
    return {}


def classify(visit: Visit, picture: Path, *, model: str, names: Sequence[str] = tuple(TAUGHT)) -> tuple[str, str]:
    """Which of the names the tab Classify gives a picture, and all of them with their scores, the highest first."""
    page = visit.page
    visit.open_tab("classify")
    visit.give_picture("classify", picture)
    page.fill("#classify-labels textarea", ", ".join(names))
    page.click("#classify-button")
    page.wait_for_selector(f"#classify-answer >> text=model {model}")
    took = page.inner_text("#classify-answer .mm-meta")
    scores = page.inner_text("#classify-answer").replace(took, "")
    assert all(name in scores for name in names)
    assert re.search(r"\d %", scores)
    return page.inner_text("#classify-answer .mm-big"), scores


def test_the_base_does_not_know_the_names(visit: Visit, asked: Path, answers: dict[str, str]) -> None:
    top, answers["before"] = classify(visit, asked, model="classify-base")

    assert top != "dax"


def test_taught_by_hand_and_found_running_after_a_refresh(visit: Visit, root: Path) -> None:
    page = visit.page
    page.click("#tab-teach-button")
    page.fill("#teach-new-class input, #teach-new-class textarea", ", ".join(TAUGHT))
    page.click("#teach-add-class")
    for seed, (name, photo) in enumerate(TAUGHT.items()):
        pictures = write_crops(Image.fromarray(photo()), root / "brought", name, count=PICTURES, seed=seed)
        page.locator("#teach-class label", has_text=name).click()
        page.wait_for_selector("#teach-list >> text=Nothing here yet")
        page.set_input_files("#teach-files input[type=file]", pictures)
        page.wait_for_selector(f"#teach-class >> text={name} ({PICTURES})")
    page.wait_for_selector("#teach-preview .mm-labels")
    page.wait_for_function("document.querySelector('#teach-epochs input')?.value === '20'")  # what is suggested
    page.fill("#teach-epochs input", str(EPOCHS))
    page.press("#teach-epochs input", "Tab")
    page.fill("#teach-out input, #teach-out textarea", NAME)
    page.click("#teach-start")
    page.wait_for_selector("#runs-state .mm-is-training", timeout=RUN_WAIT)

    page.reload()
    page.wait_for_selector(f"#banner >> text=Training {NAME}")
    page.click("#tab-runs-button")
    page.wait_for_selector("#runs-state .mm-is-training", timeout=RUN_WAIT)
    page.wait_for_selector("#runs-curves svg[role=img]")
    page.wait_for_selector("#runs-state .mm-is-done", timeout=RUN_WAIT)
    assert f"{EPOCHS} of {EPOCHS}" in page.inner_text("#runs-state")


def test_the_answer_changes(visit: Visit, asked: Path, answers: dict[str, str]) -> None:
    page = visit.page
    page.click("#runs-use")
    page.wait_for_selector(f"#loaded-classify >> text={NAME} answers now")
    top, answers["after"] = classify(visit, asked, model=NAME)

    assert top == "dax"
    assert answers["after"] != answers["before"]
    visit.shoot("after")


def test_it_is_compared_with_what_it_was_made_from(visit: Visit, root: Path) -> None:
    page = visit.page
    page.click("#tab-runs-button")
    page.click("#runs-compare")
    page.wait_for_selector("#compare-button")
    page.wait_for_function(f"document.querySelector('#compare-b input')?.value === '{NAME}'")
    assert page.input_value("#compare-a input") == "classify-base"
    page.wait_for_function("document.querySelector('#compare-data input')?.value.includes('kept aside')")
    page.click("#compare-button")
    page.wait_for_selector("#compare-sentence")

    kept_aside = re.search(r"n = (\d+)", page.inner_text("#compare-sentence"))
    assert kept_aside
    assert 0 < int(kept_aside[1]) < PICTURES * len(TAUGHT)
    with page.expect_download() as download:
        page.click("#compare-csv")
    path = root / "compare.csv"
    download.value.save_as(path)
    assert len(path.read_text(encoding="utf-8-sig").splitlines()) == 1 + int(kept_aside[1])
    visit.shoot("compare")


def test_handed_on_deleted_and_taken_in_it_answers_the_same(
    visit: Visit, root: Path, asked: Path, answers: dict[str, str]
) -> None:
    page = visit.page
    page.click("#tab-runs-button")
    page.wait_for_selector("#runs-state .mm-is-done", timeout=RUN_WAIT)
    with page.expect_download() as download:
        page.click("#runs-download")
    path = root / f"{NAME}.zip"
    download.value.save_as(path)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert f"{NAME}/README.md" in names  # the card
    assert not any("/trainer/" in name or name.endswith((".pkl", ".pt", ".bin")) for name in names)

    page.click("#runs-delete")
    page.click("#runs-delete-yes")
    page.wait_for_selector(f"#runs-said >> text={NAME} is deleted")
    page.wait_for_selector(f"#runs-list >> text={NAME}", state="detached")
    page.click("#tab-classify-button")
    page.wait_for_selector(f"#loaded-classify >> text={NAME} is gone")
    assert page.input_value("#model-classify input") == "classify-base"
    page.click("#model-classify input")
    page.get_by_role("option", name="classify-base", exact=True).wait_for()
    assert page.get_by_role("option", name=NAME, exact=True).count() == 0
    page.keyboard.press("Escape")
    assert not (root / "checkpoints" / NAME).exists()
    _, again = classify(visit, asked, model="classify-base")
    assert again == answers["before"]

    page.click("#tab-runs-button")
    page.click("#runs-receive button")
    page.set_input_files("#runs-zip input[type=file]", path)
    page.wait_for_selector(f"#runs-said >> text={NAME} is checked")
    page.click("#tab-classify-button")
    visit.choose_model("classify", NAME)
    page.wait_for_selector(f"#loaded-classify >> text={NAME} answers now")
    other_order = tuple(reversed(TAUGHT))  # another question: what was answered before is still kept
    top, received = classify(visit, asked, model=NAME, names=other_order)
    assert top == "dax"
    assert received == answers["after"]
    visit.shoot("received")
