# SPDX-License-Identifier: MIT
"""PostgreSQL from the system's programs: a server for each test process, on a socket in a folder of its own.

It runs as an ordinary user, because it refuses to run as root, and does not wait for the disk.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, create_engine
from sqlalchemy.pool import NullPool

from ldapgw.store.database import Database
from ldapgw.store.engines import database_at
from ldapgw.store.tables import metadata
from tests.support.site.running import free_ports

PATIENCE = 60.0
# Names a folder with the programs of another version.
POSTGRES_BIN = "POSTGRES_BIN"
# Debian keeps them out of the path.
_FOLDERS = sorted((str(folder) for folder in Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)


def find_postgres(environment: Mapping[str, str]) -> str | None:
    """The server's program; None: there is none.

    :raises pytest.UsageError: if the folder that the environment names does not have the programs.
    """
    chosen = environment.get(POSTGRES_BIN)
    if not chosen:
        return shutil.which("postgres", path=os.pathsep.join((environment.get("PATH", ""), *_FOLDERS)))
    for program in ("postgres", "initdb"):
        if not os.access(Path(chosen, program), os.X_OK):
            raise pytest.UsageError(f"{POSTGRES_BIN}: {chosen} has no program {program}; name a folder that has both")
    return str(Path(chosen, "postgres"))


POSTGRES = find_postgres(os.environ)
TEMPLATE = "template_of_ldapgw"

_QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off", "max_connections=50")


def is_there() -> bool:
    """Return True if these tests can run: in CI a missing PostgreSQL is a failure, elsewhere they are skipped."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return False
    return POSTGRES is not None


needs_postgresql = pytest.mark.skipif(
    not is_there() and not os.environ.get("CI"),
    reason="needs PostgreSQL (sudo apt-get install postgresql) and psycopg",
)


@dataclass
class Server:
    """A server with its own data.

    :ivar folder: of its socket and its data.
    :ivar port: its socket is named after it; it listens at this port of loopback if `listens`.
    """

    folder: Path
    port: int = 5432
    listens: bool = False
    settings: tuple[str, ...] = _QUICK
    _process: subprocess.Popen[bytes] | None = None
    _paused: list[int] = field(default_factory=list)

    @classmethod
    def create(cls, **more: Any) -> Server:
        """A new one, not started."""
        assert POSTGRES is not None, "needs PostgreSQL: sudo apt-get install postgresql"
        folder = Path(tempfile.mkdtemp(prefix="ldapgw-postgresql-"))
        user = as_ordinary_user()
        if user:
            shutil.chown(folder, user["user"], user["group"])
        initdb = [str(Path(POSTGRES).with_name("initdb")), "--pgdata", str(folder / "data"), "--username", "ldapgw"]
        subprocess.run(
            [*initdb, "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            **user,
        )
        return cls(folder, **more)

    def url(self, name: str) -> URL:
        """The URL of a database of the server."""
        if self.listens:
            return URL.create("postgresql+psycopg", "ldapgw", host="127.0.0.1", port=self.port, database=name)
        query = {"host": str(self.folder), "port": str(self.port)}
        return URL.create("postgresql+psycopg", "ldapgw", database=name, query=query)

    def start(self) -> None:
        """Start it and wait until it answers."""
        assert POSTGRES is not None
        listen = "127.0.0.1" if self.listens else ""
        settings = (*self.settings, f"listen_addresses={listen}", f"port={self.port}")
        options = [part for setting in settings for part in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [POSTGRES, "-D", str(self.folder / "data"), "-k", str(self.folder), *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                **as_ordinary_user(),
            )
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            assert self._process.poll() is None, (self.folder / "log").read_text()
            try:
                self.execute("SELECT 1")
            except Exception:  # noqa: BLE001  psycopg may not be installed, so its errors have no name here
                time.sleep(0.02)
            else:
                return
        raise AssertionError("PostgreSQL does not answer: " + (self.folder / "log").read_text())

    def stop(self, *, immediately: bool = False) -> None:
        """Stop it, with or without an orderly end."""
        if self._process is not None:
            self._process.send_signal(3 if immediately else 2)  # SIGQUIT: at once; SIGINT: after rolling back
            self._process.wait(PATIENCE)
            self._process = None

    def pause(self) -> None:
        """Have all its processes hang: connections stay open, and nobody answers."""
        assert self._process is not None
        pid = self._process.pid
        os.kill(pid, signal.SIGSTOP)
        self._paused = [pid]
        # The kernel may leave out children while others end, so they are looked for until no new one is found.
        while children := {*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())} - {*self._paused}:
            for child in children:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGSTOP)
            self._paused += children

    def go_on(self) -> None:
        """Undo `pause`, for the same processes: a session that stays stopped would hold its locks."""
        for pid in self._paused:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def copy(self) -> Callable[[], None]:
        """Copy the files, while it does not run; returns what puts the copy in their place."""
        data, copied = self.folder / "data", self.folder / "copy"
        self.stop()
        subprocess.run(["cp", "--archive", data, copied], check=True)
        self.start()

        def come_back() -> None:
            self.stop()
            shutil.rmtree(data)
            copied.rename(data)
            self.start()

        return come_back

    def standby(self, port: int) -> Server:
        """A standby server of this one, which listens; started, and it follows this one."""
        user = as_ordinary_user()
        folder = Path(tempfile.mkdtemp(prefix="ldapgw-postgresql-"))
        if user:
            shutil.chown(folder, user["user"], user["group"])
        assert POSTGRES is not None
        command = [str(Path(POSTGRES).resolve().with_name("pg_basebackup")), "--host=127.0.0.1", f"--port={self.port}"]
        options = ("--username=ldapgw", "--checkpoint=fast", "--write-recovery-conf", f"--pgdata={folder / 'data'}")
        subprocess.run([*command, *options], check=True, cwd=folder, **user)
        standby = Server(folder, port, listens=True, settings=self.settings)
        standby.start()
        return standby

    def delete(self) -> None:
        """Stop it and delete its data."""
        self.stop(immediately=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Execute a statement outside of a transaction; its rows."""
        engine = create_engine(self.url(database), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            found = connection.exec_driver_sql(statement)
            return [tuple(row) for row in found] if found.returns_rows else []

    def run_program(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's own programs for clients."""
        assert POSTGRES is not None
        where = "127.0.0.1" if self.listens else str(self.folder)
        command = [str(Path(POSTGRES).resolve().with_name(program)), f"--host={where}", f"--port={self.port}"]
        subprocess.run([*command, "--username=ldapgw", *arguments], check=True)


@cache
def shared() -> Server:
    """The server of all tests of this process that do not stop it, with a template of a new database."""
    server = Server.create()
    atexit.register(server.delete)
    server.start()
    server.execute(f"CREATE DATABASE {TEMPLATE}")
    database = database_at(server.url(TEMPLATE))
    database.open()
    database.close()
    return server


@contextmanager
def listening(*settings: str) -> Iterator[Server]:
    """A server that listens at a port of loopback, which a test may stop and start again."""
    [port] = free_ports(1)
    server = Server.create(listens=True, port=port, settings=settings or _QUICK)
    try:
        server.start()
        yield server
    finally:
        server.delete()


_numbers = iter(range(1, 1_000_000))


def new_url(template: str = TEMPLATE) -> URL:
    """The URL of a new database on the shared server, with the tables of ldapgw.

    :param template: the database to copy; "template0" is empty.
    """
    name = f"test_{next(_numbers)}"
    shared().execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    return shared().url(name)


@contextmanager
def open_new() -> Iterator[Database]:
    """An empty database, open: one for all tests of this process, because to create one takes as long as ten tests."""
    database = open_reused(0)
    try:
        yield database
    finally:
        database.close()
        empty(0)


def open_reused(number: int) -> Database:
    """One of the databases that tests of this process use one after the other; open, and as the last test left it."""
    database = database_at(reused_url(number))
    database.open()
    return database


def empty(number: int) -> None:
    """Delete all that is in a database that is used again."""
    shared().execute(_EMPTY, reused_url(number).database or "")


@cache
def reused_url(_number: int) -> URL:
    """One of the databases that tests of this process use one after the other."""
    return new_url()


class Notices:
    """Tells at each look whether the server has told of a change: as `ChangeListener` does, but on no thread.

    For tests with a clock of their own, for which a thread that is told a moment later would be told at any time.
    """

    def __init__(self, url: URL) -> None:
        self._url = url
        self._line: Any = None
        self._is_closed = False
        self._told: list[object] = []

    def has_changed(self) -> bool:
        import psycopg

        if self._is_closed:  # a look may be under way when its feed stops
            return False
        try:
            if self._line is None:
                self._listen()
            # The server sends all notices of earlier commits before the answer.
            self._line.execute("SELECT 1")
        except psycopg.Error:
            self._hang_up()
            return True
        has_changed = bool(self._told)
        self._told.clear()
        return has_changed

    def listen(self, on_change: Callable[[], object], on_bulletin: Callable[[str], object]) -> None:
        """Nothing is told between two looks."""

    def close(self) -> None:
        self._is_closed = True
        self._hang_up()

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _listen(self) -> None:
        import psycopg

        query = {key: str(value) for key, value in self._url.query.items()}
        given = {"host": self._url.host, "port": str(self._url.port or ""), "user": self._url.username, **query}
        arguments = {key: value for key, value in given.items() if value}
        self._line = psycopg.connect("", dbname=self._url.database, autocommit=True, **arguments)
        self._line.add_notify_handler(self._told.append)
        self._line.execute("LISTEN ldapgw")
        self._told.append("a new connection may have missed something")


_TABLES = [table.name for table in reversed(metadata.sorted_tables) if table.name not in {"change", "schema_version"}]
_EMPTY = "; ".join(
    [
        # The sessions that a test has left behind end here.
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid()",
        *(f"DELETE FROM {table}" for table in [*_TABLES, "change"]),
        "UPDATE schema_version SET copied_from = NULL, key = NULL",
        *(f"ALTER SEQUENCE {table}_id_seq RESTART" for table in ("account", "activity", "revocation")),
    ]
)


def as_ordinary_user() -> dict[str, Any]:
    """Arguments for subprocess, so that the server is not root's."""
    if os.geteuid():
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
