"""``train``: a checkpoint from data, in the foreground."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mmdemo.cli.jobs import Device
from mmdemo.cli.measure import Data, Fold, Folds, OneObject
from mmdemo.core.errors import MmdemoError
from mmdemo.core.tasks import TaskName

if TYPE_CHECKING:
    from mmdemo.train.request import TrainRequest

Trainable = Literal[TaskName, "vision", "speech"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)


def train(
    task: Annotated[
        Trainable,
        typer.Argument(
            metavar="TASK", help="ask, classify, caption, sentiment; or vision, speech: encoders that these stand on."
        ),
    ],
    data: Data,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="NAME", help="A bare name goes under checkpoints/; a path is taken as it is."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Settings; default: in configs/, TASK.toml or hub.toml."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option("--base", metavar="ID|DIR", help="What to start from, ours or public; default: TASK-base."),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option("--teacher", metavar="ID|DIR", help="Learn from this model's answers too, not from labels alone."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, as train.epochs=2; may be repeated."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the same command was interrupted.")] = False,
    folds: Folds = None,
    fold: Fold = None,
    cross_validate: Annotated[
        bool, typer.Option("--cross-validate", help="Train and measure every fold of --folds; prints one report.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only look at the data: counts, splits, and everything wrong with them.")
    ] = False,
    allow_leaks: Annotated[
        bool, typer.Option("--allow-leaks", help="Train even if a file or a speaker is in two splits.")
    ] = False,
    queue: Annotated[
        bool, typer.Option("--queue", help="Wait while another run trains on the device, and for those before.")
    ] = False,
    device: Device = "auto",
    as_json: OneObject = False,
) -> int:
    """Train a model on your own data, in the foreground."""
    if (fold is not None or cross_validate) and folds is None:
        flag = "--cross-validate" if cross_validate else "--fold"
        raise MmdemoError(f"{flag} cannot work alone", "it takes its folds from a file", "Add --folds FILE")
    if folds is not None and fold is None and not cross_validate:
        raise MmdemoError("The fold is missing", "--folds has several", "Add --fold K or --cross-validate")
    if fold is not None and cross_validate:
        raise MmdemoError(
            "--fold and --cross-validate exclude each other", "one runs a fold, the other all", "Give one"
        )
    from mmdemo.train.request import TrainRequest

    request = TrainRequest(
        task=task,
        data=tuple(data),
        out=out or "",
        config=config,
        base=base,
        teacher=teacher,
        overrides=tuple(overrides or ()),
        folds=folds,
        fold=fold,
        cross_validate=cross_validate,
        allow_leaks=allow_leaks,
        device=device,
    )
    if check:
        from mmdemo.cli.check import check as look

        return look(request, as_json=as_json)
    if out is None:
        raise MmdemoError("Missing option '--out'", "", "Name the new model, or give --check to look at the data only")
    # before torch is imported: who waits for hours should cost little
    with _turn(request, wait=queue):
        from mmdemo.cli.progress import watch
        from mmdemo.train import processes, run

        if sys.argv[1:2] == ["train"]:  # this process is the training, and not a program that calls it
            processes.own_group()
        return run.main(request, resume=resume, json_out=as_json, watch=watch())


@contextmanager
def _turn(request: TrainRequest, *, wait: bool) -> Iterator[None]:
    """The device for this run alone, where that can be had; of several processes of a run the first one asks.

    A run that waits and has no folder yet is given one with its request, for all to see it.
    """
    from mmdemo.cli.terminal import say
    from mmdemo.runs import queue
    from mmdemo.train.request import out_folder

    if int(os.environ.get("RANK", "0")):
        yield
        return
    folder, device = out_folder(request.out).absolute(), request.device
    shown = request if wait and not request.cross_validate else None
    with queue.announced(folder, shown, device=device), queue.turn(device, folder, wait=wait, say=say):
        yield
