"""What a checkpoint says of the public model that it was tuned from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmdemo.core.config import CLASSES, FAMILY, CardText, CheckpointConfig
from mmdemo.data.prepare.inputs import DatasetSplits, HubBase
from mmdemo.data.read import Example
from mmdemo.models.families.factory import NOT_STATED
from mmdemo.models.families.merge import read_tuned

ON_TOP = "; the data's own terms come on top"


def config_of(
    public: HubBase, sources: DatasetSplits, *, labels: Sequence[str] = (), classes: Sequence[str] = ()
) -> CheckpointConfig:
    """The configuration of what a run makes of a public model.

    Args:
        labels: Of a network with an output unit for each.
        classes: The labels of the pictures that it is tuned on.
    """
    card, base = public.model.card, public.base
    merged = read_tuned(base.folder, name=base.id)  # which was tuned before, and came of a base of its own
    licence = merged.licence if merged and merged.licence else card.licence
    under = "whose licence is not stated" if licence == NOT_STATED else f"under {licence}"
    start = base.named if public.before is None else f"{public.folder and public.folder.name} ({base.named})"
    return CheckpointConfig(
        task=card.task,
        calibration=public.model.config.calibration,
        card=CardText(
            summary=f"Tuned with mmdemo for {card.task} on {sources.train.name}, starting from {start}.",
            licence=licence if licence.endswith(ON_TOP) else f"starts from weights {under}{ON_TOP}",
            data=(sources.train.name,),
            bases=(
                *(merged.bases if merged else ()),
                f"{base.named}{'' if merged else f' ({licence})'}; SHA-256 of its weights {base.hash}",
            ),
            limits=(
                "Stands on a public model: read what its makers say of it before you rely on it.",
                "What it knew of other things than those it was tuned on may have faded.",
            ),
        ),
        net={FAMILY: public.base.layout.family},
        labels=tuple(labels),
        settings={**public.base.settings(), **({CLASSES: tuple(classes)} if classes else {})},
    )


def files_of(examples: Sequence[Example]) -> list[Path]:
    """The files of some examples, each once."""
    return list(dict.fromkeys(e.file for e in examples if e.file is not None))
