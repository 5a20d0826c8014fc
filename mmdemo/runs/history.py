"""Runs that are over: another name, or none any more."""

from __future__ import annotations

import re
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import read_card_text
from mmdemo.core.settings import checkpoints_root
from mmdemo.models import folder as checkpoints
from mmdemo.models.registry import SHIPPED
from mmdemo.runs.reading import Run, list_runs, read_run
from mmdemo.train.folder import PLAN, REQUEST, TRAINER, read_json, write_json
from mmdemo.train.request import read_request

LONGEST = 60
"""Characters of a name."""

RESERVED = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})
"""Names that Windows keeps for itself."""


def check_name(name: str) -> None:
    """Raises MmdemoError where a run or a model cannot be called like this: letters, digits, - _ and . are allowed."""
    what = f"{name!r} cannot be the name of a run"
    if not name or not all(sign.isalnum() or sign in "-_." for sign in name):
        raise MmdemoError(what, "only letters, digits, - _ and . can be in it" if name else "it is empty")
    if name[0] in ".-" or name.endswith((".", ".part", ".old")):
        raise MmdemoError(what, "it must not begin with a dot or a hyphen, nor end with a dot, .part or .old")
    if len(name) > LONGEST:
        raise MmdemoError(what, f"it is longer than {LONGEST} characters")
    if name in SHIPPED or name.partition(".")[0].lower() in RESERVED:
        raise MmdemoError(what, "that name is kept for " + ("a shipped model" if name in SHIPPED else "the system"))


def rename(name: str, new: str) -> Run:
    """Give a run and its model another name; what says the name inside the folder follows.

    Raises:
        MmdemoError: It is shipped or running, others refer to it, or the new name is taken or cannot be one.
    """
    run = _over(name, "renamed")
    check_name(new)
    there = run.folder.with_name(new)
    if there.exists() and not (new.lower() == name.lower() and there.samefile(run.folder)):
        raise MmdemoError(f"{name} cannot be renamed", f"there is a {new} already", "Choose another name")
    try:
        run.folder.rename(there)
        try:
            _say_name(there, name, new)
        except OSError:
            there.rename(run.folder)  # what is refused has not happened by half
            with suppress(OSError):
                _say_name(run.folder, new, name)
            raise
    except OSError as error:
        raise MmdemoError(f"{name} cannot be renamed", error.strerror or str(error)) from None
    return read_run(new)


def delete(name: str) -> None:
    """Remove a run with its model and all that it left.

    Raises:
        MmdemoError: It is shipped or running, or others refer to it.
    """
    run = _over(name, "deleted")
    try:
        if run.folder.is_symlink():
            run.folder.unlink()  # what it points to is somebody else's
            return
        # out of sight in one step: half a model is never seen
        trash = run.folder.with_name(f".{name}.{time.time_ns()}.old")
        run.folder.rename(trash)
    except OSError as error:
        raise MmdemoError(f"{name} cannot be deleted", error.strerror or str(error)) from None
    for left in trash.parent.glob(".*.old"):  # and what an earlier time could not remove
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)


def _over(name: str, what: str) -> Run:
    """A run that may be touched."""
    if name in SHIPPED:
        raise MmdemoError(f"{name} cannot be {what}", "it comes with the program")
    run = read_run(name)
    if run.active:
        raise MmdemoError(f"{name} cannot be {what}", "it is running", "Stop it first")
    for other in sorted(checkpoints_root().glob("*/config.json")):
        if other.parent.name != name and name in _parts(other.parent):
            raise MmdemoError(f"{name} cannot be {what}", f"{other.parent.name} cannot be loaded without it")
    for one in list_runs():
        if one.active and one.base == name:
            raise MmdemoError(f"{name} cannot be {what}", f"{one.name} is being trained from it", "Wait for it")
    return run


def _parts(folder: Path) -> set[str]:
    try:
        parts = checkpoints.read_config(folder).parts.values()
    except MmdemoError:
        return set()
    return {part.name for part in parts if not (folder / "parts" / part.name).is_dir()}


def _say_name(folder: Path, old: str, new: str) -> None:
    """Card, figures, plan and request call the run by its new name."""
    readme, figures = folder / "README.md", folder / "metrics.json"
    if readme.is_file():
        text = read_card_text(readme)
        text = re.sub(rf"(?m)^(# |- name: \"){re.escape(old)}(\"?)$", rf"\g<1>{new}\g<2>", text)
        _write(readme, _said(text, old, new))
    for file in (figures, folder / TRAINER / PLAN):
        told = read_json(file)
        if isinstance(told.get("command"), str):
            write_json({**told, "command": _said(told["command"], old, new)}, file)
    file = folder / TRAINER / REQUEST
    told = read_json(file)
    request, out = read_request(told), str(folder.absolute())
    if request is not None:
        told.pop("arguments", None)
        told["request"] = replace(request, out=out).to_json()
    if told:
        write_json({**told, "out": out}, file)


def _said(text: str, old: str, new: str) -> str:
    return re.sub(rf"--out {re.escape(old)}(?=\s|$)", f"--out {new}", text)


def _write(file: Path, text: str) -> None:
    part = file.with_name(file.name + ".part")
    part.write_text(text, encoding="utf-8")
    with suppress(OSError):
        part.chmod(file.stat().st_mode & 0o777)
    part.replace(file)
