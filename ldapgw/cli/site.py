# SPDX-License-Identifier: MIT
"""The gateway that a command works on: its configuration file, state directory, database, and clients for Google.

A command that only reads or changes existing data creates no files: if there is no database, the command gets an empty
database in memory.  A command that calls Google starts the reactor, and stops the reactor when the call has ended.  The
end of this module has the options and arguments that several commands share.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import cached_property, wraps
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, AnyStr, Concatenate, ParamSpec, TextIO, TypeVar

import click
from sqlalchemy import Connection, make_url

from ldapgw.directory.schema import configure_aliases
from ldapgw.errors import UserError
from ldapgw.google.endpoints import Client
from ldapgw.phones.description import sign_in_name
from ldapgw.server.config import Config, Tenant, load
from ldapgw.server.state_dir import StateDir, lock_holder_pid
from ldapgw.store import accounts, activity, phones, tenants
from ldapgw.store.accounts import Account
from ldapgw.store.activity import Act, ActivityEntry
from ldapgw.store.database import Database
from ldapgw.store.engines import database_at
from ldapgw.store.files import is_missing, prepare_state_dir
from ldapgw.store.phones import PhoneLogin, is_valid_name
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tenants import EnteredClient

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from ldapgw.server.google import GoogleClients
    from ldapgw.server.tls import ValidityPeriod
    from ldapgw.sync.book_cache import BookCache

P = ParamSpec("P")
T = TypeVar("T")

_IN_MEMORY = "sqlite://"
# A running gateway looks for changes once a second, and then reads a change within half a second.
_READ_SECONDS = 1.5


class Site:
    """The gateway that a configuration file describes.

    :param file: the configuration file; read on first use.
    """

    def __init__(self, file: str) -> None:
        self.file = file

    @cached_property
    def config(self) -> Config:
        """Return the configuration.

        :raises UserError: with all problems of the file.
        """
        config = load(self.file)
        configure_aliases(config.attribute_aliases)
        return config

    @property
    def loaded_file(self) -> str:
        """Return the name of the configuration file, for messages; empty if the command has not read the file."""
        return self.file if "config" in vars(self) else ""

    @property
    def state(self) -> StateDir:
        """Return the state directory, the database and the key that the configuration names."""
        return StateDir.of(self.config)

    @property
    def certificate_validity(self) -> ValidityPeriod | None:
        """Return the validity of the gateway's certificate, or None without a certificate that can be read."""
        if self.config.tls is None:
            return None
        from ldapgw.server.tls import ValidityPeriod, read_certificates

        try:
            return ValidityPeriod.of(read_certificates(Path(self.config.tls.certificate).read_bytes()))
        except (OSError, ValueError):
            return None

    @cached_property
    def trust_anchor(self) -> str:
        """Return the certificate (PEM) that phones must be told to trust; empty if phones trust the gateway anyway."""
        if self.config.tls is None:
            return ""
        from ldapgw.server.tls import private_trust_anchor

        return private_trust_anchor(self.config.tls)

    @property
    def book_cache(self) -> BookCache:
        """Return the cache of the accounts' books that the gateway has built and saved for its next start."""
        from ldapgw.sync.book_cache import FOLDER, BookCache

        return BookCache(self.state.path / FOLDER)

    @property
    def file_cache(self) -> BookCache:
        """Return the cache of the books that the gateway has built from files and saved for its next start."""
        from ldapgw.sync.book_builder import FILES_FOLDER
        from ldapgw.sync.book_cache import BookCache

        return BookCache(self.state.path / FILES_FOLDER)

    @property
    def server_name(self) -> str:
        """Return the address of a database on a server, without user and password."""
        url = make_url(self.state.database_url)
        return f"{url.get_backend_name()}://{url.host or ''}/{url.database or ''}"

    def wait_for_gateway(self) -> None:
        """Wait until a gateway that runs on the same SQLite database has read what the command has written.

        The gateway looks for changes once a second.  Without the wait, a phone's first login could be refused.
        """
        if self.state.database_file is not None and lock_holder_pid(self.state.path) is not None:
            time.sleep(_READ_SECONDS)

    @contextmanager
    def open_store(self) -> Iterator[Database]:
        """Open the database to read or change existing data.

        :raises StoreError: when the database cannot be used.
        """
        file = self.state.database_file
        missing = file is not None and is_missing(file)
        self.state.check_database_not_lost(file)
        with closing(database_at(_IN_MEMORY) if missing else self.state.database()) as database:
            if not database.is_empty():
                database.open()
                yield database
                return
        with closing(database_at(_IN_MEMORY)) as database:
            database.open()
            yield database

    @contextmanager
    def create_store(self) -> Iterator[Database]:
        """Open the database to add data; create a missing database and its folder.

        :raises StoreError: when the database cannot be created or used.
        """
        file = self.state.database_file
        self.state.check_database_not_lost(file)
        if file is not None and is_missing(file):
            self._refuse_files_of_root()
        prepare_state_dir(self.state.path, create=self.state.may_be_created)
        with closing(self.state.database()) as database:
            self.state.check_server_not_empty(database)
            database.open()
            yield database

    def tenant(self, name: str | None) -> Tenant:
        """Return the configured tenant with a name, or the only tenant if no name is given.

        :raises UserError: when there is no tenant of that name.
        :raises click.UsageError: without a name, when there are several tenants.
        """
        names = [tenant.name for tenant in self.config.tenant]
        if name is None and len(names) > 1:
            raise click.UsageError(f"Missing option '--tenant'; the tenants are: {', '.join(names)}")
        for tenant in self.config.tenant:
            if name in (None, tenant.name):
                return tenant
        raise UserError(f'there is no tenant "{name}"; there are: {", ".join(names)}', is_setting=True)

    def find_tenant(self, name: str) -> Tenant | None:
        """Return a tenant by its name, or None if the tenant is no longer in the configuration."""
        return next((tenant for tenant in self.config.tenant if tenant.name == name), None)

    def clients(self, database: Database) -> dict[str, Client]:
        """Return each tenant's OAuth client: the configured client, or else the client that was entered on the web.

        :raises StoreError: when the database or the key cannot be used.
        """
        entered: Iterable[EnteredClient] = ()
        with database.begin() as connection:
            if tenants.has_any_client(connection):
                entered, _ = tenants.read_clients(connection, SecretBox.open(self.state.key_source, create=False))
        clients = {client.tenant: Client(client.client_id, client.client_secret) for client in entered}
        return clients | self.config.clients

    def page(self, tenant: str) -> str:
        """Return the URL of a tenant's page."""
        return f"{self.config.web.public_url}/{tenant}/"

    def _refuse_files_of_root(self) -> None:
        """Refuse to create files as root in another user's folder, because the gateway could not open the files."""
        if os.geteuid() == 0 and not is_missing(self.state.path) and _owner(self.state.path) != 0:
            raise UserError(
                f"state_dir = {self.state.path}: belongs to another user, and the database has to be created; "
                "run this command as that user, or start the gateway first",
                is_setting=True,
            )


def find_account(connection: Connection, address: str, tenant: str | None) -> Account:
    """Find an account by its address.

    Google can give an unused address to another user, so a tenant can have several accounts with the same address.  A
    connected account takes precedence, and then the newest account.

    :param address: the address, in upper or lower case.
    :param tenant: the tenant's name, or None for all tenants.
    :raises UserError: when there is no such account, or accounts of several tenants have the address.
    """
    candidates = accounts.find_by_address(connection, address, tenant)
    if not candidates:
        place = f' in tenant "{tenant}"' if tenant else ""
        raise UserError(f"there is no account {address}{place}: connect the account on the page first")
    names = sorted({account.tenant for account in candidates})
    if len(names) > 1:
        raise UserError(f"{address} is an account of {' and '.join(names)}; choose a tenant with --tenant")
    return max(candidates, key=lambda account: (account.is_connected, account.id))


def find_phone(connection: Connection, name: str) -> PhoneLogin:
    """Find a phone by its name, ignoring case.

    :raises UserError: when there is no phone of that name.
    """
    login = phones.read_by_name(connection, name)
    if login is None:
        raise UserError(f"there is no phone named {name}; see ldapgw phones list")
    return login


def find_login(connection: Connection, name: str) -> PhoneLogin:
    """Find a replica or a phone by its name, ignoring case.

    :raises UserError: when there is no replica and no phone of that name.
    """
    return find_replica(connection, name) or find_phone(connection, name)


def find_replica(connection: Connection, name: str) -> PhoneLogin | None:
    """Find a replica by its name, ignoring case; return None if there is no such replica."""
    found = (login for login in phones.read_logins(connection) if login.replica is not None)
    return next((login for login in found if login.name.lower() == name.lower()), None)


def act(tenant: str, act: Act, subject: str = "", detail: str = "") -> ActivityEntry:
    """Return an entry of the activity log for an act of a command."""
    return activity.entry(now(), tenant, activity.COMMAND_LINE, act, subject, detail)


def now() -> float:
    """Return the time in seconds since the epoch."""
    return datetime.now(UTC).timestamp()


def google_clients(config: Config) -> GoogleClients:
    """Return the clients of the configured endpoints of Google or of a sandbox.

    :raises UserError: when ``[google] ca_file`` cannot be used.
    """
    from ldapgw.server.google import GoogleClients

    reactor = get_reactor()
    return GoogleClients(config.google, reactor, reactor)


def get_reactor() -> Any:
    """Import and return Twisted's reactor.

    The reactor is not imported before, because the import is slow and most commands do not need the reactor.
    """
    from twisted.internet import reactor  # noqa: TID251  an entry point

    return reactor


def run_in_reactor(work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    """Run the reactor until a coroutine is done; a process can do this only once.

    :param work: makes the coroutine from the reactor.
    :raises KeyboardInterrupt: after Ctrl-C; exceptions of the coroutine are raised too.
    """
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    reactor = get_reactor()
    outcome: list[T | Failure] = []

    def end(result: T | Failure) -> None:
        # After Ctrl-C, the coroutine fails only because its connection was closed, so its error is ignored.
        if reactor.running:
            outcome.append(result)
            reactor.stop()

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(work(reactor)).addBoth(end))
    reactor.run()
    if not outcome:
        raise KeyboardInterrupt
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()
    return outcome[0]


def _owner(path: Path) -> int:
    return path.stat().st_uid


def pass_site(command: Callable[Concatenate[Site, P], T]) -> Callable[P, T]:
    """Decorate a command, so that its first argument is the site of the option ``--config``."""

    @wraps(command)
    def with_site(*args: P.args, **options: P.kwargs) -> T:
        root = click.get_current_context().find_root()
        root.obj = root.obj or Site(root.params["file"])
        return command(root.obj, *args, **options)

    return with_site


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

only_of_tenant = click.option("--tenant", metavar="T", help="Only this tenant.")

account_tenant = click.option(
    "--tenant", metavar="T", help="The tenant, if the address is an account in several tenants."
)

only_tenant = click.option("--tenant", metavar="T", help="The tenant. You can leave it out if there is only one.")


# The largest number of octets or characters that a command reads from a file.  Without this limit, an endless file such
# as /dev/zero would fill the memory.
MAX_FILE_SIZE = 50_000_000

# Octets that are not UTF-8 are replaced, so that a wrong file fails in the same way as a wrong password or certificate.
TEXT_FILE = click.File(encoding="utf-8", errors="replace")

password_option = click.option("--password-file", type=TEXT_FILE, help="A file with the password on its first line.")


def first_line(file: TextIO | None) -> str | None:
    """Return the first line of a file, or None if `file` is None."""
    return file.readline(MAX_FILE_SIZE).strip() if file else None


def read_file(file: IO[AnyStr]) -> AnyStr:
    """Return the content of a file.

    :raises UserError: when the file is larger than any file that a command needs.
    """
    content = file.read(MAX_FILE_SIZE + 1)
    if len(content) > MAX_FILE_SIZE:
        raise UserError(f"{file.name}: is larger than {MAX_FILE_SIZE // 1_000_000} MB")
    return content


def setting_type(kind: Any) -> Callable[[str], str]:
    """Return the type of an option for a setting.

    :param kind: a class of `ldapgw.server.config.forms`.
    """
    return text_type(lambda text: str(kind.read(text.strip())), kind.expected, kind.__name__.lower())


def text_type(read: Callable[[str], str], expected: str, name: str = "text") -> Callable[[str], str]:
    """Return the type of an option; `read` converts the option's text, or raises a `ValueError` if the text is wrong.

    :param expected: the expected form, for the message about a text of another form.
    :param name: the placeholder for the option's value in the help, if the option has no `metavar`.
    """

    def convert(text: str) -> str:
        try:
            return read(text)
        except ValueError:
            raise click.BadParameter(f"expected {expected}") from None

    convert.__name__ = name
    return convert


def phone_name(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Check the name of a phone, which is part of a DN, of URLs and of the names of provisioning files.

    :raises click.BadParameter: when the name is not valid.
    """
    if not is_valid_name(value):
        raise click.BadParameter(
            f"expected 1 to 64 letters a-z, digits, dots, underscores and hyphens, such as {sign_in_name(value, ())}",
            ctx,
            param,
        )
    return value
