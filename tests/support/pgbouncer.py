# SPDX-License-Identifier: MIT
"""A real PgBouncer on loopback, in front of a PostgreSQL server; ended by its process id."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from tests.support.postgresql import Server, as_ordinary_user
from tests.support.site.running import free_ports, running_program

PROGRAM = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")

CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server} user=ldapgw
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
auth_file =
pool_mode = {mode}
ignore_startup_parameters = {ignored}
"""

needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason="needs PgBouncer (sudo apt-get install pgbouncer)")


@contextmanager
def pgbouncer(folder: Path, server: Server, mode: str, ignored: str) -> Iterator[URL]:
    """Run it until the block ends; the URL of the server's databases through it.

    :param mode: session or transaction.
    :param ignored: the startup parameters that it does not pass on.
    """
    [port] = free_ports(1)
    folder.mkdir(mode=0o755)
    file = folder / "pgbouncer.ini"
    file.write_text(CONFIGURATION.format(server=server.port, port=port, mode=mode, ignored=ignored))
    url = server.url("postgres").set(port=port)
    # Its file by its descriptor: another user may not look into the folder.
    with (
        file.open("rb") as stdin,
        running_program("pgbouncer", ["/dev/stdin"], folder, lambda: _answers(url), stdin=stdin, **as_ordinary_user()),
    ):
        yield url


def _answers(url: URL) -> bool:
    try:
        with create_engine(url, poolclass=NullPool).connect():
            return True
    except OperationalError:
        return False
