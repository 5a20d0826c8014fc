"""Models that would rather say nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mmdemo.models.families.generation import GeneratedSequence, TokenStreamer
from mmdemo.models.families.generative import GenerativeModel

EAGER = 12.0
"""Added to the logits of ends."""


def said_unless_ended(
    model: GenerativeModel, request: Any, *, beams: int, least: int
) -> tuple[Sequence[GeneratedSequence], list[tuple[int, ...]]]:
    """What a model says whose every likeliest token is an end, and what its library says after ``least`` tokens."""
    net: Any = model.net
    words = getattr(net, "text_decoder", net).get_output_embeddings()
    ends = sorted(model.ends)

    def eager(_: Any, __: Any, logits: Any) -> Any:
        logits = logits.clone()
        logits[..., ends] += EAGER
        return logits

    asked: dict[str, Any] = {}
    generate = net.generate

    def noted(**options: Any) -> Any:
        asked.update(options)
        return generate(**options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(net, "generate", noted)
        hook = words.register_forward_hook(eager)
        (ours,) = model._say([request], model._manner(request), TokenStreamer())
        asked.pop("logits_processor")
        asked.pop("stopping_criteria")
        theirs = generate(**asked, min_new_tokens=least, return_dict_in_generate=True).sequences.tolist()
        hook.remove()
    assert len(ours) == beams
    prompt = asked["input_ids"].shape[1] if model.family == "chat" else 1
    return ours, [tuple(row[prompt : prompt + len(said.tokens)]) for said, row in zip(ours, theirs, strict=True)]
