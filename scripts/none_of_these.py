"""How often "none of these" is right: with the picture's label in a list of others, and without it.

python scripts/none_of_these.py --data $MMDEMO_DATA/zeroshot_dev
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # mmdemo is used from its checkout

from mmdemo.core.types import NONE_OF_THESE, ClassifyRequest  # noqa: E402
from mmdemo.data.read import read_examples  # noqa: E402
from mmdemo.media.image import load_picture  # noqa: E402
from mmdemo.models import load  # noqa: E402

LENGTHS = (2, 5, 10, 19)
"""Labels in a list."""


def share(hits: list[bool]) -> str:
    """A share with its exact 95 % interval (Clopper-Pearson)."""
    found = binomtest(sum(hits), len(hits)).proportion_ci()
    return f"{np.mean(hits):.3f} ({found.low:.3f} to {found.high:.3f})"


def main() -> None:
    """Print one line for each length of the list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="class folders")
    parser.add_argument("--model", help="default: the shipped one")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    model, examples = load("classify", asked.model), read_examples("classify", [asked.data]).examples
    names = sorted({example.label for example in examples if example.label})
    draw = random.Random(asked.seed)  # noqa: S311 - repeatable, not secret
    print(f"{asked.data.name}, n = {len(examples)} for each length; right and sure-and-right are of all with the label")
    print("labels | right label on top | none although it is there | none where it is not | right when sure (n)")
    pictures = {example.file: load_picture(example.file) for example in examples if example.file is not None}
    for length in (one for one in LENGTHS if one < len(names)):
        right, lost, caught, sure = [], [], [], []
        for example in examples:
            if example.file is None or example.label is None:
                continue
            wrong = draw.sample([name for name in names if name != example.label], length)
            for labels in ((example.label, *wrong[1:]), tuple(wrong)):
                (result,) = model.predict([ClassifyRequest(picture=pictures[example.file], labels=labels)])
                top = result.labels[0].label
                if labels[0] == example.label:
                    right.append(top == example.label)
                    lost.append(top == NONE_OF_THESE)
                else:
                    caught.append(top == NONE_OF_THESE)
                if result.sure:
                    sure.append(labels[0] == example.label and top == example.label)
        print(f"{length} | {share(right)} | {share(lost)} | {share(caught)} | {share(sure)} ({len(sure)})", flush=True)


if __name__ == "__main__":
    main()
