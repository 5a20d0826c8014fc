"""Models that come, change and go while a page is open: offered, swapped, refused, left; corrections kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from mmdemo.models.checkpoint import OWN
from tests.app_process import ROOT, AppProcess, running_app
from tests.browser.conftest import SETTINGS, Visit

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints of this test's own, with the shipped ones in it."""
    root = tmp_path_factory.mktemp("checkpoints")
    for folder in (ROOT / "checkpoints").iterdir():
        (root / folder.name).symlink_to(folder)
    return root


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture(scope="module")
def app(chromium: Browser, shelf: Path, datasets: Path) -> Iterator[AppProcess]:
    with running_app(env={"MMDEMO_CHECKPOINTS": str(shelf), "MMDEMO_DATASETS": str(datasets)}) as process:
        yield process


@pytest.fixture
def visit(chromium: Browser, app: AppProcess) -> Iterator[Visit]:
    context = chromium.new_context(**SETTINGS["desktop"])  # type: ignore[arg-type]
    visitor = Visit(context, app.url, "reload")
    yield visitor
    context.close()
    assert visitor.errors == []


def write(shelf: Path, name: str, *classes: str, wrong: bool = False) -> None:
    """A Classify checkpoint, renamed into its place as training does it."""
    part = shelf / f"{name}.part"
    part.mkdir()
    for file in (shelf / "classify-base").iterdir():
        if file.name in OWN:
            shutil.copy(file, part / file.name)
    config = json.loads((part / "config.json").read_text(encoding="utf-8"))
    config["settings"]["classes"] = classes
    (part / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if wrong:
        probe = json.loads((part / "probe.json").read_text(encoding="utf-8"))
        probe["answers"][0] = {label: 1 - score for label, score in probe["answers"][0].items()}
        (part / "probe.json").write_text(json.dumps(probe), encoding="utf-8")
    if (shelf / name).exists():
        (shelf / name).rename(shelf / f"{name}.old")
    part.rename(shelf / name)
    shutil.rmtree(shelf / f"{name}.old", ignore_errors=True)


def test_models_come_change_and_go_under_an_open_page(visit: Visit, shelf: Path, files: Path) -> None:
    page = visit.page
    visit.open_tab("classify")
    visit.give_picture("classify", files / "cat.jpg")

    write(shelf, "pets", "cat", "dog")  # a training has ended
    visit.choose_model("classify", "pets")
    page.wait_for_selector("#loaded-classify >> text=pets answers now")
    assert "classify-base" in page.inner_text("#loaded-classify")
    assert "MB" in page.inner_text("#loaded-classify")
    page.wait_for_selector("#classify-labels >> text=Empty: the 2 that pets has learned")
    page.click("#classify-button")  # no labels: its own
    told = visit.answer("classify")
    assert "model pets" in told
    assert "dog" in told
    visit.shoot("swapped")

    write(shelf, "pets", "cat", "horse")  # trained anew
    page.wait_for_selector("#loaded-classify >> text=pets was trained anew")
    page.wait_for_selector("#classify-labels textarea[placeholder='cat, horse']")
    page.click("#classify-where")  # the answer on the page is the old one's
    page.wait_for_selector("#classify-failure >> text=can no longer be explained")
    page.click("#classify-button")
    page.wait_for_selector("#classify-answer >> text=horse")
    page.click("#classify-where")
    page.wait_for_selector("#classify-maps img")

    write(shelf, "pets", "cat", "cow", wrong=True)
    page.wait_for_selector("#loaded-classify [role=alert] >> text=its probe differs")
    page.click("#classify-button")
    assert "horse" in visit.answer("classify")
    assert page.locator("#classify-failure [role=alert]").count() == 0

    write(shelf, "broken", "cat", wrong=True)
    visit.choose_model("classify", "broken")
    page.wait_for_selector("#loaded-classify [role=alert] >> text=broken cannot be loaded")
    assert "pets goes on answering" in page.inner_text("#loaded-classify")
    assert page.input_value("#model-classify input") == "pets"
    visit.shoot("refused")

    shutil.rmtree(shelf / "pets")
    page.wait_for_selector("#loaded-classify >> text=pets is gone")
    assert page.input_value("#model-classify input") == "classify-base"


def test_a_right_answer_is_kept_with_its_own_picture(visit: Visit, datasets: Path, files: Path) -> None:
    page = visit.page
    visit.open_tab("caption")
    assert not page.locator("#caption-correct").is_visible()  # nothing to correct yet
    visit.give_picture("caption", files / "cat.jpg")
    page.click("#caption-button")
    visit.answer("caption")
    page.click("#caption-correct button")
    page.wait_for_function("document.querySelector('#caption-right textarea')?.value.length > 3")
    page.fill("#caption-right textarea", "a cat with green eyes")
    page.click("#caption-keep")
    page.wait_for_selector("#caption-kept >> text=the first correction for Caption")
    (kept,) = (datasets / "corrections-caption" / "files").iterdir()
    assert kept.read_bytes() == (files / "cat.jpg").read_bytes()
    visit.shoot("correction")
