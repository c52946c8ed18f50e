# SPDX-License-Identifier: MIT
"""A cold start of a gateway on PostgreSQL with a large book: what it reads, and what it does not build again.

How long it takes is measured by ``scripts/bench-cluster``.
"""

from __future__ import annotations

import shutil
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.directory.seed import alone, seed
from bench.directory.servers import Variant, gateway, knows
from bench.process import postgresql
from ldapgw.server.state_dir import KEY_FILE, LOGINS_FILE
from ldapgw.sync.book_cache import FOLDER
from tests.support.postgresql import needs_postgresql
from tests.support.site.running import fetch, wait_until

pytestmark = [needs_postgresql, pytest.mark.soak]

CONTACTS = 100_000
PATIENCE = 1800.0


def books(state: Path) -> dict[str, int]:
    """The cached books, each with the number of its file, which a book that is written again does not keep."""
    return {file.name: file.stat().st_ino for file in (state / FOLDER).glob("*.image")}


def readyz(home: Path) -> str:
    page = tomllib.loads((home / "ldapgw.toml").read_text())["web"]["public_url"]
    return fetch(f"{page}/readyz")[1].strip()


def test_a_start_with_the_books_of_another_gateway(tmp_path: Path) -> None:
    """Phones find everybody, and no book is built: also while PostgreSQL is away, from a snapshot of logins."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    state = second / "state"
    state.mkdir(mode=0o700, parents=True)
    made, is_right = alone(CONTACTS), knows(CONTACTS - 1)
    with postgresql() as (server, url):
        seed(first / "state", made, datetime.now(UTC).timestamp(), url)
        variant = Variant(database=url)
        with gateway(first, is_right, variant):
            wait_until(lambda: len(books(first / "state")) == len(made), "the books are cached", PATIENCE)
        shutil.copy2(first / "state" / KEY_FILE, state)
        shutil.copytree(first / "state" / FOLDER, state / FOLDER)
        copied = books(state)
        with gateway(second, is_right, variant):
            assert readyz(second) == "ready"
            wait_until((state / LOGINS_FILE).exists, "the snapshot of logins is written", PATIENCE)
        assert books(state) == copied
        server.stop()
        with gateway(second, is_right, variant):
            assert readyz(second) == "stale"
        assert books(state) == copied
        assert "Traceback" not in (second / "log").read_text()
