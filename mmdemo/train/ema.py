"""The running average of the weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class ExponentialMovingAverage:
    """Exponential moving average: shadow ← decay · shadow + (1 - decay) · weights, faster at the start.

    Polyak and Juditsky 1992, "Acceleration of stochastic approximation by averaging"; the decay of step t is held to at
    most (1 + t) / (10 + t), so that the first weights are soon forgotten.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.shadow = {n: p.detach().clone().float() for n, p in net.named_parameters() if p.requires_grad}

    def update(self, net: nn.Module) -> None:
        """One step further."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                if name in self.shadow:
                    self.shadow[name].lerp_(parameter.detach().float(), 1 - decay)

    def state(self) -> dict[str, Tensor]:
        """All that :meth:`load` needs."""
        return {"steps": torch.tensor(self.steps), **{f"shadow.{name}": t for name, t in self.shadow.items()}}

    def load(self, stored: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`state` gave."""
        self.steps = int(stored["steps"])
        for name, tensor in self.shadow.items():
            tensor.copy_(stored[f"shadow.{name}"])

    def swap(self, net: nn.Module) -> None:
        """Exchange the network's weights with the average; called twice, nothing has changed."""
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                if name in self.shadow:
                    mine = parameter.detach().clone()
                    parameter.copy_(self.shadow[name])
                    self.shadow[name].copy_(mine)
