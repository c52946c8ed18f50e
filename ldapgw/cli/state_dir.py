# SPDX-License-Identifier: MIT
"""The part of ``check`` that examines the folder ``state_dir``, the database and the key file without changing them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ldapgw.cli.check_result import CheckResult, CheckStatus
from ldapgw.cli.site import Site, is_missing, now
from ldapgw.contact import SYSTEM_LABELS
from ldapgw.errors import StoreError
from ldapgw.google.endpoints import Client
from ldapgw.peers.leadership import POOLED
from ldapgw.server.state_dir import lost_accounts
from ldapgw.store.database import is_current, read_revision, revisions, unusable_revision
from ldapgw.store.engines import database_at
from ldapgw.store.logins_file import age_in_words
from ldapgw.store.secrets import KeySource, SecretBox, kept_key_files, read_keys
from ldapgw.store.sqlite import LOG_LIMIT

# Octets on the disk of the state directory: an upgrade keeps a copy of the database beside it, and the log and the
# cached books of some 100,000 contacts need as much.
MIN_FREE = 200_000_000
# A gateway has some dozens of files, and a cached book for each account.
MIN_INODES = 1000
# Seconds that this machine's clock may be behind the last sync, which another gateway may have ended.
MAX_CLOCK_SECONDS = 120.0


def check_state_dir(site: Site) -> Iterator[CheckResult]:
    """Check the folder, the database, the key file, and whether the key fits the database."""
    yield _folder(site.state_dir, may_create=site.may_create_state_dir)
    file = site.database_file
    if file is None:
        yield _server(site.database_url)
    elif is_missing(file):
        yield _missing("database", file, may_create=site.config.new_store)
    else:
        result = _database(file)
        yield result if file.parent == site.state_dir else _unless_open(result, file)
        yield from _lost_accounts(site, file)
    yield from _newer_books(site)
    yield _key(site.key_source, [(name, sealed) for name, sealed in _rows(site, _SEALED)])
    yield from map(_kept_key, kept_key_files(site.key_source.file))
    yield from _disks(site)
    yield from _clock(site)


def _lost_accounts(site: Site, file: Path) -> Iterator[CheckResult]:
    # A database of an older version does not know which ids it has given.
    for (last_id,) in _rows(site, "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'account'"):
        problem = lost_accounts(site.state_dir, last_id)
        if problem:
            yield CheckResult(CheckStatus.FAILED, f"database {file}", problem)


def _newer_books(site: Site) -> Iterator[CheckResult]:
    """Name cached books that are newer than the database, because other tools have put former data back."""
    cached = list(site.book_cache.generations())  # first: a running gateway never caches what is not stored yet
    stored = {account_id: (epoch, generation) for account_id, epoch, generation in _rows(site, _GENERATIONS)}
    newer = 0
    for account_id, history, cached_generation in cached:
        epoch, generation = stored.get(account_id, ("", 0))
        newer += history.epoch == epoch and cached_generation > generation
    if newer:
        yield CheckResult(
            CheckStatus.WARNING,
            f"cached books in {site.state_dir}",
            f"{'1 is' if newer == 1 else f'{newer} are'} newer than the database, whose numbers have gone back; stop "
            "all gateways, delete the folder images in each state_dir, and start them",
        )


_GENERATIONS = "SELECT account.id, change.key, account.generation FROM account, change WHERE change.kind = 'epoch'"


def _kept_key(file: Path) -> CheckResult:
    item = f"old key {file}"
    try:
        read_keys(file)
    except StoreError as error:
        return CheckResult(CheckStatus.FAILED, item, error.problems[0].removeprefix(f"{file}: "))
    day = file.suffix.removeprefix(".")
    message = f"is for backups from before the rotation on {day}; delete the file when you no longer have any"
    return CheckResult(CheckStatus.OK, item, message)


def _disks(site: Site) -> Iterator[CheckResult]:
    """Check the room on the file systems of the state directory and of a database file elsewhere."""
    file = site.database_file
    size = sum(_size(file.with_name(file.name + ending)) for ending in ("", "-wal")) if file else 0
    seen = set()
    for folder in (site.state_dir, *((file.parent,) if file else ())):
        nearest = next(path for path in (folder, *folder.absolute().parents) if not is_missing(path))
        try:
            device, room = nearest.stat().st_dev, os.statvfs(nearest)
        except OSError as error:
            yield CheckResult(CheckStatus.FAILED, f"disk of {folder}", f"cannot be examined: {error.strerror}")
            continue
        if device not in seen:
            seen.add(device)
            yield _disk(f"disk of {folder}", room, max(MIN_FREE, 2 * size))


def _disk(item: str, room: os.statvfs_result, needed: int) -> CheckResult:
    """:param needed: octets."""
    free = room.f_bavail * room.f_frsize
    # Some file systems, such as btrfs, have no fixed number of inodes.
    has_few_inodes = room.f_files > 0 and room.f_favail < MIN_INODES
    found = f"{free / 1e6:.0f} MB{f' and {room.f_favail} inodes' if has_few_inodes else ''} free"
    if free < LOG_LIMIT or (has_few_inodes and not room.f_favail):
        return CheckResult(CheckStatus.FAILED, item, f"is full, the gateway cannot store anything: {found}; make room")
    if free < needed or has_few_inodes:
        message = f"{found}; make room: an upgrade may need {needed / 1e6:.0f} MB and {MIN_INODES} inodes"
        return CheckResult(CheckStatus.WARNING, item, message)
    return CheckResult(CheckStatus.OK, item, found)


def _clock(site: Site) -> Iterator[CheckResult]:
    """Name a clock that is behind the last sync, as after a start without a battery or a network."""
    for (last_sync,) in _rows(site, "SELECT max(last_sync) FROM account"):
        behind = (last_sync or 0) - now()
        if behind > MAX_CLOCK_SECONDS:
            message = (
                f"is {age_in_words(behind)} behind the last sync; synchronize it, such as with timedatectl set-ntp true"
            )
            yield CheckResult(CheckStatus.WARNING, "clock", message)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def has_entered_client(site: Site, tenant: str) -> bool:
    """Whether an administrator has entered a tenant's OAuth client on the page; false if the database is unreadable."""
    return any(row[0] == tenant for row in _rows(site, "SELECT tenant FROM oauth_client"))


def entered_clients(site: Site) -> Mapping[str, Client]:
    """The OAuth clients that administrators have entered on the page by tenant; empty if they cannot be read."""
    try:
        secret_box = SecretBox.open(site.key_source, create=False)
        rows = _rows(site, "SELECT tenant, client_id, client_secret FROM oauth_client")
        return {tenant: Client(client_id, secret_box.unseal(sealed)) for tenant, client_id, sealed in rows}
    except StoreError:
        return {}


def connected_accounts(site: Site) -> Mapping[str, Sequence[tuple[str, str]]]:
    """Address and sharing of each tenant's connected accounts, by tenant; empty if the database is unreadable."""
    connected: dict[str, list[tuple[str, str]]] = {}
    query = "SELECT tenant, address, sharing FROM account WHERE connected_at IS NOT NULL ORDER BY 1, 2"
    for tenant, address, sharing in _rows(site, query):
        connected.setdefault(tenant, []).append((address, sharing))
    return connected


def label_names(site: Site) -> Mapping[str, frozenset[str]]:
    """The labels of each tenant's synced accounts, in folded case, by tenant; empty if the database is unreadable."""
    names: dict[str, set[str]] = {}
    query = (
        "SELECT tenant, name FROM account LEFT JOIN label ON account_id = id "
        "WHERE connected_at IS NOT NULL AND last_sync IS NOT NULL"
    )
    for tenant, name in _rows(site, query):
        names.setdefault(tenant, {label.rpartition("/")[2].casefold() for label in SYSTEM_LABELS})
        names[tenant].add((name or "").casefold())
    return {tenant: frozenset(known) for tenant, known in names.items()}


def _rows(site: Site, query: str) -> Sequence[Any]:
    """The rows that a query finds; none if the database is missing or cannot be read."""
    file = site.database_file
    try:
        if file is None:
            with closing(database_at(site.database_url)) as database, database.begin_read() as reader:
                return reader.exec_driver_sql(query).all()
        if is_missing(file):
            return ()
        with closing(sqlite3.connect(_read_only_uri(file), uri=True)) as connection:
            return connection.execute(query).fetchall()
    except (sqlite3.Error, StoreError):
        return ()


def _folder(path: Path, *, may_create: bool) -> CheckResult:
    if is_missing(path):
        return _missing("state_dir", path, may_create=may_create)
    if path.exists() and not path.is_dir():
        return CheckResult(CheckStatus.FAILED, f"state_dir {path}", "is not a folder")
    if not os.access(path, os.F_OK):
        return CheckResult(CheckStatus.FAILED, f"state_dir {path}", "cannot be looked into by this user")
    if path.stat().st_mode & 0o007:
        return CheckResult(CheckStatus.FAILED, f"state_dir {path}", f"everybody can read it; run: chmod 700 {path}")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return CheckResult(CheckStatus.FAILED, f"state_dir {path}", "cannot be written to by this user")
    return CheckResult(CheckStatus.OK, f"state_dir {path}", "can be written to")


def _missing(what: str, path: Path, *, may_create: bool = True) -> CheckResult:
    """The result for a file or folder that the gateway creates at its start.

    :param may_create: whether the configuration lets the gateway create it.
    """
    if not may_create:
        advice = "mount the disk with it, or restore a backup"
        return CheckResult(CheckStatus.FAILED, f"{what} {path}", f"is not there, and new_store is false; {advice}")
    nearest = next(folder for folder in path.absolute().parents if not is_missing(folder))
    if os.access(nearest, os.W_OK | os.X_OK):
        return CheckResult(CheckStatus.OK, f"{what} {path}", "will be created")
    return CheckResult(
        CheckStatus.FAILED, f"{what} {path}", f"cannot be created: {nearest} cannot be written to by this user"
    )


def _server(url: str) -> CheckResult:
    """The result for a database that is not a file."""
    try:
        database = database_at(url)
    except StoreError as error:
        message = error.problems[0].removeprefix("database: ")
        return CheckResult(CheckStatus.FAILED, "database", message, is_setting=True)
    if not database.runs_beside:
        message = "is in memory: everything is forgotten when the gateway stops"
        return CheckResult(CheckStatus.WARNING, "database", message, is_setting=True)
    item, revision, usable = f"database {database.name}", None, False
    try:
        with closing(database):
            session = database.leader_session()
            if session is not None and session.is_pooled():
                return CheckResult(CheckStatus.FAILED, item, POOLED)
            with database.begin_read() as connection:
                revision = read_revision(connection, database.name)
                if revision is not None:
                    is_current(connection, database)
                    usable = True
    except StoreError as error:
        message = error.problems[0].removeprefix(f"{database.name}: ")
        return CheckResult(CheckStatus.FAILED, item, message)
    return _version(item, revision, usable=usable)


# Whose each encrypted secret is, and the secret.
_SEALED = (
    "SELECT address, refresh_token FROM account WHERE refresh_token IS NOT NULL "
    "UNION ALL SELECT address, access_token FROM account WHERE access_token IS NOT NULL "
    "UNION ALL SELECT 'client of ' || tenant, client_secret FROM oauth_client"
)


def _database(file: Path) -> CheckResult:
    """The result for the database file."""
    item = f"database {file}"
    try:
        with closing(sqlite3.connect(_read_only_uri(file), uri=True)) as connection:
            damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if damage != "ok":
                return CheckResult(CheckStatus.FAILED, item, "is damaged; put it back from a backup")
            revision = _first(connection, "alembic_version", "SELECT version_num FROM alembic_version")
            readable_from = _first(connection, "schema_version", "SELECT readable_from FROM schema_version")
    except sqlite3.Error as error:
        return CheckResult(CheckStatus.FAILED, item, f"cannot be used: {error}")
    if not os.access(file, os.R_OK | os.W_OK):
        return CheckResult(CheckStatus.FAILED, item, "cannot be written to by this user")
    return _version(item, revision, usable=readable_from in revisions())


def _unless_open(result: CheckResult, file: Path) -> CheckResult:
    """The result for a database file, unless everybody can read the file where it is."""
    if result.status is CheckStatus.FAILED or not (file.stat().st_mode & 0o007 and file.parent.stat().st_mode & 0o001):
        return result
    return CheckResult(CheckStatus.FAILED, result.item, f"everybody can read it; run: chmod 600 {file}")


def _read_only_uri(file: Path) -> str:
    """A URI with which SQLite opens a database file without creating files beside it.

    Reading a database in WAL mode creates the files ``-wal`` and ``-shm``, unless the database is declared immutable.
    A database that nobody has open is immutable; the absence of the ``-wal`` file shows that.
    """
    in_use = not is_missing(file.with_name(file.name + "-wal"))
    return f"{file.absolute().as_uri()}?mode=ro" + ("" if in_use else "&immutable=1")


def _first(connection: sqlite3.Connection, table: str, query: str) -> Any:
    """The first column of a query's first row; None: no row, or no such table."""
    has_table = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    row = connection.execute(query).fetchone() if has_table else None
    return row[0] if row else None


def _version(item: str, revision: object, *, usable: bool) -> CheckResult:
    """:param usable: whether this version can use the tables if they are of a newer version."""
    newest, *older = revisions()
    if revision is None:
        return CheckResult(CheckStatus.OK, item, "is empty; will be set up")
    if revision in older:
        return CheckResult(
            CheckStatus.WARNING, item, "is from an older version; the next start upgrades it and keeps a copy"
        )
    if revision != newest and usable:
        return CheckResult(CheckStatus.OK, item, "is from a newer version, and this version can use it")
    if revision != newest:
        return CheckResult(CheckStatus.FAILED, item, unusable_revision(str(revision)))
    return CheckResult(CheckStatus.OK, item, f"version {revision}")


def _key(source: KeySource, secrets: Sequence[tuple[str, bytes]]) -> CheckResult:
    """:param secrets: whose each encrypted secret in the database is, and the secret."""
    if not secrets and not source.configured and is_missing(source.file):
        return _missing("key file", source.file)
    is_setting = bool(source.configured)
    item = source.name if is_setting else f"key file {source.file}"
    try:
        secret_box = SecretBox.open(source, create=False)
        if (unfit := secret_box.find_unfit(secrets)) is not None:
            raise unfit
    except StoreError as error:
        message = error.problems[0].removeprefix(f"{source.name}: ")
        return CheckResult(CheckStatus.FAILED, item, message, is_setting=is_setting)
    return CheckResult(CheckStatus.OK, item, "fits the database" if secrets else "readable", is_setting=is_setting)
