# SPDX-License-Identifier: MIT
"""PostgreSQL's own backup, as docs/how-to/postgresql.rst says: pg_dump, a new database, pg_restore, start."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cluster.cluster import DATABASE, Cluster
from tests.support.postgresql import needs_postgresql

pytestmark = [needs_postgresql, pytest.mark.soak]


def test_a_dump_is_restored_into_a_new_database(tmp_path: Path) -> None:
    """Phones find what the dump has, then the next sync brings what has changed since."""
    cluster = Cluster(tmp_path, 1)
    office, dump = cluster.office, str(tmp_path / "ldapgw.dump")
    run = cluster.server.run_program

    try:
        with cluster.running():
            office.edit()
            office.sync()
            run("pg_dump", "--format=custom", f"--file={dump}", DATABASE)
            dumped = office.now
            office.edit()
            office.sync()
        run("dropdb", DATABASE)
        run("createdb", "--owner", "ldapgw", "--encoding", "UTF8", "--template", "template0", DATABASE)
        run("pg_restore", "--exit-on-error", "--single-transaction", f"--dbname={DATABASE}", dump)
        shutil.rmtree(office.state / "images")
        with cluster.start(office.site) as gateway:
            assert cluster.found(office.site) == dumped != office.now
            office.sync()
            assert "Traceback" not in gateway.said
    finally:
        cluster.end()
