"""From pictures to a model without leaving the page: by hand, looked at, started, found again after a refresh, done."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser
from skimage import data

from mmdemo.core.settings import ROOT
from tests.app_process import AppProcess, running_app
from tests.browser.conftest import SETTINGS, Visit

pytestmark = pytest.mark.browser

CLASSES = {"cat": data.chelsea, "mug": data.coffee, "rocket": data.rocket}
PICTURES = 10


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scratch folder for models and data; the shipped models are linked into it."""
    place = tmp_path_factory.mktemp("studio")
    (place / "checkpoints").mkdir()
    for shipped in (ROOT / "checkpoints").glob("*-base"):
        (place / "checkpoints" / shipped.name).symlink_to(shipped)
    return place


@pytest.fixture(scope="module")
def studio(chromium: Browser, root: Path) -> Iterator[AppProcess]:
    """The app with folders of its own."""
    env = {
        "MMDEMO_CHECKPOINTS": str(root / "checkpoints"),
        "MMDEMO_DATASETS": str(root / "datasets"),
        "MMDEMO_CACHE": str(root / "cache"),
        "GRADIO_TEMP_DIR": str(root / "gradio"),
    }
    with running_app(env=env) as process:
        yield process


@pytest.fixture(params=["desktop"])
def visit(request: pytest.FixtureRequest, chromium: Browser, studio: AppProcess) -> Iterator[Visit]:
    context = chromium.new_context(**SETTINGS[request.param])  # type: ignore[arg-type]
    visitor = Visit(context, studio.url, request.param)
    yield visitor
    context.close()
    assert visitor.hosts <= {"127.0.0.1", "localhost"}, f"the page talked to {visitor.hosts}"
    assert visitor.errors == []
    assert "Traceback" not in studio.log, studio.log[-3000:]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Different crops of one photo for each class."""
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    found: dict[str, list[Path]] = {}
    for name, photo in CLASSES.items():
        whole = Image.fromarray(photo())
        for index in range(PICTURES):
            side = int(min(whole.size) * random.uniform(0.55, 0.95))
            left, top = (int(random.integers(0, room - side + 1)) for room in whole.size)
            path = folder / f"{name}-{index}.jpg"
            whole.crop((left, top, left + side, top + side)).save(path, quality=90)
            found.setdefault(name, []).append(path)
    return found


def test_by_hand_to_a_finished_model(visit: Visit, pictures: dict[str, list[Path]], root: Path) -> None:
    page = visit.page
    page.click("#tab-teach-button")
    page.fill("#teach-new-class input, #teach-new-class textarea", "cat, mug, rocket")
    page.click("#teach-add-class")
    for name, paths in pictures.items():
        page.locator("#teach-class label", has_text=name).click()
        page.wait_for_selector("#teach-list >> text=Nothing here yet")
        page.set_input_files("#teach-files input[type=file]", [*paths, *paths[:1]])
        page.wait_for_selector(f"#teach-class >> text={name} ({PICTURES})")  # the same twice is there once
    page.wait_for_selector("#teach-preview .mm-labels")
    page.wait_for_function("document.querySelectorAll('#teach-preview .mm-samples img').length === 18")
    page.wait_for_function(
        "document.querySelector('#teach-out input, #teach-out textarea')?.value === 'my-pictures-model'"
    )
    page.click("#teach-command button")
    page.wait_for_function(
        "document.querySelector('#teach-command-line textarea')?.value?.includes('--out my-pictures-model')"
    )
    page.wait_for_selector("#teach-estimate .mm-estimate")
    visit.shoot("teach")
    assert len(list((root / "datasets" / "my-pictures" / "files").iterdir())) == PICTURES * len(pictures)

    page.fill("#teach-out input, #teach-out textarea", "no / name")
    page.click("#teach-start")
    page.wait_for_selector("#teach-failure [role=alert]")
    page.fill("#teach-out input, #teach-out textarea", "three-things")
    page.click("#teach-start")
    page.wait_for_selector("#runs-state >> text=three-things")
    visit.shoot("started")

    page.reload()  # the run is not the page's
    page.wait_for_selector("#banner >> text=three-things")
    page.click("#tab-runs-button")
    page.wait_for_selector("#runs-state >> text=three-things")
    page.wait_for_selector("#runs-state .mm-is-done")
    page.wait_for_selector("#banner >> text=three-things is ready")
    assert page.locator("#runs-curves svg[role=img]").count() == 2
    assert page.locator("#runs-figures tbody tr").count() >= 1
    visit.shoot("done")

    page.click("#runs-use")
    page.wait_for_selector("#loaded-classify >> text=three-things answers now")
    assert page.input_value("#model-classify input") == "three-things"


def test_one_snapshot_is_one_click(visit: Visit) -> None:
    page = visit.page
    page.click("#tab-teach-button")
    page.wait_for_selector("#teach-list li")
    page.fill("#teach-new-class input, #teach-new-class textarea", "snap")
    page.press("#teach-new-class input, #teach-new-class textarea", "Enter")
    page.wait_for_selector("#teach-class >> text=snap (0)")
    page.click("#teach-camera")
    page.wait_for_function("document.getElementById('mm-video').videoWidth > 0")
    for number in (1, 2, 3):
        page.click("#teach-snap")
        page.wait_for_selector(f"#teach-class >> text=snap ({number})")
    page.click("#teach-camera")
    page.wait_for_function("window.mmCamera === null")

    page.locator("#teach-list button").first.click()
    page.click("#teach-item-delete")
    page.wait_for_selector("#teach-class >> text=snap (2)")
    page.click("#teach-remove-class")
    page.click("#teach-class-gone")
    page.wait_for_function("!document.querySelector('#teach-class').innerText.includes('snap')")


def test_words_are_kept_as_they_are_made(visit: Visit, pictures: dict[str, list[Path]], tmp_path: Path) -> None:
    page = visit.page
    page.click("#tab-teach-button")
    page.locator("#teach-task label", has_text="Caption").click()
    page.wait_for_selector("#teach-caption-picture")
    page.set_input_files("#teach-caption-picture input[type=file]", pictures["mug"][0])
    page.wait_for_selector("#teach-caption-picture img")
    page.fill("#teach-caption textarea", "a mug on <b>a</b> table")
    page.click("#teach-add-caption")
    page.wait_for_selector("#teach-list >> text=a mug on <b>a</b> table")
    page.locator("#teach-list button").first.click()
    page.wait_for_selector("#teach-item-caption")
    page.fill("#teach-item-caption textarea", "a red mug")
    page.press("#teach-item-caption textarea", "Tab")
    page.wait_for_selector("#teach-list >> text=a red mug")
    with page.expect_download() as download:
        page.click("#teach-zip")
    path = tmp_path / "captions.zip"
    download.value.save_as(path)

    page.click("#teach-delete")
    page.click("#teach-delete-yes")
    page.wait_for_selector("#teach-said >> text=is deleted")
    page.locator("#teach-source label", has_text="Zip").click()
    page.set_input_files("#teach-zip-in input[type=file]", path)
    page.wait_for_selector("#teach-said >> text=unpacked")
    page.wait_for_selector("#teach-preview >> text=a red mug")
    assert re.search(r"captions$", page.input_value("#teach-folder input, #teach-folder textarea"))


@pytest.mark.parametrize("visit", ["phone", "dark", "chinese"], indirect=True)
def test_teach_and_runs_in_every_setting(visit: Visit) -> None:
    page = visit.page
    page.click("#tab-teach-button")
    page.wait_for_selector("#teach-list li")
    page.wait_for_selector("#teach-estimate .mm-estimate")
    assert page.input_value("#teach-out input, #teach-out textarea") == "my-pictures-model"
    page.click("#teach-advanced button")
    visit.shoot("teach")
    assert visit.overflow() <= 0
    page.click("#tab-runs-button")
    page.wait_for_selector("#runs-state .mm-is-done")
    visit.shoot("runs")
    assert visit.overflow() <= 0
    told = page.inner_text("#runs-state")
    assert ("模型已可用" in told) is (visit.name == "chinese")
