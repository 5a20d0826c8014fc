"""``quantize``: a smaller copy of a checkpoint, with what it cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mmdemo.cli.jobs import Device
from mmdemo.cli.measure import OneObject

Precision = Literal["int8"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(quantize)


def quantize(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint: name, folder, zip or hub id.")],
    to: Annotated[Precision, typer.Option("--to", help="int8: matrices as 8-bit rows with a scale each.")] = "int8",
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="NAME", help="Default: MODEL-int8 under checkpoints/; a path is taken as it is."),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Measure both on this; may be repeated. Default for a shipped model: what its configuration names.",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Measure on so many examples of each.")] = None,
    device: Device = "auto",
    as_json: OneObject = False,
) -> int:
    """Write a smaller copy of a checkpoint, its cost measured in its card."""
    from mmdemo.train import quantize as command

    return command.main(model=model, to=to, out=out, data=data or [], limit=limit, device=device, json_out=as_json)
