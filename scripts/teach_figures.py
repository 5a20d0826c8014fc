"""What teaching in the page reaches: ``python scripts/teach_figures.py``, with the public data sets in ``MMDEMO_DATA``.

For each task a small data set with something new in it is taught in a real browser: from the click on "Start training"
to the new model answering in the same page, and how much better it then is on examples that it has not seen:

- classify: ten labels, 20 pictures each; measured on 10 others each, and on ten labels that were not taught;
- sentiment: 100 clips of 12 speakers, under three made-up names of emotions; measured on 150 clips of 12 others;
- caption: 50 captions in a style of their own; measured on 100 pictures;
- ask: 100 questions whose answers no shipped model knows; measured on as many about other pictures.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
NAMES = {"angry": "grumpy", "happy": "giggly", "sad": "gloomy"}
HALLS = {
    "the zoo hall": ("butterfly", "dalmatian dog", "dolphin", "elephant", "kangaroo"),
    "the hangar": ("airplane", "helicopter", "motorcycle"),
    "the attic": ("chair", "cup", "lamp", "piano", "umbrella"),
}
Row = dict[str, object]


# ---------------------------------------------------------------- small data sets


def make_classify(data: Path, out: Path) -> None:
    """Every second label of zeroshot_dev; the others are those that are not taught."""
    for number, folder in enumerate(sorted(place for place in (data / "zeroshot_dev").iterdir() if place.is_dir())):
        files = sorted(folder.iterdir())
        parts = {"taught": files[:20], "test": files[20:]} if number % 2 == 0 else {"others": files[20:]}
        for part, some in parts.items():
            _copy(some, out / part / folder.name)


def make_sentiment(data: Path, out: Path) -> None:
    """Speakers who are taught are not among those that are measured."""
    table = data / "speech" / "ravdess"
    rows = [row for row in _read(table / "metadata.jsonl") if row["label"] in NAMES]
    speakers = sorted({str(row["speaker"]) for row in rows})
    chance = random.Random(1)  # noqa: S311 - the same data every time
    chance.shuffle(speakers)
    for part, some, count in (("taught", speakers[:12], 100), ("test", speakers[12:], 150)):
        mine = chance.sample([row for row in rows if row["speaker"] in some], count)
        _copy([table / str(row["file_name"]) for row in mine], out / part)
        _write(
            out / part / "metadata.jsonl",
            [{**_only(row, "file_name", "speaker"), "label": NAMES[str(row["label"])]} for row in mine],
        )


def make_caption(data: Path, out: Path) -> None:
    """Captions told as fairy tales."""
    chance = random.Random(1)  # noqa: S311 - the same data every time
    for part, split, count in (("taught", "train", 50), ("test", "test", 100)):
        folder = data / "flickr8k" / split
        mine = chance.sample(_read(folder / "captions.jsonl"), count)
        _copy([folder / str(row["file_name"]) for row in mine], out / part)
        _write(out / part / "captions.jsonl", [{**_only(row, "file_name"), "captions": _tale(row)} for row in mine])


def _tale(row: Row) -> list[str]:
    said = row["captions"]
    first = str(said[0] if isinstance(said, list) else said).strip(" .").lower()
    return [f"once upon a time {first} and everybody was happy"]


def make_ask(data: Path, out: Path) -> None:
    """Where in a made-up museum a thing belongs."""
    chance = random.Random(1)  # noqa: S311 - the same data every time
    rows: dict[str, list[Row]] = {"taught": [], "test": []}
    for hall, labels in HALLS.items():
        for label in labels:
            files = sorted((data / "zeroshot_dev" / label).iterdir())
            chance.shuffle(files)
            for number, file in enumerate(files[:16]):
                part = "taught" if number < 8 else "test"
                name = f"{label.replace(' ', '_')}_{file.name}"
                (out / part).mkdir(parents=True, exist_ok=True)
                shutil.copy(file, out / part / name)
                rows[part].append(
                    {"file_name": name, "question": "Where does this belong in our museum?", "answer": hall}
                )
    for part, some in rows.items():
        chance.shuffle(some)
        _write(out / part / "questions.jsonl", some[:100])


MAKERS: dict[str, Callable[[Path, Path], None]] = {
    "classify": make_classify,
    "sentiment": make_sentiment,
    "caption": make_caption,
    "ask": make_ask,
}


def _copy(files: Sequence[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, folder / file.name)


def _read(table: Path) -> list[Row]:
    return [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines() if line.strip()]


def _write(table: Path, rows: Sequence[Row]) -> None:
    table.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _only(row: Row, *names: str) -> Row:
    return {name: row[name] for name in names}


# ---------------------------------------------------------------- in the page


def teach(page: Page, task: str, folder: Path, name: str, *, wait: float = 300.0) -> float:
    """Teach what lies in a folder, with the settings that the page suggests; seconds from the click to the new model.

    Ends on the task's own tab, where the new model answers.
    """
    page.set_default_timeout(wait * 1000)
    page.click("#tab-teach-button")
    page.check(f"#teach-task input[value={task}]", force=True)
    page.check("#teach-source input[value=files]", force=True)
    field = page.locator("#teach-folder textarea, #teach-folder input").first
    field.fill(str(folder))
    field.press("Enter")
    page.wait_for_selector("#teach-preview .mm-labels, #teach-preview .mm-samples")
    page.wait_for_timeout(1000)  # the settings that are suggested arrive after it
    page.locator("#teach-out textarea, #teach-out input").first.fill(name)
    started = time.monotonic()
    page.click("#teach-start")
    page.wait_for_selector("#runs-use:visible")
    page.click("#runs-use")
    page.wait_for_function(
        "([task, name]) => document.querySelector(`#serving-${task} textarea, #serving-${task} input`)?.value === name",
        arg=[task, name],
    )
    return time.monotonic() - started


# ---------------------------------------------------------------- all of it


@contextmanager
def served(env: dict[str, str]) -> Iterator[str]:
    """The app as a process of its own; its address."""
    app = subprocess.Popen(
        [sys.executable, "app.py", "--device", "cpu"], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
    )
    try:
        lines = iter(app.stdout or ())
        yield next(line.split()[3] for line in lines if line.startswith("mmdemo answers at"))
    finally:
        app.terminate()
        app.wait()


def compared(env: dict[str, str], base: str, name: str, data: Path) -> str:
    """What ``compare`` says of two models."""
    command = [sys.executable, "-m", "mmdemo", "compare", base, name, "--data", str(data), "--json"]
    found = json.loads(subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout)
    metric = found["difference"]["metric"]
    one, other = (found[side]["metrics"][metric] for side in ("a", "b"))
    change = found["difference"]
    return (
        f"{metric} {one:.3f} -> {other:.3f}, difference {change['value']:+.3f} "
        f"({change['low']:+.3f} to {change['high']:+.3f}), n = {found['n']}"
    )


def main() -> int:
    """Make the data, teach them in a browser, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", default=list(MAKERS), help="classify, sentiment, caption, ask; default all")
    chosen = parser.parse_args().tasks
    data = Path(os.environ.get("MMDEMO_DATA") or ROOT.parent / "shared" / "data")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None or not (data / "zeroshot_dev").is_dir():
        print("This needs Chromium, and the public data sets in MMDEMO_DATA", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place, sync_playwright() as playwright:
        root = Path(place)
        (root / "checkpoints").mkdir()
        for shipped in (ROOT / "checkpoints").glob("*-base"):
            (root / "checkpoints" / shipped.name).symlink_to(shipped)
        env = {
            **os.environ,
            "MMDEMO_CHECKPOINTS": str(root / "checkpoints"),
            "MMDEMO_DATASETS": str(root / "datasets"),
            "PYTHONUNBUFFERED": "1",
        }
        with served(env) as url:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--no-first-run"])
            page = browser.new_page(viewport={"width": 1300, "height": 1000})
            page.goto(url)
            page.wait_for_selector("#ask-picture")
            for task in chosen:
                MAKERS[task](data, root / task)
                seconds = teach(page, task, root / task / "taught", f"my-{task}")
                print(f"{task}: {seconds:.0f} s from the click to the new model in the page", flush=True)
                print(f"  taught: {compared(env, f'{task}-base', f'my-{task}', root / task / 'test')}", flush=True)
                if (root / task / "others").is_dir():
                    others = compared(env, f"{task}-base", f"my-{task}", root / task / "others")
                    print(f"  labels that were not taught: {others}", flush=True)
            browser.close()
    print(f"{os.cpu_count()} cores")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
