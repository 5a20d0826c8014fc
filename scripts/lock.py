"""Write requirements.lock: the exact releases in this environment that the two requirements files lead to.

    .venv/bin/python scripts/lock.py

Run it after a change of the requirements, when all tests have passed. On Linux it also has the libraries that the
default torch brings for NVIDIA cards; the marker behind them lets other systems use the same file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
FILES = ("requirements.txt", "requirements-dev.txt")
LOCK = ROOT / "requirements.lock"
HEAD = f"""\
# The exact set that all tests passed with, on Python {sys.version_info.major}.{sys.version_info.minor}:
#   pip install -r requirements.lock
# Written by scripts/lock.py; the ranges are in {" and ".join(FILES)}.
"""


def stated(file: Path) -> Iterator[Requirement]:
    """Every requirement of a requirements file; comments and empty lines are left out."""
    for line in file.read_text(encoding="utf-8").splitlines():
        text = line.split("#")[0].strip()
        if text:
            yield Requirement(text)


def closure(requirements: list[Requirement]) -> dict[str, tuple[str, bool]]:
    """Everything installed that the requirements lead to.

    Returns:
        Canonical name to version and whether only Linux asks for it.
    """
    found: dict[str, tuple[str, bool]] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(requirement, False) for requirement in requirements]
    while waiting:
        requirement, linux_only = waiting.pop()
        name = canonicalize_name(requirement.name)
        linux_only = linux_only or 'platform_system == "Linux"' in str(requirement.marker or "")
        version = metadata.version(name)
        found[name] = (version, linux_only and found.get(name, (version, True))[1])
        for extra in ("", *requirement.extras):
            if (name, extra) in seen and linux_only:
                continue
            seen.add((name, extra))
            for text in metadata.requires(name) or []:
                needed = Requirement(text)
                wanted = needed.marker is None or needed.marker.evaluate({"extra": extra})
                known = canonicalize_name(needed.name) in found and not needed.extras
                if wanted and not known:
                    waiting.append((needed, linux_only))
    return found


def main() -> None:
    """Write the file."""
    everything = closure([requirement for file in FILES for requirement in stated(ROOT / file)])
    lines = [
        f"{name}=={version}" + ('; platform_system == "Linux"' if linux_only else "")
        for name, (version, linux_only) in sorted(everything.items())
    ]
    LOCK.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(lines)} releases written to {LOCK.name}")


if __name__ == "__main__":
    main()
