# SPDX-License-Identifier: MIT
"""Connections to PostgreSQL: their time limits, the transfer of rows, and the meaning of their errors.

Only this module and `ldapgw.store.postgresql` need psycopg.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.types.string import StrDumper
from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.pool import NullPool

# The time limit of a page's statement, and the time limit of a statement of a sync or a reader, which may concern a
# million contacts.
PAGE_SECONDS = 30
SYNC_SECONDS = 600
# The time limit for locks is the same as with SQLite, because transactions write for milliseconds.
LOCK_SECONDS = 10
# PostgreSQL ends a transaction after this time without a statement, so that a stopped gateway does not keep its locks.
# Code that computes for longer between two statements uses `ldapgw.store.database.keeping_alive`.
IDLE_SECONDS = 12
# A reader may be idle longer, because it keeps no lock that others wait for, and may build a large book between two
# statements.
READER_IDLE_SECONDS = 60
CONNECT_SECONDS = 5

# The beginning of a COPY statement: the client sends the rows after the statement.
COPY = "COPY"

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
