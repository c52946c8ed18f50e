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
from ldapgw.cli.site import Site, is_missing
from ldapgw.contact import SYSTEM_LABELS
from ldapgw.errors import StoreError
from ldapgw.google.endpoints import Client
from ldapgw.store.database import revisions
from ldapgw.store.engines import database_at
from ldapgw.store.secrets import SecretBox


def check_state_dir(site: Site) -> Iterator[CheckResult]:
    """Check the folder, the database, the key file, and whether the key fits the database."""
    may_create = site.config.new_store
    yield _folder(site.state_dir, may_create=may_create)
    sealed = None
    file = site.database_file
    if file is None:
        yield _other_database(site.database_url)
    elif is_missing(file):
        yield _missing("database", file, may_create=may_create)
    else:
        result, sealed = _database(file)
        yield result
    yield _key(site.key_file, sealed)


def has_entered_client(site: Site, tenant: str) -> bool:
    """Whether an administrator has entered a tenant's OAuth client on the page; false if the database is unreadable."""
    file = site.database_file
    if file is None or is_missing(file):
        return False
    try:
        with closing(sqlite3.connect(_read_only_uri(file), uri=True)) as connection:
            query = "SELECT 1 FROM oauth_client WHERE tenant = ?"
            return _first(connection, "oauth_client", query, tenant) is not None
    except sqlite3.Error:
        return False


def entered_clients(site: Site) -> Mapping[str, Client]:
    """The OAuth clients that administrators have entered on the page by tenant; empty if they cannot be read."""
    file = site.database_file
    if file is None or is_missing(file):
        return {}
    try:
        secret_box = SecretBox.open(site.key_file, create=False)
        with closing(sqlite3.connect(_read_only_uri(file), uri=True)) as connection:
            rows = connection.execute("SELECT tenant, client_id, client_secret FROM oauth_client").fetchall()
        return {tenant: Client(client_id, secret_box.unseal(sealed)) for tenant, client_id, sealed in rows}
    except (sqlite3.Error, StoreError):
        return {}


def connected_accounts(site: Site) -> Mapping[str, Sequence[tuple[str, str]]]:
    """Address and sharing of each tenant's connected accounts, by tenant; empty if the database is unreadable."""
    file = site.database_file
    if file is None or is_missing(file):
        return {}
    connected: dict[str, list[tuple[str, str]]] = {}
    try:
        with closing(sqlite3.connect(_read_only_uri(file), uri=True)) as connection:
            query = "SELECT tenant, address, sharing FROM account WHERE connected_at IS NOT NULL ORDER BY 1, 2"
            for tenant, address, sharing in connection.execute(query):
                connected.setdefault(tenant, []).append((address, sharing))
    except sqlite3.Error:
        return {}
    return connected


def label_names(site: Site) -> Mapping[str, frozenset[str]]:
    """The labels of each tenant's synced accounts, in folded case, by tenant; empty if the database is unreadable."""
    file = site.database_file
    if file is None or is_missing(file):
        return {}
    names: dict[str, set[str]] = {}
    try:
        with closing(sqlite3.connect(_read_only_uri(file), uri=True)) as connection:
            query = (
                "SELECT tenant, name FROM account LEFT JOIN label ON account_id = id "
                "WHERE connected_at IS NOT NULL AND last_sync IS NOT NULL"
            )
            for tenant, name in connection.execute(query):
                names.setdefault(tenant, {label.rpartition("/")[2].casefold() for label in SYSTEM_LABELS})
                names[tenant].add((name or "").casefold())
    except sqlite3.Error:
        return {}
    return {tenant: frozenset(known) for tenant, known in names.items()}


def _folder(path: Path, *, may_create: bool) -> CheckResult:
    if is_missing(path):
        return _missing("state_dir", path, may_create=may_create)
    if path.exists() and not path.is_dir():
        return CheckResult(CheckStatus.FAILED, f"state_dir {path}", "is not a folder")
    if not os.access(path, os.F_OK):
        return CheckResult(CheckStatus.FAILED, f"state_dir {path}", "cannot be looked into by this user")
    if path.stat().st_mode & 0o007:
        return CheckResult(
            CheckStatus.FAILED, f"state_dir {path}", f"everybody may look into it; run: chmod 700 {path}"
        )
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


def _other_database(url: str) -> CheckResult:
    try:
        database_at(url).close()
    except StoreError as error:
        message = error.problems[0].removeprefix("database: ")
        return CheckResult(CheckStatus.FAILED, "database", message, is_setting=True)
    return CheckResult(
        CheckStatus.WARNING, "database", "is in memory: everything is forgotten when the gateway stops", is_setting=True
    )


def _database(file: Path) -> tuple[CheckResult, bytes | None]:
    """The result for the database file, and one of its encrypted secrets, if there are any."""
    item = f"database {file}"
    try:
        with closing(sqlite3.connect(_read_only_uri(file), uri=True)) as connection:
            damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if damage != "ok":
                return CheckResult(CheckStatus.FAILED, item, "is damaged; put it back from a backup"), None
            revision = _first(connection, "alembic_version", "SELECT version_num FROM alembic_version")
            sealed = _first(
                connection, "account", "SELECT refresh_token FROM account WHERE refresh_token IS NOT NULL"
            ) or _first(connection, "oauth_client", "SELECT client_secret FROM oauth_client")
    except sqlite3.Error as error:
        return CheckResult(CheckStatus.FAILED, item, f"cannot be used: {error}"), None
    if not os.access(file, os.R_OK | os.W_OK):
        return CheckResult(CheckStatus.FAILED, item, "cannot be written to by this user"), sealed
    return _version(item, revision), sealed


def _read_only_uri(file: Path) -> str:
    """A URI with which SQLite opens a database file without creating files beside it.

    Reading a database in WAL mode creates the files ``-wal`` and ``-shm``, unless the database is declared immutable.
    A database that nobody has open is immutable; the absence of the ``-wal`` file shows that.
    """
    in_use = not is_missing(file.with_name(file.name + "-wal"))
    return f"{file.absolute().as_uri()}?mode=ro" + ("" if in_use else "&immutable=1")


def _first(connection: sqlite3.Connection, table: str, query: str, *values: str) -> Any:
    """The first column of a query's first row; None: no row, or no such table."""
    has_table = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    row = connection.execute(query, values).fetchone() if has_table else None
    return row[0] if row else None


def _version(item: str, revision: object) -> CheckResult:
    newest, *older = revisions()
    if revision == newest:
        return CheckResult(CheckStatus.OK, item, f"version {revision}")
    if revision is None:
        return CheckResult(CheckStatus.OK, item, "is empty; will be set up")
    if revision in older:
        return CheckResult(
            CheckStatus.WARNING, item, "is of an older version; will be brought up to date, and a copy kept"
        )
    return CheckResult(CheckStatus.FAILED, item, "was made by another version of ldapgw; install that version")


def _key(file: Path, sealed: bytes | None) -> CheckResult:
    if sealed is None and is_missing(file):
        return _missing("key file", file)
    try:
        secret_box = SecretBox.open(file, create=False)
        if sealed is not None:
            secret_box.unseal(sealed)
    except StoreError as error:
        return CheckResult(CheckStatus.FAILED, f"key file {file}", error.problems[0].removeprefix(f"{file}: "))
    return CheckResult(CheckStatus.OK, f"key file {file}", "readable" if sealed is None else "fits the database")
