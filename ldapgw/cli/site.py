# SPDX-License-Identifier: MIT
"""A site: the gateway on this machine that a command is about, by its configuration and its database.

A command that only reads or changes what is there creates nothing: where there is no database, it sees an empty one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click
from sqlalchemy import Connection, make_url

from ldapgw.errors import UserError
from ldapgw.google.endpoints import Client
from ldapgw.server.config import Config, Tenant, load
from ldapgw.server.oauth_clients import configured_clients
from ldapgw.server.state_dir import KEY_FILE, check_database_not_lost, database_url
from ldapgw.store import accounts, tenants
from ldapgw.store.accounts import Account
from ldapgw.store.database import Database, prepare_state_dir
from ldapgw.store.secrets import SecretBox

if TYPE_CHECKING:
    from ldapgw.sync.book_cache import BookCache

_IN_MEMORY = "sqlite://"


class Site:
    """What the configuration file describes.

    :param file: the configuration file; read when something of it is asked for.
    """

    def __init__(self, file: str) -> None:
        self.file = file

    @cached_property
    def config(self) -> Config:
        """The configuration.

        :raises UserError: with all its problems.
        """
        return load(self.file)

    @property
    def state_dir(self) -> Path:
        """Where the key file, and by default the database, lie."""
        return Path(self.config.state_dir)

    @property
    def key_file(self) -> Path:
        """The key that secrets are sealed with."""
        return self.state_dir / KEY_FILE

    @property
    def images(self) -> BookCache:
        """Books as they were built, for the next start."""
        from ldapgw.sync.book_cache import FOLDER, BookCache

        return BookCache(self.state_dir / FOLDER)

    @property
    def database_url(self) -> str:
        """SQLAlchemy's."""
        return database_url(self.state_dir, self.config.database)

    @property
    def database_file(self) -> Path | None:
        """The file of an SQLite database; None where another kind is configured."""
        url = make_url(self.database_url)
        return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None

    @contextmanager
    def open_store(self) -> Iterator[Database]:
        """The database to read or to change what is in it.

        :raises StoreError: when it cannot be used.
        """
        file = self.database_file
        missing = file is not None and is_missing(file)
        check_database_not_lost(self.state_dir, file)
        with _opened(_IN_MEMORY if missing else self.database_url) as database:
            yield database

    @contextmanager
    def create_store(self) -> Iterator[Database]:
        """The database to add something to; created, with its folder, where there is none.

        :raises StoreError: when that is not possible.
        """
        file = self.database_file
        check_database_not_lost(self.state_dir, file)
        if file is not None and is_missing(file):
            self._refuse_strangers_files()
        prepare_state_dir(self.state_dir)
        with _opened(self.database_url) as database:
            yield database

    def tenant(self, name: str | None) -> Tenant:
        """A configured tenant by its name; without a name, the only one.

        :raises UserError: when there is none of that name.
        :raises click.UsageError: when a name is needed.
        """
        names = [tenant.name for tenant in self.config.tenant]
        if name is None and len(names) > 1:
            raise click.UsageError(f"Missing option '--tenant'; the tenants are: {', '.join(names)}")
        for tenant in self.config.tenant:
            if name in (None, tenant.name):
                return tenant
        raise UserError(f'there is no tenant "{name}"; there are: {", ".join(names)}')

    def clients(self, database: Database) -> dict[str, Client]:
        """The OAuth clients by tenant: those of the configuration, else what was entered on the page.

        :raises StoreError: when the database or the key cannot be used.
        """
        with database.begin() as connection:
            there = tenants.has_any_client(connection)
            entered, _ = (
                tenants.read_clients(connection, SecretBox.open(self.key_file, create=False)) if there else ((), ())
            )
        found = {one.tenant: Client(one.client_id, one.client_secret) for one in entered}
        return found | configured_clients(self.config)

    def page(self, tenant: str) -> str:
        """The address of a tenant's page."""
        return f"{self.config.web.public_url}/{tenant}/"

    def _refuse_strangers_files(self) -> None:
        """Files that root creates in the gateway's folder could not be opened by the gateway."""
        if os.geteuid() == 0 and not is_missing(self.state_dir) and _owner(self.state_dir) != 0:
            raise UserError(
                f"state_dir = {self.state_dir}: belongs to another user, and the database has to be created; "
                "run this command as that user, or start the gateway first"
            )


def find_account(connection: Connection, address: str, tenant: str | None) -> Account:
    """The account that a command names.

    Google gives an address that has become free to another user: of several accounts of one tenant, the connected
    one is meant, and of those the newest.

    :param address: in whichever case.
    :param tenant: to look in; None: in all.
    :raises UserError: when there is none, or one in each of several tenants.
    """
    found = accounts.find_by_address(connection, address, tenant)
    if not found:
        raise UserError(f"there is no account {address}" + (f' in tenant "{tenant}"' if tenant else ""))
    tenants = sorted({account.tenant for account in found})
    if len(tenants) > 1:
        raise UserError(f"{address} is an account of {' and '.join(tenants)}; say which with --tenant")
    return max(found, key=lambda account: (account.is_connected, account.id))


def is_missing(path: Path) -> bool:
    """Whether there is nothing at a path; false where we may not look, which is trouble of another kind."""
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def now() -> float:
    """Seconds since the epoch."""
    return datetime.now(UTC).timestamp()


def _owner(path: Path) -> int:
    return path.stat().st_uid


@contextmanager
def _opened(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        database.open()
        yield database
    finally:
        database.close()
