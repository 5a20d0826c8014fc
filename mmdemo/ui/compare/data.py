"""What the parts of the tab Compare share: the list of data, its events, and both models' names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from mmdemo.core.errors import MmdemoError
from mmdemo.ui.compare import work as compare_work
from mmdemo.ui.strings import Language, text
from mmdemo.ui.wiring import QUICK_EVENTS, Page

COMPARE_EVENTS: Mapping[str, Any] = {
    "concurrency_id": "compare",
    "concurrency_limit": 1,  # two would only share the cores, and the memory of four models
    "show_progress": "hidden",
    "api_visibility": "private",
}
"""Settings of page events that measure: a lane of their own, so that answers never wait for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataChoice:
    """A list of data, and the field for a folder that is typed."""

    chosen: gr.Dropdown
    typed: gr.Textbox

    @property
    def both(self) -> list[Any]:
        return [self.chosen, self.typed]


def data_choice(page: Page, label: str, name: str, *, info: str = "") -> DataChoice:
    """A list of data with a field for a folder below it."""
    chosen = gr.Dropdown(
        [(page.words("compare_folder_choice"), compare_work.FOLDER)],
        value=compare_work.FOLDER,
        label=page.words(label),
        info=page.words(info) if info else None,
        interactive=True,
        elem_id=f"compare-{name}",
    )
    typed = gr.Textbox(
        label=page.words("compare_folder"),
        info=page.words("compare_folder_info"),
        value="",
        max_length=500,
        elem_id=f"compare-{name}-folder",
    )

    def show_folder(value: str | None) -> gr.Textbox:
        return gr.Textbox(visible=value in (None, compare_work.FOLDER))

    api_name = f"page_compare_{name.replace('-', '_')}_folder"
    chosen.change(show_folder, chosen, typed, api_name=api_name, **QUICK_EVENTS)
    return DataChoice(chosen=chosen, typed=typed)


def data_update(
    task: str,
    models: tuple[str | None, ...],
    before: tuple[str | None, str | None],
    language: Language,
    *,
    old: bool = False,
) -> tuple[Any, Any]:
    """The list filled anew; what somebody chose stays, else it is what the newer model kept aside.

    Args:
        before: What was chosen, and what was typed.
        old: Of labels that may have been forgotten: never what the model kept aside of what it was taught.
    """
    own = compare_work.HELD + (models[1] or "")
    choices = [one for one in compare_work.data_choices(task, models, language) if not (old and one[1] == own)]
    values = [value for _, value in choices]
    chosen, typed = before
    of_others = bool(chosen and chosen.startswith(compare_work.HELD)) and not old
    stays = chosen in values and not of_others and (chosen != compare_work.FOLDER or bool((typed or "").strip()))
    value = chosen if stays else own if own in values else values[0]
    return gr.Dropdown(choices=choices, value=value), gr.Textbox(visible=value == compare_work.FOLDER)


def two(one: str | None, other: str | None, language: Language) -> tuple[str, str]:
    """Both names, or one sentence that one is missing."""
    if not one or not other:
        raise MmdemoError(text("compare_no_model", language), "", text("compare_no_model_try", language))
    return one, other
