"""Promise: what others wrote (cards, labels, names, questions) runs no script in the page and calls nobody."""

from __future__ import annotations

import http.server
import json
import shutil
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser
from skimage import data

from mmdemo.train.folder import TRAINER, write_json
from tests.app_process import ROOT, AppProcess, running_app
from tests.browser.conftest import SETTINGS, Visit, launched_chromium

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FOLDER = "<img src=x onerror=window.pwned=1>"
"""What can be the name of a file or folder."""


class Beacon(http.server.BaseHTTPRequestHandler):
    """Somebody else's server, which notes who calls."""

    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


@pytest.fixture(scope="module")
def beacon() -> Iterator[tuple[str, list[str]]]:
    """Its address, and the paths that were asked for."""
    handler = type("Noting", (Beacon,), {"seen": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", handler.seen
    server.shutdown()
    server.server_close()


def short(at: str) -> str:
    """What a label, a class, a question or a caption can be: no comma, no line break, under 200 characters."""
    return f"<img src={at}/s onerror=window.pwned=2> ![i]({at}/m) [x](javascript:window.pwned=3) **$\\alpha$**"


def long(at: str) -> str:
    """A card or a log."""
    return f"""---
licence: "<script>window.pwned=10</script>"
---
# A model

<img src="{at}/img" onerror="window.pwned=11"><svg onload="window.pwned=12"></svg>
<script>window.pwned=13</script><style>@import url({at}/css); body {{background: url({at}/bg)}}</style>
<iframe src="{at}/frame" srcdoc="<script>parent.pwned=14</script>"></iframe><object data="{at}/object"></object>
<video src="{at}/video" autoplay></video><link rel="stylesheet" href="{at}/link"><meta http-equiv="refresh" content="0">
<div class="mermaid">graph TD; A[x]</div> <input autofocus onfocus="window.pwned=15">
![i]({at}/md1) ![i]( <{at}/md2> "t") ![i][ref] !\\[i]({at}/md3) ![![i]({at}/md4)]({at}/md5) \\![i]({at}/md6)
![a](//{at.removeprefix("http://")}/md7) [![i]({at}/md8)]({at}/link)
[press](javascript:window.pwned=16) [press](JaVaScRiPt&colon;window.pwned=17) <javascript:window.pwned=18>
[press](data:text/html,<script>window.pwned=19</script>) [press](vbscript:window.pwned=20)

[ref]: {at}/ref

| a | b |
|---|---|
| ![i]({at}/cell) | <img src={at}/cell2> |

$\\href{{javascript:window.pwned=21}}{{x}}$ $$\\includegraphics{{{at}/tex}}$$ \\(\\url{{javascript:window.pwned=22}}\\)

```mermaid
graph TD
  A["<img src={at}/mm1 onerror=window.pwned=23>"] --> B
  C@{{ img: "{at}/mm2", label: "x", w: 60, h: 60 }}
  click A "javascript:window.pwned=24"
  style B fill:url({at}/mm3)
```

```html
<img src="{at}/fenced">
```

- a list

  ~~~~ mermaid
  %%{{init: {{"themeCSS": "* {{ background: url({at}/mm4) }}"}}}}%%
  graph TD; D["![i]({at}/mm5)"]
  ~~~~

```mermaid
flowchart TD
  E@{{ img: "{at}/mm6", label: "x", w: 60, h: 60 }}
```

``` mermaid
%%{{init: {{"themeCSS": ".node rect {{ mask: url({at}/mm7); background-image: url({at}/mm8) }}"}}}}%%
flowchart TD
  F[f] --> G[g]
```

    ![i]({at}/indented)

the end of the card
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, beacon: tuple[str, list[str]]) -> Path:
    """Models, data and runs that somebody wrote who means harm."""
    root, at = tmp_path_factory.mktemp("hostile"), beacon[0]
    checkpoints = root / "checkpoints"
    checkpoints.mkdir()
    for shipped in (ROOT / "checkpoints").glob("*-base"):
        (checkpoints / shipped.name).symlink_to(shipped)
    _model("ask-base", checkpoints / "evil-ask", at)
    _model("classify-base", checkpoints / "evil-classify", at, classes=[short(at), "cat", FOLDER])
    _model("classify-base", checkpoints / f"{FOLDER}![x](https:127.0.0.1)", at, classes=["cat", "dog"])
    _run(checkpoints / "evil-run", at)
    _run(checkpoints / FOLDER, at)
    _sets(root / "datasets", at)
    folder = root / FOLDER
    for name in (FOLDER, "cat"):
        (folder / name).mkdir(parents=True)
        for number in range(3):
            Image.fromarray(data.chelsea()[number * 20 :, :]).save(folder / name / f"{number}{FOLDER}.png")
        (folder / name / f"broken{FOLDER}.png").write_bytes(b"no picture")
    return root


def _model(shipped: str, folder: Path, at: str, **settings: Any) -> None:
    shutil.copytree(ROOT / "checkpoints" / shipped, folder)
    (folder / "README.md").write_text(long(at), encoding="utf-8")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["card"] |= {"summary": long(at), "licence": short(at), "limits": [short(at)], "notes": [short(at)]}
    config["settings"] |= settings
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    metrics["metrics"][0] |= {"name": short(at), "data": short(at)}
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")


def _run(folder: Path, at: str) -> None:
    place = folder / TRAINER
    place.mkdir(parents=True)
    arguments = ["classify", "--data", short(at), "--out", short(at), "--set", f"train.metric={FOLDER}"]
    request = {"arguments": arguments, "task": "classify", "created": 5.0, "data": [short(at)], "source": short(at)}
    write_json(request, place / "request.json")
    status = {"state": "failed", "error": long(at), "pid": 2**22 + 1, "born": "never", "time": 50.0}
    write_json(status, place / "status.json")
    (place / "log.txt").write_text(long(at), encoding="utf-8")
    (place / "output.txt").write_text(long(at), encoding="utf-8")


def _sets(datasets: Path, at: str) -> None:
    words = {
        "classify": {"label": short(at)},
        "caption": {"caption": short(at)},
        "ask": {"question": short(at), "answer": short(at)[:99]},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMDEMO_DATASETS", str(datasets))
        from mmdemo.studio import datasets

        for task, said in words.items():
            made = datasets.make(f"{FOLDER} {task}", task)
            for number in range(2):
                datasets.add(
                    made.name,
                    data.chelsea()[number * 30 :, :],
                    **(said if number == 0 or task != "classify" else {"label": FOLDER}),
                )


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with launched_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def app(chromium: Browser, root: Path) -> Iterator[AppProcess]:
    env = {
        "MMDEMO_CHECKPOINTS": str(root / "checkpoints"),
        "MMDEMO_DATASETS": str(root / "datasets"),
        "MMDEMO_CACHE": str(root / "cache"),
        "GRADIO_TEMP_DIR": str(root / "gradio"),
    }
    with running_app(env=env) as process:
        yield process


@pytest.fixture
def visit(chromium: Browser, app: AppProcess, beacon: tuple[str, list[str]]) -> Iterator[Visit]:
    """A visitor who comes to no harm."""
    asked: list[str] = []
    context = chromium.new_context(**SETTINGS["desktop"])  # type: ignore[arg-type]
    context.on("request", lambda request: asked.append(request.url))
    context.on("dialog", lambda dialog: dialog.accept())
    visitor = Visit(context, app.url, "hostile")
    yield visitor
    press_every_link(visitor)
    visitor.page.wait_for_timeout(1500)  # pictures and frames are asked for late
    pwned = visitor.page.evaluate("window.pwned")
    pages = [page.url for page in context.pages]
    context.close()
    assert pwned is None
    assert beacon[1] == []
    assert [url for url in asked if not url.startswith((app.url, "data:", "blob:"))] == []
    assert [url for url in pages if not url.startswith((app.url, "about:blank"))] == []


def press_every_link(visit: Visit) -> None:
    """Follow whatever script a link would run; addresses are the reader's own choice."""
    visit.page.evaluate(
        """() => document.querySelectorAll('a[href]').forEach(
            link => { if (!/^(https?:|#|\\/|\\.)/i.test(link.getAttribute('href'))) link.click(); })"""
    )


def test_the_trap_works(chromium: Browser, app: AppProcess, beacon: tuple[str, list[str]]) -> None:
    """What the other tests look for would be seen."""
    at, seen = beacon
    context = chromium.new_context()
    page = context.new_page()
    page.goto(app.url)
    page.evaluate(
        "words => document.body.insertAdjacentHTML('beforeend', words)",
        f"<img src='{at}/works' onerror='window.pwned=99'>",
    )
    page.wait_for_function("window.pwned === 99")
    context.close()
    assert seen == ["/works"]
    seen.clear()


def test_cards_questions_and_labels(visit: Visit, beacon: tuple[str, list[str]], root: Path) -> None:
    page, at = visit.page, beacon[0]
    picture = root / FOLDER / "cat" / f"0{FOLDER}.png"
    visit.choose_model("ask", "evil-ask")
    page.wait_for_selector("#loaded-ask >> text=evil-ask")
    page.click("#card-ask button")
    page.wait_for_selector("#card-ask >> text=A model")
    page.wait_for_selector("#card-ask >> text=the end of the card")
    assert page.locator("#card-ask svg[id^=mermaid]").count() == 0, "drawings are made of what others wrote"
    visit.give_picture("ask", picture)
    page.fill("#ask-question textarea", short(at)[:280])
    page.click("#ask-button")
    assert FOLDER.split("=")[0] in visit.answer("ask")
    page.click("#ask-where")
    page.wait_for_selector("#ask-maps img")

    visit.open_tab("classify")
    visit.choose_model("classify", "evil-classify")
    page.click("#card-classify button")
    page.wait_for_selector("#card-classify >> text=A model")
    visit.give_picture("classify", picture)
    page.click("#classify-button")
    assert "window.pwned" in visit.answer("classify")
    page.fill("#classify-labels textarea", f"{short(at)}, dog")
    page.click("#classify-several button")
    page.set_input_files("#classify-files input[type=file]", sorted((root / FOLDER / "cat").glob("*.png")))
    page.wait_for_selector("#classify-files >> text=window")
    page.click("#classify-button")
    page.locator("#classify-table >> text=window").filter(visible=True).first.wait_for()
    visit.choose_model("classify", f"{FOLDER}![x](https:127.0.0.1)")
    page.wait_for_selector("#classify-labels >> text=has learned")


def test_what_was_taught(visit: Visit, root: Path) -> None:
    page = visit.page
    page.click("#tab-teach-button")
    page.wait_for_selector("#teach-list li")
    page.wait_for_selector("#teach-preview .mm-labels")
    page.locator("#teach-list button").first.click()
    page.wait_for_selector("#teach-item-class")
    page.click("#teach-remove-class")
    page.click("#teach-class-kept")
    for task in ("Caption", "Ask"):
        page.locator("#teach-task label", has_text=task).click()
        page.wait_for_selector("#teach-list >> text=window.pwned")
    page.locator("#teach-task label", has_text="Classify").click()
    page.locator("#teach-source label", has_text="Zip").click()
    page.fill("#teach-folder input, #teach-folder textarea", str(root / FOLDER))
    page.click("#teach-look")
    page.wait_for_selector("#teach-preview >> text=broken")


def test_runs_and_comparing(visit: Visit, root: Path) -> None:
    page = visit.page
    page.click("#tab-runs-button")
    page.wait_for_selector("#runs-list >> text=evil-run")
    for place in range(page.locator("#runs-list button").count()):
        page.locator("#runs-list button").nth(place).click()
        page.wait_for_selector("#runs-failed >> text=window.pwned")
        page.wait_for_timeout(500)
    page.click("#runs-log button")
    page.click("#runs-made-of button")
    page.wait_for_selector("#runs-log >> text=window.pwned")
    page.click("#tab-compare-button")
    page.wait_for_selector("#compare-a input")
    page.click("#tab-compare-side-button")
    page.set_input_files("#compare-picture input[type=file]", root / FOLDER / "cat" / f"1{FOLDER}.png")
    page.wait_for_selector("#compare-picture img")
    page.fill("#compare-labels textarea", f"{FOLDER}, cat")
    page.click("#compare-side-button")
    page.wait_for_selector("#compare-side >> text=window.pwned")


def test_the_beacon_is_reached_from_outside_the_page(beacon: tuple[str, list[str]]) -> None:
    at, seen = beacon
    urllib.request.urlopen(f"{at}/last", timeout=10).close()
    assert seen == ["/last"]
