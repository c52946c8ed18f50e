# SPDX-License-Identifier: MIT
"""Copies beside the database: the database before an upgrade or a restore, and damaged database files.

The contacts and tokens of disconnected accounts are removed from the copies.  A copy is deleted after 30 days, or when
the removal fails.  The database shows which accounts are disconnected, so the next start completes a removal that a
power cut has interrupted.  In two cases, the copies may keep a removed account's contacts until the copies are deleted.
Either another gateway has removed the account while this gateway was not running, or the account was removed just
before a power cut.

A copy may have the tables of an older version, so the names of tables are read from the copy itself.
"""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ldapgw.errors import DamagedStore, StoreError
from ldapgw.store.accounts import CLEARED_COLUMNS
from ldapgw.store.files import replace_file
from ldapgw.store.periodic import PeriodicService
from ldapgw.store.sqlite import BUSY_SECONDS

DAY = 86400.0
# The seconds between two runs.  A run fails if the database server does not answer, so the next run should come soon.
CLEAN_SECONDS = 600.0
MAX_AGE_SECONDS = 30 * DAY
# SQLite's own files beside a database.
SIDE_FILE_ENDINGS = ("-wal", "-shm", "-journal")

_COPY = re.compile(r"\.(?:before-upgrade-from-\w+|before-restore|damaged-[0-9]+)")
# The endings of files that a killed command has left.
_LEFTOVER = re.compile(r"\.restoring|\..+\.new")

log = Logger()


class CopyCleaner(PeriodicService):
    """The service that removes disconnected accounts from the copies, and deletes old copies.

    The service runs at the start, every `CLEAN_SECONDS`, and after an account was disconnected.

    :param clock: a clock with seconds since the epoch.
    :param database: see `clean_copies`; None if the database has no file, and so no copies.
    :param run_off_thread: calls a function with its arguments on a thread.
    :param read_disconnected: reads the tenant and the sub of the disconnected accounts from a database on a server, or
        None if the service reads these accounts from the file.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        database: Path | None,
        run_off_thread: Callable[..., Awaitable[Any]],
        read_disconnected: Callable[[], Awaitable[Collection[tuple[str, str]]]] | None = None,
    ) -> None:
        self._clock = clock
        self._database = database
        self._read_disconnected = read_disconnected
        self._run_off_thread = run_off_thread
        self._removed: set[tuple[str, str]] = set()
        failed = partial(log.failure, "deleting old data from copies of the database failed", event="copies_failed")
        super().__init__(clock, CLEAN_SECONDS, self._clean, failed)

    def clean(self) -> Deferred[None]:
        """Clean the copies now, even during another run: that run may not know the latest disconnected account."""
        return self.attempt(self._clean)

    def clean_removed(self, removed: Collection[tuple[str, str]]) -> Deferred[None]:
        """Clean the copies now, and remove accounts that the database no longer has.

        :param removed: the tenant and the sub of accounts that were connected until they were removed.
        """
        self._removed.update(removed)
        return self.clean()

    async def _clean(self) -> None:
        removed = frozenset(self._removed)
        if self._database is not None:
            disconnected = await self._read_disconnected() if self._read_disconnected is not None else None
            lines = await self._run_off_thread(
                clean_copies, self._database, self._clock.seconds(), disconnected, removed
            )
            for line in lines:
                log.warn("{line}", event="copy_removed", line=line)
        self._removed -= removed


def clean_copies(
    database: Path,
    now: float,
    disconnected: Collection[tuple[str, str]] | None = None,
    removed: Collection[tuple[str, str]] = (),
) -> list[str]:
    """Remove disconnected accounts from the copies of a database, and delete old copies; this may take a while.

    :param database: the file of the database; for a database on a server, a path beside the copies.  The name of each
        copy is the name in this path, followed by an ending.
    :param disconnected: the tenant and the sub of the disconnected accounts, or None to read these accounts from the
        file.
    :param removed: the tenant and the sub of accounts that the database no longer has.
    :returns: a line for each copy that was deleted or could not be deleted.
    """
    lines = []
    with _lock(database):
        disconnected = _disconnected_accounts(database) if disconnected is None else disconnected
        gone = {*disconnected, *removed}
        for file in sorted(database.parent.iterdir()):
            ending = file.name.removeprefix(database.name)
            if ending == file.name or not (_COPY.fullmatch(ending) or _LEFTOVER.fullmatch(ending)):
                continue
            with suppress(FileNotFoundError):  # a command may delete its file meanwhile
                if problem := _clean(file, now, gone, is_copy=_COPY.fullmatch(ending) is not None):
                    lines.append(_delete(file, problem))
    return lines


@contextmanager
def _lock(database: Path) -> Iterator[None]:
    """Keep other processes and threads from cleaning the copies of a database at the same time."""
    folder = os.open(database.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _disconnected_accounts(database: Path) -> list[tuple[str, str]]:
    """Read the tenant and the sub of each disconnected account, or nothing if the database cannot be read."""
    with suppress(sqlite3.Error), closing(_connect(database)) as connection:
        return connection.execute("SELECT tenant, sub FROM account WHERE connected_at IS NULL").fetchall()
    return []


def _clean(file: Path, now: float, gone: Collection[tuple[str, str]], *, is_copy: bool) -> str:
    """Remove accounts from a copy.

    :returns: the reason why the copy has to be deleted, or empty if the copy can stay.
    """
    age = now - file.stat().st_mtime
    if not is_copy:
        return "was left by a command that was killed" if age > DAY else ""
    if age > MAX_AGE_SECONDS:
        return "is older than 30 days"
    if not gone:
        return ""
    try:
        _remove_accounts(file, gone)
    except (sqlite3.Error, StoreError) as error:
        return f"may have data of disconnected accounts: {error}"
    except OSError as error:
        return f"may have data of disconnected accounts: {error.strerror}"
    return ""


def _remove_accounts(file: Path, gone: Iterable[tuple[str, str]]) -> None:
    """Replace a copy that has contacts or tokens of the accounts by a file without these contacts and tokens.

    The new file keeps the copy's age.  The rows are not deleted in the old file, because the old file may still have
    the octets of rows that were deleted earlier.
    """
    times = file.stat().st_atime, file.stat().st_mtime
    try:
        with closing(_connect(file)) as source:
            ids = [row[0] for account in gone for row in source.execute(_ACCOUNT, account)]
            if not any(_holds(source, account_id) for account_id in ids):
                return
            with replace_file(file, like=file) as new:
                source.execute("VACUUM INTO ?", (str(new),))
                source.close()
                with closing(_connect(new)) as target:
                    _delete_rows(target, ids)
                for ending in SIDE_FILE_ENDINGS:
                    file.with_name(file.name + ending).unlink(missing_ok=True)
                os.utime(new, times)
    finally:
        with suppress(OSError):  # another user may own the file
            os.utime(file, times)


_RECORDINGS = ("recording_part", "recording")
_IS_OF_PHONE = "phone IN (SELECT name FROM phone WHERE account_id = ?)"
_IS_OF_FURTHER = "phone IN (SELECT phone FROM further_account WHERE account_id = ?)"
# The tables that say to which accounts phones belong.
_TABLES_OF_PHONES = frozenset({"phone", "further_account"})
_ACCOUNT = "SELECT id FROM account WHERE tenant = ? AND sub = ?"


def _holds(connection: sqlite3.Connection, account_id: int) -> bool:
    """Return whether a copy has contacts or tokens of an account."""
    queries = [f"SELECT 1 FROM {table} WHERE account_id = ?" for table in _tables_of_accounts(connection)]  # noqa: S608
    queries.append("SELECT 1 FROM account WHERE id = ? AND connected_at IS NOT NULL")
    return any(connection.execute(query, (account_id,)).fetchone() for query in queries)


def _delete_rows(connection: sqlite3.Connection, ids: Iterable[int]) -> None:
    """Delete the contacts and tokens of accounts.

    :raises DamagedStore: if the copy is damaged, and may still contain deleted rows.
    """
    connection.execute("PRAGMA journal_mode = OFF")  # no rollback is needed: after an error, the file is deleted
    connection.execute("PRAGMA secure_delete = ON")
    cleared = [f"{column} = NULL" for column in _columns(connection, "account") if column in CLEARED_COLUMNS]
    statements = [f"DELETE FROM {table} WHERE account_id = ?" for table in _tables_of_accounts(connection)]  # noqa: S608
    recordings = [table for table in _RECORDINGS if _columns(connection, table)]
    # An old copy may lack the table `further_account`, which has the accounts of a phone besides its first account.
    owned = (_IS_OF_PHONE, _IS_OF_FURTHER) if _columns(connection, "further_account") else (_IS_OF_PHONE,)
    statements += [f"DELETE FROM {table} WHERE {is_owned}" for table in recordings for is_owned in owned]  # noqa: S608
    statements.append(f"UPDATE account SET {', '.join(cleared)} WHERE id = ?")  # noqa: S608  our own names
    for account_id in ids:
        for statement in statements:
            connection.execute(statement, (account_id,))
    if connection.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
        raise DamagedStore("is damaged")


def _tables_of_accounts(connection: sqlite3.Connection) -> list[str]:
    """Return the quoted names of the tables whose rows are deleted with a disconnected account; phones stay."""
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return [
        _quoted(name) for name in tables if name not in _TABLES_OF_PHONES and "account_id" in _columns(connection, name)
    ]


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({_quoted(table)})")]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _connect(file: Path) -> sqlite3.Connection:
    uri = f"{file.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)


def _delete(file: Path, problem: str) -> str:
    try:
        for ending in ("", *SIDE_FILE_ENDINGS):
            file.with_name(file.name + ending).unlink(missing_ok=True)
    except OSError as error:
        return f"{file}: {problem}, and cannot be deleted: {error.strerror}"
    return f"{file}: is deleted, because it {problem}"
