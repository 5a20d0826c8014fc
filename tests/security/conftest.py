"""The served pages that are attacked, one process for each profile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.app_process import AppProcess, running_app


@pytest.fixture(scope="session")
def shared_page() -> Iterator[AppProcess]:
    """The page for strangers."""
    with running_app(["--public"]) as app:
        yield app


@pytest.fixture(scope="session")
def own_page() -> Iterator[AppProcess]:
    """The page of one's own."""
    with running_app() as app:
        yield app
