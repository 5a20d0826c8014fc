"""Model cards on the page."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mmdemo.core.types import Card, Metric
from mmdemo.ui.cards import card_markdown, size_text

CARD = Card(
    id="ask-base",
    task="ask",
    summary="Answers questions.",
    licence="CC-BY-NC-4.0",
    limits=("Poor at text",),
    parameters=9_000_000,
    size=21_500_000,
    metrics=(Metric(name="accuracy", value=0.5, low=0.4, high=0.6, n=100, data="coco/test"),),
    text="---\nlicense: other\n---\n# Title\n![badge](https://example.com/b.svg) ![own](local.png)\n<script>x</script>",
)


def test_figures_licence_and_limits_come_first() -> None:
    shown = card_markdown(CARD)

    assert shown.index("CC-BY-NC-4.0") < shown.index("Poor at text") < shown.index("0.400") < shown.index("# Title")
    assert "9.0 M parameters" in shown
    assert "21.5 MB" in shown


def test_nothing_is_loaded_from_elsewhere_and_no_markup_gets_through() -> None:
    shown = card_markdown(CARD)

    assert "license: other" not in shown
    assert "example.com" not in shown
    assert "<script" not in shown


@pytest.mark.parametrize(
    "picture",
    [
        "![a](HTTPS://elsewhere.example/x.png)",
        "![a][b]\n\n[b]: https://elsewhere.example/x.png",
        "![[a]](https://elsewhere.example/x.png)",
        "!!![a\\]](https://elsewhere.example/x.png)",
        "[![a](https:/elsewhere.example/x.png)](https://elsewhere.example)",
    ],
)
def test_no_way_of_writing_a_picture_has_it_fetched(picture: str) -> None:
    assert "![" not in card_markdown(replace(CARD, summary=picture, text=picture))


@pytest.mark.parametrize(
    "fence",
    [
        "```mermaid",
        "``` mermaid",
        "~~~~mermaid `x",
        "> ```mermaid",
        "- ```Mermaid {x}",
        "\r```mermaid\rgraph TD\r```\r",
    ],
)
def test_no_drawing_is_made_of_a_block_of_code(fence: str) -> None:
    card = f"before\n\n{fence}\nflowchart TD; A\n```\n\nafter, with ```code``` in it"
    shown = card_markdown(replace(CARD, summary=card, text=card))
    assert "mermaid" not in shown.lower()
    assert "flowchart TD; A" in shown
    assert "```code``` in it" in shown


def test_no_model_no_card() -> None:
    assert card_markdown(None) == ""


def test_sizes() -> None:
    assert size_text(12_300) == "12 kB"
