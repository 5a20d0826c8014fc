"""The one check of every file that a request names: it was uploaded to this process, whatever door it comes through.

Gradio checks the path of a file only where the request calls it a file with the right ``meta`` field. Its picture
component also accepts a path without that field, and hands it to the program unchecked. So every request is checked
here, before gradio looks at it: a file has to be a regular file below this process's upload folder, links followed.
Everything else gets one fixed sentence, the same for every path, and nothing outside of the folder is touched.
"""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import processing_utils
from gradio.utils import get_upload_folder
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool

from mmdemo.ui.strings import text
from mmdemo.ui.wiring import RAW, language_in

MAX_PATH = 4096
"""Characters of a path."""

MAX_DEPTH = 12
"""Lists and objects inside each other, in one value of a request."""


class NotUploaded(Exception):
    """A request names something that is no file uploaded to this process."""


# ---------------------------------------------------------------- one path


def uploaded(path: object) -> str:
    """The file behind a path of a request, with links followed.

    The words of the path decide first, so that a path outside of the upload folder is never looked up: neither the
    answer nor the time it takes depends on what is there.

    Raises:
        NotUploaded: It is no regular file below the upload folder.
    """
    folder = get_upload_folder()
    root = os.path.realpath(folder)
    if not isinstance(path, str) or len(path) > MAX_PATH or "\0" in path or not Path(path).is_absolute():
        raise NotUploaded
    if ".." in path.replace("\\", "/").split("/") or not (_below(path, root) or _below(path, folder)):
        raise NotUploaded
    try:
        found = os.path.realpath(path)
        regular = _below(found, root) and stat.S_ISREG(os.lstat(found).st_mode)
    except (OSError, ValueError):  # ValueError: characters that no file name has
        raise NotUploaded from None
    if not regular:
        raise NotUploaded
    return found


def _below(path: str, folder: str) -> bool:
    """Whether a path lies in a folder, by its words alone."""
    name, place = (os.path.normcase(os.path.normpath(one)) for one in (path, folder))
    return name.startswith(place.rstrip(os.sep) + os.sep)


# ---------------------------------------------------------------- one request


def check_values(components: Sequence[Any], values: Sequence[Any]) -> list[Any]:
    """The values of a request with every file in them checked; those of ``gr.State`` are the server's own.

    Args:
        components: What takes the values, in the same order.
        values: As they came in JSON. Further ones that no component takes stay as they are.

    Returns:
        The values, where each file is ``path`` (real, below the upload folder), ``orig_name`` and ``meta``.

    Raises:
        NotUploaded: A file is none that was uploaded, or a value for a file is something else.
    """
    checked = [
        value
        if component.stateful
        else _checked(value, only_files=takes_files(component), folder=component.GRADIO_CACHE)
        for component, value in zip(components, values, strict=False)
    ]
    return [*checked, *values[len(checked) :]]


def _checked(value: Any, *, only_files: bool, folder: str, depth: int = 0) -> Any:
    """A value with its files checked. Objects with a path or an address are files, in whatever component they come."""
    if depth > MAX_DEPTH:
        raise NotUploaded
    if isinstance(value, dict):
        if "path" in value or "url" in value:
            return _file(value, folder)
        # what stands beside the files of one value (the caption of a picture in a gallery) is no file
        return {key: _checked(one, only_files=False, folder=folder, depth=depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_checked(one, only_files=only_files, folder=folder, depth=depth + 1) for one in value]
    if only_files and value is not None:
        raise NotUploaded
    return value


def _file(given: dict[str, Any], folder: str) -> dict[str, Any] | None:
    path, address, name = given.get("path"), given.get("url"), given.get("orig_name")
    if path is None:
        if not address:
            return None  # how gradio's own pages say that there is none
        path = _from_data(address, folder)
    return {
        "path": uploaded(path),
        "orig_name": name if isinstance(name, str) else None,
        "meta": {"_type": "gradio.FileData"},
    }


def _from_data(address: object, folder: str) -> str:
    """The file that a ``data:`` address holds, which is what programs send that have no file."""
    if not isinstance(address, str) or not address.startswith("data:"):
        raise NotUploaded
    try:
        return processing_utils.save_base64_to_cache(address, folder)
    except ValueError:  # no base64
        raise NotUploaded from None


# ---------------------------------------------------------------- the whole page


def check_requests(demo: gr.Blocks) -> None:
    """Check the files of every request that the page will get, and see that none of its doors leads around the check.

    Every door of gradio (page events by number, calls by name, MCP) ends in ``Blocks.process_api``.

    Raises:
        RuntimeError: A component or an event takes files in a way that is not checked.
    """
    refuse_unchecked(demo)
    answer = demo.process_api

    async def check_and_answer(block_fn: Any, inputs: list[Any], *more: Any, **options: Any) -> dict[str, Any]:
        if not options.get("iterator"):  # further parts of an answer that has begun: gradio takes no inputs then
            components = (demo.fns[block_fn] if isinstance(block_fn, int) else block_fn).inputs
            try:
                inputs = await _in_thread(components, inputs)
            except NotUploaded:
                words = text("not_uploaded", language_in(options.get("request")))
                raise gr.Error(words, print_exception=False) from None
        return await answer(block_fn, inputs, *more, **options)

    demo.process_api = check_and_answer  # type: ignore[method-assign]


async def _in_thread(components: Sequence[Any], values: Sequence[Any]) -> list[Any]:
    """As :func:`check_values`; where there may be files, not in the loop that serves everybody."""
    if not any(isinstance(value, dict | list | tuple) for value in values):
        return check_values(components, values)
    return await run_in_threadpool(check_values, components, values)


def refuse_unchecked(demo: gr.Blocks) -> None:
    """See that whatever takes files is a component that :func:`check_requests` covers.

    Raises:
        RuntimeError: Names the component and the event.
    """
    for fn in demo.fns.values():
        if fn.batch or fn.component_prop_inputs:
            raise RuntimeError(f"the event {fn.api_name} takes its inputs in a form whose files are not checked")
        for component in fn.inputs:
            if takes_files(component) and not getattr(component, RAW, False):
                raise RuntimeError(f"{component} of the event {fn.api_name} takes files and is not made by raw_file")
    for block in demo.blocks.values():
        if getattr(block, "server_fns", None):  # these answer at an address of their own
            raise RuntimeError(f"{block} has functions that any request can call, and their inputs are not checked")
    if demo.renderables:
        raise RuntimeError("components that are made later, by gr.render, are not checked")


def takes_files(component: Any) -> bool:
    """Whether a value of a component can name a file, by the data model that gradio gives it."""
    model = getattr(component, "data_model", None)
    return model is not None and _model_takes_files(model)


@functools.lru_cache
def _model_takes_files(model: Any) -> bool:
    return _names_a_path(TypeAdapter(model).json_schema())


def _names_a_path(schema: Any) -> bool:
    if isinstance(schema, dict):
        properties = schema.get("properties")
        if isinstance(properties, dict) and "path" in properties:
            return True
        return any(map(_names_a_path, schema.values()))
    return isinstance(schema, list) and any(map(_names_a_path, schema))
