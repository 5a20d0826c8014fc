"""Keep a mixture of two checkpoints as a checkpoint of its own, with probe and card."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from mmdemo.core.config import CardText, CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import TASKS, Metric
from mmdemo.models import checkpoint, probe
from mmdemo.models.interpolation import MADE_FROM, WeightPair, pair
from mmdemo.models.loading import read
from mmdemo.train.folder import LEARNED, TRAINER, write_json
from mmdemo.train.plan import learned_by
from mmdemo.train.publish import finish
from mmdemo.train.request import out_folder

SOURCE = "Wortsman et al. 2022, https://arxiv.org/abs/2109.01903"


def save_interpolation(
    a: Path,
    b: Path,
    alpha: float,
    out: str,
    *,
    metrics: Sequence[Metric] = (),
    notes: Sequence[str] = (),
    command: str = "",
    device: str = "cpu",
) -> Path:
    """Write ``(1 - alpha) * A + alpha * B`` as a checkpoint.

    Args:
        out: A name under checkpoints/, or a path; nothing that is there already is replaced.
        metrics: What was measured with this mixture.
        notes: How.

    Returns:
        The new folder.

    Raises:
        MmdemoError: They do not fit together, the name is taken, or the disk is full.
    """
    if not out.strip() or out.strip().startswith(".") or out.strip() in {"/", "\\"}:
        raise MmdemoError("The mixture needs a name", "", "Give one, as half-and-half")
    folder = out_folder(out.strip())
    if folder.exists():
        raise MmdemoError(f"{folder.name} is there already", "nothing is replaced", "Give another name")
    both = pair(a, b)
    config = _config(both, alpha)
    if config.task not in TASKS:
        raise MmdemoError(f"{a.name} and {b.name} cannot be mixed", f'"{config.task}" serves nobody by itself')

    def complete(fresh: Path) -> None:
        ready = read(fresh, device=device)
        try:
            (fresh / probe.FILE).write_text(probe.record(ready), encoding="utf-8")
        finally:
            ready.release()
        finish(fresh, metrics, command or _command(both, alpha, folder), [*both.notes, *notes], name=folder.name)

    tokenizer = b / "tokenizer.json"
    extra = {tokenizer.name: tokenizer.read_text(encoding="utf-8")} if tokenizer.exists() else {}
    checkpoint.write(folder, config, checkpoint.pack(both.at(alpha)), extra=extra, complete=complete)
    if seen := learned_by(a, b):  # so that comparing still says what it has seen
        (folder / TRAINER).mkdir(exist_ok=True)
        write_json({"train": [], "validation": [], "test": [], "before": seen}, folder / TRAINER / LEARNED)
    return folder


def _config(both: WeightPair, alpha: float) -> CheckpointConfig:
    """B's configuration with words for what it is now."""
    (a, b), config = both.folders, both.config(alpha)
    one, other = (config.card for config in both.configs)
    card = CardText(
        summary=f"{alpha:.0%} of the way from {a.name} to {b.name}: their weights, mixed.",
        licence=one.licence if one.licence == other.licence else f"{one.licence}; {other.licence}",
        language=other.language,
        data=tuple(dict.fromkeys((*one.data, *other.data))),
        bases=tuple(
            f"{share:.0%} {folder.name} ({licence})"
            for share, folder, licence in ((1 - alpha, a, one.licence), (alpha, b, other.licence))
        ),
        limits=other.limits,
        notes=(
            f"Every weight is {1 - alpha:.2f} times that of {a.name} plus {alpha:.2f} times that of {b.name} "
            f"(WiSE-FT, {SOURCE}).",
            "Temperature, threshold and height of 'none of these' lie between theirs in the same shares; "
            "they were not fitted anew.",
        ),
    )
    made = f"{1 - alpha:.2f} {a.name} + {alpha:.2f} {b.name}"
    return dataclasses.replace(config, settings={**config.settings, MADE_FROM: made}, card=card)


def _command(both: WeightPair, alpha: float, folder: Path) -> str:
    a, b = (place.name for place in both.folders)
    return f"python -m mmdemo compare {a} {b} --mix {alpha:g} --out {folder.name}"
