"""What docs/teaching.md says that teaching reaches: in a real browser, on the public data sets, for every task."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from mmdemo.core.settings import ROOT, data_root
from scripts import teach_figures
from tests.app_process import running_app
from tests.browser.conftest import WAIT

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (data_root() / "zeroshot_dev").is_dir(), reason="the public data sets are not beside this checkout"
    ),
]

LEAST = {"classify": 0.02, "sentiment": 0.5, "caption": 0.0, "ask": 0.8}
"""The low end of the interval by which the new model must be better."""


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("figures")
    (root / "checkpoints").mkdir()
    for shipped in (ROOT / "checkpoints").glob("*-base"):
        (root / "checkpoints" / shipped.name).symlink_to(shipped)
    return {
        "MMDEMO_CHECKPOINTS": str(root / "checkpoints"),
        "MMDEMO_DATASETS": str(root / "datasets"),
        "MMDEMO_CACHE": str(root / "cache"),
    }


@pytest.fixture(scope="module")
def address(env: dict[str, str], chromium: Browser) -> Iterator[str]:
    with running_app(env=env) as process:
        yield process.url


@pytest.mark.timeout(600)
@pytest.mark.parametrize("task", LEAST)
def test_teaching_makes_a_better_model(
    task: str, chromium: Browser, address: str, env: dict[str, str], tmp_path: Path
) -> None:
    teach_figures.MAKERS[task](data_root(), tmp_path)
    page = chromium.new_page(viewport={"width": 1300, "height": 1000})
    page.goto(address)
    page.wait_for_selector("#ask-picture", timeout=WAIT)

    seconds = teach_figures.teach(page, task, tmp_path / "taught", f"my-{task}")
    page.close()

    print(f"{task}: {seconds:.0f} s from the click to the new model in the page")
    command = [sys.executable, "-m", "mmdemo", "compare", f"{task}-base", f"my-{task}"]
    done = subprocess.run(
        [*command, "--data", str(tmp_path / "test"), "--json"],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["difference"]["low"] > LEAST[task]
