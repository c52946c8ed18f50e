# SPDX-License-Identifier: MIT
"""A site for each journey, with the sandbox running."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.running import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    try:
        site.start_sandbox()
        yield site
    finally:
        site.end_sandbox()
