"""Make docs/screenshot.png for the README from the running page: ``python scripts/screenshot.py``."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT = 1320, 1240  # pixels of the window
SHARPNESS = 1.5  # image pixels per window pixel
COLOURS = 256


def shoot(url: str, out: Path, chromium: str) -> None:
    """Click the first example of Ask, show where it looked, and keep what the window shows."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--no-first-run"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=SHARPNESS)
        page.set_default_timeout(120_000)
        page.goto(url)
        page.locator("#ask-examples tbody tr").first.click()
        page.wait_for_selector("#ask-answer .mm-meta")
        page.fill("#ask-question textarea", "Is there a dog?")
        page.press("#ask-question textarea", "Enter")
        page.wait_for_selector("#ask-answer .mm-earlier")
        page.click("#ask-where")
        page.wait_for_selector("#ask-maps img")
        page.mouse.move(0, 0)
        page.evaluate("window.scrollTo(0, 0)")
        page.wait_for_timeout(600)
        out.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=out)
        browser.close()
    small = Image.open(out).convert("RGB").quantize(COLOURS, dither=Image.Dither.FLOYDSTEINBERG)
    small.save(out, optimize=True)


def main() -> int:
    """Start the app, make the picture, stop the app."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screenshot.png", help="file to write")
    parser.add_argument("--url", help="page that is already served; without it one is started")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        print("Chromium is missing: install it, for example with apt-get install chromium", file=sys.stderr)
        return 1
    if arguments.url:
        shoot(arguments.url, arguments.out, chromium)
        return 0
    app = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        lines = iter(app.stdout or ())
        url = next((match[1] for line in lines if (match := re.search(r"answers at (http://\S+)", line))), None)
        if url is None:
            print("The page could not be started; python app.py says why", file=sys.stderr)
            return 1
        shoot(url, arguments.out, chromium)
    finally:
        app.terminate()
        app.wait(30)
    print(f"{arguments.out} ({arguments.out.stat().st_size / 1000:.0f} kB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
