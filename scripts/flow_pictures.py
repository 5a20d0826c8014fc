"""Make the pictures of teaching for the README from the running page: ``python scripts/flow_pictures.py``.

Four things get names of their own, from pieces of the example pictures (mmdemo/ui/examples/SOURCES.md): docs/teach.png
shows them as they are taught, docs/runs.png the run, docs/compare.png the new model beside the one it was made from,
and docs/teach.gif all of it.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from teach_figures import served

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "mmdemo" / "ui" / "examples"
NAMES = {"Chelsea": "cat.jpg", "Falcon": "rocket.jpg", "Pikolo": "coffee.jpg", "Beihai": "temple.jpg"}
"""What the things on the example pictures are called by those who know them."""

PIECES, OTHERS = 16, 25  # of each picture: taught, and kept for the comparison
EPOCHS, RATE = 240, 1e-4  # long and slow enough to be seen on the way
MODEL = "our-things"
WIDTH, HEIGHT = 1300, 900  # pixels of the window
ROOM = 12  # pixels above and below what is shown
COLOURS = 96
GIF_WIDTH, GIF_COLOURS, GIF_SECONDS = 780, 128, 2.2
MAX_PNG, MAX_GIF = 200_000, 1_500_000  # bytes


def write_pieces(folder: Path) -> dict[str, list[Path]]:
    """Pieces of the example pictures, some of them mirrored, by name: those to teach, then the others.

    The others are also in folders of their own, ``folder/others/<name>``.
    """
    random, found = np.random.default_rng(3), dict[str, list[Path]]()
    for name, file in NAMES.items():
        whole = Image.open(EXAMPLES / file).convert("RGB")
        for number in range(PIECES + OTHERS):
            side = int(min(whole.size) * random.uniform(0.6, 0.98))
            left, top = (int(random.integers(0, room - side + 1)) for room in whole.size)
            piece = whole.crop((left, top, left + side, top + side))
            if random.random() < 0.5:
                piece = piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            path = folder / ("taught" if number < PIECES else "others") / name / f"{name}-{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            piece.save(path, quality=88)
            found.setdefault(name, []).append(path)
    return found


class Film:
    """What the window showed: frames of the GIF, and single pictures."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.frames: dict[str, Image.Image] = {}

    def _shot(self, **options: object) -> Image.Image:
        self.page.mouse.move(0, 0)
        self.page.evaluate(
            "document.activeElement?.blur(); for (const image of document.images) image.loading = 'eager'"
        )
        self.page.wait_for_function("[...document.images].every(image => image.complete)")
        self.page.wait_for_timeout(700)  # bars and spinners come to rest
        content = self.page.screenshot(**options)  # type: ignore[arg-type]
        return Image.open(io.BytesIO(content)).convert("RGB")

    def scroll(self, selector: str, above: int = 70) -> None:
        """Bring an element near the top of the window."""
        self.page.evaluate(
            "([selector, above]) => window.scrollTo(0, "
            "document.querySelector(selector).getBoundingClientRect().top + window.scrollY - above)",
            [selector, above],
        )

    def frame(self, name: str) -> None:
        """The window as it is, for the GIF."""
        self.frames[name] = self._shot()

    def picture(self, out: Path, *, first: str, last: str) -> None:
        """The page from one element to the end of another, as a small PNG file."""
        self.page.evaluate("window.scrollTo(0, 0)")
        self.page.wait_for_timeout(300)
        top, end = (self.page.locator(one).bounding_box() for one in (first, last))
        assert top is not None
        assert end is not None
        start = max(0, int(top["y"]) - ROOM)
        height = int(end["y"] + end["height"]) + ROOM - start
        whole = self._shot(full_page=True, clip={"x": 0, "y": start, "width": WIDTH, "height": height})
        whole.quantize(COLOURS, dither=Image.Dither.FLOYDSTEINBERG).save(out, optimize=True)
        _told(out, MAX_PNG)

    def gif(self, out: Path, order: Sequence[str]) -> None:
        """The frames one after the other."""
        small = []
        for name in order:
            frame = self.frames[name]
            size = (GIF_WIDTH, frame.height * GIF_WIDTH // frame.width)
            small.append(frame.resize(size, Image.Resampling.LANCZOS).quantize(GIF_COLOURS, dither=Image.Dither.NONE))
        stay = [int(GIF_SECONDS * 1000)] * (len(small) - 1) + [int(GIF_SECONDS * 2000)]
        small[0].save(out, save_all=True, append_images=small[1:], duration=stay, loop=0, optimize=True)
        _told(out, MAX_GIF)


def _told(out: Path, most: int) -> None:
    size = out.stat().st_size
    print(f"{out} ({size / 1000:.0f} kB){', which is too much' if size > most else ''}", flush=True)


# ---------------------------------------------------------------- the way


def classify(film: Film, piece: Path, model: str) -> None:
    """Ask which of the names a picture has, and keep the answer as a frame."""
    page = film.page
    page.click("#tab-classify-button")
    if page.locator("#classify-picture img").count():
        page.locator("#classify-picture button[aria-label='Remove Image']").first.click()
        page.wait_for_selector("#classify-picture img", state="detached")
    page.set_input_files("#classify-picture input[type=file]", piece)
    page.wait_for_selector("#classify-picture img")
    page.fill("#classify-labels textarea", ", ".join(NAMES))
    page.click("#classify-button")
    page.wait_for_selector(f"#classify-answer >> text=model {model}")
    page.evaluate("window.scrollTo(0, 0)")
    film.frame(model)


def teach(film: Film, pieces: Mapping[str, Sequence[Path]], docs: Path) -> None:
    """Name things, give pictures, look at the settings."""
    page = film.page
    page.click("#tab-teach-button")
    page.fill("#teach-new-class input, #teach-new-class textarea", ", ".join(NAMES))
    page.click("#teach-add-class")
    for name, paths in pieces.items():
        page.locator("#teach-class label", has_text=name).click()
        page.wait_for_selector("#teach-list >> text=Nothing here yet")
        page.set_input_files("#teach-files input[type=file]", paths[:PIECES])
        page.wait_for_selector(f"#teach-class >> text={name} ({PIECES})")
    page.wait_for_function("document.querySelectorAll('#teach-preview .mm-samples img').length === 24")
    page.wait_for_function("document.querySelector('#teach-epochs input')?.value === '20'")
    film.scroll("#teach-task", 20)
    film.frame("data")
    page.fill("#teach-out input, #teach-out textarea", MODEL)
    page.wait_for_selector("#teach-estimate .mm-estimate")
    for field, value in (("epochs", EPOCHS), ("learning-rate", RATE)):
        page.fill(f"#teach-{field} input", str(value))
        page.press(f"#teach-{field} input", "Tab")
    page.wait_for_timeout(2_000)  # the estimate follows
    film.scroll("#teach-preview", 60)
    film.frame("look")
    film.scroll("#teach-start", HEIGHT - 90)
    film.frame("settings")
    film.picture(docs / "teach.png", first="#tabs", last="#teach-preview")


def run(film: Film, docs: Path) -> None:
    """Start, watch, and use what came of it."""
    page = film.page
    page.click("#teach-start")
    page.wait_for_selector("#runs-state .mm-is-training")
    page.evaluate("window.scrollTo(0, 0)")
    for name, step in (("quarter", 0.2), ("half", 0.5)):
        page.wait_for_function(
            "share => Number(document.querySelector('#runs-state [role=progressbar]')?.ariaValueNow) >= 100 * share "
            "&& document.querySelectorAll('#runs-curves svg[role=img]').length === 2",
            arg=step,
        )
        film.frame(name)
    film.picture(docs / "runs.png", first="#banner", last="#runs-curves")
    page.wait_for_selector("#runs-state .mm-is-done")
    page.wait_for_selector("#runs-figures tbody tr")
    page.evaluate("window.scrollTo(0, 0)")
    film.frame("done")
    page.click("#runs-use")
    page.wait_for_selector(f"#loaded-classify >> text={MODEL} answers now")


def compare(film: Film, others: Path, docs: Path) -> None:
    """Beside the model that it was made from, on pieces that neither has seen."""
    page = film.page
    page.click("#tab-runs-button")
    page.click("#runs-compare")
    page.wait_for_function(f"document.querySelector('#compare-b input')?.value === '{MODEL}'")
    page.wait_for_function("document.querySelector('#compare-data input')?.value.includes('kept aside')")
    page.click("#compare-data input")
    page.get_by_role("option", name="a folder on this machine").click()
    page.fill("#compare-data-folder input, #compare-data-folder textarea", str(others))
    page.click("#compare-button")
    page.wait_for_selector("#compare-sentence")
    page.click("#banner button[data-do=hide]")
    page.wait_for_selector("#banner button", state="detached")
    film.picture(docs / "compare.png", first="#compare-result", last="#compare-flipped > li:nth-child(4)")
    film.scroll("#compare-button", 20)
    film.frame("compare")


def main() -> int:
    """Start the app with folders of its own, go the whole way in a browser, write what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder to write to")
    docs = parser.parse_args().out
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        print("Chromium is missing: install it, for example with apt-get install chromium", file=sys.stderr)
        return 1
    docs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place, sync_playwright() as playwright:
        root = Path(place)
        (root / "checkpoints").mkdir()
        for shipped in (ROOT / "checkpoints").glob("*-base"):
            (root / "checkpoints" / shipped.name).symlink_to(shipped)
        pieces = write_pieces(root / "pieces")
        env = {
            **os.environ,
            "MMDEMO_CHECKPOINTS": str(root / "checkpoints"),
            "MMDEMO_DATASETS": str(root / "datasets"),
            "MMDEMO_CACHE": str(root / "cache"),
            "PYTHONUNBUFFERED": "1",
        }
        with served(env) as url:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--no-first-run"])
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
            page.set_default_timeout(180_000)
            page.goto(url)
            page.wait_for_selector("#ask-picture")
            film, asked = Film(page), pieces["Chelsea"][-1]
            classify(film, asked, "classify-base")
            teach(film, pieces, docs)
            run(film, docs)
            classify(film, asked, MODEL)
            compare(film, root / "pieces" / "others", docs)
            browser.close()
    order = ("data", "look", "settings", "quarter", "half", "done", "classify-base", MODEL, "compare")
    film.gif(docs / "teach.gif", order)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
