"""Ask a hub about the models in mmdemo/models/hub/catalog.toml, and write down what it says.

    python scripts/pin_models.py            fill in revisions that are no commits yet, and all sizes
    python scripts/pin_models.py --newest   the newest commit of the main branch for all, where it has safetensors
    python scripts/pin_models.py --check    only say what would change; exit code 1 where something would

Of each model only its small configuration files are fetched, into a folder that is removed afterwards. A model that
the hub refuses is told and left as it is; comments and the order of the list stay.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a script's own folder is on the path, the checkout is not

from mmdemo.core.errors import MmdemoError  # noqa: E402
from mmdemo.models.hub import catalog, download  # noqa: E402
from mmdemo.models.hub.catalog import CatalogEntry  # noqa: E402


def main(arguments: Sequence[str] | None = None, *, file: Path = catalog.FILE) -> int:
    """Run it; returns 0, 1 where ``--check`` finds something, 2 where a model was refused."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--newest", action="store_true", help="take the newest commits")
    parser.add_argument("--check", action="store_true", help="change nothing")
    chosen = parser.parse_args(arguments)
    text = before = file.read_text(encoding="utf-8")
    refused = 0
    for entry in catalog.read(text):
        try:
            revision, size = ask(entry, newest=chosen.newest)
        except MmdemoError as error:
            refused += 1
            print(error)
            continue
        if (revision, size) == (entry.revision, entry.size):
            print(f"{entry.id}: as listed")
            continue
        print(f"{entry.id}: revision {entry.revision or 'none'} -> {revision}, size {entry.size} -> {size}")
        text = changed(text, entry.id, revision=revision, size=size)
    catalog.read(text)  # what is written can be read
    if text != before and not chosen.check:
        file.write_text(text, encoding="utf-8")
    if refused:
        return 2
    return 1 if chosen.check and text != before else 0


def ask(entry: CatalogEntry, *, newest: bool) -> tuple[str, int]:
    """The commit of a listed model, and the bytes that a download would fetch.

    Raises:
        MmdemoError: The hub does not have it, or not as safetensors.
    """
    asked = entry.revision or "main"
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, {"HF_HOME": folder}):
        for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):  # what was fetched or pinned before is not to answer
            os.environ.pop(name, None)
        try:
            plan = download.plan(entry.id, "main" if newest else asked)
        except MmdemoError as error:
            if not newest:
                raise
            print(f"{entry.id}: its main branch will not do ({error})")
            plan = download.plan(entry.id, asked)
    if plan.layout is not None and plan.layout.family != entry.family:
        raise MmdemoError(f"{entry.id} is listed wrongly", f"it is {plan.layout.family}, not {entry.family}")
    return plan.commit, plan.total


def changed(text: str, name: str, *, revision: str, size: int) -> str:
    """The list with another revision and size of one model; every other character as it was."""
    start = text.index(f'id = "{name}"')
    end = text.find("[[model]]", start)
    entry = text[start : end if end >= 0 else len(text)]
    for field, value in (("revision", f'"{revision}"'), ("size", f"{size:_}")):
        entry, found = re.subn(rf"^{field} = .*$", f"{field} = {value}", entry, count=1, flags=re.MULTILINE)
        if not found:
            raise MmdemoError(f"{name} is listed wrongly", f"it has no line for its {field}")
    return text[:start] + entry + (text[end:] if end >= 0 else "")


if __name__ == "__main__":
    sys.exit(main())
