"""The page's own Blocks: an input that no event can take is one line in the log, not a traceback."""

from __future__ import annotations

import logging
from typing import Any

import gradio as gr

from mmdemo.ui.web.faults import one_line

log = logging.getLogger("mmdemo.ui")


class ServedBlocks(gr.Blocks):
    """Blocks whose failures reach the visitor as one sentence; gradio would print each with its traceback."""

    async def process_api(self, block_fn: Any, *args: Any, **kwargs: Any) -> Any:
        """Run one event.

        Raises:
            gr.Error: The event refused, or failed; never printed.
        """
        try:
            return await super().process_api(block_fn, *args, **kwargs)
        except gr.Error as error:
            if error.print_exception:
                log.warning("%s refused: %s", _name(block_fn), one_line(error))
            error.print_exception = False
            raise
        except Exception as error:
            log.warning("%s could not use what it was given: %s", _name(block_fn), one_line(error))
            log.debug("where it failed", exc_info=error)
            raise gr.Error(_why(block_fn, args, kwargs), print_exception=False) from error


def _why(block_fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """A request that a program wrote by hand most often lacks a value: it is told how many there should be."""
    inputs = kwargs.get("inputs", args[0] if args else ())
    needed, given = len(block_fn.inputs), len(inputs) if isinstance(inputs, list) else 0
    if given == needed or not block_fn.api_name:
        return "This input cannot be used."
    return f"{block_fn.api_name} takes {needed} values and got {given}: /gradio_api/info lists them."


def _name(block_fn: Any) -> str:
    return str(getattr(block_fn, "api_name", None) or getattr(block_fn, "_id", block_fn))
