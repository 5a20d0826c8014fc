"""A run needs neither the page nor the app: both are killed, then the run itself, and in the end there is a model.

That the resumed run ends with the same weights as one that was never interrupted: tests/integration/test_runs.py.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page
from skimage import data

from tests.app_process import AppProcess, running_app
from tests.browser.conftest import RUN_WAIT, SETTINGS, Visit, own_folders, write_crops

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

NAME = "tough"
EPOCHS = 1000
"""Of one step each: more than an app takes to start, whatever the machine."""


@contextmanager
def visiting(chromium: Browser, app: AppProcess) -> Iterator[Visit]:
    context = chromium.new_context(**SETTINGS["desktop"])  # type: ignore[arg-type]
    visitor = Visit(context, app.url, "outlives")
    yield visitor
    context.close()
    assert visitor.errors == []


def status(root: Path) -> dict[str, object]:
    """What the run itself says of how it is."""
    found = json.loads((root / "checkpoints" / NAME / "trainer" / "status.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def step_shown(page: Page) -> int:
    """The step that the open run is at, as the page has it."""
    page.wait_for_selector("#runs-state .mm-is-training", timeout=RUN_WAIT)
    page.wait_for_function(r"/\d of \d/.test(document.querySelector('#runs-state').innerText)")
    found = re.search(rf"(\d+) of {EPOCHS}\n", page.inner_text("#runs-state"))
    assert found
    return int(found[1])


def start(page: Page, folder: Path) -> None:
    """Teach what lies in a folder."""
    page.click("#tab-teach-button")
    page.locator("#teach-source label", has_text="folder").click()
    page.fill("#teach-folder input, #teach-folder textarea", str(folder))
    page.press("#teach-folder input, #teach-folder textarea", "Enter")
    page.wait_for_selector("#teach-preview .mm-labels")
    page.wait_for_function("document.querySelector('#teach-epochs input')?.value === '20'")  # what is suggested
    page.fill("#teach-epochs input", str(EPOCHS))
    page.press("#teach-epochs input", "Tab")
    page.fill("#teach-out input, #teach-out textarea", NAME)
    page.click("#teach-start")


def test_the_app_dies_then_the_run_and_the_page_tells_both(
    chromium: Browser, tmp_path: Path, studio_cache: Path
) -> None:
    for seed, (name, photo) in enumerate({"cat": data.chelsea, "mug": data.coffee}.items()):
        write_crops(Image.fromarray(photo()), tmp_path / "data" / name, name, count=8, seed=seed)
    env = own_folders(tmp_path, studio_cache)
    with running_app(env=env) as app, visiting(chromium, app) as visit:
        start(visit.page, tmp_path / "data")
        before = step_shown(visit.page)
        app.process.kill()
        app.process.wait()
    pid = int(str(status(tmp_path)["pid"]))

    with running_app(env=env) as app, visiting(chromium, app) as visit:
        page = visit.page
        page.wait_for_selector(f"#banner >> text=Training {NAME}")
        page.click("#tab-runs-button")
        assert step_shown(page) > before
        assert status(tmp_path)["pid"] == pid  # the same process all the while
        visit.shoot("found")

        os.kill(pid, signal.SIGKILL)
        page.wait_for_selector("#runs-failed [role=alert]")
        told = page.inner_text("#runs-failed")
        assert f"{NAME} failed" in told
        assert "killed by signal 9" in told
        assert "Exit code 137" in told
        assert page.locator("#runs-use").is_visible() is False  # nothing was finished
        page.wait_for_selector(f"#banner >> text={NAME} failed")
        visit.shoot("killed")

        page.click("#runs-resume")
        page.wait_for_selector("#runs-failed [role=alert]", state="detached")
        page.wait_for_selector("#runs-state .mm-is-done", timeout=RUN_WAIT)
        assert f"{EPOCHS} of {EPOCHS}" in page.inner_text("#runs-state")
        assert status(tmp_path)["pid"] != pid
        page.wait_for_selector("#runs-use")
        visit.shoot("resumed")
        assert "Traceback" not in app.log, app.log[-3000:]
