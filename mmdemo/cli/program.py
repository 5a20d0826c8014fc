"""The program itself: one typer app from all groups of commands, its exit codes and its errors.

Exit codes: 0 all done; 1 done, but some input could not be used; 2 the command itself could not be carried out,
with one sentence on stderr; 130 interrupted.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import TyperException

from mmdemo import __version__
from mmdemo.cli import compare, download, jobs, measure, merge, models, quantize, runs, train
from mmdemo.core.errors import MmdemoError

INTERRUPTED = 130

app = typer.Typer(
    name="mmdemo",
    help="Ask about pictures, classify and caption them, recognise emotion in speech: small models, offline.",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
jobs.register(app)
models.register(app)
download.register(app)
measure.register(app)
train.register(app)
runs.register(app)
quantize.register(app)
compare.register(app)
merge.register(app)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mmdemo {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """Show the help when no command is named."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What follows ``python -m mmdemo``; None takes the process's own.

    Returns:
        The exit code, see the module's first lines.
    """
    _speak_utf8()
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # before the hub's library is imported
    try:
        code = app(
            args=None if arguments is None else list(arguments), prog_name="python -m mmdemo", standalone_mode=False
        )
    except MmdemoError as error:
        _complain(str(error))
        return 2
    except TyperException as error:
        _complain(_sentence(error.format_message()))
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # the reader (head, less) has seen enough; keep the interpreter from flushing into the closed pipe at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code if isinstance(code, int) else 0


def _speak_utf8() -> None:
    """Windows consoles and pipes default to a code page that has no names of files in other scripts."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and (stream.encoding or "").lower().replace("-", "") != "utf8":
            stream.reconfigure(encoding="utf-8", errors="replace")


def _sentence(message: str) -> str:
    text = " ".join(message.split()).replace("Value error, ", "")  # pydantic's words, not ours
    return text if not text or text.endswith((".", "?", "!")) else f"{text}."


def _complain(message: str) -> None:
    if message:
        sys.stderr.write(f"{message}\n")
