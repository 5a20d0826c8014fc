"""The tab Teach, its data: which set is worked on, what is in it, and one way for everything that changes it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import ASK, CAPTION, CLASSIFY, SENTIMENT, spec_of
from mmdemo.core.types import TASKS
from mmdemo.ui import answers
from mmdemo.ui.runs import view as run_view
from mmdemo.ui.strings import Language, text
from mmdemo.ui.teach import lists as teach_lists
from mmdemo.ui.wiring import CHOICE, LIVE_EVENTS, AnyComponent, Page, language_in, notice, own_kind

if TYPE_CHECKING:
    from mmdemo.studio.datasets import HandmadeDataset

HAND, FILES, CORRECTIONS = "hand", "files", "corrections"
SOURCES = (HAND, FILES, CORRECTIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Where somebody is: the task, the set (its name, "" for none yet), the class, the item; and what was pressed."""

    task: str
    source: str
    name: str
    label: str
    shown: int
    selected: str
    pressed: str
    language: Language

    @property
    def sound(self) -> bool:
        return spec_of(self.task).has_sound


@dataclass(frozen=True, slots=True, kw_only=True)
class DataChange:
    """What an action changed of where somebody is; None leaves it. ``said`` is a sentence for them."""

    name: str | None = None
    label: str | None = None
    shown: int | None = None
    selected: str | None = None
    said: str = ""


def unchecked(component: AnyComponent) -> AnyComponent:
    """A list that hands over its value as it is.

    Gradio refuses a value that has left the choices meanwhile, with an error of its own; here the choices change
    with every press, and whoever uses a value looks whether it is still there.
    """
    return own_kind(component, preprocess=lambda _, payload: payload)


class DataPanel:
    """The parts of the section, and how they follow the disk."""

    def __init__(self, page: Page) -> None:
        words = page.words
        self.task = gr.Radio(
            [(words(f"tab_{task}"), task) for task in (CLASSIFY, SENTIMENT, CAPTION, ASK)],
            value=CLASSIFY,
            label=words("teach_task"),
            elem_id="teach-task",
        )
        self.source = gr.Radio(
            [(words(f"teach_source_{source}"), source) for source in SOURCES],
            value=HAND,
            label=words("teach_source"),
            elem_id="teach-source",
        )
        self.said = gr.HTML(elem_id="teach-said")
        self.shown = gr.State(teach_lists.PAGE_OF_ITEMS)
        self.selected = gr.State("")
        self.stamp = gr.State("")

    def follow(
        self,
        *,
        name: gr.Dropdown,
        label: gr.Radio,
        listing: gr.HTML,
        more: gr.Button,
        tools: gr.Row,
        class_tools: gr.Row,
        panel: gr.Column,
        large: gr.HTML,
        fields: Sequence[gr.Dropdown | gr.Textbox],
    ) -> None:
        """Say which components show what is on disk, once they are all laid out."""
        self.name, self.label, self.listing, self.more = name, label, listing, more
        self.tools, self.class_tools, self.panel, self.large, self.fields = tools, class_tools, panel, large, fields
        self.given = [self.task, self.source, name, label, self.shown, self.selected]
        self.outputs = [
            self.said, name, label, self.shown, self.selected, self.stamp, listing, more, tools, class_tools, panel,
            large, *fields,
        ]  # fmt: skip

    def at(self, request: gr.Request, *given: Any, pressed: str = "") -> Selection:
        """Where somebody is, by the values of :attr:`given`; sets and classes that are gone are none."""
        from mmdemo.studio import datasets

        task, source, name, label, shown, selected = given
        wanted = f"corrections-{task}" if source == CORRECTIONS else name
        names = [one.name for one in datasets.list_datasets(task)]
        found = wanted if wanted in names else ""
        language = language_in(request)
        return Selection(
            task=task,
            source=source,
            name=found,
            label=label or "",
            shown=shown,
            selected=selected,
            pressed=pressed,
            language=language,
        )

    def on(
        self,
        triggers: Any,
        action: Callable[..., DataChange | None],
        inputs: Sequence[Any] = (),
        *,
        api_name: str,
        empties: Sequence[Any] = (),
        closes: Sequence[gr.Row] = (),
        events: Any = LIVE_EVENTS,
        js: str | None = None,
        choice: bool = False,
    ) -> Any:
        """Wire an action: it is done, and everything that follows the disk is shown anew.

        Args:
            action: Called with :class:`Selection` and the values of ``inputs``; what it raises is said in one sentence.
            empties: Inputs to clear when it was done; a failure leaves them, so that nothing is lost.
            closes: Rows to hide when it was done; a failure leaves them open, to try again.
            choice: Of several in a row the last one counts; of anything else the first, until it is done.
        """
        count = len(self.given)

        def run(request: gr.Request, event: gr.EventData, *given: Any) -> list[Any]:
            language = language_in(request)
            told = event._data if event is not None and isinstance(event._data, dict) else {}
            try:
                at = self.at(request, *given[:count], pressed=str(told.get("run", "")))
                moved = action(at, *given[count:]) or DataChange()
                done = (*(None for _ in empties), *(gr.Row(visible=False) for _ in closes))
                return [*self.views(at, moved), *done]
            except Exception as error:
                skipped = len(self.outputs) - 1 + len(empties) + len(closes)
                return [notice(error, language), *(gr.skip() for _ in range(skipped))]

        settings = {**events, **(CHOICE if choice else {})}
        outputs = [*self.outputs, *empties, *closes]
        return gr.on(triggers, run, [*self.given, *inputs], outputs, api_name=api_name, js=js, **settings)

    def views(self, at: Selection, moved: DataChange) -> list[Any]:
        """Updates of :attr:`outputs` from the disk."""
        from mmdemo.studio import datasets

        there, damaged = datasets.survey(at.task)
        sets = [one for one in there if one.name != f"corrections-{at.task}"]
        wanted = at.name if moved.name is None else moved.name
        if at.source == HAND and wanted not in [one.name for one in sets]:
            wanted = newest_set(sets)
        chosen = datasets.read_dataset(wanted) if wanted else None
        said = run_view.told(moved.said) if moved.said else ""
        if damaged and not said:  # it is not in the list, and nobody else says why
            said = notice(damaged[0], at.language)
        name = gr.Dropdown(choices=[one.name for one in sets], value=wanted or None)
        if at.source == CORRECTIONS:
            name = gr.skip()
        if at.source == FILES:
            nothing = gr.Row(visible=False)
            hidden = [gr.Button(visible=False), nothing, nothing, gr.Column(visible=False), ""]
            rest = [at.shown, "", f"{FILES} {at.task}", "", *hidden, *(gr.skip() for _ in self.fields)]
            return [said, name, gr.Radio(visible=False), *rest]
        labelled = spec_of(at.task).labelled
        classes = list(chosen.classes) if chosen is not None and labelled else []
        label = at.label if moved.label is None else moved.label
        label = label if label in classes else next(iter(classes), "")
        counts = dict.fromkeys(classes, 0)
        found = list(chosen.items) if chosen is not None else []
        for one in found:
            counts[one.label] = counts.get(one.label, 0) + 1
        if labelled:
            found = [one for one in found if one.label == label]
        shown = moved.shown or at.shown
        selected = at.selected if moved.selected is None else moved.selected
        item = next((one for one in found if one.id == selected), None)
        served = Path(self.listing_cache())
        listing = ""
        if chosen is not None or at.source == CORRECTIONS:
            listing = teach_lists.items(
                found, sound=at.sound, shown=shown, selected=selected, served=served, language=at.language
            )
        if at.source == CORRECTIONS and chosen is None:
            listing = answers.trouble_free(text("teach_corrections_none", at.language))
        fields: list[Any] = [gr.skip() for _ in self.fields]
        if item is not None and selected != at.selected:
            values = (item.label, item.caption, item.question, item.answer)
            shows = (labelled, at.task == CAPTION, at.task == ASK, at.task == ASK)
            fields = [gr.update(value=value, visible=show) for value, show in zip(values, shows, strict=True)]
            fields[0]["choices"] = classes
        return [
            said,
            name,
            gr.Radio(choices=[(f"{one} ({counts[one]})", one) for one in classes], value=label or None,
                     visible=bool(classes)),
            shown,
            item.id if item is not None else "",
            stamp_of(chosen),
            listing,
            gr.Button(visible=len(found) > shown),
            gr.Row(visible=chosen is not None),
            gr.Row(visible=bool(classes)),
            gr.Column(visible=item is not None),
            teach_lists.one_item(item, sound=at.sound, served=served) if item is not None else "",
            *fields,
        ]  # fmt: skip

    def listing_cache(self) -> str:
        """A folder that gradio serves files from."""
        return str(self.large.GRADIO_CACHE)


def newest_set(sets: Sequence[HandmadeDataset]) -> str:
    """Name of the set that was changed last, "" where there is none: what a page opens with."""
    made = [one for one in sets if not one.name.startswith("corrections-")]
    return max(made, key=_changed).name if made else ""


def stamp_of(chosen: HandmadeDataset | None) -> str:
    """Another text whenever a set was changed."""
    if chosen is None:
        return ""
    newest = max((item.added for item in chosen.items), default=0)
    return f"{chosen.name}|{len(chosen.items)}|{len(chosen.classes)}|{newest}|{_changed(chosen)}"


def _changed(chosen: HandmadeDataset) -> float:
    try:
        return max((file.stat().st_mtime for file in chosen.folder.iterdir() if file.is_file()), default=0.0)
    except OSError:
        return 0.0


def own_set(at: Selection) -> str:
    """The set that is worked on; made, with a name of its own, when there is none yet."""
    from mmdemo.studio import datasets

    if at.name:
        return at.name
    taken = {folder.name for folder in datasets.list_folders()}
    name = spec_of(at.task).own_dataset
    number = 2
    while name in taken:
        name, number = f"{spec_of(at.task).own_dataset}-{number}", number + 1
    return datasets.make(name, at.task).name


def need_set(at: Selection) -> str:
    """The set that is worked on.

    Raises:
        MmdemoError: There is none.
    """
    if not at.name:
        raise MmdemoError(text("teach_no_set", at.language), "", text("teach_no_set_try", at.language))
    return at.name


def folder_for_download(cache: str) -> Path:
    """A new folder below what gradio serves and deletes in time."""
    Path(cache).mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=cache))


__all__ = ["TASKS", "DataChange", "DataPanel", "Selection", "folder_for_download", "need_set", "own_set", "stamp_of"]
