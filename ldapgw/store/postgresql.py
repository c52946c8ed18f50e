# SPDX-License-Identifier: MIT
"""PostgreSQL, the engine for several gateways on one database.

A transaction that writes is READ COMMITTED.  The writing transactions of pages and commands exclude each other by an
advisory lock, as transactions of SQLite exclude each other by SQLite's lock.  A sync locks only the row of its account,
so that pages and syncs write at the same time (docs/decisions/0086).  A transaction that only reads is REPEATABLE READ,
so that it sees one snapshot.

Triggers mark each changed account and phone with the number of the transaction.  Transactions may commit in another
order than they begin.  So each read of changes begins at the oldest transaction that the previous read could not see: a
change may be read twice, but no change is missed.

Mutable: in `PostgresqlDatabase`, the time until which no connection is attempted, and whether a vacuum is running.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain
from threading import Lock, Thread
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakSet

import psycopg
from sqlalchemy import URL, Connection, Table, event, inspect, text
from sqlalchemy.exc import DBAPIError
from twisted.logger import Logger

from ldapgw.errors import DamagedStore, StoreError, UnreachableStore, UnwritableStore
from ldapgw.store import gateways, tables
from ldapgw.store.changes import postgresql_triggers
from ldapgw.store.database import (
    ERASED,
    HANG_SECONDS,
    NUMBERED,
    Database,
    Mode,
    Position,
    is_current,
    read_revision,
    readable_from,
    take_erased,
    upgrade,
)
from ldapgw.store.leader_session import LeaderSession
from ldapgw.store.postgresql_connection import (
    COPY,
    IDLE_SECONDS,
    LOCK_SECONDS,
    PAGE_SECONDS,
    SYNC_SECONDS,
    ChangeListener,
    connect_arguments,
    engine_for,
    is_away,
    reason_of,
    sql_state,
    state_of_refusal,
)

P = ParamSpec("P")
T = TypeVar("T")

DRIVER = "postgresql+psycopg"
# The first version with idle_session_timeout.
OLDEST_SERVER = 140000

# After a failed connection, transactions fail for this time without another attempt, because pages would queue behind
# each attempt.
AWAY_SECONDS = 1.0
# The largest number of attempts of a transaction that conflicts with other transactions.
TRIES = 5
# A sync may lock a row for seconds.  A page's transaction waits for the row for `ROW_SECONDS`, and then begins again.
# Pages that wait meanwhile come first, because PostgreSQL gives the advisory lock to the page that has waited longest.
ROW_SECONDS = 0.2
# An upgrade waits only briefly for the lock of a table, because all other transactions queue behind the waiting
# upgrade.
UPGRADE_LOCK_SECONDS = 2
UPGRADE_TRIES = 10

# The keys of advisory locks: a number for ldapgw, and a number for the purpose of the lock.
_WRITERS = "1818522736, 1"
_UPGRADES = "1818522736, 2"
_SYNCS = "1818522736, 3"

# The SQLSTATE of errors (appendix A of the documentation of PostgreSQL).
_CONFLICTS = {"40001", "40P01", "23505"}
_READ_ONLY = "25006"
_LOCKED = "55P03"
_ADVICE = {
    "28P01": "correct the password (database_password_file)",
    "28000": "let this user connect (pg_hba.conf)",
    "3D000": "create the database, or correct its name",
    "42501": "make this user the owner of the database",
    "53100": "make room on the server's disk",
    "53300": "raise max_connections, or the limit of this user or database",
    _READ_ONLY: "name the primary server, not a replica",
    _LOCKED: "another program keeps it locked; end that program",
}
_UNWRITABLE = {_READ_ONLY, "53100"}
_DAMAGE = {"XX001", "XX002"}

# Tables whose rows are needed only for seconds.  A commit in an unlogged table does not wait for the disk, and a crash
# deletes the rows.
_UNLOGGED = ("sync_progress",)
_TEXT_COLUMNS = text("""
SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables USING (table_name)
WHERE columns.table_schema = current_schema() AND tables.table_schema = current_schema() AND table_type = 'BASE TABLE'
AND data_type = 'character varying' AND collation_name IS DISTINCT FROM 'C'
""")

log = Logger()


class PostgresqlDatabase(Database):
    """A PostgreSQL database.

    :param url: an SQLAlchemy URL of the driver psycopg, with the password.
    """

    runs_beside = True

    def __init__(self, url: URL) -> None:
        if url.drivername != DRIVER:
            raise StoreError(f'database: expected "{DRIVER}://USER@HOST/NAME"', is_setting=True)
        self.url = url
        self.file = None
        where = f"{url.host or ''}:{url.port}" if url.port else url.host or ""
        self.name = f"postgresql://{where}/{url.database or ''}"
        # The pool has a connection for the thread of pages, and another for a second transaction of a command or test.
        self.engine = self.register(engine_for(url, PAGE_SECONDS))
        self._sync_engine = self.register(engine_for(url, SYNC_SECONDS))
        self.reading_engine = self.register(engine_for(url, SYNC_SECONDS, reads=True))
        self._away: tuple[float, str] = (0.0, "")
        self._first_write: Callable[[Connection], None] | None = None
        self._opening = Lock()
        self._vacuuming = Lock()
        self._to_vacuum: frozenset[str] = frozenset()
        self._is_vacuuming = False
        self._lines: WeakSet[psycopg.Connection[Any]] = WeakSet()
        for engine in (self.engine, self._sync_engine, self.reading_engine):
            event.listen(engine, "do_connect", self._refuse_while_away)
            event.listen(engine, "connect", lambda line, _record: self._lines.add(line))

    # --- opening ---

    def is_empty(self) -> bool:
        with self.begin_read() as connection:
            return read_revision(connection, self.name) is None

    def open(self) -> None:
        with self._errors():
            with self.engine.begin() as connection:
                self._check_server(connection)
                if is_current(connection, self):
                    # A dump from another server may have marks with higher numbers than this server's transactions.
                    connection.exec_driver_sql(
                        "UPDATE change SET number = 0 WHERE number > pg_current_xact_id()::text::bigint"
                    )
                    return
            for tries_left in reversed(range(UPGRADE_TRIES)):
                try:
                    self._upgrade()
                except DBAPIError as error:
                    if sql_state(error) != _LOCKED or not tries_left:
                        raise
                else:
                    return

    def _upgrade(self) -> None:
        """Upgrade in one transaction, under a lock that excludes upgrades by other gateways."""
        with self._sync_engine.begin() as connection:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{UPGRADE_LOCK_SECONDS}s'")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_UPGRADES})")
            if not is_current(connection, self):
                self._check_older_gateways(connection)
                upgrade(connection)
                for statement in chain(_additions(connection), postgresql_triggers()):
                    connection.exec_driver_sql(statement)

    def _check_older_gateways(self, connection: Connection) -> None:
        """Refuse an upgrade to tables that a living gateway of an older version cannot use.

        :raises StoreError: if there is such a gateway.
        """
        if not inspect(connection).has_table(tables.gateway.name):
            return
        # No gateway can write its first or next heartbeat until this transaction ends.
        connection.exec_driver_sql(f"LOCK TABLE {tables.gateway.name} IN SHARE ROW EXCLUSIVE MODE")
        older = gateways.find_older_gateways(connection, readable_from())
        if older:
            raise StoreError(
                f"{self.name}: this version needs an upgrade of the database, after which the older gateways on "
                f"{' and '.join(older)} could not use the database; stop those gateways, or upgrade them to a version "
                "in between; nothing was changed"
            )

    def _check_server(self, connection: Connection) -> None:
        version = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
        if version < OLDEST_SERVER:
            raise StoreError(f"{self.name}: PostgreSQL 14 or newer is needed, this is {version // 10000}")
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if encoding != "UTF8":
            raise StoreError(f"{self.name}: its encoding is {encoding}; create a database with ENCODING 'UTF8'")

    def open_or_read(self, first_write: Callable[[Connection], None]) -> None:
        self.open()
        self.run(first_write)

    def open_later(self, first_write: Callable[[Connection], None]) -> None:
        self._first_write = first_write

    def answers(self) -> bool:
        conninfo = psycopg.conninfo.make_conninfo("", **connect_arguments(self.url))
        # A server that is starting or stopping counts as not answering: libpq returns PQPING_REJECT for such a server.
        return psycopg.pq.PGconn.ping(conninfo.encode()) == psycopg.pq.Ping.OK

    def _finish_opening(self) -> None:
        """Open the database now, if it was not open yet after `open_later`.

        :raises StoreError: if the database cannot be used; the next transaction tries again.
        """
        if self._first_write is None:
            return
        with self._opening:
            if self._first_write is None:
                return
            with self._errors():
                with self.engine.begin() as connection:
                    if read_revision(connection, self.name) is None:
                        raise StoreError(f"{self.name}: is empty, but was not empty before; restore a backup")
                self.open()
                with self.engine.begin() as connection:
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS})")
                    self._first_write(connection)
            self._first_write = None

    @property
    def is_read_only(self) -> bool:
        return False

    # --- transactions ---

    @contextmanager
    def begin(self, *, exclusively: bool = True) -> Iterator[Connection]:
        with self._errors():
            with self._transaction(exclusively=exclusively) as connection:
                yield connection
                erased = take_erased(connection)
            if erased:
                self._vacuum(erased)

    @contextmanager
    def begin_read(self) -> Iterator[Connection]:
        self._finish_opening()
        with self._errors(reads=True), self.reading_engine.begin() as connection:
            yield connection

    def call(
        self, mode: Mode, function: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kw: P.kwargs
    ) -> T:
        """Call a function in a transaction; try again after a conflict, or after the connection ended.

        If the connection ends during the commit, there is no further attempt, because the commit may have succeeded.

        A transaction of `Mode.WRITE` may have to wait for a row that a sync has locked.  During the first half of
        `LOCK_SECONDS`, the transaction releases its advisory lock between attempts; after that, the transaction keeps
        the lock while it waits.
        """
        if mode is Mode.READ:
            return super().call(mode, function, *args, **kw)
        exclusively, until, tries_left = mode is Mode.WRITE, time.monotonic() + LOCK_SECONDS, TRIES
        with self._errors():
            while True:
                is_complete = False
                left = until - time.monotonic()
                # A transaction that needs many rows might meet another sync at each attempt.  So the last attempt waits
                # for all of these rows.
                row_seconds = ROW_SECONDS if left > LOCK_SECONDS / 2 else max(left, ROW_SECONDS)
                try:
                    with self._transaction(exclusively=exclusively, row_seconds=row_seconds) as connection:
                        result = function(connection, *args, **kw)
                        erased = take_erased(connection)
                        is_complete = True
                    break
                except DBAPIError as error:
                    state = sql_state(error)
                    if exclusively and state == _LOCKED and time.monotonic() < until:
                        continue
                    tries_left -= 1
                    is_lost = error.connection_invalidated and not is_complete
                    if not tries_left or not (_is_conflict(error) or is_lost):
                        raise
            if erased:
                self._vacuum_beside(erased)
            return result

    @contextmanager
    def _transaction(self, *, exclusively: bool, row_seconds: float = LOCK_SECONDS) -> Iterator[Connection]:
        """Open a transaction.

        :param row_seconds: the seconds for which an exclusive transaction waits for a row.
        """
        self._finish_opening()
        engine = self.engine if exclusively else self._sync_engine
        # The time limit keeps a stopped gateway from holding its locks.  The limit is set for each transaction, because
        # PgBouncer drops the settings of a connection.
        first = f"SELECT set_config('idle_in_transaction_session_timeout', '{IDLE_SECONDS}s', true)"
        if exclusively:
            first += f", pg_advisory_xact_lock({_WRITERS})"
            first += f", set_config('lock_timeout', '{1000 * row_seconds:.0f}ms', true)"
        with engine.begin() as connection:
            connection.exec_driver_sql(first)
            yield connection

    def _vacuum(self, erased: Collection[str]) -> None:
        """Overwrite deleted rows.  Rows that a reader still sees are left to the server's autovacuum."""
        with suppress(psycopg.Error), psycopg.connect(**connect_arguments(self.url), autocommit=True) as connection:
            connection.execute("SET statement_timeout = 0")
            connection.execute(f"SET lock_timeout = '{SYNC_SECONDS}s'")  # another gateway may be vacuuming
            connection.execute(f"VACUUM {', '.join(table for table in ERASED if table in erased)}")

    def _vacuum_beside(self, erased: frozenset[str]) -> None:
        """Overwrite deleted rows on another thread, because a vacuum reads whole tables.

        The server continues the vacuum if this process ends.
        """
        with self._vacuuming:
            self._to_vacuum |= erased
            if not self._is_vacuuming:
                self._is_vacuuming = True
                Thread(target=self._vacuum_while_needed, name="vacuum", daemon=True).start()

    def _vacuum_while_needed(self) -> None:
        while True:
            with self._vacuuming:
                erased, self._to_vacuum = self._to_vacuum, frozenset()
                self._is_vacuuming = bool(erased)
                if not erased:
                    return
            try:
                self._vacuum(erased)
            except BaseException:
                self._is_vacuuming = False
                raise

    def close(self) -> None:
        for engine in (self.engine, self._sync_engine, self.reading_engine):
            pool = engine.pool
            engine.dispose()
            # Connections that other threads still use are closed when they return to the pool.
            event.listen(pool, "checkin", lambda _, record: record.invalidate())

    # --- changes ---

    def change_detector(self) -> ChangeListener:
        return ChangeListener(self.url, connected=self._note_line)

    def position(self, connection: Connection) -> Position:
        """Return the position of a transaction's snapshot.

        The identity changes with the server, the database and the timeline, and when a dump replaces the tables.  A
        standby begins a new timeline when it takes over, and so does a server that is restored to a point in time.  The
        name of the current WAL file has the new timeline at once, but the last checkpoint has the new timeline only
        later.  A standby has no current WAL file, so the timeline of its last checkpoint is used.
        """
        row = connection.exec_driver_sql(
            "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, extract(epoch FROM now())::float8, "
            "extract(epoch FROM pg_postmaster_start_time())::float8, "
            "concat_ws('/', (SELECT system_identifier FROM pg_control_system()), "
            "CASE WHEN pg_is_in_recovery() "
            "THEN lpad(upper(to_hex((SELECT timeline_id FROM pg_control_checkpoint()))), 8, '0') "
            "ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END, "
            "(SELECT oid FROM pg_database WHERE datname = current_database()), 'change'::regclass::oid)"
        ).one()
        return Position(identity=row[3], next=row[0], at=row[1], started=row[2])

    def lift_time_limit(self, connection: Connection) -> None:
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")

    def keep_alive(self, connection: Connection) -> None:
        connection.exec_driver_sql("SELECT 1")

    def last_ids(self, connection: Connection) -> Mapping[str, int]:
        last = "SELECT last_value - (NOT is_called)::int FROM {}_id_seq"
        return {table: connection.exec_driver_sql(last.format(table)).scalar_one() for table in NUMBERED}

    def raise_ids(self, connection: Connection, last: Mapping[str, int]) -> None:
        for table in NUMBERED:
            held = f"SELECT coalesce(max(id), 0) FROM {table}"  # noqa: S608  our own names
            # `nextval` is higher than all earlier ids, even if other sessions use the sequence at the same time.
            free = f"greatest(nextval('{table}_id_seq'), ({held}) + 1, {last.get(table, 0) + 1})"
            connection.exec_driver_sql(f"SELECT setval('{table}_id_seq', {free}, false)")

    def server_time(self, connection: Connection) -> float | None:
        query = "SELECT extract(epoch FROM clock_timestamp())::float8"
        seconds: float = connection.exec_driver_sql(query).scalar_one()
        return seconds

    def insert_rows(
        self, connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        """Insert rows with ``COPY``, which is three times as fast as an INSERT for each row."""
        if len(rows) > 1:
            names = ", ".join(f'"{table.c[name].name}"' for name in columns)
            connection.exec_driver_sql(f'{COPY} "{table.name}" ({names}) FROM STDIN', [tuple(row) for row in rows])
        else:
            super().insert_rows(connection, table, columns, rows)

    def check_writable(self, connection: Connection, *, thoroughly: bool) -> None:  # noqa: ARG002  the server checks
        connection.exec_driver_sql("UPDATE schema_version SET revision = revision")

    # --- syncs ---

    def leader_session(self) -> LeaderSession:
        """Return a new session for the gateway that syncs."""
        engine = self.register(engine_for(self.url, SYNC_SECONDS, keeps_connections=False))
        event.listen(engine, "connect", lambda line, _record: self._lines.add(line))
        return LeaderSession(engine, _SYNCS, _is_conflict, partial(self._errors, of_session=True))

    # --- errors ---

    def _refuse_while_away(self, _dialect: object, _record: object, _args: object, _options: object) -> None:
        until, reason = self._away
        if time.monotonic() < until:
            raise UnreachableStore(reason)

    def _note_line(self, line: psycopg.Connection[Any]) -> None:
        """Let the next transaction try to connect, because the server has accepted this connection."""
        self._lines.add(line)
        self._away = (0.0, "")

    def end_hanging(self) -> UnreachableStore:
        """Shut down all connections, which wakes the threads that wait for the server.

        The descriptors stay open, because the driver still uses them.  Attempts to connect are not shut down: they end
        after `CONNECT_SECONDS`.
        """
        error = UnreachableStore(f"{self.name}: cannot be reached: it has not answered for {HANG_SECONDS:.0f} seconds")
        self._away = time.monotonic() + AWAY_SECONDS, str(error)
        for line in tuple(self._lines):
            # A connection that has ended meanwhile has no socket.
            with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(line.fileno())) as connected:
                connected.shutdown(socket.SHUT_RDWR)
        return error

    @contextmanager
    def _errors(self, *, reads: bool = False, of_session: bool = False) -> Iterator[None]:
        """Turn errors of the driver into errors of the store.

        :param of_session: whether the errors are errors of the leader's session.  The server may have ended only this
            session, so other transactions still try to connect.
        """
        try:
            yield
        except DBAPIError as error:
            found = self._store_error(error, reads=reads)
            if isinstance(found, UnreachableStore) and not of_session:
                self._away = time.monotonic() + AWAY_SECONDS, str(found)
            raise found from None

    def _store_error(self, error: DBAPIError, *, reads: bool) -> StoreError:
        state = sql_state(error) or state_of_refusal(error)
        kind: type[StoreError] = DamagedStore if state in _DAMAGE else StoreError
        if is_away(error):
            kind = UnreachableStore
        elif state in _UNWRITABLE and not reads:
            kind = UnwritableStore
        advice = None if reads and state == _READ_ONLY else _ADVICE.get(state)
        trouble = "cannot be reached" if kind is UnreachableStore else "cannot be used"
        return kind(f"{self.name}: {trouble}: {reason_of(error)}" + (f"; {advice}" if advice else ""))


def _is_conflict(error: DBAPIError) -> bool:
    """Return whether a statement failed because of another transaction."""
    return sql_state(error) in _CONFLICTS


def _additions(connection: Connection) -> Iterator[str]:
    """Yield the statements that a PostgreSQL database needs after the migrations.

    The statements order texts by code points, as SQLite does, and make some tables unlogged.
    """
    for table, column in connection.execute(_TEXT_COLUMNS).all():
        yield f'ALTER TABLE "{table}" ALTER COLUMN "{column}" TYPE varchar COLLATE "C"'
    for table in _UNLOGGED:
        yield f"ALTER TABLE {table} SET UNLOGGED"
