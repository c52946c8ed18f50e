# SPDX-License-Identifier: MIT
"""A site for each journey, with the sandbox running."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.journeys.office import Office, opened
from tests.support.running import Site


@contextmanager
def new_site(folder: Path) -> Iterator[Site]:
    """A site with its sandbox, until the block ends."""
    if shutil.which("ldapsearch") is None and "CI" not in os.environ:
        pytest.skip("needs ldapsearch: sudo apt-get install ldap-utils")
    site = Site(folder)
    try:
        site.start_sandbox()
        yield site
    finally:
        site.end_sandbox()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with new_site(tmp_path) as site:
        yield site


@pytest.fixture(scope="package")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """The contacts of ``phones.json`` behind a real gateway."""
    with opened(tmp_path_factory.mktemp("office")) as office:
        yield office
