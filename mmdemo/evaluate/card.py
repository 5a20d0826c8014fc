"""Write a model card: Markdown with Hugging Face front matter, from what is known and what was measured."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mmdemo.core.config import Calibration, CardText
from mmdemo.core.tasks import TASK_SPECS
from mmdemo.core.types import Metric
from mmdemo.evaluate.captions import HOW

PIPELINES: dict[str, str] = {
    **{spec.name: spec.pipeline_tag for spec in TASK_SPECS.values()},
    "vision": "image-feature-extraction",
    "text": "sentence-similarity",
}
"""Task to the hub's name for it."""

METRIC_NAMES = {
    "accuracy": "accuracy",
    "open": "accuracy on open questions",
    "top1": "top-1 accuracy",
    "top5": "top-5 accuracy",
    "mean_class": "mean per-class accuracy",
    "r1": "recall at 1, text to picture",
    "r5": "recall at 5, text to picture",
    "r10": "recall at 10, text to picture",
    "bleu4": "BLEU-4",
    "cider": "CIDEr",
    "ua": "unweighted accuracy (mean recall)",
    "wa": "weighted accuracy",
    "macro_f1": "macro F1",
    "ece": "expected calibration error, 15 bins (lower is better)",
    "none_share": "share of 'none of these' on top (lower is better)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a card says of the checkpoint itself.

    Attributes:
        calibration: Temperature and threshold of "not sure", where the task has them.
        parameters, size: Count and bytes, with everything it refers to; 0 where not known.
        labels: Its labels; long lists are only counted.
    """

    calibration: Calibration | None = None
    parameters: int = 0
    size: int = 0
    labels: Sequence[str] = ()


NOT_KNOWN = Built()


def render_card(
    name: str,
    task: str,
    text: CardText,
    metrics: Sequence[Metric] = (),
    *,
    command: str = "",
    built: Built = NOT_KNOWN,
    notes: Sequence[str] = (),
) -> str:
    """Make the README.md of a checkpoint folder.

    Args:
        name: The checkpoint's id.
        task: One of :data:`PIPELINES`.
        text: What a person wrote: summary, licence, data with their terms, bases, limits.
        metrics: Measured figures, headline first.
        command: The command that made the checkpoint; "" where it is not known.
        built: What is known of the checkpoint itself.
        notes: How the figures were measured, one sentence each.

    Returns:
        Markdown that ends with a line break.
    """
    parts = [
        _front_matter(name, task, text, metrics),
        f"# {name}\n\n{text.summary or f'A model for the task {task}.'}",
        _section("Limits", _bullets(text.limits)),
        _section("Figures", _figures(metrics, notes)),
        _section("Not sure", _calibration(built.calibration)),
        _section("Trained on", _bullets(text.data)),
        _section("Starting from", _bullets(text.bases)),
        _section("What it answers with", _labels(built.labels)),
        _section("Size", _size(built.parameters, built.size)),
        _section("How it was made", f"```\n{command}\n```" if command else ""),
        _section("Licence", f"Weights: {text.licence}."),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(name: str, task: str, text: CardText, metrics: Sequence[Metric]) -> str:
    spdx = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]*", text.licence) is not None
    lines = [f"license: {text.licence.lower() if spdx else 'other'}"]
    if not spdx:
        lines.append(f"license_name: {_quoted(text.licence)}")
    lines += ["language:", *(f"- {_quoted(language)}" for language in text.language)]
    if task in PIPELINES:
        lines.append(f"pipeline_tag: {PIPELINES[task]}")
    lines += ["library_name: mmdemo", "tags:", "- mmdemo", f"- {task}"]
    if sets := [_slug(entry) for entry in text.data if _slug(entry)]:
        lines += ["datasets:", *(f"- {entry}" for entry in dict.fromkeys(sets))]
    if metrics:
        lines += ["metrics:", *(f"- {metric}" for metric in dict.fromkeys(metric.name for metric in metrics))]
        lines += ["model-index:", f"- name: {_quoted(name)}", "  results:"]
        for data in dict.fromkeys(metric.data for metric in metrics):
            lines += [
                f"  - task: {{type: {PIPELINES.get(task, 'other')}}}",
                f"    dataset: {{type: {_slug(data) or 'other'}, name: {_quoted(data)}}}",
                "    metrics:",
                *(
                    f"    - {{type: {metric.name}, value: {metric.value:.4f}, name: {_quoted(_said(metric.name))}}}"
                    for metric in metrics
                    if metric.data == data
                ),
            ]
    return "\n".join(("---", *lines, "---"))


def _figures(metrics: Sequence[Metric], notes: Sequence[str]) -> str:
    if not metrics:
        return "Not measured yet." + (f"\n\n{_bullets(notes)}" if notes else "")
    rows = [
        f"| {_cell(metric.data)} | {_said(metric.name)} | {metric.value:.3f} | {metric.low:.3f} to {metric.high:.3f} | "
        f"{metric.n} |"
        for metric in metrics
    ]
    table = ["| data | metric | value | 95 % interval | n |", "|---|---|---|---|---|", *rows]
    said = list(notes)
    if HOW not in said and any(metric.name in {"bleu4", "cider"} for metric in metrics):
        said.append(HOW)
    return "\n".join(table) + (f"\n\n{_bullets(said)}" if said else "")


def _calibration(calibration: Calibration | None) -> str:
    if calibration is None:
        return ""
    where = f" on {calibration.data}" if calibration.data else " on the validation data"
    kinds = [
        f"{getattr(calibration, field):.2f} {said}"
        for field, said in (("yes_no", "for questions to say yes or no to"), ("number", "for counts"))
        if getattr(calibration, field)
    ]
    temperatures = ", ".join([f"{calibration.temperature:.2f}", *kinds])
    return (
        f"Scores are divided by a temperature of {temperatures}, fitted{where}. "
        f"Below a score of {calibration.threshold:.2f} the answer is given as 'not sure'; "
        f"{calibration.kept:.0%} of the answers there were above it, and {calibration.right:.0%} of those were right."
    )


def _labels(labels: Sequence[str]) -> str:
    if not labels:
        return ""
    if len(labels) > 40:
        return f"{len(labels)} labels, in config.json."
    return ", ".join(labels) + "."


def _size(parameters: int, size: int) -> str:
    said = []
    if parameters:
        said.append(f"{parameters / 1e6:.1f} million parameters")
    if size:
        said.append(f"{size / 1e6:.1f} MB on disk")
    return f"{', '.join(said)}, with everything it refers to." if said else ""


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _said(metric: str) -> str:
    return METRIC_NAMES.get(metric, metric)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _slug(entry: str) -> str:
    """A short name: what stands before a colon or a bracket, in lower case with hyphens."""
    head = re.split(r"[:(,]", entry, maxsplit=1)[0]
    return re.sub(r"[^a-z0-9]+", "-", head.lower()).strip("-")


def _quoted(text: str) -> str:
    """A YAML string; every JSON string is one."""
    return json.dumps(text, ensure_ascii=False)
