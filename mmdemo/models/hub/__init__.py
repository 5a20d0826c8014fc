"""The client of a model hub: what is listed, downloaded, on disk and chosen."""

from __future__ import annotations

import re

HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")
"""A hub id: owner and name."""
