"""``import mmdemo`` and ``--help`` are light, and the public names are the documented ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import mmdemo

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "torchvision", "transformers", "gradio", "timm", "PIL", "scipy", "pandas", "soundfile")

PUBLIC = {
    "AskResult",
    "CaptionResult",
    "Card",
    "ClassifyResult",
    "HeatMap",
    "Metric",
    "MmdemoError",
    "Scored",
    "Segment",
    "SentimentResult",
    "__version__",
    "ask",
    "caption",
    "classify",
    "load",
    "sentiment",
}


def _modules_after(code: str) -> set[str]:
    """Names of all modules that a fresh interpreter has after running the code."""
    report = "import json, sys; sys.stderr.write('\\n' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def _heavy(modules: set[str], *allowed: str) -> set[str]:
    return {name for name in HEAVY if name in modules} - set(allowed)


def test_import_is_light() -> None:
    modules = _modules_after("import mmdemo")
    assert not _heavy(modules)
    assert "numpy" not in modules, "even numpy waits until it is needed"


def test_result_types_need_numpy_only() -> None:
    assert not _heavy(_modules_after("from mmdemo import AskResult, Card, HeatMap, MmdemoError"))


@pytest.mark.parametrize(
    "arguments", [["--help"], ["ask", "--help"], ["train", "--help"], ["quantize", "--help"], ["--version"]]
)
def test_help_is_light(arguments: list[str]) -> None:
    modules = _modules_after(f"from mmdemo.cli import main; assert main({arguments!r}) == 0")
    assert not _heavy(modules)


def test_wrong_usage_is_light() -> None:
    modules = _modules_after("from mmdemo.cli import main; assert main(['ask', 'cat.jpg']) == 2")
    assert "torch" not in modules


def test_public_names_are_the_documented_ones() -> None:
    assert set(mmdemo.__all__) == PUBLIC
    assert len(mmdemo.__all__) == len(PUBLIC)


def test_every_public_name_is_there() -> None:
    for name in PUBLIC:
        assert getattr(mmdemo, name) is not None
    assert set(dir(mmdemo)) >= PUBLIC


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'sing'"):
        _ = mmdemo.sing  # type: ignore[attr-defined]
