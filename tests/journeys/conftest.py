# SPDX-License-Identifier: MIT
"""A site for each journey, with the sandbox running."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.site.running import Site, new_site
from tests.support.site.tenants import Office, opened


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with new_site(tmp_path) as site:
        yield site


@pytest.fixture(scope="package")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """The contacts of ``phones.json`` behind a real gateway."""
    with opened(tmp_path_factory.mktemp("office")) as office:
        yield office
