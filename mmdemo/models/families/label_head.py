"""The last layer of a classifier, fitted to somebody's own labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mmdemo.models.families.base import HubModel


def fit_labels(model: HubModel, labels: Sequence[str]) -> None:
    """Give the last layer of a classifier one unit for each of ``labels``, in place; other kinds are left as they are.

    Units of labels that it knows by name stay; new ones start small and at the mean of the biases.
    """
    if model.family not in {"audio", "vilt"}:
        return
    from mmdemo.models.families.speech_classifier import SpeechClassifierModel

    units = model.units() if isinstance(model, SpeechClassifierModel) else range(len(model.config.labels))
    if tuple(labels) == tuple(model.config.labels) and len(units) == len(labels):
        return
    net = model.net
    where, last = [(name, m) for name, m in net.named_modules() if type(m) is nn.Linear][-1]
    fresh = nn.Linear(last.in_features, len(labels)).to(last.weight.device, last.weight.dtype)
    chance = torch.Generator().manual_seed(len(labels))  # the same whatever was drawn before
    fresh.weight.data.copy_(torch.randn(fresh.weight.shape, generator=chance) * 0.02)
    nn.init.constant_(fresh.bias, float(last.bias.mean()))
    known: dict[str, list[int]] = {}
    for unit, place in enumerate(units):
        known.setdefault(model.config.labels[place], []).append(unit)
    with torch.no_grad():
        for i, label in enumerate(labels):
            if label in known:  # units of one label (women's and men's voices) become one
                fresh.weight[i] = last.weight[known[label]].mean(dim=0)
                fresh.bias[i] = last.bias[known[label]].mean()
    parent, _, child = where.rpartition(".")
    setattr(net.get_submodule(parent), child, fresh)
    settings = net.config
    settings.id2label = dict(enumerate(labels))  # type: ignore[union-attr]
    settings.label2id = {label: i for i, label in enumerate(labels)}  # type: ignore[union-attr]
