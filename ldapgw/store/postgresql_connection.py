# SPDX-License-Identifier: MIT
"""Connections to PostgreSQL: time limits, the transfer of rows, errors, and the connection that gets notifications.

A thread listens to two kinds of notifications: changes of the database, and bulletins of other gateways.  The
notification of a change has no content.  Notifications may be lost with a connection, so each new connection counts as
a change.  In addition, every `LOOK_SECONDS` the database counts as changed.

Only this module and `ldapgw.store.postgresql` need psycopg.

Mutable: `ChangeListener`.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from selectors import EVENT_READ, DefaultSelector
from threading import Event, Thread
from typing import Any, Final

import psycopg
from psycopg.types.string import StrDumper
from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.pool import NullPool
from twisted.logger import Logger

from ldapgw.store.changes import BULLETIN_CHANNEL, CHANGES_CHANNEL

log = Logger()

# The time limits of a page's statement, and of a statement of a sync or a reader.  The statement of a sync or a reader
# may concern a million contacts.
PAGE_SECONDS = 30
SYNC_SECONDS = 600
# The time limit for locks, the same as with SQLite.  No more is needed, because transactions write for milliseconds.
LOCK_SECONDS = 10
# PostgreSQL ends a transaction after this time without a statement, so that a stopped gateway does not keep its locks.
# Code that computes for longer between two statements uses `ldapgw.store.database.keeping_alive`.
IDLE_SECONDS = 12
# A reader may be idle for longer, because a reader may build a large book between two statements.  Other transactions
# do not wait for a reader.
READER_IDLE_SECONDS = 60
CONNECT_SECONDS = 5

# The beginning of a COPY statement: the client sends the rows after the statement.
COPY = "COPY"

# Without a notification, the changes are read after this time, because notifications may be lost.
LOOK_SECONDS: Final = 5.0
# Notifications within this time count as one change.
RING_SECONDS: Final = 0.05
# A connection that has been silent for this time is tested with a statement.
SILENCE_SECONDS: Final = 30.0
RECONNECT_SECONDS: Final = 0.25

# The SQLSTATE of errors of a server that is starting or stopping, has too many connections, or has ended the
# connection.  Errors of the connection itself have class 08.
_AWAY = {"57P01", "57P02", "57P03", "57P05", "25P03", "53300"}

# The SQLSTATE of a refused connection, by a pattern of the server's message.
_REFUSALS = {
    r"^password authentication failed": "28P01",
    r"^no pg_hba\.conf entry": "28000",
    r"^role .* (?:does not exist|is not permitted to log in)": "28000",
    r"^database .* does not exist": "3D000",
    r"too many (?:clients|connections)|^remaining connection slots": "53300",
}


class _TextDumper(StrDumper):
    """A dumper that omits NUL, which PostgreSQL cannot store."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", ""))


psycopg.adapters.register_dumper(str, _TextDumper)


def _copy_rows(
    cursor: psycopg.Cursor[Any], statement: str, rows: Sequence[tuple[object, ...]], _context: object
) -> bool:
    """Execute ``COPY`` with its rows, in place of SQLAlchemy's ``executemany``.

    SQLAlchemy calls this function, and handles its errors and lost connections as for any other statement.

    :returns: whether the statement was executed; if not, SQLAlchemy executes it.
    """
    if not statement.startswith(COPY):
        return False
    with cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
    return True


def engine_for(url: URL, statement_seconds: int, *, reads: bool = False, keeps_connections: bool = True) -> Engine:
    """Return an engine with a pool of two connections, and two more connections at times of high load.

    :param statement_seconds: the time limit of a statement.
    :param reads: whether transactions only read; each transaction then sees one snapshot.
    :param keeps_connections: whether a pool keeps unused connections open.
    """
    pool: dict[str, Any] = (
        {"pool_pre_ping": True, "pool_size": 2, "max_overflow": 2} if keeps_connections else {"poolclass": NullPool}
    )
    # SQLAlchemy sets the isolation level for each transaction, because PgBouncer may drop settings of a connection.
    reading: dict[str, Any] = (
        {"isolation_level": "REPEATABLE READ", "execution_options": {"postgresql_readonly": True}} if reads else {}
    )
    engine = create_engine(
        url,
        connect_args=_options(url, statement_seconds, reads=reads),
        hide_parameters=True,  # the text of an error must not contain stored values
        **pool,
        **reading,
    )
    event.listen(engine, "do_executemany", _copy_rows)
    return engine


def _options(url: URL, statement_seconds: int, *, reads: bool = False) -> dict[str, Any]:
    """Return arguments for libpq with time limits, so that silent servers and stopped gateways do not block others."""
    settings = {
        "statement_timeout": f"{statement_seconds}s",
        "lock_timeout": f"{LOCK_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{READER_IDLE_SECONDS if reads else IDLE_SECONDS}s",
        # A generic plan of a statement with 500 keys compares all keys with each row of the account: with such plans, a
        # sync that stored 50,000 contacts anew took two minutes.
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


def connect_arguments(url: URL) -> dict[str, Any]:
    """Return the arguments of `psycopg.connect` for a URL, which may name several hosts."""
    _, arguments = PGDialect_psycopg().create_connect_args(url)
    return {**arguments, **_options(url, PAGE_SECONDS)}


def is_away(error: DBAPIError) -> bool:
    """Return whether the error means that the server cannot be reached, is stopping, or has ended the connection."""
    state = sql_state(error)
    if state.startswith("08") or state in _AWAY:
        return True
    return not state and isinstance(error, (OperationalError, InterfaceError))


def sql_state(error: DBAPIError) -> str:
    """Return the SQLSTATE of an error, or empty if the error does not come from the server."""
    return getattr(error.orig, "sqlstate", None) or ""


def state_of_refusal(error: DBAPIError) -> str:
    """Derive the SQLSTATE of a refused connection from the message, because libpq gives only the message."""
    text = reason_of(error)
    return next((state for pattern, state in _REFUSALS.items() if re.search(pattern, text)), "")


def reason_of(error: DBAPIError) -> str:
    """Return the first line of an error's message, which contains no stored values.

    The line about a failed connection is returned without libpq's preface (host and port).
    """
    diagnosis = getattr(error.orig, "diag", None)
    message = getattr(diagnosis, "message_primary", None) or str(error.orig)
    line: str = message.strip().partition("\n")[0]
    return re.sub(r"^.*failed: (?:FATAL: +)?", "", line)


class ChangeListener:
    """The `ldapgw.store.database.ChangeDetector` of a PostgreSQL database.

    :param connected: called with each new connection, on the listening thread.
    :param seconds: a monotonic clock.
    """

    def __init__(
        self,
        url: URL,
        *,
        connected: Callable[[psycopg.Connection[Any]], object] = lambda _line: None,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._connected = connected
        self._seconds = seconds
        self._looked_at: float | None = None
        self._on_change: Callable[[], object] = lambda: None
        self._on_bulletin: Callable[[str], object] = lambda _bulletin: None
        self._rung = Event()
        self._stopped = Event()
        self._is_interrupted = False
        self._thread: Thread | None = None
        self._waker: socket.socket | None = None

    def has_changed(self) -> bool:
        now = self._seconds()
        is_due = self._looked_at is None or now - self._looked_at >= LOOK_SECONDS
        has_changed = self._rung.is_set() or is_due
        if has_changed:
            self._rung.clear()
            self._looked_at = now
        # The thread starts here and not earlier, because twistd may fork before the gateway runs, and a thread does not
        # survive a fork.  If the new thread notifies a change at once, the next call of this method returns True.
        if not self._stopped.is_set() and (self._thread is None or not self._thread.is_alive()):
            self._start()
        return has_changed

    def listen(self, on_change: Callable[[], object], on_bulletin: Callable[[str], object]) -> None:
        self._on_change = on_change
        self._on_bulletin = on_bulletin

    def close(self) -> None:
        """Make the thread end, without waiting for its end, because the server may not answer the thread."""
        self._stopped.set()
        if self._waker is not None:
            self._waker.close()
        self._thread = self._waker = None

    def _start(self) -> None:
        if self._waker is not None:  # the waker belongs to a thread that has ended
            self._waker.close()
        self._waker, wakened = socket.socketpair()
        self._thread = Thread(target=self._listen, args=(wakened,), name="listen", daemon=True)
        self._thread.start()

    def _listen(self, wakened: socket.socket) -> None:
        """Listen on one connection after another, until the gateway stops."""
        with wakened:
            while not self._stopped.is_set():
                try:
                    with closing(psycopg.connect(**connect_arguments(self._url), autocommit=True)) as line:
                        for channel in (BULLETIN_CHANNEL, CHANGES_CHANNEL):
                            line.execute(f"LISTEN {channel}".encode())
                        self._connected(line)
                        self._is_interrupted = False
                        self._ring()
                        self._wait(line, wakened)
                except Exception as error:  # noqa: BLE001  after any error, the gateway has to listen again
                    self._log(error)
                self._stopped.wait(RECONNECT_SECONDS)

    def _log(self, error: Exception) -> None:
        """Log an interruption, but only once until there is a new connection."""
        if self._is_interrupted or self._stopped.is_set():
            return
        self._is_interrupted = True
        if isinstance(error, psycopg.Error):
            log.warn(
                "the connection that reports changes has ended; until there is a new connection, the gateway looks for "
                "changes every {seconds} seconds",
                event="listening_interrupted",
                seconds=int(LOOK_SECONDS),
            )
        else:
            log.failure("listening for changes failed; the gateway listens again", event="listening_failed")

    def _wait(self, line: psycopg.Connection[Any], wakened: socket.socket) -> None:
        """Pass on notifications until the connection ends."""
        # select() cannot be used, because a gateway with many phones has descriptors above 1023.
        with DefaultSelector() as selector:
            selector.register(wakened, EVENT_READ)
            selector.register(line.fileno(), EVENT_READ)
            while not self._stopped.is_set():
                ready = selector.select(SILENCE_SECONDS)
                if any(key.fileobj is wakened for key, _ in ready):
                    return
                if not ready:
                    line.execute("SELECT 1")  # fails if the connection is dead
                if self._take(line):
                    self._stopped.wait(RING_SECONDS)
                    self._take(line)
                    self._ring()

    def _take(self, line: psycopg.Connection[Any]) -> bool:
        """Pass on the received bulletins, and return whether a notification of a change was received."""
        has_changed = False
        for notification in line.notifies(timeout=0):
            if notification.channel == BULLETIN_CHANNEL:
                self._on_bulletin(notification.payload)
            else:
                has_changed = True
        return has_changed

    def _ring(self) -> None:
        self._rung.set()
        # The reactor may have ended, so that `callFromThread` fails.
        with suppress(RuntimeError):
            self._on_change()
