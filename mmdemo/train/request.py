"""What a person asks of a training: one record for command line, page and the run's folder; read without torch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from mmdemo.core.errors import MmdemoError
from mmdemo.core.settings import checkpoints_root
from mmdemo.train.folder import REQUEST, WATCHED, read_json, write_json

PATH, TEXT, FLAG = "path", "text", "flag"


def out_folder(name: str) -> Path:
    """A bare name goes under checkpoints/; a path is taken as it is."""
    path = Path(name).expanduser()
    return path if len(path.parts) > 1 or path.is_absolute() else checkpoints_root() / name


def absolute_path(path: Path | str) -> str:
    """A path that means the same from whatever folder; a name under checkpoints/ and a hub id stay as they are."""
    there = Path(path).expanduser()
    return str(there.absolute()) if there.exists() else str(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest:
    """A training as it is asked for; see ``python -m mmdemo train --help``.

    Each attribute but the task is an option of the command line, by the name and kind in its metadata.

    Attributes:
        data: Folders and tables.
        out: A name under checkpoints/, or a path; "" where the data are only looked at.
        config: File with settings; None is the task's own.
        base, teacher: Name under checkpoints/, path or hub id.
        overrides: Settings as ``train.epochs=2``.
        folds, fold: File with folds of speakers, and the number of the one that is held out.
        device: As ``--device`` takes it.
    """

    task: str
    data: tuple[Path, ...] = field(metadata={"option": "--data", "kind": PATH})
    out: str = field(default="", metadata={"option": "--out", "kind": TEXT})
    config: Path | None = field(default=None, metadata={"option": "--config", "kind": PATH})
    base: str | None = field(default=None, metadata={"option": "--base", "kind": PATH})
    teacher: str | None = field(default=None, metadata={"option": "--teacher", "kind": PATH})
    overrides: tuple[str, ...] = field(default=(), metadata={"option": "--set", "kind": TEXT})
    folds: Path | None = field(default=None, metadata={"option": "--folds", "kind": PATH})
    fold: int | None = field(default=None, metadata={"option": "--fold", "kind": TEXT})
    cross_validate: bool = field(default=False, metadata={"option": "--cross-validate", "kind": FLAG})
    allow_leaks: bool = field(default=False, metadata={"option": "--allow-leaks", "kind": FLAG})
    device: str = field(default="auto", metadata={"option": "--device", "kind": TEXT})

    def options(self) -> Iterator[tuple[str, str, str]]:
        """Option, value and kind of whatever differs from the default, in the order of the command line."""
        for one in fields(self)[1:]:
            value = getattr(self, one.name)
            if value == one.default:
                continue
            for item in value if isinstance(value, tuple) else (value,):
                yield one.metadata["option"], str(item), one.metadata["kind"]

    def to_argv(self, path: Callable[[str], str] = str) -> tuple[str, ...]:
        """What follows ``python -m mmdemo train``.

        Args:
            path: How a path is written; it is asked for bases and teachers too, which may be names or hub ids.
        """
        words = [self.task]
        for option, value, kind in self.options():
            written = path(value) if kind == PATH else value
            if kind == FLAG:
                words.append(option)
            else:  # what begins with a dash would be taken for another option
                words += [f"{option}={written}"] if written.startswith("-") else [option, written]
        return tuple(words)

    @classmethod
    def from_argv(cls, words: Sequence[str]) -> Self:
        """Read what :meth:`to_argv` wrote; the last value of an option that is given twice counts.

        Raises:
            MmdemoError: There is no task, an option is unknown, or it lacks its value.
        """
        if not words or words[0].startswith("-"):
            raise MmdemoError("This is no command for a training", "it names no task")
        known, found, rest = {one.metadata["option"]: one for one in fields(cls)[1:]}, dict[str, Any](), [*words[1:]]
        while rest:
            option, sign, value = rest.pop(0).partition("=")
            one = known.get(option)
            if one is None or (not sign and not rest and one.metadata["kind"] != FLAG):
                raise MmdemoError("This is no command for a training", f"{option!r} is unknown or lacks its value")
            if one.metadata["kind"] == FLAG:
                found[one.name] = True
                continue
            value = value if sign else rest.pop(0)
            found[one.name] = [*found.get(one.name, ()), value] if one.name in {"data", "overrides"} else value
        return cls.from_json({"task": words[0], **found})

    def to_json(self) -> dict[str, object]:
        """Plain values, defaults left out; :meth:`from_json` reads them."""
        found: dict[str, object] = {"task": self.task}
        for one in fields(self)[1:]:
            value = getattr(self, one.name)
            if value != one.default:
                found[one.name] = [*map(str, value)] if isinstance(value, tuple) else value
                if isinstance(value, Path):
                    found[one.name] = str(value)
        return found

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """What :meth:`to_json` wrote, of this version or another; fields of later versions are passed over.

        Raises:
            MmdemoError: A value is none of its field.
        """
        named = {one.name: value[one.name] for one in fields(cls) if one.name in value}
        try:
            for name in ("data", "overrides"):
                if name in named and not isinstance(named[name], list | tuple):
                    raise TypeError(f"{name} is no list")
            for name in ("config", "folds"):
                named[name] = Path(named[name]) if named.get(name) is not None else None
            named["data"] = tuple(Path(one) for one in named.get("data", ()))
            named["overrides"] = tuple(str(one) for one in named.get("overrides", ()))
            named["fold"] = int(named["fold"]) if named.get("fold") is not None else None
            if not all(isinstance(named.get(name, ""), str) for name in ("task", "out", "device")):
                raise TypeError("task, out and device are text")
            if not all(isinstance(named.get(name) or "", str) for name in ("base", "teacher")):
                raise TypeError("base and teacher are text")
            if not all(isinstance(named.get(name, False), bool) for name in ("cross_validate", "allow_leaks")):
                raise TypeError("cross_validate and allow_leaks are true or false")
            return cls(**named)
        except (TypeError, ValueError) as error:
            raise MmdemoError("This is no request for a training", str(error)) from None

    def absolute(self) -> Self:
        """The same with whole paths: it means the same from whatever folder."""
        return replace(
            self,
            data=tuple(folder.absolute() for folder in self.data),
            out=str(out_folder(self.out).absolute()) if self.out else "",
            config=Path(absolute_path(self.config)) if self.config is not None else None,
            base=absolute_path(self.base) if self.base is not None else None,
            teacher=absolute_path(self.teacher) if self.teacher is not None else None,
            folds=Path(absolute_path(self.folds)) if self.folds is not None else None,
        )


# ---------------------------------------------------------------- in the folder of a run


def write_request(
    request: TrainRequest, folder: Path, *, device: str, source: str = "command", resume: bool = False
) -> None:
    """Write ``request.json`` into the folder ``trainer/`` of a run: for this machine alone, never exported.

    What watches over a run has written it already. A run that is resumed keeps who started it, and when.

    Args:
        device: Where it trains.
        source: Who asked: "command" or "page".
    """
    out = folder.parent.absolute()
    if os.environ.get(WATCHED) == str(out):
        return
    before = read_json(folder / REQUEST) if resume else {}
    whole = replace(request.absolute(), out=str(out))
    write_json(
        {
            "request": whole.to_json(),
            "task": whole.task,
            "data": [str(one) for one in whole.data],
            "out": str(out),
            "device": device,
            "created": before.get("created") or time.time(),
            "source": before.get("source") or source,
        },
        folder / REQUEST,
    )


def read_request(told: Mapping[str, Any]) -> TrainRequest | None:
    """The request in the contents of a ``request.json``, also of versions that kept the words of a command line.

    None where there is none, or nothing that can be used.
    """
    asked, words = told.get("request"), told.get("arguments")
    try:
        if isinstance(asked, dict):
            return TrainRequest.from_json(asked)
        return TrainRequest.from_argv([str(word) for word in words]) if isinstance(words, list) and words else None
    except MmdemoError:
        return None
