"""Model cards: front matter that YAML reads, figures that are there, nothing where nothing is known."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from mmdemo.core.config import Calibration, CardText
from mmdemo.core.types import Metric
from mmdemo.evaluate.card import PIPELINES, Built, render_card

TEXT = CardText(
    summary='Answers "questions" about photos: short ones.',
    licence="cc-by-nc-4.0",
    data=("Flickr8k: non-commercial research", "COCO (CC BY 4.0)"),
    bases=("timm/tf_efficientnet_lite2.in1k (Apache-2.0)",),
    limits=("Poor at counting.", "Everyday photos only."),
)
METRICS = (
    Metric(name="accuracy", value=0.4567, low=0.42, high=0.49, n=892, data="coco/test"),
    Metric(name="accuracy", value=0.25, low=0.24, high=0.26, n=5673, data="daquar/test"),
)


def front(card: str) -> dict[str, Any]:
    found = yaml.safe_load(card.split("---\n")[1])
    assert isinstance(found, dict)
    return found


def test_front_matter() -> None:
    found = front(render_card("ask-base", "ask", TEXT, METRICS))
    assert found["license"] == "cc-by-nc-4.0"
    assert found["pipeline_tag"] == "visual-question-answering"
    assert found["language"] == ["en"]
    assert found["datasets"] == ["flickr8k", "coco"]
    assert found["metrics"] == ["accuracy"]
    results = found["model-index"][0]["results"]
    assert [result["dataset"]["name"] for result in results] == ["coco/test", "daquar/test"]
    assert results[0]["metrics"][0]["value"] == pytest.approx(0.4567)


def test_a_licence_in_words_is_other_with_a_name() -> None:
    found = front(render_card("x", "sentiment", CardText(licence="CC BY-NC-SA 4.0: non-commercial")))
    assert found["license"] == "other"
    assert found["license_name"] == "CC BY-NC-SA 4.0: non-commercial"


@pytest.mark.parametrize("task", sorted(PIPELINES))
def test_every_task_has_a_readable_card(task: str) -> None:
    assert front(render_card('odd "name": #1', task, TEXT, METRICS))["pipeline_tag"] == PIPELINES[task]


def test_body() -> None:
    card = render_card(
        "ask-base",
        "ask",
        TEXT,
        METRICS,
        command="python -m mmdemo train ask",
        built=Built(
            calibration=Calibration(temperature=1.5, threshold=0.3, kept=0.6, right=0.8, data="coco/validation"),
            parameters=1_234_567,
            size=2_000_000,
            labels=["yes", "no"],
        ),
    )
    for wanted in (
        "# ask-base",
        "- Poor at counting.",
        "| coco/test | accuracy | 0.457 | 0.420 to 0.490 | 892 |",
        "temperature of 1.50, fitted on coco/validation",
        "60% of the answers",
        "python -m mmdemo train ask",
        "1.2 million parameters, 2.0 MB on disk",
        "yes, no.",
        "non-commercial research",
    ):
        assert wanted in card, wanted


def test_what_is_not_known_has_no_section() -> None:
    card = render_card("x", "ask", CardText())
    assert "Not measured yet." in card
    for absent in ("## Limits", "## Size", "## How it was made", "## Not sure", "model-index"):
        assert absent not in card


def test_caption_figures_say_how_they_were_made() -> None:
    metric = Metric(name="cider", value=0.5, low=0.4, high=0.6, n=9, data="x")
    assert "pycocoevalcap" in render_card("x", "caption", TEXT, [metric])
    assert "pycocoevalcap" not in render_card("x", "ask", TEXT, METRICS)


def test_a_bar_in_a_name_does_not_break_the_table() -> None:
    metric = Metric(name="accuracy", value=0.5, low=0.4, high=0.6, n=9, data="a|b")
    assert "| a\\|b |" in render_card("x", "ask", TEXT, [metric])
