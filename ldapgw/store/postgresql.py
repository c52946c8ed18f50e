# SPDX-License-Identifier: MIT
"""PostgreSQL, the engine for several gateways on one database; the only module that needs psycopg.

A transaction is READ COMMITTED.  Transactions that a page or a command begins exclude each other by an advisory lock of
the transaction, as those of SQLite do by its lock; syncs lock the row of their account alone, so that they run beside
them (docs/decisions/0086).  A transaction that only reads is REPEATABLE READ: one snapshot.

Triggers mark what changes with the number of the transaction.  Transactions commit in another order than they begin,
so a look reads all marks from the oldest transaction on that the look before could not see: a change may be read twice,
and none is missed.

Mutable: `PostgresqlDatabase` knows until when it need not try to connect again, and whether it vacuums.
"""

from __future__ import annotations

import re
import select as selectors
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread
from typing import Any, Concatenate, ParamSpec, TypeVar

import psycopg
from psycopg.types.string import StrDumper
from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, inspect, text
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from twisted.logger import Logger

from ldapgw.errors import DamagedStore, StoreError, UnreachableStore, UnwritableStore
from ldapgw.store import gateways, tables
from ldapgw.store.database import (
    ERASED,
    Database,
    Position,
    is_current,
    read_revision,
    readable_from,
    take_erased,
    upgrade,
)

P = ParamSpec("P")
T = TypeVar("T")

DRIVER = "postgresql+psycopg"
# The first version with xid8 and pg_current_snapshot.
OLDEST_SERVER = 130000

# A page's statements; those of a sync or of a reader, which may be about a million contacts.
PAGE_SECONDS = 30
SYNC_SECONDS = 600
# As long as with SQLite: whoever writes does so for milliseconds.
LOCK_SECONDS = 10
# A gateway that was stopped in a transaction must not keep its locks: shorter than a lease, which passes on only then.
# What computes for longer between two statements uses `ldapgw.store.database.keeping_alive`.
IDLE_SECONDS = 12
# A reader keeps no lock that others wait for, and may build a large book between two statements.
READER_IDLE_SECONDS = 60
CONNECT_SECONDS = 5
# After a failed connection, how long transactions fail without another attempt: pages queue behind each attempt.
AWAY_SECONDS = 1.0
# How often a transaction is tried that another one has come between.
TRIES = 5
# How long a page's transaction waits for a row, which a sync may keep for seconds, before it lets the other pages write
# and tries again ...
ROW_SECONDS = 0.2
# ... after this time.
ROW_PAUSE_SECONDS = 0.2
# For the tables' locks of an upgrade: whoever waits for one keeps all others waiting behind it.
UPGRADE_LOCK_SECONDS = 2
UPGRADE_TRIES = 10

# A look at the database although no change was told, because what tells may be lost on its way.
LOOK_SECONDS = 5.0
# What is told within this time is one change.
RING_SECONDS = 0.05
# How often a silent connection is tried.
SILENCE_SECONDS = 30.0
RECONNECT_SECONDS = 0.25

# Advisory locks: a number for ldapgw, and one for what is locked.
_WRITERS = "1818522736, 1"
_UPGRADES = "1818522736, 2"

# The beginning of a statement that gets its rows beside it.
_COPY = "COPY"

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
    "53300": "raise max_connections",
    _READ_ONLY: "name the primary server, not a replica",
    _LOCKED: "another program keeps it locked; end that one",
}
_UNWRITABLE = {_READ_ONLY, "53100"}
_DAMAGE = {"XX001", "XX002"}
# The server ends, starts, or has ended the connection; class 08 is the connection itself.
_AWAY = {"57P01", "57P02", "57P03", "57P05", "25P03", "53300"}

log = Logger()


class _TextDumper(StrDumper):
    """Writes text without NUL, which PostgreSQL does not store and nobody reads."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", ""))


psycopg.adapters.register_dumper(str, _TextDumper)


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
        # One connection for the thread of pages and one for a command's or a test's second transaction.
        self.engine = self.register(_engine(url, PAGE_SECONDS))
        self._sync_engine = self.register(_engine(url, SYNC_SECONDS))
        self.reading_engine = self.register(_engine(url, SYNC_SECONDS, reads=True))
        self._away: tuple[float, str] = (0.0, "")
        self._first_write: Callable[[Connection], None] | None = None
        self._opening = Lock()
        self._vacuuming = Lock()
        self._to_vacuum: frozenset[str] = frozenset()
        self._is_vacuuming = False
        for engine in (self.engine, self._sync_engine, self.reading_engine):
            event.listen(engine, "do_connect", self._refuse_while_away)

    # --- opening ---

    def is_empty(self) -> bool:
        with self.begin_read() as connection:
            return read_revision(connection, self.name) is None

    def open(self) -> None:
        with self._errors():
            with self.engine.begin() as connection:
                self._check_server(connection)
                if is_current(connection, self):
                    # A dump that was restored on another server has numbers that are still to come there.
                    connection.exec_driver_sql(
                        "UPDATE change SET number = 0 WHERE number > pg_current_xact_id()::text::bigint"
                    )
                    return
            for tries_left in reversed(range(UPGRADE_TRIES)):
                try:
                    self._upgrade()
                except DBAPIError as error:
                    if _state(error) != _LOCKED or not tries_left:
                        raise
                else:
                    return

    def _upgrade(self) -> None:
        """Upgrade in one transaction, while no other gateway does."""
        with self._sync_engine.begin() as connection:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{UPGRADE_LOCK_SECONDS}s'")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_UPGRADES})")
            if not is_current(connection, self):
                self._check_older_gateways(connection)
                upgrade(connection)
                for statement in _finishing_statements(connection):
                    connection.exec_driver_sql(statement)

    def _check_older_gateways(self, connection: Connection) -> None:
        """Refuse an upgrade that takes away what a living gateway of an older version needs.

        :raises StoreError: when there is one.
        """
        if not inspect(connection).has_table(tables.gateway.name):
            return
        # No gateway begins, or tells that it lives, until this transaction ends.
        connection.exec_driver_sql(f"LOCK TABLE {tables.gateway.name} IN SHARE ROW EXCLUSIVE MODE")
        older = gateways.find_older_gateways(connection, readable_from())
        if older:
            raise StoreError(
                f"{self.name}: this version needs an upgrade of the database that ends the older versions which run on "
                f"{' and '.join(older)}; stop those gateways, or upgrade them to a version in between; nothing was "
                "changed"
            )

    def _check_server(self, connection: Connection) -> None:
        version = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
        if version < OLDEST_SERVER:
            raise StoreError(f"{self.name}: PostgreSQL 13 or newer is needed, this is {version // 10000}")
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if encoding != "UTF8":
            raise StoreError(f"{self.name}: its encoding is {encoding}; create a database with ENCODING 'UTF8'")

    def open_or_read(self, first_write: Callable[[Connection], None]) -> None:
        self.open()
        self.run(first_write)

    def open_later(self, first_write: Callable[[Connection], None]) -> None:
        self._first_write = first_write

    def answers(self) -> bool:
        conninfo = psycopg.conninfo.make_conninfo("", **_connect_arguments(self.url))
        # A server that starts or stops does not count: libpq tells that from other refusals.
        return psycopg.pq.PGconn.ping(conninfo.encode()) == psycopg.pq.Ping.OK

    def _finish_opening(self) -> None:
        """Open the database now, if it is still to be opened.

        :raises StoreError: when the database cannot be used; the next transaction tries again.
        """
        if self._first_write is None:
            return
        with self._opening:
            if self._first_write is None:
                return
            with self._errors():
                with self.engine.begin() as connection:
                    if read_revision(connection, self.name) is None:
                        raise StoreError(f"{self.name}: is empty, and was not before; restore a backup")
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

    def run(
        self,
        function: Callable[Concatenate[Connection, P], T],
        /,
        *args: P.args,
        **kw: P.kwargs,
    ) -> T:
        return self._run(function, args, kw, exclusively=True)

    def run_beside(
        self,
        function: Callable[Concatenate[Connection, P], T],
        /,
        *args: P.args,
        **kw: P.kwargs,
    ) -> T:
        return self._run(function, args, kw, exclusively=False)

    def _run(self, function: Callable[..., T], args: Any, kw: Mapping[str, Any], *, exclusively: bool) -> T:
        """Call a function in a transaction, and again when another transaction came between, or the connection ended.

        What was lost while it was committed may be stored, so that is not tried again.  A transaction that excludes
        others waits for a sync's row without keeping them waiting, for half of `LOCK_SECONDS`, and then with the lock.
        """
        until, tries_left = time.monotonic() + LOCK_SECONDS, TRIES
        with self._errors():
            while True:
                is_complete = False
                left = until - time.monotonic()
                # One that needs many rows would meet another sync each time, so that at last it waits for all of them.
                row_seconds = ROW_SECONDS if left > LOCK_SECONDS / 2 else max(left, ROW_SECONDS)
                try:
                    with self._transaction(exclusively=exclusively, row_seconds=row_seconds) as connection:
                        result = function(connection, *args, **kw)
                        erased = take_erased(connection)
                        is_complete = True
                    break
                except DBAPIError as error:
                    state = _state(error)
                    if exclusively and state == _LOCKED and time.monotonic() < until:
                        time.sleep(ROW_PAUSE_SECONDS)
                        continue
                    tries_left -= 1
                    is_lost = error.connection_invalidated and not is_complete
                    if not tries_left or not (state in _CONFLICTS or is_lost):
                        raise
            if erased:
                self._vacuum_beside(erased)
            return result

    @contextmanager
    def _transaction(self, *, exclusively: bool, row_seconds: float = LOCK_SECONDS) -> Iterator[Connection]:
        """Begin one.

        :param row_seconds: how long one that excludes others waits for a row.
        """
        self._finish_opening()
        engine = self.engine if exclusively else self._sync_engine
        # PgBouncer drops the settings of a connection, and this one lets leases pass on in time.
        first = f"SELECT set_config('idle_in_transaction_session_timeout', '{IDLE_SECONDS}s', true)"
        if exclusively:
            first += f", pg_advisory_xact_lock({_WRITERS})"
            first += f", set_config('lock_timeout', '{1000 * row_seconds:.0f}ms', true)"
        with engine.begin() as connection:
            connection.exec_driver_sql(first)
            yield connection

    def _vacuum(self, erased: Collection[str]) -> None:
        """Overwrite what was deleted; where somebody still reads, the server's own vacuum does that later."""
        with suppress(psycopg.Error), psycopg.connect(**_connect_arguments(self.url), autocommit=True) as connection:
            connection.execute("SET statement_timeout = 0")
            connection.execute(f"SET lock_timeout = '{SYNC_SECONDS}s'")  # another gateway may be at it
            connection.execute(f"VACUUM {', '.join(table for table in ERASED if table in erased)}")

    def _vacuum_beside(self, erased: frozenset[str]) -> None:
        """The same on a thread of its own: it reads whole tables, and the caller's thread has other transactions.

        A server goes on with it when this process ends.
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
            # Connections that other threads still use.
            event.listen(pool, "checkin", lambda _, record: record.invalidate())

    # --- changes ---

    def change_detector(self) -> ChangeListener:
        return ChangeListener(self.url, connected=self._note_answer)

    def position(self, connection: Connection) -> Position:
        """Another server, a restart and a standby that became the primary have another identity, and all is read.

        The history is the timeline, which a standby and a server that is restored to a point in time raise.  The tables
        are known by the numbers of one of them and of the database, which a restore of a dump creates anew.
        """
        row = connection.exec_driver_sql(
            "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, "
            "extract(epoch FROM pg_postmaster_start_time())::float8, extract(epoch FROM now())::float8, "
            "(SELECT timeline_id FROM pg_control_checkpoint()), "
            "(SELECT pg_database.oid || '/' || 'change'::regclass::oid FROM pg_trigger, pg_database "
            "WHERE tgrelid = 'account'::regclass AND tgname = 'ldapgw_mark_account' AND datname = current_database())"
        ).one()
        # pg_restore makes the triggers last: without this one, contacts may still be missing.
        if row[4] is None:
            raise StoreError(f"{self.name}: is not restored whole; let pg_restore end, or restore a backup")
        return Position((row[1], row[3]), row[0], row[2], str(row[3]), row[4], row[1])

    def lift_time_limit(self, connection: Connection) -> None:
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")

    def keep_alive(self, connection: Connection) -> None:
        connection.exec_driver_sql("SELECT 1")

    def renumber(self, connection: Connection) -> None:
        for table in _NUMBERED:
            last = f"SELECT coalesce(max(id), 0) + 1 FROM {table}"  # noqa: S608  our own names
            connection.exec_driver_sql(f"SELECT setval('{table}_id_seq', ({last}), false)")

    def insert_rows(
        self, connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        """With ``COPY``, which takes a third of the time of an INSERT for each row."""
        if len(rows) > 1:
            names = ", ".join(f'"{name}"' for name in columns)
            connection.exec_driver_sql(f'{_COPY} "{table.name}" ({names}) FROM STDIN', [tuple(row) for row in rows])
        else:
            super().insert_rows(connection, table, columns, rows)

    def check_writable(self, connection: Connection, *, thoroughly: bool) -> None:  # noqa: ARG002  the server checks
        connection.exec_driver_sql("UPDATE schema_version SET revision = revision")

    # --- errors ---

    def _refuse_while_away(self, _dialect: object, _record: object, _args: object, _options: object) -> None:
        until, reason = self._away
        if time.monotonic() < until:
            raise UnreachableStore(reason)

    def _note_answer(self) -> None:
        """Let the next transaction try to connect: the server has answered somebody."""
        self._away = (0.0, "")

    @contextmanager
    def _errors(self, *, reads: bool = False) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            found = self._store_error(error, reads=reads)
            if isinstance(found, UnreachableStore):
                self._away = time.monotonic() + AWAY_SECONDS, str(found)
            raise found from None

    def _store_error(self, error: DBAPIError, *, reads: bool) -> StoreError:
        state = _state(error)
        if is_away(error):
            return UnreachableStore(f"{self.name}: cannot be reached: {_reason(error)}")
        kind: type[StoreError] = DamagedStore if state in _DAMAGE else StoreError
        if state in _UNWRITABLE and not reads:
            kind = UnwritableStore
        advice = None if reads and state == _READ_ONLY else _ADVICE.get(state)
        return kind(f"{self.name}: cannot be used: {_reason(error)}" + (f"; {advice}" if advice else ""))


class ChangeListener:
    """Waits on a thread for ``NOTIFY``, which the triggers send, without content, when something has changed.

    A connection that was lost may have lost a notice, so each new one counts as a change, and so does every
    `LOOK_SECONDS`.
    """

    def __init__(
        self,
        url: URL,
        *,
        connected: Callable[[], object] = lambda: None,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._connected = connected
        self._seconds = seconds
        self._looked_at: float | None = None
        self._on_change: Callable[[], object] = lambda: None
        self._rung = Event()
        self._stopped = Event()
        self._thread: Thread | None = None
        self._waker: socket.socket | None = None

    def has_changed(self) -> bool:
        # Not before: twistd may fork until the gateway runs.
        if self._thread is None:
            self._start()
        now = self._seconds()
        is_due = self._looked_at is None or now - self._looked_at >= LOOK_SECONDS
        if self._rung.is_set() or is_due:
            self._rung.clear()
            self._looked_at = now
            return True
        return False

    def listen(self, on_change: Callable[[], object]) -> None:
        self._on_change = on_change

    def close(self) -> None:
        self._stopped.set()
        if self._waker is not None:
            self._waker.close()
        if self._thread is not None:
            self._thread.join(CONNECT_SECONDS)
            self._thread = self._waker = None

    def _start(self) -> None:
        self._stopped.clear()
        self._waker, wakened = socket.socketpair()
        self._thread = Thread(target=self._listen, args=(wakened,), name="listen", daemon=True)
        self._thread.start()

    def _listen(self, wakened: socket.socket) -> None:
        with wakened:
            while not self._stopped.is_set():
                with suppress(psycopg.Error), psycopg.connect(**_connect_arguments(self._url), autocommit=True) as line:
                    line.execute("LISTEN ldapgw")
                    self._connected()
                    self._ring()
                    self._wait(line, wakened)
                self._stopped.wait(RECONNECT_SECONDS)

    def _wait(self, line: psycopg.Connection[Any], wakened: socket.socket) -> None:
        while not self._stopped.is_set():
            readable, _, _ = selectors.select([line.fileno(), wakened.fileno()], [], [], SILENCE_SECONDS)
            if wakened.fileno() in readable:
                return
            if not readable:
                line.execute("SELECT 1")  # a line that is dead is noticed
            if list(line.notifies(timeout=0)):
                self._stopped.wait(RING_SECONDS)
                list(line.notifies(timeout=0))
                self._ring()

    def _ring(self) -> None:
        self._rung.set()
        self._on_change()


def is_away(error: DBAPIError) -> bool:
    """Whether the server cannot be reached, ends, or has ended the connection."""
    state = _state(error)
    if state.startswith("08") or state in _AWAY:
        return True
    return not state and isinstance(error, (OperationalError, InterfaceError))


def _state(error: DBAPIError) -> str:
    """The SQLSTATE; empty: the error does not come from the server."""
    return getattr(error.orig, "sqlstate", None) or ""


def _reason(error: DBAPIError) -> str:
    """The first line of the message, which has no values; that of a failed connection without its preface."""
    diagnosis = getattr(error.orig, "diag", None)
    message = getattr(diagnosis, "message_primary", None) or str(error.orig)
    line: str = message.strip().partition("\n")[0]
    return re.sub(r"^.*failed: (?:FATAL: +)?", "", line)


def _copy_rows(
    cursor: psycopg.Cursor[Any], statement: str, rows: Sequence[tuple[object, ...]], _context: object
) -> bool:
    """Execute ``COPY`` with its rows, where SQLAlchemy would send a statement for each row; true: it is done.

    SQLAlchemy so reports errors and lost connections as for any other statement.
    """
    if not statement.startswith(_COPY):
        return False
    with cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
    return True


def _engine(url: URL, statement_seconds: int, *, reads: bool = False) -> Engine:
    # Not by a setting of the connection: PgBouncer may drop those.
    reading: dict[str, Any] = (
        {"isolation_level": "REPEATABLE READ", "execution_options": {"postgresql_readonly": True}} if reads else {}
    )
    engine = create_engine(
        url,
        connect_args=_options(url, statement_seconds, reads=reads),
        hide_parameters=True,  # the text of an error must not contain stored values
        pool_pre_ping=True,
        pool_size=2,
        max_overflow=2,
        **reading,
    )
    event.listen(engine, "do_executemany", _copy_rows)
    return engine


def _options(url: URL, statement_seconds: int, *, reads: bool = False) -> dict[str, Any]:
    """Arguments for libpq: time limits, so that neither a silent server nor a stopped gateway holds up the others."""
    settings = {
        "statement_timeout": f"{statement_seconds}s",
        "lock_timeout": f"{LOCK_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{READER_IDLE_SECONDS if reads else IDLE_SECONDS}s",
        # Of 500 keys a plan for any value looks at each of them for each row of the account: a sync that stores
        # 50,000 contacts anew took two minutes.
        "plan_cache_mode": "force_custom_plan",
    }
    given = url.query.get("options", "")
    options = [given] if isinstance(given, str) else [*given]
    options += [f"-c {name}={value}" for name, value in settings.items()]
    arguments: dict[str, Any] = {
        "options": " ".join(options).strip(),
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": 1000 * LOCK_SECONDS,
        "keepalives_idle": LOCK_SECONDS,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "application_name": "ldapgw",
    }
    return {name: value for name, value in arguments.items() if name == "options" or name not in url.query}


def _connect_arguments(url: URL) -> dict[str, Any]:
    """What SQLAlchemy gives psycopg for the URL, which may name several hosts."""
    _, arguments = PGDialect_psycopg().create_connect_args(url)
    return {**arguments, **_options(url, PAGE_SECONDS)}


# --- what the migrations leave to the engine ---

_PHONE_COLUMNS = ("name", "tenant", "account_id", "numbers", "model", "password", "book_secret", "number_format")
# Table, kind of mark, the column with its key, the columns whose change counts (empty: all).
_MARKED = (
    ("account", "account", "id", ()),
    ("source", "account", "account_id", ("state",)),
    ("phone", "phone", "name", _PHONE_COLUMNS),
)
# Their rows get numbers from a sequence.
_NUMBERED = ("account", "activity", "revocation")
# A change of these is told too; "change" has the marks.
_TOLD = ("change", "recording", "alarm", "oauth_client")
# What lasts for seconds: no commit waits for the disk, and a crash may take it away.
_UNLOGGED = ("gateway_news",)

_UPSERT = """
    ON CONFLICT (kind, key) DO UPDATE SET number = excluded.number, marked_at = excluded.marked_at
    WHERE change.number <> excluded.number;
"""
_VALUES = "pg_current_xact_id()::text::bigint, extract(epoch FROM clock_timestamp())"
_MARK = """
CREATE OR REPLACE FUNCTION ldapgw_mark_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND (TG_OP = 'DELETE' OR OLD.{key} IS DISTINCT FROM NEW.{key}) THEN
        INSERT INTO change (kind, key, number, marked_at) VALUES ('{kind}', OLD.{key}::text, {values}) {upsert}
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO change (kind, key, number, marked_at) VALUES ('{kind}', NEW.{key}::text, {values}) {upsert}
    END IF;
    RETURN NULL;
END $$
"""
_MARK_TENANT = """
CREATE OR REPLACE FUNCTION ldapgw_mark_tenant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO change (kind, key, number, marked_at)
    SELECT 'account', id::text, {values} FROM account
    WHERE tenant = CASE TG_OP WHEN 'DELETE' THEN OLD.tenant ELSE NEW.tenant END ORDER BY id {upsert}
    RETURN NULL;
END $$
"""
_TELL = """
CREATE OR REPLACE FUNCTION ldapgw_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('ldapgw', '');
    RETURN NULL;
END $$
"""
_COLUMNS = text("""
SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables USING (table_name)
WHERE columns.table_schema = current_schema() AND tables.table_schema = current_schema() AND table_type = 'BASE TABLE'
AND data_type = 'character varying' AND collation_name IS DISTINCT FROM 'C'
""")


def _finishing_statements(connection: Connection) -> Iterator[str]:
    """Statements after an upgrade: triggers, and text that is compared and ordered as SQLite does, by code points."""
    for table, column in connection.execute(_COLUMNS).all():
        yield f'ALTER TABLE "{table}" ALTER COLUMN "{column}" TYPE varchar COLLATE "C"'
    for table, kind, key, columns in _MARKED:
        yield _MARK.format(table=table, kind=kind, key=key, values=_VALUES, upsert=_UPSERT)
        yield from _trigger(f"ldapgw_mark_{table}", table, "AFTER INSERT OR DELETE", "ROW", f"ldapgw_mark_{table}")
        old, new = (
            ", ".join(f"{row}.{column}" for column in columns) if columns else f"{row}.*" for row in ("OLD", "NEW")
        )
        when = f"({old}) IS DISTINCT FROM ({new})" if len(columns) > 1 else f"{old} IS DISTINCT FROM {new}"
        yield from _trigger(
            f"ldapgw_mark_{table}_update", table, "AFTER UPDATE", "ROW", f"ldapgw_mark_{table}", f"WHEN ({when})"
        )
    yield _MARK_TENANT.format(values=_VALUES, upsert=_UPSERT)
    yield from _trigger(
        "ldapgw_mark_tenant", "oauth_client", "AFTER INSERT OR UPDATE OR DELETE", "ROW", "ldapgw_mark_tenant"
    )
    yield _TELL
    for table in _UNLOGGED:
        yield f"ALTER TABLE {table} SET UNLOGGED"
    for table in _TOLD:
        yield from _trigger("ldapgw_tell", table, "AFTER INSERT OR UPDATE OR DELETE", "STATEMENT", "ldapgw_tell")


def _trigger(name: str, table: str, event_: str, level: str, function: str, when: str = "") -> Iterator[str]:
    yield f"DROP TRIGGER IF EXISTS {name} ON {table}"
    yield f"CREATE TRIGGER {name} {event_} ON {table} FOR EACH {level} {when} EXECUTE FUNCTION {function}()"
