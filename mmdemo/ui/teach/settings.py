"""The tab Teach, its settings: defaults that fit the data until they are touched, the rest folded, the same as TOML."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import gradio as gr

from mmdemo.core.errors import MmdemoError
from mmdemo.ui.strings import Language, text
from mmdemo.ui.teach.data import unchecked
from mmdemo.ui.wiring import Page, own_model_ids, raw_file

if TYPE_CHECKING:
    from mmdemo.serving.engine import Engine
    from mmdemo.studio.preview import Preview
    from mmdemo.studio.settings import Choice, Value

TUNES = ("head", "last", "lora", "all")
DEFAULT_BLOCKS = 2


@dataclass(frozen=True, slots=True)
class Field:
    """One setting of ``[train]`` and the control that it has on the page."""

    name: str
    kind: Literal["count", "number", "switch", "choice", "text"]
    choices: tuple[str, ...] = ()


MAIN = (Field("epochs", "number"), Field("batch_size", "count"), Field("learning_rate", "number"))
"""Settings in sight, beside ``tune``."""

ADVANCED = (
    Field("seed", "count"),
    Field("patience", "count"),
    Field("keep_best", "switch"),
    Field("warmup", "number"),
    Field("schedule", "choice", ("cosine", "linear", "constant")),
    Field("weight_decay", "number"),
    Field("label_smoothing", "number"),
    Field("max_grad_norm", "number"),
    Field("grad_accum_steps", "count"),
    Field("ema_decay", "number"),
    Field("encoder_lr_scale", "number"),
    Field("layer_decay", "number"),
    Field("lora_rank", "count"),
    Field("lora_alpha", "number"),
    Field("precision", "choice", ("auto", "fp32", "bf16", "fp16")),
    Field("save_steps", "count"),
    Field("save_total_limit", "count"),
    Field("metric", "text"),
)
"""Settings under Advanced: all others but those of a teacher, which only the command line can name."""

FIELDS = (*MAIN, *ADVANCED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The controls. ``values`` are those of :data:`FIELDS` in their order."""

    out: gr.Textbox
    base: gr.Dropdown
    note: gr.HTML
    tune: gr.Radio
    blocks: gr.Number
    values: tuple[Any, ...]
    more: gr.Textbox
    leaks: gr.Checkbox
    suggested: gr.State
    load: gr.UploadButton
    save: gr.Button
    file: gr.DownloadButton
    read: gr.HTML

    @property
    def inputs(self) -> list[Any]:
        return [self.out, self.base, self.tune, self.blocks, *self.values, self.more, self.leaks]


def build(page: Page) -> Settings:
    """Lay out the controls; they are empty until a task and its data fill them."""
    words = page.words
    with gr.Row(elem_classes="mm-three-fields"):
        out = gr.Textbox(label=words("teach_out"), max_length=60, min_width=220, elem_id="teach-out")
        base = unchecked(gr.Dropdown([], label=words("teach_base"), min_width=220, elem_id="teach-base"))
    note = gr.HTML(elem_id="teach-base-note")
    with gr.Row(equal_height=False):
        tune = gr.Radio(
            [(words(f"teach_tune_{kind}"), kind) for kind in TUNES],
            value="head",
            label=words("teach_set_tune"),
            info=words("teach_tune_info"),
            elem_id="teach-tune",
            scale=4,
        )
        blocks = gr.Number(
            DEFAULT_BLOCKS, label=words("teach_blocks"), precision=0, minimum=1, maximum=99, visible=False,
            min_width=140, scale=1, elem_id="teach-blocks",
        )  # fmt: skip
    with gr.Row(elem_classes="mm-three-fields"):
        main = [_control(page, field) for field in MAIN]
    with gr.Accordion(words("teach_advanced"), open=False, elem_id="teach-advanced"):
        gr.Markdown(words("teach_advanced_info"), elem_classes="intro")
        with gr.Row(elem_classes="mm-fields"):
            others = [_control(page, field) for field in ADVANCED]
        more = gr.Textbox(
            label=words("teach_more_settings"), info=words("teach_more_settings_info"), lines=2,
            placeholder="data.least = 1", elem_id="teach-more-settings",
        )  # fmt: skip
        leaks = gr.Checkbox(label=words("teach_leaks"), info=words("teach_leaks_info"), elem_id="teach-leaks")
        with gr.Row(elem_classes="mm-buttons"):
            save = gr.Button(words("teach_save_toml"), size="md", elem_id="teach-save-toml")
            load = raw_file(
                gr.UploadButton(
                    words("teach_load_toml"),  # type: ignore[arg-type]
                    file_types=[".toml"],
                    size="md",
                    elem_id="teach-load-toml",
                )
            )
        read = gr.HTML(elem_id="teach-toml-read")
        file = gr.DownloadButton("toml", elem_classes="mm-unseen", elem_id="teach-toml")
    return Settings(
        out=out, base=base, note=note, tune=tune, blocks=blocks, values=(*main, *others), more=more, leaks=leaks,
        suggested=gr.State({}), load=load, save=save, file=file, read=read,
    )  # fmt: skip


def _control(page: Page, field: Field) -> Any:
    label, info = page.words(f"teach_set_{field.name}"), page.words(f"teach_set_{field.name}_info")
    fixed: dict[str, Any] = {"label": label, "info": info, "elem_id": f"teach-{field.name.replace('_', '-')}"}
    if field.kind == "switch":
        return gr.Checkbox(**fixed)
    if field.kind == "choice":
        return gr.Dropdown(list(field.choices), min_width=200, **fixed)
    if field.kind == "text":
        return gr.Textbox(min_width=200, **fixed)
    return gr.Number(None, precision=0 if field.kind == "count" else None, min_width=200, **fixed)


# ---------------------------------------------------------------- what fits


def fitting(task: str, preview: Preview | None, name: str, base: str = "") -> dict[str, Any]:
    """Values of all controls for a task, what to start from, and the size of the data: ``out``, ``tune``, fields."""
    from mmdemo.studio import settings

    overrides = settings.suggest(task, preview, base) if preview is not None and preview.good else {}
    return {"out": name, **shown_values(task, overrides, base)}


def starting_points(engine: Engine, task: str, language: Language) -> list[tuple[str, str]]:
    """What a training of a task can start from, as words and value: models of ours, then those that others made."""
    from mmdemo.studio.hub_bases import hub_starting_points

    found = [(name, name) for name in own_model_ids(engine, task)]
    for one in hub_starting_points(task):
        place = Path(one.id)
        key = "teach_base_folder" if place.is_absolute() else "teach_base_public"
        found.append((text(key, language, name=place.name if place.is_absolute() else one.id), one.id))
    return found


def is_public(task: str, base: str) -> bool:
    """Whether others made it, tuned since or not."""
    from mmdemo.studio.settings import hub_place

    return hub_place(task, base) is not None


def base_note(task: str, base: str, language: Language) -> str:
    """What is different with a model that others made, as HTML; "" with one of ours."""
    from mmdemo.models.families.factory import NOT_STATED
    from mmdemo.studio.hub_bases import hub_starting_point

    found = hub_starting_point(task, base)
    if found is None:
        return ""
    if found.tuned:
        words = text("teach_base_tuned_note", language, base=found.id)
    else:
        licence = found.licence if found.licence != NOT_STATED else ""
        words = text("teach_base_note", language, licence=licence or text("hub_not_stated", language))
    return f'<p class="mm mm-note">{escape(words)}</p>'


def tune_update(tune: str, *, public: bool, language: Language) -> Any:
    """What can be trained: the whole of a public model is not offered, for an adapter would be as large as it is.

    Args:
        tune: What is chosen; a file may have said that it be all.
    """
    kinds = [kind for kind in TUNES if kind != "all" or not public or tune == "all"]
    return gr.Radio(choices=[(text(f"teach_tune_{kind}", language), kind) for kind in kinds], value=tune)


def shown_values(task: str, overrides: Mapping[str, Value], base: str = "") -> dict[str, Any]:
    """What the controls show for a configuration.

    Raises:
        MmdemoError: A setting is unknown or cannot be.
    """
    from mmdemo.studio import settings

    train = settings.settings_of(task, overrides, base).train
    kind, _, blocks = train.tune.partition(":")
    others = [f"{key} = {_written(value)}" for key, value in overrides.items() if not _has_control(key)]
    return {
        "tune": kind,
        "blocks": int(blocks or DEFAULT_BLOCKS),
        **{field.name: getattr(train, field.name) for field in FIELDS},
        "more": "\n".join(others),
    }


def _has_control(key: str) -> bool:
    section, _, name = key.partition(".")
    return section == "train" and (name == "tune" or any(field.name == name for field in FIELDS))


def _written(value: Value) -> str:
    import tomli_w

    return tomli_w.dumps({"value": list(value) if isinstance(value, tuple) else value}).partition("=")[2].strip()


def untouched(
    values: Sequence[Any], wanted: Mapping[str, Any], suggested: Mapping[str, Any], *, always: bool = False
) -> list[Any]:
    """Updates of :attr:`Settings.inputs` without ``leaks``: what somebody has changed stays as it is.

    Args:
        values: What the controls hold, in the order of :attr:`Settings.inputs`.
        wanted: What they should hold.
        suggested: What was put there the last time.
        always: Also over what was changed.
    """
    updates: list[Any] = []
    for name, value in zip(names()[:-1], values, strict=False):
        touched = name in suggested and not _same(value, suggested[name])
        if name not in wanted or (touched and not always) or _same(value, wanted[name]):
            updates.append(gr.skip())
        else:
            updates.append(gr.update(value=wanted[name]))
    return updates


def names() -> list[str]:
    """Names of :attr:`Settings.inputs`."""
    return ["out", "base", "tune", "blocks", *(field.name for field in FIELDS), "more", "leaks"]


def all_touched() -> dict[str, Any]:
    """What :func:`untouched` is to be told was put there the last time, so that nothing is put there again."""
    return dict.fromkeys(names()[2:-1], _NOTHING)


_NOTHING = "\0"
"""What no control holds."""


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float) and not isinstance(one, bool):
        return math.isclose(one, other, rel_tol=1e-9)
    return bool((one if one is not None else "") == (other if other is not None else ""))


# ---------------------------------------------------------------- what was chosen


def chosen(task: str, data: Sequence[Path], values: Sequence[Any], *, device: str, language: Language) -> Choice:
    """The training that the controls describe.

    Args:
        values: Of :attr:`Settings.inputs`.

    Raises:
        MmdemoError: A line of the further settings does not read like one, or a value cannot be.
    """
    from mmdemo.studio import settings

    held = dict(zip(names(), values, strict=True))
    overrides: dict[str, Value] = {}
    tune = held["tune"] or "head"
    overrides["train.tune"] = f"last:{int(held['blocks'] or DEFAULT_BLOCKS)}" if tune == "last" else tune
    for field in FIELDS:
        value = held[field.name]
        if value is None and field.kind == "text":
            value = ""  # a text field that nobody has touched
        if value is None:
            what = text(f"teach_set_{field.name}", language)
            raise MmdemoError(text("teach_empty_field", language, name=what), "", text("teach_empty_try", language))
        if field.kind in ("number", "count") and float(value).is_integer():
            value = int(value)  # so that the command says 20 and not 20.0
        overrides[f"train.{field.name}"] = value.strip() if isinstance(value, str) else value
    for line in (held["more"] or "").splitlines():
        if line.strip() and not line.strip().startswith("#"):
            key, value = settings.parse_line(line)
            overrides[key] = value
    base = held["base"] or ""
    settings.settings_of(task, overrides, base)  # refuses what cannot be
    return settings.Choice(
        task=task,
        data=tuple(data),
        out=(held["out"] or "").strip(),
        base=base,
        overrides=settings.differences(task, overrides, base),
        device=device or "auto",
        allow_leaks=bool(held["leaks"]),
    )


def free_name(wanted: str) -> str:
    """A name for a model that nothing in the checkpoint folder has yet."""
    from mmdemo.core.settings import checkpoints_root

    stem = re.sub(r"[^\w.-]+", "-", wanted).strip("-.")[:50] or "my"
    stem = f"{stem}-model"
    name, number = stem, 2
    while (checkpoints_root() / name).exists():
        name, number = f"{stem}-{number}", number + 1
    return name
