"""Print the README's results table from the shipped checkpoints' metrics.json, with the commands that measure it again.

python scripts/results_table.py           # print it
python scripts/results_table.py --write   # put it into README.md
"""

from __future__ import annotations

import argparse
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TASKS = ("ask", "classify", "caption", "sentiment")
REGION = re.compile(r"(<!-- results:[^\n]*-->\n).*?(<!-- /results -->)", flags=re.DOTALL)
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


def rows(task: str) -> Iterator[str]:
    """The table rows of a shipped checkpoint, in the order of its metrics.json."""
    file = ROOT / "checkpoints" / f"{task}-base" / "metrics.json"
    if not file.exists():
        return
    for metric in json.loads(file.read_text(encoding="utf-8"))["metrics"]:
        name = NAMES.get(metric["name"])
        if name:
            low, high = metric["low"], metric["high"]
            yield (
                f"| [{task}-base](checkpoints/{task}-base/README.md) | {metric['data']} | {name} "
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


def table() -> str:
    """Everything between the two marks in the README."""
    figures = [row for task in TASKS for row in rows(task)]
    if not figures:
        return ""
    again = [command for task in TASKS for command in commands(task)]
    head = "| model | data | metric | value | 95 % interval | n |\n|---|---|---|---|---|---|\n"
    return head + "\n".join(figures) + f"\n\n{MEASURED}\n\n" + "```bash\n" + "\n".join(again) + "\n```"


def main() -> None:
    """Print the table or write it."""
    parser = argparse.ArgumentParser(description="The README's results table, from the shipped checkpoints.")
    parser.add_argument("--write", action="store_true", help="put it into README.md instead of printing it")
    text = table()
    if parser.parse_args().write:
        readme = ROOT / "README.md"
        old = readme.read_text(encoding="utf-8")
        readme.write_text(REGION.sub(lambda marks: f"{marks[1]}\n{text}\n\n{marks[2]}", old), encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
