"""The fusions compared: ``python scripts/fusion_table.py --write``, with the public data sets in ``MMDEMO_DATA``.

Every way to bring question and picture together is trained by the same command on the same rows and cached features,
and measured on the same questions; the best three with two more seeds; the best with an LSTM for the question (as
often), without the picture, and without the question. Runs lie in --out; what is there already is not trained again, so
that it can be interrupted. The table goes into checkpoints/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # mmdemo is used from its checkout

from mmdemo.models.ask import AskModel  # noqa: E402
from mmdemo.models.loading import load  # noqa: E402
from mmdemo.nets.fusion import FUSION_NAMES  # noqa: E402

REGION = re.compile(r"(<!-- fusions:[^\n]*-->\n).*?(<!-- /fusions -->)", flags=re.DOTALL)
DATA = ("coco", "coco_more", "coco_more/train_extra", "visual7w", "daquar")
SEEDS = 3
BEST = 3
"""Fusions that are trained with all seeds."""


class Figure(NamedTuple):
    """A metric with its interval, of n questions."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A row of the table: what of configs/ask.toml it changes, and one training of it per seed."""

    name: str
    changes: tuple[str, ...]
    seeds: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a row's trainings gave: figures by metric and data set, each with its interval, of every seed."""

    run: Run
    figures: Sequence[dict[str, Figure]]
    parameters: int
    milliseconds: float

    def mean(self, name: str) -> float:
        """Over the seeds."""
        return statistics.mean(one[name].value for one in self.figures)


def train(run: Run, seed: int, out: Path, epochs: float) -> Path:
    """The finished checkpoint, trained now where it is not there yet."""
    # under the name of what is shipped it is measured on what configs/ask.toml names, each set by itself
    folder = out / f"{run.name.replace(' ', '-')}-{seed}" / "ask-base"
    if not (folder / "metrics.json").exists() or not measured(folder):
        data = os.environ["MMDEMO_DATA"]
        changes = [*run.changes, f"train.epochs={epochs:g}", f"train.seed={seed}"]
        words = [sys.executable, "-m", "mmdemo", "train", "ask", "--config", "configs/ask.toml"]
        words += ["--base", "checkpoints", "--out", str(folder)]
        words += [word for one in DATA for word in ("--data", f"{data}/{one}")]
        words += [word for change in changes for word in ("--set", change)]
        words += ["--resume"] if (folder / "trainer").exists() else []
        print(f"{run.name}, seed {seed}", flush=True)
        subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return folder


def measured(folder: Path) -> dict[str, Figure]:
    """Figures of a checkpoint by "metric of data"."""
    told = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["metrics"]
    return {f"{one['name']} of {one['data']}": Figure(one["value"], one["low"], one["high"], one["n"]) for one in told}


def cost(folder: Path) -> tuple[int, float]:
    """Parameters of the network, and median milliseconds for one question about a picture whose grid is known."""
    model = load("ask", str(folder), device="cpu")
    assert isinstance(model, AskModel)
    net = model.net
    config = net.config
    grid = torch.rand(1, config.channels, config.grid, config.grid) * 6
    tokens = torch.ones(1, 10, dtype=torch.long) if config.question == "lstm" else torch.randn(1, 10, config.text_width)
    mask, picture = torch.ones(1, 10, dtype=torch.bool), torch.zeros(1, dtype=torch.long)
    times = []
    with torch.inference_mode():
        for _ in range(60):
            start = time.perf_counter()
            net(tokens, mask, net.memory(grid), picture)
            times.append(1000 * (time.perf_counter() - start))
    return sum(p.numel() for p in net.parameters()), statistics.median(times[10:])


def find(run: Run, out: Path, epochs: float) -> Found:
    """Train and measure a row."""
    folders = [train(run, seed, out, epochs) for seed in range(run.seeds)]
    parameters, milliseconds = cost(folders[0])
    return Found(run=run, figures=[measured(f) for f in folders], parameters=parameters, milliseconds=milliseconds)


def compare(out: Path, epochs: float) -> list[Found]:
    """All rows, best first, then what the best of them is without one of its parts."""
    rows = [find(Run(name=name, changes=(f"net.fusion={name}",)), out, epochs) for name in FUSION_NAMES]
    rows.sort(key=by, reverse=True)
    again = [find(Run(name=row.run.name, changes=row.run.changes, seeds=SEEDS), out, epochs) for row in rows[:BEST]]
    rows = sorted([*again, *rows[BEST:]], key=by, reverse=True)
    best = rows[0].run
    parts = {
        "LSTM question": ("net.question=lstm", SEEDS),  # a rival
        "without the picture": ("net.ablate_image=true", 1),
        "without the question": ("net.ablate_question=true", 1),
    }
    return rows + [
        find(Run(name=f"{best.name}, {name}", changes=(*best.changes, change), seeds=seeds), out, epochs)
        for name, (change, seeds) in parts.items()
    ]


def by(row: Found) -> float:
    """What decides: both sets of coco's questions."""
    return row.mean(ALL)


ALL, OPEN, DAQUAR = "accuracy of coco/test", "open of coco/test", "accuracy of daquar/test"


def table(rows: Sequence[Found], epochs: float) -> str:
    """Markdown."""
    lines = [
        "| fusion | seeds | coco/test | 95 % interval | open questions | daquar/test | parameters | ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        shown, values = row.figures[0][ALL], [one[ALL].value for one in row.figures]
        spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
        lines.append(
            f"| {row.run.name} | {len(values)} | {row.mean(ALL):.3f}{spread} | {shown.low:.3f} to {shown.high:.3f} "
            f"| {row.mean(OPEN):.3f} | {row.mean(DAQUAR):.3f} | {row.parameters / 1e6:.1f} M "
            f"| {row.milliseconds:.1f} |"
        )
    first = rows[0].figures[0]
    lines += [
        "",
        f"n = {first[ALL].n} questions of coco/test, {first[DAQUAR].n} of daquar/test; {epochs:g} epochs each on "
        f"{', '.join(DATA)}, without questions made from captions; ± is the standard deviation over seeds, the "
        "interval that of the first seed; ms is the median for one question of ten tokens about a known grid.",
        "",
        "```bash",
        "python scripts/fusion_table.py --write",
        "```",
    ]
    return "\n".join(lines)


def main() -> None:
    """Train what is not there yet; print the table or write it."""
    parser = argparse.ArgumentParser(description="The fusions compared, for checkpoints/README.md.")
    parser.add_argument("--out", type=Path, default=ROOT / "cache" / "fusions", help="where the runs lie")
    parser.add_argument("--epochs", type=float, default=4, help="of every run")
    parser.add_argument("--write", action="store_true", help="put it into checkpoints/README.md")
    given = parser.parse_args()
    text = table(compare(given.out, given.epochs), given.epochs)
    if given.write:
        readme = ROOT / "checkpoints" / "README.md"
        old = readme.read_text(encoding="utf-8")
        readme.write_text(REGION.sub(lambda marks: f"{marks[1]}\n{text}\n\n{marks[2]}", old), encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
