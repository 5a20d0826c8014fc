"""Losses: tensors in, a scalar out.

Legend: ``B`` batch, ``E`` width of the shared space, ``K`` classes, ``V`` words.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def clip_loss(
    pictures: Tensor, texts: Tensor, log_scale: Tensor, group: Tensor | None = None, *, smoothing: float = 0.0
) -> Tensor:
    """Symmetric contrastive loss of CLIP (Radford et al. 2021, https://arxiv.org/abs/2103.00020).

    Args:
        pictures, texts: Unit vectors (B, E); row i of one belongs to row i of the other.
        log_scale: Learned log of the inverse temperature, held to at most 100 as in the paper.
        group: int (B,); rows of one group (captions of one picture) are not each other's negatives.
        smoothing: Share of the target that is spread evenly over the batch; none where there are groups.
    """
    with torch.autocast(pictures.device.type, enabled=False):  # a scale of 100 would blow bf16's rounding up
        logits = pictures.float() @ texts.float().T * log_scale.exp().clamp(max=100.0)  # (B, B)
    if group is not None:
        same = group[:, None] == group[None, :]
        same.fill_diagonal_(False)
        logits = logits.masked_fill(same, -1e4)
    target = torch.arange(len(logits), device=logits.device)
    smoothing = smoothing if group is None else 0.0  # it would ask for what the mask forbids
    return (
        F.cross_entropy(logits, target, label_smoothing=smoothing)
        + F.cross_entropy(logits.T, target, label_smoothing=smoothing)
    ) / 2


def soft_cross_entropy(logits: Tensor, target: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy against a distribution: logits and target (B, K), rows of target sum to 1 (or 0: no say)."""
    if smoothing:
        target = target * (1 - smoothing) + smoothing / target.shape[1] * target.sum(dim=1, keepdim=True)
    return -(target * F.log_softmax(logits.float(), dim=1)).sum(dim=1).sum() / target.sum().clamp(min=1.0)


def distillation(logits: Tensor, teacher: Tensor, *, temperature: float = 2.0) -> Tensor:
    """KL divergence from the teacher's softened distribution, times T²; logits and teacher (B, K).

    Where the teacher is minus infinity it has no opinion: both distributions are over the other classes, so that the
    student is free there. A row of nothing else adds nothing.

    Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", https://arxiv.org/abs/1503.02531.
    """
    silent = teacher == -torch.inf
    student = F.log_softmax((logits.float() / temperature).masked_fill(silent, -1e4), dim=1)  # no NaN from inf - inf
    wanted = F.log_softmax((teacher.float() / temperature).masked_fill(silent, -1e4), dim=1)
    return F.kl_div(student, wanted, reduction="batchmean", log_target=True) * temperature**2


def feature_distillation(features: Tensor, teacher: Tensor, taught: Tensor) -> Tensor:
    """Mean squared error between the cells of two grids, each of the teacher's cells normalised.

    So 1 means that nothing was learned. A grid of another size is brought to the student's by averaging. After Romero
    et al. 2015, "FitNets", https://arxiv.org/abs/1412.6550.

    Args:
        features: The student's grid, projected to the teacher's width, (B, D, G, G).
        teacher: The teacher's grid (B, D, G', G').
        taught: bool (B,), whether the teacher says anything of the row.
    """
    height, width = features.shape[-2:]
    wanted = F.adaptive_avg_pool2d(teacher.float(), (height, width)).movedim(1, 3)  # (B, G, G, D)
    wanted = F.layer_norm(wanted, wanted.shape[-1:])
    error = (features.float().movedim(1, 3) - wanted).square().mean(dim=(1, 2, 3))  # (B,)
    return (error * taught).sum() / taught.sum().clamp(min=1)


def word_loss(logits: Tensor, present: Tensor, *, negative_weight: float = 1.0) -> Tensor:
    """Binary cross-entropy over words, summed over words, mean over pictures: logits and present in [0, 1], (B, V)."""
    loss = F.binary_cross_entropy_with_logits(logits, present, reduction="none")
    weights = torch.where(present > 0, 1.0, negative_weight)
    return (loss * weights).sum(dim=1).mean()
