# SPDX-License-Identifier: MIT
"""The engines that a gateway's database is tried on, and a PostgreSQL for the tests of a module.

Each engine has faults and waits of its own; only a server can be stopped.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.postgresql import Server, listening, needs_postgresql


@pytest.fixture(scope="module", name="server")
def _server() -> Iterator[Server]:
    """Tests of the module may stop it."""
    with listening("fsync=off") as server:
        yield server


# These start gateways for each test, which CI has time for once.
ENGINES = ("sqlite", pytest.param("postgresql", marks=[needs_postgresql, pytest.mark.soak]))


@pytest.fixture(scope="module", params=ENGINES, name="engine_server")
def _engine_server(request: pytest.FixtureRequest) -> Server | None:
    """The server of a test that runs on each engine; None: the test is on SQLite."""
    if request.param == "sqlite":
        return None
    server: Server = request.getfixturevalue("server")
    return server
