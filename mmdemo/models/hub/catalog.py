"""Models of others that we recommend: the list in catalog.toml, read and checked. Nothing is asked of any hub."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from mmdemo.core.config import from_mapping
from mmdemo.core.errors import MmdemoError
from mmdemo.core.reading import Unreadable, parse_toml, read_text
from mmdemo.core.types import TASKS
from mmdemo.models.hub import HUB_ID

FILE = Path(__file__).with_name("catalog.toml")

TRANSCRIBER, TRANSCRIBER_FAMILY = "transcriber", "whisper"
"""Role and family of a model that hears words for another one; it serves no tab by itself."""

BYTES: Mapping[str, float] = {"fp32": 4, "bf16": 2, "int8": 1, "int4": 0.5}
"""Bytes of one weight; a little more in truth, for rounding leaves some tensors (embeddings, norms) as they were."""

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogEntry:
    """One of them.

    Attributes:
        id: On the hub.
        tasks: What it serves here, its natural task first.
        library: "open_clip" or "transformers".
        family: One of :data:`mmdemo.models.families.classes.FAMILIES`, by its name, "whisper" for a transcriber.
        parameters: Numbers in its weights.
        licence: As the hub names it.
        languages: Codes, or "multi" for many.
        good_at: One sentence.
        alias: What else people call it.
        role: "" or "transcriber".
        revision: Commit, or the name of one; "" is the main branch.
        size: Bytes that a download fetches; 0 where nobody has looked yet.
        figure: What its makers published, with its source.
        checked: Whether the figure was held against its source.
        calibrated: Whether somebody here fitted its scores to how often it is right.
        note: What else one should know before fetching it.
    """

    id: str
    tasks: tuple[str, ...]
    library: Literal["open_clip", "transformers"]
    family: str
    parameters: int
    licence: str
    languages: tuple[str, ...]
    good_at: str
    alias: str = ""
    role: Literal["", "transcriber"] = ""
    revision: str = ""
    size: int = 0
    figure: str = ""
    source: str = ""
    checked: bool = False
    calibrated: bool = False
    note: str = ""

    @property
    def pinned(self) -> bool:
        """Whether the revision is a commit, which always means the same files."""
        return bool(_COMMIT.fullmatch(self.revision))

    def memory(self, precision: str = "fp32") -> int:
        """Bytes of its weights in memory, in "fp32", "bf16", "int8" or "int4": :data:`BYTES` for each of them."""
        return round(self.parameters * BYTES[precision])


def catalog_entries(task: str | None = None) -> tuple[CatalogEntry, ...]:
    """The list, each task's from the smallest step up to the best.

    Args:
        task: Only what can serve this one; None is everything, transcribers too.
    """
    return tuple(one for one in _read() if task is None or (task in one.tasks and not one.role))


def transcribers() -> tuple[CatalogEntry, ...]:
    """What hears the words of speech, the smallest first."""
    return tuple(one for one in _read() if one.role == TRANSCRIBER)


def find(name: str) -> CatalogEntry | None:
    """The entry of a hub id or an alias, large and small letters alike; None where it is not listed."""
    wanted = name.strip().lower()
    return next((one for one in _read() if wanted and wanted in (one.id.lower(), one.alias.lower())), None)


def read(text: str) -> tuple[CatalogEntry, ...]:
    """The entries of a list, each held against the class of its family, which brings torch.

    Raises:
        MmdemoError: One of them is wrong, named by its id.
    """
    found = _parsed(text)
    for one in found:
        _check_family(one)
    return found


def _parsed(text: str) -> tuple[CatalogEntry, ...]:
    try:
        rows = parse_toml(text, name=FILE.name)["model"]
    except (Unreadable, KeyError) as error:
        raise MmdemoError("The list of public models cannot be read", str(error)) from None
    found = tuple(_entry(row) for row in rows)
    _once("id", (one.id for one in found))
    _once("alias", (one.alias for one in found if one.alias))
    return found


@cache
def _read() -> tuple[CatalogEntry, ...]:
    """The list that comes with the program; tests hold it against the families, so that reading it is quick."""
    return _parsed(read_text(FILE))


def _entry(row: Mapping[str, Any]) -> CatalogEntry:
    try:
        one = from_mapping(CatalogEntry, row)
    except TypeError as error:
        raise MmdemoError(f"{row.get('id', 'A model')} is listed wrongly", str(error)) from None
    _refuse(
        one,
        (not HUB_ID.fullmatch(one.id), "its id is not owner/name"),
        (one.parameters <= 0 or one.size < 0, "its parameters or its size are not numbers of something"),
        (not one.licence or not one.languages, "its licence or its languages are missing"),
        (not one.good_at.endswith("."), "what it is good at is no sentence"),
        (bool(one.figure) and not one.source.startswith("https://"), "its figure has no source"),
    )
    return one


def _check_family(one: CatalogEntry) -> None:
    """Hold the family, the library and the tasks of an entry against the class that serves it."""
    from mmdemo.models.families.classes import FAMILIES

    family = next((each for each in FAMILIES if each.family == one.family), None)
    library, served = ("transformers", TASKS) if family is None else (family.library, family.tasks)
    families = (TRANSCRIBER_FAMILY,) if one.role else tuple(each.family for each in FAMILIES)
    _refuse(
        one,
        (one.family not in families, f"its family {one.family!r} is none of {', '.join(families)}"),
        (one.library != library, "its library"),
        (not one.tasks or not set(one.tasks) <= set(served), f"its family serves {' and '.join(served)}"),
    )


def _refuse(one: CatalogEntry, *faults: tuple[bool, str]) -> None:
    """Raises MmdemoError with the first fault that there is."""
    for there, why in faults:
        if there:
            raise MmdemoError(f"{one.id} is listed wrongly", why)


def _once(what: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value.lower() in seen:
            raise MmdemoError(f"{value} is listed wrongly", f"the {what} stands there twice")
        seen.add(value.lower())
