"""A small speech encoder that learns to hear as a large one does, without labels.

Legend: ``B`` clips, ``M`` mel bins, ``F`` mel frames, ``T`` tokens of 20 ms, ``W`` width of the teacher.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdemo.nets.speech import LogMel, SpeechEncoder


class SpeechDistiller(nn.Module):
    """Teacher, student and the projections between their states.

    State for state, the student's output is projected to the teacher's width and compared with the teacher's, each
    token normalised (after Romero et al. 2015, "FitNets", https://arxiv.org/abs/1412.6550). The student starts from
    random weights; projections and teacher are thrown away.
    """

    def __init__(self, student: SpeechEncoder, teacher: SpeechEncoder, *, mel_bins: int) -> None:
        super().__init__()
        if len(student.layers) > len(teacher.layers):
            raise ValueError(f"the student has {len(student.layers)} layers, the teacher {len(teacher.layers)}")
        self.mel = LogMel(bins=mel_bins)
        self.student, self.teacher = student, teacher
        self.teacher.requires_grad_(False)
        self.project = nn.ModuleList(nn.Linear(student.width, teacher.width) for _ in range(len(student.layers) + 1))

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
