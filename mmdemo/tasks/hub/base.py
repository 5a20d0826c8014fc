"""What the tasks of hub models have in common: which of their tensors are trained, kept and shipped.

Nothing but what is trained is ever written down: neither a run's state nor the finished checkpoint repeats the
gigabytes of the base.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmdemo.core.config import Calibration, CheckpointConfig
from mmdemo.core.types import Card, Picture, Request, Result
from mmdemo.tasks.base import HEAD, PLAIN, Batch, LossSettings
from mmdemo.tasks.tune import LORA

if TYPE_CHECKING:

    class LibraryNet(nn.Module):
        """A network of transformers or open_clip; its parts and its configuration differ by architecture."""

        def __getattr__(self, name: str) -> Any: ...

else:
    LibraryNet = nn.Module

Row = TypeVar("Row")

FEWEST = 30
"""Validation rows without which scores stay as the base gives them: a temperature of a dozen rows is chance."""

LORA_A, LORA_B = ".lora_a", ".lora_b"
"""Suffixes in a checkpoint: the product of the two, times alpha over rank, is added to the tensor of that name."""

_BELOW = (
    *("embed", "stem", "patch", "cls_token", "pos_", "positional", "ln_pre", "pre_layrnorm", "norm_pre"),
    *("conv1", "conv2", "conv_layers", "feature_extractor", "feature_projection", "masked_spec", "lm_head"),
)
"""In names of what lies below the first block of an encoder, or is as large; see :func:`over_words` as well."""

_NORMALISED = (nn.modules.batchnorm._BatchNorm,)

Pixels = Mapping[str, NDArray[Any]]
"""A picture's row of each of the processor's tensors, by name."""

Look = Callable[[Sequence[Picture]], Mapping[str, Tensor]]
"""Pictures → the processor's tensors, their first dimension that of the pictures."""


class TrainableFamily(Protocol):
    """What training needs of an opened hub model, whatever its loss; each loss has a protocol that adds to it.

    Attributes:
        net: In evaluation mode; its parameters are what is trained.
        config: Labels, settings and calibration.
    """

    net: LibraryNet
    config: CheckpointConfig

    @property
    def card(self) -> Card:
        """``card.task`` is the task that it is opened for."""
        ...

    def fit_labels(self, labels: Sequence[str]) -> None:
        """Give the last layer one unit for each of ``labels``, in place, where the network has such a layer."""
        ...

    def predict(self, requests: Sequence[Request]) -> list[Result]:
        """The answers of the served model, over ``net`` as it is now."""
        ...


class TrainableParts(nn.Module):
    """A hub model's network while it is tuned. Its state is what is trained; all the rest stays as the base has it."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def train(self, mode: bool = True) -> TrainableParts:
        """Statistics of batches stay those of the base: a handful of pictures would spoil them."""
        super().train(mode)
        for module in self.net.modules():
            if isinstance(module, _NORMALISED):
                module.eval()
        return self

    def state_dict(self, *args: object, **kwargs: object) -> dict[str, Tensor]:  # type: ignore[override]
        """The trained tensors by name."""
        return {name: p.detach() for name, p in self.named_parameters() if p.requires_grad}

    def load_state_dict(self, state: Mapping[str, Tensor], strict: bool = True, assign: bool = False) -> None:
        """Fill the trained tensors.

        Raises:
            RuntimeError: Others are trained than were stored.
        """
        mine = {name: p for name, p in self.named_parameters() if p.requires_grad}
        if mine.keys() != state.keys():
            raise RuntimeError(f"tensor {sorted(mine.keys() ^ state.keys())[0]} is trained here or there alone")
        with torch.no_grad():
            for name, parameter in mine.items():
                parameter.copy_(state[name])


def stacks(names: Iterable[str]) -> dict[str, int]:
    """Where a network repeats its blocks ("vision_model.encoder.layers") → how many there are.

    Of blocks within blocks the outer ones count.
    """
    found: dict[str, int] = {}
    for name in names:
        place = _block(name)
        if place is not None and not _is_below(place[0]):
            found[place[0]] = max(found.get(place[0], 0), place[1] + 1)
    return found


def over_words(net: nn.Module) -> frozenset[str]:
    """Names of the matrices over a whole vocabulary: what words are read by, and what the next one is told from.

    They are those that the library itself names (``get_input_embeddings``, ``get_output_embeddings``; open_clip calls
    them ``token_embedding``), and matrices outside of blocks with as many rows or columns as there are words: CoCa's
    ``text_projection`` is no layer.
    """
    tables = [m for name, m in net.named_modules() if name.rpartition(".")[2] == "token_embedding"]
    for module in net.modules():
        for kind in ("get_input_embeddings", "get_output_embeddings"):
            try:
                tables.append(getattr(module, kind)())
            except (AttributeError, NotImplementedError):  # an architecture that has none, or does not read words
                continue
    # pictures have "input embeddings" too, which are convolutions
    found = {id(m.weight) for m in tables if isinstance(m, nn.Embedding | nn.Linear)}
    counts = {m.num_embeddings for m in tables if isinstance(m, nn.Embedding)}
    return frozenset(
        name
        for name, p in net.named_parameters()
        if id(p) in found or (p.ndim == 2 and _block(name) is None and not counts.isdisjoint(p.shape))
    )


def _block(name: str) -> tuple[str, int] | None:
    match = re.match(r"(.*?)\.(\d+)\.", name)
    return (match[1], int(match[2])) if match else None


def _is_below(name: str) -> bool:
    return any(sign in name for sign in _BELOW)


class HubTask(ABC, Generic[Row]):
    """A hub model's network with the loss that its makers trained it with; see :class:`mmdemo.tasks.base.Task`.

    Args:
        name: The task that it is tuned for.
        net: As it is before the tuning.
        heads: Beginnings of the names of what is new, or sits on top of the encoders.
        only: Beginnings of the names of what may be trained at all; () is everything.
        fixed: Beginnings of the names of what never is.
    """

    metric: str = "minus_loss"
    additive: bool = True
    label_rows: tuple[str, ...] = ()
    grown_rows: tuple[str, ...] = ()
    concludes: ClassVar[bool] = False

    def __init__(
        self,
        name: str,
        net: nn.Module,
        *,
        heads: Sequence[str],
        only: Sequence[str] = (),
        fixed: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.heads, self.only, self.fixed = tuple(heads), tuple(only), tuple(fixed)
        self.used: frozenset[str] | None = None
        self.stacks = stacks(name for name, _ in net.named_parameters() if not name.startswith(self.heads))
        self.over_words = over_words(net)

    # ------------------------------------------------------------ what is trained

    def depth(self, net: TrainableParts, name: str) -> int:
        """By the number of the block, counted from the top of its own stack; LoRA's matrices learn as heads do."""
        name = name.removeprefix("net.")
        if LORA in name or name.startswith(self.heads):
            return HEAD
        deepest = 1 + max(self.stacks.values(), default=0)
        if name in self.over_words:
            return deepest
        place = _block(name)
        if place is not None and place[0] in self.stacks:
            return self.stacks[place[0]] - place[1]
        return deepest if _is_below(name) else 1  # else the norm after the last block

    def open_up(self, net: TrainableParts) -> None:
        """Leave gradients to all that may be trained at all; tasks.tune.freeze takes what is not to be."""
        for name, parameter in net.net.named_parameters():
            parameter.requires_grad_(self._may(name) and parameter.is_floating_point())

    def _may(self, name: str) -> bool:
        return (not self.only or name.startswith(self.only)) and not name.startswith(self.fixed)

    def watch(self, net: TrainableParts, batch: Batch) -> None:
        """See which layers a step runs through: some architectures read the weights of layers that they never call."""
        used: set[str] = set()

        def note(name: str) -> Callable[..., None]:
            return lambda *_: used.add(name)

        hooks = [module.register_forward_hook(note(name)) for name, module in net.named_modules()]
        was = net.training
        net.eval()
        try:
            with torch.no_grad():
                self.loss(net, batch)
        finally:
            net.train(was)
            for hook in hooks:
                hook.remove()
        self.used = frozenset(used)

    def lora_places(self, net: TrainableParts, *, rank: int) -> tuple[list[str], list[str]]:
        """What LoRA stands beside: names of layers, and of bare matrices (queries, keys and values in one).

        Linear layers and pointwise convolutions in the blocks of encoders and decoders, but for those that are never
        called (:meth:`watch`), where LoRA would change nothing, and those of no more than ``rank`` inputs or outputs.
        """
        wide = {name: kind for name, (kind, width) in self._widths(net).items() if width > rank}
        return [name for name in wide if wide[name] == "layer"], [name for name in wide if wide[name] == "matrix"]

    def most_rank(self, net: TrainableParts) -> int:
        """The highest rank for which LoRA has a place anywhere; 0 where it has none at all."""
        return max((width for _, width in self._widths(net).values()), default=1) - 1

    def _widths(self, net: TrainableParts) -> dict[str, tuple[str, int]]:
        """What LoRA may stand beside: "layer" or "matrix", and the smaller of its two sides."""
        found: dict[str, tuple[str, int]] = {}
        for name, module in net.named_modules():
            inner = name.removeprefix("net.")
            place = _block(f"{inner}.")
            if place is None or place[0] not in self.stacks or inner.startswith(self.heads) or not self._may(inner):
                continue
            if self.used is not None and name not in self.used:
                continue
            if type(module) is nn.Linear or (type(module) is nn.Conv2d and _is_pointwise(module)):
                found[name] = ("layer", min(module.weight.shape[:2]))
            elif isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
                found[f"{name}.in_proj_weight"] = ("matrix", min(module.in_proj_weight.shape))
        return found

    def shipped(self, net: TrainableParts) -> dict[str, Tensor]:
        """What is trained, by the names of the library: whole tensors, and LoRA's two matrices for each."""
        found: dict[str, Tensor] = {}
        for place, (a, b) in lora_matrices(net).items():
            found[place + LORA_A], found[place + LORA_B] = a.detach(), b.detach()
        for name, parameter in net.net.named_parameters():
            if parameter.requires_grad and LORA not in name:
                found[name] = parameter.detach()
        return found

    # ------------------------------------------------------------ what a task is

    def build(self, config: CheckpointConfig) -> TrainableParts:
        """Never called: the network is the base's."""
        raise TypeError(f"a hub model for {config.task} is opened, not built")

    def start(self, net: TrainableParts, bases: Mapping[str, nn.Module]) -> None:
        """Nothing: the network is the base's."""

    def fit_init(self, net: TrainableParts, rows: Sequence[Row]) -> None:
        """Nothing: all is learned step by step."""

    def finalize(self, net: TrainableParts, rows: Sequence[Row]) -> None:
        """Nothing: the steps are all there is."""

    @abstractmethod
    def collate(self, rows: Sequence[Row]) -> Batch:
        """The library's own inputs, and what is to be answered."""

    @abstractmethod
    def loss(self, net: TrainableParts, batch: Batch, how: LossSettings = PLAIN) -> Tensor:
        """A scalar, the mean over the batch's items."""

    def items(self, net: TrainableParts, batch: Batch) -> Tensor:
        return torch.tensor(float(len(next(iter(batch.values())))))

    @abstractmethod
    def outputs(self, net: TrainableParts, batch: Batch) -> list[NDArray[np.float32]]:
        """One array per row, in evaluation mode."""

    @abstractmethod
    def score(
        self, net: TrainableParts, outputs: Sequence[NDArray[np.float32]], rows: Sequence[Row]
    ) -> dict[str, float]:
        """Validation figures, :attr:`metric` and "minus_loss" among them."""

    @abstractmethod
    def calibrate(
        self, net: TrainableParts, outputs: Sequence[NDArray[np.float32]], rows: Sequence[Row]
    ) -> Calibration:
        """Temperature and threshold; ``Calibration()`` where too few rows say anything of them."""


def lora_matrices(net: TrainableParts) -> dict[str, tuple[nn.Parameter, nn.Parameter]]:
    """Name of a tensor of the library's → LoRA's two matrices for it, A and B."""
    from peft.tuners.lora import LoraLayer  # slow to import

    return {
        f"{name}.{getattr(module, 'parameter_name', 'weight')}": (
            net.net.get_parameter(f"{name}.lora_A.default.weight"),
            net.net.get_parameter(f"{name}.lora_B.default.weight"),
        )
        for name, module in net.net.named_modules()
        if isinstance(module, LoraLayer)
    }


def _is_pointwise(module: nn.Conv2d) -> bool:
    return module.groups == 1 and module.kernel_size == (1, 1)
