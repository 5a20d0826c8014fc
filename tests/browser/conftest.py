"""A real headless Chromium in front of the real app; screenshots of what it shows stay in ``screenshots/``."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright
from skimage import data

from tests.app_process import ROOT, AppProcess, running_app
from tests.sounds import write_silence, write_speech_like

SCREENSHOTS = Path(__file__).parent / "screenshots"
HOW_TO_INSTALL = (
    "Chromium is missing: apt-get install chromium (Debian, Ubuntu), brew install --cask chromium (macOS), "
    "or name one in MMDEMO_CHROMIUM"
)
WAIT = 90_000  # milliseconds; a busy machine may be slow, a right answer is never late
RUN_WAIT = 280_000  # for a training to get on: it starts a process, reads data, and shares the cores with the page

SETTINGS = {
    "desktop": {"viewport": {"width": 1600, "height": 1000}},
    "phone": {"viewport": {"width": 400, "height": 850}, "has_touch": True},
    "dark": {"viewport": {"width": 1600, "height": 1000}, "color_scheme": "dark"},
    "phone-dark": {"viewport": {"width": 400, "height": 850}, "color_scheme": "dark"},
    "chinese": {"viewport": {"width": 1600, "height": 1000}, "locale": "zh-CN"},
}
"""Names of screenshots to what the visitor's browser says of itself."""


def find_chromium() -> str | None:
    """Path of a Chromium or Chrome of this machine."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return os.environ.get("MMDEMO_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@contextlib.contextmanager
def launched_chromium() -> Iterator[Browser]:
    """The browser, with a microphone and a camera that play test signals; one at a time."""
    path = find_chromium()
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(HOW_TO_INSTALL)
        pytest.skip(HOW_TO_INSTALL)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=[
                "--no-sandbox",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--no-first-run",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The one browser of all tests in this folder."""
    with launched_chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def app(chromium: Browser) -> Iterator[AppProcess]:
    """One process of the app for all browser tests; not started where there is no browser."""
    with running_app() as process:
        yield process


class Visit:
    """One visitor's window, and every host that it talked to."""

    def __init__(self, context: BrowserContext, url: str, name: str) -> None:
        self.name = name
        self.hosts: set[str] = set()
        self.page: Page = context.new_page()
        self.page.set_default_timeout(WAIT)
        self.page.on("request", self._note)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(url)
        self.page.wait_for_selector("#ask-picture")

    def _note(self, request: Request) -> None:
        if not request.url.startswith(("data:", "blob:")):
            self.hosts.add(request.url.split("/")[2].rsplit(":", 1)[0])

    def open_tab(self, task: str) -> None:
        """Click a tab and wait for what is in it."""
        self.page.click(f"#tab-{task}-button")
        self.page.wait_for_selector(f"#{task}-button")

    def give_picture(self, task: str, path: Path) -> None:
        """Upload a picture into a tab and wait until it is shown."""
        remove = self.page.locator(
            f"#{task}-picture button[aria-label='Remove Image'], #{task}-picture button[title='Clear']"
        )
        if self.page.locator(f"#{task}-picture img").count() and remove.count():
            remove.first.click()
            self.page.wait_for_selector(f"#{task}-picture img", state="detached")
        self.page.set_input_files(f"#{task}-picture input[type=file]", path)
        self.page.wait_for_selector(f"#{task}-picture img")

    def answer(self, task: str) -> str:
        """The words of a finished answer."""
        self.page.wait_for_selector(f"#{task}-answer .mm-meta")
        return self.page.inner_text(f"#{task}-answer")

    def choose_model(self, task: str, name: str) -> None:
        """Take a model from the list of a task, where it appears without the page being opened anew."""
        box, option = self.page.locator(f"#model-{task} input"), self.page.get_by_role("option", name=name, exact=True)
        for _ in range(60):
            box.click()
            self.page.wait_for_timeout(500)
            if option.count():
                option.click()
                return
            self.page.keyboard.press("Escape")
            box.blur()
        raise AssertionError(f"{name} was not offered")

    def shoot(self, what: str) -> None:
        """Keep a picture of the whole page."""
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.wait_for_timeout(400)  # bars and spinners come to rest
        self.page.screenshot(path=SCREENSHOTS / f"{self.name}-{what}.png", full_page=True)

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        wide: int = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return wide


@pytest.fixture(params=["desktop"])
def visit(request: pytest.FixtureRequest, chromium: Browser, app: AppProcess) -> Iterator[Visit]:
    """A fresh visitor; parametrise indirectly with a name of SETTINGS."""
    context = chromium.new_context(**SETTINGS[request.param])  # type: ignore[arg-type]
    visitor = Visit(context, app.url, request.param)
    yield visitor
    context.close()
    assert visitor.hosts <= {"127.0.0.1", "localhost"}, f"the page talked to {visitor.hosts}"
    assert visitor.errors == []


@pytest.fixture(scope="session")
def studio_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features and queues of the runs that tests start: made once, and away from what this machine trains."""
    return tmp_path_factory.mktemp("cache")


def own_folders(root: Path, cache: Path) -> dict[str, str]:
    """Environment of an app that keeps models and data below ``root``; the shipped models are linked into it."""
    (root / "checkpoints").mkdir()
    for shipped in (ROOT / "checkpoints").glob("*-base"):
        (root / "checkpoints" / shipped.name).symlink_to(shipped)
    return {
        "MMDEMO_CHECKPOINTS": str(root / "checkpoints"),
        "MMDEMO_DATASETS": str(root / "datasets"),
        "MMDEMO_CACHE": str(cache),
        "GRADIO_TEMP_DIR": str(root / "gradio"),
    }


def write_crops(photo: Image.Image, folder: Path, name: str, *, count: int, seed: int) -> list[Path]:
    """Square pieces of one photo as JPEG files: different pictures of the same thing."""
    random, paths = np.random.default_rng(seed), []
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        side = int(min(photo.size) * random.uniform(0.55, 0.95))
        left, top = (int(random.integers(0, room - side + 1)) for room in photo.size)
        paths.append(folder / f"{name}-{number}.jpg")
        photo.crop((left, top, left + side, top + side)).save(paths[-1], quality=90)
    return paths


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures and sounds that are not the page's examples."""
    folder = tmp_path_factory.mktemp("brought")
    Image.fromarray(data.astronaut()[:, 60:420]).save(folder / "someone.png")
    Image.fromarray(data.chelsea()[20:, 30:]).save(folder / "cat.jpg", quality=85)
    (folder / "broken.png").write_bytes(b"this is no picture")
    write_speech_like(folder / "long.wav", 8.0)
    write_silence(folder / "silence.wav", 2.0)
    return folder
