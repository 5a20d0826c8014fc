"""Between two checkpoints of one task: every weight on the straight line from one to the other.

WiSE-FT (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", https://arxiv.org/abs/2109.01903): what was
tuned from a base is often better on its new data and worse elsewhere; a mixture of both sets of weights keeps much of
either, because the line between them stays within the same valley of the loss.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mmdemo.core.config import CLASSES, FAMILY, TUNED_TRUNK, Calibration, CheckpointConfig
from mmdemo.core.errors import MmdemoError
from mmdemo.core.words import NUMBER, YES_NO
from mmdemo.models import checkpoint, registry
from mmdemo.models.encoders import load_vision

MADE_FROM = "made_from"

OWN_SETTINGS = frozenset({CLASSES, MADE_FROM})
"""Settings in which two checkpoints may differ: they say what people are offered, not how answers come about."""

OWN = "own"
"""Setting of Classify's network: classes of somebody's own, whose vectors are ``said + moved``."""

KNOWN_SHARE = "known_share"
"""Setting of Classify's network that only its training knows."""

GROWN = ("said", "moved")

STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True, kw_only=True)
class WeightPair:
    """Two checkpoints that can be mixed.

    Attributes:
        configs: Of A and B; both know the classes of either, unmoved where they did not.
        states: All tensors of A and B in fp32, of the same names; where one of them has a trunk of its own, those of
            the trunk among them, under :data:`~mmdemo.core.config.TUNED_TRUNK`.
        trunk: The tensors of the part "vision" that are tuned in A or B; empty where neither is.
    """

    folders: tuple[Path, Path]
    configs: tuple[CheckpointConfig, CheckpointConfig]
    states: tuple[Mapping[str, Tensor], Mapping[str, Tensor]]
    trunk: Mapping[str, Tensor]

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of the mixture, one sentence each."""
        moved = [
            name
            for name, tensor in self.states[0].items()
            if name.endswith(STATISTICS) and not torch.equal(tensor, self.states[1][name])
        ]
        if not moved:
            return ()
        return (
            f"{len(moved)} running statistics of batch normalisation differ and were mixed like weights; they were not "
            "counted anew on data",
        )

    def at(self, alpha: float) -> dict[str, Tensor]:
        """``(1 - alpha) * A + alpha * B``, tensor by tensor: exactly A at 0 and exactly B at 1.

        Of the trunk only what differs from the part "vision" is given, as a checkpoint holds it.

        Raises:
            MmdemoError: ``alpha`` is not in [0, 1].
        """
        if not 0 <= alpha <= 1:
            raise MmdemoError(f"A mixture of {alpha} is not possible", "it goes from 0 (all A) to 1 (all B)")
        one, other = self.states
        found: dict[str, Tensor] = {}
        for name, tensor in one.items():
            mixed = _between(tensor, other[name], alpha)
            part = self.trunk.get(name.removeprefix(TUNED_TRUNK)) if name.startswith(TUNED_TRUNK) else None
            if part is None or not torch.equal(mixed.half(), part.half()):
                found[name] = mixed
        return found

    def config(self, alpha: float) -> CheckpointConfig:
        """B's configuration, with a calibration on the line from A's to B's; A's own at 0."""
        one, other = self.configs
        return dataclasses.replace(other, calibration=_calibration(one.calibration, other.calibration, alpha))


def pair(a: Path, b: Path) -> WeightPair:
    """Read two checkpoints that are to be mixed.

    Raises:
        MmdemoError: Naming the first thing in which they do not fit together.
    """
    one, other = checkpoint.read_config(a), checkpoint.read_config(b)
    if why := _difference(one, other):
        raise _misfit(a, b, why)
    states = checkpoint.read_weights(a), checkpoint.read_weights(b)
    one, other = _with_all_classes((one, other), states)
    trunk: dict[str, Tensor] = {}
    tuned = [name for name in states[0].keys() | states[1].keys() if name.startswith(TUNED_TRUNK)]
    if "vision" in one.parts and tuned:
        base = load_vision(registry.part_folder(b, one.parts["vision"].name)).trunk.state_dict()
        for name in sorted(tuned):
            short = name.removeprefix(TUNED_TRUNK)
            if short not in base:
                raise _misfit(a, b, f"tensor {name} is unknown to their trunk")
            trunk[short] = base[short].detach().cpu().contiguous()
            for state in states:
                state.setdefault(name, trunk[short])
    for name in sorted(states[0].keys() ^ states[1].keys()):
        raise _misfit(a, b, f"only {(a if name in states[0] else b).name} has the tensor {name}")
    for name, tensor in states[0].items():
        if tensor.shape != states[1][name].shape:
            shapes = " and ".join(str(tuple(state[name].shape)) for state in states)
            raise _misfit(a, b, f"tensor {name} has the shapes {shapes}")
        if not tensor.is_floating_point() and not torch.equal(tensor, states[1][name]):
            raise _misfit(a, b, f"tensor {name} holds whole numbers that differ")
    return WeightPair(folders=(a, b), configs=(one, other), states=states, trunk=trunk)


def interpolate(a: Path, b: Path, alpha: float) -> tuple[dict[str, Tensor], CheckpointConfig]:
    """Tensors and configuration of ``(1 - alpha) * A + alpha * B``; see :class:`WeightPair`."""
    both = pair(a, b)
    return both.at(alpha), both.config(alpha)


# ----------------------------------------------------------------


def _between(one: Tensor, other: Tensor, alpha: float) -> Tensor:
    if not one.is_floating_point() or torch.equal(one, other):
        return other
    return (1 - alpha) * one + alpha * other


def _with_all_classes(
    configs: tuple[CheckpointConfig, CheckpointConfig], states: tuple[dict[str, Tensor], dict[str, Tensor]]
) -> tuple[CheckpointConfig, CheckpointConfig]:
    """Let both know the classes of either: one that a model was not taught lies where its name does, moved by nothing.

    So nothing changes in what either answers, and their tensors get the same shapes.
    """
    known = [_taught(config) for config in configs]
    if not any(known):
        return configs
    names = list(dict.fromkeys([*known[1], *known[0]]))
    said, moved = (
        [dict(zip(mine, state[name], strict=True)) if mine else {} for mine, state in zip(known, states, strict=True)]
        for name in GROWN
    )
    for side, state in enumerate(states):
        theirs = said[1 - side]
        state[GROWN[0]] = torch.stack([said[side][n] if n in said[side] else theirs[n] for n in names])
        still = torch.zeros_like(state[GROWN[0]][0])
        state[GROWN[1]] = torch.stack([moved[side].get(n, still) for n in names])
    classes = tuple(names)
    one, other = (
        dataclasses.replace(
            config, net={**config.net, OWN: len(classes)}, settings={**config.settings, CLASSES: classes}
        )
        for config in configs
    )
    return one, other


def _taught(config: CheckpointConfig) -> tuple[str, ...]:
    """The classes that have vectors of their own."""
    classes = config.settings.get(CLASSES)
    return classes if config.net.get(OWN, 0) and isinstance(classes, tuple) else ()


def _calibration(one: Calibration, other: Calibration, alpha: float) -> Calibration:
    if alpha in (0, 1) or one == other:
        return one if alpha == 0 else other

    def kind(name: str) -> float:
        return (1 - alpha) * one.temperature_of(name) + alpha * other.temperature_of(name)

    return dataclasses.replace(
        other,
        temperature=(1 - alpha) * one.temperature + alpha * other.temperature,
        threshold=(1 - alpha) * one.threshold + alpha * other.threshold,
        height=(1 - alpha) * one.height + alpha * other.height,
        yes_no=kind(YES_NO) if one.yes_no or other.yes_no else 0.0,
        number=kind(NUMBER) if one.number or other.number else 0.0,
        kept=1.0,  # nobody has measured what this threshold keeps
        right=0.0,
    )


def _difference(one: CheckpointConfig, other: CheckpointConfig) -> str:
    """The first thing in which two configurations differ that a mixture needs alike; "" where there is none."""
    if one.task != other.task:
        return f"one was made for {one.task}, the other for {other.task}"
    if FAMILY in one.net or FAMILY in other.net:
        return "what stands on a public model holds products of matrices, and no weights that could be mixed"
    for key in sorted((one.net.keys() | other.net.keys()) - {OWN, KNOWN_SHARE}):
        if (one.net.get(key) or 0) != (other.net.get(key) or 0):  # what an older checkpoint does not name is off
            return f"net.{key} is {one.net.get(key)} and {other.net.get(key)}"
    if one.labels != other.labels:
        for place, (mine, theirs) in enumerate(zip(one.labels, other.labels, strict=False)):
            if mine != theirs:
                return f"label {place + 1} is {mine!r} and {theirs!r}"
        return f"they have {len(one.labels)} and {len(other.labels)} labels"
    for key in sorted((one.settings.keys() | other.settings.keys()) - OWN_SETTINGS):
        if one.settings.get(key) != other.settings.get(key):
            return f"the setting {key} differs"
    for role in sorted(one.parts.keys() | other.parts.keys()):
        part, its = one.parts.get(role), other.parts.get(role)
        if part is None or its is None or part.hash != its.hash:
            return f"they stand on different {role} parts"
    return ""


def _misfit(a: Path, b: Path, why: str) -> MmdemoError:
    return MmdemoError(f"{a.name} and {b.name} cannot be mixed", why, "Mix a model with one that was trained from it")
