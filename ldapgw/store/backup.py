# SPDX-License-Identifier: MIT
"""A copy of the database while it is used, and its way back.

SQLite's online backup does the copying: a consistent picture out of a database that is written to, and into one that
is read.  So a backup is put back in one transaction, and a running gateway sees it as it sees any other change.  Only
where the database is gone or damaged does another file take its place; the old ones are kept beside it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, delete, update

from ldapgw.errors import DamagedStore, StoreError, UnfitKey
from ldapgw.store.database import BUSY_SECONDS, Database, check_writable, copy_owner, flush_to_disk, replace_file
from ldapgw.store.key_rotation import unseal_all
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import account, consent_flow, sign_in

_TRY_SECONDS = 0.25
# SQLite's own files beside a database.
_SIDE_FILE_ENDINGS = ("-wal", "-shm", "-journal")
# Result codes of a database that is damaged, or lacks our tables.
_DAMAGED_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
# Generations between what was published and what is restored.
_GENERATION_MARGIN = 1000


def back_up(database: Path, file: Path) -> None:
    """Copy a database into a file, which is replaced if it is there.

    :raises StoreError: when that is not possible, or the database is damaged; `file` is as it was then.
    """
    if database.parent.resolve() == file.parent.resolve() and file.name.startswith(database.name):
        raise StoreError(f"{file}: is where the gateway keeps its own files; name another place")
    with _store_errors(file), replace_file(file) as new:
        _copy(_opened(database, f"{database.absolute().as_uri()}?mode=rw"), new)
        with closing(sqlite3.connect(new)) as copy:
            # One file is all of it.
            copy.execute("PRAGMA journal_mode = DELETE")
            if copy.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise DamagedStore(f"{database}: is damaged; nothing was backed up")


def restore(file: Path, database: Path, secret_box: SecretBox) -> None:
    """Put a backup back.

    Nobody is signed in to the page afterwards, no consent is under way, and no sync is running.

    :param vault: has to fit the secrets in the backup.
    :raises StoreError: when that is not possible; the database is as it was then.
    """
    work = database.with_name(database.name + ".restoring")
    with _store_errors(database):
        try:
            _clear(work)
            work.touch(mode=0o600)
            with _store_errors(file):
                _copy(_opened(file, f"{file.absolute().as_uri()}?mode=ro"), work)
                _refuse_empty(work, file)
            latest = _latest_generation(database)
            _prepare(work, file, secret_box, latest or 0)
            if latest is None:
                _move_damaged(database)
                copy_owner(work, database.parent)
                flush_to_disk(work)
                work.rename(database)
                flush_to_disk(database.parent)
            else:
                _keep_copy(database)
                _copy(closing(sqlite3.connect(work)), database)
        finally:
            _clear(work)


def _prepare(work: Path, file: Path, secret_box: SecretBox, latest: int) -> None:
    """Bring a copy of a backup up to date, look at all of it, and forget what was true at its time alone.

    :param latest: the highest generation that has been published; what was built of it must not be taken for ours.
    """
    copy = Database(f"sqlite:///{work}", keeps_copies=False)
    try:
        copy.open()
        with copy.begin() as connection:
            check_writable(connection, thoroughly=True)
            unseal_all(connection, secret_box)
            _forget(connection, latest)
    except UnfitKey:
        raise StoreError(
            f"{file}: was made under another key; add that as another line of the key file, restore, and run rotate-key"
        ) from None
    except StoreError as error:
        raise type(error)(problem.replace(str(work), str(file)) for problem in error.problems) from None
    finally:
        copy.close()
    with closing(sqlite3.connect(work)) as single:
        single.execute("PRAGMA journal_mode = DELETE")


def _refuse_empty(work: Path, file: Path) -> None:
    with closing(sqlite3.connect(work)) as copy:
        if copy.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
            raise StoreError(f"{file}: is no database of ldapgw")


def _forget(connection: Connection, latest: int) -> None:
    for table in (sign_in, consent_flow):
        connection.execute(delete(table))
    # A sync may end before all is done.
    new = account.c.generation + latest + _GENERATION_MARGIN
    connection.execute(update(account).values(syncing=False, generation=new, known_since=new))


def _latest_generation(database: Path) -> int | None:
    """The highest generation of a database; None where it is gone, damaged, or none of ours."""
    if not database.exists():
        return None
    try:
        with closing(sqlite3.connect(database, timeout=BUSY_SECONDS)) as connection:
            whole = connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
            latest = connection.execute("SELECT coalesce(max(generation), 0) FROM account").fetchone()[0]
            return int(latest) if whole else None
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED_CODES:
            return None
        raise


def _keep_copy(database: Path) -> None:
    """Whoever restores the wrong backup finds here what there was."""
    with replace_file(database.with_name(database.name + ".before-restore"), like=database) as kept:
        _copy(closing(sqlite3.connect(database)), kept)


def _move_damaged(database: Path) -> None:
    """Move a damaged database out of the way, to a name that does not exist yet; who has it open can go on with it."""
    number = 1
    while (aside := database.with_name(f"{database.name}.damaged-{number}")).exists():
        number += 1
    for ending in ("", *_SIDE_FILE_ENDINGS):
        old = database.with_name(database.name + ending)
        if old.exists():
            old.rename(aside.with_name(aside.name + ending))


def _copy(source: closing[sqlite3.Connection], target: Path) -> None:
    """One transaction; waits for a lock as long as any other does."""
    tries = int(BUSY_SECONDS / _TRY_SECONDS)

    def count(status: int, _remaining: int, _total: int) -> None:
        nonlocal tries
        tries -= 1
        if not tries and status:
            raise StoreError(f"{target}: cannot be used: database is locked; another program keeps it locked")

    with source as old, closing(sqlite3.connect(target)) as new:
        old.backup(new, progress=count, sleep=_TRY_SECONDS)


def _opened(path: Path, uri: str) -> closing[sqlite3.Connection]:
    if not path.is_file():
        raise StoreError(f"{path}: is no file")
    return closing(sqlite3.connect(uri, uri=True))


def _clear(work: Path) -> None:
    for ending in ("", *_SIDE_FILE_ENDINGS):
        work.with_name(work.name + ending).unlink(missing_ok=True)


@contextmanager
def _store_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{path}: cannot be used: {error}") from None
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror or os.strerror(error.errno or 0)}") from None
