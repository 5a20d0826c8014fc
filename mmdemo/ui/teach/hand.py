"""The tab Teach, data by hand: sets, classes, pictures, clips, sentences and answers, each on disk as it is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from mmdemo.core.tasks import ASK, CAPTION, CLASSIFY, SENTIMENT, spec_of
from mmdemo.ui import answers
from mmdemo.ui.runs import view as run_view
from mmdemo.ui.runs.tab import DOWNLOAD, PRESSED
from mmdemo.ui.strings import text
from mmdemo.ui.teach import actions as act
from mmdemo.ui.teach import camera
from mmdemo.ui.teach.data import DataPanel, Selection, folder_for_download, need_set, unchecked
from mmdemo.ui.wiring import DATA_EVENTS, QUICK_EVENTS, Page, language_in, notice, raw_file


@dataclass(frozen=True, slots=True, kw_only=True)
class ManualEntry:
    """The parts that are shown or hidden by task and source."""

    sets: gr.Row
    classes: gr.Column
    pictures: gr.Column
    clips: gr.Column
    captions: gr.Column
    questions: gr.Column
    lists: gr.Column

    def outputs(self) -> list[Any]:
        return [self.sets, self.classes, self.pictures, self.clips, self.captions, self.questions, self.lists]


def visible(task: str, source: str) -> list[bool]:
    """Which parts of :class:`ManualEntry` are shown."""
    hand = source == "hand"
    kinds = [task == one for one in (CLASSIFY, SENTIMENT, CAPTION, ASK)]
    return [hand, hand and spec_of(task).labelled, *(hand and kind for kind in kinds), source != "files"]


def build(page: Page, data: DataPanel) -> ManualEntry:
    """Lay out what data are made with, and the list of what is there."""
    words = page.words
    with gr.Row(elem_classes="mm-set") as sets:
        name = unchecked(gr.Dropdown([], label=words("teach_set"), elem_id="teach-set", scale=4, min_width=200))
        new = gr.Button(words("teach_new_set"), size="md", elem_id="teach-new", scale=1, min_width=120)
    with gr.Row(visible=False, elem_classes="mm-ask") as making:
        new_name = gr.Textbox(label=words("teach_new_name"), max_length=60, elem_id="teach-new-name")
        make = gr.Button(words("teach_make"), variant="primary", size="md", elem_id="teach-make")
        make_no = gr.Button(words("runs_cancel"), size="md", elem_id="teach-make-no")
    with gr.Column() as classes, gr.Row(elem_classes="mm-set"):
        new_class = gr.Textbox(
            label=words("teach_new_class"),
            placeholder=words("teach_new_class_placeholder"),
            elem_id="teach-new-class",
            scale=4,
            min_width=200,
        )
        add_class = gr.Button(words("teach_add_class"), size="md", elem_id="teach-add-class", scale=1, min_width=120)
    label = unchecked(gr.Radio([], label=words("teach_class"), visible=False, elem_id="teach-class"))
    with gr.Row(visible=False, elem_classes="mm-buttons") as class_tools:
        rename_class = gr.Button(words("teach_rename_class"), size="sm", elem_id="teach-rename-class")
        remove_class = gr.Button(words("teach_remove_class"), size="sm", elem_id="teach-remove-class")
    with gr.Row(visible=False, elem_classes="mm-ask") as class_naming:
        class_name = gr.Textbox(label=words("teach_class_name"), elem_id="teach-class-name")
        class_yes = gr.Button(words("runs_rename_yes"), size="md", elem_id="teach-class-yes")
        class_no = gr.Button(words("runs_cancel"), size="md", elem_id="teach-class-no")
    with gr.Row(visible=False, elem_classes="mm-ask") as class_removing:
        class_ask = gr.HTML()
        class_gone = gr.Button(words("runs_delete_yes"), variant="stop", size="md", elem_id="teach-class-gone")
        class_kept = gr.Button(words("runs_cancel"), size="md", elem_id="teach-class-kept")
    with gr.Column() as pictures, gr.Row(equal_height=True, elem_classes="mm-two"):
        with gr.Column(min_width=260):
            files = raw_file(
                gr.File(
                    label=words("teach_drop_pictures"), file_count="multiple", file_types=["image"], height=170,
                    elem_id="teach-files",
                )
            )  # fmt: skip
        with gr.Column(min_width=260, elem_classes="mm-camera"):
            gr.HTML(camera.VIDEO, js_on_load=None)
            snap = gr.Button(words("teach_snap"), variant="primary", visible=False, elem_id="teach-snap")
            switch = gr.Button(words("teach_camera"), size="md", elem_id="teach-camera")
    with gr.Column(visible=False) as clips, gr.Row(equal_height=True, elem_classes="mm-two"):
        clip_files = raw_file(
            gr.File(
                label=words("teach_drop_clips"), file_count="multiple", file_types=["audio"], height=170,
                elem_id="teach-clips",
            )
        )  # fmt: skip
        microphone = raw_file(
            gr.Audio(
                label=words("teach_record"), sources=["microphone"], type="filepath", elem_id="teach-record",
                buttons=[],
            )
        )  # fmt: skip
    with gr.Column(visible=False) as captions, gr.Row(equal_height=False, elem_classes="mm-two"):
        caption_picture = _picture(page, "teach-caption-picture")
        with gr.Column(min_width=260):
            caption = gr.Textbox(
                label=words("teach_caption"), placeholder=words("teach_caption_placeholder"), lines=3,
                elem_id="teach-caption",
            )  # fmt: skip
            add_caption = gr.Button(words("teach_add"), variant="primary", elem_id="teach-add-caption")
    with gr.Column(visible=False) as questions, gr.Row(equal_height=False, elem_classes="mm-two"):
        question_picture = _picture(page, "teach-question-picture")
        with gr.Column(min_width=260):
            question = gr.Textbox(
                label=words("question"), placeholder=words("question_placeholder"), elem_id="teach-question"
            )
            answer = gr.Textbox(
                label=words("teach_answer"), placeholder=words("teach_answer_placeholder"), elem_id="teach-answer"
            )
            add_question = gr.Button(words("teach_add"), variant="primary", elem_id="teach-add-question")
    with gr.Column() as lists:
        with (
            gr.Column(visible=False, elem_id="teach-item", elem_classes="mm-edit") as panel,
            gr.Row(equal_height=False),
        ):
            with gr.Column(min_width=200, scale=2):
                large = gr.HTML()
            with gr.Column(min_width=220, scale=3):
                item_label = unchecked(gr.Dropdown([], label=words("teach_class_of"), elem_id="teach-item-class"))
                item_caption = gr.Textbox(label=words("teach_caption"), lines=2, elem_id="teach-item-caption")
                item_question = gr.Textbox(label=words("question"), elem_id="teach-item-question")
                item_answer = gr.Textbox(label=words("teach_answer"), elem_id="teach-item-answer")
                with gr.Row(elem_classes="mm-buttons"):
                    item_delete = gr.Button(words("teach_item_delete"), size="sm", elem_id="teach-item-delete")
                    item_close = gr.Button(words("teach_item_close"), size="sm", elem_id="teach-item-close")
        listing = gr.HTML(elem_id="teach-list", js_on_load=PRESSED)
        more = gr.Button(words("teach_more"), size="sm", visible=False, elem_id="teach-more")
        with gr.Row(visible=False, elem_classes="mm-buttons") as tools:
            zip_it = gr.Button(words("teach_zip"), size="sm", elem_id="teach-zip")
            rename = gr.Button(words("teach_rename_set"), size="sm", elem_id="teach-rename")
            delete = gr.Button(words("teach_delete_set"), size="sm", elem_id="teach-delete")
        zipped = gr.DownloadButton(words("teach_zip"), elem_classes="mm-unseen", elem_id="teach-zipped")  # type: ignore[arg-type]
        with gr.Row(visible=False, elem_classes="mm-ask") as renaming:
            other_name = gr.Textbox(label=words("runs_new_name"), max_length=60, elem_id="teach-other-name")
            rename_yes = gr.Button(words("runs_rename_yes"), size="md", elem_id="teach-rename-yes")
            rename_no = gr.Button(words("runs_cancel"), size="md", elem_id="teach-rename-no")
        with gr.Row(visible=False, elem_classes="mm-ask") as deleting:
            delete_ask = gr.HTML()
            delete_yes = gr.Button(words("runs_delete_yes"), variant="stop", size="md", elem_id="teach-delete-yes")
            delete_no = gr.Button(words("runs_cancel"), size="md", elem_id="teach-delete-no")
    data.follow(
        name=name, label=label, listing=listing, more=more, tools=tools, class_tools=class_tools, panel=panel,
        large=large, fields=(item_label, item_caption, item_question, item_answer),
    )  # fmt: skip

    # ------------------------------------------------------------ rows that ask

    asks = [making, class_naming, class_removing, renaming, deleting]

    def rows(opened: gr.Row | None) -> list[Any]:
        return [gr.Row(visible=row is opened) for row in asks]

    def asking(button: gr.Button, row: gr.Row, api_name: str, *fills: tuple[Any, Any]) -> None:
        """A press opens one row and closes the others."""

        def show(request: gr.Request, *given: Any) -> list[Any]:
            at = data.at(request, *given)
            return [*rows(row), *(fill(at) for _, fill in fills)]

        button.click(show, data.given, [*asks, *(part for part, _ in fills)], api_name=api_name, **QUICK_EVENTS)

    def close() -> list[Any]:
        return rows(None)

    asking(new, making, "page_teach_new_ask", (new_name, lambda at: ""))
    asking(rename_class, class_naming, "page_teach_class_rename_ask", (class_name, lambda at: at.label))
    asking(remove_class, class_removing, "page_teach_class_remove_ask", (class_ask, _about_class))
    asking(rename, renaming, "page_teach_rename_ask", (other_name, lambda at: at.name))
    asking(delete, deleting, "page_teach_delete_ask", (delete_ask, _about_set))
    for number, button in enumerate((make_no, class_no, class_kept, rename_no, delete_no)):
        button.click(close, None, asks, api_name=f"page_teach_cancel_{number}", **QUICK_EVENTS)

    def acting(triggers: Any, action: Any, inputs: Sequence[Any], api_name: str) -> None:
        """The press that a row asked for; the row closes when it worked."""
        data.on(triggers, action, inputs, api_name=api_name, closes=asks)

    acting([make.click, new_name.submit], act.make, [new_name], "page_teach_make")
    acting([class_yes.click, class_name.submit], act.rename_class, [class_name], "page_teach_class_rename")
    acting([class_gone.click], act.remove_class, [], "page_teach_class_remove")
    acting([rename_yes.click, other_name.submit], act.rename, [other_name], "page_teach_rename")
    acting([delete_yes.click], act.delete, [], "page_teach_delete")

    # ------------------------------------------------------------ adding and editing

    on = data.on
    on([name.input], act.again, api_name="page_teach_set", choice=True)
    on([label.input], act.again, api_name="page_teach_class", choice=True)
    on(
        [add_class.click, new_class.submit],
        act.add_class,
        [new_class],
        api_name="page_teach_class_add",
        empties=[new_class],
    )
    on([files.upload], act.add_files, [files], api_name="page_teach_files", empties=[files], events=DATA_EVENTS)
    on([clip_files.upload], act.add_files, [clip_files], api_name="page_teach_clips", empties=[clip_files],
       events=DATA_EVENTS)  # fmt: skip
    on([microphone.stop_recording], act.add_files, [microphone], api_name="page_teach_record", empties=[microphone])
    snapped = gr.Textbox(visible=False)
    on([snap.click], act.snap, [snapped], api_name="page_teach_snap", js=camera.SNAP)
    switch.click(
        _switched, snapped, [data.said, snap, switch], api_name="page_teach_camera", js=camera.SWITCH, **QUICK_EVENTS
    )
    on(
        [add_caption.click],
        act.add_caption,
        [caption_picture, caption],
        api_name="page_teach_caption",
        empties=[caption_picture, caption],
    )
    on(
        [add_question.click, answer.submit],
        act.add_question,
        [question_picture, question, answer],
        api_name="page_teach_question",
        empties=[question, answer],
    )
    on([listing.click], act.choose, api_name="page_teach_choose").then(
        None, None, None, js=_IN_SIGHT, api_name="page_teach_in_sight", api_visibility="private"
    )
    on([more.click], act.more, api_name="page_teach_more")
    on([item_label.input], act.edit_class, [item_label], api_name="page_teach_edit_class")
    for box, action, what in (
        (item_caption, act.edit_caption, CAPTION),
        (item_question, act.edit_question, "question"),
        (item_answer, act.edit_answer, "answer"),
    ):
        on([box.blur, box.submit], action, [box], api_name=f"page_teach_edit_{what}")
    on([item_delete.click], act.remove, api_name="page_teach_remove")
    on([item_close.click], act.close, api_name="page_teach_close")

    def make_zip(request: gr.Request, *given: Any) -> tuple[Any, ...]:
        from mmdemo.studio import datasets

        try:
            at = data.at(request, *given)
            return "", str(datasets.export(need_set(at), folder_for_download(zipped.GRADIO_CACHE)))
        except Exception as error:
            return notice(error, language_in(request)), None

    zip_it.click(make_zip, data.given, [data.said, zipped], api_name="page_teach_zip", **DATA_EVENTS).success(
        None, None, None, js=DOWNLOAD.format(id="teach-zipped"), api_name="page_teach_take", api_visibility="private"
    )
    return ManualEntry(
        sets=sets, classes=classes, pictures=pictures, clips=clips, captions=captions, questions=questions, lists=lists
    )


_IN_SIGHT = "() => document.getElementById('teach-item')?.scrollIntoView({block: 'nearest', behavior: 'smooth'})"


def _picture(page: Page, elem_id: str) -> gr.Image:
    return raw_file(
        gr.Image(
            label=page.words("picture"),
            sources=["upload", "webcam", "clipboard"],
            type="filepath",
            image_mode=None,
            height=240,
            placeholder=page.words("picture_placeholder"),  # type: ignore[arg-type]
            elem_id=elem_id,
            buttons=[],
            min_width=260,
        )
    )


def _about_class(at: Selection) -> str:
    return run_view.told(text("teach_class_ask", at.language, name=at.label))


def _about_set(at: Selection) -> str:
    return run_view.told(text("teach_delete_ask", at.language, name=at.name))


def _switched(what: str, request: gr.Request) -> tuple[Any, ...]:
    """What came of turning the camera on or off."""
    language = language_in(request)
    on = what == "on"
    said = "" if what in ("on", "off") else answers.trouble(text(f"teach_camera_{what}", language), language)
    key = "teach_camera_off" if on else "teach_camera"
    return said, gr.Button(visible=on), gr.Button(value=text(key, language))
