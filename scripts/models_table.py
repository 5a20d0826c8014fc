"""Print the table of public models from mmdemo/models/hub/catalog.toml.

python scripts/models_table.py           # print it
python scripts/models_table.py --write   # put it into docs/models.md
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # mmdemo is used from its checkout

from mmdemo.core.types import TASKS  # noqa: E402
from mmdemo.models.hub.catalog import CatalogEntry, catalog_entries, transcribers  # noqa: E402

REGION = re.compile(r"(<!-- models:[^\n]*-->\n).*?(<!-- /models -->)", flags=re.DOTALL)
HEAD = (
    "| model | good at | to fetch | memory fp32 / bf16 / int8 | licence | published figure |\n|---|---|---|---|---|---|"
)


def row(one: CatalogEntry) -> str:
    """A model's row; figures that were not held against their source are marked."""
    memory = " / ".join(size(one.memory(precision)) for precision in ("fp32", "bf16", "int8"))
    figure = f"{one.figure}{'' if one.checked else ' *'} ({one.source.removeprefix('https://')})" if one.figure else "–"
    note = f" {one.note}" if one.note else ""
    name = f"`{one.id}`" + (f" ({one.alias})" if one.alias else "")
    return f"| {name} | {one.good_at}{note} | {size(one.size)} | {memory} | {one.licence} | {figure} |"


def size(count: int) -> str:
    """Bytes, short."""
    if not count:
        return "?"
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def parts() -> Iterator[str]:
    """A heading and a table for each task, then what hears words."""
    for task in TASKS:
        natural = [one for one in catalog_entries(task) if one.tasks[0] == task]
        also = [f"`{one.id}`" for one in catalog_entries(task) if one.tasks[0] != task]
        yield "\n".join([f"### {task.capitalize()}", "", HEAD, *(row(one) for one in natural)])
        if also:
            yield f"Also: {', '.join(also)}."
    yield "\n".join(["### Words beside the emotion", "", HEAD, *(row(one) for one in transcribers())])
    yield "\\* written from the literature, not yet held against the page it names."


def main() -> None:
    """Print the table or write it."""
    parser = argparse.ArgumentParser(description="The table of public models, for docs/models.md.")
    parser.add_argument("--write", action="store_true", help="put it into docs/models.md instead of printing it")
    text = "\n\n".join(parts())
    if parser.parse_args().write:
        page = ROOT / "docs" / "models.md"
        old = page.read_text(encoding="utf-8")
        page.write_text(REGION.sub(lambda marks: f"{marks[1]}\n{text}\n\n{marks[2]}", old), encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
