"""What the tab Runs hands out: runs by their names, never what lies at a path that somebody sent."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from mmdemo.core.types import TASKS
from mmdemo.ui.page import build_words
from mmdemo.ui.runs import tab
from tests.unit.models.conftest import root, written

__all__ = ["root", "written"]


def test_a_download_is_of_a_run_and_nothing_is_written_elsewhere(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "served"))
    with gr.Blocks() as demo:
        studio = SimpleNamespace(
            opened=gr.State(""), tabs=gr.Tabs(), tab=gr.State("runs"), timer=gr.Timer(), banner=gr.HTML(), demo=demo
        )
        page: Any = SimpleNamespace(
            words=build_words(public=False),
            models={task: gr.Dropdown([]) for task in TASKS},
            asked={task: gr.State("") for task in TASKS},
        )
        tab.build(page, studio)  # type: ignore[arg-type]
    download = next(fn.fn for fn in demo.fns.values() if fn.api_name == "page_runs_download")
    assert download is not None
    before = sorted(root.parent.rglob("*.zip"))
    for name in (str(root / "sentiment-base"), f"../{root.name}/sentiment-base", "..", "nothing"):
        said, file = download(name, None)
        assert "There is no run" in said
        assert file is None
    assert sorted(root.parent.rglob("*.zip")) == before
