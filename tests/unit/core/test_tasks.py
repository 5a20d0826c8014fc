"""The description of each task agrees with what the rest of the package says of it."""

from __future__ import annotations

import pytest

from mmdemo.core.tasks import TASK_SPECS, TaskSpec, spec_of
from mmdemo.core.types import TASKS
from mmdemo.tasks import TASKS as TRAINABLE
from mmdemo.ui.api import ENDPOINTS


def test_every_served_task_is_described_once_in_the_order_of_the_tabs() -> None:
    assert tuple(TASK_SPECS) == TASKS == ENDPOINTS
    assert all(name == spec.name for name, spec in TASK_SPECS.items())
    assert set(TASK_SPECS) <= set(TRAINABLE)


@pytest.mark.parametrize("spec", TASK_SPECS.values(), ids=lambda spec: spec.name)
def test_a_description_fits_its_records(spec: TaskSpec) -> None:
    picture = "picture" in spec.request.__dataclass_fields__

    assert picture is not spec.has_sound
    assert spec.labelled is ("label" in spec.columns)
    assert spec.csv_columns[0] in {"question", "label", "caption", "emotion"}


def test_an_unknown_task_is_named() -> None:
    with pytest.raises(ValueError, match="'translate'"):
        spec_of("translate")
