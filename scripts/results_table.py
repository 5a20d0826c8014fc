"""Print the results tables from the shipped checkpoints' metrics.json, with the commands that measure them again.

python scripts/results_table.py              # print the whole table
python scripts/results_table.py --headline   # print the eight rows of the README
python scripts/results_table.py --write      # put them into docs/results.md and README.md
"""

from __future__ import annotations

import argparse
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TASKS = ("ask", "classify", "caption", "sentiment")
REGION = re.compile(r"(<!-- (?:results|headline):[^\n]*-->\n).*?(<!-- /(?:results|headline) -->)", flags=re.DOTALL)
HEADLINE = (
    ("ask", "coco/test", "accuracy"),
    ("ask", "daquar/test", "accuracy"),
    ("classify", "zeroshot_dev", "top1"),
    ("classify", "flickr8k/test", "r10"),
    ("caption", "flickr8k/test", "bleu4"),
    ("caption", "coco/test + coco/validation", "cider"),
    ("sentiment", "RAVDESS, fold 0 of speakers, never heard", "ua"),
    ("sentiment", "EmoDB, unheard", "ua"),
)
"""Task, data and metric of the rows in the README."""
NAMES = {
    "accuracy": "accuracy",
    "open": "accuracy, open questions",
    "top1": "top-1",
    "top5": "top-5",
    "mean_class": "mean per class",
    "r1": "recall at 1, text to picture",
    "r5": "recall at 5, text to picture",
    "r10": "recall at 10, text to picture",
    "bleu4": "BLEU-4",
    "cider": "CIDEr",
    "ua": "unweighted accuracy (mean recall)",
    "wa": "weighted accuracy",
    "macro_f1": "macro F1",
    "ece": "calibration error (lower is better)",
}
"""Metrics that the table shows, in words; the cards have all."""
MEASURED = """Measured by these commands, with bootstrap intervals; each card says how its figures are counted. For rows
of recipes, of one corpus alone and of unheard ones a network is trained for each part, by the commands in
`configs/sentiment.toml`. An interval of the calibration error lies high, as every sample drawn again adds to it."""


def rows(task: str, *, base: str = "../", only: Sequence[tuple[str, str]] | None = None) -> Iterator[str]:
    """The table rows of a shipped checkpoint, in the order of its metrics.json.

    Args:
        base: The way from the page that holds the table to the checkout.
        only: (data, metric) of the rows; None for all.
    """
    file = ROOT / "checkpoints" / f"{task}-base" / "metrics.json"
    if not file.exists():
        return
    for metric in json.loads(file.read_text(encoding="utf-8"))["metrics"]:
        name = NAMES.get(metric["name"])
        if name and (only is None or (metric["data"], metric["name"]) in only):
            low, high = metric["low"], metric["high"]
            yield (
                f"| [{task}-base]({base}checkpoints/{task}-base/README.md) | {metric['data']} | {name} "
                f"| {metric['value']:.3f} | {low:.3f} to {high:.3f} | {metric['n']} |"
            )


def commands(task: str) -> Iterator[str]:
    """The command for each ``[[evaluate]]`` entry of the task's configuration."""
    file = ROOT / "configs" / f"{task}.toml"
    if not file.exists():
        return
    entries: list[Mapping[str, Any]] = tomllib.loads(file.read_text(encoding="utf-8")).get("evaluate", [])
    for entry in entries:
        data = "".join(f" --data $MMDEMO_DATA/{folder}" for folder in entry["data"])
        folds = f" --folds $MMDEMO_DATA/{entry['folds']} --fold {entry.get('fold', 0)}" if "folds" in entry else ""
        yield f"python -m mmdemo evaluate {task}{data}{folds}"


HEAD = "| model | data | metric | value | 95 % interval | n |\n|---|---|---|---|---|---|\n"


def headline() -> str:
    """The rows of the README."""
    wanted = {task: [(data, name) for of, data, name in HEADLINE if of == task] for task in TASKS}
    return HEAD + "\n".join(row for task in TASKS for row in rows(task, base="", only=wanted[task]))


def table() -> str:
    """The whole table of docs/results.md, with its commands."""
    figures = [row for task in TASKS for row in rows(task)]
    if not figures:
        return ""
    again = [command for task in TASKS for command in commands(task)]
    return HEAD + "\n".join(figures) + f"\n\n{MEASURED}\n\n" + "```bash\n" + "\n".join(again) + "\n```"


def main() -> None:
    """Print a table or write both."""
    parser = argparse.ArgumentParser(description="The results tables, from the shipped checkpoints.")
    parser.add_argument("--headline", action="store_true", help="print the README's rows instead of the whole table")
    parser.add_argument("--write", action="store_true", help="put them into docs/results.md and README.md")
    given = parser.parse_args()
    if given.write:
        write(ROOT / "README.md", headline())
        write(ROOT / "docs" / "results.md", table())
    else:
        print(headline() if given.headline else table())


def write(page: Path, text: str) -> None:
    """Put a table between the marks of a page."""
    old = page.read_text(encoding="utf-8")
    page.write_text(REGION.sub(lambda marks: f"{marks[1]}\n{text}\n\n{marks[2]}", old), encoding="utf-8")


if __name__ == "__main__":
    main()
