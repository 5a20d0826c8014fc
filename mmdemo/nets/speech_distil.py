"""A smaller speech encoder that learns to hear as a large one does, without labels.

Legend: ``B`` clips, ``M`` mel bins, ``F`` mel frames, ``T`` tokens of 20 ms, ``W`` width of the teacher.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdemo.nets.speech import EncoderLayer, LogMel, SpeechEncoder


class SpeechDistiller(nn.Module):
    """Teacher, student and the projections between their states.

    State for state, the student's output is projected to the teacher's width and compared with the teacher's, each
    token normalised (after Romero et al. 2015, "FitNets", https://arxiv.org/abs/1412.6550). A student of the teacher's
    width needs no projection and may start from a pruned part of it (:func:`prune`), any other starts from random
    weights. Projections and teacher are thrown away.
    """

    def __init__(self, student: SpeechEncoder, teacher: SpeechEncoder, *, mel_bins: int) -> None:
        super().__init__()
        if len(student.layers) > len(teacher.layers):
            raise ValueError(f"the student has {len(student.layers)} layers, the teacher {len(teacher.layers)}")
        self.mel = LogMel(bins=mel_bins)
        self.student, self.teacher = student, teacher
        self.teacher.requires_grad_(False)
        self.project = nn.ModuleList(
            nn.Identity() if student.width == teacher.width else nn.Linear(student.width, teacher.width)
            for _ in range(len(student.layers) + 1)
        )

    def forward(self, mel: Tensor, frames: Tensor) -> Tensor:
        """Each clip's mean squared error by state, (B, L + 1), of log-mel frames (B, M, F) and their counts (B,).

        Normalised tokens have variance 1, so an error of 1 means that nothing was learned.
        """
        with torch.no_grad():
            self.teacher.eval()
            wanted, valid = self.teacher(mel, frames)
        found, _ = self.student(mel, frames)
        weight = valid.float() / valid.sum(dim=1, keepdim=True)  # (B, T)
        errors = []
        for project, mine, theirs in zip(self.project, found, wanted, strict=False):
            target = F.layer_norm(theirs.float(), theirs.shape[-1:])
            error = (project(mine).float() - target).square().mean(dim=2)  # (B, T)
            errors.append((error * weight).sum(dim=1))
        return torch.stack(errors, dim=1)


def prune(teacher: SpeechEncoder, student: SpeechEncoder) -> None:
    """Start a student of the same width from the strongest heads and inner units of the teacher's first layers.

    After Sanh et al. 2019, "DistilBERT" (https://arxiv.org/abs/1910.01108), which takes whole layers, and Michel et al.
    2019, "Are Sixteen Heads Really Better than One?" (https://arxiv.org/abs/1905.10650). How strong a head or unit is,
    is the product of the norms of the weights that lead in and out of it.
    """
    with torch.no_grad():
        student.conv1.load_state_dict(teacher.conv1.state_dict())
        student.conv2.load_state_dict(teacher.conv2.state_dict())
        for small, large in zip(student.layers, teacher.layers, strict=False):
            _prune_layer(cast(EncoderLayer, large), cast(EncoderLayer, small))


def _prune_layer(large: EncoderLayer, small: EncoderLayer) -> None:
    mine, theirs = small.self_attn, large.self_attn
    wide = theirs.q_proj.out_features // theirs.heads
    value = theirs.v_proj.weight.view(theirs.heads, wide, -1).flatten(1).norm(dim=1)
    out = theirs.out_proj.weight.view(-1, theirs.heads, wide).transpose(0, 1).flatten(1).norm(dim=1)
    heads = (value * out).topk(mine.heads).indices.sort().values
    rows = (heads[:, None] * wide + torch.arange(wide)).flatten()
    for into, source in ((mine.q_proj, theirs.q_proj), (mine.k_proj, theirs.k_proj), (mine.v_proj, theirs.v_proj)):
        into.weight.copy_(source.weight[rows])
        if source.bias is not None:
            into.bias.copy_(source.bias[rows])
    mine.out_proj.weight.copy_(theirs.out_proj.weight[:, rows])
    mine.out_proj.bias.copy_(theirs.out_proj.bias)
    strength = large.fc1.weight.norm(dim=1) * large.fc2.weight.norm(dim=0)
    units = strength.topk(small.fc1.out_features).indices.sort().values
    small.fc1.weight.copy_(large.fc1.weight[units])
    small.fc1.bias.copy_(large.fc1.bias[units])
    small.fc2.weight.copy_(large.fc2.weight[:, units])
    small.fc2.bias.copy_(large.fc2.bias)
    small.self_attn_layer_norm.load_state_dict(large.self_attn_layer_norm.state_dict())
    small.final_layer_norm.load_state_dict(large.final_layer_norm.state_dict())
