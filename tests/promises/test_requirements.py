"""What is installed: floors with the known security fixes, nothing used that is not stated, one tested set."""

from __future__ import annotations

import ast
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]

SAFE = {
    "gradio": "6.31",
    "starlette": "1.3.1",
    "pillow": "12.3",
    "brotli": "1.2.1",
    "python-multipart": "0.0.30",
    "mcp": "1.28.1",
    "torch": "2.10",
    "transformers": "5.0",
    "orjson": "3.11.6",
    "jinja2": "3.1.6",
    "h11": "0.16",
    "filelock": "3.20.3",
}
"""Oldest releases with the fixes named in requirements.txt; a scanner without advisories would find nothing to say."""

IMPORT_TO_PACKAGE = {
    "PIL": "pillow",
    "open_clip": "open_clip_torch",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
OWN = {"mmdemo", "app", "tests", "scripts"}
FOLLOWS = {
    "gradio_client": "gradio",
    "fastapi": "gradio",
    "uvicorn": "gradio",
    "httpx": "gradio",
    "packaging": "gradio",
    "pandas": "gradio",
    "click": "gradio",
    "psutil": "accelerate",
    "scipy": "scikit-learn",
    "tqdm": "transformers",
    "yaml": "gradio",
}
"""Imports whose package another stated one cannot do without."""


def _stated(name: str) -> dict[str, Requirement]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line.split("#")[0].strip()) for line in lines if line.split("#")[0].strip()]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def _floor(requirement: Requirement) -> Version:
    return max(Version(part.version) for part in requirement.specifier if part.operator == ">=")


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_line_has_a_floor_and_a_ceiling_and_fits_what_is_installed(name: str) -> None:
    for package, requirement in _stated(name).items():
        assert {part.operator for part in requirement.specifier} == {">=", "<"}, package
        assert requirement.specifier.contains(metadata.version(package)), package


@pytest.mark.parametrize(("package", "version"), SAFE.items())
def test_floor_has_the_known_fixes(package: str, version: str) -> None:
    assert _floor(_stated("requirements.txt")[package]) >= Version(version)


def test_lock_is_exact_and_within_the_ranges() -> None:
    lock = _stated("requirements.lock")
    for package, requirement in lock.items():
        assert [part.operator for part in requirement.specifier] == ["=="], package
    for name in ("requirements.txt", "requirements-dev.txt"):
        for package, requirement in _stated(name).items():
            (exact,) = lock[package].specifier
            assert requirement.specifier.contains(exact.version), package


def _imports(*folders: str) -> dict[str, str]:
    """Top-level names of all imported packages that are neither ours nor the standard library's, with one user each."""
    found: dict[str, str] = {}
    for folder in folders:
        path = ROOT / folder
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module:
                    names = [node.module]
                else:
                    continue
                for name in names:
                    if not (file.parent / f"{name}.py").exists():  # one script may use another
                        found.setdefault(name.split(".")[0], str(file.relative_to(ROOT)))
    return {name: user for name, user in found.items() if name not in sys.stdlib_module_names and name not in OWN}


def _unstated(imports: dict[str, str], stated: dict[str, Requirement]) -> dict[str, str]:
    missing = {}
    for name, user in imports.items():
        package = canonicalize_name(IMPORT_TO_PACKAGE.get(name, name))
        if package not in stated and FOLLOWS.get(name) not in stated:
            missing[name] = user
    return missing


def test_everything_the_program_imports_is_stated() -> None:
    assert _unstated(_imports("mmdemo", "app.py"), _stated("requirements.txt")) == {}


def test_everything_tests_and_scripts_import_is_stated() -> None:
    stated = _stated("requirements.txt") | _stated("requirements-dev.txt")
    assert _unstated(_imports("tests", "scripts"), stated) == {}
