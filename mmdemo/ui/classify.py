"""The tab Classify: any labels for one picture or several."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from mmdemo.core.errors import MmdemoError
from mmdemo.core.types import ClassifyRequest, ClassifyResult
from mmdemo.media.text import check_template
from mmdemo.serving import jobs
from mmdemo.serving.engine import Engine
from mmdemo.ui import answers, tables
from mmdemo.ui.cards import as_words
from mmdemo.ui.examples import CLASSIFY, EXAMPLES_DIR
from mmdemo.ui.ready_sets import READY_SETS
from mmdemo.ui.strings import Language, text
from mmdemo.ui.wiring import (
    MODEL_EVENTS,
    QUICK_EVENTS,
    STOP,
    Page,
    first_limit,
    in_words,
    language_in,
    learned_classes,
    notice,
    picture_in,
    picture_or_refuse,
    raw_file,
    stops,
)

MAX_PICTURES = 100
"""Pictures of one request on the page; on a shared page a fifth of it."""

SHOWN_CLASSES = 12
"""Classes of a model's own that the empty label box names."""

_EXPLAINED = 3  # leading labels that "where it looked" shows


@dataclass(frozen=True, slots=True, eq=False)  # gradio hashes it, and what it holds has no hash
class ClassifyState:
    """The answer on the page and what it was made from."""

    file: str
    labels: tuple[str, ...]
    template: str | None
    result: ClassifyResult

    @property
    def last(self) -> ClassifyResult:
        return self.result


def build(page: Page) -> None:
    """Lay out the tab and wire it."""
    words, engines = page.words, page.engines
    most = MAX_PICTURES // 5 if page.public else MAX_PICTURES
    classified = gr.State(None)
    gr.Markdown(words("classify_intro"), elem_classes="intro")
    with gr.Row(equal_height=False, elem_classes="bench"):
        with gr.Column(elem_classes="bring"):
            image = raw_file(
                gr.Image(
                    label=words("picture"),
                    sources=["upload", "webcam", "clipboard"],
                    type="filepath",
                    image_mode=None,
                    height=340,
                    placeholder=words("picture_placeholder"),  # type: ignore[arg-type]
                    elem_id="classify-picture",
                    buttons=["fullscreen"],
                )
            )
            labels = gr.Textbox(
                label=words("labels"),
                info=words("labels_info"),
                placeholder=words("labels_placeholder"),
                lines=2,
                max_lines=6,
                elem_id="classify-labels",
            )
            ready = gr.Dropdown(
                [(words(f"set_{key}"), key) for key in READY_SETS],
                value=None,
                label=words("ready_set"),
                elem_id="classify-ready",
            )
            button = gr.Button(words("classify_button"), variant="primary", size="lg", elem_id="classify-button")
            stop = gr.Button(words("stop"), elem_id="classify-stop", **STOP)
            with gr.Accordion(words("several"), open=False, elem_id="classify-several"):
                files = raw_file(
                    gr.File(
                        label=words("several_files"),
                        file_count="multiple",
                        file_types=["image"],
                        height=160,
                        elem_id="classify-files",
                    )
                )
            with gr.Accordion(words("fine_tuning_options"), open=False, elem_id="classify-options"):
                template = gr.Textbox(
                    label=words("template"),
                    info=words("template_info"),
                    placeholder=words("template_placeholder"),
                    max_length=200,
                    elem_id="classify-template",
                )
        with gr.Column(elem_classes="answer"):
            failure = gr.HTML(elem_id="classify-failure")
            answer = gr.HTML(answers.empty("classify_empty", "en"), elem_id="classify-answer", elem_classes="result")
            table = gr.Dataframe(
                headers=tables.headers("en"),
                datatype="str",
                label=words("table"),
                interactive=False,
                wrap=True,
                column_widths=["22%", "18%", "11%", "10%", "17%", "22%"],
                visible=False,
                elem_id="classify-table",
                buttons=[],
            )
            download = gr.DownloadButton(
                words("download_csv"),  # type: ignore[arg-type]
                visible=False,
                elem_id="classify-csv",
            )
            where = gr.Button(words("where_picture"), elem_id="classify-where", elem_classes="where")
            maps = gr.HTML(elem_id="classify-maps")
            if not page.public:
                from mmdemo.ui import corrections  # a shared page does not even import it

                corrections.build(page, "classify", classified)
        with gr.Column(elem_classes="try"):
            samples = gr.Dataset(
                components=[image, labels],
                samples=[[str(EXAMPLES_DIR / name), listed] for name, listed in CLASSIFY],
                label=words("examples"),
                headers=["picture", "text"],  # the head is not shown
                type="index",
                elem_id="classify-examples",
                elem_classes="examples",
            )

    def run(
        path: str | None,
        many: list[str] | None,
        listed: str,
        prompt: str,
        model: str | None,
        device: str,
        request: gr.Request,
    ) -> tuple[Any, ...]:
        language = language_in(request)
        try:
            engine = engines.on(device)
            if many:
                folder = Path(download.GRADIO_CACHE)
                return _several(
                    many, listed, prompt, model=model, engine=engine, most=most, folder=folder, language=language
                )
            names = jobs.labels_or_classes(listed, model, engine=engine)
            checked = check_template(prompt)
            picture = picture_or_refuse(path, language)
            result = jobs.classify(picture, names, template=checked, model=model, engine=engine)
            limit = first_limit(engine, "classify", result.model)
            shown = answers.classify(result, limit=limit, notes=picture.notes, language=language)
        except Exception as error:
            return notice(error, language), *(gr.skip() for _ in range(5))
        hidden = gr.Dataframe(visible=False), gr.DownloadButton(visible=False)
        return "", shown, *hidden, "", ClassifyState(path or "", names, checked, result)

    def clear(path: str | None, kept: ClassifyState | None, request: gr.Request) -> tuple[Any, ...]:
        if kept is not None and kept.file == path:
            return tuple(gr.skip() for _ in range(6))
        hidden = gr.Dataframe(visible=False), gr.DownloadButton(visible=False)
        return "", answers.empty("classify_empty", language_in(request)), *hidden, "", None

    def explain(path: str | None, device: str, kept: ClassifyState | None, request: gr.Request) -> tuple[Any, ...]:
        language = language_in(request)
        if kept is None or kept.file != path:
            return "", answers.trouble_free(text("nothing_to_explain", language))
        try:
            picture = picture_or_refuse(path, language)
            asking = ClassifyRequest(picture=picture, labels=kept.labels, template=kept.template)
            found = engines.on(device).explain("classify", asking, kept.result)
            return "", answers.maps_over_picture(picture, found[:_EXPLAINED], language=language)
        except Exception as error:
            return notice(error, language), gr.skip()

    def example(index: int) -> tuple[str, str, None]:
        name, listed = CLASSIFY[index]
        return str(EXAMPLES_DIR / name), listed, None

    def fill(key: str | None) -> str:
        return ", ".join(READY_SETS.get(key or "", ()))

    def show_classes(model: str | None, request: gr.Request) -> Any:
        learned = learned_classes(engines.default, model)
        if not learned:
            return gr.Textbox(placeholder=words("labels_placeholder"), info=words("labels_info"))
        language = language_in(request)
        some = ", ".join(learned[:SHOWN_CLASSES]) + (", …" if len(learned) > SHOWN_CLASSES else "")
        said = text(
            "labels_learned", language, model=as_words(model or ""), n=len(learned)
        )  # gradio shows Markdown there
        return gr.Textbox(placeholder=some, info=said)

    given = [image, files, labels, template, page.serving["classify"], page.device]
    shown = [failure, answer, table, download, maps, classified]
    clicked = button.click(run, given, shown, api_name="page_classify", **MODEL_EVENTS)
    tried = samples.click(
        example, samples, [image, labels, files], api_name="page_classify_example", **QUICK_EVENTS
    ).then(run, given, shown, api_name="page_classify_example_run", **MODEL_EVENTS)
    ready.input(fill, ready, labels, api_name="page_classify_set", **QUICK_EVENTS)
    image.change(clear, [image, classified], shown, api_name="page_classify_clear", **QUICK_EVENTS)
    changes = [page.serving["classify"].change, *(note.change for note in [page.notes.get("classify")] if note)]
    gr.on(changes, show_classes, page.serving["classify"], labels, api_name="page_classify_classes", **QUICK_EVENTS)
    looked = where.click(
        explain, [image, page.device, classified], [failure, maps], api_name="page_classify_where", **MODEL_EVENTS
    )
    stops(stop, "page_classify_stop", clicked, tried, looked)


def _several(
    many: Sequence[str],
    listed: str,
    prompt: str,
    *,
    model: str | None,
    engine: Engine,
    most: int,
    folder: Path,
    language: Language,
) -> tuple[Any, ...]:
    """All pictures with the same labels; one that cannot be used gives a row that says so."""
    names, checked = jobs.labels_or_classes(listed, model, engine=engine), check_template(prompt)
    if len(many) > most:
        raise MmdemoError(
            text("too_many_pictures", language),
            text("too_many_pictures_why", language, n=len(many), limit=most),
            text("too_many_pictures_try", language),
        )
    started = time.perf_counter()
    rows = []
    for path in many:
        name = Path(path).name
        try:
            result = jobs.classify(picture_in(path), names, template=checked, model=model, engine=engine)
            rows.append(tables.LabelTableRow(name, result))
        except MmdemoError as error:
            rows.append(tables.LabelTableRow(name, None, in_words(error, language)))
    seconds = answers.duration(time.perf_counter() - started, language)
    done = answers.trouble_free(text("several_done", language, n=len(rows), seconds=seconds))
    file = tables.write_csv(rows, folder)  # where gradio keeps what it serves, and deletes it in time
    shown = gr.Dataframe(value=tables.shown_rows(rows, language), headers=tables.headers(language), visible=True)
    return "", done, shown, gr.DownloadButton(value=str(file), visible=True), "", None
