# SPDX-License-Identifier: MIT
"""Two gateways that reach PostgreSQL through PgBouncer with session pooling, as the documentation says.

Only PgBouncer itself shows which settings it drops and what a session keeps.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import text

from ldapgw.store.engines import database_at
from tests.support.pgbouncer import needs_pgbouncer, pgbouncer
from tests.support.postgresql import needs_postgresql
from tests.support.site.cluster import ALICE, DATABASE, Cluster
from tests.support.site.running import wait_until

pytestmark = [needs_postgresql, needs_pgbouncer, pytest.mark.soak]

# The documentation has these settings of the role, because PgBouncer does not pass on the gateway's own.
SETTINGS = {
    "plan_cache_mode": "force_custom_plan",
    "statement_timeout": "10min",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "1min",
}


def test_gateways_behind_session_pooling(tmp_path: Path) -> None:
    """Every change is found, each read is of one snapshot, and the role's settings count in place of the gateway's."""
    from ldapgw.store.postgresql_connection import IDLE_SECONDS

    with ExitStack() as stack:
        cluster = stack.enter_context(closing(Cluster(tmp_path, 2)))
        for name, value in SETTINGS.items():
            cluster.server.execute(f"ALTER ROLE ldapgw SET {name} = '{value}'")
        url = stack.enter_context(pgbouncer(tmp_path / "pgbouncer", cluster.server, "session", "options"))
        cluster.reach_through(url)
        with cluster.running() as gateways:
            for _ in range(5):
                cluster.office.edit()
                assert cluster.office.site.ldapgw("sync", ALICE, "--wait").returncode == 0
                wait_until(cluster.all_find, "every gateway finds the change")
            database = database_at(url.set(database=DATABASE))
            with database.begin_read() as connection:
                assert connection.execute(text("SHOW transaction_isolation")).scalar_one() == "repeatable read"
                assert connection.execute(text("SHOW transaction_read_only")).scalar_one() == "on"
            with database.begin() as connection:
                shown = {name: connection.execute(text(f"SHOW {name}")).scalar_one() for name in SETTINGS}
            database.close()
            # A transaction bounds its idle time itself, because a gateway that was stopped must not keep its locks.
            assert shown == SETTINGS | {"idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s"}
            assert len(cluster.syncing()) == 1
            assert all("Traceback" not in one.said for one in gateways)
