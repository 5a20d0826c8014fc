"""``merge``: a tuned public model as a whole one, for its library alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mmdemo.cli.measure import OneObject
from mmdemo.core.writing import json_text


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(merge)


def merge(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A checkpoint that was tuned from a public model: name or folder.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A folder that is made, in the library's layout.")],
    as_json: OneObject = False,
) -> int:
    """Fold what was learned into the base, and write a model that its library loads without this program."""
    from mmdemo.cli.terminal import say
    from mmdemo.models import registry
    from mmdemo.models.families.merge import merge as write

    folder = write(registry.find_any(model), out)
    if as_json:
        sys.stdout.write(json_text({"model": model, "folder": str(folder)}) + "\n")
    else:
        say(f"{folder} written")
    return 0
